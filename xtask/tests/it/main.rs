//! The `xtask` program as a whole, run as a person runs it.

mod bench; // `bench` on tiny shapes: what it writes and what it refuses.
mod browser; // Pages in a browser without a window: marks, sizes, no errors; skipped where there is none.
mod convert; // Every format there and back, published weights in two layouts, refusals.
mod convert_options; // Options that a format or its arrays do not say are refused, never dropped unasked.
mod foreign; // Files of Keras, and state dicts under a key.
mod full_disk; // A run that cannot write ends with an error and goes on once it can.
mod inspect; // Pages and lists of little weight files, and what is refused.
mod kill; // A run killed at random moments ends with the same bits as one left alone.
mod language; // `train`, `eval`, `predict` and `report` of a little language model.
mod predict; // Files that other programs write or read, and what is refused.
mod refusals; // Bad arguments, data and checkpoints get an error and exit status 1.
mod tiny; // A tiny run of every kind of task, which other tests use.

mod run; // The program's process, its folder and its files.
