//! Where a layer stands in a stack, which decides the names of its tensors.

/// In which order of time a layer reads its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// From the first step to the last.
    #[default]
    Forward,
    /// From each row's last valid step to the first; the output stays in input time order.
    Reverse,
}

/// A layer's index in its stack and its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LayerPlace {
    /// 0 for the layer that reads the stack's input.
    pub layer: usize,
    /// The order of time.
    pub direction: Direction,
}

impl LayerPlace {
    /// The forward layer number `layer`.
    pub fn forward(layer: usize) -> Self {
        Self { layer, direction: Direction::Forward }
    }

    /// The reverse layer number `layer`.
    pub fn reverse(layer: usize) -> Self {
        Self { layer, direction: Direction::Reverse }
    }

    /// PyTorch's suffix of every tensor name of this layer: `l0`, `l1_reverse`.
    pub fn suffix(self) -> String {
        match self.direction {
            Direction::Forward => format!("l{}", self.layer),
            Direction::Reverse => format!("l{}_reverse", self.layer),
        }
    }
}
