//! W, R, B and P: the layout of an LSTM node's weights.

use super::export::check_layers;
use crate::{
    Biases, Element, Error, GateOrder, LayerPlace, LstmConfig, LstmWeights, Parameter,
    PeepholeOrder, Result,
};

/// The inputs of an LSTM node that are weights, row-major, D directions on the first axis.
///
/// Gates are stacked in the order i, o, f, c, peepholes i, o, f.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxTensors<E> {
    /// `[D, 4H, I]`.
    pub w: Vec<E>,
    /// `[D, 4H, H]`.
    pub r: Vec<E>,
    /// `[D, 8H]`: of each direction Wb and then Rb.
    pub b: Option<Vec<E>>,
    /// `[D, 3H]`.
    pub p: Option<Vec<E>>,
}

impl<E: Element> OnnxTensors<E> {
    /// The weights of the node's directions, in the order of `layers` (those of
    /// [`OnnxAttributes::layers`](super::OnnxAttributes::layers)); exact to the bit.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`], [`Error::MissingTensor`] or [`Error::UnexpectedTensor`], naming the tensor and,
    /// where it has one, the direction; [`Error::Unsupported`] for layers that no node has.
    pub fn weights(&self, layers: &[(LayerPlace, LstmConfig)]) -> Result<Vec<LstmWeights<E>>> {
        const OP: &str = "OnnxTensors::weights";
        check_layers(OP, layers)?;
        let mut weights = Vec::new();
        for (index, (place, config)) in layers.iter().enumerate() {
            config.check()?;
            let (bias, peephole) = (config.biases == Biases::Two, config.peepholes);
            let part = |data: &[E], name: &str, shape: &[usize]| {
                direction_part(OP, data, name, (index, layers.len(), *place), shape)
            };
            let optional =
                |data: &Option<Vec<E>>, name: &str, wanted, shape: &[usize]| match (data, wanted) {
                    (Some(data), true) => part(data, name, shape),
                    (None, false) => Ok(Vec::new()),
                    (None, true) => Err(Error::MissingTensor { op: OP, name: name.into() }),
                    (Some(_), false) => Err(Error::UnexpectedTensor {
                        op: OP,
                        name: name.into(),
                        expected: format!("the tensors of {config:?}"),
                    }),
                };
            let hidden = config.hidden_size;
            let w = part(&self.w, "W", &Parameter::WeightIh.shape(config))?;
            let r = part(&self.r, "R", &Parameter::WeightHh.shape(config))?;
            let b = optional(&self.b, "B", bias, &[8 * hidden])?;
            let p = optional(&self.p, "P", peephole, &[3 * hidden])?;
            let (w_bias, r_bias) = b.split_at(b.len() / 2);
            let gates = |data: &[E]| GateOrder::IOFG.reorder_to(GateOrder::IFGO, data);
            weights.push(LstmWeights::new(*config, |parameter| match parameter {
                Parameter::WeightIh => Ok(gates(&w)),
                Parameter::WeightHh => Ok(gates(&r)),
                Parameter::BiasIh if bias => Ok(gates(w_bias)),
                Parameter::BiasHh if bias => Ok(gates(r_bias)),
                Parameter::WeightCh => Ok(PeepholeOrder::IOF.reorder_to(PeepholeOrder::IFO, &p)),
                _ => Err(Error::Unsupported {
                    op: OP,
                    what: format!("{parameter:?} with {:?} biases", config.biases),
                    reason: "an LSTM node has W, R, B of two biases, and P".into(),
                }),
            })?);
        }
        Ok(weights)
    }

    /// The tensors of a node with these layers; exact to the bit.
    ///
    /// Whether a node can say what the layers compute is the question of
    /// [`OnnxAttributes::from_layers`](super::OnnxAttributes::from_layers), which this asks too.
    ///
    /// # Errors
    ///
    /// As [`OnnxAttributes::from_layers`](super::OnnxAttributes::from_layers) in the dialect that suits the
    /// layers' clips.
    pub fn from_weights(layers: &[(LayerPlace, &LstmWeights<E>)]) -> Result<Self> {
        let configs: Vec<_> = layers.iter().map(|(place, w)| (*place, *w.config())).collect();
        check_layers("OnnxTensors::from_weights", &configs)?;
        let (mut w, mut r, mut b, mut p) = (vec![], vec![], vec![], vec![]);
        let gates = |data: &[E]| GateOrder::IFGO.reorder_to(GateOrder::IOFG, data);
        for (_, weights) in layers {
            w.extend(gates(weights.get(Parameter::WeightIh)));
            r.extend(gates(weights.get(Parameter::WeightHh)));
            b.extend(gates(weights.get(Parameter::BiasIh)));
            b.extend(gates(weights.get(Parameter::BiasHh)));
            let peepholes = weights.get(Parameter::WeightCh);
            p.extend(PeepholeOrder::IFO.reorder_to(PeepholeOrder::IOF, peepholes));
        }
        let present = |data: Vec<E>| (!data.is_empty()).then_some(data);
        Ok(Self { w, r, b: present(b), p: present(p) })
    }
}

/// The numbers of one direction of the tensor `name`; `shape` is that of one direction.
fn direction_part<E: Element>(
    op: &'static str,
    data: &[E],
    name: &str,
    (index, n_directions, place): (usize, usize, LayerPlace),
    shape: &[usize],
) -> Result<Vec<E>> {
    let len: usize = shape.iter().product();
    if data.len() == len * n_directions {
        return Ok(data[index * len..][..len].to_vec());
    }
    let what = format!("number of elements of `{name}` for direction {:?}", place.direction);
    let expected = format!("{n_directions} directions of {shape:?}");
    Err(Error::mismatch(op, what, expected, data.len()))
}
