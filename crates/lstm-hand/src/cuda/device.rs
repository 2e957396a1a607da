//! The one place that calls the device: memory, launches, and products of all steps at once.
//!
//! What the driver cannot check is checked here before: every buffer has the size that the kernel counts on.
#![allow(unsafe_code, reason = "the driver's and cuBLAS's calls are")]

use std::ffi::c_int;
use std::marker::PhantomData;
use std::ops::Range;

use candle_core::cuda_backend::cudarc::cublas::{result::gemm_ex, sys as blas};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DeviceRepr, LaunchConfig,
    PushKernelArg, result, sys,
};
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use candle_core::{Storage, StorageRef, Tensor};
use lstm_core::{Direction, Error, Result};

use super::plan::Plan;
use super::{OP, Precision};

/// Threads of a block, `kernels/product.cuh`.
const THREADS: u32 = 256;

/// Lets the driver keep memory that is freed: else it gives all of it back whenever the process waits for the device, at
/// every step of a training that reads its loss, and fetches it again. Where the process has set how much is kept, that
/// stays.
pub(super) fn keep_freed(device: &CudaDevice) -> Result<()> {
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
pub(super) fn uninitialized(device: &CudaDevice, len: usize) -> Result<CudaSlice<f32>> {
    // SAFETY: any bits are an f32, and the callers' kernels write all of them.
    Ok(unsafe { device.alloc(len) }?)
}

/// Memory of numbers that kernels take for unwritten.
pub(super) fn unwritten(device: &CudaDevice, len: usize) -> Result<CudaSlice<f32>> {
    let mut memory = uninitialized(device, len)?;
    let stream = device.cuda_stream();
    let (at, _in_use) = memory.device_ptr_mut(&stream);
    // SAFETY: the memory at `at` has `len` f32.
    unsafe { result::memset_d8_async(at, 0xff, len * size_of::<f32>(), stream.cu_stream()) }.w()?;
    drop(_in_use);
    Ok(memory)
}

/// The numbers of a contiguous CUDA tensor, borrowed.
pub(super) struct Numbers<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl<'a> Numbers<'a> {
    pub(super) fn new(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            let strides = format!("strides {:?}", layout.stride());
            return Err(Error::mismatch(OP, "layout", "contiguous", strides));
        };
        Ok(Self { storage, range: start..end })
    }

    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// Where they lie, for the work that `stream` is given until the tensor is dropped or written.
    fn address(&self, stream: &CudaStream) -> Result<u64> {
        let Storage::Cuda(storage) = &*self.storage else {
            return Err(Error::mismatch(OP, "device", "Cuda", "another"));
        };
        Ok(address(storage.as_cuda_slice::<f32>()?, stream) + bytes(self.range.start))
    }
}

/// Where a buffer lies. candle gives a device one stream, in whose order memory is used and freed.
pub(super) fn address<T>(memory: &CudaSlice<T>, stream: &CudaStream) -> u64 {
    memory.device_ptr(stream).0
}

fn bytes(numbers: usize) -> u64 {
    (numbers * size_of::<f32>()) as u64
}

/// What a layer's part of the forward pass reads and writes; the comments of `kernels/forward.cu` give the shapes.
pub(super) struct ForwardLayer<'a> {
    pub(super) v: &'a Numbers<'a>,
    pub(super) biases: [Option<&'a Numbers<'a>>; 2],
    pub(super) h0: Option<&'a Numbers<'a>>,
    pub(super) c0: Option<&'a Numbers<'a>>,
    pub(super) z: &'a mut CudaSlice<f32>,
    /// Empty where the plan keeps nothing.
    pub(super) c: &'a mut CudaSlice<f32>,
    pub(super) h_last: &'a mut CudaSlice<f32>,
    pub(super) c_last: &'a mut CudaSlice<f32>,
    pub(super) direction: Direction,
}

