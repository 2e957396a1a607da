//! rten: sequences and steps forward, from an ONNX model.

use std::hint::black_box;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use peers::data::Data;
use peers::onnx;
use peers::shape::Pass;
use peers::worker::{self, Call, Implementation};
use rten::{Model, ModelOptions, NodeId, Value, ValueOrView};
use rten_tensor::{AsView, Layout, NdTensor};

struct Rten;

impl Implementation for Rten {
    fn info(&self) -> String {
        "rten 0.27, weights packed when loaded".to_owned()
    }

    fn call(&self, data: &Data, pass: Pass) -> Result<Call> {
        let model = model(data, pass)?;
        if pass != Pass::Step {
            let (inputs, outputs) = (ids(&model, &["x"])?, ids(&model, &["y"])?);
            let x = sequence(data);
            return Ok(Box::new(move || {
                black_box(model.run(vec![(inputs[0], x.view().into())], &outputs, None)?);
                Ok(())
            }));
        }
        let mut steps = Steps::new(model, data)?;
        let x = row(&data.x[..data.shape.input]);
        Ok(Box::new(move || {
            black_box(steps.step(x.view().into())?);
            Ok(())
        }))
    }

    fn answer(&self, data: &Data, pass: Pass) -> Result<Vec<Vec<f32>>> {
        let model = model(data, pass)?;
        if pass != Pass::Step {
            let (inputs, outputs) = (ids(&model, &["x"])?, ids(&model, &["y"])?);
            let x = sequence(data);
            let y = model.run(vec![(inputs[0], x.view().into())], &outputs, None)?;
            return Ok(vec![onnx::untangled(&numbers(&y[0])?, &data.shape)]);
        }
        let mut steps = Steps::new(model, data)?;
        let step = |values: &[f32]| numbers(&steps.step(row(values).into())?);
        data.x.chunks_exact(data.shape.input).map(step).collect()
    }
}

/// A state that goes from step to step without being copied.
struct Steps {
    model: Model,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
    /// h and c, in the order in which they are taken out.
    state: Vec<Value>,
}

impl Steps {
    fn new(model: Model, data: &Data) -> Result<Self> {
        let inputs = ids(&model, &["x", "h0", "c0"])?;
        let outputs = ids(&model, &["y", "h1", "c1"])?;
        let zeros = || Value::from(NdTensor::<f32, 3>::zeros([1, 1, data.shape.hidden]));
        Ok(Self { model, inputs, outputs, state: vec![zeros(), zeros()] })
    }

    fn step(&mut self, x: ValueOrView<'_>) -> Result<Value> {
        let c = self.state.pop().context("c0")?;
        let h = self.state.pop().context("h0")?;
        let inputs =
            vec![(self.inputs[0], x), (self.inputs[1], h.into()), (self.inputs[2], c.into())];
        let mut outputs = self.model.run(inputs, &self.outputs, None)?;
        self.state = outputs.split_off(1);
        outputs.pop().context("y")
    }
}

fn model(data: &Data, pass: Pass) -> Result<Model> {
    if pass == Pass::Train {
        bail!("inference only");
    }
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    Ok(options.load(onnx::model(data, pass))?)
}

fn ids(model: &Model, names: &[&str]) -> Result<Vec<NodeId>> {
    names.iter().map(|name| Ok(model.node_id(name)?)).collect()
}

fn sequence(data: &Data) -> NdTensor<f32, 3> {
    let shape = &data.shape;
    NdTensor::from_data([shape.n_steps, shape.batch, shape.input], data.x.clone())
}

fn row(values: &[f32]) -> NdTensor<f32, 3> {
    NdTensor::from_data([1, 1, values.len()], values.to_vec())
}

fn numbers(value: &Value) -> Result<Vec<f32>> {
    match value {
        Value::FloatTensor(tensor) => Ok(tensor.to_vec()),
        other => bail!("expected numbers of f32, got {:?}", other.shape()),
    }
}

fn main() -> Result<ExitCode> {
    worker::run(Rten)
}
