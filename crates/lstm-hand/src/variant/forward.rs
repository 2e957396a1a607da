//! The forward pass, eq. (14) to (24).

mod cell;

use lstm_core::ops::matmul::{MatrixMut, MatrixRef, matmul};
use lstm_core::ops::packed_matrix::PackedMatrix;
use lstm_core::{Element, Gate, GateOrder, Keep, LstmConfig, Parameter, PeepholeOrder, Result};

use self::cell::Cell;
use super::norm::normalise;
use super::packed::Matrices;
use super::{Sizes, VariantSequence, VariantTape, add};
use crate::Outputs;
use crate::sequence::check_len;

/// Runs a layer with options over a batch of sequences.
///
/// Writes `outputs` (y: `[T, B, P]`; h `[B, P]`, c `[B, H]`) and what [`super::backward`] needs to `tape`.
///
/// # Errors
///
/// [`lstm_core::Error::Mismatch`] where sizes are zero or slices do not have the stated shapes.
pub fn forward<E: Element>(
    sequence: &VariantSequence<'_, E>,
    outputs: Outputs<'_, E>,
    tape: &mut VariantTape<E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::variant::forward";
    check(OP, sequence, &outputs)?;
    tape.make_room(sequence);
    tape.start(sequence);
    let mut matrices = std::mem::take(&mut tape.matrices);
    let v = tape.used_v(sequence.parameters.get(Parameter::WeightHh));
    let result = matrices
        .pack(&sequence.parameters, v)
        .and_then(|()| run(sequence, &matrices, outputs, tape));
    tape.matrices = matrices;
    result
}

/// A run of one step, with matrices that were packed before; allocates nothing once the tape has room, and
/// starts no thread.
///
/// # Errors
///
/// As [`forward`].
pub(crate) fn step<E: Element>(
    sequence: &VariantSequence<'_, E>,
    matrices: &Matrices<E>,
    outputs: Outputs<'_, E>,
    tape: &mut VariantTape<E>,
) -> Result<()> {
    check("lstm_hand::variant::step", sequence, &outputs)?;
    tape.make_room(sequence);
    tape.start(sequence);
    run(sequence, matrices, outputs, tape)
}

pub(super) fn check<E: Element>(
    op: &'static str,
    sequence: &VariantSequence<'_, E>,
    outputs: &Outputs<'_, E>,
) -> Result<()> {
    sequence.check(op)?;
    let sizes = sequence.sizes();
    check_len(op, "output", &[sizes.n_steps, sizes.batch, sizes.output], outputs.output)?;
    check_len(op, "last h", &[sizes.batch, sizes.output], outputs.last.h)?;
    check_len(op, "last c", &[sizes.batch, sizes.hidden], outputs.last.c)
}

/// All steps, from the state in the tape.
fn run<E: Element>(
    sequence: &VariantSequence<'_, E>,
    matrices: &Matrices<E>,
    outputs: Outputs<'_, E>,
    tape: &mut VariantTape<E>,
) -> Result<()> {
    let (config, sizes) = (*sequence.parameters.config(), sequence.sizes());
    let mut scan = Scan { sequence, config, sizes, matrices, tape };
    scan.input_product()?;
    let starts = sequence.starts();
    for nth in 0..sizes.n_steps {
        let t = sequence.step(nth);
        let cells = t * sizes.batch..(t + 1) * sizes.batch;
        for (row, _) in starts.get(cells).unwrap_or(&[]).iter().enumerate().filter(|(_, s)| **s) {
            scan.tape.start_anew(sequence, row);
        }
        let width = sizes.batch * sizes.output;
        scan.step(t, &mut outputs.output[t * width..][..width])?;
    }
    outputs.last.h.copy_from_slice(&tape.h);
    outputs.last.c.copy_from_slice(&tape.c);
    Ok(())
}

