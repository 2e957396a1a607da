//! What a run of the operator returns.

use candle_core::{Device, Tensor};
use lstm_core::onnx::OnnxLayout;
use lstm_core::{Lengths, LstmState, Result};

/// The operator's outputs, each laid out when it is asked for.
#[derive(Debug, Clone)]
pub struct OnnxOutputs {
    /// `[T, B, D·H]`.
    output: Tensor,
    /// One for each direction: `[1, B, H]`.
    states: Vec<LstmState<Tensor>>,
    layout: OnnxLayout,
}

impl OnnxOutputs {
    /// `empty`: lengths, where the states of rows of length 0 are to be zero.
    pub(super) fn new(
        output: Tensor,
        mut states: Vec<LstmState<Tensor>>,
        layout: OnnxLayout,
        empty: Option<Lengths>,
    ) -> Result<Self> {
        if let Some(lengths) = empty {
            for LstmState { h, c } in &mut states {
                (*h, *c) = (zero_empty_rows(h, &lengths)?, zero_empty_rows(c, &lengths)?);
            }
        }
        Ok(Self { output, states, layout })
    }

    /// Y: `[T, D, B, H]`, or `[B, T, D, H]` with `layout` 1; in input time order, zero past each row's length.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Candle`] where candle fails.
    pub fn y(&self) -> Result<Tensor> {
        let (n_steps, batch, features) = self.output.dims3()?;
        let n_directions = self.states.len();
        let by_direction =
            self.output.reshape((n_steps, batch, n_directions, features / n_directions))?;
        let laid_out = match self.layout {
            OnnxLayout::TimeMajor => by_direction.transpose(1, 2)?,
            OnnxLayout::BatchMajor => by_direction.transpose(0, 1)?,
        };
        Ok(laid_out.contiguous()?)
    }

    /// Y_h: `[D, B, H]`, or `[B, D, H]` with `layout` 1.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Candle`] where candle fails.
    pub fn y_h(&self) -> Result<Tensor> {
        self.state(|state| &state.h)
    }

    /// Y_c: `[D, B, H]`, or `[B, D, H]` with `layout` 1.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Candle`] where candle fails.
    pub fn y_c(&self) -> Result<Tensor> {
        self.state(|state| &state.c)
    }

    fn state(&self, part: impl Fn(&LstmState<Tensor>) -> &Tensor) -> Result<Tensor> {
        let states: Vec<&Tensor> = self.states.iter().map(part).collect();
        let joined = Tensor::cat(&states, 0)?;
        Ok(match self.layout {
            OnnxLayout::TimeMajor => joined,
            OnnxLayout::BatchMajor => joined.transpose(0, 1)?.contiguous()?,
        })
    }
}

/// `state`, `[1, B, H]`, with zeros, gradients included, in rows of length 0.
fn zero_empty_rows(state: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    let filled: Vec<u8> = lengths.rows().iter().map(|&len| u8::from(len > 0)).collect();
    let filled = Tensor::from_vec(filled, (1, lengths.rows().len(), 1), &Device::Cpu)?;
    let filled = filled.to_device(state.device())?.broadcast_as(state.shape())?.contiguous()?;
    Ok(filled.where_cond(state, &state.zeros_like()?)?)
}
