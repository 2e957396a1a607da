//! Tensors that depend on a name alone, and comparisons.

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use lstm_core::random::RandomStream;
use lstm_core::variables::seeded;
use lstm_core::{LstmState, Result};

/// Numbers in [-1, 1], f64.
pub fn random(name: &str, shape: &[usize]) -> Tensor {
    let stream = RandomStream::new(5).named(name);
    let n = shape.iter().product::<usize>() as u64;
    let numbers: Vec<f64> = (0..n).map(|k| 2.0 * stream.uniform(k) - 1.0).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

/// A state of random numbers.
pub fn random_state(h: &[usize], c: &[usize]) -> LstmState<Tensor> {
    LstmState { h: random("h0", h), c: random("c0", c) }
}

/// f64 variables, the same for the same names.
pub fn variables(map: &VarMap) -> VarBuilder<'static> {
    seeded(map, 3, DType::F64, &Device::Cpu)
}

pub fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The same numbers, possibly summed in another order.
#[track_caller]
pub fn close(one: &Tensor, other: &Tensor) {
    assert_eq!(one.dims(), other.dims());
    for (index, (a, b)) in numbers(one).into_iter().zip(numbers(other)).enumerate() {
        assert!((a - b).abs() <= 1e-12, "number {index}: {a} and {b}");
    }
}

#[track_caller]
pub fn same_state(one: &LstmState<Tensor>, other: &LstmState<Tensor>) {
    close(&one.h, &other.h);
    close(&one.c, &other.c);
}

/// The result is an error with all of these words.
#[track_caller]
pub fn refused<T>(result: Result<T>, words: &[&str]) {
    match result {
        Ok(_) => panic!("expected an error with {words:?}"),
        Err(error) => {
            let error = error.to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{words:?} in: {error}");
        }
    }
}
