//! Whether numbers are the same ones.

use pulp::bytemuck::cast_slice;

use crate::{Element, parallel};

/// Elements that one task compares.
const AT_ONCE: usize = 1 << 16;

/// Whether both slices hold the same bits, NaN included; on all threads where they are long.
///
/// ```
/// use lstm_core::ops::compare::same_bits;
/// assert!(same_bits(&[1.0, f64::NAN], &[1.0, f64::NAN]));
/// assert!(!same_bits(&[0.0_f32], &[-0.0]));
/// assert!(!same_bits(&[0.0_f32], &[0.0, 0.0]));
/// ```
pub fn same_bits<E: Element>(a: &[E], b: &[E]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let parts: Vec<(&[E], &[E])> = a.chunks(AT_ONCE).zip(b.chunks(AT_ONCE)).collect();
    // As bytes, which the C library compares a vector at a time; numbers are compared one by one.
    let same =
        |(a, b)| if cast_slice::<E, u8>(a) == cast_slice::<E, u8>(b) { Ok(()) } else { Err(()) };
    parallel::for_each(parts, same).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, same_bits};

    #[test]
    fn one_bit_anywhere_is_noticed() {
        let numbers: Vec<f32> = (0..3 * AT_ONCE + 7).map(|k| k as f32).collect();
        assert!(same_bits(&numbers, &numbers.clone()));
        for place in [0, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 1, numbers.len() - 1] {
            let mut other = numbers.clone();
            other[place] = f32::from_bits(other[place].to_bits() ^ 1);
            assert!(!same_bits(&numbers, &other), "{place}");
        }
    }
}