/// The same of the backward pass, `kernels/backward.cu`.
pub(super) struct BackwardLayer<'a> {
    pub(super) v: &'a Numbers<'a>,
    pub(super) gates: &'a CudaSlice<f32>,
    pub(super) c: &'a CudaSlice<f32>,
    pub(super) c0: Option<&'a Numbers<'a>>,
    pub(super) dh_last: Option<&'a Numbers<'a>>,
    pub(super) dc_last: Option<&'a Numbers<'a>>,
    pub(super) dz: &'a mut CudaSlice<f32>,
    pub(super) dz_first: &'a mut CudaSlice<f32>,
    pub(super) dz_sum: &'a mut CudaSlice<f32>,
    pub(super) dc0: &'a mut CudaSlice<f32>,
    pub(super) dh0: &'a mut CudaSlice<f32>,
    pub(super) direction: Direction,
}

/// The struct `Layer` of either kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct RawLayer<const N: usize> {
    addresses: [u64; N],
    exchange: u64,
    width: c_int,
    reverse: c_int,
}

/// The struct `Layers` of either kernel.
#[repr(C)]
struct RawLayers<const N: usize>([RawLayer<N>; 2]);

// SAFETY: plain numbers in C's layout, as the kernels declare them.
unsafe impl<const N: usize> DeviceRepr for RawLayers<N> {}

/// A kernel and what all of its launches share.
pub(super) struct Launch<'a> {
    pub(super) device: &'a CudaDevice,
    pub(super) plan: Plan,
    pub(super) kernel: &'a CudaFunction,
    pub(super) n_steps: usize,
    /// Of each row, as u32; all steps where absent.
    pub(super) lengths: Option<&'a CudaSlice<u32>>,
    /// The numbers of a row of y and dy: those of all layers.
    pub(super) width: usize,
}

