//! The numbered equations of `lstm-core`, in f64, layer by layer.

use candle_core::{DType, Device, Tensor};
use lstm_bi::{Directions, Merge};
use lstm_core::equations::batch;
use lstm_core::{
    Error, LayerPlace, LstmConfig, LstmState, LstmWeights, Masks, Mode, Result, tensors,
};

use crate::{Answer, Case, Subject};

/// Solves cases by the equations; knows concatenated directions only, and no dropout between layers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReferenceSubject;

/// One layer and direction of a case: what it read and computed.
struct Part {
    place: LayerPlace,
    weights: LstmWeights<f64>,
    masks: Masks<f64>,
    x: Vec<f64>,
    initial: Option<LstmState<Vec<f64>>>,
    run: Option<batch::Run>,
}

impl Part {
    fn batch<'a>(&'a self, case: &'a Case, size: (usize, usize)) -> batch::Batch<'a> {
        batch::Batch {
            size,
            direction: self.place.direction,
            lengths: case.lengths.as_ref(),
            resets: case.resets.as_ref(),
            x: &self.x,
            initial: self.initial.as_ref().map(|s| LstmState { h: &s.h[..], c: &s.c[..] }),
            masks: &self.masks,
        }
    }

    fn config(&self) -> &LstmConfig {
        self.weights.config()
    }
}

fn f64s(tensor: &Tensor) -> Result<Vec<f64>> {
    tensors::to_vec(&tensor.to_dtype(DType::F64)?)
}

/// The half of every row of `data` (rows of `2·size`) that belongs to `direction`.
fn half(data: &[f64], size: usize, direction: usize) -> Vec<f64> {
    data.chunks_exact(2 * size).flat_map(|row| row[direction * size..][..size].to_vec()).collect()
}

/// Rows of `a` and `b` side by side.
fn beside(a: &[f64], b: &[f64], size: usize) -> Vec<f64> {
    let rows = a.chunks_exact(size).zip(b.chunks_exact(size));
    rows.flat_map(|(a, b)| [a, b].concat()).collect()
}

impl Subject for ReferenceSubject {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn solve(&self, case: &Case) -> Result<Answer> {
        const OP: &str = "ReferenceSubject::solve";
        if case.config.dropout > 0.0 && case.mode != Mode::Eval {
            let what = format!("dropout {} in training", case.config.dropout);
            let reason = "the reference knows no dropout between layers".to_owned();
            return Err(Error::Unsupported { op: OP, what, reason });
        }
        let n_directions = match case.config.directions {
            Directions::Forward | Directions::Reverse => 1,
            Directions::Both(Merge::Concat) => 2,
            Directions::Both(merge) => {
                let what = format!("merge {merge:?}");
                let reason = "the reference knows concatenation only".to_owned();
                return Err(Error::Unsupported { op: OP, what, reason });
            }
        };
        let mut solver = Solver::new(case, n_directions)?;
        solver.forward();
        let mut answer = solver.outputs()?;
        if case.loss.is_some() {
            answer.extend(solver.backward()?);
        }
        Ok(answer)
    }
}

/// The layers of a case from the lowest up, `n_directions` parts a layer.
struct Solver<'a> {
    case: &'a Case,
    n_directions: usize,
    size: (usize, usize),
    /// H and P.
    hidden: usize,
    output_size: usize,
    parts: Vec<Part>,
    output: Vec<f64>,
}

impl<'a> Solver<'a> {
    fn new(case: &'a Case, n_directions: usize) -> Result<Self> {
        let (n_steps, n_rows, _) = case.x.dims3()?;
        let mut parts = Vec::new();
        for (row, (place, config)) in case.config.layers().into_iter().enumerate() {
            let weights = LstmWeights::<f64>::new(config, |parameter| {
                let name = parameter.name(place);
                match case.weights.iter().find(|(known, _)| *known == name) {
                    Some((_, tensor)) => f64s(tensor),
                    None => Err(Error::MissingTensor { op: "ReferenceSubject::solve", name }),
                }
            })?;
            let initial = match &case.initial {
                Some(s) => Some(LstmState { h: f64s(&s.h.get(row)?)?, c: f64s(&s.c.get(row)?)? }),
                None => None,
            };
            let masks = Masks::draw(&config, ("", place), case.mode, n_steps, n_rows);
            parts.push(Part { place, weights, masks, x: Vec::new(), initial, run: None });
        }
        let (hidden, output_size) =
            (case.config.layer.hidden_size, case.config.layer.output_size());
        let (size, output) = ((n_steps, n_rows), f64s(&case.x)?);
        Ok(Self { case, n_directions, size, hidden, output_size, parts, output })
    }

