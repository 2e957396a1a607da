//! A growing buffer that starts on a cache line.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use pulp::bytemuck::{Pod, cast_slice, cast_slice_mut};

use super::simd::line::{Line, zeros};
use crate::Element;

/// Numbers from a cache line on, so that no vector crosses one; memory is kept when it shrinks.
#[derive(Clone, Default)]
pub struct Aligned<E> {
    /// The content, and what is left of a longer one.
    lines: Vec<Line>,
    len: usize,
    numbers: PhantomData<E>,
}

impl<E: Element> Aligned<E> {
    /// Empty.
    pub const fn new() -> Self {
        Self { lines: Vec::new(), len: 0, numbers: PhantomData }
    }

    /// Gives the content `len` elements; what they hold is unspecified.
    pub fn resize(&mut self, len: usize) {
        let lines = len.div_ceil(size_of::<Line>() / size_of::<E>());
        if self.lines.len() < lines {
            // Not `resize`, which would copy the old content.
            self.lines = zeros(lines);
        }
        self.len = len;
    }
}

impl<E: Pod> Deref for Aligned<E> {
    type Target = [E];
    #[inline(always)]
    fn deref(&self) -> &[E] {
        // `resize` made room for it; spelt so that no panic is compiled into a step.
        let all: &[E] = cast_slice(&self.lines);
        all.get(..self.len.min(all.len())).unwrap_or_default()
    }
}

impl<E: Pod> DerefMut for Aligned<E> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [E] {
        let all: &mut [E] = cast_slice_mut(&mut self.lines);
        all.get_mut(..self.len.min(all.len())).unwrap_or_default()
    }
}

impl<E> fmt::Debug for Aligned<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aligned").field("len", &self.len).finish_non_exhaustive()
    }
}
