//! What the ONNX operator refuses, in which words.

use candle_core::{DType, Device, Tensor};
use lstm_bi::{OnnxInputs, OnnxLstm, OnnxOutputs, OnnxParameters};
use lstm_core::Result;
use lstm_core::onnx::{OnnxAttributes, OnnxDialect, OnnxDirection, OnnxLayout};
use lstm_hand::HandLstm;

use crate::help::{random, refused};

/// I = 2, H = 3.
fn parameters() -> OnnxParameters {
    OnnxParameters {
        w: random("w", &[1, 12, 2]),
        r: random("r", &[1, 12, 3]),
        b: Some(random("b", &[1, 24])),
        p: None,
    }
}

fn new(attributes: &OnnxAttributes, parameters: &OnnxParameters) -> Result<OnnxLstm<HandLstm>> {
    OnnxLstm::new(attributes, OnnxDialect::default(), parameters)
}

#[test]
fn parameters_of_wrong_shapes() {
    let case = |change: fn(&mut OnnxParameters), words: &[&str]| {
        let mut parameters = parameters();
        change(&mut parameters);
        let result = new(&OnnxAttributes::default(), &parameters);
        refused(result.map(drop), &[&["OnnxLstm::new", "expected", "got"], words].concat());
    };
    case(|p| p.w = random("w", &[12, 2]), &["shapes of W and R", "[D, 4H, I]", "[12, 2]"]);
    case(|p| p.w = random("w", &[2, 12, 2]), &["shape of W", "[1, 12, 2]", "[2, 12, 2]"]);
    case(|p| p.w = random("w", &[1, 11, 2]), &["shape of W", "[1, 12, 2]", "[1, 11, 2]"]);
    case(|p| p.r = random("r", &[2, 12, 3]), &["shape of R", "[1, 12, 3]", "[2, 12, 3]"]);
    case(|p| p.b = Some(random("b", &[1, 12])), &["shape of B", "[1, 24]", "[1, 12]"]);
    case(|p| p.p = Some(random("p", &[1, 12])), &["shape of P", "[1, 9]", "[1, 12]"]);
    case(|p| p.r = p.r.to_dtype(DType::F32).unwrap(), &["dtype of R", "F64", "F32"]);
}

#[test]
fn attributes() {
    let hidden = OnnxAttributes { hidden_size: Some(4), ..OnnxAttributes::default() };
    refused(new(&hidden, &parameters()), &["shape of W", "[1, 16, 2]", "[1, 12, 2]"]);
    let huge = OnnxAttributes { hidden_size: Some(usize::MAX), ..OnnxAttributes::default() };
    refused(new(&huge, &parameters()), &["shape of W"]);
    let both =
        OnnxAttributes { direction: OnnxDirection::Bidirectional, ..OnnxAttributes::default() };
    refused(new(&both, &parameters()), &["shape of W", "[2, 12, 2]"]);
    let clip = OnnxAttributes { clip: Some(0.0), ..OnnxAttributes::default() };
    refused(new(&clip, &parameters()), &["clip", "above 0", "got 0"]);
    let half = OnnxParameters { b: None, ..parameters() };
    let half = OnnxParameters {
        w: half.w.to_dtype(DType::F16).unwrap(),
        r: half.r.to_dtype(DType::F16).unwrap(),
        ..half
    };
    refused(new(&OnnxAttributes::default(), &half), &["dtype", "F32 or F64", "F16"]);
}

#[test]
fn inputs() {
    let on = |layout, change: &dyn Fn(&mut [Option<Tensor>; 4])| -> Result<OnnxOutputs> {
        let attributes = OnnxAttributes { layout, ..OnnxAttributes::default() };
        let node = new(&attributes, &parameters()).unwrap();
        let (x, state) = match layout {
            OnnxLayout::TimeMajor => ([5, 4, 2], [1, 4, 3]),
            OnnxLayout::BatchMajor => ([4, 5, 2], [4, 1, 3]),
        };
        let mut tensors = [Some(random("x", &x)), None, Some(random("h", &state)), None];
        change(&mut tensors);
        let [x, lens, h, c] = tensors;
        node.run(&OnnxInputs {
            x: &x.unwrap(),
            sequence_lens: lens.as_ref(),
            initial_h: h.as_ref(),
            initial_c: c.as_ref(),
        })
    };
    for (layout, x, state) in [
        (OnnxLayout::TimeMajor, "[T, B, I]", "[1, 4, 3]"),
        (OnnxLayout::BatchMajor, "[B, T, I]", "[4, 1, 3]"),
    ] {
        let set = |index: usize, shape: &'static [usize]| {
            on(layout, &move |t| t[index] = Some(random("other", shape)))
        };
        let lens = |lens: &'static [i32]| {
            on(layout, &move |t| t[1] = Some(Tensor::new(lens, &Device::Cpu).unwrap()))
        };
        assert!(lens(&[5, 0, 3, 1]).is_ok());
        const OP: &str = "OnnxLstm::run";
        refused(set(0, &[5, 2]), &[OP, "shape of X", x, "[5, 2]"]);
        refused(set(0, &[0, 4, 2]), &[OP, "shape of X", "at least one", "[0, 4, 2]"]);
        refused(set(0, &[5, 0, 2]), &[OP, "shape of X", "at least one", "[5, 0, 2]"]);
        refused(set(0, &[5, 4, 3]), &[OP, "last dimension of X", "expected 2", "got 3"]);
        refused(set(2, &[1, 3, 4]), &[OP, "shape of initial_h", state, "[1, 3, 4]"]);
        refused(set(3, &[1, 4]), &[OP, "shape of initial_c", state, "[1, 4]"]);
        refused(set(1, &[4]), &[OP, "dtype of sequence_lens", "I32, I64 or U32", "F64"]);
        refused(set(1, &[4, 1]), &[OP, "shape of sequence_lens", "[B]", "[4, 1]"]);
        refused(lens(&[5, 5, 5]), &[OP, "number of lengths", "expected 4", "got 3"]);
        refused(lens(&[5, -1, 5, 5]), &[OP, "length of row 1", "at least 0", "got -1"]);
        refused(lens(&[5, 5, 6, 5]), &[OP, "length of row 2", "at most 5", "got 6"]);
        let single = on(layout, &|t| {
            t[0] = t[0].take().map(|x| x.to_dtype(DType::F32).unwrap());
        });
        refused(single, &[OP, "dtype of X", "F64", "F32"]);
        let single = on(layout, &|t| {
            t[2] = t[2].take().map(|h| h.to_dtype(DType::F32).unwrap());
        });
        refused(single, &[OP, "dtype of initial_h", "F64", "F32"]);
    }
}
