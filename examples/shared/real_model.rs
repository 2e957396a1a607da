//! What the examples of published models share: a folder of fixtures, and the comparison with what was published.
//!
//! A fixture is NAME.safetensors (the weights under PyTorch's names, an input, the published results) and
//! NAME.json, which describes it. The folder is the example's first argument.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Error, Result, Tensor};

/// The tensors of one published model and their description.
#[derive(Debug)]
pub struct RealModel {
    /// Every tensor of the file, by its name.
    pub tensors: HashMap<String, Tensor>,
    /// The description.
    pub about: serde_json::Value,
}

impl RealModel {
    /// The model `name` of the folder that the first argument names; `None`, with a printed word why, where
    /// there is no such folder or file.
    ///
    /// # Errors
    ///
    /// Where the file is there and cannot be read.
    pub fn from_arguments(name: &str) -> Result<Option<Self>> {
        let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
            println!("skipped: give the folder with {name}.safetensors as the first argument");
            return Ok(None);
        };
        let path = folder.join(name).with_extension("safetensors");
        if !path.exists() {
            println!("skipped: there is no {}", path.display());
            return Ok(None);
        }
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu)?;
        let json = std::fs::read(path.with_extension("json"))?;
        let about = serde_json::from_slice(&json).map_err(Error::wrap)?;
        Ok(Some(Self { tensors, about }))
    }

    /// The tensor of a name.
    ///
    /// # Errors
    ///
    /// Where the file has no such tensor.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        let missing = || Error::Msg(format!("the file has no tensor `{name}`"));
        self.tensors.get(name).ok_or_else(missing)
    }

    /// The numbers of a tensor, row-major.
    ///
    /// # Errors
    ///
    /// As [`RealModel::get`], or where the tensor is not f32.
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        self.get(name)?.flatten_all()?.to_vec1()
    }

    /// Refuses a result further from the published tensor `name` than 1e-5 of its largest number.
    ///
    /// # Errors
    ///
    /// Where a number differs by more or is not finite, or the shapes differ.
    pub fn check(&self, name: &str, got: &Tensor) -> Result<()> {
        let largest = |t: Tensor| t.abs()?.to_dtype(DType::F64)?.max_all()?.to_scalar::<f64>();
        let published = self.get(name)?;
        // A maximum would pass over NaN, a sum does not.
        let sum = got.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
        let difference = largest(got.sub(published)?)? / largest(published.clone())?;
        println!("{name:<14} {:?}: {difference:.0e} from the published one", got.dims());
        if difference <= 1e-5 && sum.is_finite() {
            return Ok(());
        }
        Err(Error::Msg(format!("`{name}`: expected at most 1e-5 of the largest, got {difference}")))
    }
}
