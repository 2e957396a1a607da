//! What implementations share at candle's border: checks, and numbers in and out of tensors.

use candle_core::{CpuStorage, DType, Device, Shape, Storage, Tensor, WithDType};
use candle_nn::{Init, VarBuilder};

use crate::{
    Element, Error, LayerPlace, Lstm, LstmConfig, LstmState, LstmWeights, Parameter, Result,
    SeqOptions,
};

/// Checks all that [`Lstm::seq`] promises to refuse; returns (T, B).
///
/// Every implementation and wrapper calls this first, so that all refuse the same input in the same words.
///
/// # Errors
///
/// [`Error::Mismatch`].
pub fn check_seq<L: Lstm + ?Sized>(
    op: &'static str,
    lstm: &L,
    input: &Tensor,
    options: &SeqOptions<'_>,
) -> Result<(usize, usize)> {
    let dims = input.dims();
    if dims.len() != 3 {
        let expected = format!("[T, B, {}]", lstm.input_size());
        return Err(Error::mismatch(op, "shape of input", expected, format!("{dims:?}")));
    }
    let (n_steps, batch) = (dims[0], dims[1]);
    check_not_empty(op, "number of steps", n_steps)?;
    check_not_empty(op, "number of rows", batch)?;
    Error::check(op, "last dimension of input", lstm.input_size(), dims[2])?;
    check_kind(op, "input", input, lstm.dtype(), lstm.device())?;
    if let Some(state) = options.initial {
        check_state(op, lstm, state, batch)?;
    }
    if let Some(lengths) = options.lengths {
        lengths.check(op, n_steps, batch)?;
    }
    Ok((n_steps, batch))
}

/// Checks all that [`crate::LstmStep::step`] promises to refuse; returns B.
///
/// # Errors
///
/// [`Error::Mismatch`].
pub fn check_step<L: Lstm + ?Sized>(
    op: &'static str,
    lstm: &L,
    input: &Tensor,
    state: &LstmState<Tensor>,
) -> Result<usize> {
    let &[batch, features] = input.dims() else {
        let expected = format!("[B, {}]", lstm.input_size());
        return Err(Error::mismatch(op, "shape of input", expected, format!("{:?}", input.dims())));
    };
    check_not_empty(op, "number of rows", batch)?;
    Error::check(op, "last dimension of input", lstm.input_size(), features)?;
    check_kind(op, "input", input, lstm.dtype(), lstm.device())?;
    check_state(op, lstm, state, batch)?;
    Ok(batch)
}

fn check_not_empty(op: &'static str, what: &str, size: usize) -> Result<()> {
    if size == 0 { Err(Error::mismatch(op, what, "at least 1", 0)) } else { Ok(()) }
}

fn check_state<L: Lstm + ?Sized>(
    op: &'static str,
    lstm: &L,
    state: &LstmState<Tensor>,
    batch: usize,
) -> Result<()> {
    let shape = [lstm.state_rows(), batch, lstm.hidden_size()];
    for (name, tensor) in [("state h", &state.h), ("state c", &state.c)] {
        Error::check(op, &format!("shape of {name}"), &shape[..], tensor.dims())?;
        check_kind(op, name, tensor, lstm.dtype(), lstm.device())?;
    }
    Ok(())
}

fn check_kind(
    op: &'static str,
    name: &str,
    tensor: &Tensor,
    dtype: DType,
    device: &Device,
) -> Result<()> {
    Error::check(op, &format!("dtype of {name}"), dtype, tensor.dtype())?;
    if tensor.device().same_device(device) {
        return Ok(());
    }
    let (expected, got) = (device.location(), tensor.device().location());
    Err(Error::mismatch(
        op,
        format!("device of {name}"),
        format!("{expected:?}"),
        format!("{got:?}"),
    ))
}

/// Refuses dtypes that no layer of ours computes in.
///
/// # Errors
///
/// [`Error::Mismatch`].
pub fn check_dtype(op: &'static str, dtype: DType) -> Result<()> {
    match dtype {
        DType::F32 | DType::F64 => Ok(()),
        other => Err(Error::mismatch(op, "dtype", "F32 or F64", format!("{other:?}"))),
    }
}

/// Makes or reads the tensors of one layer, in the order of [`LstmConfig::parameters`].
///
/// Where `vb` creates variables they start uniform in ±1/√H, PyTorch's default.
///
/// # Errors
///
/// [`Error::Mismatch`] for zero sizes or a dtype other than f32 and f64; [`Error::Candle`] where `vb`
/// lacks a tensor or has it in another shape.
pub fn layer_parameters(
    op: &'static str,
    config: &LstmConfig,
    place: LayerPlace,
    vb: &VarBuilder<'_>,
) -> Result<Vec<Tensor>> {
    config.check()?;
    check_dtype(op, vb.dtype())?;
    let bound = 1.0 / (config.hidden_size as f64).sqrt();
    let init = Init::Uniform { lo: -bound, up: bound };
    let tensor = |p: &Parameter| vb.get_with_hints(p.shape(config), &p.name(place), init);
    Ok(config.parameters().iter().map(tensor).collect::<candle_core::Result<_>>()?)
}

/// Calls `read` with the numbers of a contiguous CPU tensor, without copying.
///
/// # Errors
///
/// [`Error::Mismatch`] where the tensor is elsewhere, not contiguous or not of type `E`.
pub fn with_slice<E: Element + WithDType, R>(
    tensor: &Tensor,
    read: impl FnOnce(&[E]) -> R,
) -> Result<R> {
    const OP: &str = "with_slice";
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(cpu) = &*storage else {
        let got = tensor.device().location();
        return Err(Error::mismatch(OP, "device", "Cpu", format!("{got:?}")));
    };
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::mismatch(OP, "layout", "contiguous", format!("{:?}", layout.stride())));
    };
    Ok(read(&E::cpu_storage_as_slice(cpu)?[start..end]))
}

/// A tensor's numbers in row-major order, wherever it lives and however it is laid out.
///
/// # Errors
///
/// [`Error::Candle`] where the dtype is not `E`'s.
pub fn to_vec<E: Element + WithDType>(tensor: &Tensor) -> Result<Vec<E>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// Numbers as the storage of a CPU tensor, without copying.
pub fn storage<E: Element + WithDType>(
    data: Vec<E>,
    shape: impl Into<Shape>,
) -> (CpuStorage, Shape) {
    (E::to_cpu_storage_owned(data), shape.into())
}

/// The weights as named tensors, for `VarBuilder::from_tensors` or a `VarMap`.
///
/// # Errors
///
/// [`Error::Candle`] where a tensor cannot be made.
pub fn from_weights<E: Element + WithDType>(
    weights: &LstmWeights<E>,
    place: LayerPlace,
    device: &Device,
) -> Result<Vec<(String, Tensor)>> {
    let config = weights.config();
    let named = config.parameters().iter().map(|p| {
        let data = weights.get(*p).to_vec();
        Ok((p.name(place), Tensor::from_vec(data, p.shape(config), device)?))
    });
    named.collect()
}
