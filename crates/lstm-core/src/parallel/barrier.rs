//! Where threads that work in phases wait for each other.

use std::hint::spin_loop;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How often a thread looks before it lets others have its processor.
const SPINS: u32 = 1 << 14;

/// A barrier that threads pass awake, once a phase.
#[derive(Debug)]
pub(super) struct Barrier {
    lanes: usize,
    /// Arrivals of all phases.
    arrived: AtomicUsize,
    given_up: AtomicBool,
}

impl Barrier {
    pub(super) fn new(lanes: usize) -> Self {
        Self { lanes, arrived: AtomicUsize::new(0), given_up: AtomicBool::new(false) }
    }

    /// Lets nobody pass from now on; nobody waits any longer.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Waits for all lanes to be done with `phase`, counted from 0; whether to go on.
    pub(super) fn wait(&self, phase: usize) -> ControlFlow<()> {
        let all = (phase + 1) * self.lanes;
        // Whoever sees the sum sees what every lane did before it arrived.
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut spins = 0;
        while self.arrived.load(Ordering::Acquire) < all && !self.given_up.load(Ordering::Acquire) {
            spins += 1;
            if spins < SPINS { spin_loop() } else { std::thread::yield_now() }
        }
        match self.given_up.load(Ordering::Acquire) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
