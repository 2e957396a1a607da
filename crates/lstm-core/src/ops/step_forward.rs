//! One step of the units of one panel, forward: the recurrent product and, while its results are still in
//! the nearest cache, or of one or two rows in registers, everything else that the step does with them.

use pulp::Simd;

use super::gate_layout::{GateLayout, PanelLayout};
use super::gates;
use super::simd::instruction_set::{InstructionSet, Kernel};
use super::simd::lanes::Lanes;
use super::simd::prefetch::{a_line, ask_at};
use super::tile::{
    Tile, add_gates, for_rows, for_vectors, gate_tile_rows, most_gate_rows, part_ahead,
};
use crate::element::Constants;
use crate::{Element, Error, Result};

/// A step of some rows and of the units of one panel.
#[derive(Debug)]
pub struct ForwardStep<'a, E> {
    /// The layout of the gates.
    pub layout: GateLayout,
    /// The number of the panel.
    pub panel: usize,
    /// V of the panel, packed by gates; `None` where h_{t-1} is zero in every row.
    pub v: Option<&'a [E]>,
    /// Memory that will be read soon, to be asked for while this step is computed; empty where none is. Steps of one or
    /// two rows leave no time for it and do not ask for all of it.
    pub ahead: &'a [E],
    /// h_{t-1}: `[rows, H]`.
    pub h_before: &'a [E],
    /// z without the recurrent product, then, where `keep`, the activated gates, otherwise unspecified:
    /// `[rows, width of the panel]`.
    pub z: &'a mut [E],
    /// Whether the gates are wanted.
    pub keep: bool,
    /// c_{t-1}, then c_t: `[rows, lanes]`.
    pub c: &'a mut [E],
    /// A copy of c_t: `[rows, lanes]`, or empty.
    pub cells: &'a mut [E],
    /// h_t of the panel's units, wherever it is wanted.
    pub h: UnitsMut<'a, E>,
    /// h_t again, zero where the step is padding; `None` where it is not wanted.
    pub y: Option<UnitsMut<'a, E>>,
    /// Whether the step of each row is real; all where empty. The state of padding stays.
    pub valid: &'a [bool],
}

/// The units of one panel within the rows of a matrix.
#[derive(Debug)]
pub struct UnitsMut<'a, E> {
    /// `[rows, stride]`.
    pub data: &'a mut [E],
    /// Elements of a row.
    pub stride: usize,
    /// The place of the panel's first unit in a row.
    pub first: usize,
}

impl<E> UnitsMut<'_, E> {
    #[inline(always)]
    fn row(&mut self, row: usize, units: usize) -> &mut [E] {
        &mut self.data[row * self.stride + self.first..][..units]
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

impl<E: Element> ForwardStep<'_, E> {
    /// Runs the step, eq. (1) to (6).
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn run(mut self, set: InstructionSet) -> Result<()> {
        const OP: &str = "ForwardStep::run";
        let GateLayout { hidden, lanes } = self.layout;
        Error::check_sizes(OP, || {
            [("lanes", set.lanes::<E>(), lanes), ("hidden", hidden.max(1), hidden)]
        })?;
        let (rows, width) = (self.c.len() / lanes, self.layout.width(self.panel));
        let depth = if self.v.is_some() { hidden } else { 0 };
        Error::check_sizes(OP, || {
            [
                ("panel", self.panel.min(self.layout.panels() - 1), self.panel),
                ("length of v", depth * width, self.v.map_or(0, <[E]>::len)),
                ("length of c", rows * lanes, self.c.len()),
                ("length of z", rows * width, self.z.len()),
                ("length of h_before", rows * hidden, self.h_before.len()),
                ("length of cells", rows * lanes, self.cells.len().max(rows * lanes)),
                ("length of valid", rows, self.valid.len().max(rows)),
            ]
        })?;
        let units = self.layout.units(self.panel).len();
        self.h.check(OP, "length of h", rows, units)?;
        self.y.as_ref().map_or(Ok(()), |y| y.check(OP, "length of y", rows, units))?;
        let whole = width == self.layout.widest();
        match (self.v, rows) {
            (Some(_), 1) if whole => E::step_forward_of_one(set, FewRows(&mut self)),
            (Some(_), 2) if whole => E::step_forward_of_two(set, FewRows(&mut self)),
            _ => self.in_two(set, width / lanes),
        }
        Ok(())
    }

    /// The product, and then the rest.
    #[inline(always)]
    fn in_two(&mut self, set: InstructionSet, vectors: usize) {
        let (h_before, ahead, hidden) = (self.h_before, self.ahead, self.layout.hidden);
        if let Some(v) = self.v {
            E::step_forward_product(
                set,
                Recurrence { v, h_before, ahead, hidden, vectors, z: self.z },
            );
        }
        E::step_forward_pointwise(set, Pointwise(self));
    }
}

