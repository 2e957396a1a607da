//! The gradients of variables, straight from the nodes that compute them.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

thread_local! {
    /// Variables and their gradients so far, while [`backward`] runs on this thread.
    static TAKEN: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
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
    let outer = TAKEN.replace(Some(Vec::new()));
    let store = loss.backward();
    let taken = TAKEN.replace(outer).unwrap_or_default();
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

/// Takes the gradient of a variable where a pass of [`backward`] is under way on this thread.
pub(super) fn take(variable: &Tensor, grad: &mut Option<Tensor>) {
    TAKEN.with_borrow_mut(|taken| {
        if let Some(taken) = taken {
            taken.extend(grad.take().map(|grad| (variable.clone(), grad)));
        }
    });
}

/// Runs a node's own backward pass: what it differentiates inside is its own affair.
pub(super) fn paused<R>(body: impl FnOnce() -> R) -> R {
    let outer = TAKEN.replace(None);
    let result = body();
    TAKEN.set(outer);
    result
}
