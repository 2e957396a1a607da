//! What implementations share at candle's border: checks, and numbers in and out of tensors.

use std::marker::PhantomData;
use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, Device, Shape, Storage, StorageRef, Tensor, WithDType};
use candle_nn::{Init, VarBuilder};

use crate::{
    Direction, Element, Error, LayerPlace, Lstm, LstmConfig, LstmState, LstmWeights, Parameter,
    ParameterStart, Result, RowIds, SeqOptions,
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
    let (n_steps, batch, features) = match (options.ids, input.dims()) {
        (None, &[n_steps, batch, features]) => (n_steps, batch, features),
        (Some(ids), &[n_rows, features]) => {
            ids.check(op, n_rows)?;
            let (n_steps, batch) = ids.dims();
            (n_steps, batch, features)
        }
        (ids, dims) => {
            let rows = if ids.is_some() { "[N" } else { "[T, B" };
            let expected = format!("{rows}, {}]", lstm.input_size());
            return Err(Error::mismatch(op, "shape of input", expected, format!("{dims:?}")));
        }
    };
    check_not_empty(op, "number of steps", n_steps)?;
    check_not_empty(op, "number of rows", batch)?;
    Error::check(op, "last dimension of input", lstm.input_size(), features)?;
    check_kind(op, "input", input, lstm.dtype(), lstm.device())?;
    if let Some(state) = options.initial {
        check_state(op, lstm, state, batch)?;
    }
    if let Some(lengths) = options.lengths {
        lengths.check(op, n_steps, batch)?;
    }
    if let Some(resets) = options.resets {
        resets.check(op, n_steps, batch)?;
    }
    Ok((n_steps, batch))
}

/// The input of every cell, `[T, B, I]`, of a checked input: a table's rows as `ids` says, on any device.
///
/// # Errors
///
/// [`Error::Candle`] where candle fails.
pub fn input_of_cells(input: &Tensor, ids: Option<&RowIds>) -> Result<Tensor> {
    let Some(ids) = ids else { return Ok(input.clone()) };
    let (n_steps, batch) = ids.dims();
    let cells = select(input, ids.ids())?;
    Ok(cells.reshape((n_steps, batch, input.dim(1)?))?)
}

/// The rows of a checked table that `ids` has at least once, and the ids among these.
///
/// # Errors
///
/// [`Error::Candle`] where candle fails.
pub fn rows_read(table: &Tensor, ids: &RowIds) -> Result<(Tensor, RowIds)> {
    if ids.reads_all(table.dim(0)?) {
        return Ok((table.clone(), ids.clone()));
    }
    let (ids, rows) = ids.distinct();
    Ok((select(table, &rows)?, ids))
}

/// Rows of a matrix, on any device.
///
/// # Errors
///
/// [`Error::Candle`] where candle fails.
pub fn select(table: &Tensor, rows: &[u32]) -> Result<Tensor> {
    let rows = Tensor::from_slice(rows, rows.len(), table.device())?;
    Ok(table.contiguous()?.index_select(&rows, 0)?)
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
    let parts = [("state h", &state.h, lstm.h_size()), ("state c", &state.c, lstm.hidden_size())];
    for (name, tensor, size) in parts {
        let shape = [lstm.state_rows(), batch, size];
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

/// Refuses single steps of a layer that reads its input from the end.
///
/// # Errors
///
/// [`Error::Unsupported`].
pub fn check_steps_forward(op: &'static str, place: LayerPlace) -> Result<()> {
    match place.direction {
        Direction::Forward => Ok(()),
        Direction::Reverse => Err(Error::Unsupported {
            op,
            what: "a single step of a reverse layer".to_owned(),
            reason: "it starts at the sequence's end; use Lstm::seq".to_owned(),
        }),
    }
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
/// Where `vb` creates variables they start as [`Parameter::start`] says.
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
    match vb.dtype() {
        DType::F64 => config.check_in::<f64>()?,
        _ => config.check_in::<f32>()?,
    }
    let bound = 1.0 / (config.hidden_size as f64).sqrt();
    let tensor = |parameter: Parameter| {
        let init = match parameter.start() {
            ParameterStart::Uniform => Init::Uniform { lo: -bound, up: bound },
            ParameterStart::Constant(value) => Init::Const(value),
        };
        vb.get_with_hints(parameter.shape(config), &parameter.name(place), init)
    };
    Ok(config.parameters().into_iter().map(tensor).collect::<candle_core::Result<_>>()?)
}

/// The numbers of a contiguous CPU tensor, borrowed without copying.
///
/// While it lives the tensor's storage is locked for reading.
#[derive(Debug)]
pub struct TensorSlice<'a, E> {
    storage: StorageRef<'a>,
    range: Range<usize>,
    element: PhantomData<E>,
}

impl<'a, E: Element + WithDType> TensorSlice<'a, E> {
    /// Borrows the numbers of `tensor`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where the tensor is not on the CPU, not contiguous or not of type `E`.
    pub fn new(tensor: &'a Tensor) -> Result<Self> {
        const OP: &str = "TensorSlice::new";
        Error::check(OP, "dtype", <E as WithDType>::DTYPE, tensor.dtype())?;
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            let strides = format!("strides {:?}", layout.stride());
            return Err(Error::mismatch(OP, "layout", "contiguous", strides));
        };
        if !matches!(&*storage, Storage::Cpu(_)) {
            let got = format!("{:?}", tensor.device().location());
            return Err(Error::mismatch(OP, "device", "Cpu", got));
        }
        Ok(Self { storage, range: start..end, element: PhantomData })
    }
}

impl<E: Element + WithDType> Deref for TensorSlice<'_, E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        // `new` has checked device, dtype and range; the empty slice is never reached.
        let Storage::Cpu(cpu) = &*self.storage else { return &[] };
        let data = E::cpu_storage_as_slice(cpu).unwrap_or_default();
        data.get(self.range.clone()).unwrap_or_default()
    }
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

/// A tensor's numbers as the storage of another CPU tensor.
///
/// # Errors
///
/// [`Error::Mismatch`] for a dtype other than f32 and f64.
pub fn cpu_storage(tensor: &Tensor) -> Result<(CpuStorage, Shape)> {
    check_dtype("cpu_storage", tensor.dtype())?;
    Ok(match tensor.dtype() {
        DType::F64 => storage(to_vec::<f64>(tensor)?, tensor.shape()),
        _ => storage(to_vec::<f32>(tensor)?, tensor.shape()),
    })
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
    let named = config.parameters().into_iter().map(|p| {
        let data = weights.get(p).to_vec();
        Ok((p.name(place), Tensor::from_vec(data, p.shape(config), device)?))
    });
    named.collect()
}
