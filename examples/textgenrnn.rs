//! Text from textgenrnn's character model: `cargo run -p examples --example textgenrnn -- FOLDER [TEMPERATURE [SEED]]`.

use candle_core::{D, DType, Device, IndexOp, Result, Tensor};
use candle_nn::{VarBuilder, ops::softmax};
use lstm_core::random::RandomStream;
use lstm_core::{LayerPlace, Lstm, LstmConfig, LstmLayer, LstmState, SeqOptions};
use lstm_hand::HandLstm;
use real_model::RealModel;

/// The next character's distribution `[B, 465]` after `ids`, `[T, B]`, and what the layers made of them.
fn run(model: &RealModel, ids: &Tensor) -> Result<(Tensor, Tensor, LstmState<Tensor>)> {
    let vb = VarBuilder::from_tensors(model.tensors.clone(), DType::F32, &Device::Cpu);
    let layer = |k, input| {
        HandLstm::build(&LstmConfig::new(input, 128), LayerPlace::forward(k), vb.clone())
    };
    let (n_steps, batch) = ids.dims2()?;
    let ids = ids.flatten_all()?.to_dtype(DType::U32)?;
    let x = model.get("extra.embedding")?.index_select(&ids, 0)?.reshape((n_steps, batch, 100))?;
    let below = layer(0, 100)?.seq(&x, &SeqOptions::default())?;
    let above = layer(1, 128)?.seq(&below.output, &SeqOptions::default())?;
    // The read-out sees a mean of all steps, weighted by how much each matters (attention).
    let seen = Tensor::cat(&[&x, &below.output, &above.output], D::Minus1)?; // [T, B, 356]
    let share = softmax(&seen.broadcast_matmul(model.get("extra.attention_W")?)?, 0)?; // [T, B, 1]
    let mean = seen.broadcast_mul(&share)?.sum(0)?;
    let scores = mean.matmul(model.get("extra.out_kernel")?)?;
    let scores = scores.broadcast_add(model.get("extra.out_bias")?)?;
    let h = Tensor::cat(&[below.state.h, above.state.h], 0)?;
    let state = LstmState { h, c: Tensor::cat(&[below.state.c, above.state.c], 0)? };
    Ok((softmax(&scores, D::Minus1)?, above.output, state))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let Some(model) = RealModel::from_arguments("textgenrnn")? else { return Ok(()) };
    let (next, output, state) = run(&model, model.get("extra.ids")?)?;
    model.check("output", &output)?;
    model.check("h_n", &state.h)?;
    model.check("c_n", &state.c)?;
    model.check("extra.prob", &next)?;

    let argument = |n, default: &str| std::env::args().nth(n).unwrap_or(default.to_owned());
    let (temperature, seed) = (argument(2, "0.5").parse::<f64>()?, argument(3, "1").parse()?);
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(format!("TEMPERATURE: expected a number above 0, got {temperature}").into());
    }
    let vocabulary = model.about["vocab"].as_object().ok_or("no vocabulary")?;
    let letter = |id: u32| vocabulary.iter().find(|(_, n)| n.as_u64() == Some(id.into()));
    let end = vocabulary["<s>"].as_u64().ok_or("no id of <s>")? as u32;
    let (mut ids, mut text) = (vec![end], String::new());
    for draw in 0..300 {
        let window: Vec<u32> = [vec![0; 40], ids.clone()].concat(); // Padded on the left with 0.
        let window = Tensor::from_slice(&window[window.len() - 40..], (40, 1), &Device::Cpu)?;
        let next = run(&model, &window)?.0.i(0)?.to_vec1::<f32>()?;
        let mass = next.iter().map(|&p| f64::from(p).powf(1.0 / temperature)).collect::<Vec<_>>();
        let level = RandomStream::new(seed).uniform(draw) * mass.iter().sum::<f64>();
        let sums = mass.iter().scan(0.0, |sum, mass| Some(std::mem::replace(sum, *sum + mass)));
        let id = sums.take_while(|&below| below <= level).count() as u32 - 1;
        ids.push(id);
        match letter(id) {
            Some((letter, _)) if id != end => text += letter,
            _ => break,
        }
    }
    println!("temperature {temperature}, seed {seed}: {text}");
    Ok(())
}
