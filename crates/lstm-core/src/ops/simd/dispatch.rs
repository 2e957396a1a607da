//! Runs a loop with the widest vector instructions that this processor has.

/// Calls `body` compiled for the widest instruction set detected at run time.
///
/// `body` should be a closure over a plain loop whose callees are `#[inline(always)]`; the compiler
/// vectorises it once for each instruction set, and detection picks one of the copies.
#[inline]
pub fn vectorized<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}
