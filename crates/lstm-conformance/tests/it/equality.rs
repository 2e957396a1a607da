//! Hand, candle and the equations agree in outputs, states and every gradient.

use candle_core::DType;
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_conformance::{largest_error, random_case, tolerance};
use lstm_core::{Lengths, LstmConfig};
use proptest::prelude::*;

use crate::subjects;

proptest! {
    #[test]
    fn implementations_agree_on_any_stack(case in subjects::any_case()) {
        let [hand, candle, reference] = subjects::all();
        let expected = reference.solve(&case).unwrap();
        for subject in [hand, candle] {
            let answer = subject.solve(&case).unwrap();
            prop_assert_eq!(answer.len(), expected.len());
            let (error, worst) = largest_error(&answer, &expected).unwrap();
            prop_assert!(error <= tolerance(case.dtype), "{}: {worst}: {error:e}", subject.name());
        }
    }
}

#[test]
fn implementations_agree_on_every_merge() {
    for merge in [Merge::Concat, Merge::Sum, Merge::Mean, Merge::Product] {
        let config = StackedConfig::new(LstmConfig::new(3, 4))
            .with_layers(2)
            .with_directions(Directions::Both(merge));
        let mut case = random_case(config, (6, 3), DType::F64, 1).unwrap();
        case.lengths = Some(Lengths::new(vec![6, 0, 3]));
        let answer = subjects::hand().solve(&case).unwrap();
        let expected = subjects::candle().solve(&case).unwrap();
        let (error, worst) = largest_error(&answer, &expected).unwrap();
        assert!(error <= tolerance(case.dtype), "{merge:?}: {worst}: {error:e}");
    }
}
