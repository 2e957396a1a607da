//! One step of a few vectors of units, backward: dh from the step after it, and from dh the gradients of
//! the gates' arguments.

use std::ops::Range;

use pulp::Simd;

use super::gate_layout::GateLayout;
use super::gates;
use super::simd::instruction_set::{InstructionSet, Kernel};
use super::simd::lanes::Lanes;
use super::simd::prefetch::{a_line, ask_at};
use super::tile::{Tile, add_rows, for_rows, for_vectors, most_rows, part_ahead, tile_rows};
use crate::element::Constants;
use crate::{Element, Error, Result};

/// Bytes of c of a block's tape from which on the tape, five times as large, is asked for before it is read.
const FAR_CELLS: usize = 1 << 19;

/// A step of some rows and of the units of one panel of V.
///
/// "After" and "before" follow the order of computation of the forward pass.
#[derive(Debug)]
pub struct BackwardStep<'a, E> {
    /// The layout of the gates.
    pub layout: GateLayout,
    /// The vectors of units, which are also the panels of their gates.
    pub span: Range<usize>,
    /// V of these units, packed by columns, of the gates `gates_after`; `None` where no step comes after this one.
    pub v: Option<&'a [E]>,
    /// The gates of the step after whose part of dh is added, as places in a row of the layout.
    pub gates_after: Range<usize>,
    /// Memory that will be read soon, to be asked for during the product with V; empty where none is.
    pub ahead: &'a [E],
    /// dz of the step after: `[rows]` rows of the layout.
    pub dz_after: &'a [E],
    /// dh that does not come through `dz_after`, then the part that passes by this step: `[rows, span, lanes]`.
    pub dh: &'a mut [E],
    /// dc of the step after, then of this one: `[rows, span, lanes]`.
    pub dc: &'a mut [E],
    /// What the step itself is; `None` only adds the product to dh.
    pub at: Option<StepTape<'a, E>>,
    /// The activated gates, then dz: `[span, cells, width of the panel]`, of which this step's cells are read and
    /// written.
    pub dz: &'a mut [E],
    /// dz again: `[rows]` rows of `now_stride` elements, written from `now_first` on.
    pub dz_now: &'a mut [E],
    /// Elements of a row of `dz_now`.
    pub now_stride: usize,
    /// Where the span's first panel lies in a row of `dz_now`.
    pub now_first: usize,
}

/// The units of a layer within the rows of a matrix.
#[derive(Debug, Clone, Copy)]
pub struct Units<'a, E> {
    /// `[rows, stride]`.
    pub data: &'a [E],
    /// Elements of a row.
    pub stride: usize,
    /// The place of the first unit in a row.
    pub first: usize,
}

impl<'a, E> Units<'a, E> {
    #[inline(always)]
    fn row(&self, row: usize, units: Range<usize>) -> &'a [E] {
        &self.data[row * self.stride + self.first + units.start..][..units.len()]
    }

    #[inline(always)]
    fn check(&self, op: &'static str, what: &'static str, rows: usize, units: usize) -> Result<()> {
        let end = self.first + units;
        Error::check_sizes(op, || {
            [
                (what, rows * self.stride, self.data.len()),
                ("end of the units in a row", end.min(self.stride), end),
            ]
        })
    }
}

/// What the forward pass left about a step, and the gradient of its output.
#[derive(Debug, Clone, Copy)]
pub struct StepTape<'a, E> {
    /// Cells in a panel of the tape.
    pub cells: usize,
    /// The cell of the first row at this step.
    pub first: usize,
    /// The cell of the first row at the step before; read where a row does not start here.
    pub first_before: usize,
    /// c: `[panels, cells, lanes]`.
    pub c: &'a [E],
    /// c₀: `[rows, H]`; zero where absent.
    pub c_initial: Option<&'a [E]>,
    /// dy of H units; zero where absent.
    pub dy: Option<Units<'a, E>>,
    /// Whether the step of each row is real; all where empty. The state's gradient passes by padding.
    pub valid: &'a [bool],
    /// Whether each row starts at this step; none where empty.
    pub starts: &'a [bool],
}

