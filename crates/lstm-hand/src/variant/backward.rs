//! The backward pass, eq. (24) to (14).

mod products;

use lstm_core::ops::matmul::{MatrixMut, MatrixRef, matmul};
use lstm_core::ops::pointwise::clip;
use lstm_core::{
    Activation, Element, Error, Gate, LstmConfig, NormPlacement, Parameter, PeepholeOrder, Result,
};

use super::forward::{of_gate, peephole};
use super::norm::normalise_backward;
use super::{Sizes, VariantSequence, VariantTape};
use crate::OutputGradients;
use crate::sequence::check_len;

/// Where the gradients go; what is `None` is not wanted.
#[derive(Debug)]
pub struct VariantGradients<'a, E> {
    /// dx: `[T, B, I]`, zero for padding.
    pub x: Option<&'a mut [E]>,
    /// dh₀: `[B, P]`, of a state that was given.
    pub h0: Option<&'a mut [E]>,
    /// dc₀: `[B, H]`, of a state that was given.
    pub c0: Option<&'a mut [E]>,
    /// Of every parameter, in the order of [`LstmConfig::parameters`].
    pub parameters: Vec<Option<&'a mut [E]>>,
}

/// Memory of the backward pass; make it once and reuse it for runs of any size.
#[derive(Debug, Clone, Default)]
pub struct VariantScratch<E> {
    /// dz, which becomes the gradient by U x: `[T, B, 4H]`.
    du: Vec<E>,
    /// The gradient by V ĥ, where a norm makes it another: `[T, B, 4H]`.
    dv: Vec<E>,
    /// The gradient by h' of eq. (23): `[T, B, P]`.
    dh_new: Vec<E>,
    /// The gradients by the state on their way: `[B, P]` and `[B, H]`.
    dh: Vec<E>,
    dc: Vec<E>,
    /// The gradient by r: `[B, H]`, and by ĥ: `[B, P]`.
    dr: Vec<E>,
    dh_seen: Vec<E>,
}

impl<E: Element> VariantScratch<E> {
    /// Empty; the first backward pass gives it its size.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The gradients of a [`super::forward`] run, given those of what it returned.
///
/// # Errors
///
/// [`Error::Mismatch`] where slices do not have the stated shapes or the tape is of a run of another size.
pub fn backward<E: Element>(
    sequence: &VariantSequence<'_, E>,
    tape: &VariantTape<E>,
    of_outputs: &OutputGradients<'_, E>,
    gradients: VariantGradients<'_, E>,
    scratch: &mut VariantScratch<E>,
) -> Result<()> {
    check(sequence, tape, of_outputs, &gradients)?;
    let (sizes, config) = (sequence.sizes(), *sequence.parameters.config());
    let cells = sizes.cells();
    scratch.du.resize(cells * 4 * sizes.hidden, E::ZERO);
    let normed = if config.layer_norm.is_some() { cells * 4 * sizes.hidden } else { 0 };
    scratch.dv.resize(normed, E::ZERO);
    for (data, n, last) in [
        (&mut scratch.dh_new, cells * sizes.output, None),
        (&mut scratch.dh, sizes.batch * sizes.output, of_outputs.h),
        (&mut scratch.dc, sizes.batch * sizes.hidden, of_outputs.c),
        (&mut scratch.dr, sizes.batch * sizes.hidden, None),
        (&mut scratch.dh_seen, sizes.batch * sizes.output, None),
    ] {
        data.clear();
        data.resize(n, E::ZERO);
        last.into_iter().for_each(|last| data.copy_from_slice(last));
    }
    let small = Vectors::new(&config);
    let mut scan = Scan { sequence, config, sizes, tape, scratch, small };
    let starts = sequence.starts();
    for nth in (0..sizes.n_steps).rev() {
        let t = sequence.step(nth);
        scan.step(t, of_outputs.output)?;
        let cells = t * sizes.batch..(t + 1) * sizes.batch;
        for (row, _) in starts.get(cells).unwrap_or(&[]).iter().enumerate().filter(|(_, s)| **s) {
            scan.to_own_state(row);
        }
    }
    if sequence.initial.is_none() {
        (0..sizes.batch).for_each(|row| scan.to_own_state(row));
    }
    let small = scan.small;
    products::write(sequence, tape, scratch, &small, gradients)
}

fn check<E: Element>(
    sequence: &VariantSequence<'_, E>,
    tape: &VariantTape<E>,
    of_outputs: &OutputGradients<'_, E>,
    gradients: &VariantGradients<'_, E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::variant::backward";
    sequence.check(OP)?;
    let (config, sizes) = (sequence.parameters.config(), sequence.sizes());
    let Sizes { n_steps, batch, input, hidden, output } = sizes;
    let stated: [(&str, &[usize], Option<&[E]>); 6] = [
        ("gradient of output", &[n_steps, batch, output], of_outputs.output),
        ("gradient of last h", &[batch, output], of_outputs.h),
        ("gradient of last c", &[batch, hidden], of_outputs.c),
        ("gradient of x", &[n_steps, batch, input], gradients.x.as_deref()),
        ("gradient of h0", &[batch, output], gradients.h0.as_deref()),
        ("gradient of c0", &[batch, hidden], gradients.c0.as_deref()),
    ];
    for (what, shape, slice) in stated {
        slice.map_or(Ok(()), |slice| check_len(OP, what, shape, slice))?;
    }
    let parameters = config.parameters();
    Error::check(OP, "number of parameters", parameters.len(), gradients.parameters.len())?;
    for (parameter, slice) in parameters.into_iter().zip(&gradients.parameters) {
        let what = format!("gradient of {}", parameter.stem());
        slice.as_ref().map_or(Ok(()), |s| check_len(OP, &what, &parameter.shape(config), s))?;
    }
    let got = (tape.z.len(), tape.h_seen.len());
    Error::check(
        OP,
        "lengths of the tape",
        (sizes.cells() * 4 * hidden, sizes.cells() * output),
        got,
    )
}

/// The gradients of the vectors among the parameters; the matrices wait for the products.
struct Vectors<E>([Vec<E>; Parameter::ALL.len()]);

impl<E: Element> Vectors<E> {
    fn new(config: &LstmConfig) -> Self {
        let zeros = |parameter: Parameter| match parameter.shape(config)[..] {
            [n] if parameter.is_in(config) => vec![E::ZERO; n],
            _ => Vec::new(),
        };
        Self(Parameter::ALL.map(zeros))
    }

