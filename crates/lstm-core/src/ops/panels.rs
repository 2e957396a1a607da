//! A matrix packed for the vector side of products: read from front to end by the inner loop.
//!
//! A panel is up to four vectors of columns, stored row by row. Two ways to fill one, both for matrices
//! whose rows or columns are the four gates of H units:
//!
//! - [`Panels::pack_gates`] for z = x Wᵀ: a panel holds the four gates of as many units as fit a vector, so
//!   that a tile of the product is all that a step of these units needs;
//! - [`Panels::pack_columns`] for products whose columns are plain: a panel holds neighbouring columns.
//!
//! A row of gates is laid out by panels everywhere inside, `[panel][gate][lane]` with zeros past the last
//! unit; [`GateLayout`] translates.

use pulp::Simd;

use super::aligned::Aligned;
use super::simd::instruction_set::{InstructionSet, Kernel};
use super::simd::lanes::Lanes;
use super::tile::MOST_VECTORS;
use crate::element::Constants;
use crate::{Element, Error, Result, parallel};

/// Matrices below this many elements are packed on the calling thread.
const PARALLEL_FROM: usize = 1 << 15;

/// Elements of a row of W that become part of columns at once, in the nearest cache.
const TURNED_AT_ONCE: usize = 64;

/// The most elements of a vector.
const MOST_LANES: usize = 16;

/// How the four gates of H units lie in a row: `[panel][gate][lane]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLayout {
    /// H.
    pub hidden: usize,
    /// Units in a panel: the elements of a vector.
    pub lanes: usize,
}

impl GateLayout {
    /// The layout for an element type and an instruction set.
    pub fn new<E>(set: InstructionSet, hidden: usize) -> Self {
        Self { hidden, lanes: set.lanes::<E>() }
    }

    /// The number of panels.
    #[inline(always)]
    pub fn panels(&self) -> usize {
        self.hidden.div_ceil(self.lanes)
    }

    /// Elements of a row in one panel: four vectors.
    #[inline(always)]
    pub fn width(&self) -> usize {
        4 * self.lanes
    }

    /// Elements of a row of gates, padding included.
    #[inline(always)]
    pub fn row(&self) -> usize {
        self.panels() * self.width()
    }

    /// The units of a panel.
    #[inline(always)]
    pub fn units(&self, panel: usize) -> std::ops::Range<usize> {
        let first = panel * self.lanes;
        first..(first + self.lanes).min(self.hidden)
    }

    /// The rows of W, `[4H, cols]`, in the order of a row of gates; nothing for padding.
    pub fn rows<'a, E>(
        self,
        w: &'a [E],
        cols: usize,
    ) -> impl Iterator<Item = Option<&'a [E]>> + use<'a, E> {
        (0..self.row()).map(move |k| {
            let row = self.source(k)?;
            w.get(row * cols..(row + 1) * cols)
        })
    }

    /// The row of W, `[4H, ..]`, that position `k` of a row of gates stands for; `None` for padding.
    #[inline(always)]
    pub fn source(&self, k: usize) -> Option<usize> {
        let (panel, gate, lane) = (k / self.width(), k / self.lanes % 4, k % self.lanes);
        let unit = panel * self.lanes + lane;
        (unit < self.hidden).then_some(gate * self.hidden + unit)
    }
}

/// A packed matrix; pack it again for new numbers to reuse its memory.
#[derive(Debug, Clone, Default)]
pub struct Panels<E> {
    /// `[panel][depth][vectors of the panel][lanes]`.
    data: Aligned<E>,
    depth: usize,
    vectors: usize,
    lanes: usize,
    panels: usize,
}

impl<E: Element> Panels<E> {
    /// Nothing packed yet.
    pub const fn new() -> Self {
        Self { data: Aligned::new(), depth: 0, vectors: 0, lanes: 0, panels: 0 }
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
        let lanes = layout.lanes;
        self.shape(depth, 4 * layout.panels(), lanes, layout.panels());
        self.fill(|panel, data| {
            let units = layout.units(panel);
            for gate in 0..4 {
                let first = gate * hidden + units.start;
                let rows = &w[first * depth..(first + units.len()) * depth];
                E::run(set, Transpose { rows, depth, to: &mut data[gate * lanes..], lanes });
            }
        });
        Ok(())
    }

