//! Tests of forecasting: what it learns, its windows and baselines, and what it refuses.

use std::path::Path;

use lstm_core::random::RandomStream;
use lstm_hand::HandLstm;

use super::*;
use crate::data::{Series, shared};
use crate::task::{Detail, Part};
use crate::tasks::TaskConfig;
use crate::tasks::tests::{check_end, check_load, check_resume, finish, read_test};
use crate::{Error, RunConfig, TrainConfig};

/// Hours of two series: a wave of 12 hours with noise on a slow slope, and the same six hours before.
fn write_csv(path: &Path, n: usize) {
    let noise = RandomStream::new(5);
    let mut text = "date,load,ahead\n".to_owned();
    let wave = |t: f64| 50.0 + 0.01 * t + 10.0 * (t * std::f64::consts::TAU / 12.0).sin();
    for t in 0..n {
        let (day, hour) = (1 + t / 24 % 28, t % 24);
        let (year, month) = (2000 + t / 24 / 28 / 12, 1 + t / 24 / 28 % 12);
        let load = wave(t as f64) + 0.2 * noise.normal(t as u64);
        let ahead = wave(t as f64 + 6.0);
        text.push_str(&format!("{year}-{month:02}-{day:02} {hour:02}:00,{load},{ahead}\n"));
    }
    std::fs::write(path, text).unwrap();
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_csv(&folder.path().join("series.csv"), 500);
    folder
}

fn config(folder: &Path) -> RunConfig {
    let task = ForecastingConfig {
        data: folder.join("series.csv"),
        targets: vec!["load".to_owned()],
        input: 12,
        horizon: 5,
        borders: Borders::Counts { train: 300, valid: 80, test: 100 },
        period: Some(12),
        network: NetworkConfig { hidden: 12, ..NetworkConfig::default() },
        batch: 16,
        ..ForecastingConfig::default()
    };
    let train = TrainConfig { epochs: 8, learning_rate: 0.01, ..TrainConfig::default() };
    RunConfig { task: TaskConfig::Forecasting(task), train }
}

fn task(config: &mut RunConfig) -> &mut ForecastingConfig {
    let TaskConfig::Forecasting(task) = &mut config.task else { panic!("another task") };
    task
}

#[test]
fn a_wave_is_learned_and_the_saved_model_predicts_what_was_measured() {
    let data = folder();
    for normalization in [Normalization::None, Normalization::Last, Normalization::Mean] {
        let mut config = config(data.path());
        task(&mut config).normalization = normalization;
        let run = tempfile::tempdir().unwrap();
        let scores = finish(&config, run.path()).test;
        assert!(scores["mse"] < 0.1 * scores["mse_last_value"], "{normalization:?}: {scores:?}");
        check_predictions(task(&mut config), run.path(), &scores);
    }
}

/// Forecasts every test window with the saved model, and computes scores and baselines from the file's numbers.
fn check_predictions(config: &ForecastingConfig, run: &Path, scores: &crate::Scores) {
    let forecaster = Forecaster::load::<HandLstm>(run).unwrap();
    let data = ForecastingData::load(config).unwrap();
    let values: Vec<f64> = data.series().values().to_vec();
    let deviation = data.scale().unscaled(0, 1.0) - data.scale().unscaled(0, 0.0);
    let (mut of_model, mut of_last, mut of_season, mut n) = (0.0, 0.0, 0.0, 0.0);
    for end in 380..=475 {
        let window: Vec<Vec<f64>> = values[end - 12..end].iter().map(|&x| vec![x]).collect();
        let forecast = forecaster.predict(&window, &[]).unwrap();
        for (k, step) in forecast.iter().enumerate() {
            of_model += (step[0] - values[end + k]).powi(2);
            of_last += (values[end - 1] - values[end + k]).powi(2);
            of_season += (values[end + k - 12] - values[end + k]).powi(2);
            n += 1.0;
        }
    }
    for (name, sum) in [("mse", of_model), ("mse_last_value", of_last), ("mse_seasonal", of_season)]
    {
        let expected = sum / n / deviation.powi(2);
        assert!((scores[name] - expected).abs() < 1e-5 * (1.0 + expected), "{name}: {scores:?}");
    }
    assert!((scores["mse_units"] - of_model / n).abs() < 1e-3 * of_model / n, "{scores:?}");
    let details = read_test(run).details;
    let [Detail::Forecast { series, times, truth, forecast }] = &details[..] else {
        panic!("{details:?}")
    };
    assert_eq!((&series[..], truth.len()), ("load", forecast.len()));
    assert_eq!((&truth[..], &times[..]), (&values[380..480], &data.series().times()[380..480]));
    let last: Vec<Vec<f64>> = values[values.len() - 12..].iter().map(|&x| vec![x]).collect();
    let after = forecaster.predict_after(data.series()).unwrap();
    assert_eq!(after, forecaster.predict(&last, &[]).unwrap());
    assert!(forecaster.predict(&vec![vec![1.0]; 11], &[]).is_err());
    assert!(forecaster.predict(&vec![vec![f64::NAN]; 12], &[]).is_err());
    assert!(forecaster.predict(&vec![vec![1e40]; 12], &[]).is_err());
    assert!(forecaster.predict(&vec![vec![1.0, 2.0]; 12], &[]).is_err());
    assert!(forecaster.predict(&vec![vec![1.0]; 12], &["2000-01-01".to_owned()]).is_err());
    check_load(run, Forecaster::load::<HandLstm>);
}

