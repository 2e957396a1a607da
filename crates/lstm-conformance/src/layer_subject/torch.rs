//! PyTorch's problems through `TorchLstm`, packed where PyTorch packs.

use std::collections::HashMap;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use lstm_bi::{PackOptions, PadOptions, pack_padded_sequence, pad_packed_sequence};
use lstm_core::{LstmLayer, Mode, Result};

use super::tracked::Tracked;
use crate::{Answer, TorchCase};

/// Solves `case` with layers of the implementation `L`.
pub(super) fn solve<L: LstmLayer + 'static>(case: &TorchCase) -> Result<Answer> {
    let mut tracked = Tracked::default();
    let mut named: HashMap<String, Tensor> = HashMap::new();
    for (name, tensor) in &case.weights {
        named.insert(name.clone(), tracked.add(name, tensor)?);
    }
    let vb = VarBuilder::from_tensors(named, case.dtype, case.x.device());
    let lstm = case.config.build::<L>(vb)?;
    let x = tracked.add("x", &case.x)?;
    let initial = case.initial.as_ref().map(|state| tracked.add_state(state)).transpose()?;
    let Some(lengths) = &case.lengths else {
        let out = lstm.forward(&x, initial.as_ref())?;
        return tracked.answer(&out.output, &out.state, Some(&case.loss));
    };
    let batch_first = case.config.batch_first;
    let options = PackOptions { batch_first, enforce_sorted: false };
    let packed = pack_padded_sequence(&x, lengths, options)?;
    let out = lstm.run_packed(&packed, initial.as_ref(), Mode::Eval)?;
    let total_length = Some(case.x.dim(usize::from(batch_first))?);
    let options = PadOptions { batch_first, total_length, ..PadOptions::default() };
    let (output, _) = pad_packed_sequence(&out.output, options)?;
    tracked.answer(&output, &out.state, Some(&case.loss))
}
