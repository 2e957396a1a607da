//! a · 2^n as one instruction, where there is one.

use pulp::Simd;

/// a · 2^n rounded once, subnormal results too; `None` where that takes several instructions.
#[inline(always)]
pub(super) fn f32s<S: Simd>(_: S, a: S::f32s, n: S::f32s) -> Option<S::f32s> {
    #[cfg(target_arch = "x86_64")]
    if is_avx512::<S>() {
        use std::arch::x86_64::{__m512, _mm512_scalef_ps};
        use std::mem::transmute_copy;

        // SAFETY: the token of V4 shows that the processor has AVX-512F; its f32s are those of an `__m512`.
        return Some(unsafe {
            let [a, n] = [a, n].map(|v| transmute_copy::<S::f32s, __m512>(&v));
            transmute_copy::<__m512, S::f32s>(&_mm512_scalef_ps(a, n))
        });
    }
    let _ = (a, n);
    None
}

/// The same for f64.
#[inline(always)]
pub(super) fn f64s<S: Simd>(_: S, a: S::f64s, n: S::f64s) -> Option<S::f64s> {
    #[cfg(target_arch = "x86_64")]
    if is_avx512::<S>() {
        use std::arch::x86_64::{__m512d, _mm512_scalef_pd};
        use std::mem::transmute_copy;

        // SAFETY: the token of V4 shows that the processor has AVX-512F; its f64s are those of an `__m512d`.
        return Some(unsafe {
            let [a, n] = [a, n].map(|v| transmute_copy::<S::f64s, __m512d>(&v));
            transmute_copy::<__m512d, S::f64s>(&_mm512_scalef_pd(a, n))
        });
    }
    let _ = (a, n);
    None
}

/// Whether S is AVX-512; known to the compiler.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn is_avx512<S: Simd>() -> bool {
    std::any::TypeId::of::<S>() == std::any::TypeId::of::<pulp::x86::V4>()
}
