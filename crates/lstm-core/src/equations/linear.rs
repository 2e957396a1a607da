//! The vector algebra of the equations' options: matrices are row-major slices.

use super::{add_scaled, dot};

/// M x, where M has `x.len()` columns.
pub(super) fn product(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

/// Mᵀ y, where M has `columns` columns.
pub(super) fn product_of_transpose(matrix: &[f64], y: &[f64], columns: usize) -> Vec<f64> {
    let mut sum = vec![0.0; columns];
    for (row, &y) in matrix.chunks_exact(columns).zip(y) {
        add_scaled(&mut sum, y, row);
    }
    sum
}

/// M += y xᵀ.
pub(super) fn add_outer(matrix: &mut [f64], y: &[f64], x: &[f64]) {
    for (row, &y) in matrix.chunks_exact_mut(x.len()).zip(y) {
        add_scaled(row, y, x);
    }
}

/// N(a) of a vector a, and what its derivative needs.
#[derive(Debug, Clone)]
pub struct Normed {
    /// N(a) = (a - mean a) / √(var a + ε).
    pub value: Vec<f64>,
    /// 1 / √(var a + ε).
    pub scale: f64,
}

impl Normed {
    pub(super) fn new(a: &[f64], epsilon: f64) -> Self {
        let mean = mean(a.iter().copied());
        let scale = 1.0 / (self::mean(a.iter().map(|a| (a - mean).powi(2))) + epsilon).sqrt();
        Self { value: a.iter().map(|a| (a - mean) * scale).collect(), scale }
    }

    /// γ ∘ N(a).
    pub(super) fn scaled(&self, gain: &[f64]) -> Vec<f64> {
        self.value.iter().zip(gain).map(|(value, gain)| value * gain).collect()
    }

    /// dγ += d ∘ N(a).
    pub(super) fn add_gain_gradient(&self, gain: &mut [f64], d: &[f64]) {
        gain.iter_mut().zip(d).zip(&self.value).for_each(|((gain, d), value)| *gain += d * value);
    }

    /// da, where `d` is the gradient by γ ∘ N(a): with e = γ ∘ d it is (e - mean e - N mean(e ∘ N)) scale.
    pub(super) fn backward(&self, gain: &[f64], d: &[f64]) -> Vec<f64> {
        let e: Vec<f64> = d.iter().zip(gain).map(|(d, gain)| d * gain).collect();
        let mean_e = mean(e.iter().copied());
        let mean_en = mean(e.iter().zip(&self.value).map(|(e, n)| e * n));
        let pairs = e.iter().zip(&self.value);
        pairs.map(|(e, n)| (e - mean_e - n * mean_en) * self.scale).collect()
    }
}

fn mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = numbers.len() as f64;
    numbers.sum::<f64>() / n
}
