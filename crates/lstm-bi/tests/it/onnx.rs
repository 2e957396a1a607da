//! The ONNX operator: what it computes, in every layout, and its gradients.

use candle_core::{Device, Tensor, Var};
use lstm_bi::{OnnxInputs, OnnxLstm, OnnxOutputs, OnnxParameters};
use lstm_candle::CandleLstm;
use lstm_core::onnx::{EmptyRows, OnnxAttributes, OnnxDialect, OnnxDirection, OnnxLayout};
use lstm_core::{LstmLayer, Result};
use lstm_hand::HandLstm;

use crate::help::{close, numbers, random};

const T: usize = 4;
const B: usize = 3;
const I: usize = 2;
const H: usize = 3;

/// Everything that a node reads.
#[derive(Clone)]
struct Node {
    attributes: OnnxAttributes,
    dialect: OnnxDialect,
    parameters: OnnxParameters,
    x: Tensor,
    sequence_lens: Option<Tensor>,
    h0: Tensor,
    c0: Tensor,
}

impl Node {
    /// Two directions with biases, rows of several lengths, initial states.
    fn new(peepholes: bool) -> Self {
        let attributes =
            OnnxAttributes { direction: OnnxDirection::Bidirectional, ..OnnxAttributes::default() };
        let parameters = OnnxParameters {
            w: random("w", &[2, 4 * H, I]),
            r: random("r", &[2, 4 * H, H]),
            b: Some(random("b", &[2, 8 * H])),
            p: peepholes.then(|| random("p", &[2, 3 * H])),
        };
        Self {
            attributes,
            dialect: OnnxDialect::default(),
            parameters,
            x: random("x", &[T, B, I]),
            sequence_lens: Some(Tensor::new(&[3_i32, 0, 4], &Device::Cpu).unwrap()),
            h0: random("h0", &[2, B, H]),
            c0: random("c0", &[2, B, H]),
        }
    }

    fn run<L: LstmLayer>(&self) -> Result<OnnxOutputs> {
        let node = OnnxLstm::<L>::new(&self.attributes, self.dialect, &self.parameters)?;
        node.run(&OnnxInputs {
            x: &self.x,
            sequence_lens: self.sequence_lens.as_ref(),
            initial_h: Some(&self.h0),
            initial_c: Some(&self.c0),
        })
    }

    /// One number that depends on all outputs.
    fn loss<L: LstmLayer>(&self) -> Tensor {
        let outputs = self.run::<L>().unwrap();
        let weighed =
            |name: &str, t: Tensor| t.mul(&random(name, t.dims())).unwrap().sum_all().unwrap();
        let y = weighed("loss y", outputs.y().unwrap());
        let y_h = weighed("loss h", outputs.y_h().unwrap());
        let y_c = weighed("loss c", outputs.y_c().unwrap());
        y.add(&y_h).unwrap().add(&y_c).unwrap()
    }

    /// The differentiable inputs that there are.
    fn inputs(&mut self) -> Vec<(&'static str, &mut Tensor)> {
        let OnnxParameters { w, r, b, p } = &mut self.parameters;
        let mut all = vec![("X", &mut self.x), ("W", w), ("R", r)];
        all.extend(b.as_mut().map(|b| ("B", b)));
        all.extend(p.as_mut().map(|p| ("P", p)));
        all.extend([("initial_h", &mut self.h0), ("initial_c", &mut self.c0)]);
        all
    }
}

/// Every gradient equals the slope of the loss.
fn gradients_are_slopes<L: LstmLayer>(node: &Node) {
    let mut tracked = node.clone();
    let mut variables = Vec::new();
    for (name, tensor) in tracked.inputs() {
        let variable = Var::from_tensor(tensor).unwrap();
        *tensor = variable.as_tensor().clone();
        variables.push((name, variable));
    }
    let gradients = tracked.loss::<L>().backward().unwrap();
    for (index, (name, variable)) in variables.iter().enumerate() {
        let gradient = numbers(gradients.get(variable).unwrap());
        assert!(gradient.iter().any(|&d| d != 0.0), "{name}: no gradient");
        for (k, &gradient) in gradient.iter().enumerate() {
            let loss = |step: f64| {
                let mut node = node.clone();
                let (_, tensor) = &mut node.inputs()[index];
                let mut moved = numbers(tensor);
                moved[k] += step;
                **tensor = Tensor::from_vec(moved, tensor.dims(), &Device::Cpu).unwrap();
                node.loss::<L>().to_scalar::<f64>().unwrap()
            };
            let slope = (loss(1e-5) - loss(-1e-5)) / 2e-5;
            assert!((gradient - slope).abs() < 1e-8, "{name}[{k}]: {gradient}, slope {slope}");
        }
    }
}

