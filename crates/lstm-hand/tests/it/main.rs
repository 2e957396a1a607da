//! The slice kernels, without candle: against the equations, finite differences, and themselves.

mod case;

mod accuracy; // Against the f64 equations, in f32 and f64, and against finite differences.
mod composition; // Steps, cut sequences, single rows, padding, reversal, thread counts.
mod refusals; // Bad input is an error that names operation, expected and got.
