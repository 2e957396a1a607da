//! The way back of a node: through time in one launch, then a product of all steps for each gradient.

use candle_core::Tensor;
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use lstm_core::graph::Backward;
use lstm_core::{Direction, LstmState, Result, SeqDims};

use super::{Kept, Run};
use crate::cuda::compile::kernel;
use crate::cuda::device::{BackwardLayer, Matrix, Numbers, product, uninitialized, unwritten};
use crate::cuda::plan::Pass;
use crate::node::{Reads, contiguous, first_output, inputs};

/// What the backward pass reads again.
pub(super) struct Node {
    pub(super) run: Run,
    pub(super) layers: Vec<Kept>,
    pub(super) reads: Vec<Reads<Tensor>>,
}

/// The gradients of a layer before the products of all steps.
struct Deltas {
    /// `[T, B, 4H]`.
    dz: CudaSlice<f32>,
    /// `[B, 4H]`: of each row's first step, and summed over its steps.
    dz_first: CudaSlice<f32>,
    dz_sum: CudaSlice<f32>,
    /// `[B, H]`; dh0 of rows without steps alone.
    dc0: CudaSlice<f32>,
    dh0: CudaSlice<f32>,
}

impl Node {
    /// `grads`: of y, and of h and c of each layer.
    fn deltas(&self, grads: &[Option<Tensor>]) -> Result<Vec<Deltas>> {
        let run = &self.run;
        let SeqDims { batch, hidden, .. } = run.dims[0];
        let (plan, kernel) = kernel(&run.device, run.task(Pass::Backward, true))?;
        let reads =
            self.reads.iter().map(|reads| reads.map(Numbers::new)).collect::<Result<Vec<_>>>()?;
        let grads = contiguous(grads)?;
        let grads = grads.iter().map(|grad| grad.as_ref().map(Numbers::new).transpose());
        let grads = grads.collect::<Result<Vec<_>>>()?;
        let grad = |k: usize| grads.get(k)?.as_ref();
        let mut all = Vec::new();
        for dims in &run.dims {
            all.push(Deltas {
                dz: unwritten(&run.device, dims.n_cells() * 4 * hidden)?,
                // Rows of length 0 have no first step.
                dz_first: run.device.alloc_zeros(batch * 4 * hidden)?,
                dz_sum: uninitialized(&run.device, batch * 4 * hidden)?,
                dc0: uninitialized(&run.device, batch * hidden)?,
                dh0: uninitialized(&run.device, batch * hidden)?,
            });
        }
        let layers = all.iter_mut().zip(&self.layers).zip(&reads).enumerate();
        let layers = layers.map(|(k, ((deltas, kept), reads))| BackwardLayer {
            v: &reads.parameters[1],
            gates: &kept.gates,
            c: &kept.c,
            c0: reads.initial.as_ref().map(|state| &state.c),
            dh_last: grad(1 + 2 * k),
            dc_last: grad(2 + 2 * k),
            dz: &mut deltas.dz,
            dz_first: &mut deltas.dz_first,
            dz_sum: &mut deltas.dz_sum,
            dc0: &mut deltas.dc0,
            dh0: &mut deltas.dh0,
            direction: run.directions[k],
        });
        run.launch(plan, &kernel).backward(layers.collect(), grad(0))?;
        Ok(all)
    }

    /// Of everything that is read, x once, in the order of [`inputs`]; `y`: the node's output.
    fn gradients(&self, y: &Tensor, grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let deltas = self.deltas(grads)?;
        let y = y.contiguous()?;
        let y = Numbers::new(&y)?;
        // That of x is one for all layers.
        let mut x = self.reads[0].x.track_op().then(|| self.x(&deltas)).transpose()?;
        let mut of_layers = Vec::with_capacity(deltas.len());
        for (k, deltas) in deltas.into_iter().enumerate() {
            let SeqDims { batch, hidden, .. } = self.run.dims[k];
            let Reads { parameters, initial, .. } = &self.reads[k];
            let tracked = |k: usize| parameters.get(k).is_some_and(Tensor::track_op);
            let u = tracked(0).then(|| self.input_weights(k, &deltas)).transpose()?;
            let v = tracked(1).then(|| self.recurrent_weights(k, &deltas, &y)).transpose()?;
            let state = (1, batch, hidden);
            let initial = match initial {
                Some(initial) => {
                    let (h, c) = (initial.h.track_op(), initial.c.track_op());
                    let h =
                        h.then(|| self.initial_h(k, &deltas.dz_first, deltas.dh0)).transpose()?;
                    Some(LstmState { h, c: c.then(|| self.run.tensor(deltas.dc0, state)) })
                }
                None => None,
            };
            // db = Σ dz over all cells. Both biases enter as their sum, so they share a gradient.
            let of_rows = self.run.tensor(deltas.dz_sum, (batch, 4 * hidden));
            let bias = (tracked(2) || tracked(3)).then(|| of_rows.sum(0)).transpose()?;
            let biases = (2..parameters.len()).map(|k| bias.clone().filter(|_| tracked(k)));
            let parameters = [u, v].into_iter().chain(biases).collect();
            of_layers.push(Reads { x: x.take(), parameters, initial });
        }
        Ok(inputs(of_layers))
    }

