//! How the four gates of H units lie in a row of z, of dz and of the tape.

use std::ops::Range;

use super::simd::instruction_set::InstructionSet;

/// The gates of a row: `[panel][gate][unit]`.
///
/// A panel holds as many units as a vector has elements, so that each gate is a vector. The last panel holds
/// the rest: its gates lie without gaps, and zeros fill its last vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLayout {
    /// H.
    pub hidden: usize,
    /// Units in a panel: the elements of a vector.
    pub lanes: usize,
}

impl GateLayout {
    /// The layout for an element type and an instruction set.
    pub fn new<E>(set: InstructionSet, hidden: usize) -> Self {
        Self { hidden, lanes: set.lanes::<E>() }
    }

    /// The number of panels.
    #[inline(always)]
    pub fn panels(&self) -> usize {
        self.hidden.div_ceil(self.lanes)
    }

    /// Elements of a row of gates, the zeros at its end included.
    #[inline(always)]
    pub fn row(&self) -> usize {
        (4 * self.hidden).next_multiple_of(self.lanes)
    }

    /// The place of a panel in a row; the end of the row for the number past the last.
    #[inline(always)]
    pub fn start(&self, panel: usize) -> usize {
        (panel * self.widest()).min(self.row())
    }

    /// The places of neighbouring panels in a row.
    #[inline(always)]
    pub fn columns(&self, panels: Range<usize>) -> Range<usize> {
        self.start(panels.start)..self.start(panels.end)
    }

    /// Elements of a row in one panel: four vectors, or fewer in the last one.
    #[inline(always)]
    pub fn width(&self, panel: usize) -> usize {
        self.columns(panel..panel + 1).len()
    }

    /// Elements of a row in every panel but the last.
    #[inline(always)]
    pub fn widest(&self) -> usize {
        4 * self.lanes
    }

    /// The units of a panel.
    #[inline(always)]
    pub fn units(&self, panel: usize) -> Range<usize> {
        let first = panel * self.lanes;
        first..(first + self.lanes).min(self.hidden)
    }

    /// The row of W, `[4H, ..]`, that position `k` of a row of gates stands for; `None` for padding.
    pub fn source(&self, k: usize) -> Option<usize> {
        let panel = k / self.widest();
        let (units, at) = (self.units(panel), k % self.widest());
        let gate = at / units.len().max(1);
        (gate < 4 && k < self.row()).then(|| gate * self.hidden + units.start + at % units.len())
    }

    /// The rows of W, `[4H, cols]`, in the order of a row of gates; nothing for padding.
    pub fn rows<'a, E>(
        self,
        w: &'a [E],
        cols: usize,
    ) -> impl Iterator<Item = Option<&'a [E]>> + use<'a, E> {
        (0..self.row()).map(move |k| {
            let row = self.source(k)?;
            w.get(row * cols..(row + 1) * cols)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::GateLayout;

    #[test]
    fn every_row_of_w_has_one_place_and_panels_cover_the_row() {
        for lanes in [1, 2, 4, 8, 16] {
            for hidden in 1..70 {
                let layout = GateLayout { hidden, lanes };
                let mut rows: Vec<usize> =
                    (0..layout.row()).filter_map(|k| layout.source(k)).collect();
                rows.sort_unstable();
                assert!(rows.into_iter().eq(0..4 * hidden));
                assert!(layout.row() < 4 * hidden + lanes);
                assert_eq!(layout.columns(0..layout.panels()), 0..layout.row());
                for panel in 0..layout.panels() {
                    let (units, width) = (layout.units(panel), layout.width(panel));
                    assert!(width.is_multiple_of(lanes) && 4 * units.len() <= width);
                    for gate in 0..4 {
                        for (k, unit) in units.clone().enumerate() {
                            let at = layout.start(panel) + gate * units.len() + k;
                            assert_eq!(layout.source(at), Some(gate * hidden + unit));
                        }
                    }
                }
            }
        }
    }
}
