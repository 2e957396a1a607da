//! A matrix packed for the vector side of products: read from front to end by the inner loop.
//!
//! A panel is up to four vectors of columns, stored row by row. Ways to fill one:
//!
//! - [`Panels::pack_gates`] for z = x Wᵀ: a panel holds the four gates of as many units as fit a vector, so
//!   that a tile of the product is all that a step of these units needs. Where registers are few, it is stored as two
//!   halves, one after the other: a tile of many rows takes two vectors at a time;
//! - [`Panels::pack_columns`] for products whose columns are plain: a panel holds neighbouring columns;
//! - [`Panels::pack_transposed`] for the same where columns are what lies together in memory.
//!
//! A row of gates is laid out by panels everywhere inside; [`GateLayout`] translates.

use std::ops::Range;

use pulp::Simd;

use super::aligned::Aligned;
use super::gate_layout::GateLayout;
use super::simd::instruction_set::{InstructionSet, Kernel};
use super::simd::lanes::Lanes;
use super::tile::{MOST_VECTORS, for_vectors};
use super::transpose::Transpose;
use crate::element::Constants;
use crate::{Element, Error, Result, parallel};

/// Matrices below this many elements are packed on the calling thread.
pub(in crate::ops) const PARALLEL_FROM: usize = 1 << 15;

/// A packed matrix; pack it again for new numbers to reuse its memory.
#[derive(Debug, Clone, Default)]
pub struct Panels<E> {
    /// `[panel][depth][vectors of the panel][lanes]`, of gates in halves `[panel][half][depth][2][lanes]`.
    data: Aligned<E>,
    depth: usize,
    cut: Cut,
    lanes: usize,
}

/// What a matrix of plain columns is multiplied with: where registers are few, panels are as wide as is best for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// One or two rows at a time; also where the number is not known.
    FewRows,
    /// Three rows and more.
    ManyRows,
    /// The gates of a panel, one gate after the other.
    Gates,
}

/// How vectors of columns are cut into panels.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    vectors: usize,
    panels: usize,
    /// Whether panels are as even as possible; otherwise all but the last are of four vectors.
    even: bool,
}

impl Cut {
    /// Into panels as even as possible.
    fn even(set: InstructionSet, times: Times, vectors: usize) -> Self {
        let most = match times {
            Times::ManyRows if set.has_few_registers() => 2,
            Times::Gates if set.has_few_registers() => 3,
            _ => MOST_VECTORS,
        };
        Self { vectors, panels: vectors.div_ceil(most), even: true }
    }

    /// The vectors of a panel.
    #[inline(always)]
    fn span(&self, panel: usize) -> Range<usize> {
        let Self { vectors, panels, even } = *self;
        let edge =
            |k: usize| if even { k * vectors / panels } else { vectors.min(k * MOST_VECTORS) };
        edge(panel)..edge(panel + 1)
    }
}

impl<E: Element> Panels<E> {
    /// Nothing packed yet.
    pub const fn new() -> Self {
        let cut = Cut { vectors: 0, panels: 0, even: false };
        Self { data: Aligned::new(), depth: 0, cut, lanes: 0 }
    }

    /// Packs W, `[4H, depth]`, for products x Wᵀ into rows of `layout`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `w` has not 4·H·depth elements, or the layout is of another instruction set.
    pub fn pack_gates(
        &mut self,
        set: InstructionSet,
        w: &[E],
        layout: GateLayout,
        depth: usize,
    ) -> Result<()> {
        const OP: &str = "Panels::pack_gates";
        let hidden = layout.hidden;
        check(OP, w.len(), 4 * hidden, depth)?;
        Error::check(OP, "lanes", set.lanes::<E>(), layout.lanes)?;
        let (lanes, panels) = (layout.lanes, layout.panels());
        self.shape(depth, Cut { vectors: layout.row() / lanes, panels, even: false }, lanes);
        self.fill(|panel, data| {
            let (units, width) = (layout.units(panel), layout.width(panel));
            let stride = layout.stride(panel);
            if units.len() < lanes {
                data.fill(E::ZERO);
            }
            let halved = width == layout.widest() && set.has_few_registers();
            let parts = if halved { 2 } else { 1 };
            let (part, together, width) = (data.len() / parts, 4 / parts, width / parts);
            for gate in 0..4 {
                let place = gate / together * part + gate % together * stride;
                let first = gate * hidden + units.start;
                let rows = &w[first * depth..(first + units.len()) * depth];
                // The same units of the next gate, after the last one the next units.
                let next = if gate < 3 { first + hidden } else { units.end };
                let (next, to) = (&w[next * depth..], &mut data[place..]);
                E::transpose(set, Transpose { rows, depth, next, to, width });
            }
        });
        Ok(())
    }