/// All of it for R rows, as many as leave registers for the constants of the gates: the processor computes the gates
/// of a panel beside the product of the next.
pub(super) struct FewRows<'s, 'a, E, const R: usize>(&'s mut ForwardStep<'a, E>);

impl<E: Constants, const R: usize> Kernel<E> for FewRows<'_, '_, E, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let step = self.0;
        let hidden = step.layout.hidden;
        let (h_before, v) = (step.h_before, step.v.unwrap_or_default());
        let lhs = std::array::from_fn(|r| &h_before[r * hidden..][..hidden]);
        // From zero, and then added: two short sums round less than a long one.
        let mut tile: Tile<_, R, 4> = [[E::splat(simd, E::ZERO); 4]; R];
        add_gates::<S, E, R, 4>(simd, &mut tile, lhs, E::vectors(v), &[]);
        let z = E::vectors(step.z).as_chunks::<4>().0;
        for (row, z) in tile.iter_mut().zip(z) {
            for gate in 0..4 {
                row[gate] = E::add(simd, z[gate], row[gate]);
            }
        }
        let panel = step.layout.of_lanes(E::COUNT).panel(step.panel);
        for (row, z) in tile.into_iter().enumerate() {
            if step.carries_padding_over(&panel, row) {
                continue;
            }
            let (gates, c) = step.cell::<S>(simd, row, z);
            if step.keep {
                step.store_gates::<S>(simd, &panel, row, gates);
            }
            step.output::<S>(simd, &panel, row, gates, c);
        }
    }
}

/// z += h_{t-1} Vᵀ. A kernel of its own: compiled together with the gates, whose constants take registers,
/// its accumulators would not stay in theirs.
pub(super) struct Recurrence<'a, E> {
    v: &'a [E],
    h_before: &'a [E],
    ahead: &'a [E],
    hidden: usize,
    /// Vectors of a row of `z`.
    vectors: usize,
    z: &'a mut [E],
}

impl<E: Constants> Kernel<E> for Recurrence<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        for_vectors!(self.vectors, W => self.product::<S, W>(simd));
    }
}

impl<E: Constants> Recurrence<'_, E> {
    #[inline(always)]
    fn product<S: Simd, const W: usize>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let v = E::vectors(self.v);
        let width = W * E::COUNT;
        let most = gate_tile_rows::<S>(self.z.len() / width, W);
        let rows = self.h_before.chunks(most * self.hidden);
        let mut ahead = self.ahead;
        let part = part_ahead(ahead, self.z.len() / width, most);
        for (z, h) in self.z.chunks_mut(most * width).zip(rows) {
            // Where weights are far, so is z, which is read after the product: it comes from memory during it.
            if !self.ahead.is_empty() {
                (0..z.len()).step_by(a_line::<E>()).for_each(|place| ask_at(z, place));
            }
            let z = E::vectors_mut(z).as_chunks_mut::<W>().0;
            let ahead = ahead.split_off(..part.min(ahead.len())).unwrap_or_default();
            for_rows!(z.len(), at most most_gate_rows::<S>(W), R => {
                let lhs = std::array::from_fn(|r| &h[r * self.hidden..][..self.hidden]);
                // From zero, and then added: two short sums round less than a long one.
                let mut tile: Tile<_, R, W> = [[E::splat(simd, E::ZERO); W]; R];
                add_gates::<S, E, R, W>(simd, &mut tile, lhs, v, ahead);
                for (z, row) in z.iter_mut().zip(tile) {
                    *z = std::array::from_fn(|j| E::add(simd, z[j], row[j]));
                }
            });
        }
    }
}

