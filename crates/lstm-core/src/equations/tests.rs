//! The reference against finite differences, and the vanishing gradient that motivates it.

use super::{GateParameters, Parameters, backward, forward, rnn};
use crate::random::RandomStream;
use crate::{Gate, LstmState};

const INPUT: usize = 3;
const HIDDEN: usize = 2;
const STEPS: usize = 4;

/// Central differences in f64 with step 1e-5 are exact to about 1e-10 for values of order one.
const TOLERANCE: f64 = 1e-8;

fn random(stream: RandomStream, n: usize) -> Vec<f64> {
    (0..n as u64).map(|k| stream.uniform(k) * 2.0 - 1.0).collect()
}

fn gate_mut(p: &mut Parameters, gate: Gate) -> &mut GateParameters {
    match gate {
        Gate::Input => &mut p.i,
        Gate::Forget => &mut p.f,
        Gate::Candidate => &mut p.g,
        Gate::Output => &mut p.o,
    }
}

/// All that the loss depends on, and the loss: a fixed random linear form of every output.
#[derive(Clone)]
struct Problem {
    p: Parameters,
    xs: Vec<Vec<f64>>,
    initial: LstmState<Vec<f64>>,
    d_outputs: Vec<Vec<f64>>,
    d_final: LstmState<Vec<f64>>,
}

impl Problem {
    fn random(seed: u64) -> Self {
        let stream = RandomStream::new(seed);
        let vector = |name: &str, n| random(stream.named(name), n);
        let mut p = Parameters::zeros(INPUT, HIDDEN);
        for (k, gate) in
            [Gate::Input, Gate::Forget, Gate::Candidate, Gate::Output].into_iter().enumerate()
        {
            let q = gate_mut(&mut p, gate);
            for r in 0..HIDDEN {
                q.u[r] = vector(&format!("u{k}{r}"), INPUT);
                q.v[r] = vector(&format!("v{k}{r}"), HIDDEN);
            }
            q.b = vector(&format!("b{k}"), HIDDEN);
        }
        let rows = |name: &str, n| (0..STEPS).map(|t| vector(&format!("{name}{t}"), n)).collect();
        let state = |name: &str| LstmState {
            h: vector(&format!("{name}h"), HIDDEN),
            c: vector(&format!("{name}c"), HIDDEN),
        };
        Self {
            p,
            xs: rows("x", INPUT),
            initial: state("0"),
            d_outputs: rows("d", HIDDEN),
            d_final: state("n"),
        }
    }

    fn loss(&self) -> f64 {
        let trace = forward(&self.p, &self.xs, &self.initial);
        let last = trace.final_state();
        let outputs = trace.steps.iter().zip(&self.d_outputs).map(|(s, d)| super::dot(&s.h, d));
        outputs.sum::<f64>()
            + super::dot(&last.h, &self.d_final.h)
            + super::dot(&last.c, &self.d_final.c)
    }

    /// dL/dvalue by central differences, where `value` picks one number of the problem.
    fn slope(&self, value: impl Fn(&mut Self) -> &mut f64) -> f64 {
        let eps = 1e-5;
        let at = |shift: f64| {
            let mut problem = self.clone();
            *value(&mut problem) += shift;
            problem.loss()
        };
        (at(eps) - at(-eps)) / (2.0 * eps)
    }
}

#[track_caller]
fn close(what: &str, derived: f64, measured: f64) {
    assert!(
        (derived - measured).abs() < TOLERANCE,
        "{what}: derived {derived}, measured {measured}"
    );
}

#[test]
fn every_gradient_equals_finite_differences() {
    for seed in 0..4 {
        let problem = Problem::random(seed);
        let trace = forward(&problem.p, &problem.xs, &problem.initial);
        let got = backward(&problem.p, &trace, &problem.d_outputs, &problem.d_final);
        for t in 0..STEPS {
            for k in 0..INPUT {
                close("dx", got.inputs[t][k], problem.slope(|q| &mut q.xs[t][k]));
            }
        }
        for r in 0..HIDDEN {
            close("dh0", got.initial.h[r], problem.slope(|q| &mut q.initial.h[r]));
            close("dc0", got.initial.c[r], problem.slope(|q| &mut q.initial.c[r]));
            for gate in [Gate::Input, Gate::Forget, Gate::Candidate, Gate::Output] {
                let d = got.parameters.gate(gate);
                close("db", d.b[r], problem.slope(|q| &mut gate_mut(&mut q.p, gate).b[r]));
                for k in 0..INPUT {
                    close(
                        "dU",
                        d.u[r][k],
                        problem.slope(|q| &mut gate_mut(&mut q.p, gate).u[r][k]),
                    );
                }
                for k in 0..HIDDEN {
                    close(
                        "dV",
                        d.v[r][k],
                        problem.slope(|q| &mut gate_mut(&mut q.p, gate).v[r][k]),
                    );
                }
            }
        }
    }
}

#[test]
fn the_plain_rnn_forgets_what_the_cell_keeps() {
    // One unit, V = 1 and thirty steps: the plain gradient is at most ¼ a step, the cell's is f.
    let plain = GateParameters { u: vec![vec![1.0]], v: vec![vec![1.0]], b: vec![0.0] };
    let (mut h, mut dh) = (vec![0.5], vec![1.0]);
    for _ in 0..30 {
        h = rnn::step(&plain, &[0.0], &h);
        dh = rnn::step_backward(&plain, &h, &dh);
    }
    assert!(dh[0] < 1e-15, "the plain gradient survived: {}", dh[0]);

    let mut p = Parameters::zeros(1, 1);
    p.f.b = vec![10.0];
    let zero = LstmState { h: vec![0.0], c: vec![0.0] };
    let trace = forward(&p, &vec![vec![0.0]; 30], &zero);
    let d_final = LstmState { h: vec![0.0], c: vec![1.0] };
    let got = backward(&p, &trace, &vec![vec![0.0]; 30], &d_final);
    assert!(got.initial.c[0] > 0.99, "the cell's gradient vanished: {}", got.initial.c[0]);
}
