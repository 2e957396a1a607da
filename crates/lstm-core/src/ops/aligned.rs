//! A growing buffer that starts on a cache line.

use std::ops::{Deref, DerefMut};

use crate::Element;

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;

/// Numbers from a cache line on, so that no vector crosses one; memory is kept when it shrinks.
///
/// A clone holds the same content, but may start elsewhere, which costs only speed.
#[derive(Debug, Clone, Default)]
pub struct Aligned<E> {
    /// `start` unused elements, then the content.
    data: Vec<E>,
    start: usize,
    len: usize,
}

impl<E: Element> Aligned<E> {
    /// Empty.
    pub const fn new() -> Self {
        Self { data: Vec::new(), start: 0, len: 0 }
    }

    /// Gives the content `len` elements; what they hold is unspecified.
    pub fn resize(&mut self, len: usize) {
        let room = LINE / size_of::<E>();
        if self.data.len() < len + room {
            // Not `resize`, which would copy the old content.
            self.data = vec![E::ZERO; len + room];
            self.start = self.data.as_ptr().align_offset(LINE).min(room);
        }
        self.len = len;
    }
}

impl<E> Deref for Aligned<E> {
    type Target = [E];
    #[inline(always)]
    fn deref(&self) -> &[E] {
        // `resize` made room for it; spelt so that no panic is compiled into a step.
        self.data.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

impl<E> DerefMut for Aligned<E> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [E] {
        self.data.get_mut(self.start..self.start + self.len).unwrap_or_default()
    }
}