/// The numbers of `gate` in a `[4H]` row.
pub(super) fn of_gate(gate: Gate, hidden: usize) -> std::ops::Range<usize> {
    let block = GateOrder::IFGO.block(gate);
    block * hidden..(block + 1) * hidden
}

/// p of `gate`; empty where there are no peepholes.
pub(super) fn peephole<E>(peepholes: &[E], gate: Gate, hidden: usize) -> &[E] {
    let block = PeepholeOrder::IFO.block(gate);
    let range = block.map(|block| block * hidden..(block + 1) * hidden);
    range.and_then(|range| peepholes.get(range)).unwrap_or(&[])
}

struct Scan<'a, 'b, E: Element> {
    sequence: &'a VariantSequence<'b, E>,
    config: LstmConfig,
    sizes: Sizes,
    matrices: &'a Matrices<E>,
    tape: &'a mut VariantTape<E>,
}

impl<E: Element> Scan<'_, '_, E> {
    /// u + b of all steps into z: the halves of eq. (15) and (16) that do not wait for h.
    fn input_product(&mut self) -> Result<()> {
        let Sizes { input, hidden, .. } = self.sizes;
        let (cells, gates) = (self.sizes.cells(), 4 * hidden);
        let mut z = std::mem::take(&mut self.tape.z);
        let x = self.tape.clean_x(self.sequence.x);
        match &self.matrices.u {
            Some(u) => u.multiply_here(x, &mut z)?,
            None => {
                let u = self.sequence.parameters.get(Parameter::WeightIh);
                let (x, u) = (MatrixRef::new(x, cells, input)?, MatrixRef::new(u, gates, input)?);
                matmul(MatrixMut::new(&mut z, cells, gates)?, x, u.t())?;
            }
        }
        if let Some(norm) = self.config.layer_norm {
            let gain = self.sequence.parameters.get(Parameter::NormIh);
            normalise_rows(&mut z, gain, norm.epsilon, &mut self.tape.norms[0], 0);
        }
        if !self.tape.bias.is_empty() {
            z.chunks_exact_mut(gates).for_each(|z| add(z, &self.tape.bias));
        }
        self.tape.z = z;
        Ok(())
    }

    /// One step of all rows; writes h to `y`, zero for padding.
    fn step(&mut self, t: usize, y: &mut [E]) -> Result<()> {
        let Sizes { batch, hidden, output, .. } = self.sizes;
        let first = t * batch;
        let seen = first * output..(first + batch) * output;
        self.tape.h_seen[seen.clone()].copy_from_slice(&self.tape.h); // (14)
        if let Some(mask) = &self.sequence.masks.recurrent {
            self.tape.h_seen[seen.clone()].iter_mut().zip(mask).for_each(|(h, m)| *h *= *m);
        }
        self.tape.c_before[first * hidden..][..batch * hidden].copy_from_slice(&self.tape.c);
        self.recurrent_product(t)?;
        for row in 0..batch {
            self.cell(first + row, row);
        }
        let mut h = std::mem::take(&mut self.tape.h_new);
        self.project(t, &mut h)?;
        for row in 0..batch {
            let (of_h, of_c) = (row * output..(row + 1) * output, row * hidden..(row + 1) * hidden);
            let (y, h) = (&mut y[of_h.clone()], &h[of_h.clone()]);
            if !self.sequence.is_valid(t, row) {
                y.fill(E::ZERO);
                continue;
            }
            let masks = self.sequence.masks;
            let c = &self.tape.c_new[(first + row) * hidden..][..hidden];
            keep(&mut self.tape.h[of_h.clone()], h, &masks.keep_h, (first + row) * output); // (24)
            keep(&mut self.tape.c[of_c], c, &masks.keep_c, (first + row) * hidden);
            y.copy_from_slice(&self.tape.h[of_h]);
        }
        self.tape.h_new = h;
        Ok(())
    }

