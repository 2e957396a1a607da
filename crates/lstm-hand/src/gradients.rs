//! The products over all steps: dx, eq. (12); dU, dV and db, eq. (13).

use std::ops::Range;

use lstm_core::ops::InstructionSet;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_products::GateGradients;
use lstm_core::ops::panels::Panels;
use lstm_core::{Element, Result, SeqDims, parallel};

use crate::{BackwardScratch, Gradients, Sequence, Tape};

/// The fewest cells of a part of dx: fewer would read U too often.
const FEWEST_CELLS: usize = 48;

/// Fills the gradients that are wanted from the dz that the scan left.
pub(crate) fn products<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    tape: &Tape<E>,
    gradients: Gradients<'_, E>,
    scratch: &mut BackwardScratch<E>,
) -> Result<()> {
    let SeqDims { n_steps, input, hidden, .. } = sequence.dims;
    let Gradients { x: dx, w_ih, w_hh, bias, .. } = gradients;
    let (set, layout) = (tape.packed.set, tape.packed.layout);
    let BackwardScratch { dz, u, x, h, .. } = scratch;
    if dx.is_some() {
        let w_ih = sequence.weights.w_ih;
        u.pack_columns(set, layout.row(), input, || layout.rows(w_ih, input));
    }
    let order = Order { sequence, tape };
    if w_ih.is_some() {
        x.pack_columns(set, sequence.dims.n_cells(), input, || order.cells().map(|at| order.x(at)));
    }
    if w_hh.is_some() {
        h.pack_columns(set, sequence.dims.n_cells(), hidden, || {
            order.cells().map(|at| order.h_before(at, output))
        });
    }
    let dz = GateGradients { layout, steps: n_steps, blocks: &tape.blocks, dz };
    let sizes = Sizes { input, hidden, lanes: layout.lanes };
    let parts = sizes.parts(w_ih, w_hh, bias).into_iter().enumerate();
    let mut tasks: Vec<Task<'_, E>> = input_parts(sequence, dx);
    tasks.extend(parts.map(|(panel, part)| Task::Weights { panel, part }));
    parallel::for_each(tasks, |task| match task {
        Task::Input { steps, dx } => dz.input(set, u, input, steps, dx),
        Task::Weights { panel, part } => part.run(&dz, set, panel, [x, h], sizes),
    })
}

/// A part of the products that one thread computes.
enum Task<'a, E> {
    /// dx of some steps.
    Input { steps: Range<usize>, dx: &'a mut [E] },
    /// The rows of the weight gradients of one panel.
    Weights { panel: usize, part: Part<'a, E> },
}

/// Cuts dx into parts of a few steps.
fn input_parts<'a, E: Element>(
    sequence: &Sequence<'_, E>,
    dx: Option<&'a mut [E]>,
) -> Vec<Task<'a, E>> {
    let SeqDims { n_steps, batch, input, .. } = sequence.dims;
    let even = n_steps.div_ceil(4 * parallel::threads());
    let steps = even.max(FEWEST_CELLS.div_ceil(batch)).min(n_steps);
    let parts = dx.into_iter().flat_map(|dx| dx.chunks_mut(steps * batch * input)).enumerate();
    let part = |(k, dx): (usize, &'a mut [E])| Task::Input {
        steps: k * steps..(k * steps + steps).min(n_steps),
        dx,
    };
    parts.map(part).collect()
}

/// The cells in the order of the tape: blocks, steps, rows.
struct Order<'a, E> {
    sequence: &'a Sequence<'a, E>,
    tape: &'a Tape<E>,
}

impl<'a, E: Element> Order<'a, E> {
    /// Step and row of every cell.
    fn cells(&self) -> impl Iterator<Item = (usize, usize)> {
        let n_steps = self.sequence.dims.n_steps;
        let of_block = move |block: &BlockRows| {
            let rows = block.range();
            (0..n_steps).flat_map(move |step_idx| rows.clone().map(move |row| (step_idx, row)))
        };
        self.tape.blocks.iter().flat_map(of_block)
    }

    /// x of a cell; nothing for padding, which may hold anything.
    fn x(&self, (step_idx, row): (usize, usize)) -> Option<&'a [E]> {
        let SeqDims { batch, input, .. } = self.sequence.dims;
        let valid = self.sequence.is_valid(step_idx, row);
        valid.then(|| &self.sequence.x[(step_idx * batch + row) * input..][..input])
    }

    /// h of the step before a cell.
    fn h_before(&self, (step_idx, row): (usize, usize), output: &'a [E]) -> Option<&'a [E]> {
        let SeqDims { batch, hidden, .. } = self.sequence.dims;
        if !self.sequence.is_valid(step_idx, row) {
            return None;
        }
        if self.sequence.is_first(step_idx, row) {
            return self.sequence.initial.as_ref().map(|state| &state.h[row * hidden..][..hidden]);
        }
        let before = self.sequence.step_before(step_idx);
        Some(&output[(before * batch + row) * hidden..][..hidden])
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    input: usize,
    hidden: usize,
    lanes: usize,
}

/// The rows of the gradients that belong to the units of one panel, by gate; empty where not wanted.
#[derive(Default)]
struct Part<'a, E> {
    w_ih: [&'a mut [E]; 4],
    w_hh: [&'a mut [E]; 4],
    bias: [&'a mut [E]; 4],
}

impl Sizes {
    /// Cuts the gradients into parts.
    fn parts<'a, E: Element>(
        &self,
        w_ih: Option<&'a mut [E]>,
        w_hh: Option<&'a mut [E]>,
        bias: Option<&'a mut [E]>,
    ) -> Vec<Part<'a, E>> {
        let mut parts = Vec::new();
        parts.resize_with(self.hidden.div_ceil(self.lanes), Part::default);
        let mut cut =
            |matrix: Option<&'a mut [E]>,
             cols: usize,
             place: for<'b> fn(&'b mut Part<'a, E>) -> &'b mut [&'a mut [E]; 4]| {
                let gates = matrix.into_iter().flat_map(|m| m.chunks_mut(self.hidden * cols));
                for (gate, rows) in gates.enumerate() {
                    for (part, rows) in parts.iter_mut().zip(rows.chunks_mut(self.lanes * cols)) {
                        place(part)[gate] = rows;
                    }
                }
            };
        cut(w_ih, self.input, |part| &mut part.w_ih);
        cut(w_hh, self.hidden, |part| &mut part.w_hh);
        cut(bias, 1, |part| &mut part.bias);
        parts
    }
}

impl<E: Element> Part<'_, E> {
    fn run(
        self,
        dz: &GateGradients<'_, E>,
        set: InstructionSet,
        panel: usize,
        [x, h]: [&Panels<E>; 2],
        sizes: Sizes,
    ) -> Result<()> {
        if !self.w_ih[0].is_empty() {
            dz.weights(set, x, sizes.input, panel, self.w_ih)?;
        }
        if !self.w_hh[0].is_empty() {
            dz.weights(set, h, sizes.hidden, panel, self.w_hh)?;
        }
        if self.bias[0].is_empty() { Ok(()) } else { dz.bias(set, panel, self.bias) }
    }
}
