//! Weights from a PyTorch safetensors file, strictly: `cargo run -p examples --example pytorch_weights`.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_core::init::LstmInit;
use lstm_core::random::RandomStream;
use lstm_core::{Lstm, LstmConfig, LstmWeights, weights};
use lstm_hand::HandLstm;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = StackedConfig::new(LstmConfig::new(5, 7))
        .with_layers(2)
        .with_directions(Directions::Both(Merge::Concat));

    // Stands for a file that PyTorch saved: the same names (`encoder.weight_ih_l0`, ..,
    // `encoder.bias_hh_l1_reverse`), the same layout, gate order i, f, g, o.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let mut layers: Vec<LstmWeights<f32>> = Vec::new();
    for (place, layer) in config.layers() {
        let stream = RandomStream::new(1).named(&place.suffix());
        layers.push(LstmInit::default().weights(layer, stream)?);
    }
    let places = config.layers().into_iter().map(|(place, _)| place);
    weights::save(&path, "encoder.", &places.zip(&layers).collect::<Vec<_>>())?;

    // One way: candle's VarBuilder over the file.
    let vb =
        VarBuilder::from_buffered_safetensors(std::fs::read(&path)?, DType::F32, &Device::Cpu)?;
    let lstm = config.build::<HandLstm>(vb.pp("encoder"))?;
    let x = Tensor::zeros((3, 1, 5), DType::F32, &Device::Cpu)?;
    assert_eq!(lstm.forward(&x)?.dims(), [3, 1, 14]);

    // The other way, without candle: every layer's numbers, and an error for anything that does not fit.
    let loaded = weights::load::<f32>(&path, "encoder.", &config.layers())?;
    assert_eq!(loaded, layers);
    let too_small = StackedConfig::new(LstmConfig::new(5, 7));
    let error = weights::load::<f32>(&path, "encoder.", &too_small.layers()).unwrap_err();
    assert!(
        error.to_string().contains("unexpected tensor `encoder.bias_hh_l0_reverse`"),
        "{error}"
    );
    println!("loaded {} layers; a wrong configuration says: {error}", loaded.len());
    Ok(())
}
