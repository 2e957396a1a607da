//! How the four gates of H units lie in a row of z, of dz and of the tape.

use std::ops::Range;

use super::simd::instruction_set::InstructionSet;

/// The gates of a row: `[panel][gate][unit]`.
///
/// A panel holds as many units as a vector has elements, so that each gate is a vector. The last panel holds
/// the rest. Where that saves vectors its gates lie without gaps, otherwise each starts a vector; everything
/// else in it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLayout {
    /// H.
    pub hidden: usize,
    /// Units in a panel: the elements of a vector.
    pub lanes: usize,
}

/// One panel of a [`GateLayout`]: what a loop over its cells needs to know, computed once.
#[derive(Debug, Clone)]
pub(super) struct PanelLayout {
    /// The units.
    pub(super) units: Range<usize>,
    /// Elements of a row in the panel.
    pub(super) width: usize,
    /// Elements from one gate to the next.
    pub(super) stride: usize,
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

    /// Elements from one gate of a panel to the next.
    #[inline(always)]
    pub fn stride(&self, panel: usize) -> usize {
        if self.width(panel) == self.widest() { self.lanes } else { self.units(panel).len() }
    }

    /// The layout, for a kernel whose vectors have the constant `lanes`: with it no place takes a division.
    #[inline(always)]
    pub(super) fn of_lanes(self, lanes: usize) -> Self {
        debug_assert_eq!(self.lanes, lanes);
        Self { lanes, ..self }
    }

    /// The panel `panel`.
    #[inline(always)]
    pub(super) fn panel(&self, panel: usize) -> PanelLayout {
        PanelLayout {
            units: self.units(panel),
            width: self.width(panel),
            stride: self.stride(panel),
        }
    }

    /// Where the rows of W, `[4H, ..]`, have their places in a row of gates, in the order of these places.
    pub fn rows(self) -> impl Iterator<Item = (Range<usize>, usize)> {
        (0..self.panels()).flat_map(move |panel| {
            let units = self.units(panel);
            (0..4).map(move |gate| {
                let [first, end] = [units.start, units.end].map(|unit| gate * self.hidden + unit);
                (first..end, self.start(panel) + gate * self.stride(panel))
            })
        })
    }

    /// The rows of W, `[4H, cols]`, in the order of a row of gates, neighbours together; `None` for the place
    /// of a zero.
    pub fn runs<'a, E>(
        self,
        w: &'a [E],
        cols: usize,
    ) -> impl Iterator<Item = Option<&'a [E]>> + use<'a, E> {
        let mut place = 0;
        let zeros = |n: usize| std::iter::repeat_n(None, n);
        let runs = self.rows().flat_map(move |(rows, first)| {
            let gap = first - place;
            place = first + rows.len();
            zeros(gap).chain([w.get(rows.start * cols..rows.end * cols)])
        });
        runs.chain(zeros(self.row()))
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
                let mut rows: Vec<usize> = layout.rows().flat_map(|(rows, _)| rows).collect();
                rows.sort_unstable();
                assert!(rows.into_iter().eq(0..4 * hidden));
                assert!(layout.row() < 4 * hidden + lanes);
                let places: Vec<usize> =
                    layout.rows().flat_map(|(rows, first)| first..first + rows.len()).collect();
                assert!(places.is_sorted_by(|a, b| a < b) && places[4 * hidden - 1] < layout.row());
                assert_eq!(layout.columns(0..layout.panels()), 0..layout.row());
                for panel in 0..layout.panels() {
                    let (units, width) = (layout.units(panel), layout.width(panel));
                    assert!(width.is_multiple_of(lanes) && 4 * units.len() <= width);
                    assert!(3 * layout.stride(panel) + units.len() <= width);
                }
                let w: Vec<usize> = (1..=4 * hidden).collect();
                let runs: Vec<usize> = layout
                    .runs(&w, 1)
                    .flat_map(|run| run.map_or(vec![0], <[usize]>::to_vec))
                    .take(layout.row())
                    .collect();
                for (rows, first) in layout.rows() {
                    assert_eq!(runs[first..first + rows.len()], w[rows]);
                }
                assert_eq!(runs.iter().filter(|&&row| row > 0).count(), 4 * hidden);
            }
        }
    }
}