    fn get(&self, parameter: Parameter) -> &[E] {
        &self.0[parameter as usize]
    }

    fn get_mut(&mut self, parameter: Parameter) -> &mut [E] {
        &mut self.0[parameter as usize]
    }
}

struct Scan<'a, 'b, E: Element> {
    sequence: &'a VariantSequence<'b, E>,
    config: LstmConfig,
    sizes: Sizes,
    tape: &'a VariantTape<E>,
    scratch: &'a mut VariantScratch<E>,
    small: Vectors<E>,
}

impl<E: Element> Scan<'_, '_, E> {
    /// One step of all rows: dh and dc become those of the step before.
    fn step(&mut self, t: usize, d_output: Option<&[E]>) -> Result<()> {
        let Sizes { batch, hidden, output, .. } = self.sizes;
        let first = t * batch;
        for row in 0..batch {
            let of_h = row * output..(row + 1) * output;
            let new = (first + row) * output..(first + row + 1) * output;
            let dh_new = &mut self.scratch.dh_new[new.clone()];
            if !self.sequence.is_valid(t, row) {
                dh_new.fill(E::ZERO);
                continue;
            }
            let dh = &mut self.scratch.dh[of_h];
            if let Some(dy) = d_output.and_then(|dy| dy.get(new.clone())) {
                dh.iter_mut().zip(dy).for_each(|(dh, dy)| *dh += *dy);
            }
            for (k, (dh, dh_new)) in dh.iter_mut().zip(dh_new).enumerate() {
                let kept = self.sequence.masks.keep_h.at(new.start + k) * *dh; // (24)
                *dh_new = *dh - kept;
                *dh = kept;
            }
        }
        self.project(t)?;
        for row in 0..batch {
            let dz = &mut self.scratch.du[(first + row) * 4 * hidden..][..4 * hidden];
            if self.sequence.is_valid(t, row) {
                self.cell(first + row, row);
            } else {
                dz.fill(E::ZERO);
                if let Some(dv) = self.scratch.dv.get_mut((first + row) * 4 * hidden..) {
                    dv.iter_mut().take(4 * hidden).for_each(|dv| *dv = E::ZERO);
                }
            }
        }
        self.recurrent_product(t)
    }

    /// dr, eq. (23).
    fn project(&mut self, t: usize) -> Result<()> {
        let Sizes { batch, hidden, output, .. } = self.sizes;
        let dh_new = &self.scratch.dh_new[t * batch * output..][..batch * output];
        if self.config.proj_size.is_none() {
            self.scratch.dr.copy_from_slice(dh_new);
            return Ok(());
        }
        let w = MatrixRef::new(self.sequence.parameters.get(Parameter::WeightHr), output, hidden)?;
        let dr = MatrixMut::new(&mut self.scratch.dr, batch, hidden)?;
        matmul(dr, MatrixRef::new(dh_new, batch, output)?, w)
    }

