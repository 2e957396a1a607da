//! The instruction sets, and how a kernel gets compiled for each and started on one.

use std::sync::OnceLock;

use pulp::{Scalar, Simd, WithSimd};

use super::lanes::Lanes;

/// A set of vector instructions that kernels are compiled for.
///
/// [`InstructionSet::current`] is the widest that this processor has; the environment variable
/// `LSTM_INSTRUCTION_SET` (`scalar`, `avx2`, `avx512`, `neon`) asks for another one, for comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InstructionSet {
    /// One number at a time, on every processor.
    Scalar,
    /// 128 bits, aarch64.
    Neon,
    /// 256 bits with fused multiply-add, x86-64.
    Avx2,
    /// 512 bits, x86-64.
    Avx512,
}

/// Code over vectors of `E` that is compiled once for each instruction set.
///
/// All that it calls has to be `#[inline(always)]`: what is not inlined is compiled for the lowest set. Kernels of layers
/// have a line in `ops/compiled.rs`.
pub trait Kernel<E> {
    /// What it returns.
    type Output;
    /// The code, for one instruction set.
    fn run<S: Simd>(self, simd: S) -> Self::Output
    where
        E: Lanes<S>;
}

impl InstructionSet {
    const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Scalar];

    /// Those that this processor has, widest first; the last one is [`InstructionSet::Scalar`].
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|set| set.is_available())
    }

    /// The one that kernels use unless told otherwise.
    pub fn current() -> Self {
        static CURRENT: OnceLock<InstructionSet> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let widest = Self::available().next().unwrap_or(Self::Scalar);
            let Ok(asked) = std::env::var("LSTM_INSTRUCTION_SET") else { return widest };
            Self::available().find(|set| set.name() == asked).unwrap_or_else(|| {
                let known: Vec<&str> = Self::available().map(Self::name).collect();
                let known = known.join(", ");
                eprintln!("LSTM_INSTRUCTION_SET: expected one of {known}, got {asked}: ignored");
                widest
            })
        })
    }

    /// The name that the environment variable takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The elements of `E` in a vector; one where this processor lacks the set, whose kernels then run on single
    /// numbers.
    #[inline]
    pub fn lanes<E>(self) -> usize {
        match self {
            _ if !self.is_available() => 1,
            Self::Scalar => 1,
            Self::Neon => 16 / size_of::<E>(),
            Self::Avx2 => 32 / size_of::<E>(),
            Self::Avx512 => 64 / size_of::<E>(),
        }
    }

    /// Whether vectors have 16 registers, not 32, which wants other tiles and panels of gates in halves. Single numbers,
    /// whose vectors are up to the compiler, do not count.
    #[inline]
    pub fn has_few_registers(self) -> bool {
        match self {
            Self::Scalar | Self::Neon | Self::Avx512 => false,
            Self::Avx2 => self.is_available(),
        }
    }

    /// Whether this processor has the set.
    #[inline]
    fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::is_available(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::is_available(),
            _ => false,
        }
    }

    /// Runs `op`, or gives it back where this processor lacks the set.
    #[inline(always)]
    fn start<O: WithSimd>(self, op: O) -> Result<O::Output, O> {
        match self {
            Self::Scalar => Ok(on_scalars(op)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => match pulp::x86::V3::try_new() {
                Some(simd) => Ok(Simd::vectorize(simd, op)),
                None => Err(op),
            },
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => match pulp::x86::V4::try_new() {
                Some(simd) => Ok(Simd::vectorize(simd, op)),
                None => Err(op),
            },
            #[cfg(target_arch = "aarch64")]
            Self::Neon => match pulp::aarch64::Neon::try_new() {
                Some(simd) => Ok(Simd::vectorize(simd, op)),
                None => Err(op),
            },
            _ => Err(op),
        }
    }

    /// Runs a kernel over f32 compiled for this set.
    #[inline(always)]
    pub(crate) fn run_f32<K: Kernel<f32>>(self, kernel: K) -> K::Output {
        struct OnF32<K>(K);
        impl<K: Kernel<f32>> WithSimd for OnF32<K> {
            type Output = K::Output;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> K::Output {
                self.0.run(simd)
            }
        }
        self.start(OnF32(kernel)).unwrap_or_else(on_scalars)
    }

    /// Runs a kernel over f64 compiled for this set.
    #[inline(always)]
    pub(crate) fn run_f64<K: Kernel<f64>>(self, kernel: K) -> K::Output {
        struct OnF64<K>(K);
        impl<K: Kernel<f64>> WithSimd for OnF64<K> {
            type Output = K::Output;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> K::Output {
                self.0.run(simd)
            }
        }
        self.start(OnF64(kernel)).unwrap_or_else(on_scalars)
    }
}

/// A function of its own, as those of the vectors are: it would only make its callers larger.
#[inline(never)]
fn on_scalars<O: WithSimd>(op: O) -> O::Output {
    op.with_simd(Scalar)
}
