//! Both kernels of the weight gradients against plain sums, on every instruction set.

use lstm_core::Element;
use lstm_core::ops::InstructionSet;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::gate_products::{CellRun, Factor, GateGradients, Strips};
use lstm_core::ops::panels::{Panels, Times};
use lstm_core::random::RandomStream;
use proptest::prelude::*;

/// Numbers of order one, as many as asked for.
pub(crate) fn numbers<E: Element>(seed: u64, name: &str, n: usize) -> Vec<E> {
    let stream = RandomStream::new(seed).named(name);
    (0..n as u64).map(|k| E::from_f64(stream.uniform(k) * 2.0 - 1.0)).collect()
}

/// A batch of blocks of unlike sizes, some of whose cells have a row of a source.
#[derive(Debug, Clone)]
struct Case {
    hidden: usize,
    steps: usize,
    rows: Vec<usize>,
    cols: usize,
    gap: usize,
    /// Every so many cells one has no row, or is the first of a run.
    skipped: usize,
    cut: usize,
    add: bool,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let sizes = (1..40_usize, 1..50_usize, 1..110_usize, 0..5_usize);
    let rows = prop::collection::vec(1..14_usize, 1..4);
    (sizes, rows, 2..90_usize, 1..600_usize, any::<bool>(), any::<u64>()).prop_map(
        |((hidden, steps, cols, gap), rows, skipped, cut, add, seed)| Case {
            hidden,
            steps,
            rows,
            cols,
            gap,
            skipped,
            cut,
            add,
            seed,
        },
    )
}

impl Case {
    fn blocks(&self) -> Vec<BlockRows> {
        let batch = self.rows.iter().sum();
        let mut first = 0;
        let block = |&rows: &usize| {
            first += rows;
            BlockRows { batch, first: first - rows, rows }
        };
        self.rows.iter().map(block).collect()
    }

    fn runs(&self) -> Vec<CellRun> {
        let (mut runs, mut row) = (Vec::<CellRun>::new(), 0);
        for (block, rows) in self.rows.iter().enumerate() {
            for cell in (0..self.steps * rows).filter(|cell| cell % self.skipped != 0) {
                let at = row * (self.cols + self.gap);
                row += 1;
                if cell % 7 == 3 {
                    // A run of none, wherever it lies.
                    runs.push(CellRun { block, first: 0, cells: 0, at: usize::MAX });
                }
                match runs.last_mut() {
                    Some(run)
                        if run.block == block
                            && run.first + run.cells == cell
                            && run.cells < self.cut.min(CellRun::MOST_CELLS) =>
                    {
                        run.cells += 1;
                    }
                    _ => runs.push(CellRun { block, first: cell, cells: 1, at }),
                }
            }
        }
        runs
    }
}

/// dz of one cell and gate of a unit, out of the layout of the scan.
fn dz_of<E: Element>(
    dz: &GateGradients<'_, E>,
    run: &CellRun,
    cell: usize,
    gate: usize,
    unit: usize,
) -> E {
    let (layout, block) = (dz.layout, &dz.blocks[run.block]);
    let (panel, lane) = (unit / layout.lanes, unit % layout.lanes);
    let cells = dz.steps * block.rows;
    let of_block = block.first * dz.steps * layout.row();
    let of_panel = of_block + cells * layout.start(panel);
    dz.dz[of_panel + cell * layout.width(panel) + gate * layout.stride(panel) + lane]
}

impl Case {
    /// The largest distance of `dw` of a panel from plain sums, in what rounding allows; of some of the elements.
    fn worst<E: Element>(
        &self,
        dz: &GateGradients<'_, E>,
        factor: &Factor<'_, E>,
        panel: usize,
        dw: &[Vec<E>; 4],
        before: &[Vec<E>; 4],
    ) -> f64 {
        let epsilon = if size_of::<E>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let units = dz.layout.units(panel);
        let places = (0..4 * units.len() * self.cols).skip(self.seed as usize % 41).step_by(41);
        let distance = |place: usize| {
            let (gate, place) = (place % 4, place / 4);
            let (unit, col) = (units.start + place / self.cols, place % self.cols);
            let first = if self.add { before[gate][place].to_f64() } else { 0.0 };
            let (mut sum, mut size) = (first, first.abs());
            for run in factor.runs {
                for cell in 0..run.cells {
                    let dz = dz_of(dz, run, run.first + cell, gate, unit).to_f64();
                    let term = dz * factor.source[run.at + cell * factor.stride + col].to_f64();
                    (sum, size) = (sum + term, size + term.abs());
                }
            }
            (dw[gate][place].to_f64() - sum).abs() / (epsilon * (1.0 + 8.0 * size))
        };
        places.map(distance).fold(0.0, f64::max)
    }
}

fn both_kernels_sum_the_cells<E: Element>(case: &Case) -> Result<(), TestCaseError> {
    let (blocks, runs) = (case.blocks(), case.runs());
    let stride = case.cols + case.gap;
    let n_cells: usize = runs.iter().map(|run| run.cells).sum();
    let source = numbers::<E>(case.seed, "source", n_cells * stride);
    for set in InstructionSet::available() {
        let layout = GateLayout::new::<E>(set, case.hidden);
        let batch: usize = case.rows.iter().sum();
        let dz = numbers(case.seed, "dz", batch * case.steps * layout.row());
        let (steps, add) = (case.steps, case.add);
        let dz = GateGradients { layout, steps, blocks: &blocks, dz: &dz, add };
        let factor = Factor { source: &source, stride, cols: case.cols, runs: &runs };
        let (mut strips, mut packed) = (Strips::default(), Panels::new());
        strips.pack(&factor).unwrap();
        let with_cells = || runs.iter().filter(|run| run.cells > 0);
        let rows = || with_cells().map(|run| factor.rows(run));
        packed.pack_columns(set, (n_cells, case.cols), Times::Gates, stride, rows);
        for panel in 0..layout.panels() {
            let len = layout.units(panel).len() * case.cols;
            let before = ["i", "f", "g", "o"].map(|gate| numbers(case.seed, gate, len));
            for by_columns in [false, true] {
                let mut dw = before.clone();
                let rows = dw.each_mut().map(|dw| &mut dw[..]);
                match by_columns {
                    true => dz.weights_by_columns(set, &factor, &packed, panel, rows),
                    false => dz.weights_by_gates(set, &factor, &strips, panel, rows),
                }
                .unwrap();
                let worst = case.worst(&dz, &factor, panel, &dw, &before);
                prop_assert!(worst <= 1.0, "{set:?}, panel {panel}, {by_columns}: {worst}");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn both_kernels_sum_the_cells_that_have_a_row(case in case()) {
        both_kernels_sum_the_cells::<f32>(&case)?;
        both_kernels_sum_the_cells::<f64>(&case)?;
    }
}
