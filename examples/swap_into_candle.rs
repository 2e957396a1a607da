//! Our layer inside someone's candle model in place of `candle_nn::LSTM`: `cargo run -p examples --example swap_into_candle`.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Linear, Module, RNN, VarBuilder, VarMap};
use lstm_core::{Lstm, LstmConfig};
use lstm_hand::HandLstm;

/// A model as candle users write it: batch-first input, the last step's output, a linear head.
struct Before {
    lstm: candle_nn::LSTM,
    head: Linear,
}

impl Before {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let states = self.lstm.seq(x)?;
        self.head.forward(states[states.len() - 1].h())
    }
}

/// The same model with two lines changed; the tensor names, and so checkpoints, stay.
struct After {
    lstm: HandLstm,
    head: Linear,
}

impl After {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let output = self.lstm.forward(&x.transpose(0, 1)?)?; // [B, T, I] to [T, B, I]
        self.head.forward(&output.get(x.dim(1)? - 1)?)
    }
}

fn main() -> Result<()> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let (features, hidden) = (6, 16);
    let head = || candle_nn::linear(hidden, 2, vb.pp("head"));

    let lstm = candle_nn::lstm(features, hidden, Default::default(), vb.pp("lstm"))?;
    let before = Before { lstm, head: head()? };
    // Asked for the same names, the builder returns the same variables.
    let lstm = HandLstm::new(&LstmConfig::new(features, hidden), vb.pp("lstm"))?;
    let after = After { lstm, head: head()? };

    let x = Tensor::randn(0_f32, 1.0, (4, 12, features), &Device::Cpu)?; // [B, T, I]
    let difference = before.forward(&x)?.sub(&after.forward(&x)?)?.abs()?.max_all()?;
    assert!(difference.to_scalar::<f32>()? < 1e-5);

    // Gradients reach every variable, through one node of the graph for the whole sequence.
    let gradients = after.forward(&x)?.sqr()?.sum_all()?.backward()?;
    assert!(variables.all_vars().iter().all(|var| gradients.get(var).is_some()));
    println!("same output, same names, {} variables with gradients", variables.all_vars().len());
    Ok(())
}
