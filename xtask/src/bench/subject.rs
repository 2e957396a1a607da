//! The two Rust implementations, built from the same weights: ours and `candle_nn`'s.

mod candle;
mod hand;

use std::hint::black_box;

use anyhow::{Context, Result};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use lstm_core::{graph, tensors};

use super::data::Data;
use super::limits;
use super::shape::Pass;
use super::worker::{Call, Implementation, MIN_SAMPLE};
use crate::device::Place;

/// The shortest sample on a device, whose queue has to fill and empty.
const DEVICE_SAMPLE: f64 = 5e-3;

/// A network's output for its input.
type Forward = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

/// An implementation that runs in a worker of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    /// `lstm_hand`: `HandLstm` for sequences, `Stream` for steps.
    Hand,
    /// `candle_nn`'s LSTM, called as its documentation does: rows first, one layer after the other.
    CandleNn,
}

/// An implementation on its device.
pub struct Runner {
    subject: Subject,
    place: Place,
    device: Device,
}

/// A network over whole sequences.
struct Model {
    forward: Forward,
    input: Tensor,
    /// In PyTorch's order.
    parameters: Vec<Tensor>,
    /// Whether input and output are `[B, T, ..]` rather than `[T, B, ..]`.
    rows_first: bool,
}

/// A network that takes the rows of its input one at a time and keeps its state.
trait Stepper {
    /// The next row; after the last one the first again.
    fn step(&mut self) -> Result<()>;
    /// The output of the last step.
    fn output(&self) -> Result<Vec<f32>>;
}

impl Subject {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hand => "hand",
            Self::CandleNn => "candle-nn",
        }
    }

    fn model(self, data: &Data, pass: Pass, device: &Device) -> Result<Model> {
        let recorded = pass == Pass::Train;
        let rows_first = self == Self::CandleNn;
        let (n_steps, batch) = (data.shape.n_steps, data.shape.batch);
        let input = Tensor::from_slice(&data.x, (n_steps, batch, data.shape.input), device)?;
        let input = if rows_first { input.transpose(0, 1)?.contiguous()? } else { input };
        let named = named(data, recorded, device)?;
        let parameters = named.iter().map(|(_, tensor)| tensor.clone()).collect();
        let vb = VarBuilder::from_tensors(named.into_iter().collect(), DType::F32, device);
        let forward = match self {
            Self::Hand => hand::forward(&data.shape, vb)?,
            Self::CandleNn => candle::forward(&data.shape, vb)?,
        };
        Ok(Model { forward, input: leaf(input, recorded)?, parameters, rows_first })
    }

    /// The way back, as each documents it.
    fn gradients(self, loss: &Tensor) -> Result<GradStore> {
        Ok(match self {
            Self::Hand => graph::backward(loss)?,
            Self::CandleNn => loss.backward()?,
        })
    }

    fn stepper(self, data: &Data) -> Result<Box<dyn Stepper>> {
        match self {
            Self::Hand => hand::stepper(data),
            Self::CandleNn => candle::stepper(data),
        }
    }
}

impl Runner {
    /// In a worker: on the device that its environment names.
    pub fn new(subject: Subject) -> Result<Self> {
        let place = Place::of_worker()?;
        Ok(Self { subject, place, device: place.open()? })
    }
}

impl Implementation for Runner {
    fn info(&self) -> String {
        self.subject.as_str().to_owned()
    }

    fn finish(&self) -> Result<()> {
        Ok(self.device.synchronize()?)
    }

    fn min_sample(&self) -> f64 {
        if self.place.is_cuda() { DEVICE_SAMPLE } else { MIN_SAMPLE }
    }

    fn call(&self, data: &Data, pass: Pass) -> Result<Call> {
        if pass == Pass::Step {
            let mut stepper = self.subject.stepper(data)?;
            return Ok(Box::new(move || stepper.step()));
        }
        let subject = self.subject;
        let model = subject.model(data, pass, &self.device)?;
        Ok(Box::new(move || {
            match pass {
                Pass::Train => drop(black_box(subject.gradients(&model.output()?.sum_all()?)?)),
                _ => drop(black_box(model.output()?)),
            }
            Ok(())
        }))
    }

    fn answer(&self, data: &Data, pass: Pass) -> Result<Vec<Vec<f32>>> {
        if pass == Pass::Step {
            let mut stepper = self.subject.stepper(data)?;
            let step = |_| {
                stepper.step()?;
                stepper.output()
            };
            return (0..data.shape.n_steps).map(step).collect();
        }
        let model = self.subject.model(data, pass, &self.device)?;
        let output = model.output()?;
        let mut answer = vec![model.time_first(&output)?];
        if pass == Pass::Train {
            let gradients = self.subject.gradients(&output.sum_all()?)?;
            let gradient = |of: &Tensor| gradients.get(of).context("a gradient is missing");
            answer.push(model.time_first(gradient(&model.input)?)?);
            for parameter in &model.parameters {
                answer.push(tensors::to_vec(gradient(parameter)?)?);
            }
        }
        Ok(answer)
    }

    fn limits(&self, bytes: usize) -> Result<(f64, f64)> {
        if self.place.is_cuda() {
            return limits::measure_on(&self.device);
        }
        limits::measure(bytes)
    }
}

impl Model {
    fn output(&self) -> Result<Tensor> {
        (self.forward)(&self.input)
    }

    /// The numbers of an input or output, `[T, B, ..]`.
    fn time_first(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        let tensor = if self.rows_first { &tensor.transpose(0, 1)? } else { tensor };
        Ok(tensors::to_vec(tensor)?)
    }
}

/// The parameters under PyTorch's names and in its order.
fn named(data: &Data, recorded: bool, device: &Device) -> Result<Vec<(String, Tensor)>> {
    let mut named = Vec::new();
    for (place, weights) in &data.weights {
        for (name, tensor) in tensors::from_weights(weights, *place, device)? {
            named.push((name, leaf(tensor, recorded)?));
        }
    }
    Ok(named)
}

/// A variable where gradients are wanted; otherwise a plain tensor, so that nothing is recorded.
fn leaf(tensor: Tensor, recorded: bool) -> Result<Tensor> {
    Ok(if recorded { Var::from_tensor(&tensor)?.as_tensor().clone() } else { tensor })
}
