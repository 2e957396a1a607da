//! The order in which an epoch reads the data.

use lstm_core::random::RandomStream;

/// A permutation for each epoch, drawn once and kept while it is read.
#[derive(Debug, Clone, Default)]
pub struct Order {
    drawn: Option<((u64, usize), Vec<u32>)>,
}

impl Order {
    /// The order of `n` things in the epoch with this number, counted from 0, under `seed`.
    pub fn of(&mut self, seed: u64, epoch: usize, n: usize) -> &[u32] {
        let key = (seed, epoch);
        if self.drawn.as_ref().is_none_or(|(drawn, order)| *drawn != key || order.len() != n) {
            let stream = RandomStream::new(seed).named("order").child(epoch as u64);
            self.drawn = Some((key, stream.permutation(n)));
        }
        self.drawn.as_ref().map_or(&[], |(_, order)| order)
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn every_epoch_has_its_own_order_however_it_is_asked() {
        let mut order = Order::default();
        let first = order.of(1, 0, 50).to_vec();
        let second = order.of(1, 1, 50).to_vec();
        assert_ne!(first, second);
        assert_eq!(order.of(1, 0, 50), first);
        assert_eq!(Order::default().of(1, 1, 50), second);
        assert_ne!(order.of(2, 0, 50), first);
    }
}
