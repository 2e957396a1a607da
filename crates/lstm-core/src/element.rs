//! The number types that every kernel is generic over: f32 and f64.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use safetensors::Dtype;

use crate::ops::compiled::Compiled;
use crate::ops::simd::instruction_set::{InstructionSet, Kernel};
use crate::ops::simd::lanes::Lanes;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The constants that kernels are written with.
pub trait Constants: pulp::bytemuck::Pod + Send + Sync {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// 2.
    const TWO: Self;
    /// Below this e^x rounds to 0.
    const EXP_UNDERFLOW: Self;
    /// k: a · 2^n is computed as (a · 2^(n + k)) · 2^-k, because 2^n need not be normal.
    const SCALE_RAISED: Self;
    /// 2^-k.
    const SCALE_REST: Self;
    /// A value of -|x| from which on tanh x rounds to 1.
    const TANH_SATURATED: Self;
}

impl Constants for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const TWO: Self = 2.0;
    const EXP_UNDERFLOW: Self = -104.0;
    const SCALE_RAISED: Self = 64.0;
    const SCALE_REST: Self = 1.0 / 18_446_744_073_709_551_616.0;
    const TANH_SATURATED: Self = -20.0;
}

impl Constants for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const TWO: Self = 2.0;
    const EXP_UNDERFLOW: Self = -746.0;
    const SCALE_RAISED: Self = 512.0;
    const SCALE_REST: Self = 7.458_340_731_200_207e-155; // 2^-512
    const TANH_SATURATED: Self = -20.0;
}

/// f32 or f64.
///
/// Kernels are written once for both, over vectors of either.
pub trait Element:
    sealed::Sealed
    + Constants
    + Compiled
    + Lanes<pulp::Scalar, Vector = Self>
    + Copy
    + Default
    + Debug
    + Display
    + PartialOrd
    + Send
    + Sync
    + Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + 'static
{
    /// The type's name in a safetensors file.
    const DTYPE: Dtype;

    /// The nearest value.
    fn from_f64(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// |x|.
    fn abs(self) -> Self;
    /// √x.
    fn sqrt(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// |self| with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// Whether the value is neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// Runs a kernel on an instruction set; it is compiled in the crate that calls this. `ops/compiled.rs` has those that
    /// are compiled in this crate.
    #[doc(hidden)]
    fn run<K: Kernel<Self>>(set: InstructionSet, kernel: K) -> K::Output;

    /// Appends the value's little-endian bytes.
    fn write_le(self, bytes: &mut Vec<u8>);
    /// Reads the value from little-endian bytes; `None` where the count is wrong.
    fn read_le(bytes: &[u8]) -> Option<Self>;
}

/// The methods that are the same words for both types.
macro_rules! common {
    ($dtype:expr) => {
        const DTYPE: Dtype = $dtype;

        #[inline(always)]
        fn abs(self) -> Self {
            self.abs()
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            self.sqrt()
        }
        #[inline(always)]
        fn ln(self) -> Self {
            self.ln()
        }
        #[inline(always)]
        fn copysign(self, sign: Self) -> Self {
            self.copysign(sign)
        }
        #[inline(always)]
        fn is_finite(self) -> bool {
            self.is_finite()
        }
        fn write_le(self, bytes: &mut Vec<u8>) {
            bytes.extend_from_slice(&self.to_le_bytes());
        }
        fn read_le(bytes: &[u8]) -> Option<Self> {
            bytes.try_into().ok().map(Self::from_le_bytes)
        }
    };
}

impl Element for f32 {
    common!(Dtype::F32);

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn run<K: Kernel<Self>>(set: InstructionSet, kernel: K) -> K::Output {
        set.run_f32(kernel)
    }
}

impl Element for f64 {
    common!(Dtype::F64);

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn run<K: Kernel<Self>>(set: InstructionSet, kernel: K) -> K::Output {
        set.run_f64(kernel)
    }
}
