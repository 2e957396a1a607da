//! Voice activity, frame by frame as it comes, with silero's weights: `cargo run -p examples --example silero_vad -- FOLDER`.

use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use lstm_core::{LayerPlace, LstmConfig, LstmState, LstmWeights};
use lstm_hand::Stream;
use real_model::RealModel;

fn main() -> Result<()> {
    let Some(model) = RealModel::from_arguments("silero_vad")? else { return Ok(()) };
    let weights = LstmWeights::<f32>::new(LstmConfig::new(128, 128), |parameter| {
        Ok(model.numbers(&parameter.name(LayerPlace::forward(0)))?)
    })?;
    let mut stream = Stream::new(weights)?;
    let (h, c) = (model.numbers("h0")?, model.numbers("c0")?);
    stream.set_state(0, LstmState { h: &h, c: &c })?;
    let weight = model.numbers("extra.linear.weight")?;
    let bias = model.numbers("extra.linear.bias")?[0];

    let frames = model.numbers("x")?; // [T, 128]: what the model's encoder makes of 32 ms of sound.
    let (mut outputs, mut speech) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for frame in frames.chunks_exact(128) {
        let h = stream.step(frame)?;
        let score = h.iter().zip(&weight).fold(bias, |sum, (h, w)| sum + h.max(0.0) * w);
        speech.push(1.0 / (1.0 + (-score).exp()));
        outputs.extend_from_slice(h);
    }
    let microseconds = start.elapsed().as_secs_f64() * 1e6 / speech.len() as f64;

    let shape = |name| Ok::<_, candle_core::Error>(model.get(name)?.shape().clone());
    let tensor = |numbers: &[f32], name| Tensor::from_slice(numbers, shape(name)?, &Device::Cpu);
    model.check("output", &tensor(&outputs, "output")?)?;
    model.check("extra.prob", &tensor(&speech, "extra.prob")?)?;
    model.check("h_n", &tensor(stream.state(0)?.h, "h_n")?)?;
    model.check("c_n", &tensor(stream.state(0)?.c, "c_n")?)?;
    let line = speech.iter().map(|&p| if p > 0.5 { '#' } else { '.' }).collect::<String>();
    println!("{line}\n{microseconds:.1} µs a frame of 32000 µs; # is speech");
    Ok(())
}