    /// dh += the gradient by V ĥ, eq. (14) and (15).
    fn recurrent_product(&mut self, t: usize) -> Result<()> {
        let Sizes { batch, hidden, output, .. } = self.sizes;
        let dz = if self.scratch.dv.is_empty() { &self.scratch.du } else { &self.scratch.dv };
        let dz =
            MatrixRef::new(&dz[t * batch * 4 * hidden..][..batch * 4 * hidden], batch, 4 * hidden)?;
        let v = self.tape.used_v(self.sequence.parameters.get(Parameter::WeightHh));
        let v = MatrixRef::new(v, 4 * hidden, output)?;
        let dh_seen = &mut self.scratch.dh_seen;
        matmul(MatrixMut::new(dh_seen, batch, output)?, dz, v)?;
        if let Some(mask) = &self.sequence.masks.recurrent {
            dh_seen.iter_mut().zip(mask).for_each(|(d, m)| *d *= *m);
        }
        self.scratch.dh.iter_mut().zip(&*dh_seen).for_each(|(dh, d)| *dh += *d);
        Ok(())
    }

    /// One valid cell, from dr and dc to dz and dc of the step before.
    fn cell(&mut self, cell: usize, row: usize) {
        let (config, hidden, tape) = (self.config, self.sizes.hidden, self.tape);
        let units = cell * hidden..(cell + 1) * hidden;
        let mut back = CellBack {
            config: &config,
            peepholes: self.sequence.parameters.get(Parameter::WeightCh),
            z: &tape.z[cell * 4 * hidden..][..4 * hidden],
            gates: &tape.gates[cell * 4 * hidden..][..4 * hidden],
            dz: &mut self.scratch.du[cell * 4 * hidden..][..4 * hidden],
            small: &mut self.small,
        };
        let (c_before, c_new) = (&tape.c_before[units.clone()], &tape.c_new[units.clone()]);
        let (activated, s) = (&tape.activated[units.clone()], &tape.shown()[units.clone()]);
        let o = &back.gates[of_gate(Gate::Output, hidden)];
        let dr = &mut self.scratch.dr[row * hidden..][..hidden];
        let dc = &mut self.scratch.dc[row * hidden..][..hidden];

        let mut ds = vec![E::ZERO; hidden]; // (22)
        let mut d_o = vec![E::ZERO; hidden];
        for k in 0..hidden {
            d_o[k] = dr[k] * activated[k];
            let d = dr[k] * o[k];
            ds[k] = d * slope(config.activations.hidden, config.hidden_clip, s[k], activated[k]);
        }
        let placement = config.layer_norm.map(|norm| norm.placement);
        let gain = self.sequence.parameters.get(Parameter::NormC);
        let norm = |d: &mut [E], small: &mut Vectors<E>| {
            add(small.get_mut(Parameter::NormCBias), d);
            let d_gain = small.get_mut(Parameter::NormC);
            normalise_backward(d, &tape.c_norm.0[units.clone()], tape.c_norm.1[cell], gain, d_gain);
        };
        if placement == Some(NormPlacement::Output) {
            norm(&mut ds, back.small); // (21)
        }
        // dc keeps what zoneout passes on; ds becomes the gradient by c'.
        for k in 0..hidden {
            let kept = self.sequence.masks.keep_c.at(units.start + k) * dc[k]; // (24)
            ds[k] += dc[k] - kept;
            dc[k] = kept;
        }
        back.gate(Gate::Output, &d_o, c_new, &mut ds); // (20)
        if placement == Some(NormPlacement::State) {
            norm(&mut ds, back.small); // (19)
        }
        if let (Some(bound), Some(c_raw)) = (config.cell_clip, tape.c_raw.get(units.clone())) {
            let bound = E::from_f64(bound); // (18)
            let held = ds.iter_mut().zip(c_raw).filter(|(_, c)| c.abs() > bound);
            held.for_each(|(d, _)| *d = E::ZERO);
        }
        back.cell(&ds, c_before, dc);
        self.norms(cell);
    }

