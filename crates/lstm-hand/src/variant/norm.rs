//! Layer normalisation of rows: N(a) = (a - mean a) / √(var a + ε), forward and backward.

use lstm_core::Element;

/// Replaces `row` by N(row); returns 1 / √(var row + ε).
pub(super) fn normalise<E: Element>(row: &mut [E], epsilon: f64) -> E {
    let n = E::from_f64(row.len() as f64);
    let mean = row.iter().copied().sum::<E>() / n;
    row.iter_mut().for_each(|a| *a -= mean);
    let variance = row.iter().map(|a| *a * *a).sum::<E>() / n;
    let scale = E::ONE / (variance + E::from_f64(epsilon)).sqrt();
    row.iter_mut().for_each(|a| *a *= scale);
    scale
}

/// Turns `d`, the gradient by γ ∘ N(a), into that by a, and adds the gradient by γ to `d_gain`.
///
/// With e = γ ∘ d it is (e - mean e - N(a) mean(e ∘ N(a))) scale.
pub(super) fn normalise_backward<E: Element>(
    d: &mut [E],
    normed: &[E],
    scale: E,
    gain: &[E],
    d_gain: &mut [E],
) {
    for (((d, normed), gain), d_gain) in d.iter_mut().zip(normed).zip(gain).zip(d_gain) {
        *d_gain += *d * *normed;
        *d *= *gain;
    }
    let n = E::from_f64(d.len() as f64);
    let mean = d.iter().copied().sum::<E>() / n;
    let along = d.iter().zip(normed).map(|(e, normed)| *e * *normed).sum::<E>() / n;
    d.iter_mut().zip(normed).for_each(|(e, normed)| *e = (*e - mean - *normed * along) * scale);
}
