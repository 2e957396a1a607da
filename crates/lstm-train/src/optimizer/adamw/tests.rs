//! Steps against candle's, and rows that lag against rows that do not.

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{Optimizer, ParamsAdamW};

use lstm_core::ops::rows::{Rows, sum_by_id};

use super::{AdamW, AdamWConfig};
use crate::Gradients;
use crate::optimizer::StepSize;

fn size(learning_rate: f64, scale: f64) -> StepSize {
    StepSize { learning_rate, scale }
}

fn problem(start: &[f32]) -> Result<(Var, impl Fn(&Var) -> Result<Tensor>)> {
    let var = Var::new(start, &Device::Cpu)?;
    let goal = Tensor::new(&[1.0_f32, -2.0, 0.5], &Device::Cpu)?;
    Ok((var, move |var: &Var| var.sub(&goal)?.sqr()?.sum_all()))
}

#[test]
fn steps_equal_candles() -> Result<()> {
    let (ours, loss) = problem(&[0.0, 0.3, -1.0])?;
    let (theirs, _) = problem(&[0.0, 0.3, -1.0])?;
    let config = AdamWConfig::default().with_weight_decay(0.1);
    let mut adam = AdamW::new(vec![("x".to_owned(), ours.clone())], config).unwrap();
    let params = ParamsAdamW { lr: 0.05, weight_decay: 0.1, ..ParamsAdamW::default() };
    let mut candle = candle_nn::AdamW::new(vec![theirs.clone()], params)?;
    for _ in 0..50 {
        adam.step(&loss(&ours)?.backward()?.into(), size(0.05, 1.0)).unwrap();
        candle.backward_step(&loss(&theirs)?)?;
    }
    for (ours, theirs) in ours.to_vec1::<f32>()?.iter().zip(theirs.to_vec1::<f32>()?) {
        // Fifty steps of 0.05, each rounded to f32 in another order.
        assert!((ours - theirs).abs() < 2e-5, "{ours} {theirs}");
    }
    Ok(())
}

#[test]
fn a_restored_state_continues_bit_for_bit() -> Result<()> {
    let (var, loss) = problem(&[0.0, 0.3, -1.0])?;
    let named = |var: &Var| vec![("x".to_owned(), var.clone())];
    let mut adam = AdamW::new(named(&var), AdamWConfig::default()).unwrap();
    (0..7).for_each(|_| {
        adam.step(&loss(&var).unwrap().backward().unwrap().into(), size(0.05, 0.5)).unwrap()
    });
    let copy = Var::from_tensor(&var.as_tensor().copy()?.detach())?;
    let copy = Var::new(copy.to_vec1::<f32>()?, &Device::Cpu)?;
    let mut other = AdamW::new(named(&copy), AdamWConfig::default()).unwrap();
    let saved: Vec<_> = adam.moments().unwrap().map(|(_, _, moments)| moments.clone()).collect();
    other.restore_moments(adam.n_steps(), |_| Ok(saved[0].clone())).unwrap();
    for _ in 0..5 {
        adam.step(&loss(&var)?.backward()?.into(), size(0.05, 1.0)).unwrap();
        other.step(&loss(&copy)?.backward()?.into(), size(0.05, 1.0)).unwrap();
    }
    assert_eq!(var.to_vec1::<f32>()?, copy.to_vec1::<f32>()?);
    assert!(other.restore_moments(1, |_| Ok([vec![0.0], vec![0.0]])).is_err());
    Ok(())
}

/// Three tables of the same numbers: [rows, width].
const ROWS: usize = 40;
const WIDTH: usize = 70;

fn table() -> Result<Var> {
    let numbers = (0..ROWS * WIDTH).map(|k| (k as f32 * 0.7).sin()).collect::<Vec<_>>();
    Var::from_vec(numbers, (ROWS, WIDTH), &Device::Cpu)
}

/// The rows that step `t` reads, and their gradient.
fn rows_of_step(t: usize) -> Rows<f32> {
    let ids: Vec<u32> = (0..6).map(|k| ((t * t + 5 * k * k + k) % (ROWS - 3)) as u32).collect();
    let rows: Vec<f32> = (0..6 * WIDTH).map(|k| ((t * 31 + k) as f32).cos() * 1e-3).collect();
    sum_by_id(&ids, WIDTH, &rows).unwrap()
}

fn bits(adam: &mut AdamW) -> Vec<Vec<u32>> {
    let mut all = Vec::new();
    for (_, var, moments) in adam.moments().unwrap() {
        let theta = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        all.extend(
            [&theta, &moments[0], &moments[1]].map(|v| v.iter().map(|x| x.to_bits()).collect()),
        );
    }
    all
}

#[test]
fn rows_that_lag_end_at_the_same_bits_as_dense_steps() -> Result<()> {
    for weight_decay in [0.0, 0.1] {
        let config = AdamWConfig::default().with_weight_decay(weight_decay);
        let (dense, lagging) = (table()?, table()?);
        let adam = |var: &Var| AdamW::new(vec![("t".to_owned(), var.clone())], config).unwrap();
        let (mut of_dense, mut of_lagging) = (adam(&dense), adam(&lagging));
        for t in 1..1200 {
            let rows = rows_of_step(t);
            of_lagging.catch_up(&lagging, &rows.ids).unwrap();
            for &id in &rows.ids {
                let row = |var: &Var| var.get(id as usize)?.to_vec1::<f32>();
                assert_eq!(row(&lagging)?, row(&dense)?, "row {id} read by step {t}");
            }
            let mut whole = vec![0.0; ROWS * WIDTH];
            for (&id, row) in rows.ids.iter().zip(rows.rows.chunks(WIDTH)) {
                whole[id as usize * WIDTH..][..WIDTH].copy_from_slice(row);
            }
            let whole = Tensor::from_vec(whole, (ROWS, WIDTH), &Device::Cpu)?;
            let mut store = Tensor::new(0.0_f32, &Device::Cpu)?.backward()?;
            store.insert(&dense, whole);
            of_dense.step(&store.into(), size(0.01, 0.5)).unwrap();
            // Now and then a step without a gradient, which moves nothing.
            let empty =
                || Gradients::from(Tensor::new(0.0_f32, &Device::Cpu).unwrap().backward().unwrap());
            let mut gradients = empty();
            gradients.add_rows(&lagging, rows).unwrap();
            of_lagging.step(&gradients, size(0.01, 0.5)).unwrap();
            if t % 97 == 0 {
                of_dense.step(&empty(), size(0.01, 1.0)).unwrap();
                of_lagging.step(&empty(), size(0.01, 1.0)).unwrap();
            }
            if t % 400 == 0 {
                assert_eq!(bits(&mut of_dense), bits(&mut of_lagging), "after step {t}");
            }
        }
        assert_eq!(bits(&mut of_dense), bits(&mut of_lagging));
        assert!(of_lagging.catch_up(&lagging, &[ROWS as u32]).is_err());
    }
    Ok(())
}
