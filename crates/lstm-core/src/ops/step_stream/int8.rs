//! Weights as bytes with a scale for each row; inputs are quantised as they come.
//!
//! ```text
//! weights, once:   s_r = max_k |W_rk| / 127        for each row r of U and of V
//!                  W'_rk = round(W_rk / s_r)
//! inputs, a step:  s_x = max_k |x_k| / 127         for each x_t and each h_{t-1} of a sequence
//!                  x'_k = round(x_k · (127 / max_k |x_k|))
//! z_r = (b_r + (s_r s_x) · Σ_k U'_rk x'_k) + (s_r s_h) · Σ_k V'_rk h'_k
//! ```
//!
//! Rounding goes to the nearest integer, ties to even; no value is cut off, all lie in -127..=127. The sums
//! are exact in i32; bias, gates and state stay in f32. A vector that holds an infinity or a NaN makes all
//! of z NaN. Results do not depend on the instruction set but for the activations' scalar fallback.
//!
//! The processor multiplies unsigned by signed bytes, so x' is kept as x' + 128 and 128·Σ_k W'_rk is taken
//! off again.

use std::sync::Arc;

use super::kernels::Pointwise;
use super::layout::StepLayout;
use super::{StepSizes, StepSlices, StepState, bias};
use crate::ops::aligned::Aligned;
use crate::ops::simd::bytes::{BytesKernel, Columns, Dot, Sums, UNITS, WIDTH};
use crate::ops::simd::instruction_set::InstructionSet;
use crate::{Element, Error, LstmState, LstmWeights, Parameter, Result};

/// The largest magnitude of a quantised number.
const MOST: f32 = 127.0;

/// Sums of more products of a byte and an unsigned byte might not fit an i32.
const MOST_COLUMNS: usize = 1 << 16;

/// Adding it rounds to an integer, ties to even, which then stands in the low bits: 1.5 · 2^23.
const ROUND: f32 = 12_582_912.0;

/// One matrix of a layer, for the units of one panel.
#[derive(Debug, Clone, Copy)]
struct Scales {
    /// s_r: `[gate][unit]`.
    scale: [f32; WIDTH],
    /// 128·Σ_k W'_rk.
    offset: Sums,
}

impl Scales {
    /// z_r += (s_r s) · Σ_k W'_rk x'_k, from the sums with x' + 128.
    #[inline(always)]
    fn add(&self, z: &mut [f32; WIDTH], s: f32, sums: &Sums) {
        for k in 0..WIDTH {
            z[k] += (self.scale[k] * s) * sums[k].wrapping_sub(self.offset[k]) as f32;
        }
    }
}

/// The weights of a layer as bytes, in the order in which a step reads them.
#[derive(Debug, Clone)]
pub struct Int8Weights {
    set: InstructionSet,
    /// Of the gates' vectors.
    lanes: usize,
    sizes: StepSizes,
    /// U' and V': `[panel][fours of columns of U, then of V]`.
    columns: Vec<Columns>,
    /// Of U and V: `[panel]`.
    rows: Vec<[Scales; 2]>,
    /// b: a row of a layout of 16 lanes.
    bias: Aligned<f32>,
}

/// A layer's weights as bytes with the states of the sequences that step together.
#[derive(Debug, Clone)]
pub struct Int8Steps {
    weights: Arc<Int8Weights>,
    state: StepState<f32>,
    scratch: Scratch,
}

/// The quantised inputs of a step.
#[derive(Debug, Clone)]
struct Scratch {
    /// x' + 128 and h' + 128: `[rows][fours of x, then of h]`.
    inputs: Vec<[u8; 4]>,
    /// s_x and s_h: `[rows]`.
    scales: Vec<[f32; 2]>,
}

