//! What a run keeps for its backward pass.

use std::ops::Range;

use crate::Direction;

/// What a recorded run over a sequence keeps until its backward pass, which computes the rest again.
///
/// The input and the output are there in any case, since the layers below and above hold them. All numbers are
/// the same in all, but for the rounding of gradients that are summed over the steps. Where nothing is recorded,
/// nothing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Memory {
    /// Gates and cell of every step: the quickest.
    #[default]
    KeepGates,
    /// The cell of every step. The backward pass computes the gates again, of all steps side by side, since
    /// every h_{t-1} is an output.
    RecomputeGates,
    /// The state at the borders of segments of about √T steps. The backward pass runs the segments again,
    /// from the last to the first (Chen et al. 2016, "Training deep nets with sublinear memory cost";
    /// Gruslys et al. 2016 for recurrent networks).
    Checkpoints,
}

/// The segments of [`Memory::Checkpoints`]: cuts `n_steps` steps, in the order in which `direction` computes
/// them, into segments of `most` steps, the last one shorter, as steps of the input.
pub fn segments(n_steps: usize, most: usize, direction: Direction) -> Vec<Range<usize>> {
    let starts = (0..n_steps).step_by(most.max(1));
    let segment = |start: usize| {
        let end = (start + most.max(1)).min(n_steps);
        match direction {
            Direction::Forward => start..end,
            Direction::Reverse => n_steps - end..n_steps - start,
        }
    };
    starts.map(segment).collect()
}

/// √T rounded up: the steps of a segment of [`Memory::Checkpoints`].
pub fn segment_steps(n_steps: usize) -> usize {
    let root = n_steps.isqrt();
    if root * root < n_steps { root + 1 } else { root }
}

#[cfg(test)]
mod tests {
    use super::{segment_steps, segments};
    use crate::Direction;

    #[test]
    fn segments_cover_the_steps_in_the_order_of_computation() {
        for n_steps in 1..60_usize {
            let most = segment_steps(n_steps);
            assert!(most * most >= n_steps && (most - 1) * (most - 1) < n_steps);
            let forward = segments(n_steps, most, Direction::Forward);
            assert!(forward.iter().all(|steps| (1..=most).contains(&steps.len())));
            let steps: Vec<usize> = forward.clone().into_iter().flatten().collect();
            assert_eq!(steps, (0..n_steps).collect::<Vec<_>>());
            let reverse = segments(n_steps, most, Direction::Reverse);
            let steps: Vec<usize> = reverse.iter().flat_map(|steps| steps.clone().rev()).collect();
            assert_eq!(steps, (0..n_steps).rev().collect::<Vec<_>>());
            assert!(forward.iter().zip(&reverse).all(|(one, other)| one.len() == other.len()));
        }
    }
}
