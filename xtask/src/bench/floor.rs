//! The least time that a workload can take: its operations at the peak, or its bytes at the bandwidth.

use super::shape::{Pass, Shape};

/// What a workload needs, and what the machine gives.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    /// Multiplications and additions of the products.
    pub operations: f64,
    /// Numbers that have to be read or written, in bytes.
    pub bytes: f64,
    /// Operations a second.
    pub peak: f64,
    /// Bytes a second.
    pub bandwidth: f64,
}

impl Floor {
    pub fn new(shape: &Shape, pass: Pass, (peak, bandwidth): (f64, f64)) -> Self {
        Self { operations: operations(shape, pass), bytes: bytes(shape, pass), peak, bandwidth }
    }

    /// The seconds of the operations alone, and of the bytes alone.
    pub fn parts(&self) -> (f64, f64) {
        (self.operations / self.peak, self.bytes / self.bandwidth)
    }

    /// No implementation can be quicker.
    pub fn seconds(&self) -> f64 {
        let (operations, bytes) = self.parts();
        operations.max(bytes)
    }
}

/// The bytes of all weights: what is read in every step of one row.
pub fn weight_bytes(shape: &Shape) -> usize {
    let layers = shape.config().layers();
    layers.iter().map(|(_, config)| config.n_parameters() * size_of::<f32>()).sum()
}

/// 2·B·4H·(T·I + (T - 1)·H) for each layer and direction, as a sequence starts from zero; the way back has the
/// products of dx, dh and both weights.
fn operations(shape: &Shape, pass: Pass) -> f64 {
    let (steps, from_state) = steps(shape, pass);
    let columns = |(_, config): &(_, lstm_core::LstmConfig)| {
        steps * config.input_size as f64 + from_state * config.hidden_size as f64
    };
    let columns: f64 = shape.config().layers().iter().map(columns).sum();
    let forward = 8.0 * (shape.batch * shape.hidden) as f64 * columns;
    if pass == Pass::Train { 3.0 * forward } else { forward }
}

/// U once and V in every step from a state, x in and y out of every layer and direction; the way back does so again and
/// writes a gradient for each number that it read.
fn bytes(shape: &Shape, pass: Pass) -> f64 {
    let (steps, from_state) = steps(shape, pass);
    let numbers = |(_, config): &(_, lstm_core::LstmConfig)| {
        let (input, hidden) = (config.input_size as f64, config.hidden_size as f64);
        let (u, v, biases) = (4.0 * hidden * input, 4.0 * hidden * hidden, 8.0 * hidden);
        let flow = steps * shape.batch as f64 * (input + hidden);
        let forward = u + from_state * v + biases + flow;
        let written = u + v + biases + steps * shape.batch as f64 * input;
        if pass == Pass::Train { 2.0 * forward + written } else { forward }
    };
    let numbers: f64 = shape.config().layers().iter().map(numbers).sum();
    numbers * size_of::<f32>() as f64
}

/// The steps, and those of them before which the state is not zero.
fn steps(shape: &Shape, pass: Pass) -> (f64, f64) {
    match pass {
        Pass::Step => (1.0, 1.0),
        Pass::Forward | Pass::Train => (shape.n_steps as f64, shape.n_steps as f64 - 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Floor, weight_bytes};
    use crate::bench::shape::{Pass, Shape};

    #[test]
    fn the_published_recipe_by_hand() {
        let shape: Shape = "128,5,256,128,1".parse().unwrap();
        let floor = |pass| Floor::new(&shape, pass, (1e9, 1e30));
        // Of 8 · 128 · 128: five steps of 256 features, four of 128 units.
        assert_eq!(floor(Pass::Forward).operations, 234_881_024.0);
        assert_eq!(floor(Pass::Train).operations, 3.0 * 234_881_024.0);
        assert_eq!(floor(Pass::Forward).seconds(), 0.234_881_024);
        assert_eq!(weight_bytes(&shape), 4 * (4 * 128 * (256 + 128) + 8 * 128));
    }

    #[test]
    fn a_step_reads_every_weight_once_however_long_the_sequence() {
        let shape: Shape = "1,9,64,64,1".parse().unwrap();
        let floor = Floor::new(&shape, Pass::Step, (1e30, 1.0));
        assert_eq!(floor.seconds(), (weight_bytes(&shape) + 4 * 128) as f64);
    }
}
