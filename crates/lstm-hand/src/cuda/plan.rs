//! How a pass is laid over the multiprocessors: the sizes that its kernel is compiled for.
//!
//! Every plan computes the same sums, in another order. [`Plan::best`] weighs all that fit by a model of a step's time,
//! fitted on an H100 (docs/performance.md).

use lstm_core::{Error, Result};

use super::{OP, Precision};

/// Rows of a tile of the matrix units, and terms of a block of k.
const TILE: usize = 16;
/// Sequences of a tile.
const SEQUENCES: usize = 8;
/// Warps of a block of threads.
const WARPS: usize = 8;
/// Words of the recurrent weights that a thread keeps, beside what it computes with.
const RESIDENT_WORDS: usize = 136;
/// The widest layer: indices of a matrix are 32 bits.
const MOST_HIDDEN: usize = 16_384;

/// Forward or backward through time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pass {
    Forward,
    Backward,
}

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub(super) pass: Pass,
    pub(super) precision: Precision,
    pub(super) hidden: usize,
    pub(super) batch: usize,
    /// Layers that run at the same time.
    pub(super) layers: usize,
    /// Numbers of a row that lie aligned: 1, 2 or 4.
    pub(super) vector: usize,
    /// Whether the forward pass keeps what the backward pass needs.
    pub(super) keep: bool,
}

impl Task {
    /// Terms of a sum of the recurrent product.
    fn terms(&self) -> usize {
        match self.pass {
            Pass::Forward => self.hidden,
            Pass::Backward => 4 * self.hidden,
        }
    }

    /// Rows of the recurrent product for a unit.
    fn rows_a_unit(&self) -> usize {
        match self.pass {
            Pass::Forward => 4,
            Pass::Backward => 1,
        }
    }
}

/// What a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Limits {
    pub(super) multiprocessors: usize,
    /// Bytes of shared memory that a block may have.
    pub(super) shared_bytes: usize,
}

/// The sizes of a kernel and of its launches; the names are those of `kernels/product.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    pub(super) task: Task,
    pub(super) n_tiles: usize,
    pub(super) warps_m: usize,
    pub(super) row_tiles: usize,
    pub(super) k_parts: usize,
    pub(super) k_blocks: usize,
    pub(super) resident: bool,
    /// Blocks of threads that share out the rows of the recurrent product.
    pub(super) blocks: usize,
    /// Slices of the batch in a launch.
    pub(super) slices: usize,
}

impl Plan {
    /// The plan that should be quickest.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a layer that no plan fits.
    pub(super) fn best(task: Task, limits: Limits) -> Result<Self> {
        let plans = Self::all(task, limits).into_iter();
        let cost = |plan: &Self| plan.microseconds();
        let best = plans.min_by(|one, two| cost(one).total_cmp(&cost(two)));
        best.filter(|_| task.hidden <= MOST_HIDDEN).ok_or_else(|| Error::Unsupported {
            op: OP,
            what: format!("a layer of {} units on this device", task.hidden),
            reason: format!("it has {} multiprocessors; use lstm-candle", limits.multiprocessors),
        })
    }

    /// All plans that fit.
    fn all(task: Task, limits: Limits) -> Vec<Self> {
        let mut plans = Vec::new();
        let slices = |n_tiles: usize| task.batch.div_ceil(SEQUENCES * n_tiles);
        for n_tiles in 1..=8 {
            if n_tiles > 1 && slices(n_tiles) == slices(n_tiles - 1) {
                continue;
            }
            for warps_m in [1, 2, 4, 8] {
                for row_tiles in [1, 2, 3, 4, 6, 8] {
                    for k_parts in [1, 2, 4, 8, 16] {
                        let sizes = (n_tiles, warps_m, row_tiles, k_parts);
                        plans.extend(Self::fitting(task, limits, sizes, slices(n_tiles)));
                    }
                }
            }
        }
        plans
    }

    fn fitting(
        task: Task,
        limits: Limits,
        (n_tiles, warps_m, row_tiles, k_parts): (usize, usize, usize, usize),
        slices: usize,
    ) -> Option<Self> {
        let warps_k = WARPS / warps_m;
        let terms = task.terms().div_ceil(TILE);
        let k_blocks = terms.div_ceil(k_parts * warps_k);
        let rows = warps_m * row_tiles * TILE;
        let blocks = (task.rows_a_unit() * task.hidden).div_ceil(rows);
        let resident = row_tiles * k_blocks * task.precision.words() <= RESIDENT_WORDS;
        let of_slice = task.layers * blocks * k_parts;
        let slices = slices.min(limits.multiprocessors / of_slice);
        let plan =
            Self { task, n_tiles, warps_m, row_tiles, k_parts, k_blocks, resident, blocks, slices };
        // A block's rows are shared out by four, its own units, so that a warp sends whole sectors.
        let shared_out = rows.is_multiple_of(4 * task.rows_a_unit() * k_parts);
        let none_empty = k_parts == 1 || (k_parts - 1) * warps_k * k_blocks < terms;
        let fits = slices > 0 && plan.shared_bytes() <= limits.shared_bytes;
        (shared_out && none_empty && fits).then_some(plan)
    }

    /// Rows of the recurrent product that a block of threads has.
    fn rows(&self) -> usize {
        self.warps_m * self.row_tiles * TILE
    }

