//! Kernels that are called by themselves refuse what does not fit together.

use lstm_core::Result;
use lstm_core::ops::InstructionSet;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::gate_products::{CellRun, Factor, GateGradients, Strips};
use lstm_core::ops::input_product::InputProduct;
use lstm_core::ops::panels::{Panels, Times};

#[track_caller]
fn refused(result: Result<()>, words: &[&str]) {
    let error = result.unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
}

/// A matrix of zeros by columns.
fn columns(set: InstructionSet, depth: usize, cols: usize) -> Panels<f32> {
    let mut panels = Panels::new();
    panels.pack_columns(set, (depth, cols), Times::FewRows, 0, || std::iter::repeat_n(None, depth));
    panels
}

#[test]
fn products_of_gates_know_their_columns() {
    let set = InstructionSet::current();
    let layout = GateLayout::new::<f32>(set, 3);
    let block = BlockRows { batch: 2, first: 0, rows: 2 };
    let dz = vec![0.0; 2 * layout.row()];
    let dz = GateGradients { layout, steps: 1, blocks: &[block], dz: &dz, add: false };
    let u = columns(set, layout.row(), 100);
    let mut dx = [0.0; 16];
    refused(dz.input(set, &u, 8, 0..2, &mut dx), &["GateGradients::input", "vectors of u"]);
    let two = CellRun { block: 0, first: 0, cells: 2, at: 0 };
    let weights = |panel, source: usize, stride, run| {
        let source = &vec![0.0; source][..];
        let factor = Factor { source, stride, cols: 4, runs: &[run] };
        let mut dw = [[0.0_f32; 12]; 4];
        let units = if panel < layout.panels() { layout.units(panel).len() } else { 0 };
        let dw = dw.each_mut().map(|dw| &mut dw[..units * 4]);
        let cells = CellRun { cells: run.cells, ..two };
        let mut packed = Strips::default();
        packed.pack(&Factor { source: &[0.0; 8], stride: 4, cols: 4, runs: &[cells] }).unwrap();
        dz.weights_by_gates(set, &factor, &packed, panel, dw)
    };
    let named = |words: &[&'static str]| [&["GateGradients::weights_by_gates"], words].concat();
    weights(0, 8, 4, two).unwrap();
    refused(weights(layout.panels(), 8, 4, two), &named(&["panel"]));
    refused(weights(0, 8, 3, two), &named(&["stride", "4", "3"]));
    refused(weights(0, 7, 4, two), &named(&["run", "within the source"]));
    refused(weights(0, 8, 4, CellRun { at: usize::MAX, ..two }), &named(&["within the source"]));
    refused(weights(0, 99, 4, CellRun { first: 1, ..two }), &named(&["end of a run", "2", "3"]));
    refused(weights(0, 99, 4, CellRun { block: 1, ..two }), &named(&["block of a run", "1"]));
    refused(weights(0, 99, 4, CellRun { block: 9, cells: 0, ..two }), &named(&["block of a run"]));
    // A stride that no memory has does no harm where there is one row.
    weights(0, 8, usize::MAX / 8, CellRun { cells: 1, ..two }).unwrap();
    let factor = Factor { source: &[0.0; 8], stride: 4, cols: 4, runs: &[two] };
    let of_none = dz.weights_by_gates(set, &factor, &Strips::default(), 0, Default::default());
    refused(of_none, &named(&["length of dw"]));
    let mut dw = [[0.0_f32; 12]; 4];
    let dw = dw.each_mut().map(|dw| &mut dw[..layout.units(0).len() * 4]);
    let of_none = dz.weights_by_gates(set, &factor, &Strips::default(), 0, dw);
    refused(of_none, &named(&["packed cells", "(2, 4)", "(0, 0)"]));
    let wide = Factor { cols: 1 << 62, stride: 1 << 62, runs: &[], ..factor };
    let of_wide = dz.weights_by_gates(set, &wide, &Strips::default(), 0, Default::default());
    refused(of_wide, &named(&["length of dw"]));
    let far = Factor { runs: &[CellRun { at: 5, ..two }], ..factor };
    refused(Strips::default().pack(&far), &["Strips::pack", "within the source"]);
    let one_on_another =
        Factor { runs: &[CellRun { cells: usize::MAX, ..two }], stride: 0, ..factor };
    refused(Strips::default().pack(&one_on_another), &["Strips::pack", "stride", "4", "0"]);
    let (depth, mut numbered) = (layout.row(), Panels::new());
    let rows: Vec<[f32; 100]> = (0..depth).map(|row| [row as f32; 100]).collect();
    let all = || rows.iter().map(|row| Some(&row[..]));
    numbered.pack_columns(set, (depth, 100), Times::FewRows, 100, all);
    let width = numbered.panel(0).len() / depth;
    let expected = (1..depth).flat_map(|row| vec![row as f32; width]);
    assert!(numbered.rows(0, 1..depth).iter().copied().eq(expected));
    assert!(u.rows(0, 0..depth + 1).is_empty() && u.rows(u.len(), 0..1).is_empty());
    let none = GateGradients { layout: GateLayout { hidden: 0, ..layout }, dz: &[], ..dz };
    refused(none.bias(set, 0, Default::default()), &["GateGradients::bias", "hidden"]);
    refused(dz.bias(set, layout.panels(), Default::default()), &["GateGradients::bias", "panel"]);
    let turned = std::ops::Range { start: 2, end: 1 };
    refused(dz.input(set, &u, 100, turned, &mut []), &["GateGradients::input", "first row"]);
}

#[test]
fn an_input_product_refuses_other_batches_and_weights() {
    let set = InstructionSet::current();
    let layout = GateLayout::new::<f32>(set, 3);
    let mut u = Panels::<f32>::new();
    u.pack_gates(set, &[0.0; 24], layout, 2).unwrap();
    let block = BlockRows { batch: 1, first: 0, rows: 3 };
    let (bias, x) = (vec![0.0; layout.row()], [0.0; 4]);
    let product = InputProduct { layout, u: &u, bias: &bias, x: &x, block, ahead: &[] };
    let mut z = vec![0.0; 4 * layout.width(0)];
    refused(product.run(set, 0, 0..4, &mut z), &["InputProduct::run", "end of the block", "3"]);
    // Other gates, in as many panels where vectors have room for all units.
    let layout = GateLayout::new::<f32>(set, 9);
    let mut u_of_nine = Panels::<f32>::new();
    u_of_nine.pack_gates(set, &[0.0; 72], layout, 2).unwrap();
    let product = InputProduct { u: &u_of_nine, ..product };
    refused(product.run(set, 0, 0..1, &mut z), &["InputProduct::run", "of u"]);
}

/// Sets of other processors have vectors of one number, on which their kernels then run.
#[test]
fn a_set_that_is_not_there_runs_on_single_numbers() {
    for set in [InstructionSet::Neon, InstructionSet::Avx2, InstructionSet::Avx512] {
        let is_there = InstructionSet::available().any(|known| known == set);
        assert_eq!(set.lanes::<f32>() == 1, !is_there, "{set:?}");
        let layout = GateLayout::new::<f32>(set, 2);
        let block = BlockRows { batch: 3, first: 0, rows: 3 };
        let dz = vec![1.0; 3 * layout.row()];
        let dz = GateGradients { layout, steps: 1, blocks: &[block], dz: &dz, add: false };
        for panel in 0..layout.panels() {
            let mut db = [[0.0_f32; 2]; 4];
            let units = layout.units(panel).len();
            dz.bias(set, panel, db.each_mut().map(|db| &mut db[..units])).unwrap();
            assert!(db.iter().all(|db| db[..units].iter().all(|&sum| sum == 3.0)), "{set:?}");
        }
    }
}