#[test]
fn several_targets_features_and_the_calendar_go_together_and_resume() {
    let data = folder();
    let mut config = config(data.path());
    let task = task(&mut config);
    (task.targets, task.features) = (vec!["ahead".to_owned()], vec!["load".to_owned()]);
    task.calendar = vec![Calendar::Hour, Calendar::Weekday, Calendar::Month];
    task.output_dropout = 0.1;
    task.network.bidirectional = true;
    assert_eq!(task.input_size(), 8);
    config.train.epochs = 3;
    check_resume(&config);
    let run = tempfile::tempdir().unwrap();
    task_of_two(&mut config);
    let scores = finish(&config, run.path()).test;
    assert!(scores["mse_units_ahead"] > 0.0 && scores["mse_units_load"] > 0.0, "{scores:?}");
    let data = ForecastingData::load(self::task(&mut config)).unwrap();
    let forecaster = Forecaster::load::<HandLstm>(run.path()).unwrap();
    let (mut sums, mut n) = ([0.0; 2], 0.0);
    for end in 380..=475 {
        let values = data.series().values();
        let window: Vec<_> =
            values[2 * (end - 12)..2 * end].chunks(2).map(<[f64]>::to_vec).collect();
        let times = &data.series().times()[end - 12..end];
        let forecast = forecaster.predict(&window, times).unwrap();
        for (step, truth) in forecast.iter().zip(values[2 * end..].chunks(2)) {
            (0..2).for_each(|target| sums[target] += (step[target] - truth[target]).powi(2));
            n += 1.0;
        }
    }
    for (name, sum) in ["mse_units_ahead", "mse_units_load"].into_iter().zip(sums) {
        assert!((scores[name] - sum / n).abs() < 1e-3 * sum / n, "{name}: {scores:?} {}", sum / n);
    }
}

fn task_of_two(config: &mut RunConfig) {
    let task = task(config);
    task.targets = vec!["ahead".to_owned(), "load".to_owned()];
    task.features.clear();
}

#[test]
fn a_resumed_run_is_the_whole_one() {
    let data = folder();
    check_resume(&config(data.path()));
    check_end(&config(data.path()));
}

#[test]
fn the_standard_borders_give_the_windows_of_the_published_programs() {
    let Some(path) = shared("ett/ETTh1.csv") else { return };
    let config = ForecastingConfig {
        data: path,
        targets: vec!["OT".to_owned()],
        borders: Borders::Counts { train: 8640, valid: 2880, test: 2880 },
        ..ForecastingConfig::default()
    };
    let data = ForecastingData::load(&config).unwrap();
    let windows = [Part::Train, Part::Valid, Part::Test].map(|part| data.windows(part));
    assert_eq!(windows.clone().map(|windows| windows.len()), [8521, 2857, 2857]);
    assert_eq!(windows[1].start + 96, 8640);
    assert_eq!(data.horizon_of(windows[2].end - 1).end, 14400);
    // Computed in Python from the file: the mean and the population's deviation of the first 8640 values.
    assert!((data.scale().unscaled(0, 0.0) - 17.128_261_7).abs() < 1e-4, "{:?}", data.scale());
    assert!((data.scale().unscaled(0, 1.0) - 26.304_752_7).abs() < 1e-4, "{:?}", data.scale());
}