impl Launch<'_> {
    /// Cells of the run, and sequences, in numbers of a unit each.
    fn sizes(&self) -> (usize, usize) {
        let of_rows = self.plan.task.batch * self.plan.task.hidden;
        (self.n_steps * of_rows, of_rows)
    }

    /// `y`: `[T, B, width]`, unwritten.
    pub(super) fn forward(
        &self,
        layers: Vec<ForwardLayer<'_>>,
        y: &mut CudaSlice<f32>,
    ) -> Result<()> {
        let stream = self.device.cuda_stream();
        let (cells, of_rows) = self.sizes();
        let hidden = self.plan.task.hidden;
        check("y", self.n_steps * self.plan.task.batch * self.width, y.len())?;
        let y = address(y, &stream);
        let mut raw = Vec::new();
        for layer in &layers {
            check("z", 4 * cells, layer.z.len())?;
            check("c", if self.plan.task.keep { cells } else { 0 }, layer.c.len())?;
            check("h_last", of_rows, layer.h_last.len())?;
            check("c_last", of_rows, layer.c_last.len())?;
            let given =
                |what, size, numbers: Option<&Numbers<'_>>| given(what, size, numbers, &stream);
            let own = |memory: &CudaSlice<f32>| address(memory, &stream);
            raw.push((
                [
                    given("weight_hh", 4 * hidden * hidden, Some(layer.v))?,
                    given("bias_ih", 4 * hidden, layer.biases[0])?,
                    given("bias_hh", 4 * hidden, layer.biases[1])?,
                    given("h0", of_rows, layer.h0)?,
                    given("c0", of_rows, layer.c0)?,
                    own(layer.z),
                    y + bytes(raw.len() * hidden),
                    own(layer.c),
                    own(layer.h_last),
                    own(layer.c_last),
                ],
                layer.direction,
            ));
        }
        self.launch(raw)
    }

    /// `dy`: `[T, B, width]`; zero where absent.
    pub(super) fn backward(
        &self,
        layers: Vec<BackwardLayer<'_>>,
        dy: Option<&Numbers<'_>>,
    ) -> Result<()> {
        let stream = self.device.cuda_stream();
        let (cells, of_rows) = self.sizes();
        let hidden = self.plan.task.hidden;
        let dy = given("dy", self.n_steps * self.plan.task.batch * self.width, dy, &stream)?;
        let mut raw = Vec::new();
        for layer in &layers {
            check("gates", 4 * cells, layer.gates.len())?;
            check("c", cells, layer.c.len())?;
            check("dz", 4 * cells, layer.dz.len())?;
            check("dz_first", 4 * of_rows, layer.dz_first.len())?;
            check("dz_sum", 4 * of_rows, layer.dz_sum.len())?;
            check("dc0", of_rows, layer.dc0.len())?;
            check("dh0", of_rows, layer.dh0.len())?;
            let given =
                |what, size, numbers: Option<&Numbers<'_>>| given(what, size, numbers, &stream);
            let own = |memory: &CudaSlice<f32>| address(memory, &stream);
            let of_columns = if dy == 0 { 0 } else { dy + bytes(raw.len() * hidden) };
            raw.push((
                [
                    given("weight_hh", 4 * hidden * hidden, Some(layer.v))?,
                    own(layer.gates),
                    own(layer.c),
                    given("c0", of_rows, layer.c0)?,
                    of_columns,
                    given("dh_last", of_rows, layer.dh_last)?,
                    given("dc_last", of_rows, layer.dc_last)?,
                    own(layer.dz),
                    own(layer.dz_first),
                    own(layer.dz_sum),
                    own(layer.dc0),
                    own(layer.dh0),
                ],
                layer.direction,
            ));
        }
        self.launch(raw)
    }

    /// One launch for as many rows as run at the same time.
    fn launch<const N: usize>(&self, layers: Vec<([u64; N], Direction)>) -> Result<()> {
        let Self { device, plan, kernel, n_steps, lengths, width } = self;
        let stream = device.cuda_stream();
        check("layers", plan.task.layers, layers.len())?;
        check("lengths", plan.task.batch, lengths.map_or(plan.task.batch, CudaSlice::len))?;
        let lengths = lengths.map_or(0, |lengths| address(lengths, &stream));
        let config = LaunchConfig {
            grid_dim: (plan.grid() as u32, 1, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: plan.shared_bytes() as u32,
        };
        for first_row in (0..plan.task.batch).step_by(plan.slices * plan.columns()) {
            // Of this launch's own: numbers of steps from another one must not be in it.
            let rooms =
                layers.iter().map(|_| device.alloc_zeros::<u64>(plan.exchange_words().max(1)));
            let rooms = rooms.collect::<candle_core::Result<Vec<_>>>()?;
            let mut raw =
                layers.iter().zip(&rooms).map(|((addresses, direction), room)| RawLayer {
                    addresses: *addresses,
                    exchange: address(room, &stream),
                    width: *width as c_int,
                    reverse: (*direction == Direction::Reverse).into(),
                });
            let first = raw.next().ok_or_else(|| Error::mismatch(OP, "layers", "1 or 2", 0))?;
            let second = raw.next().unwrap_or(first);
            let raw = RawLayers([first, second]);
            let numbers = [*n_steps, plan.task.batch, first_row, plan.slices, plan.blocks]
                .map(|n| n as c_int);
            let mut builder = stream.launch_builder(kernel);
            builder.arg(&raw).arg(&lengths);
            numbers.iter().for_each(|number| _ = builder.arg(number));
            // SAFETY: the kernel was compiled for this plan; the callers have compared the size of every buffer with
            // what it reads and writes, all of which outlive the launch in the stream's order.
            unsafe { builder.launch_cooperative(config) }.w()?;
        }
        Ok(())
    }
}

fn check(what: &str, expected: usize, got: usize) -> Result<()> {
    Error::check(OP, &format!("numbers of {what}"), expected, got)
}

