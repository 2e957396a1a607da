//! What the machine can do at this moment: operations a second, and bytes read a second.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, anyhow};
use candle_core::{Device, Tensor};
use lstm_core::ops::matmul::{MatrixMut, MatrixRef, matmul};
use lstm_core::ops::vectorized;

/// The rows and columns of the product that stands for the peak.
const SIDE: usize = 512;

/// Seconds for each of the two measurements.
const SECONDS: f64 = 0.15;

/// The largest working set that is read: beyond all caches.
const MAX_BYTES: usize = 1 << 28;

/// (operations a second, bytes a second), the best seen, with as many threads as the layers use.
///
/// `bytes`: the working set that is read again and again.
pub fn measure(bytes: usize) -> Result<(f64, f64)> {
    Ok((peak()?, bandwidth(bytes, candle_core::utils::get_num_threads())?))
}

/// The same of a device: a product of 8192³ in the precision that is set, and a copy of 1 GiB, read and written.
pub fn measure_on(device: &Device) -> Result<(f64, f64)> {
    const SIDE: usize = 8192;
    const NUMBERS: usize = 1 << 28;
    let random = |shape: &[usize]| Tensor::rand(-1_f32, 1_f32, shape, device);
    let (lhs, rhs, long) = (random(&[SIDE, SIDE])?, random(&[SIDE, SIDE])?, random(&[NUMBERS])?);
    let done = |work: &dyn Fn() -> candle_core::Result<Tensor>| {
        quickest(|| {
            work()?;
            Ok(device.synchronize()?)
        })
    };
    let operations = 2.0 * (SIDE as f64).powi(3) / done(&|| lhs.matmul(&rhs))?;
    let bytes = (2 * NUMBERS * size_of::<f32>()) as f64 / done(&|| long.copy())?;
    Ok((operations, bytes))
}

/// A matrix product of 512³.
fn peak() -> Result<f64> {
    let (lhs, rhs) = (vec![0.5_f32; SIDE * SIDE], vec![0.25_f32; SIDE * SIDE]);
    let mut dst = vec![0.0_f32; SIDE * SIDE];
    let call = || {
        let (lhs, rhs) = (MatrixRef::new(&lhs, SIDE, SIDE)?, MatrixRef::new(&rhs, SIDE, SIDE)?);
        matmul(MatrixMut::new(&mut dst, SIDE, SIDE)?, lhs, rhs)
    };
    Ok(2.0 * (SIDE as f64).powi(3) / quickest(call)?)
}

/// Every thread sums its own part of the working set.
fn bandwidth(bytes: usize, n_threads: usize) -> Result<f64> {
    let n_floats = (bytes.min(MAX_BYTES) / size_of::<f32>() / n_threads).max(1);
    let read = || {
        let part = vec![1.0_f32; n_floats];
        // Several reads a sample where one is too short for the clock.
        let inner = (1 << 18) / n_floats + 1;
        let seconds = quickest(|| {
            black_box(sum(&part, inner));
            Ok(())
        })?;
        Ok((inner * n_floats * size_of::<f32>()) as f64 / seconds)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(read)).collect();
        let rate = |thread: std::thread::ScopedJoinHandle<'_, Result<f64>>| {
            thread.join().map_err(|_| anyhow!("a reading thread panicked"))?
        };
        threads.into_iter().map(rate).sum()
    })
}

/// The sum of all values so many times, in 128 interleaved parts that are added at the end: reading is what takes time.
fn sum(values: &[f32], times: usize) -> f32 {
    vectorized(
        #[inline(always)]
        || {
            let mut lanes = [0.0_f32; 128];
            for _ in 0..times {
                for chunk in black_box(values).as_chunks::<128>().0 {
                    for lane in 0..128 {
                        lanes[lane] += chunk[lane];
                    }
                }
            }
            lanes.iter().sum()
        },
    )
}

/// The seconds of the quickest call.
fn quickest(mut call: impl FnMut() -> lstm_core::Result<()>) -> Result<f64> {
    let started = Instant::now();
    let mut best = f64::INFINITY;
    while started.elapsed().as_secs_f64() < SECONDS {
        let one = Instant::now();
        call()?;
        best = best.min(one.elapsed().as_secs_f64());
    }
    Ok(best)
}