    /// Packs a matrix `[depth, cols]` given by its rows, in order: one or more at a time, `None` for a row of
    /// zeros. Each begins `stride` elements after the one before it. `times`: what the matrix is for.
    ///
    /// Rows that are missing or short count as zeros, what is too much is left out.
    pub fn pack_columns<'a, I>(
        &mut self,
        set: InstructionSet,
        (depth, cols): (usize, usize),
        times: Times,
        stride: usize,
        rows: impl Fn() -> I + Sync,
    ) where
        I: Iterator<Item = Option<&'a [E]>>,
    {
        let lanes = set.lanes::<E>();
        let cut = Cut::even(set, times, cols.div_ceil(lanes));
        self.shape(depth, cut, lanes);
        let n = if self.is_packed_on_all() { 2 * parallel::threads() } else { 1 };
        let at_once = depth.div_ceil(n).max(1);
        let parts = self.by_rows(at_once).into_iter().enumerate();
        for_each(parts.collect(), n > 1, |(k, panels)| {
            let at = k * at_once..(k * at_once + at_once).min(depth);
            let rows = &mut rows();
            E::pack_columns(set, PackColumns { panels, at, rows, cut, cols, stride });
        });
    }

    /// Packs a matrix `[depth, cols]` given by its columns: `m` is `[cols, depth]`. Panels are as for
    /// [`Times::FewRows`].
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `m` has not cols·depth elements, or none.
    pub fn pack_transposed(
        &mut self,
        set: InstructionSet,
        m: &[E],
        (depth, cols): (usize, usize),
    ) -> Result<()> {
        check("Panels::pack_transposed", m.len(), cols, depth)?;
        let lanes = set.lanes::<E>();
        let cut = Cut::even(set, Times::FewRows, cols.div_ceil(lanes));
        self.shape(depth, cut, lanes);
        self.fill(|panel, data| {
            let span = cut.span(panel);
            let width = span.len() * lanes;
            if span.end * lanes > cols {
                data.fill(E::ZERO);
            }
            for (k, vector) in span.enumerate() {
                let end = ((vector + 1) * lanes).min(cols);
                let (rows, next) = (&m[vector * lanes * depth..end * depth], &m[end * depth..]);
                let to = &mut data[k * lanes..];
                E::transpose(set, Transpose { rows, depth, next, to, width });
            }
        });
        Ok(())
    }

    /// For each `at_once` rows the parts that all panels have of them.
    fn by_rows(&mut self, at_once: usize) -> Vec<Vec<&mut [E]>> {
        let (cut, depth, lanes) = (self.cut, self.depth, self.lanes);
        let mut rest = &mut self.data[..];
        let mut parts: Vec<Vec<_>> = Vec::new();
        parts.resize_with(depth.div_ceil(at_once), || Vec::with_capacity(cut.panels));
        for panel in 0..cut.panels {
            let width = cut.span(panel).len() * lanes;
            let (data, tail) = rest.split_at_mut(depth * width);
            rest = tail;
            let data = data.chunks_mut(at_once * width);
            parts.iter_mut().zip(data).for_each(|(part, data)| part.push(data));
        }
        parts
    }

    /// Whether the matrix is large enough for all threads.
    fn is_packed_on_all(&self) -> bool {
        self.data.len() >= PARALLEL_FROM && parallel::threads() > 1
    }

    fn shape(&mut self, depth: usize, cut: Cut, lanes: usize) {
        (self.depth, self.cut, self.lanes) = (depth, cut, lanes);
        self.data.resize(depth * cut.vectors * lanes);
    }

    /// Calls `pack` for each panel's data, on all threads where the matrix is large.
    fn fill(&mut self, pack: impl Fn(usize, &mut [E]) + Sync) {
        let (cut, stride) = (self.cut, self.depth * self.lanes);
        let on_all = self.is_packed_on_all();
        let mut rest = &mut self.data[..];
        let part = |panel| {
            let (part, tail) =
                std::mem::take(&mut rest).split_at_mut(cut.span(panel).len() * stride);
            rest = tail;
            (panel, part)
        };
        for_each((0..cut.panels).map(part).collect(), on_all, |(panel, part)| pack(panel, part));
    }
}

