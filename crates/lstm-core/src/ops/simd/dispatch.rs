//! Runs a loop with the widest vector instructions that this processor has.

/// Calls `body` compiled for the widest instruction set detected at run time.
///
/// `body` has to be a closure marked `#[inline(always)]` over a plain loop whose callees are marked so too:
/// the compiler then vectorises it once for each instruction set, and detection picks one of the copies.
/// What is not inlined is compiled for the lowest instruction set, once.
#[inline(always)]
pub fn vectorized<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}