#[test]
fn gradients_of_every_input() {
    gradients_are_slopes::<HandLstm>(&Node::new(false));
    gradients_are_slopes::<CandleLstm>(&Node::new(false));
}

#[test]
fn gradients_of_every_input_with_peepholes_and_coupled_gates() {
    for coupled in [false, true] {
        let mut node = Node::new(true);
        node.attributes.input_forget = coupled;
        gradients_are_slopes::<HandLstm>(&node);
        gradients_are_slopes::<CandleLstm>(&node);
    }
}

#[test]
fn gradients_with_zeroed_empty_rows() {
    let mut node = Node::new(false);
    node.dialect.empty_rows = EmptyRows::Zero;
    gradients_are_slopes::<HandLstm>(&node);
}

/// σ(a + b) etc. of one step of one unit, by hand, in the operator's gate order i, o, f, c.
#[test]
fn one_step_by_hand() {
    let w = Tensor::new(&[[[0.1_f64], [0.2], [0.3], [0.4]]], &Device::Cpu).unwrap();
    let r = Tensor::new(&[[[0.5_f64], [0.6], [0.7], [0.8]]], &Device::Cpu).unwrap();
    let b = Tensor::new(&[[0.01_f64, 0.02, 0.03, 0.04, 0.1, 0.2, 0.3, 0.4]], &Device::Cpu).unwrap();
    let (x, h, c) = (2.0_f64, -0.5, 0.25);
    let one = |value: f64| Tensor::full(value, (1, 1, 1), &Device::Cpu).unwrap();
    let parameters = OnnxParameters { w, r, b: Some(b), p: None };
    let attributes = OnnxAttributes::default();
    let node = OnnxLstm::<HandLstm>::new(&attributes, OnnxDialect::default(), &parameters).unwrap();
    let (x_, h_, c_) = (one(x), one(h), one(c));
    let inputs = OnnxInputs { initial_h: Some(&h_), initial_c: Some(&c_), ..OnnxInputs::new(&x_) };
    let outputs = node.run(&inputs).unwrap();
    let sigma = |a: f64| 1.0 / (1.0 + (-a).exp());
    let i = sigma(0.1 * x + 0.5 * h + 0.01 + 0.1);
    let o = sigma(0.2 * x + 0.6 * h + 0.02 + 0.2);
    let f = sigma(0.3 * x + 0.7 * h + 0.03 + 0.3);
    let new_c = f * c + i * (0.4 * x + 0.8 * h + 0.04 + 0.4_f64).tanh();
    assert!((numbers(&outputs.y_c().unwrap())[0] - new_c).abs() < 1e-14);
    assert!((numbers(&outputs.y().unwrap())[0] - o * new_c.tanh()).abs() < 1e-14);
}

#[test]
fn layout_1_swaps_x_y_and_states() {
    let node = Node::new(false);
    let mut swapped = node.clone();
    swapped.attributes.layout = OnnxLayout::BatchMajor;
    let swap = |t: &Tensor| t.transpose(0, 1).unwrap().contiguous().unwrap();
    (swapped.x, swapped.h0, swapped.c0) = (swap(&node.x), swap(&node.h0), swap(&node.c0));
    let (one, other) = (node.run::<HandLstm>().unwrap(), swapped.run::<HandLstm>().unwrap());
    let y = other.y().unwrap();
    assert_eq!(y.dims(), [B, T, 2, H]);
    close(&y.permute((1, 2, 0, 3)).unwrap(), &one.y().unwrap());
    close(&swap(&other.y_h().unwrap()), &one.y_h().unwrap());
    close(&swap(&other.y_c().unwrap()), &one.y_c().unwrap());
}