    /// From dz to the gradients by U x and V ĥ of one cell, eq. (15); adds db.
    fn norms(&mut self, cell: usize) {
        let gates = 4 * self.sizes.hidden;
        let at = cell * gates..(cell + 1) * gates;
        let du = &mut self.scratch.du[at.clone()];
        for bias in [Parameter::BiasIh, Parameter::BiasHh] {
            add(self.small.get_mut(bias), du);
        }
        let Some(dv) = self.scratch.dv.get_mut(at.clone()) else { return };
        dv.copy_from_slice(du);
        let [u, v] = &self.tape.norms;
        let parts = [(u, Parameter::NormIh, du), (v, Parameter::NormHh, dv)];
        for ((normed, scale), parameter, d) in parts {
            let gain = self.sequence.parameters.get(parameter);
            let d_gain = self.small.get_mut(parameter);
            normalise_backward(d, &normed[at.clone()], scale[cell], gain, d_gain);
        }
    }

    /// What reaches the layer's own initial state goes no further.
    fn to_own_state(&mut self, row: usize) {
        let Sizes { hidden, output, .. } = self.sizes;
        let dh = &mut self.scratch.dh[row * output..][..output];
        add(self.small.get_mut(Parameter::InitialH), dh);
        dh.fill(E::ZERO);
        let dc = &mut self.scratch.dc[row * hidden..][..hidden];
        add(self.small.get_mut(Parameter::InitialC), dc);
        dc.fill(E::ZERO);
    }
}

/// The gates of one cell on the way back.
struct CellBack<'a, E: Element> {
    config: &'a LstmConfig,
    peepholes: &'a [E],
    z: &'a [E],
    gates: &'a [E],
    dz: &'a mut [E],
    small: &'a mut Vectors<E>,
}

impl<E: Element> CellBack<'_, E> {
    /// dz of a gate from the gradient by its value, and through its peephole to the cell `c` that it saw.
    fn gate(&mut self, gate: Gate, d: &[E], c: &[E], dc: &mut [E]) {
        let hidden = c.len();
        let at = of_gate(gate, hidden);
        let activation = match gate {
            Gate::Candidate => self.config.activations.candidate,
            Gate::Input | Gate::Forget | Gate::Output => self.config.activations.gate,
        };
        let dz = &mut self.dz[at.clone()];
        let (z, value) = (&self.z[at.clone()], &self.gates[at]);
        for k in 0..hidden {
            dz[k] = d[k] * slope(activation, self.config.gate_clip, z[k], value[k]);
        }
        let Some(block) = PeepholeOrder::IFO.block(gate) else { return };
        let dp = self.small.get_mut(Parameter::WeightCh).get_mut(block * hidden..);
        for (dp, (dz, c)) in dp.into_iter().flatten().zip(dz.iter().zip(c)) {
            *dp += *dz * *c;
        }
        let p = peephole(self.peepholes, gate, hidden);
        dc.iter_mut().zip(dz).zip(p).for_each(|((dc, dz), p)| *dc += *dz * *p);
    }

    /// Eq. (18) to (16): `d` is the gradient by ĉ; adds to `dc` what goes to c_{t-1}.
    fn cell(&mut self, d: &[E], c_before: &[E], dc: &mut [E]) {
        let hidden = d.len();
        let value = |gate| &self.gates[of_gate(gate, hidden)];
        let [i, f, g] = [Gate::Input, Gate::Forget, Gate::Candidate].map(value);
        let mut di: Vec<E> = d.iter().zip(g).map(|(d, g)| *d * *g).collect();
        let df: Vec<E> = d.iter().zip(c_before).map(|(d, c)| *d * *c).collect();
        let dg: Vec<E> = d.iter().zip(i).map(|(d, i)| *d * *i).collect();
        dc.iter_mut().zip(d).zip(f).for_each(|((dc, d), f)| *dc += *d * *f);
        if self.config.coupled {
            di.iter_mut().zip(&df).for_each(|(di, df)| *di -= *df); // (17)
            self.dz[of_gate(Gate::Forget, hidden)].fill(E::ZERO);
        } else {
            self.gate(Gate::Forget, &df, c_before, dc);
        }
        self.gate(Gate::Input, &di, c_before, dc);
        self.gate(Gate::Candidate, &dg, c_before, dc);
    }
}

/// The derivative of an activation behind a clip, where its value is `y`.
fn slope<E: Element>(activation: Activation, bound: Option<f64>, z: E, y: E) -> E {
    match bound.map(E::from_f64) {
        Some(bound) if z.abs() > bound => E::ZERO,
        Some(bound) => activation.derivative(clip(z, bound), y),
        None => activation.derivative(z, y),
    }
}

fn add<E: Element>(sum: &mut [E], other: &[E]) {
    sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += *other);
}
