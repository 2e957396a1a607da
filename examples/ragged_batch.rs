//! A bidirectional stack over rows of different lengths: `cargo run -p examples --example ragged_batch`.

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::VarMap;
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_core::variables::seeded;
use lstm_core::{Lengths, Lstm, LstmConfig, SeqOptions};
use lstm_hand::HandLstm;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = StackedConfig::new(LstmConfig::new(3, 8))
        .with_layers(2)
        .with_directions(Directions::Both(Merge::Concat))
        .with_dropout(0.5); // Between the layers, and only in training.
    let variables = VarMap::new();
    let lstm = config.build::<HandLstm>(seeded(&variables, 1, DType::F32, &Device::Cpu))?;

    // Rows need no order, a row may be empty, and padding may hold anything, NaN included.
    let lengths = Lengths::new(vec![2, 6, 0, 4]);
    let x = Tensor::randn(0_f32, 1.0, (6, 4, 3), &Device::Cpu)?; // [T, B, I]
    let junk = Tensor::full(f32::NAN, (4, 1, 3), &Device::Cpu)?;
    let x = x.slice_assign(&[2..6, 0..1, 0..3], &junk)?; // Row 0 is 2 steps long.
    let out = lstm.seq(&x, &SeqOptions { lengths: Some(&lengths), ..SeqOptions::default() })?;
    assert_eq!(out.output.dims(), [6, 4, 16]);
    assert_eq!(out.state.h.dims(), [4, 4, 8]); // [L·D, B, H]

    // Output past a row's length is zero, and the empty row's state is the initial one.
    let zero = |t: Tensor| t.abs()?.max_all()?.to_scalar::<f32>().map(|largest| largest == 0.0);
    assert!(zero(out.output.i((2.., 0))?)?);
    assert!(zero(out.state.c.i((.., 2))?)?);

    // A row of the batch equals the row alone.
    let alone = lstm.forward(&x.i((..4, 3..4))?)?;
    let together = out.output.i((..4, 3..4))?;
    let difference = alone.sub(&together)?.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(difference < 1e-6, "{difference}");
    println!("4 rows of lengths {:?}; a row alone differs by {difference:.0e}", lengths.rows());
    Ok(())
}
