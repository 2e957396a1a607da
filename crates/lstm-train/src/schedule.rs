//! How the learning rate changes over a run.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What the learning rate is multiplied by at each step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// Always 1. (With braces, as serde lets a variant without them take any other key.)
    Constant {},
    /// 1 for `after` epochs, then `factor` more each `every` epochs: the first change is with epoch `after` + 1.
    Step {
        /// The epochs at the full rate.
        after: usize,
        /// What each change multiplies the rate by.
        factor: f64,
        /// The epochs from one change to the next.
        #[serde(default = "one")]
        every: usize,
    },
    /// From 0 up in a line over the first `warmup` steps, then down to `last` along half a cosine (Loshchilov
    /// and Hutter 2017, without restarts).
    Cosine {
        /// The steps of the way up.
        #[serde(default)]
        warmup: u64,
        /// What part of the rate is left at the end.
        #[serde(default)]
        last: f64,
    },
    /// `factor` more each time that `patience` epochs in a row bring nothing better.
    Plateau {
        /// What each change multiplies the rate by.
        factor: f64,
        /// The epochs without a better one before a change.
        patience: usize,
    },
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Constant {}
    }
}

fn one() -> usize {
    1
}

/// Where a run stands, for a schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stand {
    /// The epoch, counted from 0.
    pub epoch: usize,
    /// The steps done, over all epochs.
    pub done: u64,
    /// The steps of the whole run.
    pub total: u64,
    /// How often a plateau was met.
    pub plateaus: u32,
}

impl Schedule {
    /// Refuses constants with which no rate would be left, or one above the full one.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], naming the constant.
    pub fn check(&self) -> Result<()> {
        let invalid = |expected: &str, got: String| {
            Err(Error::Invalid { op: "check schedule", expected: expected.to_owned(), got })
        };
        let part = |value: f64| value > 0.0 && value <= 1.0;
        match *self {
            Self::Step { factor, .. } | Self::Plateau { factor, .. } if !part(factor) => {
                invalid("a factor above 0 and at most 1", factor.to_string())
            }
            Self::Step { every: 0, .. } => invalid("every of at least 1", "0".to_owned()),
            Self::Plateau { patience: 0, .. } => {
                invalid("a patience of at least 1", "0".to_owned())
            }
            Self::Cosine { last, .. } if !(0.0..=1.0).contains(&last) => {
                invalid("last between 0 and 1", last.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Refuses a way up that the run never ends.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`].
    pub(crate) fn check_total(&self, total: u64) -> Result<()> {
        match *self {
            Self::Cosine { warmup, .. } if warmup >= total => Err(Error::Invalid {
                op: "check schedule",
                expected: format!("a warmup below the run's {total} steps"),
                got: warmup.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether the factor of a step depends on the steps of the whole run.
    pub(crate) fn depends_on_total(&self) -> bool {
        matches!(self, Self::Cosine { .. })
    }

    /// The factor of the learning rate for the step after `stand.done` ones.
    pub fn factor(&self, stand: &Stand) -> f64 {
        match *self {
            Self::Constant {} => 1.0,
            Self::Step { after, factor, every } => match stand.epoch.checked_sub(after) {
                None => 1.0,
                Some(past) => factor.powf((past / every.max(1)) as f64 + 1.0),
            },
            Self::Cosine { warmup, last } => {
                if stand.done < warmup {
                    return (stand.done + 1) as f64 / warmup as f64;
                }
                let way =
                    (stand.done - warmup) as f64 / stand.total.saturating_sub(warmup).max(1) as f64;
                let cosine = (1.0 + (std::f64::consts::PI * way.min(1.0)).cos()) / 2.0;
                last + (1.0 - last) * cosine
            }
            Self::Plateau { factor, .. } => factor.powf(f64::from(stand.plateaus)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Schedule, Stand};

    fn at(epoch: usize, done: u64) -> Stand {
        Stand { epoch, done, total: 110, plateaus: 2 }
    }

    #[test]
    fn factors_are_those_of_the_recipes() {
        // Zaremba's: four epochs at 1, halved with the fifth and with every one after.
        let halved = Schedule::Step { after: 4, factor: 0.5, every: 1 };
        let factors: Vec<f64> = (0..7).map(|epoch| halved.factor(&at(epoch, 0))).collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 1.0, 0.5, 0.25, 0.125]);
        let rarely = Schedule::Step { after: 1, factor: 0.5, every: 2 };
        let factors: Vec<f64> = (0..5).map(|epoch| rarely.factor(&at(epoch, 0))).collect();
        assert_eq!(factors, [1.0, 0.5, 0.5, 0.25, 0.25]);
        let cosine = Schedule::Cosine { warmup: 10, last: 0.2 };
        let factors = [0, 9, 10, 60, 110, 200].map(|done| cosine.factor(&at(0, done)));
        for (got, expected) in factors.into_iter().zip([0.1, 1.0, 1.0, 0.6, 0.2, 0.2]) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
        assert_eq!(
            Schedule::Plateau { factor: 0.1, patience: 3 }.factor(&at(0, 0)),
            0.1_f64.powf(2.0)
        );
    }

    #[test]
    fn constants_that_leave_no_rate_are_refused() {
        let refused = [
            Schedule::Step { after: 1, factor: 0.0, every: 1 },
            Schedule::Step { after: 1, factor: 0.5, every: 0 },
            Schedule::Plateau { factor: f64::NAN, patience: 1 },
            Schedule::Plateau { factor: 0.5, patience: 0 },
            Schedule::Cosine { warmup: 0, last: 1.5 },
        ];
        assert!(refused.iter().all(|schedule| schedule.check().is_err()));
        assert!(Schedule::Cosine { warmup: 0, last: 0.0 }.check().is_ok());
        assert!(Schedule::Cosine { warmup: 9, last: 0.0 }.check_total(10).is_ok());
        assert!(Schedule::Cosine { warmup: 10, last: 0.0 }.check_total(10).is_err());
    }

    #[test]
    fn keys_of_another_kind_are_refused() {
        for text in ["kind = 'constant'\nfactor = 0.5", "kind = 'step'\nafter = 1\nlast = 0.5"] {
            assert!(toml::from_str::<Schedule>(text).is_err(), "{text}");
        }
        assert_eq!(toml::from_str("kind = 'constant'"), Ok(Schedule::Constant {}));
    }
}
