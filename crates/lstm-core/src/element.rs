//! The number types that every kernel is generic over: f32 and f64.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use safetensors::Dtype;

use crate::ops::simd::product::{LaneCount, Product};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// f32 or f64.
///
/// The constants and the three polynomials are what [`crate::ops::activation`] needs to write its
/// functions once for both; all arithmetic is plain multiplication and addition in a fixed order, so that
/// every machine and every vector width gives the same bits.
pub trait Element:
    sealed::Sealed
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
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The type's name in a safetensors file.
    const DTYPE: Dtype;
    /// Below this e^x rounds to 0.
    const EXP_UNDERFLOW: Self;

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

    /// Splits x = n·ln 2 + r with |r| ≤ ½ ln 2, for x in [`Self::EXP_UNDERFLOW`, 0]: (n, r).
    fn reduce_exp(self) -> (i32, Self);
    /// e^r for |r| ≤ ½ ln 2.
    fn exp_reduced(self) -> Self;
    /// self · 2^n for n in [-1100, 0], rounding into the subnormal range.
    fn scale_by_power(self, n: i32) -> Self;
    /// tanh x for |x| < 0.625.
    fn tanh_small(self) -> Self;

    /// Runs a product with the widest vectors of this processor.
    #[doc(hidden)]
    fn product(product: Product<'_, Self>);
    /// The elements of the widest vector of this processor.
    #[doc(hidden)]
    fn lane_count(question: LaneCount<Self>) -> usize;

    /// Appends the value's little-endian bytes.
    fn write_le(self, bytes: &mut Vec<u8>);
    /// Reads the value from little-endian bytes; `None` where the count is wrong.
    fn read_le(bytes: &[u8]) -> Option<Self>;
}

/// The methods that are the same words for both types.
macro_rules! common {
    ($dtype:expr) => {
        const ZERO: Self = 0.0;
        const ONE: Self = 1.0;
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
        #[inline]
        fn product(product: Product<'_, Self>) {
            pulp::Arch::new().dispatch(product);
        }
        fn lane_count(question: LaneCount<Self>) -> usize {
            pulp::Arch::new().dispatch(question)
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
    const EXP_UNDERFLOW: Self = -104.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    // Range reduction and polynomials: Cephes (Moshier 1989), expf.c and tanhf.c.
    #[inline(always)]
    fn reduce_exp(self) -> (i32, Self) {
        const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer.
        let shifted = self * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = self - n * 0.693_359_4 + n * 2.121_944_4e-4;
        ((shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32), r)
    }
    #[inline(always)]
    fn exp_reduced(self) -> Self {
        let r = self;
        let mut p = 1.987_569_1e-4;
        p = p * r + 1.398_199_9e-3;
        p = p * r + 8.333_452e-3;
        p = p * r + 4.166_579_6e-2;
        p = p * r + 1.666_666_6e-1;
        p = p * r + 0.5;
        p * (r * r) + r + 1.0
    }
    #[inline(always)]
    fn scale_by_power(self, n: i32) -> Self {
        let half = n >> 1;
        let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
        self * power(half) * power(n.wrapping_sub(half))
    }
    #[inline(always)]
    fn tanh_small(self) -> Self {
        let z = self * self;
        let mut p = -5.704_988_7e-3;
        p = p * z + 2.063_908_8e-2;
        p = p * z - 5.373_971_6e-2;
        p = p * z + 1.333_144_2e-1;
        p = p * z - 3.333_328e-1;
        self + self * (z * p)
    }
}

impl Element for f64 {
    common!(Dtype::F64);
    const EXP_UNDERFLOW: Self = -746.0;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    // Range reduction and rational functions: Cephes (Moshier 1989), exp.c and tanh.c.
    #[inline(always)]
    fn reduce_exp(self) -> (i32, Self) {
        const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 · 2^52: adding it rounds to an integer.
        let shifted = self * std::f64::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = self - n * 6.931_457_519_531_25e-1 - n * 1.428_606_820_309_417_2e-6;
        (shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32, r)
    }
    #[inline(always)]
    fn exp_reduced(self) -> Self {
        let r = self;
        let z = r * r;
        let mut p = 1.261_771_930_748_105_9e-4;
        p = p * z + 3.029_944_077_074_419_6e-2;
        p = (p * z + 1.0) * r;
        let mut q = 3.001_985_051_386_644_6e-6;
        q = q * z + 2.524_483_403_496_841e-3;
        q = q * z + 2.272_655_482_081_550_3e-1;
        q = q * z + 2.0;
        1.0 + 2.0 * (p / (q - p))
    }
    #[inline(always)]
    fn scale_by_power(self, n: i32) -> Self {
        let half = n >> 1;
        let power = |n: i32| f64::from_bits((n.wrapping_add(1023) as u64) << 52);
        self * power(half) * power(n.wrapping_sub(half))
    }
    #[inline(always)]
    fn tanh_small(self) -> Self {
        let z = self * self;
        let mut p = -9.643_991_794_250_523e-1;
        p = p * z - 9.928_772_310_019_185e1;
        p = p * z - 1.614_687_684_417_084_5e3;
        let mut q = z + 1.128_116_784_916_316e2;
        q = q * z + 2.235_488_390_601_004_5e3;
        q = q * z + 4.844_063_053_251_255e3;
        self + self * (z * p / q)
    }
}
