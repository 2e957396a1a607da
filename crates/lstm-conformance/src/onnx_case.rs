//! A problem of the ONNX LSTM operator: one node.

use candle_core::{DType, Device, Tensor};
use lstm_bi::{Directions, OnnxParameters, StackedConfig};
use lstm_core::onnx::{EmptyRows, OnnxAttributes, OnnxDialect, OnnxLayout, OnnxTensors};
use lstm_core::{
    Direction, LayerPlace, Lengths, LstmConfig, LstmState, LstmWeights, Memory, Mode, Result,
    tensors,
};

use crate::case::moved;
use crate::{Answer, Case};

/// An LSTM node and its inputs; its answer has the operator's outputs, `Y`, `Y_h` and `Y_c`.
#[derive(Debug, Clone)]
pub struct OnnxCase {
    /// The case's name in its group.
    pub name: String,
    /// What the node says.
    pub attributes: OnnxAttributes,
    /// How to read it.
    pub dialect: OnnxDialect,
    /// The type of every tensor but `sequence_lens`.
    pub dtype: DType,
    /// W, R, B and P.
    pub parameters: OnnxParameters,
    /// X, in the node's layout.
    pub x: Tensor,
    /// `[B]`, I32.
    pub sequence_lens: Option<Tensor>,
    /// In the node's layout.
    pub initial_h: Option<Tensor>,
    /// In the node's layout.
    pub initial_c: Option<Tensor>,
}

impl OnnxCase {
    /// [`Case::to`]; `sequence_lens` are read where they are.
    pub(crate) fn to(&self, device: &Device, dtype: DType) -> Result<Self> {
        let to = |tensor: &Tensor| moved(tensor, device, dtype);
        let optional = |tensor: &Option<Tensor>| tensor.as_ref().map(to).transpose();
        let OnnxParameters { w, r, b, p } = &self.parameters;
        Ok(Self {
            dtype,
            parameters: OnnxParameters { w: to(w)?, r: to(r)?, b: optional(b)?, p: optional(p)? },
            x: to(&self.x)?,
            initial_h: optional(&self.initial_h)?,
            initial_c: optional(&self.initial_c)?,
            ..self.clone()
        })
    }

    /// Whether every direction is the plain cell.
    pub(crate) fn is_plain(&self) -> bool {
        let all_plain = |layers: Vec<(LayerPlace, LstmConfig)>| {
            layers.iter().all(|(_, config)| config.is_plain_in_evaluation())
        };
        self.layers().is_ok_and(all_plain)
    }

    /// The answer by way of one [`Case`] a direction, for a subject without the operator.
    ///
    /// # Errors
    ///
    /// What `solve` returns; what [`OnnxAttributes::layers`] and [`OnnxTensors::weights`] refuse.
    pub fn solve_by(&self, solve: impl Fn(&Case) -> Result<Answer>) -> Result<Answer> {
        let layers = self.layers()?;
        let weights = self.weights(&layers)?;
        let x = self.swapped(&self.x)?;
        let lengths = self.lengths()?;
        let mut parts: [Vec<Tensor>; 3] = Default::default();
        for (index, ((place, config), weights)) in layers.iter().zip(&weights).enumerate() {
            let mut named = Vec::new();
            for (name, tensor) in tensors::from_weights(weights, *place, &Device::Cpu)? {
                named.push((name, tensor.to_dtype(self.dtype)?));
            }
            let directions = match place.direction {
                Direction::Forward => Directions::Forward,
                Direction::Reverse => Directions::Reverse,
            };
            let answer = solve(&Case {
                name: self.name.clone(),
                config: StackedConfig::new(*config).with_directions(directions),
                dtype: self.dtype,
                weights: named,
                x: x.clone(),
                initial: Some(self.initial(index, x.dim(1)?, config)?),
                lengths: lengths.clone(),
                resets: None,
                mode: Mode::Eval,
                memory: Memory::default(),
                loss: None,
            })?;
            for (part, name) in parts.iter_mut().zip(["output", "h_n", "c_n"]) {
                part.extend(answer.get(name).cloned());
            }
        }
        let [y, h, c] = parts;
        // [T, D, B, H], and [D, B, H] each.
        let (y, h, c) = (Tensor::stack(&y, 1)?, Tensor::cat(&h, 0)?, Tensor::cat(&c, 0)?);
        let y = match self.attributes.layout {
            OnnxLayout::TimeMajor => y,
            OnnxLayout::BatchMajor => y.permute((2, 0, 1, 3))?.contiguous()?,
        };
        Ok(Answer::from([
            ("Y".to_owned(), y),
            ("Y_h".to_owned(), self.swapped(&self.final_state(h, lengths.as_ref())?)?),
            ("Y_c".to_owned(), self.swapped(&self.final_state(c, lengths.as_ref())?)?),
        ]))
    }

    fn layers(&self) -> Result<Vec<(LayerPlace, LstmConfig)>> {
        let OnnxParameters { w, b, p, .. } = &self.parameters;
        self.attributes.layers(w.dim(2)?, p.is_some(), b.is_some(), self.dialect)
    }

    fn weights(&self, layers: &[(LayerPlace, LstmConfig)]) -> Result<Vec<LstmWeights<f64>>> {
        let numbers = |t: &Tensor| tensors::to_vec::<f64>(&t.to_dtype(DType::F64)?);
        let OnnxParameters { w, r, b, p } = &self.parameters;
        let optional = |t: &Option<Tensor>| t.as_ref().map(numbers).transpose();
        let all = OnnxTensors { w: numbers(w)?, r: numbers(r)?, b: optional(b)?, p: optional(p)? };
        all.weights(layers)
    }

    /// Between the node's layout and the time-major one: the first two dimensions swapped, or not.
    fn swapped(&self, t: &Tensor) -> Result<Tensor> {
        Ok(match self.attributes.layout {
            OnnxLayout::TimeMajor => t.clone(),
            OnnxLayout::BatchMajor => t.transpose(0, 1)?.contiguous()?,
        })
    }

    fn lengths(&self) -> Result<Option<Lengths>> {
        let Some(lens) = &self.sequence_lens else { return Ok(None) };
        let numbers = lens.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        Ok(Some(Lengths::new(numbers.into_iter().map(|len| len as usize).collect::<Vec<_>>())))
    }

    /// `[1, B, H]` each.
    fn initial(
        &self,
        index: usize,
        batch: usize,
        config: &LstmConfig,
    ) -> Result<LstmState<Tensor>> {
        let part = |state: &Option<Tensor>| -> Result<Tensor> {
            match state {
                Some(state) => Ok(self.swapped(state)?.narrow(0, index, 1)?),
                None => {
                    let shape = (1, batch, config.hidden_size);
                    Ok(Tensor::zeros(shape, self.dtype, &Device::Cpu)?)
                }
            }
        };
        Ok(LstmState { h: part(&self.initial_h)?, c: part(&self.initial_c)? })
    }

    /// A final state, `[D, B, H]`, as the dialect has it.
    fn final_state(&self, state: Tensor, lengths: Option<&Lengths>) -> Result<Tensor> {
        let (EmptyRows::Zero, Some(lengths)) = (self.dialect.empty_rows, lengths) else {
            return Ok(state);
        };
        let mut rows = Vec::new();
        for (row, &len) in lengths.rows().iter().enumerate() {
            let state = state.narrow(1, row, 1)?;
            rows.push(if len == 0 { state.zeros_like()? } else { state });
        }
        Ok(Tensor::cat(&rows, 1)?)
    }
}