    /// z += v, eq. (15) and (16).
    fn recurrent_product(&mut self, t: usize) -> Result<()> {
        let Sizes { batch, hidden, output, .. } = self.sizes;
        let (first, gates) = (t * batch, 4 * hidden);
        let mut product = std::mem::take(&mut self.tape.product);
        let h = &self.tape.h_seen[first * output..][..batch * output];
        self.multiply(&self.matrices.v, h, &mut product)?;
        if let Some(norm) = self.config.layer_norm {
            let gain = self.sequence.parameters.get(Parameter::NormHh);
            normalise_rows(&mut product, gain, norm.epsilon, &mut self.tape.norms[1], first);
        }
        add(&mut self.tape.z[first * gates..][..batch * gates], &product);
        self.tape.product = product;
        Ok(())
    }

    /// The gates, c' and r of one cell, eq. (16) to (22).
    fn cell(&mut self, cell: usize, row: usize) {
        let (hidden, parameters) = (self.sizes.hidden, &self.sequence.parameters);
        let VariantTape { z, gates, c, c_raw, c_new, shown, activated, r, c_norm, .. } = self.tape;
        let (units, all) = (cell * hidden..(cell + 1) * hidden, cell * 4 * hidden..);
        let mut cell = Cell {
            parameters,
            z: &mut z[all.clone()][..4 * hidden],
            gates: &mut gates[all][..4 * hidden],
            c_before: &c[row * hidden..][..hidden],
            c_new: &mut c_new[units.clone()],
            activated: &mut activated[units.clone()],
            c_raw: c_raw.get_mut(units.clone()),
            c_norm: c_norm.0.get_mut(units.clone()).zip(c_norm.1.get_mut(cell)),
            shown: shown.get_mut(units.clone()),
            r: r.get_mut(units),
        };
        cell.state();
        cell.output();
    }

    /// dst = x M; single steps stay on their thread.
    fn multiply(&self, m: &PackedMatrix<E>, x: &[E], dst: &mut [E]) -> Result<()> {
        if self.matrices.u.is_some() { m.multiply_here(x, dst) } else { m.multiply(x, dst) }
    }

    /// h' of a step, eq. (22) and (23).
    fn project(&self, t: usize, h: &mut [E]) -> Result<()> {
        let Sizes { batch, hidden, .. } = self.sizes;
        let first = t * batch;
        if self.config.proj_size.is_some() {
            let r = &self.tape.r[first * hidden..][..batch * hidden];
            return self.multiply(&self.matrices.w, r, h);
        }
        for (row, h) in h.chunks_exact_mut(hidden).enumerate() {
            let cell = first + row;
            let o = &self.tape.gates[cell * 4 * hidden..][of_gate(Gate::Output, hidden)];
            let activated = &self.tape.activated[cell * hidden..][..hidden];
            for k in 0..hidden {
                h[k] = o[k] * activated[k];
            }
        }
        Ok(())
    }
}

/// Normalises each row of `gain.len()` numbers, keeps N and its scale from cell `first` on, and scales.
fn normalise_rows<E: Element>(
    rows: &mut [E],
    gain: &[E],
    epsilon: f64,
    kept: &mut (Vec<E>, Vec<E>),
    first: usize,
) {
    for (row_idx, row) in rows.chunks_exact_mut(gain.len()).enumerate() {
        kept.1[first + row_idx] = normalise(row, epsilon);
        kept.0[(first + row_idx) * gain.len()..][..gain.len()].copy_from_slice(row);
        row.iter_mut().zip(gain).for_each(|(a, gain)| *a *= *gain);
    }
}

/// k ∘ state + (1 - k) ∘ new, in place of the state; `first` is the place of its first number in the mask.
fn keep<E: Element>(state: &mut [E], new: &[E], part: &Keep<E>, first: usize) {
    if let Keep::Nothing = part {
        state.copy_from_slice(new);
        return;
    }
    for (k, (state, new)) in state.iter_mut().zip(new).enumerate() {
        let part = part.at(first + k);
        *state = part * *state + (E::ONE - part) * *new;
    }
}
