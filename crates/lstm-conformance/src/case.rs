//! A problem and its answer, as named tensors.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use lstm_bi::StackedConfig;
use lstm_core::init::LstmInit;
use lstm_core::random::RandomStream;
use lstm_core::{Lengths, LstmState, LstmWeights, Memory, Mode, Resets, Result, tensors};

/// A stack and what to run it on; everything is time-major and batched.
#[derive(Debug, Clone)]
pub struct Case {
    /// The case's name in its group.
    pub name: String,
    /// Layers and directions.
    pub config: StackedConfig,
    /// The type of every tensor.
    pub dtype: DType,
    /// The parameters under PyTorch's names.
    pub weights: Vec<(String, Tensor)>,
    /// x: `[T, B, I]`.
    pub x: Tensor,
    /// h₀ and c₀: `[L·D, B, H]` each; zero where absent.
    pub initial: Option<LstmState<Tensor>>,
    /// The valid steps of each row.
    pub lengths: Option<Lengths>,
    /// The steps at which rows begin anew.
    pub resets: Option<Resets>,
    /// Training, with its masks, or evaluation.
    pub mode: Mode,
    /// What is kept for the backward pass.
    pub memory: Memory,
    /// Where present, gradients are asked for too.
    pub loss: Option<LossGradients>,
}

/// The loss Σ output ∘ d_output + Σ h_n ∘ d_h + Σ c_n ∘ d_c.
#[derive(Debug, Clone)]
pub struct LossGradients {
    /// `[T, B, D·H]`.
    pub output: Tensor,
    /// `[L·D, B, H]` each.
    pub state: LstmState<Tensor>,
}

impl Case {
    /// The same problem with its tensors on `device`, as numbers of type `dtype`.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Candle`].
    pub fn to(&self, device: &Device, dtype: DType) -> Result<Self> {
        let to = |tensor: &Tensor| moved(tensor, device, dtype);
        Ok(Self {
            dtype,
            weights: moved_weights(&self.weights, device, dtype)?,
            x: to(&self.x)?,
            initial: self.initial.as_ref().map(|state| state.try_map(to)).transpose()?,
            loss: self.loss.as_ref().map(|loss| loss.to(device, dtype)).transpose()?,
            ..self.clone()
        })
    }
}

impl LossGradients {
    /// The same numbers on `device`, of type `dtype`.
    pub(crate) fn to(&self, device: &Device, dtype: DType) -> Result<Self> {
        let to = |tensor: &Tensor| moved(tensor, device, dtype);
        Ok(Self { output: to(&self.output)?, state: self.state.try_map(to)? })
    }
}

/// The numbers of `tensor` on `device`, of type `dtype`.
pub(crate) fn moved(tensor: &Tensor, device: &Device, dtype: DType) -> Result<Tensor> {
    Ok(tensor.to_dtype(dtype)?.to_device(device)?)
}

/// [`moved`] of each weight.
pub(crate) fn moved_weights(
    weights: &[(String, Tensor)],
    device: &Device,
    dtype: DType,
) -> Result<Vec<(String, Tensor)>> {
    let to = |(name, weight): &(String, Tensor)| Ok((name.clone(), moved(weight, device, dtype)?));
    weights.iter().map(to).collect()
}

/// Named results: `output`, `h_n`, `c_n`, and `grad.NAME` of `x`, `h0`, `c0` and every parameter.
pub type Answer = BTreeMap<String, Tensor>;

/// Numbers uniform in ±0.3 in the shape of `tensor`.
fn random_like(tensor: &Tensor, stream: RandomStream) -> Result<Tensor> {
    let numbers = (0..tensor.elem_count() as u64).map(|k| 0.6 * stream.uniform(k) - 0.3);
    Ok(Tensor::from_iter(numbers, &Device::Cpu)?.reshape(tensor.shape())?)
}

/// A case of random numbers, all depending on `seed` alone: `[T, B]` steps and rows.
///
/// # Errors
///
/// Where `config` or the sizes describe no case.
pub fn random_case(
    config: StackedConfig,
    (n_steps, batch): (usize, usize),
    dtype: DType,
    seed: u64,
) -> Result<Case> {
    let stream = RandomStream::new(seed);
    let tensor = |name: &str, shape: [usize; 3]| -> Result<Tensor> {
        let stream = stream.named(name);
        let n = shape.iter().product::<usize>() as u64;
        let numbers: Vec<f64> = (0..n).map(|k| 2.0 * stream.uniform(k) - 1.0).collect();
        Ok(Tensor::from_vec(numbers, &shape[..], &Device::Cpu)?.to_dtype(dtype)?)
    };
    let mut weights = Vec::new();
    let layers = config.layers();
    for (place, layer) in &layers {
        let drawn: LstmWeights<f64> =
            LstmInit::default().weights(*layer, stream.named(&place.suffix()))?;
        for (name, drawn) in tensors::from_weights(&drawn, *place, &Device::Cpu)? {
            // Gains, shifts and initial states start at constants; no test is served by those.
            let random = random_like(&drawn, stream.named(&name))?;
            weights.push((name, ((drawn * 0.7)? + random)?.to_dtype(dtype)?));
        }
    }
    let (hidden, output) = (config.layer.hidden_size, config.layer.output_size());
    let state = |name: &str| -> Result<LstmState<Tensor>> {
        Ok(LstmState {
            h: tensor(&format!("{name} h"), [layers.len(), batch, output])?,
            c: tensor(&format!("{name} c"), [layers.len(), batch, hidden])?,
        })
    };
    Ok(Case {
        name: format!("random {seed}"),
        config,
        dtype,
        weights,
        x: tensor("x", [n_steps, batch, config.layer.input_size])?,
        initial: Some(state("initial")?),
        lengths: None,
        resets: None,
        mode: Mode::Eval,
        memory: Memory::default(),
        loss: Some(LossGradients {
            output: tensor("loss output", [n_steps, batch, config.output_size()])?,
            state: state("loss")?,
        }),
    })
}
