//! A hash that tells data apart.

/// FNV-1a over 64 bits: not against malice, but against resuming a run on other data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Counts bytes.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let byte =
            |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(bytes.iter().fold(self.0, byte))
    }

    /// Counts bytes eight at a time and in four lanes, for so many that [`Fingerprint::bytes`] would take long.
    ///
    /// It is another hash than that one; a single change within a word of eight always changes it.
    #[must_use]
    pub(crate) fn words(self, bytes: &[u8]) -> Self {
        let (blocks, rest) = bytes.as_chunks::<32>();
        let mut lanes = [0, 1, 2, 3].map(|lane| self.0 ^ lane);
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
                *lane = mixed(*lane ^ u64::from_le_bytes(*word));
            }
        }
        let joined = lanes.into_iter().fold(self.0, |hash, lane| mixed(hash ^ lane));
        Self(joined).bytes(&(bytes.len() as u64).to_le_bytes()).bytes(rest)
    }

    /// Counts ids, their number first.
    #[must_use]
    pub fn ids(self, ids: &[u32]) -> Self {
        let this = self.bytes(&(ids.len() as u64).to_le_bytes());
        ids.iter().fold(this, |this, id| this.bytes(&id.to_le_bytes()))
    }

    /// Counts numbers by their bits, their number first.
    #[must_use]
    pub fn numbers(self, numbers: &[f64]) -> Self {
        let this = self.bytes(&(numbers.len() as u64).to_le_bytes());
        numbers.iter().fold(this, |this, number| this.bytes(&number.to_bits().to_le_bytes()))
    }

    /// Counts texts, the length of each first.
    #[must_use]
    pub fn texts<S: AsRef<str>>(self, texts: impl IntoIterator<Item = S>) -> Self {
        texts.into_iter().fold(self, |this, text| {
            let text = text.as_ref().as_bytes();
            this.bytes(&(text.len() as u64).to_le_bytes()).bytes(text)
        })
    }
}

/// A word with every bit spread over many; no two words give the same.
fn mixed(word: u64) -> u64 {
    let product = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn what_is_cut_elsewhere_is_other_data() {
        let base = Fingerprint::default();
        assert_ne!(base.ids(&[1, 2]).ids(&[3]), base.ids(&[1]).ids(&[2, 3]));
        assert_ne!(base.texts(["ab", "c"]), base.texts(["a", "bc"]));
        assert_ne!(base.numbers(&[0.0]), base.numbers(&[-0.0]));
        assert_eq!(base.ids(&[7]).to_string(), base.ids(&[7]).to_string());
    }

    #[test]
    fn words_with_any_bit_flipped_are_other_data() {
        let bytes: Vec<u8> = (0..75).collect();
        let hash = |bytes: &[u8]| Fingerprint::default().words(bytes);
        let flipped = |bits: &[usize]| {
            let mut flipped = bytes.clone();
            for &bit in bits {
                flipped[bit / 8] ^= 1 << (bit % 8);
            }
            hash(&flipped)
        };
        for bit in 0..8 * bytes.len() {
            assert_ne!(flipped(&[bit]), hash(&bytes), "bit {bit}");
        }
        // The highest bits of two words of one lane, which a product alone would let cancel.
        assert_ne!(flipped(&[63, 319]), hash(&bytes));
        assert_ne!(hash(&bytes[..64]), hash(&[&bytes[..64], &[0]].concat()));
        assert_eq!(flipped(&[]), hash(&bytes));
    }
}
