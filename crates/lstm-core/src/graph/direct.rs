//! The gradients of variables, straight from the nodes that compute them.

use std::cell::{Cell, RefCell};

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

/// A pass of [`backward`] under way.
struct Pass {
    number: u64,
    /// Variables and their gradients so far.
    taken: Vec<(Tensor, Tensor)>,
}

thread_local! {
    static PASS: RefCell<Option<Pass>> = const { RefCell::new(None) };
    /// How many passes the thread has begun.
    static BEGUN: Cell<u64> = const { Cell::new(0) };
}

/// The gradients of `loss`: as candle's `Tensor::backward`, without its copies at [`super::record`]ed nodes.
///
/// candle adds every gradient that a node returns to a tensor of zeros of its own, which for large weights
/// is three passes over memory. Here the nodes' gradients of variables go straight into the
/// store; those of other tensors, and all of candle's own operations, take the usual way.
///
/// # Errors
///
/// As candle's `backward`.
///
/// ```
/// use candle_core::{Device, Var};
/// let x = Var::new(3.0_f64, &Device::Cpu)?;
/// let gradients = lstm_core::graph::backward(&x.sqr()?)?;
/// assert_eq!(gradients.get(&x).map(|g| g.to_scalar::<f64>()).transpose()?, Some(6.0));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let number = BEGUN.get() + 1;
    BEGUN.set(number);
    let outer = PASS.replace(Some(Pass { number, taken: Vec::new() }));
    let store = loss.backward();
    let taken = PASS.replace(outer).map(|pass| pass.taken).unwrap_or_default();
    let mut store = store?;
    for (variable, grad) in taken {
        let grad = match store.get(&variable) {
            Some(other) => other.add(&grad)?,
            None => grad,
        };
        store.insert(&variable, grad);
    }
    Ok(store)
}

/// The number of the pass of [`backward`] that is under way on this thread, if one is.
pub(super) fn pass() -> Option<u64> {
    PASS.with_borrow(|pass| pass.as_ref().map(|pass| pass.number))
}

/// Takes the gradient of a variable where a pass of [`backward`] is under way on this thread.
pub(super) fn take(variable: &Tensor, grad: &mut Option<Tensor>) {
    PASS.with_borrow_mut(|pass| {
        if let Some(pass) = pass {
            pass.taken.extend(grad.take().map(|grad| (variable.clone(), grad)));
        }
    });
}

/// Runs a node's own backward pass: what it differentiates inside is its own affair.
pub(super) fn paused<R>(body: impl FnOnce() -> R) -> R {
    let outer = PASS.replace(None);
    let result = body();
    PASS.set(outer);
    result
}