    /// Packs a matrix `[depth, cols]` given by its rows, in order; `None` stands for a row of zeros.
    ///
    /// Rows that are missing or short count as zeros, what is too much is left out.
    pub fn pack_columns<'a, I>(
        &mut self,
        set: InstructionSet,
        depth: usize,
        cols: usize,
        rows: impl Fn() -> I + Sync,
    ) where
        I: Iterator<Item = Option<&'a [E]>>,
    {
        let lanes = set.lanes::<E>();
        let vectors = cols.div_ceil(lanes);
        self.shape(depth, vectors, lanes, vectors.div_ceil(MOST_VECTORS));
        let (panels, vectors) = (self.panels, self.vectors);
        self.fill(|panel, data| {
            let span = span(panel, panels, vectors);
            let (first, width) = (span.start * lanes, span.len() * lanes);
            E::run(set, PackColumns { data, rows: rows(), first, cols, width });
        });
    }

    fn shape(&mut self, depth: usize, vectors: usize, lanes: usize, panels: usize) {
        (self.depth, self.vectors, self.lanes, self.panels) = (depth, vectors, lanes, panels);
        self.data.resize(depth * vectors * lanes);
    }

    /// Calls `pack` for each panel's data, on all threads where the matrix is large.
    fn fill(&mut self, pack: impl Fn(usize, &mut [E]) + Sync) {
        let (panels, vectors, stride) = (self.panels, self.vectors, self.depth * self.lanes);
        let mut rest = &mut self.data[..];
        let on_all = rest.len() >= PARALLEL_FROM && parallel::threads() > 1;
        let mut parts = Vec::new();
        for panel in 0..panels {
            let (part, tail) = rest.split_at_mut(span(panel, panels, vectors).len() * stride);
            rest = tail;
            match on_all {
                true => parts.push((panel, part)),
                false => pack(panel, part),
            }
        }
        let packing: std::result::Result<(), std::convert::Infallible> =
            parallel::for_each(parts, |(panel, part)| {
                pack(panel, part);
                Ok(())
            });
        packing.unwrap_or_else(|never| match never {});
    }
}

impl<E> Panels<E> {
    /// The number of panels.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.panels
    }

    /// Whether nothing is packed.
    pub fn is_empty(&self) -> bool {
        self.panels == 0
    }

    /// The packed rows.
    #[inline(always)]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The vectors of columns in a panel, by their numbers.
    #[inline(always)]
    pub fn span(&self, panel: usize) -> std::ops::Range<usize> {
        span(panel, self.panels, self.vectors)
    }

    /// The data of a panel: `[depth][vectors of the panel][lanes]`.
    #[inline(always)]
    pub fn panel(&self, panel: usize) -> &[E] {
        let (span, stride) = (self.span(panel), self.depth * self.lanes);
        &self.data[span.start * stride..span.end * stride]
    }

    /// Part `part` of `parts` of a panel's data; nothing where there is no such panel.
    pub fn part(&self, panel: usize, part: usize, parts: usize) -> &[E] {
        if panel >= self.panels {
            return &[];
        }
        let data = self.panel(panel);
        &data[part * data.len() / parts..(part + 1) * data.len() / parts]
    }

    /// The bytes of all panels.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.data[..])
    }
}

/// The columns of `rows`, `[up to lanes, depth]`, one in every row of four vectors, of which `to` starts with
/// the first; lanes without a row are zero.
struct Transpose<'a, E> {
    rows: &'a [E],
    depth: usize,
    to: &'a mut [E],
    lanes: usize,
}

impl<E: Constants> Kernel<E> for Transpose<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S)
    where
        E: Lanes<S>,
    {
        let Self { rows, depth, to, lanes } = self;
        let mut part = [[E::ZERO; TURNED_AT_ONCE]; MOST_LANES];
        for first in (0..depth).step_by(TURNED_AT_ONCE) {
            let len = TURNED_AT_ONCE.min(depth - first);
            for (to, row) in part.iter_mut().zip(rows.chunks_exact(depth)) {
                match row[first..].first_chunk() {
                    Some(whole) => *to = *whole,
                    None => to[..len].copy_from_slice(&row[first..]),
                }
            }
            for (k, to) in to[first * 4 * lanes..].chunks_mut(4 * lanes).take(len).enumerate() {
                // A length that the compiler knows: it moves a vector at once.
                match to.first_chunk_mut::<MOST_LANES>() {
                    Some(to) if lanes == MOST_LANES => {
                        to.iter_mut().zip(&part).for_each(|(to, row)| *to = row[k]);
                    }
                    _ => to[..lanes].iter_mut().zip(&part).for_each(|(to, row)| *to = row[k]),
                }
            }
        }
    }
}

/// Fills one panel with the columns from `first` on.
struct PackColumns<'a, E, I> {
    data: &'a mut [E],
    rows: I,
    first: usize,
    cols: usize,
    width: usize,
}

impl<'r, E: Constants, I: Iterator<Item = Option<&'r [E]>>> Kernel<E> for PackColumns<'_, E, I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let Self { data, mut rows, first, cols, width } = self;
        let end = (first + width).min(cols);
        for to in data.chunks_exact_mut(width) {
            let from =
                rows.next().flatten().and_then(|row| row.get(first..end)).unwrap_or_default();
            let to = E::vectors_mut(to);
            let whole = E::vectors(from);
            to.iter_mut().zip(whole).for_each(|(to, &from)| *to = from);
            for (k, to) in to.iter_mut().enumerate().skip(whole.len()) {
                *to = E::load(simd, from.get(k * E::COUNT..).unwrap_or_default());
            }
        }
    }
}

/// The vectors of a panel when `vectors` are cut into `panels` as evenly as possible.
#[inline(always)]
fn span(panel: usize, panels: usize, vectors: usize) -> std::ops::Range<usize> {
    panel * vectors / panels..(panel + 1) * vectors / panels
}

fn check(op: &'static str, len: usize, rows: usize, cols: usize) -> Result<()> {
    if rows.checked_mul(cols) == Some(len) && len > 0 {
        return Ok(());
    }
    Err(Error::mismatch(op, "length of the matrix", format!("{rows}·{cols}, not zero"), len))
}