    /// dz as a matrix of the cells from `first` on.
    fn dz<'a>(
        &self,
        k: usize,
        deltas: &'a Deltas,
        first: usize,
        cells: usize,
    ) -> Result<Matrix<'a>> {
        let rows = 4 * self.run.dims[k].hidden;
        Matrix::of_slice(&deltas.dz, &self.run.device, first * rows, (cells, rows))
    }

    /// dx = Σ dz U over the layers.
    fn x(&self, deltas: &[Deltas]) -> Result<Tensor> {
        let Run { device, precision, .. } = &self.run;
        let SeqDims { n_steps, batch, input, .. } = self.run.dims[0];
        let mut dx = uninitialized(device, n_steps * batch * input)?;
        for (k, deltas) in deltas.iter().enumerate() {
            let u = Numbers::new(&self.reads[k].parameters[0])?;
            let u = Matrix::of(&u, device, 0, (4 * self.run.dims[k].hidden, input), input)?;
            let dz = self.dz(k, deltas, 0, n_steps * batch)?;
            product(device, *precision, [dz, u], &mut dx, k > 0)?;
        }
        Ok(self.run.tensor(dx, (n_steps, batch, input)))
    }

    /// dU = dzᵀ x.
    fn input_weights(&self, k: usize, deltas: &Deltas) -> Result<Tensor> {
        let Run { device, precision, dims, .. } = &self.run;
        let SeqDims { input, hidden, .. } = dims[k];
        let cells = dims[k].n_cells();
        let x = Numbers::new(&self.reads[k].x)?;
        let x = Matrix::of(&x, device, 0, (cells, input), input)?;
        let mut du = uninitialized(device, 4 * hidden * input)?;
        let dz = self.dz(k, deltas, 0, cells)?;
        product(device, *precision, [dz.transposed(), x], &mut du, false)?;
        Ok(self.run.tensor(du, (4 * hidden, input)))
    }

    /// dV = dzᵀ h of the step before: y, which is zero where a row has none, and h0 at each row's first step.
    fn recurrent_weights(&self, k: usize, deltas: &Deltas, y: &Numbers<'_>) -> Result<Tensor> {
        let Run { device, precision, dims, directions, .. } = &self.run;
        let SeqDims { n_steps, batch, hidden, .. } = dims[k];
        let column: usize = dims.iter().take(k).map(|dims| dims.hidden).sum();
        let width = self.run.width();
        let cells = (n_steps - 1) * batch;
        let initial = self.reads[k].initial.as_ref();
        let mut dv = match cells {
            0 => device.alloc_zeros(4 * hidden * hidden)?,
            _ => uninitialized(device, 4 * hidden * hidden)?,
        };
        if cells > 0 {
            let (of_dz, of_y) = match directions[k] {
                Direction::Forward => (batch, 0),
                Direction::Reverse => (0, batch),
            };
            let before = Matrix::of(y, device, of_y * width + column, (cells, hidden), width)?;
            let dz = self.dz(k, deltas, of_dz, cells)?;
            product(device, *precision, [dz.transposed(), before], &mut dv, false)?;
        }
        if let Some(initial) = initial {
            let h0 = Numbers::new(&initial.h)?;
            let h0 = Matrix::of(&h0, device, 0, (batch, hidden), hidden)?;
            let first = Matrix::of_slice(&deltas.dz_first, device, 0, (batch, 4 * hidden))?;
            product(device, *precision, [first.transposed(), h0], &mut dv, true)?;
        }
        Ok(self.run.tensor(dv, (4 * hidden, hidden)))
    }

    /// dh0 = dz V at each row's first step, and what the kernel has for rows without one.
    ///
    /// `dz_first`: `[B, 4H]`; `dh0`: `[B, H]`, of rows without steps.
    fn initial_h(
        &self,
        k: usize,
        dz_first: &CudaSlice<f32>,
        mut dh0: CudaSlice<f32>,
    ) -> Result<Tensor> {
        let Run { device, precision, dims, .. } = &self.run;
        let SeqDims { batch, hidden, .. } = dims[k];
        let v = Numbers::new(&self.reads[k].parameters[1])?;
        let v = Matrix::of(&v, device, 0, (4 * hidden, hidden), hidden)?;
        let first = Matrix::of_slice(dz_first, device, 0, (batch, 4 * hidden))?;
        product(device, *precision, [first, v], &mut dh0, true)?;
        Ok(self.run.tensor(dh0, (1, batch, hidden)))
    }
}

impl Backward for Node {
    fn backward(
        &self,
        outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        Ok(self.gradients(first_output(outputs)?, grads)?)
    }
}
