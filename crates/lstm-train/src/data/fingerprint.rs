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
}
