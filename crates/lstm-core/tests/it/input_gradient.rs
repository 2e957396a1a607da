//! dX = dZ U against plain sums, on every instruction set: in one pass over the gates and in several.

use lstm_core::Element;
use lstm_core::ops::InstructionSet;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::gate_products::GateGradients;
use lstm_core::ops::panels::{Panels, Times};
use proptest::prelude::*;

use crate::weight_gradients::numbers;

/// A batch of two blocks.
#[derive(Debug, Clone, Copy)]
struct Case {
    hidden: usize,
    steps: usize,
    rows: [usize; 2],
    cols: usize,
    /// The rows of dx are computed in parts of so many.
    at_once: usize,
    seed: u64,
}

/// Widths whose gates are read in one pass, in up to three with AVX2, and in several everywhere.
fn case() -> impl Strategy<Value = Case> {
    let hidden = prop_oneof![1..40_usize, 60..160_usize, 513..560_usize];
    let rows = [1..9_usize, 1..9_usize];
    (hidden, 1..5_usize, rows, 1..40_usize, 1..30_usize, any::<u64>()).prop_map(
        |(hidden, steps, rows, cols, at_once, seed)| Case {
            hidden,
            steps,
            rows,
            cols,
            at_once,
            seed,
        },
    )
}

fn is_the_sum_over_gates<E: Element>(set: InstructionSet, case: Case, tolerance: f64) {
    let Case { hidden, steps, rows: [first, second], cols, at_once, seed } = case;
    let (layout, batch) = (GateLayout::new::<E>(set, hidden), first + second);
    let blocks =
        [BlockRows { batch, first: 0, rows: first }, BlockRows { batch, first, rows: second }];
    let n_cells = steps * batch;
    let dz = numbers::<E>(seed, "dz", n_cells * layout.row());
    let u = numbers::<E>(seed, "u", 4 * hidden * cols);
    let mut packed = Panels::new();
    let runs = || layout.runs(&u, cols);
    packed.pack_columns(set, (layout.row(), cols), Times::ManyRows, cols, runs);
    let gradients = GateGradients { layout, steps, blocks: &blocks, dz: &dz, add: false };
    // What was there before does not count.
    let mut dx = vec![E::ONE; n_cells * cols];
    for (k, dx) in dx.chunks_mut(at_once * cols).enumerate() {
        let rows = k * at_once..(k * at_once + at_once).min(n_cells);
        gradients.input(set, &packed, cols, rows, dx).unwrap();
    }
    for block in &blocks {
        for cell in 0..steps * block.rows {
            let got = &dx[block.cell(cell) * cols..][..cols];
            let mut expected = vec![0.0; cols];
            for (rows, place) in layout.rows() {
                for (row, place) in rows.zip(place..) {
                    let panel = place / layout.widest();
                    let (start, width) = (layout.start(panel), layout.width(panel));
                    let of_block = block.first * steps * layout.row();
                    let of_panel = of_block + steps * block.rows * start;
                    let dz = dz[of_panel + cell * width + place - start].to_f64();
                    for (sum, u) in expected.iter_mut().zip(&u[row * cols..]) {
                        *sum += dz * u.to_f64();
                    }
                }
            }
            for (got, expected) in got.iter().zip(expected) {
                let got = got.to_f64();
                assert!((got - expected).abs() < tolerance, "{set:?}, {case:?}: {got}, {expected}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn dx_is_the_sum_over_gates(case in case()) {
        for set in InstructionSet::available() {
            is_the_sum_over_gates::<f32>(set, case, 1e-3);
            is_the_sum_over_gates::<f64>(set, case, 1e-11);
        }
    }
}
