//! The gradient of h or c on its way: `[B, H]` to the order in which the steps read it, and back.

use std::ops::Range;

use lstm_core::Element;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::panels::Panels;

/// The units of each vector of a packed state, in the order of `[blocks, panels of V, rows, vectors]`, as
/// rows and units of `[B, H]`.
fn state_parts<E: Element>(
    blocks: &[BlockRows],
    v: &Panels<E>,
    layout: GateLayout,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    blocks.iter().flat_map(move |block| {
        (0..v.len()).flat_map(move |panel| {
            block.range().flat_map(move |row| v.span(panel).map(move |j| (row, layout.units(j))))
        })
    })
}

/// `[B, H]` to a packed state; zeros where absent.
pub(super) fn pack_state<E: Element>(
    blocks: &[BlockRows],
    from: Option<&[E]>,
    v: &Panels<E>,
    layout: GateLayout,
    to: &mut [E],
) {
    to.fill(E::ZERO);
    let Some(from) = from else { return };
    for (part, (row, units)) in to.chunks_mut(layout.lanes).zip(state_parts(blocks, v, layout)) {
        part[..units.len()].copy_from_slice(&from[row * layout.hidden..][units]);
    }
}

/// A packed state to `[B, H]`.
pub(super) fn unpack_state<E: Element>(
    blocks: &[BlockRows],
    from: &[E],
    v: &Panels<E>,
    layout: GateLayout,
    to: &mut [E],
) {
    for (part, (row, units)) in from.chunks(layout.lanes).zip(state_parts(blocks, v, layout)) {
        let n = units.len();
        to[row * layout.hidden..][units].copy_from_slice(&part[..n]);
    }
}
