//! What a run of the operator reads.

use candle_core::{DType, Tensor};
use lstm_core::onnx::OnnxLayout;
use lstm_core::{Error, Lengths, Lstm, LstmState, Result};

const OP: &str = "OnnxLstm::run";

/// The operator's inputs beside W, R, B and P. With `layout` 1 the first two dimensions of X, and of the
/// initial states, are swapped.
#[derive(Debug, Clone, Copy)]
pub struct OnnxInputs<'a> {
    /// X: `[T, B, I]`.
    pub x: &'a Tensor,
    /// sequence_lens: `[B]`, integers from 0 to T, of type I32, I64 or U32; all T where absent.
    pub sequence_lens: Option<&'a Tensor>,
    /// initial_h: `[D, B, H]`; zero where absent.
    pub initial_h: Option<&'a Tensor>,
    /// initial_c: `[D, B, H]`; zero where absent.
    pub initial_c: Option<&'a Tensor>,
}

impl<'a> OnnxInputs<'a> {
    /// X alone.
    pub fn new(x: &'a Tensor) -> Self {
        Self { x, sequence_lens: None, initial_h: None, initial_c: None }
    }

    /// X as `[T, B, I]`, which `layer` can read.
    pub(super) fn time_major<L: Lstm>(&self, layer: &L, layout: OnnxLayout) -> Result<Tensor> {
        let &[first, second, features] = self.x.dims() else {
            let expected = match layout {
                OnnxLayout::TimeMajor => "[T, B, I]",
                OnnxLayout::BatchMajor => "[B, T, I]",
            };
            let got = format!("{:?}", self.x.dims());
            return Err(Error::mismatch(OP, "shape of X", expected, got));
        };
        if first == 0 || second == 0 {
            let got = format!("{:?}", self.x.dims());
            return Err(Error::mismatch(OP, "shape of X", "at least one step and row", got));
        }
        Error::check(OP, "last dimension of X", layer.input_size(), features)?;
        Error::check(OP, "dtype of X", layer.dtype(), self.x.dtype())?;
        Ok(match layout {
            OnnxLayout::TimeMajor => self.x.contiguous()?,
            OnnxLayout::BatchMajor => self.x.transpose(0, 1)?.contiguous()?,
        })
    }

    /// The valid steps of each row.
    pub(super) fn lengths(&self) -> Result<Option<Lengths>> {
        let Some(tensor) = self.sequence_lens else { return Ok(None) };
        if tensor.rank() != 1 {
            let got = format!("{:?}", tensor.dims());
            return Err(Error::mismatch(OP, "shape of sequence_lens", "[B]", got));
        }
        let numbers: Vec<i64> = match tensor.dtype() {
            DType::I32 => tensor.to_vec1::<i32>()?.into_iter().map(i64::from).collect(),
            DType::U32 => tensor.to_vec1::<u32>()?.into_iter().map(i64::from).collect(),
            DType::I64 => tensor.to_vec1::<i64>()?,
            other => {
                let got = format!("{other:?}");
                return Err(Error::mismatch(OP, "dtype of sequence_lens", "I32, I64 or U32", got));
            }
        };
        let mut lengths = Vec::with_capacity(numbers.len());
        for (row, number) in numbers.into_iter().enumerate() {
            let length = usize::try_from(number).map_err(|_| {
                Error::mismatch(OP, format!("length of row {row}"), "at least 0", number)
            })?;
            lengths.push(length);
        }
        Ok(Some(Lengths::new(lengths)))
    }

    /// The initial state of direction number `index` of `n_directions`, `[1, B, H]` each; what is absent is
    /// zero.
    pub(super) fn initial<L: Lstm>(
        &self,
        layer: &L,
        index: usize,
        n_directions: usize,
        layout: OnnxLayout,
    ) -> Result<Option<LstmState<Tensor>>> {
        if self.initial_h.is_none() && self.initial_c.is_none() {
            return Ok(None);
        }
        let dims = self.x.dims();
        let (axis, batch) = match layout {
            OnnxLayout::TimeMajor => (0, dims[1]),
            OnnxLayout::BatchMajor => (1, dims[0]),
        };
        let hidden = layer.hidden_size();
        let shape = match layout {
            OnnxLayout::TimeMajor => [n_directions, batch, hidden],
            OnnxLayout::BatchMajor => [batch, n_directions, hidden],
        };
        let part = |name: &str, tensor: Option<&Tensor>| -> Result<Tensor> {
            let Some(tensor) = tensor else {
                return Ok(Tensor::zeros((1, batch, hidden), layer.dtype(), layer.device())?);
            };
            Error::check(OP, &format!("shape of {name}"), &shape[..], tensor.dims())?;
            Error::check(OP, &format!("dtype of {name}"), layer.dtype(), tensor.dtype())?;
            let own = tensor.narrow(axis, index, 1)?;
            Ok(if axis == 0 { own } else { own.transpose(0, 1)?.contiguous()? })
        };
        let h = part("initial_h", self.initial_h)?;
        Ok(Some(LstmState { h, c: part("initial_c", self.initial_c)? }))
    }
}
