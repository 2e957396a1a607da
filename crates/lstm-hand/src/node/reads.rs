//! The tensors that a run reads, as numbers and as gradients.

use candle_core::{Device, Tensor, WithDType};
use lstm_core::tensors::TensorSlice;
use lstm_core::{Direction, Element, Lengths, LstmState, Result, RowIds, SeqDims};

use crate::buffers::Number;
use crate::{Sequence, WeightSlices};

/// Everything a run reads that may need a gradient; `T` is a tensor or its numbers.
pub(crate) struct Reads<T> {
    pub(crate) x: T,
    /// In the order of `LstmConfig::parameters`.
    pub(crate) parameters: Vec<T>,
    pub(crate) initial: Option<LstmState<T>>,
}

impl Reads<Tensor> {
    /// `parameters`: in the order of `LstmConfig::parameters`.
    pub(crate) fn new(
        input: &Tensor,
        parameters: &[Tensor],
        initial: Option<&LstmState<Tensor>>,
    ) -> Result<Self> {
        let (x, parameters) = (input.clone(), parameters.to_vec());
        let reads = Self { x, parameters, initial: initial.cloned() };
        reads.map(|tensor| Ok(tensor.contiguous()?))
    }

    pub(super) fn numbers<E: Element + WithDType>(&self) -> Result<Reads<TensorSlice<'_, E>>> {
        self.map(TensorSlice::new)
    }

    pub(crate) fn tracked(&self) -> bool {
        let state = self.initial.iter().flat_map(|state| [&state.h, &state.c]);
        [&self.x].into_iter().chain(&self.parameters).chain(state).any(Tensor::track_op)
    }

    /// Room for the gradient of each tensor that wants one.
    pub(super) fn room<E: Number>(&self) -> Result<Reads<Option<Vec<E>>>> {
        self.map(|read| Ok(read.track_op().then(|| vec![E::ZERO; read.elem_count()])))
    }

    /// The filled room as tensors.
    pub(super) fn gradients<E: Number>(
        &self,
        room: Reads<Option<Vec<E>>>,
    ) -> Result<Reads<Option<Tensor>>> {
        let mut room = room.in_order();
        self.map(|read| match room.next().flatten() {
            Some(numbers) => Ok(Some(Tensor::from_vec(numbers, read.shape(), &Device::Cpu)?)),
            None => Ok(None),
        })
    }
}

impl<T> Reads<T> {
    pub(crate) fn map<'a, U>(&'a self, mut f: impl FnMut(&'a T) -> Result<U>) -> Result<Reads<U>> {
        Ok(Reads {
            x: f(&self.x)?,
            parameters: self.parameters.iter().map(&mut f).collect::<Result<_>>()?,
            initial: match &self.initial {
                Some(state) => Some(LstmState { h: f(&state.h)?, c: f(&state.c)? }),
                None => None,
            },
        })
    }

    /// In the order in which gradients are returned.
    pub(super) fn in_order(self) -> impl Iterator<Item = T> {
        let state = self.initial.into_iter().flat_map(|state| [state.h, state.c]);
        [self.x].into_iter().chain(self.parameters).chain(state)
    }
}

impl<E: Number> Reads<TensorSlice<'_, E>> {
    /// The run of a plain cell: its parameters are two matrices and up to two biases. `v` takes the place of
    /// V where there is one. Of the cells: which are valid, and the rows of x that they read.
    pub(super) fn sequence<'a>(
        &'a self,
        dims: SeqDims,
        direction: Direction,
        (lengths, ids): (Option<&'a Lengths>, Option<&'a RowIds>),
        v: Option<&'a [E]>,
    ) -> Sequence<'a, E> {
        let parameter = |k: usize| self.parameters.get(k).map_or(&[][..], |slice| &slice[..]);
        Sequence {
            dims,
            direction,
            lengths,
            weights: WeightSlices {
                w_ih: parameter(0),
                w_hh: v.unwrap_or(self.v()),
                b_ih: parameter(2),
                b_hh: parameter(3),
            },
            x: &self.x,
            ids,
            initial: self.state(),
            columns: None,
        }
    }

    /// V of a plain cell.
    pub(super) fn v(&self) -> &[E] {
        self.parameters.get(1).map_or(&[], |slice| &slice[..])
    }

    pub(super) fn state(&self) -> Option<LstmState<&[E]>> {
        let state = self.initial.as_ref()?;
        Some(LstmState { h: &state.h[..], c: &state.c[..] })
    }
}

/// The gradients of a node's outputs as contiguous tensors.
pub(crate) fn contiguous(grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    let contiguous = grads.iter().map(|grad| grad.as_ref().map(Tensor::contiguous).transpose());
    Ok(contiguous.collect::<candle_core::Result<_>>()?)
}

/// Their numbers.
pub(crate) fn slices<E: Number>(
    tensors: &[Option<Tensor>],
) -> Result<Vec<Option<TensorSlice<'_, E>>>> {
    tensors.iter().map(|grad| grad.as_ref().map(TensorSlice::new).transpose()).collect()
}