#[test]
fn bad_data_and_configurations_are_refused() {
    let folder = folder();
    let path = folder.path().join("series.csv");
    type Change = fn(&mut ForecastingConfig);
    let bad: [(Change, &str); 14] = [
        (|config| config.input = usize::MAX, "input of at most"),
        (|config| config.horizon = 1 << 60, "horizon of at most"),
        (
            |config| (config.horizon, config.targets) = (1 << 20, vec![String::new(); 1 << 11]),
            "horizon",
        ),
        (|config| config.targets.clear(), "targets"),
        (|config| config.horizon = 0, "horizon"),
        (|config| config.input = 0, "input"),
        (|config| config.period = Some(13), "period"),
        (|config| config.borders = Borders::Shares { train: 0.9, valid: 0.1 }, "share"),
        (|config| config.borders = Borders::Shares { train: f64::NAN, valid: 0.1 }, "share"),
        (|config| config.borders = Borders::Counts { train: 16, valid: 9, test: 9 }, "training"),
        (|config| config.borders = Borders::Counts { train: 17, valid: 4, test: 9 }, "validation"),
        (|config| config.borders = Borders::Counts { train: 400, valid: 80, test: 80 }, "500"),
        (|config| config.targets = vec!["heat".to_owned()], "`heat`"),
        (|config| config.features = vec!["load".to_owned()], "series.csv, line 1"),
    ];
    for (change, piece) in bad {
        let mut config = config(folder.path());
        change(task(&mut config));
        let error = config.setup::<HandLstm>().err().unwrap().to_string();
        assert!(error.contains(piece), "{piece}: {error}");
    }
    std::fs::write(&path, "date,load\n2000-01-01,1\n2000-01-02,x\n").unwrap();
    let error = config(folder.path()).setup::<HandLstm>().err().unwrap();
    assert!(matches!(error, Error::Data { line: 3, .. }), "{error}");
    let small = |t: usize| format!("{t},{}\n", if t == 450 { 3e38 } else { t as f64 % 7.0 / 9e3 });
    std::fs::write(&path, "date,load\n".to_owned() + &(0..500).map(small).collect::<String>())
        .unwrap();
    let error = config(folder.path()).setup::<HandLstm>().err().unwrap();
    assert!(matches!(error, Error::Data { line: 452, .. }), "{error}");
    let months = |t: usize| format!("{}/1/{},{}\n", 1 + t % 12, 1900 + t / 12, t % 7);
    std::fs::write(&path, "date,load\n".to_owned() + &(0..500).map(months).collect::<String>())
        .unwrap();
    let error = config(folder.path()).setup::<HandLstm>().err().unwrap();
    assert!(matches!(error, Error::Data { line: 2, .. }), "{error}");
    let mut assumed = config(folder.path());
    task(&mut assumed).assume_ordered = true;
    assert!(assumed.setup::<HandLstm>().is_ok());
    let numbers: Vec<String> = (0..500).map(|t| format!("{t},{}\n", t % 7)).collect();
    std::fs::write(&path, format!("date,load\n{}", numbers.concat())).unwrap();
    let mut config = config(folder.path());
    assert!(config.setup::<HandLstm>().is_ok());
    task(&mut config).calendar = vec![Calendar::Hour];
    let error = config.setup::<HandLstm>().err().unwrap();
    assert!(matches!(error, Error::Data { line: 2, .. }), "{error}");
    assert!(error.to_string().contains("dates"), "{error}");
}

#[test]
fn what_a_file_lacks_is_refused_with_its_name_and_a_line() {
    let folder = folder();
    let months = |t: usize| format!("{}-{:02},{}\n", 1900 + t / 12, 1 + t % 12, t % 7);
    let months: String = (0..500).map(months).collect();
    std::fs::write(folder.path().join("series.csv"), "date,load\n".to_owned() + &months).unwrap();
    type Change = fn(&mut ForecastingConfig);
    let bad: [(Change, &str); 3] = [
        (|config| config.calendar = vec![Calendar::Weekday], "line 2: expected a date"),
        (
            |config| config.borders = Borders::Counts { train: 16, valid: 9, test: 9 },
            "line 501: expected a training part of at least 17 steps, got 16",
        ),
        (
            |config| config.borders = Borders::Counts { train: 400, valid: 80, test: 80 },
            "line 501: expected parts of at most 500 steps together, got 560",
        ),
    ];
    for (change, piece) in bad {
        let mut config = config(folder.path());
        change(task(&mut config));
        let error = config.setup::<HandLstm>().err().unwrap().to_string();
        assert!(error.contains(&format!("series.csv, {piece}")), "{piece}: {error}");
    }
}

#[test]
fn what_a_forecaster_cannot_read_is_refused_with_its_name_and_a_line() {
    let data = folder();
    let mut config = config(data.path());
    task(&mut config).calendar = vec![Calendar::Hour];
    config.train.epochs = 1;
    let run = tempfile::tempdir().unwrap();
    finish(&config, run.path());
    let forecaster = Forecaster::load::<HandLstm>(run.path()).unwrap();
    let path = data.path().join("next.csv");
    let predict = |n: usize, time: fn(usize) -> String| {
        let rows: String = (0..n).map(|t| format!("{},{t}\n", time(t))).collect();
        std::fs::write(&path, format!("date,load\n{rows}")).unwrap();
        forecaster.predict_after(&Series::load(&path, &forecaster.config().columns()).unwrap())
    };
    let hour = |t: usize| format!("2001-01-01 {t:02}:00");
    assert_eq!(predict(20, hour).unwrap().len(), 5);
    let error = predict(11, hour).unwrap_err().to_string();
    assert!(error.contains("next.csv, line 12: expected at least 12 steps, got 11"), "{error}");
    // A window of the last 12 of 20 days begins behind the header and 8 rows.
    let error = predict(20, |t| format!("2001-01-{:02}", 1 + t)).unwrap_err().to_string();
    assert!(error.contains("next.csv, line 10: expected a date"), "{error}");
    assert!(error.contains("tell the hour, got `2001-01-09`"), "{error}");
}