#[test]
fn each_direction_is_the_node_with_that_direction_alone() {
    let node = Node::new(false);
    let both = node.run::<HandLstm>().unwrap();
    for (index, direction) in
        [OnnxDirection::Forward, OnnxDirection::Reverse].into_iter().enumerate()
    {
        let mut alone = node.clone();
        alone.attributes.direction = direction;
        for (name, tensor) in alone.inputs() {
            if name != "X" {
                *tensor = tensor.narrow(0, index, 1).unwrap();
            }
        }
        let alone = alone.run::<HandLstm>().unwrap();
        close(&alone.y().unwrap(), &both.y().unwrap().narrow(1, index, 1).unwrap());
        close(&alone.y_h().unwrap(), &both.y_h().unwrap().narrow(0, index, 1).unwrap());
    }
}

#[test]
fn rows_end_at_their_lengths_and_empty_rows_follow_the_dialect() {
    let mut node = Node::new(false);
    let carried = node.run::<HandLstm>().unwrap();
    let y = carried.y().unwrap();
    let zeros = |t: Tensor| assert!(numbers(&t).iter().all(|&y| y == 0.0));
    zeros(y.narrow(2, 1, 1).unwrap());
    zeros(y.narrow(2, 0, 1).unwrap().narrow(0, 3, 1).unwrap());
    let row = |t: &Tensor, row| t.narrow(1, row, 1).unwrap();
    close(&row(&carried.y_h().unwrap(), 1), &row(&node.h0, 1));
    close(&row(&carried.y_c().unwrap(), 1), &row(&node.c0, 1));
    // The forward state is that of the last valid step, the reverse one that of step 0.
    let state = |direction, r| row(&carried.y_h().unwrap().narrow(0, direction, 1).unwrap(), r);
    let at = |t, direction, r| {
        row(&y.narrow(0, t, 1).unwrap().narrow(1, direction, 1).unwrap().squeeze(0).unwrap(), r)
    };
    close(&state(0, 0), &at(2, 0, 0));
    close(&state(1, 0), &at(0, 1, 0));

    // A state that is no number does not come through either.
    node.dialect = OnnxDialect::ONNXRUNTIME;
    let spoilt = row(&node.h0, 1).affine(f64::NAN, 0.0).unwrap();
    node.h0 = Tensor::cat(&[row(&node.h0, 0), spoilt, row(&node.h0, 2)], 1).unwrap();
    let zeroed = node.run::<HandLstm>().unwrap();
    zeros(row(&zeroed.y_h().unwrap(), 1));
    zeros(row(&zeroed.y_c().unwrap(), 1));
    close(&row(&zeroed.y_h().unwrap(), 2), &row(&carried.y_h().unwrap(), 2));
}

#[test]
fn lengths_may_be_of_any_integer_type_and_a_state_alone_is_enough() {
    let mut node = Node::new(false);
    let expected = node.run::<HandLstm>().unwrap().y().unwrap();
    for lens in [
        Tensor::new(&[3_i64, 0, 4], &Device::Cpu).unwrap(),
        Tensor::new(&[3_u32, 0, 4], &Device::Cpu).unwrap(),
    ] {
        node.sequence_lens = Some(lens);
        close(&node.run::<HandLstm>().unwrap().y().unwrap(), &expected);
    }
    let onnx = OnnxLstm::<HandLstm>::new(&node.attributes, node.dialect, &node.parameters).unwrap();
    let given = onnx.run(&OnnxInputs { initial_h: Some(&node.h0), ..OnnxInputs::new(&node.x) });
    let zeros = node.c0.zeros_like().unwrap();
    let both = OnnxInputs {
        initial_h: Some(&node.h0),
        initial_c: Some(&zeros),
        ..OnnxInputs::new(&node.x)
    };
    close(&given.unwrap().y().unwrap(), &onnx.run(&both).unwrap().y().unwrap());
}
