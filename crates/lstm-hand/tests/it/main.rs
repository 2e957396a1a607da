//! The slice kernels, without candle: against the equations, finite differences, and themselves.

mod case;

mod accuracy; // Against the f64 equations, in f32 and f64, and against finite differences.
mod composition; // Steps, cut sequences, single rows, padding, reversal, thread counts.
mod memory; // What a run keeps for its backward pass, in bytes.
mod real; // Streams over published models: the error of every weight format.
mod records; // Tapes and checkpoints of another run are refused.
mod refusals; // Bad input is an error that names operation, expected and got.
mod stream; // Streams: stacks, several sequences, formats.
