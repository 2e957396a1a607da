//! A workload as an ONNX model: one LSTM node a layer, written as protocol buffers by hand.
//!
//! Sequences: `x`, `[T, B, I]`, to `y`, `[T, D, B, H]`.
//! Steps: `x`, `[1, 1, I]`, `h0` and `c0`, `[1, 1, H]`, to `y`, `h1` and `c1`.

use lstm_core::{GateOrder, LstmWeights, Parameter};

use crate::data::Data;
use crate::shape::{Pass, Shape};

/// ONNX's numbers of the element types.
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// The bytes of a model file.
pub fn model(data: &Data, pass: Pass) -> Vec<u8> {
    let mut opset = Message::default();
    opset.bytes(1, b"").number(2, 14);
    let mut model = Message::default();
    model.number(1, 8).message(7, &graph(data, pass)).message(8, &opset);
    model.0
}

/// `y` of a sequence, `[T, D, B, H]`, as the benchmark compares it, `[T, B, D·H]`.
pub fn untangled(y: &[f32], shape: &Shape) -> Vec<f32> {
    let (directions, batch, hidden) = (shape.directions(), shape.batch, shape.hidden);
    let mut output = Vec::with_capacity(y.len());
    for step in y.chunks_exact(directions * batch * hidden) {
        for row in 0..batch {
            for direction in 0..directions {
                output.extend_from_slice(&step[(direction * batch + row) * hidden..][..hidden]);
            }
        }
    }
    output
}

fn graph(data: &Data, pass: Pass) -> Message {
    let shape = &data.shape;
    let is_step = pass == Pass::Step;
    let n_steps = if is_step { 1 } else { shape.n_steps };
    let (batch, hidden, directions) = (shape.batch, shape.hidden, shape.directions());
    let mut graph = Message::default();
    let mut source = "x".to_owned();
    for (layer, weights) in data.weights.chunks(directions).enumerate() {
        let [w, r, b] = ["W", "R", "B"].map(|stem| format!("{stem}{layer}"));
        let is_last = layer + 1 == shape.layers;
        let output = if is_last { "y".to_owned() } else { format!("y{layer}") };
        let mut node = match is_step {
            true => {
                operator("LSTM", &[&source, &w, &r, &b, "", "h0", "c0"], &[&output, "h1", "c1"])
            }
            false => operator("LSTM", &[&source, &w, &r, &b], &[&output]),
        };
        let direction = if shape.both { "bidirectional" } else { "forward" };
        node.message(5, &integer("hidden_size", hidden))
            .message(5, &string("direction", direction));
        graph.message(1, &node);
        let columns = weights[0].1.config().input_size;
        let all = |parameters: &[Parameter]| stacked(weights, parameters);
        let input = all(&[Parameter::WeightIh]);
        let recurrent = all(&[Parameter::WeightHh]);
        let biases = all(&[Parameter::BiasIh, Parameter::BiasHh]);
        graph.message(5, &floats(&w, &[directions, 4 * hidden, columns], &input));
        graph.message(5, &floats(&r, &[directions, 4 * hidden, hidden], &recurrent));
        graph.message(5, &floats(&b, &[directions, 8 * hidden], &biases));
        if !is_last {
            // [T, D, B, H] to the next layer's [T, B, D·H].
            let [turned, sizes] = ["turned", "sizes"].map(|stem| format!("{stem}{layer}"));
            source = format!("x{}", layer + 1);
            let mut transpose = operator("Transpose", &[&output], &[&turned]);
            transpose.message(5, &integers("perm", &[0, 2, 1, 3]));
            graph.message(1, &transpose);
            graph.message(5, &longs(&sizes, &[n_steps, batch, directions * hidden]));
            graph.message(1, &operator("Reshape", &[&turned, &sizes], &[&source]));
        }
    }
    graph.bytes(2, b"lstm").message(11, &value("x", &[n_steps, batch, shape.input]));
    graph.message(12, &value("y", &[n_steps, directions, batch, hidden]));
    if is_step {
        for (field, name) in [(11, "h0"), (11, "c0"), (12, "h1"), (12, "c1")] {
            graph.message(field, &value(name, &[1, 1, hidden]));
        }
    }
    graph
}

/// The parameters of every direction in a row, in ONNX's order of gates.
fn stacked<P>(weights: &[(P, LstmWeights<f32>)], parameters: &[Parameter]) -> Vec<f32> {
    let mut numbers = Vec::new();
    for (_, layer) in weights {
        for parameter in parameters {
            numbers.extend(GateOrder::IFGO.reorder_to(GateOrder::IOFG, layer.get(*parameter)));
        }
    }
    numbers
}

fn operator(kind: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let mut node = Message::default();
    for name in inputs {
        node.bytes(1, name.as_bytes());
    }
    for name in outputs {
        node.bytes(2, name.as_bytes());
    }
    node.bytes(4, kind.as_bytes());
    node
}

fn integer(name: &str, value: usize) -> Message {
    let mut attribute = Message::default();
    attribute.bytes(1, name.as_bytes()).number(3, value as u64).number(20, 2);
    attribute
}

fn string(name: &str, value: &str) -> Message {
    let mut attribute = Message::default();
    attribute.bytes(1, name.as_bytes()).bytes(4, value.as_bytes()).number(20, 3);
    attribute
}

fn integers(name: &str, values: &[u64]) -> Message {
    let mut attribute = Message::default();
    attribute.bytes(1, name.as_bytes()).number(20, 7);
    for value in values {
        attribute.number(8, *value);
    }
    attribute
}

fn floats(name: &str, shape: &[usize], values: &[f32]) -> Message {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, shape, FLOAT, &bytes)
}

fn longs(name: &str, values: &[usize]) -> Message {
    let bytes: Vec<u8> = values.iter().flat_map(|value| (*value as u64).to_le_bytes()).collect();
    tensor(name, &[values.len()], INT64, &bytes)
}

fn tensor(name: &str, shape: &[usize], kind: u64, bytes: &[u8]) -> Message {
    let mut tensor = Message::default();
    for size in shape {
        tensor.number(1, *size as u64);
    }
    tensor.number(2, kind).bytes(8, name.as_bytes()).bytes(9, bytes);
    tensor
}

/// An input or output of the graph.
fn value(name: &str, shape: &[usize]) -> Message {
    let mut sizes = Message::default();
    for size in shape {
        let mut dimension = Message::default();
        dimension.number(1, *size as u64);
        sizes.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.number(1, FLOAT).message(2, &sizes);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut value = Message::default();
    value.bytes(1, name.as_bytes()).message(2, &kind);
    value
}

/// The fields of a protocol buffer, in the order in which they are added.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(&mut self, field: u64, message: &Self) -> &mut Self {
        self.bytes(field, &message.0)
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
