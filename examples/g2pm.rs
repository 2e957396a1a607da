//! Pronunciations of Mandarin sentences of different lengths with g2pM's weights: `cargo run -p examples --example g2pm -- FOLDER`.

use candle_core::{D, DType, Device, Module, Result};
use candle_nn::{Linear, VarBuilder};
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_core::{Lengths, Lstm, LstmConfig, LstmState, SeqOptions};
use lstm_hand::HandLstm;
use real_model::RealModel;

fn main() -> Result<()> {
    let Some(model) = RealModel::from_arguments("g2pm")? else { return Ok(()) };
    let vb = VarBuilder::from_tensors(model.tensors.clone(), DType::F32, &Device::Cpu);
    let lstm = StackedConfig::new(LstmConfig::new(64, 32))
        .with_directions(Directions::Both(Merge::Concat))
        .build::<HandLstm>(vb)?;

    let lengths: Vec<usize> =
        model.get("lengths")?.to_vec1::<i32>()?.into_iter().map(|n| n as usize).collect();
    let batch = Lengths::new(lengths.clone());
    let initial = LstmState { h: model.get("h0")?.clone(), c: model.get("c0")?.clone() };
    let options =
        SeqOptions { initial: Some(&initial), lengths: Some(&batch), ..Default::default() };
    let out = lstm.seq(model.get("x")?, &options)?;
    model.check("output", &out.output)?;
    model.check("h_n", &out.state.h)?;
    model.check("c_n", &out.state.c)?;

    let dense = |name: &str| {
        let weight = model.get(&format!("extra.{name}.weight"))?.clone();
        Ok::<_, candle_core::Error>(Linear::new(
            weight,
            Some(model.get(&format!("extra.{name}.bias"))?.clone()),
        ))
    };
    let scores = dense("fc1")?.forward(&dense("fc0")?.forward(&out.output)?.relu()?)?;
    model.check("extra.logits", &scores)?; // [T, B, 876]
    let best = scores.argmax(D::Minus1)?.t()?.to_vec2::<u32>()?;
    for (row, length) in lengths.into_iter().enumerate() {
        let text = model.about["texts"][row].as_str().unwrap_or_default();
        println!("{text}: pronunciations {:?}", &best[row][..length]);
    }
    Ok(())
}
