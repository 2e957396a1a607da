//! Moves of numbers that the layouts are made of; none of them computes.

use crate::{Element, Gate, GateOrder};

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transposed<E: Element>(data: &[E], rows: usize, columns: usize) -> Vec<E> {
    let column = |c: usize| (0..rows).map(move |r| data[r * columns + c]);
    (0..columns).flat_map(column).collect()
}

/// Ours, `[4H, n]` in the order i, f, g, o, to columns of gates, `[n, 4H]` in `order`.
pub(super) fn to_columns<E: Element>(ours: &[E], n: usize, order: GateOrder) -> Vec<E> {
    transposed(&GateOrder::IFGO.reorder_to(order, ours), ours.len() / n, n)
}

/// Columns of gates, `[n, 4H]` in `order`, to ours, `[4H, n]` in the order i, f, g, o.
pub(super) fn from_columns<E: Element>(theirs: &[E], n: usize, order: GateOrder) -> Vec<E> {
    order.reorder_to(GateOrder::IFGO, &transposed(theirs, n, theirs.len() / n))
}

/// The rows of one gate of ours, `[4H, ..]` in the order i, f, g, o.
pub(super) fn gate_rows<E>(ours: &[E], gate: Gate) -> &[E] {
    let len = ours.len() / 4;
    &ours[GateOrder::IFGO.block(gate) * len..][..len]
}
