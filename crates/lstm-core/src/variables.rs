//! Reproducible variables: a `VarBuilder` whose initial values depend on a seed and each tensor's name.
//!
//! candle draws initial values from the thread's generator, which cannot be seeded on a CPU. Here every
//! variable has its own counter-based stream, so that two models with the same names start equal and a
//! model does not depend on the order in which its parts are built.

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder, VarMap};

use crate::random::RandomStream;

/// A `VarBuilder` that adds to `variables`, drawing initial values from `seed` and each tensor's name.
///
/// Asked for a name again, it returns the same variable, as candle's own does.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_nn::VarMap;
/// use lstm_core::variables::seeded;
///
/// let (one, two) = (VarMap::new(), VarMap::new());
/// let hint = candle_nn::Init::Uniform { lo: -1.0, up: 1.0 };
/// let a = seeded(&one, 7, DType::F32, &Device::Cpu).get_with_hints(3, "w", hint)?;
/// let b = seeded(&two, 7, DType::F32, &Device::Cpu).get_with_hints(3, "w", hint)?;
/// assert_eq!(a.to_vec1::<f32>()?, b.to_vec1::<f32>()?);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn seeded(variables: &VarMap, seed: u64, dtype: DType, device: &Device) -> VarBuilder<'static> {
    let backend = Seeded { variables: variables.clone(), stream: RandomStream::new(seed) };
    VarBuilder::from_backend(Box::new(backend), dtype, device.clone())
}

struct Seeded {
    variables: VarMap,
    stream: RandomStream,
}

impl SimpleBackend for Seeded {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        if !self.contains_tensor(name) {
            let values = draw(init, &shape, self.stream.named(name));
            let tensor = Tensor::from_vec(values, shape.clone(), device)?.to_dtype(dtype)?;
            let var = Var::from_tensor(&tensor)?;
            lock(&self.variables).insert(name.to_owned(), var);
        }
        // The hint is not used: the variable is there.
        self.variables.get(shape, name, init, dtype, device)
    }

    fn get_unchecked(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        match lock(&self.variables).get(name) {
            Some(var) => var.to_dtype(dtype)?.to_device(device),
            None => candle_core::bail!("cannot find tensor `{name}`"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        lock(&self.variables).contains_key(name)
    }
}

type Variables = std::collections::HashMap<String, Var>;

/// The map of variables, also after a thread panicked while holding it: the map itself stays whole.
fn lock(variables: &VarMap) -> std::sync::MutexGuard<'_, Variables> {
    variables.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The variables in the order of their names: the only order that is the same in every run.
pub fn sorted(variables: &VarMap) -> Vec<(String, Var)> {
    let mut named: Vec<_> =
        lock(variables).iter().map(|(name, var)| (name.clone(), var.clone())).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}

fn draw(init: Init, shape: &Shape, stream: RandomStream) -> Vec<f64> {
    let n = shape.elem_count() as u64;
    let uniform = |lo: f64, up: f64| (0..n).map(|k| lo + (up - lo) * stream.uniform(k)).collect();
    let normal = |mean: f64, std: f64| (0..n).map(|k| mean + std * stream.normal(k)).collect();
    match init {
        Init::Const(value) => vec![value; n as usize],
        Init::Uniform { lo, up } => uniform(lo, up),
        Init::Randn { mean, stdev } => normal(mean, stdev),
        Init::Kaiming { dist, fan, non_linearity } => {
            let std = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            match dist {
                NormalOrUniform::Uniform => uniform(-(3_f64.sqrt()) * std, 3_f64.sqrt() * std),
                NormalOrUniform::Normal => normal(0.0, std),
            }
        }
    }
}