    fn forward(&mut self) {
        for layer in self.parts.chunks_exact_mut(self.n_directions) {
            for part in &mut *layer {
                part.x = self.output.clone();
                part.run = Some(batch::forward(&part.weights, &part.batch(self.case, self.size)));
            }
            let outputs: Vec<&[f64]> =
                layer.iter().filter_map(|part| Some(&part.run.as_ref()?.output[..])).collect();
            self.output = match outputs[..] {
                [forward, reverse] => beside(forward, reverse, self.output_size),
                _ => outputs.concat(),
            };
        }
    }

    fn tensor(&self, data: Vec<f64>, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_vec(data, shape, &Device::Cpu)?)
    }

    /// h and c of every part, one below the other.
    fn state(&self, parts: impl Iterator<Item = LstmState<Vec<f64>>>) -> Result<[Tensor; 2]> {
        let (mut h, mut c) = (Vec::new(), Vec::new());
        for state in parts {
            h.extend(state.h);
            c.extend(state.c);
        }
        let (rows, n_rows) = (self.parts.len(), self.size.1);
        let h = self.tensor(h, &[rows, n_rows, self.output_size])?;
        Ok([h, self.tensor(c, &[rows, n_rows, self.hidden])?])
    }

    fn outputs(&self) -> Result<Answer> {
        let (n_steps, n_rows) = self.size;
        let runs = self.parts.iter().filter_map(|part| part.run.as_ref());
        let [h, c] = self.state(runs.map(|run| run.last.clone()))?;
        let shape = [n_steps, n_rows, self.n_directions * self.output_size];
        let output = self.tensor(self.output.clone(), &shape)?;
        Ok(Answer::from([("output".into(), output), ("h_n".into(), h), ("c_n".into(), c)]))
    }

    fn backward(&self) -> Result<Answer> {
        let mut answer = Answer::new();
        let Some(loss) = &self.case.loss else { return Ok(answer) };
        let (n_steps, n_rows) = self.size;
        let mut d_output = f64s(&loss.output)?;
        let mut d_initial = Vec::new();
        for first in (0..self.parts.len()).step_by(self.n_directions).rev() {
            let mut dx: Vec<f64> = Vec::new();
            for direction in (0..self.n_directions).rev() {
                let row = first + direction;
                let part = &self.parts[row];
                let Some(run) = &part.run else { continue };
                let own = match self.n_directions {
                    1 => d_output.clone(),
                    _ => half(&d_output, self.output_size, direction),
                };
                let (dh, dc) = (f64s(&loss.state.h.get(row)?)?, f64s(&loss.state.c.get(row)?)?);
                let d_last = LstmState { h: &dh[..], c: &dc[..] };
                let batch = part.batch(self.case, self.size);
                let back = batch::backward(&part.weights, &batch, run, &own, d_last)?;
                dx.resize(back.x.len(), 0.0);
                dx.iter_mut().zip(&back.x).for_each(|(sum, d)| *sum += *d);
                d_initial.push(back.initial);
                for parameter in part.config().parameters() {
                    let name = format!("grad.{}", parameter.name(part.place));
                    let gradient = back.parameters.get(parameter).to_vec();
                    answer.insert(name, self.tensor(gradient, &parameter.shape(part.config()))?);
                }
            }
            d_output = dx;
        }
        let input = self.case.config.layer.input_size;
        answer.insert("grad.x".to_owned(), self.tensor(d_output, &[n_steps, n_rows, input])?);
        if self.case.initial.is_some() {
            let [h, c] = self.state(d_initial.into_iter().rev())?;
            answer.extend([("grad.h0".to_owned(), h), ("grad.c0".to_owned(), c)]);
        }
        Ok(answer)
    }
}
