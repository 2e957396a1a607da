//! Whole sequences as one node of candle's autograd graph, on a CUDA device.

mod gradients;

use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaSlice};
use candle_core::cuda_backend::{CudaDevice, CudaStorage};
use candle_core::op::BackpropOp;
use candle_core::{Device, Shape, Storage, Tensor};
use lstm_core::graph;
use lstm_core::{Direction, Error, Masks, Result, SeqDims};

use super::compile::kernel;
use super::device::{ForwardLayer, Launch, Matrix, Numbers, product, uninitialized, unwritten};
use super::plan::{Pass, Plan, Task};
use super::{OP, Precision, precision};
use crate::node::{NodeOutput, Reads, Setting, inputs};
use gradients::Node;

/// Runs the forward pass of a layer, or of two that read the same x; enters its outputs into the graph where anything
/// that they read is tracked.
pub(crate) fn run(mut reads: Vec<Reads<Tensor>>, settings: &[Setting<'_>]) -> Result<NodeOutput> {
    for (reads, setting) in reads.iter_mut().zip(settings) {
        connect(reads, setting)?;
    }
    let device = reads[0].x.device().clone();
    let recorded = reads.iter().any(Reads::tracked);
    let run = Run::new(device.as_cuda_device()?, &reads, settings)?;
    let (outputs, layers) = run.forward(&reads, recorded)?;
    let tensors = if recorded {
        let node = Node { run, layers, reads };
        let reads = node.reads.iter().map(|reads| reads.map(|tensor| Ok(tensor.clone())));
        let inputs = inputs(reads.collect::<Result<_>>()?);
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        graph::record_on(&device, "hand-lstm", &inputs, outputs, node)?
    } else {
        let tensor =
            |(storage, shape)| Tensor::from_storage(storage, shape, BackpropOp::none(), false);
        outputs.into_iter().map(tensor).collect()
    };
    NodeOutput::of_tensors(tensors)
}

/// Puts V ∘ m in the place of V where DropConnect has a part in the run; candle's product carries the gradient on.
fn connect(reads: &mut Reads<Tensor>, setting: &Setting<'_>) -> Result<()> {
    let mut mask: Vec<f32> = Vec::new();
    if Masks::draw_connect(setting.config, setting.name, setting.mode, &mut mask) {
        let v = &mut reads.parameters[1];
        let mask = Tensor::from_vec(mask, v.shape(), &Device::Cpu)?.to_device(v.device())?;
        *v = v.mul(&mask)?;
    }
    Ok(())
}

/// What a run is beside the tensors that it reads.
struct Run {
    device: CudaDevice,
    precision: Precision,
    dims: Vec<SeqDims>,
    directions: Vec<Direction>,
    /// Of each row, where some are shorter than the batch.
    lengths: Option<CudaSlice<u32>>,
}

/// What a layer keeps for the backward pass.
struct Kept {
    /// The activated gates, `[T, B, 4H]`.
    gates: CudaSlice<f32>,
    /// `[T, B, H]`.
    c: CudaSlice<f32>,
}

type Outputs = Vec<(Storage, Shape)>;

impl Run {
    fn new(device: &CudaDevice, reads: &[Reads<Tensor>], settings: &[Setting<'_>]) -> Result<Self> {
        let pairs = || reads.iter().zip(settings);
        let dims =
            pairs().map(|(reads, setting)| setting.dims(reads)).collect::<Result<Vec<_>>>()?;
        dims.iter().try_for_each(check_sizes)?;
        let n_steps = dims[0].n_steps;
        let lengths = settings[0].lengths.filter(|lengths| !lengths.is_full(n_steps));
        let lengths = lengths.map(|lengths| {
            let lengths: Vec<u32> = lengths.rows().iter().map(|&len| len as u32).collect();
            device.clone_htod(&lengths)
        });
        Ok(Self {
            device: device.clone(),
            precision: precision(),
            dims,
            directions: settings.iter().map(Setting::direction).collect(),
            lengths: lengths.transpose()?,
        })
    }

    /// The numbers of a row of y.
    fn width(&self) -> usize {
        self.dims.iter().map(|dims| dims.hidden).sum()
    }

    fn task(&self, pass: Pass, keep: bool) -> Task {
        let SeqDims { batch, hidden, .. } = self.dims[0];
        let aligned = match pass {
            // Rows of y; those of dz have 4H numbers.
            Pass::Forward => hidden,
            Pass::Backward => 4 * hidden,
        };
        let vector = [4, 2, 1].into_iter().find(|&n| aligned.is_multiple_of(n)).unwrap_or(1);
        let layers = self.dims.len();
        Task { pass, precision: self.precision, hidden, batch, layers, vector, keep }
    }

    /// y, then h and c of each layer, and what each keeps.
    fn forward(&self, reads: &[Reads<Tensor>], keep: bool) -> Result<(Outputs, Vec<Kept>)> {
        let SeqDims { n_steps, batch, hidden, .. } = self.dims[0];
        let device = &self.device;
        let (plan, kernel) = kernel(device, self.task(Pass::Forward, keep))?;
        let numbers =
            reads.iter().map(|reads| reads.map(Numbers::new)).collect::<Result<Vec<_>>>()?;
        let mut y = unwritten(device, n_steps * batch * self.width())?;
        let mut rooms = Vec::new();
        for (numbers, dims) in numbers.iter().zip(&self.dims) {
            let kept = if keep { dims.n_cells() * hidden } else { 0 };
            let state = || uninitialized(device, batch * hidden);
            rooms.push((
                self.input_product(numbers, dims)?,
                uninitialized(device, kept)?,
                state()?,
                state()?,
            ));
        }
        let layers = numbers.iter().zip(&mut rooms).zip(&self.directions);
        let layers = layers.map(|((numbers, (z, c, h_last, c_last)), &direction)| ForwardLayer {
            v: &numbers.parameters[1],
            biases: [numbers.parameters.get(2), numbers.parameters.get(3)],
            h0: numbers.initial.as_ref().map(|state| &state.h),
            c0: numbers.initial.as_ref().map(|state| &state.c),
            z,
            c,
            h_last,
            c_last,
            direction,
        });
        self.launch(plan, &kernel).forward(layers.collect(), &mut y)?;
        let mut outputs = vec![self.output(y, (n_steps, batch, self.width()))];
        let mut all_kept = Vec::new();
        for (gates, c, h_last, c_last) in rooms {
            let state = (1, batch, hidden);
            outputs.extend([self.output(h_last, state), self.output(c_last, state)]);
            all_kept.push(Kept { gates, c });
        }
        Ok((outputs, all_kept))
    }

    fn launch<'a>(&'a self, plan: Plan, kernel: &'a CudaFunction) -> Launch<'a> {
        let lengths = self.lengths.as_ref();
        let n_steps = self.dims[0].n_steps;
        Launch { device: &self.device, plan, kernel, n_steps, lengths, width: self.width() }
    }

    /// Z = x Uᵀ of all steps.
    fn input_product(
        &self,
        numbers: &Reads<Numbers<'_>>,
        dims: &SeqDims,
    ) -> Result<CudaSlice<f32>> {
        let device = &self.device;
        let mut z = uninitialized(device, dims.n_cells() * 4 * dims.hidden)?;
        let x = Matrix::of(&numbers.x, device, 0, (dims.n_cells(), dims.input), dims.input)?;
        let size = (4 * dims.hidden, dims.input);
        let u = Matrix::of(&numbers.parameters[0], device, 0, size, dims.input)?;
        product(device, self.precision, [x, u.transposed()], &mut z, false)?;
        Ok(z)
    }

    fn output(&self, memory: CudaSlice<f32>, shape: impl Into<Shape>) -> (Storage, Shape) {
        let storage = CudaStorage::wrap_cuda_slice(memory, self.device.clone());
        (Storage::Cuda(storage), shape.into())
    }

    fn tensor(&self, memory: CudaSlice<f32>, shape: impl Into<Shape>) -> Tensor {
        let (storage, shape) = self.output(memory, shape);
        Tensor::from_storage(storage, shape, BackpropOp::none(), false)
    }
}

/// Refuses runs whose states or cells have more numbers than the kernels' indices and cuBLAS count.
fn check_sizes(dims: &SeqDims) -> Result<()> {
    let SeqDims { n_steps, batch, input, hidden } = *dims;
    let counts = [batch.saturating_mul(4 * hidden), n_steps.saturating_mul(batch), input];
    if counts.into_iter().all(|count| i32::try_from(count).is_ok()) {
        return Ok(());
    }
    Err(Error::Unsupported {
        op: OP,
        what: format!(
            "a run of {n_steps} steps, {batch} rows, {input} features and {hidden} units"
        ),
        reason: "4·B·H, T·B and I have to be below 2³¹; cut the batch".to_owned(),
    })
}
