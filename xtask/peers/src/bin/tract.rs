//! tract: sequences and steps forward, from an ONNX model.

use std::hint::black_box;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use peers::data::Data;
use peers::shape::Pass;
use peers::worker::{self, Call, Implementation};
use peers::{onnx, threads};
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoRunnable, TValue, Tensor, TypedRunnableModel, tvec,
};

struct Tract;

type Plan = std::sync::Arc<TypedRunnableModel>;

impl Implementation for Tract {
    fn info(&self) -> String {
        "tract-onnx 0.23".to_owned()
    }

    fn call(&self, data: &Data, pass: Pass) -> Result<Call> {
        let plan = plan(data, pass)?;
        let x = input(&data.x, [data.shape.n_steps, data.shape.batch, data.shape.input])?;
        if pass != Pass::Step {
            return Ok(Box::new(move || {
                black_box(plan.run(tvec!(x.clone()))?);
                Ok(())
            }));
        }
        let x = input(&data.x[..data.shape.input], [1, 1, data.shape.input])?;
        let (mut h, mut c) = (zeros(data)?, zeros(data)?);
        Ok(Box::new(move || {
            let mut outputs = plan.run(tvec!(x.clone(), h.clone(), c.clone()))?;
            c = outputs.pop().context("c1")?;
            h = outputs.pop().context("h1")?;
            Ok(())
        }))
    }

    fn answer(&self, data: &Data, pass: Pass) -> Result<Vec<Vec<f32>>> {
        let plan = plan(data, pass)?;
        let shape = &data.shape;
        if pass != Pass::Step {
            let x = input(&data.x, [shape.n_steps, shape.batch, shape.input])?;
            let y = numbers(&plan.run(tvec!(x))?[0])?;
            return Ok(vec![onnx::untangled(&y, shape)]);
        }
        let (mut h, mut c) = (zeros(data)?, zeros(data)?);
        let mut answer = Vec::new();
        for row in data.x.chunks_exact(shape.input) {
            let outputs = plan.run(tvec!(input(row, [1, 1, shape.input])?, h, c))?;
            answer.push(numbers(&outputs[0])?);
            (h, c) = (outputs[1].clone(), outputs[2].clone());
        }
        Ok(answer)
    }
}

fn plan(data: &Data, pass: Pass) -> Result<Plan> {
    if pass == Pass::Train {
        bail!("inference only");
    }
    let model = onnx::model(data, pass);
    tract_onnx::onnx().model_for_read(&mut &model[..])?.into_optimized()?.into_runnable()
}

fn input(values: &[f32], shape: [usize; 3]) -> Result<TValue> {
    Ok(Tensor::from_shape(&shape, values)?.into())
}

fn zeros(data: &Data) -> Result<TValue> {
    input(&vec![0.0; data.shape.hidden], [1, 1, data.shape.hidden])
}

fn numbers(value: &TValue) -> Result<Vec<f32>> {
    Ok(value.to_plain_array_view::<f32>()?.iter().copied().collect())
}

fn main() -> Result<ExitCode> {
    if threads() > 1 {
        set_default_executor(Executor::multithread(threads()));
    }
    worker::run(Tract)
}
