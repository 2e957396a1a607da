//! What sets the steps and rows of a run apart: padding, resets, random masks, as tensors.

use candle_core::{Device, Tensor};
use lstm_core::{Direction, Keep, LayerPlace, Lengths, LstmConfig, Masks, Result, SeqOptions};

use crate::step::StepMasks;

/// Tensors over time have T first, in the order in which the steps are computed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    /// `[T, B, 1]`, u8: 0 where the step is padding, so that the state stays and the output is zero.
    pub(crate) valid: Option<Tensor>,
    /// `[T, B, 1]`, u8: 1 where the row goes back to the layer's own state before the step.
    pub(crate) starts: Option<Tensor>,
    /// What zoneout keeps: `[T, B, P]` and `[T, B, H]`, or `[T, 1, 1]`.
    keep_h: Option<Tensor>,
    keep_c: Option<Tensor>,
    /// `[B, P]`.
    recurrent: Option<Tensor>,
    /// `[4H, P]`.
    pub(crate) connect: Option<Tensor>,
}

impl Conditions {
    /// Those of a run over `[T, B]` = `size`.
    pub(crate) fn new(
        config: &LstmConfig,
        (name, place): (&str, LayerPlace),
        options: &SeqOptions<'_>,
        size: (usize, usize),
        like: &Tensor,
    ) -> Result<Self> {
        let (n_steps, batch) = size;
        let lengths = options.lengths.filter(|lengths| !lengths.is_full(n_steps));
        let steps = |marks: Vec<u8>| Tensor::from_vec(marks, (n_steps, batch, 1), like.device());
        let starts = options.resets.map(|resets| {
            let starts = resets.starts(place.direction, options.lengths);
            steps(starts.into_iter().map(u8::from).collect())
        });
        let masks = Masks::<f64>::draw(config, (name, place), options.mode, n_steps, batch);
        let (hidden, output) = (config.hidden_size, config.output_size());
        let numbers = |numbers: &[f64], shape: &[usize]| -> candle_core::Result<Tensor> {
            // Rounded here: not every device has f64.
            let numbers = Tensor::from_slice(numbers, shape, &Device::Cpu)?;
            numbers.to_dtype(like.dtype())?.to_device(like.device())
        };
        let keep = |keep: &Keep<f64>, units| match keep {
            Keep::Nothing => Ok(None),
            Keep::Part(part) => numbers(&vec![*part; n_steps], &[n_steps, 1, 1]).map(Some),
            Keep::Mask(mask) => numbers(mask, &[n_steps, batch, units]).map(Some),
        };
        let factors = |mask: &Option<Vec<f64>>, rows| {
            mask.as_ref().map(|mask| numbers(mask, &[rows, output])).transpose()
        };
        let conditions = Self {
            valid: lengths.map(|lengths| valid(lengths, n_steps, like.device())).transpose()?,
            starts: starts.transpose()?,
            keep_h: keep(&masks.keep_h, output)?,
            keep_c: keep(&masks.keep_c, hidden)?,
            recurrent: factors(&masks.recurrent, batch)?,
            connect: factors(&masks.connect, 4 * hidden)?,
        };
        match place.direction {
            Direction::Forward => Ok(conditions),
            Direction::Reverse => conditions.over_time(|t| t.flip(&[0])),
        }
    }

    fn over_time(&self, f: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Result<Self> {
        let f = |t: &Option<Tensor>| t.as_ref().map(&f).transpose();
        Ok(Self {
            valid: f(&self.valid)?,
            starts: f(&self.starts)?,
            keep_h: f(&self.keep_h)?,
            keep_c: f(&self.keep_c)?,
            recurrent: self.recurrent.clone(),
            connect: self.connect.clone(),
        })
    }

    /// Those of `len` steps from `start` on.
    pub(crate) fn part(&self, start: usize, len: usize) -> Result<Self> {
        self.over_time(|t| t.narrow(0, start, len))
    }

    /// The masks of one step.
    pub(crate) fn step(&self, step_idx: usize) -> Result<StepMasks> {
        let at = |t: &Option<Tensor>| t.as_ref().map(|t| t.get(step_idx)).transpose();
        let (keep_h, keep_c) = (at(&self.keep_h)?, at(&self.keep_c)?);
        Ok(StepMasks { keep_h, keep_c, recurrent: self.recurrent.clone() })
    }
}

/// 1 where a step is valid and 0 where it is padding: `[T, B, 1]`, u8.
fn valid(lengths: &Lengths, n_steps: usize, device: &Device) -> candle_core::Result<Tensor> {
    let steps = (0..n_steps).flat_map(|t| lengths.rows().iter().map(move |&len| u8::from(t < len)));
    Tensor::from_iter(steps, device)?.reshape((n_steps, lengths.rows().len(), 1))
}

/// `x` with zeros for padding, so that junk there (NaN too) reaches neither output nor gradient.
pub(crate) fn zero_padding(x: &Tensor, valid: &Tensor) -> Result<Tensor> {
    Ok(valid.broadcast_as(x.shape())?.where_cond(x, &x.zeros_like()?)?)
}
