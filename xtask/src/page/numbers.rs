//! How numbers read in cells, on axes and in a terminal.

/// What stands in for a number that is missing or not finite.
const NO_NUMBER: &str = "-";

/// From here on a number is written with an exponent.
const EXPONENT_FROM: f64 = 1e7;

/// A number with so many places, or "-" when it is not finite.
pub fn decimal(value: f64, places: usize) -> String {
    if !value.is_finite() {
        NO_NUMBER.to_owned()
    } else if value.abs() >= EXPONENT_FROM {
        format!("{value:.2e}")
    } else {
        format!("{value:.places$}")
    }
}

/// A measure of any size with four figures at least, as `0.9312`, `114.53` or `0.0001234`.
pub fn figures(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 100.0 => 2,
        size if size >= 0.1 || size == 0.0 => 4,
        size => (4.0 - size.log10()).floor().clamp(4.0, 12.0) as usize,
    };
    decimal(value, places)
}

/// Seconds, with more places when there are next to none.
pub fn seconds(value: f64) -> String {
    decimal(value, if value < 0.1 { 4 } else { 2 })
}

/// The mean of the finite values, when there is one.
pub fn mean_of_finite(values: &[f64]) -> Option<f64> {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64)
}

/// A count with a comma between groups of three digits.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{count, figures};

    #[test]
    fn numbers_of_any_size_have_four_figures() {
        let numbers = [0.0, 0.93124, 114.531, 1234567.0, 0.00012341, 0.05, -0.5, 1e-30, f64::NAN];
        let expected = [
            "0.0000",
            "0.9312",
            "114.53",
            "1234567.00",
            "0.0001234",
            "0.05000",
            "-0.5000",
            "0.000000000000",
            "-",
        ];
        assert_eq!(numbers.map(figures), expected);
        assert_eq!([1, 999, 1000, 1234567].map(count), ["1", "999", "1,000", "1,234,567"]);
    }
}
