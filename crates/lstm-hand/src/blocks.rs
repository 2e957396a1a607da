//! How a batch is cut into blocks of rows, and blocks into one group a thread.

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::{Element, parallel};

/// Batches below this many rows are one block.
const SPLIT_FROM: usize = 16;

/// The bytes of V from which on a thread that reads all of it at each step waits for it: more than the second cache has.
const FAR: usize = 3 << 20;

/// Batches of up to this many rows are one block where V is that large, so that each thread reads its part.
const MOST_ROWS_OF_FAR: usize = 32;

/// The fewest rows of a block of a cut batch: fewer would read the weights too often.
const FEWEST_ROWS: usize = 8;

/// The rows of the widest tile of a product.
const TILE_ROWS: usize = 6;

/// The terms of a product that take about as long as handing on one more row of a step.
const EXCHANGE_TERMS: usize = 1 << 9;

/// Into how many blocks a batch is cut: by the layer's sizes alone, so that results do not depend on the number of
/// threads.
///
/// Of the even numbers of blocks it takes the one whose blocks fill their tiles best.
pub(crate) fn count<E: Element>(batch: usize, layout: GateLayout) -> usize {
    let tiles = |n: usize| n * batch.div_ceil(n).div_ceil(TILE_ROWS);
    let v = layout.row() * layout.hidden * size_of::<E>();
    let is_one = batch < SPLIT_FROM || (batch <= MOST_ROWS_OF_FAR && v > FAR);
    let most = if is_one { 0 } else { batch / FEWEST_ROWS / 2 };
    (1..=most).rev().map(|half| 2 * half).min_by_key(|&n| tiles(n)).unwrap_or(1)
}

/// Cuts a batch into so many blocks.
pub(crate) fn blocks(batch: usize, n: usize) -> Vec<BlockRows> {
    let edge = |k: usize| k * batch / n;
    (0..n).map(|k| BlockRows { batch, first: edge(k), rows: edge(k + 1) - edge(k) }).collect()
}

/// Cuts the blocks into at most `groups` runs of neighbours with about as many rows each.
pub(crate) fn groups(blocks: &[BlockRows], groups: usize) -> Vec<&[BlockRows]> {
    let n = groups.clamp(1, blocks.len());
    (0..n).map(|k| &blocks[k * blocks.len() / n..(k + 1) * blocks.len() / n]).collect()
}

/// The rows of neighbouring blocks.
pub(crate) fn rows(group: &[BlockRows]) -> usize {
    group.iter().map(|block| block.rows).sum()
}

/// Into how many shares the units of a step are cut: one where a share would not be worth the wait.
pub(crate) fn shares(rows: usize, layout: GateLayout) -> usize {
    let work = rows * layout.row() * layout.hidden;
    let wait = parallel::PHASE_TERMS + (rows - 1) * EXCHANGE_TERMS;
    parallel::threads().min(work / wait).clamp(1, layout.panels())
}

#[cfg(test)]
mod tests {
    use lstm_core::ops::InstructionSet;
    use lstm_core::ops::gate_layout::GateLayout;

    use super::{blocks, count, groups, rows};

    #[test]
    fn blocks_and_groups_cover_the_batch_in_order() {
        let layout = GateLayout::new::<f32>(InstructionSet::Scalar, 20);
        for batch in 1..300 {
            let blocks = blocks(batch, count::<f32>(batch, layout));
            let mut next = 0;
            for block in &blocks {
                assert_eq!((block.batch, block.first), (batch, next));
                assert!(block.rows > 0);
                next += block.rows;
            }
            assert_eq!(next, batch);
            for threads in [1, 2, 3, 64] {
                let groups = groups(&blocks, threads);
                assert_eq!(groups.concat(), blocks);
                assert!(groups.iter().all(|group| rows(group) > 0));
            }
        }
    }
}
