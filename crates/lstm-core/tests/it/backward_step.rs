//! The part of dh that comes through the step after: a product in any pieces of the gates, on every instruction set.

use std::ops::Range;

use lstm_core::ops::InstructionSet;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::panels::{Panels, Times};
use lstm_core::ops::step_backward::BackwardStep;
use lstm_core::{Element, Result};

use crate::weight_gradients::numbers;

/// V packed by columns, and dz of the step after.
struct Product<E> {
    set: InstructionSet,
    layout: GateLayout,
    rows: usize,
    dense: Vec<E>,
    v: Panels<E>,
    dz_after: Vec<E>,
}

impl<E: Element> Product<E> {
    fn new(set: InstructionSet, rows: usize, hidden: usize) -> Self {
        let layout = GateLayout::new::<E>(set, hidden);
        let (depth, mut v) = (layout.row(), Panels::new());
        let dense = numbers(1, "v", depth * hidden);
        let all = || dense.chunks(hidden).map(Some);
        v.pack_columns(set, (depth, hidden), Times::Gates, hidden, all);
        let dz_after = numbers(2, "dz", rows * depth);
        Self { set, layout, rows, dense, v, dz_after }
    }

    /// Adds the product of some of the gates with one panel to dh.
    fn add(&self, panel: usize, gates: Range<usize>, dh: &mut [E]) -> Result<()> {
        let mut dc = vec![E::ZERO; dh.len()];
        let columns = self.layout.columns(self.v.span(panel));
        BackwardStep {
            layout: self.layout,
            span: self.v.span(panel),
            v: Some(self.v.rows(panel, gates.clone())),
            gates_after: gates,
            ahead: &[],
            dz_after: &self.dz_after,
            dh,
            dc: &mut dc,
            at: None,
            dz: &mut [],
            dz_now: &mut vec![E::ZERO; self.rows * self.layout.row()],
            now_stride: self.layout.row(),
            now_first: columns.start,
        }
        .run(self.set)
    }

    fn dh(&self, panel: usize, edges: &[usize]) -> Vec<E> {
        let span = self.v.span(panel);
        let mut dh = numbers(3, "dh", self.rows * span.len() * self.layout.lanes);
        for piece in edges.windows(2) {
            self.add(panel, piece[0]..piece[1], &mut dh).unwrap();
        }
        dh
    }

    /// The largest distance of dh from sums in f64.
    fn worst(&self, panel: usize, dh: &[E]) -> f64 {
        let (span, lanes, depth) = (self.v.span(panel), self.layout.lanes, self.layout.row());
        let hidden = self.layout.hidden;
        let before: Vec<E> = numbers::<E>(3, "dh", dh.len());
        let distance = |place: usize| {
            let (row, unit) = (place / (span.len() * lanes), place % (span.len() * lanes));
            let unit = span.start * lanes + unit;
            let term = |k: usize| {
                self.dz_after[row * depth + k].to_f64() * self.dense[k * hidden + unit].to_f64()
            };
            if unit >= hidden {
                return 0.0;
            }
            let sum = (0..depth).map(term).sum::<f64>() + before[place].to_f64();
            (dh[place].to_f64() - sum).abs()
        };
        (0..dh.len()).map(distance).fold(0.0, f64::max)
    }
}

fn pieces_give_the_same_bits<E: Element>(error: f64) {
    for set in InstructionSet::available() {
        for (rows, hidden) in [(1, 3), (7, 37), (13, 129)] {
            let product = Product::<E>::new(set, rows, hidden);
            let row = product.layout.row();
            for panel in 0..product.v.len() {
                let at_once = product.dh(panel, &[0, row]);
                assert!(product.worst(panel, &at_once) < error, "{set:?}, {hidden}");
                let all: Vec<usize> = (0..=row).collect();
                for edges in [&[0, row / 3, row / 2, row][..], &[0, 1, 1, row - 3, row], &all] {
                    assert_eq!(product.dh(panel, edges), at_once, "{set:?}, {hidden}, {edges:?}");
                }
            }
        }
    }
}

#[test]
fn a_product_in_pieces_of_the_gates_has_the_same_bits() {
    pieces_give_the_same_bits::<f32>(1e-4);
    pieces_give_the_same_bits::<f64>(1e-12);
}

#[test]
fn gates_that_a_row_has_not_are_refused() {
    let product = Product::<f32>::new(InstructionSet::current(), 2, 5);
    let row = product.layout.row();
    let len = 2 * product.v.span(0).len() * product.layout.lanes;
    for (gates, word) in [
        (0..row + 1, "end of gates_after"),
        (0..usize::MAX, "end of gates_after"),
        (row + 1..usize::MAX, "end of gates_after"),
        (Range { start: 3, end: 2 }, "start of gates_after"),
    ] {
        let error = product.add(0, gates, &mut vec![0.0; len]).unwrap_err().to_string();
        assert!(error.contains("BackwardStep::run") && error.contains(word), "{error}");
    }
}
