//! Trains a forecaster on a series of two seasons: `cargo run -p examples --example forecaster`.

use lstm_hand::HandLstm;
use lstm_train::tasks::forecasting::{Forecaster, ForecastingConfig};
use lstm_train::{NetworkConfig, Result, RunConfig, TaskConfig, TrainConfig};

/// The value at a step: a season of twelve steps, and another of about thirty-one.
fn value(step: usize) -> f64 {
    let t = step as f64;
    (t * std::f64::consts::TAU / 12.0).sin() + 0.8 * (t / 5.0).cos()
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("forecaster-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let table = folder.join("series.csv");
    let rows: String = (0..900).map(|step| format!("{step},{}\n", value(step))).collect();
    std::fs::write(&table, "step,sales\n".to_owned() + &rows).expect("a temporary file");

    let task = TaskConfig::Forecasting(ForecastingConfig {
        data: table,
        time: "step".to_owned(),
        targets: vec!["sales".to_owned()],
        input: 36,
        horizon: 6,
        period: Some(12),
        network: NetworkConfig { hidden: 24, ..NetworkConfig::default() },
        ..ForecastingConfig::default()
    });
    let train = TrainConfig { epochs: 40, learning_rate: 3e-3, ..TrainConfig::default() };
    let summary = RunConfig { task, train }.train::<HandLstm>(&folder.join("run"))?;
    let score = |name: &str| summary.test[name];
    println!(
        "mean squared error {:.4}; of the last value {:.4}, of the last season {:.4}",
        score("mse"),
        score("mse_last_value"),
        score("mse_seasonal")
    );
    assert!(score("mse") < score("mse_last_value").min(score("mse_seasonal")));

    let forecaster = Forecaster::load::<HandLstm>(&folder.join("run"))?;
    let window: Vec<Vec<f64>> = (864..900).map(|step| vec![value(step)]).collect();
    for (step, forecast) in (900..).zip(forecaster.predict(&window, &[])?) {
        println!("{step}: {:.3}, and it will be {:.3}", forecast[0], value(step));
    }
    std::fs::remove_dir_all(folder).expect("the temporary folder again");
    Ok(())
}
