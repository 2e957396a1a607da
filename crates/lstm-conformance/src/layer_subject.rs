//! An implementation of one layer, stacked by `lstm-bi`, solving cases through candle's autograd.

mod onnx;
mod torch;
mod tracked;

use std::collections::HashMap;
use std::marker::PhantomData;

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use lstm_core::{LstmLayer, Result, SeqOptions};

use self::tracked::Tracked;
use crate::{Answer, Case, OnnxCase, Subject, TorchCase};

/// Solves cases with layers of the implementation `L`.
#[derive(Debug)]
pub struct LayerSubject<L> {
    name: &'static str,
    layer: PhantomData<fn() -> L>,
}

impl<L: LstmLayer + 'static> LayerSubject<L> {
    /// A subject printed as `name`.
    pub fn new(name: &'static str) -> Self {
        Self { name, layer: PhantomData }
    }
}

impl<L: LstmLayer + 'static> Subject for LayerSubject<L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn solve_torch(&self, case: &TorchCase) -> Result<Answer> {
        torch::solve::<L>(case)
    }

    fn solve_onnx(&self, case: &OnnxCase) -> Result<Answer> {
        onnx::solve::<L>(case)
    }

    fn solve(&self, case: &Case) -> Result<Answer> {
        let mut tracked = Tracked::default();
        let mut named: HashMap<String, Tensor> = HashMap::new();
        for (name, tensor) in &case.weights {
            named.insert(name.clone(), tracked.add(name, tensor)?);
        }
        let stack =
            case.config.build::<L>(VarBuilder::from_tensors(named, case.dtype, &Device::Cpu))?;
        let x = tracked.add("x", &case.x)?;
        let initial = case.initial.as_ref().map(|state| tracked.add_state(state)).transpose()?;
        let (lengths, resets) = (case.lengths.as_ref(), case.resets.as_ref());
        let (mode, memory) = (case.mode, case.memory);
        let options =
            SeqOptions { initial: initial.as_ref(), lengths, resets, mode, memory, ids: None };
        let out = stack.seq(&x, &options)?;
        tracked.answer(&out.output, &out.state, case.loss.as_ref())
    }
}
