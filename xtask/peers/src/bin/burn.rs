//! burn on its processor backend `flex`: every pass, gradients by burn's autodiff.

use std::hint::black_box;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use burn::module::Param;
use burn::nn::{BiLstm, BiLstmConfig, GateController, Lstm, LstmConfig};
use burn::tensor::{Device, Tensor, TensorData};
use lstm_core::{LstmWeights, Parameter};
use peers::data::Data;
use peers::shape::Pass;
use peers::worker::{self, Call, Implementation};

struct Burn;

enum Layer {
    One(Lstm),
    Both(BiLstm),
}

struct Net {
    layers: Vec<Layer>,
    /// `[B, T, I]`.
    x: Tensor<3>,
    device: Device,
}

impl Implementation for Burn {
    fn info(&self) -> String {
        "burn 0.22, backend flex".to_owned()
    }

    fn call(&self, data: &Data, pass: Pass) -> Result<Call> {
        let net = Net::new(data, pass)?;
        if pass == Pass::Step {
            let mut state = None;
            return Ok(Box::new(move || {
                state = Some(net.first()?.forward(net.x.clone(), state.take()).1);
                net.wait()
            }));
        }
        Ok(Box::new(move || {
            match pass {
                Pass::Train => drop(black_box(net.forward().sum().backward())),
                _ => drop(black_box(net.forward())),
            }
            net.wait()
        }))
    }

    fn answer(&self, data: &Data, pass: Pass) -> Result<Vec<Vec<f32>>> {
        let net = Net::new(data, pass)?;
        if pass == Pass::Step {
            let (mut state, mut answer) = (None, Vec::new());
            for step_idx in 0..data.shape.n_steps {
                let x = net.x.clone().narrow(1, step_idx, 1);
                let (y, next) = net.first()?.forward(x, state);
                answer.push(numbers(y)?);
                state = Some(next);
            }
            return Ok(answer);
        }
        let y = net.forward();
        let mut answer = vec![numbers(y.clone().swap_dims(0, 1))?];
        if pass == Pass::Train {
            let gradients = y.sum().backward();
            let dx = net.x.grad(&gradients).context("the gradient by x")?;
            answer.push(numbers(dx.swap_dims(0, 1))?);
            for lstm in net.layers.iter().flat_map(Layer::directions) {
                // One tensor a gate, in PyTorch's order; the matrices are transposed.
                let mut parameters = vec![Vec::new(); 4];
                for gate in gates(lstm)? {
                    let linears = [&gate.input_transform, &gate.hidden_transform];
                    for (index, linear) in linears.into_iter().enumerate() {
                        let weight = linear.weight.val().grad(&gradients).context("a weight")?;
                        parameters[index].extend(numbers(weight.transpose())?);
                        let bias = linear.bias.as_ref().context("a bias")?;
                        let bias = bias.val().grad(&gradients).context("a bias's gradient")?;
                        parameters[2 + index].extend(numbers(bias)?);
                    }
                }
                answer.extend(parameters);
            }
        }
        Ok(answer)
    }
}

impl Net {
    fn new(data: &Data, pass: Pass) -> Result<Self> {
        let shape = &data.shape;
        let is_recorded = pass == Pass::Train;
        let device = if is_recorded { Device::flex().autodiff() } else { Device::flex() };
        let mut layers = Vec::new();
        for weights in data.weights.chunks(shape.directions()) {
            let input = weights[0].1.config().input_size;
            layers.push(if let [(_, forward), (_, reverse)] = weights {
                let mut lstm = BiLstmConfig::new(input, shape.hidden, true).init(&device);
                fill(&mut lstm.forward, forward, &device)?;
                fill(&mut lstm.reverse, reverse, &device)?;
                Layer::Both(lstm)
            } else {
                let mut lstm = LstmConfig::new(input, shape.hidden, true).init(&device);
                fill(&mut lstm, &weights[0].1, &device)?;
                Layer::One(lstm)
            });
        }
        let x = TensorData::new(data.x.clone(), [shape.n_steps, shape.batch, shape.input]);
        let x = Tensor::<3>::from_data(x, &Device::flex()).swap_dims(0, 1);
        // Laid out anew, so that no run pays for the transposition.
        let x = TensorData::new(numbers(x)?, [shape.batch, shape.n_steps, shape.input]);
        let x = Tensor::<3>::from_data(x, &device);
        Ok(Self { layers, x: if is_recorded { x.require_grad() } else { x }, device })
    }

    fn forward(&self) -> Tensor<3> {
        self.layers.iter().fold(self.x.clone(), |x, layer| match layer {
            Layer::One(lstm) => lstm.forward(x, None).0,
            Layer::Both(lstm) => lstm.forward(x, None).0,
        })
    }

    fn first(&self) -> Result<&Lstm> {
        match self.layers.first() {
            Some(Layer::One(lstm)) => Ok(lstm),
            _ => bail!("steps need one direction"),
        }
    }

    /// Until all work is done.
    fn wait(&self) -> Result<()> {
        self.device.sync().map(drop).map_err(|error| anyhow!("{error:?}"))
    }
}

impl Layer {
    fn directions(&self) -> Vec<&Lstm> {
        match self {
            Self::One(lstm) => vec![lstm],
            Self::Both(lstm) => vec![&lstm.forward, &lstm.reverse],
        }
    }
}

/// In PyTorch's order: i, f, g, o.
fn gates(lstm: &Lstm) -> Result<[&GateController; 4]> {
    let forget = lstm.forget_gate.as_ref().context("a forget gate")?;
    Ok([&lstm.input_gate, forget, &lstm.cell_gate, &lstm.output_gate])
}

fn fill(lstm: &mut Lstm, weights: &LstmWeights<f32>, device: &Device) -> Result<()> {
    let (input, hidden) = (weights.config().input_size, weights.config().hidden_size);
    let matrix = |parameter, gate: usize, columns: usize| {
        let rows = &weights.get(parameter)[gate * hidden * columns..][..hidden * columns];
        let rows =
            Tensor::<2>::from_data(TensorData::new(rows.to_vec(), [hidden, columns]), device);
        let columns_first = TensorData::new(numbers(rows.transpose())?, [columns, hidden]);
        Ok::<_, anyhow::Error>(Param::from_tensor(Tensor::<2>::from_data(columns_first, device)))
    };
    let vector = |parameter, gate: usize| {
        let values = weights.get(parameter)[gate * hidden..][..hidden].to_vec();
        Param::from_tensor(Tensor::<1>::from_data(TensorData::new(values, [hidden]), device))
    };
    let forget = lstm.forget_gate.as_mut().context("a forget gate")?;
    let gates = [&mut lstm.input_gate, forget, &mut lstm.cell_gate, &mut lstm.output_gate];
    for (index, gate) in gates.into_iter().enumerate() {
        gate.input_transform.weight = matrix(Parameter::WeightIh, index, input)?;
        gate.hidden_transform.weight = matrix(Parameter::WeightHh, index, hidden)?;
        gate.input_transform.bias = Some(vector(Parameter::BiasIh, index));
        gate.hidden_transform.bias = Some(vector(Parameter::BiasHh, index));
    }
    Ok(())
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().try_to_vec::<f32>().map_err(|error| anyhow!("{error:?}"))
}

fn main() -> Result<ExitCode> {
    worker::run(Burn)
}
