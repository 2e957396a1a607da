//! Where threads that work in phases wait for each other.

use std::hint::spin_loop;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How often a thread looks before it lets others have its processor.
const SPINS: u32 = 1 << 14;

/// A barrier that threads pass awake, once a phase.
#[derive(Debug)]
pub(super) struct Barrier {
    lanes: Vec<Lane>,
    given_up: AtomicBool,
}

/// The phases that a lane is done with: on two cache lines, which processors fetch together, of its own, so that it
/// arrives without waiting for the others, who look at theirs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane(AtomicUsize);

impl Barrier {
    pub(super) fn new(lanes: usize) -> Self {
        let lanes = (0..lanes).map(|_| Lane::default()).collect();
        Self { lanes, given_up: AtomicBool::new(false) }
    }

    /// Lets nobody pass from now on; nobody waits any longer.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Lane `own` waits for all to be done with `phase`, counted from 0; whether to go on.
    pub(super) fn wait(&self, own: usize, phase: usize) -> ControlFlow<()> {
        // Whoever sees the number sees what the lane did before it arrived.
        self.lanes[own].0.store(phase + 1, Ordering::Release);
        let mut spins = 0;
        for Lane(done) in &self.lanes {
            while done.load(Ordering::Acquire) <= phase && !self.given_up.load(Ordering::Acquire) {
                spins += 1;
                if spins < SPINS { spin_loop() } else { std::thread::yield_now() }
            }
        }
        match self.given_up.load(Ordering::Acquire) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
