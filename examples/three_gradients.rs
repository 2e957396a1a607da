//! The same gradients three ways, by hand, autograd and finite differences: `cargo run -p examples --example three_gradients`.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarMap;
use lstm_candle::CandleLstm;
use lstm_core::variables::{seeded, sorted};
use lstm_core::{Lstm, LstmConfig};
use lstm_hand::HandLstm;

/// The loss Σ h², summed over steps, rows and units.
fn loss(lstm: &dyn Lstm, x: &Tensor) -> Result<Tensor> {
    lstm.forward(x)?.sqr()?.sum_all()
}

fn main() -> Result<()> {
    let config = LstmConfig::new(3, 4);
    let variables = VarMap::new();
    let vb = seeded(&variables, 1, DType::F64, &Device::Cpu);
    // The same builder, so the same variables.
    let hand = HandLstm::new(&config, vb.clone())?;
    let framework = CandleLstm::new(&config, vb)?;
    let x = Tensor::arange(0_f64, 30.0, &Device::Cpu)?.sin()?.reshape((5, 2, 3))?;

    let by_hand = loss(&hand, &x)?.backward()?;
    let by_autograd = loss(&framework, &x)?.backward()?;
    for (name, var) in sorted(&variables) {
        let first = |t: &Tensor| t.flatten_all()?.get(0)?.to_scalar::<f64>();
        let missing = || candle_core::Error::Msg(format!("no gradient for {name}"));
        let hand_value = first(by_hand.get(&var).ok_or_else(missing)?)?;
        let autograd_value = first(by_autograd.get(&var).ok_or_else(missing)?)?;
        let measured = slope(&var, || loss(&hand, &x)?.to_scalar::<f64>())?;
        println!(
            "{name:<13} hand {hand_value:.9}  autograd {autograd_value:.9}  measured {measured:.9}"
        );
        assert!((hand_value - autograd_value).abs() < 1e-12);
        assert!((hand_value - measured).abs() < 1e-7);
    }
    Ok(())
}

/// dL/dw of the variable's first number, by central differences.
fn slope(var: &Var, loss: impl Fn() -> Result<f64>) -> Result<f64> {
    let original = var.as_tensor().copy()?;
    let at = |shift: f64| -> Result<f64> {
        let mut numbers = original.flatten_all()?.to_vec1::<f64>()?;
        numbers[0] += shift;
        var.set(&Tensor::from_vec(numbers, original.shape(), &Device::Cpu)?)?;
        loss()
    };
    let slope = (at(1e-5)? - at(-1e-5)?) / 2e-5;
    var.set(&original)?;
    Ok(slope)
}
