//! The launches of both passes.

use std::ffi::c_int;

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use lstm_core::{Direction, Error, Result};

use super::memory::{Numbers, address};
use super::{bytes, check};
use crate::cuda::OP;
use crate::cuda::plan::Plan;

/// Threads of a block, `kernels/product.cuh`.
const THREADS: u32 = 256;

/// What a layer's part of the forward pass reads and writes; the comments of `kernels/forward.cu` give the shapes.
pub(in crate::cuda) struct ForwardLayer<'a> {
    pub(in crate::cuda) v: &'a Numbers<'a>,
    pub(in crate::cuda) biases: [Option<&'a Numbers<'a>>; 2],
    pub(in crate::cuda) h0: Option<&'a Numbers<'a>>,
    pub(in crate::cuda) c0: Option<&'a Numbers<'a>>,
    pub(in crate::cuda) z: &'a mut CudaSlice<f32>,
    /// Empty where the plan keeps nothing.
    pub(in crate::cuda) c: &'a mut CudaSlice<f32>,
    pub(in crate::cuda) h_last: &'a mut CudaSlice<f32>,
    pub(in crate::cuda) c_last: &'a mut CudaSlice<f32>,
    pub(in crate::cuda) direction: Direction,
}

/// The same of the backward pass, `kernels/backward.cu`.
pub(in crate::cuda) struct BackwardLayer<'a> {
    pub(in crate::cuda) v: &'a Numbers<'a>,
    pub(in crate::cuda) gates: &'a CudaSlice<f32>,
    pub(in crate::cuda) c: &'a CudaSlice<f32>,
    pub(in crate::cuda) c0: Option<&'a Numbers<'a>>,
    pub(in crate::cuda) dh_last: Option<&'a Numbers<'a>>,
    pub(in crate::cuda) dc_last: Option<&'a Numbers<'a>>,
    pub(in crate::cuda) dz: &'a mut CudaSlice<f32>,
    pub(in crate::cuda) dz_first: &'a mut CudaSlice<f32>,
    pub(in crate::cuda) dz_sum: &'a mut CudaSlice<f32>,
    pub(in crate::cuda) dc0: &'a mut CudaSlice<f32>,
    pub(in crate::cuda) dh0: &'a mut CudaSlice<f32>,
    pub(in crate::cuda) direction: Direction,
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
pub(in crate::cuda) struct Launch<'a> {
    pub(in crate::cuda) device: &'a CudaDevice,
    pub(in crate::cuda) plan: Plan,
    pub(in crate::cuda) kernel: &'a CudaFunction,
    pub(in crate::cuda) n_steps: usize,
    /// Of each row, as u32; all steps where absent.
    pub(in crate::cuda) lengths: Option<&'a CudaSlice<u32>>,
    /// The numbers of a row of y and dy: those of all layers.
    pub(in crate::cuda) width: usize,
}

impl Launch<'_> {
    /// Cells of the run, and sequences, in numbers of a unit each.
    fn sizes(&self) -> (usize, usize) {
        let of_rows = self.plan.task.batch * self.plan.task.hidden;
        (self.n_steps * of_rows, of_rows)
    }

    /// `y`: `[T, B, width]`, unwritten.
    pub(in crate::cuda) fn forward(
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
    pub(in crate::cuda) fn backward(
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