impl<E: Element> BackwardStep<'_, E> {
    /// Runs the step, eq. (7) to (12).
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn run(self, set: InstructionSet) -> Result<()> {
        const OP: &str = "BackwardStep::run";
        let (layout, span) = (self.layout, self.span.len());
        let GateLayout { hidden, lanes } = layout;
        Error::check_sizes(OP, || {
            [
                ("lanes", set.lanes::<E>(), lanes),
                ("span", self.span.end.min(layout.panels()), self.span.end),
                ("vectors of span", span.clamp(1, 4), span),
            ]
        })?;
        let rows = self.dz_now.len().checked_div(self.now_stride).unwrap_or(0);
        let columns = layout.columns(self.span.clone()).len();
        let Range { start, end } = self.gates_after;
        let (after, of_v) = match self.v {
            Some(_) => (layout.row(), end.min(layout.row()).saturating_sub(start)),
            None => (0, 0),
        };
        Error::check_sizes(OP, || {
            [
                ("row of dz_now", self.now_stride.max(self.now_first + columns), self.now_stride),
                ("start of gates_after", start.min(end), start),
                ("end of gates_after", end.min(layout.row()), end),
                ("length of v", of_v * span * lanes, self.v.map_or(0, <[E]>::len)),
                ("length of dz_after", rows * after, self.dz_after.len().min(rows * after)),
                ("length of dh", rows * span * lanes, self.dh.len()),
                ("length of dc", rows * span * lanes, self.dc.len()),
            ]
        })?;
        if let Some(at) = &self.at {
            Error::check_sizes(OP, || {
                [
                    ("step", at.cells, at.cells.max(at.first.max(at.first_before) + rows)),
                    ("length of c", layout.panels() * at.cells * lanes, at.c.len()),
                    ("length of dz", columns * at.cells, self.dz.len()),
                    ("length of c0", rows * hidden, at.c_initial.map_or(rows * hidden, <[E]>::len)),
                    ("length of valid", rows, at.valid.len().max(rows)),
                    ("length of starts", rows, at.starts.len().max(rows)),
                ]
            })?;
            at.dy.map_or(Ok(()), |dy| dy.check(OP, "length of dy", rows, hidden))?;
        }
        if let Some(v) = self.v {
            let (dz_after, ahead) = (self.dz_after, self.ahead);
            let far = self.at.as_ref().filter(|at| size_of_val(at.c) >= FAR_CELLS);
            let (span, after) = (self.span.clone(), far.map(|at| (at, &*self.dz)));
            let gates = self.gates_after.clone();
            E::step_backward_product(
                set,
                Recurrence { v, gates, ahead, dz_after, layout, span, dh: self.dh, after },
            );
        }
        if let Some(at) = self.at {
            E::step_backward_pointwise(set, Pointwise { step: self, at });
        }
        Ok(())
    }
}

/// dh += dz_after · V, eq. (12); a kernel of its own as in the forward step.
pub(super) struct Recurrence<'a, E> {
    layout: GateLayout,
    span: Range<usize>,
    v: &'a [E],
    gates: Range<usize>,
    ahead: &'a [E],
    dz_after: &'a [E],
    dh: &'a mut [E],
    /// What is read after the product: the tape and its gates.
    after: Option<(&'a StepTape<'a, E>, &'a [E])>,
}

impl<E: Constants> Kernel<E> for Recurrence<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        for_vectors!(self.span.len(), W => self.product::<S, W>(simd));
    }
}

impl<E: Constants> Recurrence<'_, E> {
    #[inline(always)]
    fn product<S: Simd, const W: usize>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let v = E::vectors(self.v).as_chunks::<W>().0;
        let dh = E::vectors_mut(self.dh).as_chunks_mut::<W>().0;
        let (layout, gates) = (self.layout.of_lanes(E::COUNT), self.gates);
        let (most, depth) = (tile_rows::<S>(dh.len(), W), layout.row());
        let rows = self.dz_after.chunks(most * depth);
        let mut ahead = self.ahead;
        let part = part_ahead(ahead, dh.len(), most);
        for (n, (dh, dz)) in dh.chunks_mut(most).zip(rows).enumerate() {
            let ahead = ahead.split_off(..part.min(ahead.len())).unwrap_or_default();
            for_rows!(dh.len(), at most most_rows::<S>(W), R => {
                let lhs = std::array::from_fn(|r| &dz[r * depth..][gates.clone()]);
                let mut tile: Tile<_, R, W> = std::array::from_fn(|r| dh[r]);
                if let Some((tape, of_tape)) = self.after {
                    for r in 0..R {
                        tape.ask(layout, self.span.clone(), n * most + r, of_tape);
                    }
                }
                add_rows::<S, E, R, W>(simd, &mut tile, lhs, v, ahead);
                dh.iter_mut().zip(tile).for_each(|(dh, row)| *dh = row);
            });
        }
    }
}

