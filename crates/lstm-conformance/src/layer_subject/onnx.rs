//! Problems of the ONNX operator through `OnnxLstm`.

use lstm_bi::{OnnxInputs, OnnxLstm};
use lstm_core::{LstmLayer, Result};

use crate::{Answer, OnnxCase};

/// Solves `case` with layers of the implementation `L`.
pub(super) fn solve<L: LstmLayer>(case: &OnnxCase) -> Result<Answer> {
    let node = OnnxLstm::<L>::new(&case.attributes, case.dialect, &case.parameters)?;
    let outputs = node.run(&OnnxInputs {
        x: &case.x,
        sequence_lens: case.sequence_lens.as_ref(),
        initial_h: case.initial_h.as_ref(),
        initial_c: case.initial_c.as_ref(),
    })?;
    Ok(Answer::from([
        ("Y".to_owned(), outputs.y()?),
        ("Y_h".to_owned(), outputs.y_h()?),
        ("Y_c".to_owned(), outputs.y_c()?),
    ]))
}
