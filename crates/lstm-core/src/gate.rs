//! The four gates and the order in which each framework stacks them: the only place that spells an order.

/// One of the four blocks of an LSTM's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// i: how much of the candidate enters the cell, eq. (1).
    Input,
    /// f: how much of the old cell stays, eq. (2).
    Forget,
    /// g: what could enter the cell, eq. (3); ONNX, Keras and cuDNN call it c.
    Candidate,
    /// o: how much of the cell is shown, eq. (4).
    Output,
}

/// The order in which the four gates' rows are stacked in a `[4H, ..]` tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateOrder([Gate; 4]);

impl GateOrder {
    /// i, f, g, o: PyTorch, candle, Keras, Flax, cuDNN, oneDNN, and this project everywhere inside.
    pub const IFGO: Self = Self([Gate::Input, Gate::Forget, Gate::Candidate, Gate::Output]);
    /// i, o, f, g: ONNX, onnxruntime, tract, rten.
    pub const IOFG: Self = Self([Gate::Input, Gate::Output, Gate::Forget, Gate::Candidate]);
    /// i, g, f, o: haste and Haiku.
    pub const IGFO: Self = Self([Gate::Input, Gate::Candidate, Gate::Forget, Gate::Output]);

    /// The gates from the first block to the last.
    pub const fn gates(self) -> [Gate; 4] {
        self.0
    }

    /// The index (0 to 3) of `gate`'s block.
    pub fn block(self, gate: Gate) -> usize {
        // A gate missing from an order cannot be built outside this file.
        self.0.iter().position(|&g| g == gate).unwrap_or(0)
    }

    /// Copies the four equal blocks of `data` from the order `self` into the order `target`.
    ///
    /// `data`: `[4H, ..]`, row-major, so that each gate is one contiguous quarter. A `data` whose length
    /// is no multiple of four comes back unchanged, as it has no gates.
    ///
    /// ```
    /// use lstm_core::GateOrder;
    /// let onnx = GateOrder::IFGO.reorder_to(GateOrder::IOFG, &["i", "f", "g", "o"]);
    /// assert_eq!(onnx, ["i", "o", "f", "g"]);
    /// ```
    pub fn reorder_to<T: Clone>(self, target: Self, data: &[T]) -> Vec<T> {
        let block_len = data.len() / 4;
        if block_len * 4 != data.len() {
            return data.to_vec();
        }
        let mut reordered = Vec::with_capacity(data.len());
        for gate in target.gates() {
            let start = self.block(gate) * block_len;
            reordered.extend_from_slice(&data[start..start + block_len]);
        }
        reordered
    }
}

/// The order in which the three peepholes are stacked in a `[3H]` tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeepholeOrder([Gate; 3]);

impl PeepholeOrder {
    /// i, f, o: oneDNN, and this project everywhere inside.
    pub const IFO: Self = Self([Gate::Input, Gate::Forget, Gate::Output]);
    /// i, o, f: ONNX.
    pub const IOF: Self = Self([Gate::Input, Gate::Output, Gate::Forget]);

    /// The index (0 to 2) of `gate`'s block; the candidate has none.
    pub fn block(self, gate: Gate) -> Option<usize> {
        self.0.iter().position(|&g| g == gate)
    }

    /// Copies the three equal blocks of `data` from the order `self` into the order `target`.
    ///
    /// A `data` whose length is no multiple of three comes back unchanged.
    pub fn reorder_to<T: Clone>(self, target: Self, data: &[T]) -> Vec<T> {
        let block_len = data.len() / 3;
        if block_len * 3 != data.len() {
            return data.to_vec();
        }
        let blocks = target.0.iter().filter_map(|&gate| self.block(gate));
        blocks.flat_map(|block| data[block * block_len..][..block_len].to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, GateOrder, PeepholeOrder};

    #[test]
    fn peepholes_go_there_and_back() {
        let (ifo, iof) = (PeepholeOrder::IFO, PeepholeOrder::IOF);
        let onnx = ifo.reorder_to(iof, &["i", "i", "f", "f", "o", "o"]);
        assert_eq!(onnx, ["i", "i", "o", "o", "f", "f"]);
        assert_eq!(iof.reorder_to(ifo, &onnx), ["i", "i", "f", "f", "o", "o"]);
        assert_eq!(ifo.reorder_to(iof, &[1, 2]), [1, 2]);
    }

    const ORDERS: [GateOrder; 3] = [GateOrder::IFGO, GateOrder::IOFG, GateOrder::IGFO];

    #[test]
    fn every_round_trip_is_exact() {
        let data: Vec<u32> = (0..24).collect();
        for from in ORDERS {
            for to in ORDERS {
                assert_eq!(to.reorder_to(from, &from.reorder_to(to, &data)), data);
            }
        }
    }

    #[test]
    fn blocks_match_the_published_orders() {
        assert_eq!(GateOrder::IOFG.block(Gate::Forget), 2);
        assert_eq!(GateOrder::IGFO.block(Gate::Candidate), 1);
        for order in ORDERS {
            for (block, gate) in order.gates().into_iter().enumerate() {
                assert_eq!(order.block(gate), block);
            }
        }
    }
}
