//! From a node's weights in memory to the node that runs.

use std::collections::HashMap;

use candle_core::{Device, WithDType};
use candle_nn::VarBuilder;
use lstm_core::onnx::{OnnxAttributes, OnnxDialect};
use lstm_core::{Biases, Element, Error, LstmConfig, LstmLayer, LstmWeights, Result, tensors};

use super::OnnxLstm;

impl<L: LstmLayer> OnnxLstm<L> {
    /// Builds the node's layers from its attributes and the weights of its directions, the forward one first.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where there is another number of weights than of directions, or weights are of
    /// another configuration than the attributes say in this dialect; as [`OnnxAttributes::layers`] for
    /// attributes and [`LstmLayer::build`] for what the implementation does not compute.
    pub fn from_weights<E: Element + WithDType>(
        attributes: &OnnxAttributes,
        dialect: OnnxDialect,
        weights: &[LstmWeights<E>],
        device: &Device,
    ) -> Result<Self> {
        const OP: &str = "OnnxLstm::from_weights";
        let n_directions = attributes.direction.places().len();
        let Some(first) = weights.first().filter(|_| weights.len() == n_directions) else {
            let (what, got) = ("number of directions with weights", weights.len());
            return Err(Error::mismatch(OP, what, n_directions, got));
        };
        let first = first.config();
        let hidden_size = attributes.hidden_size.unwrap_or(first.hidden_size);
        let attributes = OnnxAttributes { hidden_size: Some(hidden_size), ..attributes.clone() };
        let biases = first.biases != Biases::None;
        let known = attributes.layers(first.input_size, first.peepholes, biases, dialect)?;
        let mut layers = Vec::with_capacity(known.len());
        for ((place, config), weights) in known.iter().zip(weights) {
            let what = format!("configuration of {}'s weights", place.suffix());
            // What drops in training alone has no word in ONNX.
            let LstmConfig { recurrent_dropout, drop_connect, .. } = *weights.config();
            let config =
                config.with_recurrent_dropout(recurrent_dropout).with_drop_connect(drop_connect);
            Error::check(OP, &what, &config, weights.config())?;
            let named: HashMap<_, _> =
                tensors::from_weights(weights, *place, device)?.into_iter().collect();
            let vb = VarBuilder::from_tensors(named, <E as WithDType>::DTYPE, device);
            let mut layer = L::build(&config, *place, vb)?;
            // The tensors are this node's own.
            layer.assume_constant();
            layers.push(layer);
        }
        Ok(Self { layers, layout: attributes.layout, empty_rows: dialect.empty_rows })
    }

    /// Builds a node that [`lstm_core::onnx::load`] has read, in the dialect in which it was read.
    ///
    /// Lengths and initial states are the run's, even where they are constants of the model's graph.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use lstm_bi::{OnnxInputs, OnnxLstm};
    /// use lstm_core::onnx::{self, OnnxDialect};
    /// use lstm_core::{LayerPlace, LstmConfig, LstmWeights};
    /// use lstm_hand::HandLstm;
    ///
    /// let dialect = OnnxDialect::ONNXRUNTIME;
    /// let weights = LstmWeights::<f32>::zeros(LstmConfig::new(3, 8))?;
    /// let model = onnx::to_bytes("lstm", &[(LayerPlace::forward(0), &weights)], dialect)?;
    /// let read = onnx::lstms_from_bytes::<f32>(&model, dialect)?.remove(0);
    /// let node = OnnxLstm::<HandLstm>::from_node(&read, dialect, &Device::Cpu)?;
    /// let x = Tensor::zeros((5, 2, 3), DType::F32, &Device::Cpu)?; // [T, B, I]
    /// assert_eq!(node.run(&OnnxInputs::new(&x))?.y()?.dims(), [5, 1, 2, 8]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`OnnxLstm::from_weights`].
    #[cfg(feature = "onnx")]
    pub fn from_node<E: Element + WithDType>(
        read: &lstm_core::onnx::OnnxLstm<E>,
        dialect: OnnxDialect,
        device: &Device,
    ) -> Result<Self> {
        Self::from_weights(&read.node.attributes, dialect, &read.weights, device)
    }
}
