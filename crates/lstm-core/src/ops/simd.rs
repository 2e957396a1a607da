//! The only door to `unsafe` and to the processor's features; everything here has a safe signature.
#![expect(
    unsafe_code,
    reason = "the gemm crate takes raw pointers, sums of bytes an instruction of few processors, indices take registers"
)]

pub(super) mod abreast;
pub(crate) mod bytes;
pub(super) mod dispatch;
pub(super) mod gemm;
pub(crate) mod instruction_set;
pub(crate) mod lanes;
pub(super) mod line;
pub(super) mod prefetch;
mod scale_at_once;
