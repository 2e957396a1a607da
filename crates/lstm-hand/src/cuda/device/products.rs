//! Products of all steps at once, by cuBLAS.

use std::ffi::c_int;
use std::marker::PhantomData;

use candle_core::cuda_backend::cudarc::cublas::{result::gemm_ex, sys as blas};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtrMut};
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use lstm_core::{Error, Result};

use super::memory::{Numbers, address};
use super::{bytes, check};
use crate::cuda::{OP, Precision};

/// A matrix in row-major order, somewhere in a buffer.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Matrix<'a> {
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
    pub(in crate::cuda) fn of(
        numbers: &'a Numbers<'_>,
        device: &CudaDevice,
        first: usize,
        size: (usize, usize),
        pitch: usize,
    ) -> Result<Self> {
        Self::new(numbers.address(&device.cuda_stream())?, numbers.len(), first, size, pitch)
    }

    /// A part of a buffer.
    pub(in crate::cuda) fn of_slice(
        memory: &'a CudaSlice<f32>,
        device: &CudaDevice,
        first: usize,
        (rows, columns): (usize, usize),
    ) -> Result<Self> {
        let at = address(memory, &device.cuda_stream());
        Self::new(at, memory.len(), first, (rows, columns), columns)
    }

    pub(in crate::cuda) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn size(&self) -> (usize, usize) {
        if self.transposed { (self.columns, self.rows) } else { (self.rows, self.columns) }
    }
}

/// `to` = `a` · `b`, or that added to it; `to`: rows of as many numbers as it has columns.
pub(in crate::cuda) fn product(
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
