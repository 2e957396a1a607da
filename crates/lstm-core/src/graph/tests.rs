//! The node against candle's own graph of the same function.

use candle_core::{Device, Result, Tensor, Var};

use super::{Backward, MAX_INPUTS, backward, record};
use crate::tensors::{storage, to_vec};

/// (a, b) ↦ (a·b, a + b), elementwise.
struct ProductAndSum(Tensor, Tensor);

impl Backward for ProductAndSum {
    fn backward(
        &self,
        outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> Result<Vec<Option<Tensor>>> {
        assert_eq!(outputs.len(), 2);
        let zero = self.0.zeros_like()?;
        let product = grads[0].as_ref().unwrap_or(&zero);
        let sum = grads[1].as_ref().unwrap_or(&zero);
        let of_a = product.mul(&self.1)?.add(sum)?;
        let of_b = product.mul(&self.0)?.add(sum)?;
        Ok(vec![Some(of_a), Some(of_b)])
    }
}

fn product_and_sum(a: &Tensor, b: &Tensor) -> Result<Vec<Tensor>> {
    let numbers = |t: Tensor| to_vec::<f64>(&t).map_err(candle_core::Error::from);
    let outputs = vec![
        storage(numbers(a.mul(b)?)?, a.shape().clone()),
        storage(numbers(a.add(b)?)?, a.shape().clone()),
    ];
    record("product_and_sum", &[a, b], outputs, ProductAndSum(a.detach(), b.detach()))
}

fn variables() -> Result<(Var, Var)> {
    let var = |values: [f64; 3]| Var::new(&values, &Device::Cpu);
    Ok((var([1.0, 2.0, 3.0])?, var([-1.0, 0.5, 4.0])?))
}

fn gradients(loss: &Tensor, of: [&Var; 2]) -> Result<Vec<Vec<f64>>> {
    let store = loss.backward()?;
    of.iter().map(|var| store.get(var).unwrap().to_vec1()).collect()
}

#[test]
fn gradients_equal_those_of_candles_own_graph() -> Result<()> {
    let (a, b) = variables()?;
    let out = product_and_sum(&a, &b)?;
    // Every output alone, both, and an output used twice.
    let node = [
        out[0].sum_all()?,
        out[1].sqr()?.sum_all()?,
        out[0].mul(&out[1])?.sum_all()?,
        (out[0].mul(&out[0])? + &out[1])?.sum_all()?,
    ];
    let (p, s) = (a.mul(&b)?, a.add(&b)?);
    let plain =
        [p.sum_all()?, s.sqr()?.sum_all()?, p.mul(&s)?.sum_all()?, (p.mul(&p)? + &s)?.sum_all()?];
    // Twice over the same graph: slots are emptied by each pass.
    for _ in 0..2 {
        for (node, plain) in node.iter().zip(&plain) {
            assert_eq!(gradients(node, [&a, &b])?, gradients(plain, [&a, &b])?);
        }
    }
    Ok(())
}

#[test]
fn nodes_chain_and_constants_need_no_gradient() -> Result<()> {
    let (a, b) = variables()?;
    let first = product_and_sum(&a, &b.as_tensor().detach())?;
    let second = product_and_sum(&first[0], &first[1])?;
    let store = second[0].sum_all()?.backward()?;
    // d/da of ab(a + b) = 2ab + b².
    let expected = ((a.mul(&b)? * 2.0)? + b.sqr()?)?.to_vec1::<f64>()?;
    assert_eq!(store.get(&a).unwrap().to_vec1::<f64>()?, expected);
    assert!(store.get(&b).is_none());
    let constant = product_and_sum(&a.as_tensor().detach(), &b.as_tensor().detach())?;
    assert!(!constant[0].track_op());
    Ok(())
}

#[test]
fn the_direct_way_gives_the_same_gradients() -> Result<()> {
    let (a, b) = variables()?;
    let out = product_and_sum(&a, &b)?;
    let twice = product_and_sum(&a, &a)?;
    let chained = product_and_sum(&out[0], &out[1])?;
    let losses = [
        out[0].sum_all()?,
        // A variable that meets the node and an operation of candle's, and one that is both inputs.
        out[0].mul(&a)?.sum_all()?,
        twice[0].add(&twice[1])?.sum_all()?,
        chained[0].mul(&b)?.sum_all()?,
    ];
    for (k, loss) in losses.iter().enumerate() {
        let (usual, direct) = (loss.backward()?, backward(loss)?);
        for var in [&a, &b] {
            let numbers = |grad: Option<&Tensor>| grad.map(Tensor::to_vec1::<f64>).transpose();
            assert_eq!(numbers(direct.get(var))?, numbers(usual.get(var))?, "loss {k}");
        }
    }
    Ok(())
}

#[test]
fn a_pass_inside_of_a_node_keeps_its_gradients_to_itself() -> Result<()> {
    /// a ↦ a · a through a graph of its own, as long sequences are differentiated piece by piece.
    struct Inner(Tensor);
    impl Backward for Inner {
        fn backward(&self, _: &[Tensor], _: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
            let copy = Var::from_tensor(&self.0)?;
            let store = product_and_sum(&copy, &copy)?[0].sum_all()?.backward()?;
            Ok(vec![store.get(&copy).cloned()])
        }
    }
    let (a, _) = variables()?;
    let outputs = vec![storage(to_vec::<f64>(&a.sqr()?)?, 3)];
    let out = record("inner", &[&a], outputs, Inner(a.as_detached_tensor()))?;
    let store = backward(&out[0].sum_all()?)?;
    assert_eq!(store.get(&a).unwrap().to_vec1::<f64>()?, [2.0, 4.0, 6.0]);
    Ok(())
}

#[test]
fn passes_on_several_threads_do_not_mix() -> Result<()> {
    let (a, b) = variables()?;
    let out = product_and_sum(&a, &b)?;
    let expected = gradients(&out[0].sum_all()?, [&a, &b])?;
    std::thread::scope(|scope| {
        for k in 1..=4 {
            let (out, a, b, expected) = (&out, &a, &b, &expected);
            scope.spawn(move || {
                for _ in 0..200 {
                    let loss = (out[0].sum_all().unwrap() * f64::from(k)).unwrap();
                    let got = gradients(&loss, [a, b]).unwrap();
                    let scaled =
                        expected.iter().map(|g| g.iter().map(|x| x * f64::from(k)).collect());
                    assert_eq!(got, scaled.collect::<Vec<Vec<f64>>>());
                }
            });
        }
    });
    Ok(())
}

#[test]
fn the_graph_frees_itself() -> Result<()> {
    struct Flag {
        _alive: std::sync::Arc<()>,
    }
    impl Backward for Flag {
        fn backward(&self, _: &[Tensor], _: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
            Ok(vec![None])
        }
    }
    let (a, _) = variables()?;
    let alive = std::sync::Arc::new(());
    let flag = Flag { _alive: alive.clone() };
    let out = record("flag", &[&a], vec![storage(vec![1.0_f64], 1)], flag)?;
    assert_eq!(std::sync::Arc::strong_count(&alive), 2);
    drop(out);
    assert_eq!(std::sync::Arc::strong_count(&alive), 1);
    let inputs = vec![a.as_tensor(); MAX_INPUTS + 1];
    assert!(record("wide", &inputs, vec![], Flag { _alive: alive }).is_err());
    Ok(())
}
