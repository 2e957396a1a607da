//! The tensors of one layer and direction, owned, in PyTorch's layout.

mod biases;
mod discover;
mod file;
mod found;
mod options;
#[cfg(feature = "candle")]
mod pth;

pub use discover::{Discovered, FoundLstm, RefusedLstm, discover};
pub use file::{from_bytes, load, save, to_bytes};
pub use found::{discover_in_bytes, found_from_bytes};
#[cfg(feature = "candle")]
pub use pth::{discover_in_pth, found_from_pth};

use crate::{Element, Error, LstmConfig, Parameter, Result};

/// Every tensor that a layer's configuration asks for (see [`LstmConfig::parameters`]).
#[derive(Debug, Clone, PartialEq)]
pub struct LstmWeights<E> {
    config: LstmConfig,
    /// One entry for each of `config.parameters()`, in that order.
    tensors: Vec<Vec<E>>,
}

impl<E: Element> LstmWeights<E> {
    /// Builds the weights of `config`, asking `tensor` for each parameter's numbers (row-major).
    ///
    /// # Errors
    ///
    /// What `tensor` returns; [`Error::Mismatch`] where the configuration is refused ([`LstmConfig::check_in`]) or a tensor has a
    /// wrong length.
    pub fn new(
        config: LstmConfig,
        mut tensor: impl FnMut(Parameter) -> Result<Vec<E>>,
    ) -> Result<Self> {
        config.check_in::<E>()?;
        let mut tensors = Vec::new();
        for parameter in config.parameters() {
            let data = tensor(parameter)?;
            let shape = parameter.shape(&config);
            if data.len() != shape.iter().product::<usize>() {
                let what = format!("number of elements of {parameter:?}");
                let expected = format!("{shape:?}");
                return Err(Error::mismatch("LstmWeights::new", what, expected, data.len()));
            }
            tensors.push(data);
        }
        Ok(Self { config, tensors })
    }

    /// All zero.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where a size is zero.
    pub fn zeros(config: LstmConfig) -> Result<Self> {
        Self::new(config, |p| Ok(vec![E::ZERO; p.shape(&config).iter().product()]))
    }

    /// The configuration.
    pub fn config(&self) -> &LstmConfig {
        &self.config
    }

    /// The numbers of `parameter`, row-major; empty where the layer has no such parameter.
    pub fn get(&self, parameter: Parameter) -> &[E] {
        self.index(parameter).map_or(&[], |index| &self.tensors[index])
    }

    /// The numbers of `parameter`, to write; empty where the layer has no such parameter.
    pub fn get_mut(&mut self, parameter: Parameter) -> &mut [E] {
        self.index(parameter).map_or(&mut [], |index| &mut self.tensors[index])
    }

    /// Where the numbers of `parameter` are, if the layer has it.
    fn index(&self, parameter: Parameter) -> Option<usize> {
        let before = Parameter::ALL.iter().take_while(|&&p| p != parameter);
        let n_before = before.filter(|p| p.is_in(&self.config)).count();
        parameter.is_in(&self.config).then_some(n_before)
    }

    /// The same weights in another precision.
    pub fn cast<F: Element>(&self) -> LstmWeights<F> {
        let cast = |t: &Vec<E>| t.iter().map(|&x| F::from_f64(x.to_f64())).collect();
        LstmWeights { config: self.config, tensors: self.tensors.iter().map(cast).collect() }
    }
}
