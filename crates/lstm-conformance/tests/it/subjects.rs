//! The implementations under test, and random stacks.

use candle_core::DType;
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_candle::CandleLstm;
use lstm_conformance::{Case, LayerSubject, ReferenceSubject, Subject, random_case};
use lstm_core::{Lengths, LstmConfig};
use lstm_hand::HandLstm;
use proptest::prelude::*;

pub fn all() -> [Box<dyn Subject>; 3] {
    [hand(), candle(), Box::new(ReferenceSubject)]
}

pub fn hand() -> Box<dyn Subject> {
    Box::new(LayerSubject::<HandLstm>::new("hand"))
}

pub fn candle() -> Box<dyn Subject> {
    Box::new(LayerSubject::<CandleLstm>::new("candle"))
}

/// Any small stack on any small input, in both precisions.
pub fn any_case() -> impl Strategy<Value = Case> {
    let sizes = (1..6_usize, 1..5_usize, 1..4_usize, 1..7_usize, 1..4_usize);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let case = (sizes, flags, any::<u64>()).prop_flat_map(|(sizes, flags, seed)| {
        let (n_steps, batch, ..) = sizes;
        let lengths = prop::option::of(prop::collection::vec(0..=n_steps, batch));
        (Just(sizes), Just(flags), Just(seed), lengths)
    });
    case.prop_map(|((n_steps, batch, input, hidden, n_layers), flags, seed, lengths)| {
        let (bias, both, state, double) = flags;
        let directions = if both { Directions::Both(Merge::Concat) } else { Directions::Forward };
        let config = StackedConfig::new(LstmConfig::new(input, hidden).with_bias(bias))
            .with_layers(n_layers)
            .with_directions(directions);
        let dtype = if double { DType::F64 } else { DType::F32 };
        let mut case = random_case(config, (n_steps, batch), dtype, seed).unwrap();
        case.lengths = lengths.map(Lengths::new);
        if !state {
            case.initial = None;
        }
        case
    })
}