/// Everything after the product.
pub(super) struct Pointwise<'s, 'a, E>(&'s mut ForwardStep<'a, E>);

impl<E: Constants> Kernel<E> for Pointwise<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let step = self.0;
        let panel = step.layout.of_lanes(E::COUNT).panel(step.panel);
        let rows = E::vectors(step.c).len();
        for row in 0..rows {
            if !step.is_padding(row) {
                let z = step.load_gates::<S>(simd, &panel, row);
                let (gates, _) = step.cell::<S>(simd, row, z);
                // Wanted or not: they wait there for h.
                step.store_gates::<S>(simd, &panel, row, gates);
            }
        }
        // Row by row, the long chain from z to tanh c would fill the processor's queues before the next row could start.
        for row in 0..rows {
            if !step.carries_padding_over(&panel, row) {
                let (gates, c) = (step.load_gates::<S>(simd, &panel, row), E::vectors(step.c)[row]);
                step.output::<S>(simd, &panel, row, gates, c);
            }
        }
    }
}

impl<E: Constants> ForwardStep<'_, E> {
    #[inline(always)]
    fn is_padding(&self, row: usize) -> bool {
        self.valid.get(row) == Some(&false)
    }

    /// Carries the state of a row over where its step is padding; whether it is.
    #[inline(always)]
    fn carries_padding_over(&mut self, panel: &PanelLayout, row: usize) -> bool {
        if !self.is_padding(row) {
            return false;
        }
        let PanelLayout { units, .. } = panel;
        self.y.iter_mut().for_each(|y| y.row(row, units.len()).fill(E::ZERO));
        let h_before = &self.h_before[row * self.layout.hidden..][units.clone()];
        self.h.row(row, units.len()).copy_from_slice(h_before);
        true
    }

    /// z of a row, or its gates.
    #[inline(always)]
    fn load_gates<S: Simd>(&self, simd: S, panel: &PanelLayout, row: usize) -> [E::Vector; 4]
    where
        E: Lanes<S>,
    {
        gates::load::<S, E>(simd, &self.z[row * panel.width..][..panel.width], panel.stride)
    }

    #[inline(always)]
    fn store_gates<S: Simd>(
        &mut self,
        simd: S,
        panel: &PanelLayout,
        row: usize,
        gates: [E::Vector; 4],
    ) where
        E: Lanes<S>,
    {
        let to = &mut self.z[row * panel.width..][..panel.width];
        gates::store::<S, E>(simd, to, panel.stride, gates);
    }

    /// The gates and c of a row from its z; writes c.
    #[inline(always)]
    fn cell<S: Simd>(
        &mut self,
        simd: S,
        row: usize,
        z: [E::Vector; 4],
    ) -> ([E::Vector; 4], E::Vector)
    where
        E: Lanes<S>,
    {
        let c = &mut E::vectors_mut(self.c)[row];
        let (gates, c_now) = gates::cell::<S, E>(simd, z, *c);
        *c = c_now;
        if let Some(cell) = E::vectors_mut(self.cells).get_mut(row) {
            *cell = c_now;
        }
        (gates, c_now)
    }

    /// h of a row from its gates and c.
    #[inline(always)]
    fn output<S: Simd>(
        &mut self,
        simd: S,
        panel: &PanelLayout,
        row: usize,
        gates: [E::Vector; 4],
        c: E::Vector,
    ) where
        E: Lanes<S>,
    {
        let units = panel.units.len();
        let h = gates::output::<S, E>(simd, gates, c);
        store::<S, E>(simd, self.h.row(row, units), E::COUNT, h);
        self.y.iter_mut().for_each(|y| store::<S, E>(simd, y.row(row, units), E::COUNT, h));
    }
}

/// Writes the units that there are.
#[inline(always)]
fn store<S: Simd, E: Lanes<S>>(simd: S, to: &mut [E], lanes: usize, value: E::Vector) {
    if to.len() == lanes {
        E::vectors_mut(to)[0] = value;
    } else {
        E::store(simd, to, value);
    }
}
