//! Numbers that one thread writes while others may read: in atomics, without a lock.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use pulp::bytemuck::{cast_slice, cast_slice_mut};

use crate::Element;

/// The words of memory that `values` numbers take.
pub fn words<E: Element>(values: usize) -> usize {
    values.saturating_mul(size_of::<E>()).div_ceil(size_of::<AtomicU64>())
}

/// Puts numbers into words, [`words`] of them: as many as both have.
///
/// The order is relaxed. Whoever is to see them meets the writer in between, as at the end of a phase of
/// [`super::phases`].
pub fn store<E: Element>(words: &[AtomicU64], values: &[E]) {
    let (whole, rest) = cast_slice::<E, u8>(values).as_chunks();
    for (word, bytes) in words.iter().zip(whole) {
        word.store(u64::from_ne_bytes(*bytes), Relaxed);
    }
    if let (Some(word), false) = (words.get(whole.len()), rest.is_empty()) {
        let mut bytes = [0; size_of::<u64>()];
        bytes[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_ne_bytes(bytes), Relaxed);
    }
}

/// Takes what [`store`] has put into words.
pub fn load<E: Element>(words: &[AtomicU64], values: &mut [E]) {
    let (whole, rest) = cast_slice_mut::<E, u8>(values).as_chunks_mut();
    for (word, bytes) in words.iter().zip(&mut *whole) {
        *bytes = word.load(Relaxed).to_ne_bytes();
    }
    if let Some(word) = words.get(whole.len()) {
        let bytes = word.load(Relaxed).to_ne_bytes();
        rest.copy_from_slice(&bytes[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::atomic::AtomicU64;

    use super::{load, store, words};
    use crate::Element;

    fn come_back<E: Element + Debug>() {
        for n in 0..9 {
            let values: Vec<E> = (1..=n).map(|k| E::from_f64(-0.1 * f64::from(k))).collect();
            let room: Vec<_> = (0..words::<E>(values.len())).map(|_| AtomicU64::new(0)).collect();
            let mut back = vec![E::ZERO; values.len()];
            store(&room, &values);
            load(&room, &mut back);
            assert_eq!(back, values);
            // Fewer words and more are no panic.
            store(&room[..room.len() / 2], &values);
            load::<E>(&room, &mut back[..values.len() / 2]);
            assert_eq!(back, values);
            load(&room[..room.len() / 2], &mut back);
            assert_eq!(back, values);
        }
    }

    #[test]
    fn numbers_come_back_from_words() {
        come_back::<f32>();
        come_back::<f64>();
    }
}
