//! onnxruntime: sequences and steps forward; `ORT_DYLIB_PATH` names the library.

use std::hint::black_box;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use ort::inputs;
use ort::session::Session;
use ort::value::{DynValue, Tensor};
use peers::data::Data;
use peers::shape::Pass;
use peers::worker::{self, Call, Implementation};
use peers::{onnx, threads};

struct OnnxRuntime;

impl Implementation for OnnxRuntime {
    fn info(&self) -> String {
        "onnxruntime through ort 2.0".to_owned()
    }

    fn call(&self, data: &Data, pass: Pass) -> Result<Call> {
        let mut session = session(data, pass)?;
        if pass != Pass::Step {
            let x = sequence(data)?;
            return Ok(Box::new(move || {
                black_box(session.run(inputs!["x" => x.view()])?);
                Ok(())
            }));
        }
        let mut steps = Steps::new(session, data)?;
        let x = row(&data.x[..data.shape.input])?;
        Ok(Box::new(move || {
            black_box(steps.step(&x)?);
            Ok(())
        }))
    }

    fn answer(&self, data: &Data, pass: Pass) -> Result<Vec<Vec<f32>>> {
        let mut session = session(data, pass)?;
        if pass != Pass::Step {
            let outputs = session.run(inputs!["x" => sequence(data)?])?;
            return Ok(vec![onnx::untangled(&numbers(&outputs["y"])?, &data.shape)]);
        }
        let mut steps = Steps::new(session, data)?;
        let step = |values: &[f32]| numbers(&steps.step(&row(values)?)?);
        data.x.chunks_exact(data.shape.input).map(step).collect()
    }
}

/// A state that goes from step to step without being copied.
struct Steps {
    session: Session,
    /// h and c.
    state: [DynValue; 2],
}

impl Steps {
    fn new(session: Session, data: &Data) -> Result<Self> {
        let zeros = || Ok::<_, anyhow::Error>(row(&vec![0.0; data.shape.hidden])?.into_dyn());
        Ok(Self { session, state: [zeros()?, zeros()?] })
    }

    fn step(&mut self, x: &Tensor<f32>) -> Result<DynValue> {
        let [h, c] = &self.state;
        let mut outputs =
            self.session.run(inputs!["x" => x.view(), "h0" => h.view(), "c0" => c.view()])?;
        let mut take = |name: &str| outputs.remove(name).with_context(|| name.to_owned());
        let (y, h, c) = (take("y")?, take("h1")?, take("c1")?);
        drop(outputs);
        self.state = [h, c];
        Ok(y)
    }
}

fn session(data: &Data, pass: Pass) -> Result<Session> {
    if pass == Pass::Train {
        bail!("inference only");
    }
    let builder = Session::builder().map_err(|error| anyhow!("{error}"))?;
    let mut builder = builder.with_intra_threads(threads()).map_err(|error| anyhow!("{error}"))?;
    builder.commit_from_memory(&onnx::model(data, pass)).map_err(|error| anyhow!("{error}"))
}

fn sequence(data: &Data) -> Result<Tensor<f32>> {
    let shape = &data.shape;
    Ok(Tensor::from_array(([shape.n_steps, shape.batch, shape.input], data.x.clone()))?)
}

fn row(values: &[f32]) -> Result<Tensor<f32>> {
    Ok(Tensor::from_array(([1, 1, values.len()], values.to_vec()))?)
}

fn numbers(value: &DynValue) -> Result<Vec<f32>> {
    Ok(value.try_extract_tensor::<f32>()?.1.to_vec())
}

fn main() -> Result<ExitCode> {
    worker::run(OnnxRuntime)
}