impl Int8Weights {
    /// Quantises and packs a layer's weights.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where I or H is above 65 536, or a weight of U or V is not finite;
    /// [`Error::Unsupported`] where the layer has options.
    pub fn new(weights: &LstmWeights<f32>) -> Result<Self> {
        const OP: &str = "Int8Weights::new";
        weights.config().check_plain_in_evaluation(OP)?;
        let (input, hidden) = (weights.config().input_size, weights.config().hidden_size);
        for (what, size) in [("input_size", input), ("hidden_size", hidden)] {
            if size > MOST_COLUMNS {
                return Err(Error::mismatch(OP, what, format!("at most {MOST_COLUMNS}"), size));
            }
        }
        for parameter in [Parameter::WeightIh, Parameter::WeightHh] {
            if let Some(w) = weights.get(parameter).iter().find(|w| !w.is_finite()) {
                let what = format!("a weight of {parameter:?}");
                return Err(Error::mismatch(OP, what, "a finite number", w));
            }
        }
        let set = InstructionSet::current();
        let panels = StepLayout { hidden, lanes: UNITS };
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        for panel in 0..panels.panels() {
            let u = pack(weights.get(Parameter::WeightIh), input, panels, panel, &mut columns);
            let v = pack(weights.get(Parameter::WeightHh), hidden, panels, panel, &mut columns);
            rows.push([u, v]);
        }
        let layout = StepLayout { hidden, lanes: set.lanes::<f32>() };
        let (lanes, sizes) =
            (layout.lanes, StepSizes { input, hidden, output: hidden, row: layout.row() });
        Ok(Self { set, lanes, sizes, columns, rows, bias: bias(weights, panels) })
    }

    /// The bytes that a step reads.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.columns[..]) + size_of_val(&self.rows[..]) + size_of_val(&self.bias[..])
    }
}

impl Int8Steps {
    /// `rows` sequences whose h and c are zero; `None` where they cannot have room.
    pub fn new(weights: Arc<Int8Weights>, rows: usize) -> Option<Self> {
        let sizes = weights.sizes;
        let state = StepState::new(sizes, rows)?;
        let fours = sizes.input.div_ceil(4) + sizes.hidden.div_ceil(4);
        let scratch = Scratch { inputs: vec![[0; 4]; rows * fours], scales: vec![[0.0; 2]; rows] };
        Some(Self { weights, state, scratch })
    }

    /// The layer.
    pub fn weights(&self) -> &Arc<Int8Weights> {
        &self.weights
    }

    /// h and c, and how many.
    pub fn state(&self) -> &StepState<f32> {
        &self.state
    }

    /// h and c, to be changed.
    pub fn after_last_mut(&mut self) -> LstmState<&mut [f32]> {
        self.state.after_last_mut()
    }

    /// One step, eq. (1) to (6), for all sequences; x_t is `[rows, I]`, h_t, which it returns, `[rows, H]`. Allocates
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `x` has another length; the states stay.
    pub fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        let Self { weights, state, scratch } = self;
        state.check_x("Int8Steps::step", x)?;
        let StepSlices { h_before, z, c, h, backwards } = state.slices();
        let Scratch { inputs, scales } = scratch;
        let set = weights.set;
        set.run_bytes(Products { weights, x, h_before, inputs, scales, z, backwards });
        f32::run(set, Pointwise { z, c, h, hidden: weights.sizes.hidden });
        state.advance();
        Ok(state.h())
    }
}

/// Quantises W, `[4H, cols]`, for the units of a panel, and appends the bytes.
fn pack(w: &[f32], cols: usize, layout: StepLayout, panel: usize, to: &mut Vec<Columns>) -> Scales {
    let mut rows = Scales { scale: [0.0; WIDTH], offset: [0; WIDTH] };
    let first = to.len();
    to.resize(first + cols.div_ceil(4), Columns([[[0; 4]; UNITS]; 4]));
    for k in 0..layout.width() {
        let Some(row) = layout.source(panel * layout.width() + k) else { continue };
        let row = &w[row * cols..(row + 1) * cols];
        let largest = row.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
        let scale = largest / MOST;
        rows.scale[k] = scale;
        for (column, &w) in row.iter().enumerate().filter(|_| scale > 0.0) {
            let quantized = (w / scale).round_ties_even().clamp(-MOST, MOST) as i8;
            to[first + column / 4].0[k / UNITS][k % UNITS][column % 4] = quantized;
            rows.offset[k] += 128 * i32::from(quantized);
        }
    }
    rows
}

