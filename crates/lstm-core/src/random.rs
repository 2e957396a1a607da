//! Counter-based random numbers: a draw depends on its key and index, not on who draws it or when.
//!
//! Masks and initial weights use these, so that the same seed gives the same numbers for any number of
//! threads, any batch split and any implementation. The mixing function is SplitMix64's finaliser
//! (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"), applied to every part of
//! the key in turn.

/// A stream of random numbers, addressed by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomStream(u64);

impl RandomStream {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x6a09_e667_f3bc_c908))
    }

    /// The sub-stream numbered `part`; streams of different parts are independent.
    pub fn child(self, part: u64) -> Self {
        Self(mix(self.0 ^ mix(part.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// The sub-stream of a name, for example of a tensor.
    pub fn named(self, name: &str) -> Self {
        // FNV-1a, then mixed: only distinctness matters here.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.child(hash)
    }

    /// Draw number `index` as 64 random bits.
    #[inline(always)]
    pub fn bits(self, index: u64) -> u64 {
        mix(self.0.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Draw number `index`, uniform in [0, 1).
    pub fn uniform(self, index: u64) -> f64 {
        (self.bits(index) >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// The numbers below `n` in a random order (Fisher and Yates), from the first draws.
    pub fn permutation(self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        for last in (1..n).rev() {
            // The bias of the remainder is below n / 2⁶⁴.
            let other = self.bits(last as u64) % (last as u64 + 1);
            order.swap(last, other as usize);
        }
        order
    }

    /// Draw number `index` from the standard normal distribution (Box and Muller 1958).
    pub fn normal(self, index: u64) -> f64 {
        let pair = index / 2 * 2;
        let radius = (-2.0 * (1.0 - self.uniform(pair)).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform(pair + 1);
        if index == pair { radius * angle.cos() } else { radius * angle.sin() }
    }
}

#[inline(always)]
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::RandomStream;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let stream = RandomStream::new(3).named("weights");
        let n = 200_000;
        let mean = |f: &dyn Fn(u64) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
        assert!((mean(&|k| stream.uniform(k)) - 0.5).abs() < 3e-3);
        assert!((mean(&|k| (stream.uniform(k) - 0.5).powi(2)) - 1.0 / 12.0).abs() < 1e-3);
        assert!(mean(&|k| stream.normal(k)).abs() < 1e-2);
        assert!((mean(&|k| stream.normal(k).powi(2)) - 1.0).abs() < 2e-2);
    }

    #[test]
    fn a_permutation_has_every_number_once_and_mixes() {
        let order = RandomStream::new(1).permutation(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(k, &at)| k == at as usize));
        let moved = order.iter().enumerate().filter(|&(k, &at)| k != at as usize).count();
        assert!(moved > 980, "{moved}");
        assert!(RandomStream::new(1).permutation(0).is_empty());
    }

    #[test]
    fn streams_differ_by_seed_child_and_name() {
        let base = RandomStream::new(1);
        let streams = [base, RandomStream::new(2), base.child(0), base.child(1), base.named("a")];
        for (k, one) in streams.iter().enumerate() {
            for other in &streams[k + 1..] {
                assert!((0..64).filter(|&i| one.bits(i) == other.bits(i)).count() == 0);
            }
        }
    }
}