/// Everything after the product.
pub(super) struct Pointwise<'a, E> {
    step: BackwardStep<'a, E>,
    at: StepTape<'a, E>,
}

impl<E: Constants> Kernel<E> for Pointwise<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let Self { step, at } = self;
        let (layout, vectors) = (step.layout.of_lanes(E::COUNT), step.span.len());
        let start = layout.start(step.span.start);
        let dh = E::vectors_mut(step.dh).chunks_exact_mut(vectors);
        let rows = dh.zip(E::vectors_mut(step.dc).chunks_exact_mut(vectors));
        let now_rows = step.dz_now.chunks_exact_mut(step.now_stride);
        for (row, ((dh, dc), now)) in rows.zip(now_rows).enumerate() {
            for (j, panel) in step.span.clone().enumerate() {
                let (first, width) = (layout.start(panel) - start, layout.width(panel));
                let now = &mut now[step.now_first + first..][..width];
                let dz = &mut step.dz[first * at.cells + (at.first + row) * width..][..width];
                if at.valid.get(row) == Some(&false) {
                    now.fill(E::ZERO);
                    dz.fill(E::ZERO);
                    continue;
                }
                let read = at.read::<S>(simd, layout, panel, row, dz);
                let dh_now = E::add(simd, dh[j], read.dy);
                dh[j] = E::splat(simd, E::ZERO);
                let (grads, before) =
                    gates::backward::<S, E>(simd, read.gates, read.c_before, read.c, dh_now, dc[j]);
                dc[j] = before;
                for to in [now, dz] {
                    gates::store::<S, E>(simd, to, layout.stride(panel), grads);
                }
            }
        }
    }
}

/// What eq. (7) to (11) read of one vector of units.
struct Read<V> {
    gates: [V; 4],
    c_before: V,
    c: V,
    dy: V,
}

impl<E: Constants> StepTape<'_, E> {
    /// Asks for what a row reads, but for c_t, which the step after has just read, and c₀.
    #[inline(always)]
    fn ask(&self, layout: GateLayout, span: Range<usize>, row: usize, gates: &[E]) {
        let start = layout.start(span.start);
        for panel in span {
            let (first, width) = (layout.start(panel) - start, layout.width(panel));
            let place = first * self.cells + (self.first + row) * width;
            for column in (0..width).step_by(a_line::<E>()) {
                ask_at(gates, place + column);
            }
            ask_at(self.c, (panel * self.cells + self.first_before + row) * layout.lanes);
            if let Some(dy) = self.dy {
                ask_at(dy.data, row * dy.stride + dy.first + panel * layout.lanes);
            }
        }
    }

    #[inline(always)]
    fn read<S: Simd>(
        &self,
        simd: S,
        layout: GateLayout,
        panel: usize,
        row: usize,
        gates: &[E],
    ) -> Read<E::Vector>
    where
        E: Lanes<S>,
    {
        let GateLayout { hidden, lanes } = layout;
        let units = layout.units(panel);
        let state = || row * hidden + units.start..row * hidden + units.end;
        let zero = E::splat(simd, E::ZERO);
        let tape = |first: usize| {
            E::vectors(&self.c[(panel * self.cells + first + row) * lanes..][..lanes])[0]
        };
        Read {
            gates: gates::load::<S, E>(simd, gates, layout.stride(panel)),
            c_before: match (self.starts.get(row), self.c_initial) {
                (Some(true), Some(c)) => E::load(simd, &c[state()]),
                (Some(true), None) => zero,
                _ => tape(self.first_before),
            },
            c: tape(self.first),
            dy: self.dy.map_or(zero, |dy| load::<S, E>(simd, dy.row(row, units.clone()), lanes)),
        }
    }
}

/// Reads the units that there are.
#[inline(always)]
fn load<S: Simd, E: Lanes<S>>(simd: S, from: &[E], lanes: usize) -> E::Vector {
    if from.len() == lanes { E::vectors(from)[0] } else { E::load(simd, from) }
}
