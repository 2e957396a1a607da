//! Numbers on a common scale: mean 0 and standard deviation 1 for each feature.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The mean and the standard deviation of each feature of the training data.
///
/// A feature that never changes has the deviation 1, so that its scaled value is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Scale {
    /// Measures `numbers`, `[rows, features]` in row-major order; the deviation is that of the population.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where there is no row, or numbers are so large that their squares are not finite.
    pub fn fit(n_features: usize, numbers: impl Iterator<Item = f64> + Clone) -> Result<Self> {
        let n_numbers = numbers.clone().count();
        let n_rows = n_numbers.checked_div(n_features).unwrap_or(0);
        if n_rows == 0 || n_rows * n_features != n_numbers {
            return Err(invalid(
                format!("whole rows of {n_features} features, at least one"),
                format!("{n_numbers} numbers"),
            ));
        }
        let mut mean = vec![0.0; n_features];
        for (k, number) in numbers.clone().enumerate() {
            mean[k % n_features] += number / n_rows as f64;
        }
        let mut deviation = vec![0.0; n_features];
        for (k, number) in numbers.clone().enumerate() {
            let feature = k % n_features;
            deviation[feature] += (number - mean[feature]).powi(2) / n_rows as f64;
        }
        let first: Vec<f64> = numbers.clone().take(n_features).collect();
        let mut changes = vec![false; n_features];
        for (k, number) in numbers.enumerate() {
            changes[k % n_features] |= number != first[k % n_features];
        }
        for feature in 0..n_features {
            deviation[feature] = deviation[feature].sqrt();
            if !changes[feature] || deviation[feature] == 0.0 {
                // What rounding leaves of a constant is no deviation.
                (mean[feature], deviation[feature]) = (first[feature], 1.0);
            }
        }
        let this = Self { mean, deviation };
        this.check(n_features)?;
        Ok(this)
    }

    /// Refuses a scale that cannot be one of so many features.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`].
    pub fn check(&self, n_features: usize) -> Result<()> {
        let sizes = (self.mean.len(), self.deviation.len());
        if sizes != (n_features, n_features) {
            return Err(invalid(
                format!("{n_features} means and deviations"),
                format!("{sizes:?}"),
            ));
        }
        let is_good = |(mean, deviation): (&f64, &f64)| {
            mean.is_finite() && deviation.is_finite() && *deviation > 0.0
        };
        match self.mean.iter().zip(&self.deviation).position(|pair| !is_good(pair)) {
            None => Ok(()),
            Some(feature) => Err(invalid(
                format!("a finite mean and a deviation above 0 of feature {}", feature + 1),
                format!("{} and {}", self.mean[feature], self.deviation[feature]),
            )),
        }
    }

    /// The number of features.
    pub fn n_features(&self) -> usize {
        self.mean.len()
    }

    /// The scaled `numbers`, `[rows, features]` in row-major order.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a number that is beyond f32 on this scale, or is none.
    pub fn scaled(&self, numbers: impl Iterator<Item = f64>) -> Result<Vec<f32>> {
        self.scaled_or(numbers, invalid)
    }

    /// As [`scaled`](Self::scaled) with the error that `refuse` makes of what is expected and got.
    pub(crate) fn scaled_or(
        &self,
        numbers: impl Iterator<Item = f64>,
        refuse: impl Fn(String, String) -> Error,
    ) -> Result<Vec<f32>> {
        let features = self.mean.iter().zip(&self.deviation).enumerate().cycle();
        let scale = |(number, (feature, (mean, deviation))): (f64, (usize, (&f64, &f64)))| {
            let scaled = ((number - mean) / deviation) as f32;
            if scaled.is_finite() {
                return Ok(scaled);
            }
            let expected = format!(
                "a number of feature {} that f32 can hold on the scale of the training data (mean \
                 {mean:.3e}, deviation {deviation:.3e})",
                feature + 1
            );
            Err(refuse(expected, format!("{number:.4e}")))
        };
        numbers.zip(features).map(scale).collect()
    }

    /// A scaled number of a feature in the data's own units; NaN where there is no such feature.
    pub fn unscaled(&self, feature: usize, number: f64) -> f64 {
        let pair = self.mean.get(feature).zip(self.deviation.get(feature));
        pair.map_or(f64::NAN, |(mean, deviation)| mean + deviation * number)
    }
}

fn invalid(expected: String, got: String) -> Error {
    Error::Invalid { op: "scale data", expected, got }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn scaled_numbers_have_mean_0_and_deviation_1_and_come_back() {
        let numbers = [1.0, 7.0, -30.0, 3.0, 7.0, 10.0, 5.0, 7.0, 80.0];
        let scale = Scale::fit(3, numbers.into_iter()).unwrap();
        let scaled = scale.scaled(numbers.into_iter()).unwrap();
        let deviation = (8.0_f64 / 3.0).sqrt();
        assert!((f64::from(scaled[0]) + 2.0 / deviation).abs() < 1e-6);
        for feature in 0..3 {
            let of_feature = || scaled.iter().skip(feature).step_by(3).map(|&x| f64::from(x));
            assert!(of_feature().sum::<f64>().abs() < 1e-6);
            let square = of_feature().map(|x| x * x).sum::<f64>() / 3.0;
            assert!((square - if feature == 1 { 0.0 } else { 1.0 }).abs() < 1e-6, "{square}");
        }
        for (k, number) in numbers.iter().enumerate() {
            assert!((scale.unscaled(k % 3, f64::from(scaled[k])) - number).abs() < 1e-4);
        }
    }

    #[test]
    fn a_constant_with_rounding_is_a_constant() {
        for constant in [0.1, 0.3, 7.7, -1e9] {
            let scale = Scale::fit(1, std::iter::repeat_n(constant, 300_000)).unwrap();
            assert_eq!(scale.scaled([constant, constant + 1.0].into_iter()).unwrap(), [0.0, 1.0]);
        }
    }

    #[test]
    fn what_does_not_stay_finite_is_refused() {
        let scale = Scale::fit(2, [1.0, 1.0, 1.0 + 1e-6, 2.0].into_iter()).unwrap();
        assert!(scale.scaled([1e32, 1e38].into_iter()).is_ok());
        for bad in [[1e33, 0.0], [0.0, 1e39], [f64::NAN, 0.0], [0.0, f64::NEG_INFINITY]] {
            let error = scale.scaled(bad.into_iter()).unwrap_err().to_string();
            let feature = if bad[0] == 0.0 { "feature 2" } else { "feature 1" };
            assert!(error.contains(feature), "{error}");
        }
    }

    #[test]
    fn what_is_no_scale_is_refused() {
        assert!(Scale::fit(2, [1.0, 2.0, 3.0].into_iter()).is_err());
        assert!(Scale::fit(2, std::iter::empty()).is_err());
        assert!(Scale::fit(0, std::iter::empty()).is_err());
        assert!(Scale::fit(1, [1e300, -1e300].into_iter()).is_err());
        let of_file = |text: &str| serde_json::from_str::<Scale>(text).unwrap().check(1);
        assert!(of_file(r#"{"mean":[1.0],"deviation":[2.0]}"#).is_ok());
        assert!(of_file(r#"{"mean":[1.0],"deviation":[0.0]}"#).is_err());
        assert!(of_file(r#"{"mean":[1.0],"deviation":[]}"#).is_err());
    }
}
