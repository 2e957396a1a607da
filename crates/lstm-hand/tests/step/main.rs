//! What a step must not do: allocate, or reach code that panics.

use lstm_core::init::LstmInit;
use lstm_core::random::RandomStream;
use lstm_core::{Element, LstmConfig, LstmWeights};
use lstm_hand::{Stream, WeightFormat};

mod machine_code;

fn stack<E: Element>(sizes: &[usize]) -> Vec<LstmWeights<E>> {
    let layer = |pair: &[usize]| {
        let config = LstmConfig::new(pair[0], pair[1]);
        LstmInit::default().weights(config, RandomStream::new(1)).unwrap()
    };
    sizes.windows(2).map(layer).collect()
}

#[track_caller]
fn allocates_nothing<E: Element>(stream: Stream<E>) {
    for sequences in [1, 2, 7] {
        let mut stream = stream.clone().with_sequences(sequences).unwrap();
        let x = vec![E::ONE; sequences * stream.input_size()];
        // The first step counts too.
        let counted = allocation_counter::measure(|| {
            for _ in 0..1000 {
                stream.step(&x).unwrap();
            }
            stream.reset();
        });
        assert_eq!(counted.count_total, 0, "{sequences} sequences");
    }
}

#[test]
fn steps_allocate_nothing() {
    // The counter counts.
    assert_eq!(
        allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total,
        1
    );
    for sizes in [&[5, 16][..], &[3, 33], &[7, 20, 40]] {
        allocates_nothing(Stream::<f64>::stacked(stack(sizes)).unwrap());
        for format in [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8] {
            allocates_nothing(Stream::with_format(stack(sizes), format).unwrap());
        }
        for (input, hidden) in [(6, 9), (150, 200)] {
            let config = LstmConfig::new(input, hidden)
                .with_proj_size(hidden / 2)
                .with_peepholes(true)
                .with_gate_clip(2.0)
                .with_learned_state(true);
            let weights = LstmInit::default().weights(config, RandomStream::new(1)).unwrap();
            allocates_nothing(Stream::<f32>::new(weights).unwrap());
        }
    }
}
