//! Memory that a layer uses again: a training step in its steady state allocates no tape and no scratch.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::WithDType;
use lstm_core::Element;

use crate::{BackwardScratch, PackedWeights, Tape};

/// The most buffers of a kind that are kept; a layer rarely has more runs under way.
const KEPT: usize = 2;

/// Buffers that wait for their next use.
#[derive(Debug)]
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T: Default> Pool<T> {
    /// A buffer that was put back, or a new one.
    pub(crate) fn take(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn put(&self, buffer: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

/// The pools of one precision.
#[derive(Debug)]
pub(crate) struct Pools<E> {
    pub(crate) tapes: Pool<Tape<E>>,
    pub(crate) scratch: Pool<BackwardScratch<E>>,
    /// The weights of a layer whose parameters are constants, packed at its first run.
    pub(crate) constant: OnceLock<PackedWeights<E>>,
}

impl<E: Element> Default for Pools<E> {
    fn default() -> Self {
        Self { tapes: Pool::default(), scratch: Pool::default(), constant: OnceLock::new() }
    }
}

/// The pools of a layer, in both precisions; clones of a layer share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers {
    single: Arc<Pools<f32>>,
    double: Arc<Pools<f64>>,
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
