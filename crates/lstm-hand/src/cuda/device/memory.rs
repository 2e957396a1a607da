//! Memory of the device, owned and borrowed.

use std::ops::Range;

use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, DevicePtrMut, result, sys,
};
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use candle_core::{Storage, StorageRef, Tensor};
use lstm_core::{Error, Result};

use super::bytes;
use crate::cuda::OP;

/// Lets the driver keep memory that is freed: else it gives all of it back whenever the process waits for the device, at
/// every step of a training that reads its loss, and fetches it again. Where the process has set how much is kept, that
/// stays.
pub(in crate::cuda) fn keep_freed(device: &CudaDevice) -> Result<()> {
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    let mut kept = 0_u64;
    let stream = device.cuda_stream();
    // SAFETY: the device is the context's own, and the attribute is a number of 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(stream.context().cu_device()).w()?;
        result::mem_pool::get_attribute(pool, threshold, (&raw mut kept).cast()).w()?;
        if kept == 0 {
            kept = u64::MAX;
            result::mem_pool::set_attribute(pool, threshold, (&raw mut kept).cast()).w()?;
        }
    }
    Ok(())
}

/// Memory whose numbers are not set yet: its user writes all of them before any is read.
pub(in crate::cuda) fn uninitialized(device: &CudaDevice, len: usize) -> Result<CudaSlice<f32>> {
    // SAFETY: any bits are an f32, and the callers' kernels write all of them.
    Ok(unsafe { device.alloc(len) }?)
}

/// Memory of numbers that kernels take for unwritten.
pub(in crate::cuda) fn unwritten(device: &CudaDevice, len: usize) -> Result<CudaSlice<f32>> {
    let mut memory = uninitialized(device, len)?;
    let stream = device.cuda_stream();
    let (at, _in_use) = memory.device_ptr_mut(&stream);
    // SAFETY: the memory at `at` has `len` f32.
    unsafe { result::memset_d8_async(at, 0xff, len * size_of::<f32>(), stream.cu_stream()) }.w()?;
    drop(_in_use);
    Ok(memory)
}

/// The numbers of a contiguous CUDA tensor, borrowed.
pub(in crate::cuda) struct Numbers<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl<'a> Numbers<'a> {
    pub(in crate::cuda) fn new(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            let strides = format!("strides {:?}", layout.stride());
            return Err(Error::mismatch(OP, "layout", "contiguous", strides));
        };
        Ok(Self { storage, range: start..end })
    }

    pub(in crate::cuda) fn len(&self) -> usize {
        self.range.len()
    }

    /// Where they lie, for the work that `stream` is given until the tensor is dropped or written.
    pub(in crate::cuda) fn address(&self, stream: &CudaStream) -> Result<u64> {
        let Storage::Cuda(storage) = &*self.storage else {
            return Err(Error::mismatch(OP, "device", "Cuda", "another"));
        };
        Ok(address(storage.as_cuda_slice::<f32>()?, stream) + bytes(self.range.start))
    }
}

/// Where a buffer lies. Memory is used and freed in the order of the device's stream, by candle's operations as by ours;
/// of a device of `Device::new_cuda` each thread has one of its own (docs/cuda.md).
pub(in crate::cuda) fn address<T>(memory: &CudaSlice<T>, stream: &CudaStream) -> u64 {
    memory.device_ptr(stream).0
}
