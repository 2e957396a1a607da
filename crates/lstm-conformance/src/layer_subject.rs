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

/// Solves cases with layers of the implementation `L`, on any device; its answers are on the CPU.
#[derive(Debug)]
pub struct LayerSubject<L> {
    name: &'static str,
    device: Device,
    layer: PhantomData<fn() -> L>,
}

impl<L: LstmLayer + 'static> LayerSubject<L> {
    /// A subject on the CPU, printed as `name`.
    pub fn new(name: &'static str) -> Self {
        Self::on(Device::Cpu, name)
    }

    /// A subject on `device`, printed as `name`.
    pub fn on(device: Device, name: &'static str) -> Self {
        Self { name, device, layer: PhantomData }
    }
}

impl<L: LstmLayer + 'static> Subject for LayerSubject<L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_on_device(&self) -> bool {
        !self.device.is_cpu()
    }

    fn solve_torch(&self, case: &TorchCase) -> Result<Answer> {
        on_cpu(torch::solve::<L>(&case.to(&self.device, case.dtype)?)?)
    }

    fn solve_onnx(&self, case: &OnnxCase) -> Result<Answer> {
        on_cpu(onnx::solve::<L>(&case.to(&self.device, case.dtype)?)?)
    }

    fn solve(&self, case: &Case) -> Result<Answer> {
        let case = case.to(&self.device, case.dtype)?;
        let mut tracked = Tracked::default();
        let mut named: HashMap<String, Tensor> = HashMap::new();
        for (name, tensor) in &case.weights {
            named.insert(name.clone(), tracked.add(name, tensor)?);
        }
        let vb = VarBuilder::from_tensors(named, case.dtype, &self.device);
        let stack = case.config.build::<L>(vb)?;
        let x = tracked.add("x", &case.x)?;
        let initial = case.initial.as_ref().map(|state| tracked.add_state(state)).transpose()?;
        let (lengths, resets) = (case.lengths.as_ref(), case.resets.as_ref());
        let (mode, memory) = (case.mode, case.memory);
        let options =
            SeqOptions { initial: initial.as_ref(), lengths, resets, mode, memory, ids: None };
        let out = stack.seq(&x, &options)?;
        on_cpu(tracked.answer(&out.output, &out.state, case.loss.as_ref())?)
    }
}

fn on_cpu(answer: Answer) -> Result<Answer> {
    let tensors = answer.into_iter();
    tensors.map(|(name, tensor)| Ok((name, tensor.to_device(&Device::Cpu)?))).collect()
}