/// Writes x' + 128 to `to`, with anything past the last element; returns s_x.
#[inline(always)]
fn quantize(x: &[f32], to: &mut [[u8; 4]]) -> f32 {
    // Magnitudes order like their bits, NaN last.
    let largest = x.iter().fold(0, |largest, x| (x.to_bits() & 0x7FFF_FFFF).max(largest));
    let largest = f32::from_bits(largest);
    let inverse = if largest > 0.0 { MOST / largest } else { 0.0 };
    for (to, x) in to.as_flattened_mut().iter_mut().zip(x) {
        *to = (x * inverse + ROUND).to_bits() as u8 ^ 0x80;
    }
    largest / MOST
}

/// z of all rows and panels.
struct Products<'a> {
    weights: &'a Int8Weights,
    x: &'a [f32],
    h_before: &'a [f32],
    inputs: &'a mut [[u8; 4]],
    scales: &'a mut [[f32; 2]],
    z: &'a mut [f32],
    backwards: bool,
}

impl BytesKernel for Products<'_> {
    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Self { weights, x, h_before, inputs, scales, z, backwards } = self;
        let StepSizes { input, hidden, row, .. } = weights.sizes;
        let (input, hidden, row) = (input.max(1), hidden.max(1), row.max(1));
        let lanes = weights.lanes.max(1);
        let of_x = input.div_ceil(4);
        let fours = of_x + hidden.div_ceil(4);
        let states = x.chunks_exact(input).zip(h_before.chunks_exact(hidden));
        let quantized = inputs.chunks_exact_mut(fours).zip(&mut *scales);
        for ((x, h), (to, scale)) in states.zip(quantized) {
            let Some((to_x, to_h)) = to.split_at_mut_checked(of_x) else { return };
            *scale = [quantize(x, to_x), quantize(h, to_h)];
        }
        let panels = weights.rows.len();
        let bias = weights.bias.as_chunks::<WIDTH>().0;
        for k in 0..panels {
            let panel = if backwards { panels - 1 - k } else { k };
            let columns = weights.columns.get(panel * fours..).unwrap_or_default();
            let Some((u, v)) = columns.split_at_checked(of_x) else { return };
            let v = v.get(..fours - of_x).unwrap_or_default();
            let (Some([of_u, of_v]), Some(bias)) = (weights.rows.get(panel), bias.get(panel))
            else {
                return;
            };
            let lines = inputs.chunks_exact(fours).zip(&*scales);
            for (z, (input, &[s_x, s_h])) in z.chunks_exact_mut(row).zip(lines) {
                let Some((x, h)) = input.split_at_checked(of_x) else { return };
                let mut values = *bias;
                of_u.add(&mut values, s_x, &dot.sums(u, x));
                of_v.add(&mut values, s_h, &dot.sums(v, h));
                if lanes == UNITS {
                    let panels = z.as_chunks_mut::<WIDTH>().0;
                    if let Some(z) = panels.get_mut(panel) {
                        *z = values;
                    }
                    continue;
                }
                // From 16 units a panel to the layout of the gates.
                for (gate, values) in values.chunks(UNITS).enumerate() {
                    for (part, values) in values.chunks(lanes).enumerate() {
                        let at = (panel * UNITS + part * lanes) * 4 + gate * lanes;
                        let z = z.get_mut(at..at + values.len()).unwrap_or_default();
                        z.iter_mut().zip(values).for_each(|(z, &value)| *z = value);
                    }
                }
            }
        }
    }
}
