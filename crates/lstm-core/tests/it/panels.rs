//! Packed matrices hold every number of the matrix at its place, and zeros elsewhere, on every instruction set.

use lstm_core::Element;
use lstm_core::ops::InstructionSet;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::panels::{Panels, Times};
use lstm_core::parallel::with_threads;
use proptest::prelude::*;

/// Numbers that are not zero, each another one.
fn matrix<E: Element>(len: usize) -> Vec<E> {
    (1..=len).map(|k| E::from_f64(k as f64)).collect()
}

/// Memory that holds something already, as when a matrix is packed again.
fn used<E: Element>(set: InstructionSet) -> Panels<E> {
    let mut panels = Panels::new();
    let numbers = matrix(64 * 400);
    panels.pack_columns(set, (64, 400), Times::ManyRows, 400, || [Some(&numbers[..])].into_iter());
    panels
}

fn gates_have_their_places<E: Element>(set: InstructionSet, hidden: usize, depth: usize) {
    let (layout, w) = (GateLayout::new::<E>(set, hidden), matrix::<E>(4 * hidden * depth));
    let mut expected = vec![E::ZERO; layout.row() * depth];
    for (rows, place) in layout.rows() {
        for (row, place) in rows.zip(place..) {
            for k in 0..depth {
                let panel = place / layout.widest();
                let (start, width) = (layout.start(panel), layout.width(panel));
                let halved = set.has_few_registers() && width == layout.widest();
                let together = if halved { width / 2 } else { width };
                let (part, column) = ((place - start) / together, (place - start) % together);
                expected[(start + part * together) * depth + k * together + column] =
                    w[row * depth + k];
            }
        }
    }
    let mut panels = used(set);
    panels.pack_gates(set, &w, layout, depth).unwrap();
    assert_eq!(
        (0..panels.len()).flat_map(|p| panels.panel(p)).copied().collect::<Vec<_>>(),
        expected
    );
}

fn columns_have_their_places<E: Element>(set: InstructionSet, depth: usize, cols: usize) {
    let m = matrix::<E>(depth * cols);
    let transposed: Vec<E> = (0..m.len()).map(|k| m[k % depth * cols + k / depth]).collect();
    let mut by_columns = used(set);
    by_columns.pack_transposed(set, &transposed, (depth, cols)).unwrap();
    let by_rows = [Times::FewRows, Times::ManyRows, Times::Gates].map(|times| {
        let mut panels = used(set);
        panels.pack_columns(set, (depth, cols), times, cols, || [Some(&m[..])].into_iter());
        panels
    });
    let lanes = set.lanes::<E>();
    for panels in by_rows.iter().chain([&by_columns]) {
        let mut next = 0;
        for panel in 0..panels.len() {
            let (span, data) = (panels.span(panel), panels.panel(panel));
            let width = span.len() * lanes;
            assert_eq!((span.start, data.len()), (next, depth * width));
            next = span.end;
            for (place, number) in data.iter().enumerate() {
                let (k, col) = (place / width, span.start * lanes + place % width);
                assert_eq!(*number, if col < cols { m[k * cols + col] } else { E::ZERO });
            }
        }
        assert_eq!(next, cols.div_ceil(lanes));
    }
}

/// Large enough to be packed on several threads.
#[test]
fn threads_leave_numbers_at_their_places() {
    for set in InstructionSet::available() {
        with_threads(3, || {
            gates_have_their_places::<f32>(set, 130, 131);
            columns_have_their_places::<f64>(set, 150, 301);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn numbers_have_their_places(hidden in 1_usize..90, depth in 1_usize..90, cols in 1_usize..200) {
        for set in InstructionSet::available() {
            gates_have_their_places::<f32>(set, hidden, depth);
            gates_have_their_places::<f64>(set, hidden, depth);
            columns_have_their_places::<f32>(set, depth, cols);
            columns_have_their_places::<f64>(set, depth, cols);
        }
    }
}
