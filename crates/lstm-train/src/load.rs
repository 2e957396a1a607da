//! The weights of a file into the variables of a model: every one, by name and shape, and no other.

use std::path::Path;

use candle_core::{Device, Tensor, Var};
use candle_nn::VarMap;
use lstm_core::variables;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};

/// Sets every variable to the tensor of its name in the safetensors file at `path`.
///
/// # Errors
///
/// [`Error::Io`] where the file cannot be read; [`Error::Checkpoint`] where it is none, or a tensor is missing,
/// is not f32, has another shape, holds what is not finite, or is none of the model's. Nothing is set then.
pub fn load_weights(path: &Path, variables: &VarMap) -> Result<()> {
    let variables = variables::sorted(variables);
    let weights = read_weights(path, &variables)?;
    for ((_, var), numbers) in variables.iter().zip(weights) {
        var.set(&numbers.to_device(var.device())?)?;
    }
    Ok(())
}

/// The tensors of the variables' names, with the errors of [`load_weights`].
pub(crate) fn read_weights(path: &Path, variables: &[(String, Var)]) -> Result<Vec<Tensor>> {
    let refuse = |what: &str, expected: String, got: String| Error::Checkpoint {
        op: OP,
        path: path.to_owned(),
        what: what.to_owned(),
        expected,
        got,
    };
    let bytes = std::fs::read(path).map_err(Error::io(OP, path))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| refuse("contents", "a safetensors file".to_owned(), error.to_string()))?;
    let mut weights = Vec::new();
    for (name, var) in variables {
        let tensor = format!("tensor `{name}`");
        let expected = format!("f32 of shape {:?}", var.dims());
        let Ok(view) = file.tensor(name) else {
            return Err(refuse(&tensor, expected, "no such tensor".to_owned()));
        };
        if view.dtype() != Dtype::F32 || view.shape() != var.dims() {
            let got = format!("{:?} of shape {:?}", view.dtype(), view.shape());
            return Err(refuse(&tensor, expected, got));
        }
        let (quads, _) = view.data().as_chunks::<4>();
        let numbers: Vec<f32> = quads.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        if let Some(bad) = numbers.iter().find(|number| !number.is_finite()) {
            return Err(refuse(&tensor, "finite numbers".to_owned(), bad.to_string()));
        }
        weights.push(Tensor::from_vec(numbers, view.shape(), &Device::Cpu)?);
    }
    let is_known = |name: &&str| variables.iter().any(|(known, _)| known == name);
    let mut others = file.names().into_iter().filter(|name| !is_known(name)).collect::<Vec<_>>();
    others.sort_unstable();
    if let Some(other) = others.first() {
        let expected = format!("the model's {} tensors", variables.len());
        return Err(refuse("contents", expected, format!("`{other}` as well")));
    }
    Ok(weights)
}

/// The name of the operation in errors.
const OP: &str = "load weights";

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Device, Tensor};
    use candle_nn::{Init, VarBuilder, VarMap};

    use super::load_weights;

    #[test]
    fn only_the_model_itself_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let weight = vb.get_with_hints((2, 3), "weight", Init::Const(0.0)).unwrap();
        vb.get_with_hints(3, "bias", Init::Const(0.0)).unwrap();
        let tensor =
            |shape: &[usize], value: f32| Tensor::full(value, shape, &Device::Cpu).unwrap();
        let saved = |tensors: &[(&str, Tensor)]| {
            let tensors: HashMap<&str, Tensor> = tensors.iter().cloned().collect();
            candle_core::safetensors::save(&tensors, &path).unwrap();
            load_weights(&path, &variables).map_err(|error| error.to_string())
        };
        let (w, b) = (("weight", tensor(&[2, 3], 2.0)), ("bias", tensor(&[3], 1.0)));
        let refused = [
            (vec![w.clone()], "tensor `bias`: expected f32 of shape [3], got no such tensor"),
            (vec![w.clone(), ("bias", tensor(&[4], 1.0))], "got F32 of shape [4]"),
            (vec![w.clone(), ("bias", tensor(&[3], f32::NAN))], "expected finite numbers, got NaN"),
            (vec![w.clone(), b.clone(), ("more", tensor(&[1], 1.0))], "got `more` as well"),
            (vec![w.clone(), ("bias", b.1.to_dtype(DType::F64).unwrap())], "got F64"),
        ];
        for (tensors, expected) in refused {
            let error = saved(&tensors).unwrap_err();
            assert!(error.contains(expected) && error.contains("model.safetensors"), "{error}");
            assert_eq!(weight.to_vec2::<f32>().unwrap(), [[0.0; 3]; 2]);
        }
        saved(&[w, b]).unwrap();
        assert_eq!(weight.to_vec2::<f32>().unwrap(), [[2.0; 3]; 2]);
        std::fs::write(&path, b"{}").unwrap();
        assert!(load_weights(&path, &variables).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(load_weights(&path, &variables).is_err());
    }
}
