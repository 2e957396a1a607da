//! The process's allocator: what a training step frees stays for the next one.

use std::hint::black_box;
use std::sync::Once;

/// The largest block after whose release glibc keeps blocks as large, and twice as much at the end of its heap
/// (`DEFAULT_MMAP_THRESHOLD_MAX` of 64-bit systems), less what it adds to a block itself.
const LARGEST_KEPT: usize = (32 << 20) - (16 << 10);

/// Has glibc keep freed blocks of up to 32 MiB for later use, and up to 64 MiB at the end of each of its heaps; once a
/// process.
///
/// A training step allocates its outputs and gradients and frees them at its end. As a process starts, glibc returns
/// such blocks to the system and fetches them again, page by page, at each step: up to a tenth of its time, where by
/// chance nothing lies behind them in the heap (measured: docs/performance.md). It learns from the first large block that
/// it releases; this releases one that was never touched. `HandLstm` and `CandleLstm` call it as they are built.
///
/// Nothing is done where `MALLOC_TRIM_THRESHOLD_` or another variable of these thresholds, or a call of `mallopt`, has
/// settled the matter, nor by other allocators.
pub fn keep_freed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut block: Vec<u8> = Vec::new();
        if block.try_reserve_exact(LARGEST_KEPT).is_ok() {
            // Otherwise the compiler leaves out both calls of the allocator.
            black_box(block.as_mut_ptr());
        }
    });
}

#[cfg(all(test, target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod tests {
    use std::hint::black_box;

    use super::keep_freed;

    /// The pages that this thread has fetched so far.
    fn faults() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    #[test]
    fn a_block_that_is_freed_is_used_again() {
        let settled = |(name, _): (std::ffi::OsString, _)| {
            let name = name.to_string_lossy();
            name.starts_with("MALLOC_") || name == "GLIBC_TUNABLES"
        };
        if std::env::vars_os().any(settled) {
            eprintln!("skipped: the environment says what glibc keeps");
            return;
        }
        keep_freed();
        let fill = || drop(black_box(vec![1_u8; 24 << 20]));
        fill();
        let before = faults();
        (0..10).for_each(|_| fill());
        let fetched = faults() - before;
        assert!(fetched < 6144, "{fetched} pages of 10 times 6144");
    }
}
