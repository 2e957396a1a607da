//! The one place that calls the device: memory, launches, and products of all steps at once.
//!
//! What the driver cannot check is checked here before: every buffer has the size that the kernel counts on.
#![allow(unsafe_code, reason = "the driver's and cuBLAS's calls are")]

mod launch;
mod memory;
mod products;

pub(super) use launch::{BackwardLayer, ForwardLayer, Launch};
pub(super) use memory::{Numbers, keep_freed, uninitialized, unwritten};
pub(super) use products::{Matrix, product};

use lstm_core::{Error, Result};

use super::OP;

fn check(what: &str, expected: usize, got: usize) -> Result<()> {
    Error::check(OP, &format!("numbers of {what}"), expected, got)
}

fn bytes(numbers: usize) -> u64 {
    (numbers * size_of::<f32>()) as u64
}