/// The address of numbers that may be absent: 0.
fn given(
    what: &str,
    size: usize,
    numbers: Option<&Numbers<'_>>,
    stream: &CudaStream,
) -> Result<u64> {
    let Some(numbers) = numbers else { return Ok(0) };
    check(what, size, numbers.len())?;
    numbers.address(stream)
}

/// A matrix in row-major order, somewhere in a buffer.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    of: PhantomData<&'a f32>,
    address: u64,
    /// Numbers from a row to the next.
    pitch: usize,
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `first`: the number at its upper left; `len`: of the buffer.
    fn new(
        address: u64,
        len: usize,
        first: usize,
        (rows, columns): (usize, usize),
        pitch: usize,
    ) -> Result<Self> {
        let end = if rows * columns == 0 { first } else { first + (rows - 1) * pitch + columns };
        if end > len || columns > pitch {
            let expected = format!("at least {end} numbers in rows of at least {columns}");
            return Err(Error::mismatch(
                OP,
                "buffer of a matrix",
                expected,
                format!("{len}, {pitch}"),
            ));
        }
        Ok(Self {
            of: PhantomData,
            address: address + bytes(first),
            pitch,
            rows,
            columns,
            transposed: false,
        })
    }

    /// A part of a tensor's numbers.
    pub(super) fn of(
        numbers: &'a Numbers<'_>,
        device: &CudaDevice,
        first: usize,
        size: (usize, usize),
        pitch: usize,
    ) -> Result<Self> {
        Self::new(numbers.address(&device.cuda_stream())?, numbers.len(), first, size, pitch)
    }

    /// A part of a buffer.
    pub(super) fn of_slice(
        memory: &'a CudaSlice<f32>,
        device: &CudaDevice,
        first: usize,
        (rows, columns): (usize, usize),
    ) -> Result<Self> {
        let at = address(memory, &device.cuda_stream());
        Self::new(at, memory.len(), first, (rows, columns), columns)
    }

    pub(super) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn size(&self) -> (usize, usize) {
        if self.transposed { (self.columns, self.rows) } else { (self.rows, self.columns) }
    }
}

/// `to` = `a` · `b`, or that added to it; `to`: rows of as many numbers as it has columns.
pub(super) fn product(
    device: &CudaDevice,
    precision: Precision,
    [a, b]: [Matrix<'_>; 2],
    to: &mut CudaSlice<f32>,
    add: bool,
) -> Result<()> {
    let ((m, k), (k_of_b, n)) = (a.size(), b.size());
    check("a row of a product", k, k_of_b)?;
    check("a product", m * n, to.len())?;
    let compute = match precision {
        Precision::F32 => blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        Precision::Tf32 => blas::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        Precision::Bf16 => blas::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
    };
    let operation = |matrix: &Matrix<'_>| match matrix.transposed {
        true => blas::cublasOperation_t::CUBLAS_OP_T,
        false => blas::cublasOperation_t::CUBLAS_OP_N,
    };
    let stream = device.cuda_stream();
    let to = to.device_ptr_mut(&stream).0;
    let (one, beta) = (1.0_f32, if add { 1.0_f32 } else { 0.0 });
    let f32s = blas::cudaDataType_t::CUDA_R_32F;
    let pointer = |address: u64| address as *const std::ffi::c_void;
    // SAFETY: the matrices lie within their buffers; cuBLAS counts in columns, in which they are all transposed and the
    // factors change places.
    unsafe {
        gemm_ex(
            *device.cublas_handle().handle(),
            operation(&b),
            operation(&a),
            n as c_int,
            m as c_int,
            k as c_int,
            (&raw const one).cast(),
            pointer(b.address),
            f32s,
            b.pitch as c_int,
            pointer(a.address),
            f32s,
            a.pitch as c_int,
            (&raw const beta).cast(),
            pointer(to).cast_mut(),
            f32s,
            n as c_int,
            compute,
            blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
    }
    .w()?;
    Ok(())
}
