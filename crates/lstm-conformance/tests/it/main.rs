//! Every implementation, through the one trait: against vectors, each other, and itself.

mod rounding;
mod subjects;

mod bad_input; // The table of bad input: refused by name, in the same words.
mod both; // Both directions at the same time.
mod constants; // Weights without gradient: when their numbers are read again.
#[cfg(feature = "cuda")]
mod cuda; // The plain cell on a CUDA device, against the CPU; skipped where there is none.
mod dropout; // Locked dropout: one mask for all steps, its gradient, its place in a stack.
mod equality; // Hand, candle and the equations agree in outputs, states and every gradient.
mod fixtures; // Fixtures that say something unknown are refused.
mod invariance; // Cut sequences, single rows, swapped directions, steps, padding, files, threads.
mod kinks; // The slopes at the corners of clips and activations.
mod last_output; // The last output by itself is the last step of the whole one.
mod masks; // What zoneout, recurrent dropout and DropConnect mean, each by itself.
mod memory; // What is kept for the backward pass changes no number.
mod options; // The options of the cell: agreement, and gradients against finite differences.
mod refusals; // Bad input gets the same error from every implementation.
mod resets; // A row with marks equals its pieces, each run on its own.
mod rnn; // The plain recurrent layer behind the same trait.
mod row_ids; // Inputs of few rows that many cells read.
mod vectors; // PyTorch's vectors, committed and, where present, shared ones.
