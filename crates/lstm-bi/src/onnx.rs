//! The LSTM operator of ONNX over tensors: [`OnnxLstm`].

mod inputs;
mod outputs;
mod parameters;
mod weights;

pub use inputs::OnnxInputs;
pub use outputs::OnnxOutputs;
pub use parameters::OnnxParameters;

use lstm_core::onnx::{EmptyRows, OnnxAttributes, OnnxDialect, OnnxLayout};
use lstm_core::{LstmLayer, Memory, Mode, Result, SeqOptions, SeqOutput, tensors};

/// An LSTM node of ONNX: layers of the implementation `L` behind the operator's inputs and outputs.
///
/// [`OnnxLstm::from_weights`] takes weights in memory, and with the feature `onnx` `from_node` a node that
/// `lstm_core::onnx::load` has read.
///
/// It is differentiable: gradients of Y, Y_h and Y_c flow to X, W, R, B, P and the initial states. What
/// [`OnnxLstm::new`] has put in order is what W, R, B and P held at that moment, so a training step that
/// changes them builds the node anew; that costs one copy of them.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use lstm_bi::{OnnxInputs, OnnxLstm, OnnxParameters};
/// use lstm_core::onnx::{OnnxAttributes, OnnxDialect};
/// use lstm_hand::HandLstm;
///
/// let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
/// let parameters = OnnxParameters {
///     w: zeros(&[1, 4 * 8, 3])?, // [D, 4H, I]
///     r: zeros(&[1, 4 * 8, 8])?, // [D, 4H, H]
///     b: None,
///     p: None,
/// };
/// let dialect = OnnxDialect::default();
/// let node = OnnxLstm::<HandLstm>::new(&OnnxAttributes::default(), dialect, &parameters)?;
/// let outputs = node.run(&OnnxInputs::new(&zeros(&[5, 2, 3])?))?; // X: [T, B, I]
/// assert_eq!(outputs.y()?.dims(), [5, 1, 2, 8]); // [T, D, B, H]
/// assert_eq!(outputs.y_h()?.dims(), [1, 2, 8]); // [D, B, H]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct OnnxLstm<L> {
    /// One or two, one for each direction, in the order of the tensors' first axis.
    layers: Vec<L>,
    layout: OnnxLayout,
    empty_rows: EmptyRows,
}

impl<L: LstmLayer> OnnxLstm<L> {
    /// Builds the node's layers from its attributes and the tensors W, R, B and P.
    ///
    /// Where the attribute `hidden_size` is absent, R says it.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Mismatch`] for a tensor of a wrong shape, dtype or device; as
    /// [`OnnxAttributes::layers`] for attributes and [`LstmLayer::build`] for what the implementation does
    /// not compute.
    pub fn new(
        attributes: &OnnxAttributes,
        dialect: OnnxDialect,
        parameters: &OnnxParameters,
    ) -> Result<Self> {
        let places = attributes.direction.places();
        let (input_size, hidden_size) = parameters.sizes(places.len(), attributes.hidden_size)?;
        let attributes = OnnxAttributes { hidden_size: Some(hidden_size), ..attributes.clone() };
        let (peepholes, biases) = (parameters.p.is_some(), parameters.b.is_some());
        let configs = attributes.layers(input_size, peepholes, biases, dialect)?;
        let mut layers = Vec::with_capacity(configs.len());
        for (index, (place, config)) in configs.iter().enumerate() {
            let mut layer = L::build(config, *place, parameters.variables(index, *place)?)?;
            // What has been put in order is a copy.
            layer.assume_constant();
            layers.push(layer);
        }
        Ok(Self { layers, layout: attributes.layout, empty_rows: dialect.empty_rows })
    }

    /// Runs the node.
    ///
    /// Y is zero past a row's length. Y_h and Y_c are the states after each row's last valid step (after
    /// step 0 for the reverse direction); of a row of length 0 they are what the dialect's `empty_rows` says.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Mismatch`] for an input of a wrong shape, dtype or device, T = 0 or B = 0, and
    /// for a length below 0 or above T, naming its row; [`lstm_core::Error::Candle`] where candle fails.
    pub fn run(&self, inputs: &OnnxInputs<'_>) -> Result<OnnxOutputs> {
        const OP: &str = "OnnxLstm::run";
        let x = inputs.time_major(&self.layers[0], self.layout)?;
        let lengths = inputs.lengths()?;
        let numbered = self.layers.iter().enumerate();
        let initial = numbered
            .map(|(index, layer)| inputs.initial(layer, index, self.layers.len(), self.layout));
        let initial = initial.collect::<Result<Vec<_>>>()?;
        let options = initial.iter().map(|initial| SeqOptions {
            ids: None,
            initial: initial.as_ref(),
            lengths: lengths.as_ref(),
            resets: None,
            mode: Mode::Eval,
            memory: Memory::KeepGates,
        });
        let options: Vec<_> = options.collect();
        for (layer, options) in self.layers.iter().zip(&options) {
            tensors::check_seq(OP, layer, &x, options)?;
        }
        let (output, states) = match (&self.layers[..], &options[..]) {
            ([one, two], [first, second]) => {
                let both = one.seq_both(two, &x, [first, second])?;
                (both.output, both.states.into())
            }
            _ => {
                let SeqOutput { output, state } = self.layers[0].seq(&x, &options[0])?;
                (output, vec![state])
            }
        };
        let empty = match self.empty_rows {
            EmptyRows::CarryState => None,
            EmptyRows::Zero => lengths.filter(|lengths| lengths.rows().contains(&0)),
        };
        OnnxOutputs::new(output, states, self.layout, empty)
    }
}
