//! The same layer with another number of bias vectors.

use crate::{Biases, Element, Error, LstmConfig, LstmWeights, Parameter, Result};

impl<E: Element> LstmWeights<E> {
    /// The same layer with `biases`: how weights are brought to what a framework's format holds.
    ///
    /// A bias that is added is zero, and a bias of zeros may be taken away: both are exact. Two biases
    /// become one by their sum, which rounds once for each number, so that the two do not come back.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the result would have no bias and the layer has one that is not zero.
    pub fn with_biases(&self, biases: Biases) -> Result<Self> {
        let (first, second) = (self.get(Parameter::BiasIh), self.get(Parameter::BiasHh));
        if biases == Biases::None && first.iter().chain(second).any(|&b| b != E::ZERO) {
            return Err(Error::Unsupported {
                op: "LstmWeights::with_biases",
                what: format!("{biases:?} of a layer with biases {:?}", self.config.biases),
                reason: "its biases are not zero".into(),
            });
        }
        let config: LstmConfig = self.config.with_biases(biases);
        let zeros = || vec![E::ZERO; 4 * config.hidden_size];
        let or_zeros = |data: &[E]| if data.is_empty() { zeros() } else { data.to_vec() };
        Self::new(config, |parameter| {
            Ok(match parameter {
                Parameter::BiasIh if biases == Biases::One && !second.is_empty() => {
                    first.iter().zip(second).map(|(&a, &b)| a + b).collect()
                }
                Parameter::BiasIh | Parameter::BiasHh => or_zeros(self.get(parameter)),
                _ => self.get(parameter).to_vec(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::init::LstmInit;
    use crate::random::RandomStream;
    use crate::{Biases, LstmConfig, LstmWeights, Parameter};

    fn random(biases: Biases) -> LstmWeights<f32> {
        let config = LstmConfig::new(2, 3).with_biases(biases);
        LstmInit::default().weights(config, RandomStream::new(5)).unwrap()
    }

    #[test]
    fn zeros_come_and_go_exactly() {
        for (few, many) in [
            (Biases::None, Biases::One),
            (Biases::None, Biases::Two),
            (Biases::One, Biases::Two),
            (Biases::Two, Biases::Two),
        ] {
            let weights = random(few);
            let more = weights.with_biases(many).unwrap();
            assert_eq!(more.config().biases, many);
            assert_eq!(more.with_biases(few).unwrap(), weights);
        }
    }

    #[test]
    fn two_become_their_sum_and_none_must_be_zero() {
        let two = random(Biases::Two);
        let one = two.with_biases(Biases::One).unwrap();
        for (k, &sum) in one.get(Parameter::BiasIh).iter().enumerate() {
            assert_eq!(sum, two.get(Parameter::BiasIh)[k] + two.get(Parameter::BiasHh)[k]);
        }
        assert_eq!(one.get(Parameter::WeightHh), two.get(Parameter::WeightHh));
        for weights in [one, two] {
            let error = weights.with_biases(Biases::None).unwrap_err().to_string();
            assert!(error.contains("not zero"), "{error}");
        }
    }
}
