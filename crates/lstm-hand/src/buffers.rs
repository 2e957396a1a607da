//! Memory that is used again: a training step in its steady state allocates no tape and no scratch.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use candle_core::WithDType;
use lstm_core::ops::compare::same_bits;
use lstm_core::{Element, Result, SeqDims};

use crate::node::Connected;
use crate::variant::{VariantScratch, VariantTape};
use crate::{BackwardScratch, PackedWeights, Tape, WeightSlices};

/// The most buffers of a kind that a layer keeps, which rarely has more runs under way.
const KEPT: usize = 2;

/// The most that all layers keep together, of what one way back needs: models that train at the same time.
const KEPT_BY_ALL: usize = 8;

/// Up to `N` buffers that wait for their next use.
#[derive(Debug)]
pub(crate) struct Pool<T, const N: usize = KEPT>(Mutex<Vec<T>>);

impl<T, const N: usize> Default for Pool<T, N> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T: Default, const N: usize> Pool<T, N> {
    /// A buffer that was put back, or a new one.
    pub(crate) fn take(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn put(&self, buffer: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < N {
            kept.push(buffer);
        }
    }
}

/// What a way back works in: all layers of the process share it, as few go back at the same time, and it goes with the
/// last of them.
#[derive(Debug)]
pub(crate) struct Scratch<E: Element> {
    pub(crate) plain: Pool<BackwardScratch<E>, KEPT_BY_ALL>,
    pub(crate) variant: Pool<VariantScratch<E>, KEPT_BY_ALL>,
}

impl<E: Element> Scratch<E> {
    /// That of the layers that there are, or a new one.
    fn shared(by_all: &Mutex<Weak<Self>>) -> Arc<Self> {
        let mut by_all = by_all.lock().unwrap_or_else(PoisonError::into_inner);
        by_all.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Self { plain: Pool::default(), variant: Pool::default() });
            *by_all = Arc::downgrade(&new);
            new
        })
    }
}

/// The pools of one precision.
#[derive(Debug)]
pub(crate) struct Pools<E: Element> {
    pub(crate) tapes: Pool<Tape<E>>,
    pub(crate) connected: Pool<Connected<E>>,
    pub(crate) variant_tapes: Pool<VariantTape<E>>,
    pub(crate) scratch: Arc<Scratch<E>>,
    /// The weights of a layer whose parameters are constants, as they were last packed.
    constant: Mutex<Option<Arc<Constant<E>>>>,
}

/// Packed weights and what they were packed from.
#[derive(Debug)]
struct Constant<E> {
    source: [Vec<E>; 4],
    packed: PackedWeights<E>,
    /// Whether they are those of weights that do not change any more.
    is_constant: AtomicBool,
}

impl<E: Element> Pools<E> {
    /// Calls `run` with the weights packed, which is done again only where their numbers have changed: a
    /// tensor without gradient may share the memory of a variable. Where they are `constant` that is seen once.
    pub(crate) fn with_packed(
        &self,
        weights: &WeightSlices<'_, E>,
        dims: SeqDims,
        constant: bool,
        run: impl FnOnce(&PackedWeights<E>) -> Result<()>,
    ) -> Result<()> {
        let source = [weights.w_ih, weights.w_hh, weights.b_ih, weights.b_hh];
        let kept = self.constant.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_of = |kept: &Arc<Constant<E>>| {
            (constant && kept.is_constant.load(Relaxed))
                || kept.source.iter().zip(source).all(|(kept, now)| same_bits(kept, now))
        };
        if let Some(kept) = kept.filter(is_of) {
            kept.is_constant.store(constant, Relaxed);
            return run(&kept.packed);
        }
        let mut packed = PackedWeights::default();
        packed.pack(weights, dims.input, dims.hidden)?;
        let source = source.map(<[E]>::to_vec);
        let fresh = Arc::new(Constant { source, packed, is_constant: AtomicBool::new(constant) });
        *self.constant.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
        run(&fresh.packed)
    }
}

impl<E: Element> Pools<E> {
    fn new(scratch: Arc<Scratch<E>>) -> Self {
        Self {
            tapes: Pool::default(),
            connected: Pool::default(),
            variant_tapes: Pool::default(),
            scratch,
            constant: Mutex::new(None),
        }
    }
}

/// The pools of a layer, in both precisions; clones of a layer share them.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    single: Arc<Pools<f32>>,
    double: Arc<Pools<f64>>,
}

impl Default for Buffers {
    fn default() -> Self {
        static SINGLE: Mutex<Weak<Scratch<f32>>> = Mutex::new(Weak::new());
        static DOUBLE: Mutex<Weak<Scratch<f64>>> = Mutex::new(Weak::new());
        Self {
            single: Arc::new(Pools::new(Scratch::shared(&SINGLE))),
            double: Arc::new(Pools::new(Scratch::shared(&DOUBLE))),
        }
    }
}

/// A type of numbers that a layer over candle tensors computes in.
pub(crate) trait Number: Element + WithDType {
    fn pools(buffers: &Buffers) -> Arc<Pools<Self>>;
}

impl Number for f32 {
    fn pools(buffers: &Buffers) -> Arc<Pools<Self>> {
        buffers.single.clone()
    }
}

impl Number for f64 {
    fn pools(buffers: &Buffers) -> Arc<Pools<Self>> {
        buffers.double.clone()
    }
}
