//! Sums of products of bytes, exact in i32: the one inner loop that is written for a single instruction.

use pulp::Simd;

use super::instruction_set::{InstructionSet, Kernel};
use super::lanes::Lanes;

/// Units in a panel of bytes.
pub(crate) const UNITS: usize = 16;

/// Four neighbouring columns of the four gates of 16 units: `[gate][unit][column]`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Columns(pub(crate) [[[i8; 4]; UNITS]; 4]);

/// Numbers of a panel's four gates.
pub(crate) const WIDTH: usize = 4 * UNITS;

/// The sums of a panel: `[gate][unit]`.
pub(crate) type Sums = [i32; WIDTH];

/// How sums of products of bytes are computed; all ways give the same integers.
pub(crate) trait Dot: Copy {
    /// Σ_k panel[k] · lhs[k], column by column; sums beyond i32 wrap.
    fn sums(self, panel: &[Columns], lhs: &[[u8; 4]]) -> Sums;
}

/// Code over sums of products of bytes; all that it calls has to be `#[inline(always)]`.
pub(crate) trait BytesKernel {
    /// The code, for one way.
    fn run<D: Dot>(self, dot: D);
}

impl InstructionSet {
    /// Runs a kernel compiled for this set, with the instruction for sums of bytes where there is one.
    #[inline(always)]
    pub(crate) fn run_bytes<K: BytesKernel>(self, kernel: K) {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx512 && vnni::is_available() {
            return vnni::run(kernel);
        }
        self.run_f32(OnPlain(kernel));
    }
}

struct OnPlain<K>(K);

impl<K: BytesKernel> Kernel<f32> for OnPlain<K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S)
    where
        f32: Lanes<S>,
    {
        self.0.run(Plain);
    }
}

/// In loops that the compiler turns into vectors.
#[derive(Clone, Copy)]
struct Plain;

impl Dot for Plain {
    #[inline(always)]
    fn sums(self, panel: &[Columns], lhs: &[[u8; 4]]) -> Sums {
        let mut sums = [0_i32; WIDTH];
        for (Columns(columns), a) in panel.iter().zip(lhs) {
            let a = a.map(i16::from);
            for (sum, w) in sums.iter_mut().zip(columns.as_flattened()) {
                let w = w.map(i16::from);
                let product = |k: usize| i32::from(a[k]) * i32::from(w[k]);
                let (even, odd) = (product(0) + product(1), product(2) + product(3));
                *sum = sum.wrapping_add(even).wrapping_add(odd);
            }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    use std::arch::x86_64::{
        __m512i, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_set1_epi32,
        _mm512_setzero_si512, _mm512_storeu_si512,
    };

    use super::{BytesKernel, Columns, Dot, Sums, UNITS, WIDTH};

    /// Whether this processor has the instruction.
    #[inline(always)]
    pub(super) fn is_available() -> bool {
        pulp::x86::V4::is_available() && std::arch::is_x86_feature_detected!("avx512vnni")
    }

    /// Runs a kernel with it; on a processor without it, does nothing.
    #[inline(always)]
    pub(super) fn run<K: BytesKernel>(kernel: K) {
        if is_available() {
            // SAFETY: the processor has all features of `compiled`: those of V4 and AVX512-VNNI.
            unsafe { compiled(kernel) }
        }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn compiled<K: BytesKernel>(kernel: K) {
        kernel.run(Vnni(()));
    }

    /// Exists only inside `compiled`.
    #[derive(Clone, Copy)]
    struct Vnni(());

    impl Dot for Vnni {
        #[inline(always)]
        fn sums(self, panel: &[Columns], lhs: &[[u8; 4]]) -> Sums {
            // SAFETY: `self` shows that the processor has the features; `Columns` is aligned to 64 bytes
            // and each of its gates has 64; `sums` has 64 bytes for each gate.
            unsafe {
                let column = |k: [u8; 4]| _mm512_set1_epi32(i32::from_ne_bytes(k));
                let load = |w: &[[i8; 4]; UNITS]| _mm512_load_si512(w.as_ptr().cast::<__m512i>());
                // Two chains a gate: the order of sums of integers does not matter.
                let mut acc = [[_mm512_setzero_si512(); 4]; 2];
                let (pairs, last) = panel.as_chunks::<2>();
                let (lhs_pairs, lhs_last) = lhs.as_chunks::<2>();
                for (pair, a) in pairs.iter().zip(lhs_pairs) {
                    for (acc, (w, a)) in acc.iter_mut().zip(pair.iter().zip(a)) {
                        let a = column(*a);
                        for (acc, w) in acc.iter_mut().zip(&w.0) {
                            *acc = _mm512_dpbusd_epi32(*acc, a, load(w));
                        }
                    }
                }
                for (w, a) in last.iter().zip(lhs_last) {
                    let a = column(*a);
                    for (acc, w) in acc[0].iter_mut().zip(&w.0) {
                        *acc = _mm512_dpbusd_epi32(*acc, a, load(w));
                    }
                }
                let mut sums = [0_i32; WIDTH];
                let gates = sums.as_chunks_mut::<UNITS>().0.iter_mut();
                for (sums, (a, b)) in gates.zip(acc[0].iter().zip(&acc[1])) {
                    let sum = _mm512_add_epi32(*a, *b);
                    _mm512_storeu_si512(sums.as_mut_ptr().cast::<__m512i>(), sum);
                }
                sums
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::RandomStream;

    struct Collect<'a>(&'a [Columns], &'a [[u8; 4]], &'a mut Sums);

    impl BytesKernel for Collect<'_> {
        #[inline(always)]
        fn run<D: Dot>(self, dot: D) {
            *self.2 = dot.sums(self.0, self.1);
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_integers() {
        let random = RandomStream::new(5);
        let byte = |k: usize| (random.uniform(k as u64) * 256.0) as u8;
        for depth in [0, 1, 2, 5, 64] {
            let at = |k: usize, q: usize, u: usize, c: usize| ((k * 4 + q) * UNITS + u) * 4 + c;
            let columns = |k: usize| {
                Columns(std::array::from_fn(|q| {
                    std::array::from_fn(|u| std::array::from_fn(|c| byte(at(k, q, u, c)) as i8))
                }))
            };
            let panel: Vec<_> = (0..depth).map(columns).collect();
            let lhs: Vec<_> = (0..depth).map(|k| [k, k + 9, k + 7, 3 * k].map(byte)).collect();
            let mut expected = [0_i32; WIDTH];
            for (k, Columns(w)) in panel.iter().enumerate() {
                for (q, u) in (0..4).flat_map(|q| (0..UNITS).map(move |u| (q, u))) {
                    expected[q * UNITS + u] +=
                        (0..4).map(|c| i32::from(w[q][u][c]) * i32::from(lhs[k][c])).sum::<i32>();
                }
            }
            for set in InstructionSet::available() {
                let mut sums = [1; WIDTH];
                set.run_bytes(Collect(&panel, &lhs, &mut sums));
                assert_eq!(sums, expected, "{set:?}, depth {depth}");
            }
        }
    }
}