/// Calls `pack` for all parts, one after the other or on all threads.
pub(in crate::ops) fn for_each<T: Send>(parts: Vec<T>, on_all: bool, pack: impl Fn(T) + Sync) {
    if !on_all {
        return parts.into_iter().for_each(pack);
    }
    let packing: std::result::Result<(), std::convert::Infallible> =
        parallel::for_each(parts, |part| {
            pack(part);
            Ok(())
        });
    packing.unwrap_or_else(|never| match never {});
}

impl<E: Constants> Panels<E> {
    /// The number of panels.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.cut.panels
    }

    /// Whether nothing is packed.
    pub fn is_empty(&self) -> bool {
        self.cut.panels == 0
    }

    /// The packed rows.
    #[inline(always)]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The vectors of columns in all panels.
    #[inline(always)]
    pub fn vectors(&self) -> usize {
        self.cut.vectors
    }

    /// The vectors of columns in a panel, by their numbers.
    #[inline(always)]
    pub fn span(&self, panel: usize) -> Range<usize> {
        self.cut.span(panel)
    }

    /// The data of a panel: `[depth][vectors of the panel][lanes]`, or that of two halves.
    #[inline(always)]
    pub fn panel(&self, panel: usize) -> &[E] {
        let (span, stride) = (self.span(panel), self.depth * self.lanes);
        &self.data[span.start * stride..span.end * stride]
    }

    /// The same; nothing where there is no such panel.
    pub fn get(&self, panel: usize) -> &[E] {
        if panel < self.cut.panels { self.panel(panel) } else { &[] }
    }

    /// Some rows of a panel that is not stored in halves; nothing where there are no such rows.
    pub fn rows(&self, panel: usize, rows: Range<usize>) -> &[E] {
        let data = self.get(panel);
        let place = |row: usize| row.saturating_mul(data.len() / self.depth.max(1));
        data.get(place(rows.start)..place(rows.end)).unwrap_or_default()
    }

    /// The bytes of all panels.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.data[..])
    }
}

/// Fills the rows `at` of all panels: a row is read from front to end.
pub(super) struct PackColumns<'a, 'r, E> {
    panels: Vec<&'a mut [E]>,
    at: Range<usize>,
    /// From the first on.
    rows: &'a mut dyn Iterator<Item = Option<&'r [E]>>,
    cut: Cut,
    cols: usize,
    stride: usize,
}

impl<E: Constants> Kernel<E> for PackColumns<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S)
    where
        E: Lanes<S>,
    {
        let (mut first, stride) = (0, self.stride.max(1));
        while first < self.at.end {
            let run = self.rows.next().flatten().unwrap_or_default();
            let n = run.len().div_ceil(stride).max(1);
            for k in self.at.start.max(first)..self.at.end.min(first + n) {
                let row = run.get((k - first) * stride..).unwrap_or_default();
                self.row(simd, row, k - self.at.start);
            }
            first += n;
        }
    }
}

impl<E: Constants> PackColumns<'_, '_, E> {
    /// Writes one row of all panels; what is missing are zeros.
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, row: &[E], k: usize)
    where
        E: Lanes<S>,
    {
        for (panel, data) in self.panels.iter_mut().enumerate() {
            let span = self.cut.span(panel);
            let first = span.start * E::COUNT;
            let end = (span.end * E::COUNT).min(self.cols).min(row.len());
            let from = row.get(first..end).unwrap_or_default();
            for_vectors!(span.len(), W => {
                let width = W * E::COUNT;
                copy::<S, E, W>(simd, from, &mut data[k * width..][..width]);
            });
        }
    }
}

/// Writes W vectors from up to as many elements, and zeros after them.
#[inline(always)]
fn copy<S: Simd, E: Lanes<S>, const W: usize>(simd: S, from: &[E], to: &mut [E]) {
    let Some(to) = E::vectors_mut(to).first_chunk_mut::<W>() else { return };
    match E::vectors(from).first_chunk() {
        Some(from) => *to = *from,
        None => {
            let whole = E::vectors(from);
            *to = std::array::from_fn(|j| {
                let part = || E::load(simd, from.get(j * E::COUNT..).unwrap_or_default());
                whole.get(j).copied().unwrap_or_else(part)
            });
        }
    }
}

fn check(op: &'static str, len: usize, rows: usize, cols: usize) -> Result<()> {
    if rows.checked_mul(cols) == Some(len) && len > 0 {
        return Ok(());
    }
    Err(Error::mismatch(op, "length of the matrix", format!("{rows}·{cols}, not zero"), len))
}
