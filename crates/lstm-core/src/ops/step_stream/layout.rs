//! How the four gates of H units lie in a row of a step.

/// The gates of a row: `[panel][gate][lane]`, with zeros past the last unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepLayout {
    /// H.
    pub(super) hidden: usize,
    /// Units in a panel.
    pub(super) lanes: usize,
}

impl StepLayout {
    /// The number of panels.
    pub(super) fn panels(&self) -> usize {
        self.hidden.div_ceil(self.lanes)
    }

    /// Elements of a row in one panel: four vectors.
    pub(super) fn width(&self) -> usize {
        4 * self.lanes
    }

    /// Elements of a row of gates, padding included.
    pub(super) fn row(&self) -> usize {
        self.panels() * self.width()
    }

    /// The row of W, `[4H, ..]`, that position `k` of a row of gates stands for; `None` for padding.
    pub(super) fn source(&self, k: usize) -> Option<usize> {
        let (panel, gate, lane) = (k / self.width(), k / self.lanes % 4, k % self.lanes);
        let unit = panel * self.lanes + lane;
        (unit < self.hidden).then_some(gate * self.hidden + unit)
    }
}
