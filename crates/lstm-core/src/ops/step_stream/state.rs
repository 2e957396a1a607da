//! What a layer keeps between two steps.

use pulp::bytemuck::Pod;

use crate::ops::aligned::Aligned;
use crate::{Element, Error, LstmState, Result};

/// The sizes of a layer that steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSizes {
    /// I.
    pub input: usize,
    /// H.
    pub hidden: usize,
    /// P, which is H where h is not projected.
    pub output: usize,
    /// Numbers of z in a row, which depends on the kernels: 4·H, H rounded up to a vector.
    pub row: usize,
}

/// The states of some sequences of a layer, and the room that their steps need.
///
/// Made once, with room for all: a step changes it in place and has nothing left to check but its x.
#[derive(Debug, Clone)]
pub struct StepState<E> {
    sizes: StepSizes,
    rows: usize,
    /// Elements of x_t, `[rows, I]`.
    x_len: usize,
    /// h after one step and after the next, `[rows, P]` each; steps write them in turns.
    h: [Aligned<E>; 2],
    last_is_second: bool,
    /// `[rows, H]`.
    c: Aligned<E>,
    /// `[rows, row]`.
    z: Aligned<E>,
}

/// A state as a step sees it.
#[derive(Debug)]
pub struct StepSlices<'a, E> {
    /// h_{t-1}: `[rows, P]`.
    pub h_before: &'a [E],
    /// Room for h_t: `[rows, P]`.
    pub h: &'a mut [E],
    /// c_{t-1}, to become c_t: `[rows, H]`.
    pub c: &'a mut [E],
    /// Room for z: `[rows]` times [`StepSizes::row`].
    pub z: &'a mut [E],
    /// Visits the weights from back to front, for the same result.
    pub backwards: bool,
}

impl<E: Element> StepState<E> {
    /// `rows` sequences whose h and c are zero; `None` where they cannot have room.
    pub fn new(sizes: StepSizes, rows: usize) -> Option<Self> {
        let most = isize::MAX as usize / 2 / size_of::<E>();
        let StepSizes { input, hidden, output, row } = sizes;
        for size in [input, hidden, output, row] {
            size.checked_mul(rows).filter(|&n| n < most)?;
        }
        let [h, c, z] = [output, hidden, row].map(|size| {
            let mut zeros = Aligned::new();
            zeros.resize(size * rows);
            zeros.fill(E::ZERO);
            zeros
        });
        let h = [h.clone(), h];
        Some(Self { sizes, rows, x_len: rows * input, h, last_is_second: false, c, z })
    }
}

impl<E: Pod> StepState<E> {
    /// The sequences that step together.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Those of the layer.
    pub fn sizes(&self) -> StepSizes {
        self.sizes
    }

    /// Refuses an `x` that is not `[rows, I]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`].
    #[inline(always)]
    pub fn check_x(&self, op: &'static str, x: &[E]) -> Result<()> {
        Error::check_sizes(op, || [("length of x", self.x_len, x.len())])
    }

    /// h after the last step: `[rows, P]`.
    #[inline(always)]
    pub fn h(&self) -> &[E] {
        let [first, second] = &self.h;
        if self.last_is_second { second } else { first }
    }

    /// h and c after the last step: `[rows, P]` and `[rows, H]`.
    pub fn after_last(&self) -> LstmState<&[E]> {
        LstmState { h: self.h(), c: &self.c }
    }

    /// The same, to be changed.
    pub fn after_last_mut(&mut self) -> LstmState<&mut [E]> {
        let [first, second] = &mut self.h;
        LstmState { h: if self.last_is_second { second } else { first }, c: &mut self.c }
    }

    /// What the next step reads and writes; [`StepState::advance`] comes after it.
    #[inline(always)]
    pub fn slices(&mut self) -> StepSlices<'_, E> {
        let backwards = self.last_is_second;
        let [first, second] = &mut self.h;
        let (h_before, h) = if backwards { (second, first) } else { (first, second) };
        StepSlices { h_before, h, c: &mut self.c, z: &mut self.z, backwards }
    }

    /// What the step wrote is the last step's.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.last_is_second = !self.last_is_second;
    }
}
