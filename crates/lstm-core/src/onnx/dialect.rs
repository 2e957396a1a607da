//! The points where onnxruntime and the text of ONNX differ.

/// How to read an LSTM node where onnxruntime and the operator's text differ.
///
/// The default bounds as onnxruntime does, and lets an empty row's state pass, as layers of this workspace do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct OnnxDialect {
    /// What `clip` bounds.
    pub clip: OnnxClip,
    /// What comes out of a row of length 0.
    pub empty_rows: EmptyRows,
}

impl OnnxDialect {
    /// Both points as onnxruntime's CPU kernel has them.
    pub const ONNXRUNTIME: Self = Self { clip: OnnxClip::Gates, empty_rows: EmptyRows::Zero };
    /// `clip` as the operator's text has it; of empty rows the text says nothing.
    pub const TEXT: Self =
        Self { clip: OnnxClip::GatesAndHidden, empty_rows: EmptyRows::CarryState };
}

/// Which activations' arguments `clip` bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnnxClip {
    /// Those of f and g, so all four gates: onnxruntime.
    #[default]
    Gates,
    /// Those of f, g and h: the operator's text, "applied to the input of activations".
    GatesAndHidden,
}

/// The final state of a row whose `sequence_lens` is 0; its Y is zero in any case.
///
/// This is no property of a layer: who runs the node puts it into the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EmptyRows {
    /// `initial_h` and `initial_c`, or zero without them: what layers of this workspace return.
    #[default]
    CarryState,
    /// Zero, even where `initial_h` and `initial_c` are given: onnxruntime.
    Zero,
}