    /// Sequences of a slice.
    pub(super) fn columns(&self) -> usize {
        self.n_tiles * SEQUENCES
    }

    /// Blocks of threads of a launch; each has a multiprocessor of its own.
    pub(super) fn grid(&self) -> usize {
        self.task.layers * self.slices * self.blocks * self.k_parts
    }

    /// The sums of the warps, twice.
    pub(super) fn shared_bytes(&self) -> usize {
        let pitch =
            if self.n_tiles.is_multiple_of(2) { self.columns() + 8 } else { self.columns() };
        2 * (WARPS / self.warps_m) * self.rows() * pitch * size_of::<f32>()
    }

    /// Words through which blocks with other parts of a layer's sums tell them one another.
    pub(super) fn exchange_words(&self) -> usize {
        match self.k_parts {
            1 => 0,
            parts => 2 * self.slices * self.blocks * parts * self.rows() * self.columns(),
        }
    }

    /// What `kernels/product.cuh` and the pass's own file are compiled with.
    pub(super) fn definitions(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("HIDDEN", self.task.hidden),
            ("K", self.task.terms()),
            ("ROW_TILES", self.row_tiles),
            ("N_TILES", self.n_tiles),
            ("K_BLOCKS", self.k_blocks),
            ("K_PARTS", self.k_parts),
            ("WARPS_M", self.warps_m),
            ("VECTOR", self.task.vector),
            ("RESIDENT", self.resident.into()),
            ("PRECISION", self.task.precision.number()),
            ("KEEP", self.task.keep.into()),
        ]
    }

    /// The model of a step's time, of all launches together, in µs.
    fn microseconds(&self) -> f64 {
        // What a multiprocessor reads in a µs, and all of them from the second-level cache.
        const ONE_READS: f64 = 1e5;
        const ALL_READ: f64 = 5.5e6;
        const SHARED_MOVES: f64 = 2.2e5;
        let [tiles, columns, rows] =
            [self.row_tiles * self.k_blocks * self.n_tiles, self.columns(), self.rows()]
                .map(|count| count as f64);
        let (parts, grid) = (self.k_parts as f64, self.grid() as f64);
        let warps_k = (WARPS / self.warps_m) as f64;
        let terms = self.task.terms() as f64 / parts;
        let weights = if self.resident { 0.0 } else { 4.0 * rows * terms };
        let bytes = 4.0 * columns * terms * self.warps_m as f64 + weights;
        let reading = (bytes / ONE_READS).max(grid * bytes / ALL_READ);
        let adding = warps_k * rows * columns * 8.0 / SHARED_MOVES;
        let exchanging = match self.k_parts {
            1 => 0.0,
            _ => 0.5 + 0.02 * parts + (parts - 1.0) / parts * rows * columns * 16.0 / ONE_READS,
        };
        let meeting = 1.1 + 0.004 * (self.blocks * self.k_parts) as f64;
        let step = meeting
            + tiles * self.task.precision.microseconds_a_tile()
            + reading
            + adding
            + exchanging;
        let launches = self.task.batch.div_ceil(self.slices * self.columns());
        step * launches as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: Limits = Limits { multiprocessors: 132, shared_bytes: 232_448 };

    fn tasks() -> impl Iterator<Item = Task> {
        let hidden = [1, 7, 33, 128, 200, 333, 650, 1024, 2048, 5000];
        let sizes =
            hidden.into_iter().flat_map(|hidden| [1, 20, 64, 1000].map(|batch| (hidden, batch)));
        sizes.flat_map(|(hidden, batch)| {
            [Pass::Forward, Pass::Backward].into_iter().flat_map(move |pass| {
                [Precision::F32, Precision::Tf32, Precision::Bf16].map(|precision| Task {
                    pass,
                    precision,
                    hidden,
                    batch,
                    layers: 1 + batch % 2,
                    vector: 1,
                    keep: true,
                })
            })
        })
    }

    #[test]
    fn every_unit_and_term_has_its_block_and_all_blocks_run_at_the_same_time() {
        for task in tasks() {
            let plan = Plan::best(task, H100).unwrap();
            assert!(plan.blocks * plan.rows() >= task.rows_a_unit() * task.hidden, "{plan:?}");
            let terms = plan.k_parts * (WARPS / plan.warps_m) * plan.k_blocks * TILE;
            assert!(terms >= task.terms(), "{plan:?}");
            assert!(plan.grid() <= H100.multiprocessors && plan.grid() > 0, "{plan:?}");
            assert!(plan.shared_bytes() <= H100.shared_bytes, "{plan:?}");
        }
    }

    /// A part without terms would wait for nobody, and write over sums that nobody has read yet.
    #[test]
    fn no_part_of_the_sums_is_empty() {
        for task in tasks() {
            for plan in Plan::all(task, H100) {
                let before = (plan.k_parts - 1) * (WARPS / plan.warps_m) * plan.k_blocks * TILE;
                assert!(plan.k_parts == 1 || before < task.terms(), "{plan:?}");
            }
        }
    }

    #[test]
    fn weights_stay_in_registers_where_the_chip_has_room() {
        for task in
            tasks().filter(|task| task.hidden <= 1024 && task.batch <= 64 && task.layers == 1)
        {
            assert!(Plan::best(task, H100).unwrap().resident, "{task:?}");
        }
    }
}
