//! Pages of runs that were never run: what is on them, and what odd runs leave.

use lstm_train::metrics::Metric;
use lstm_train::{Detail, Evaluation, Identity, Progress, Scores};
use serde_json::json;

use super::run::{Run, is_plain, larger_is_better, of_baseline, of_class};
use super::{several, single};

fn scores(loss: f64) -> Scores {
    Scores::from([("loss".to_owned(), loss), ("accuracy".to_owned(), 1.0 - loss / 10.0)])
}

/// A finished run of so many epochs, whose loss comes down to `last`.
fn run(name: &str, epochs: usize, last: f64) -> Run {
    let mut metrics = Vec::new();
    let mut progress = Progress { epoch: epochs, best_epoch: epochs, ..Progress::default() };
    for epoch in 1..=epochs {
        for step in (epoch as u64 * 100 - 90..=epoch as u64 * 100).step_by(10) {
            let loss = last + 100.0 / step as f64;
            let (learning_rate, items_per_second) = (0.5 / epoch as f64, 4000.0);
            metrics.push(Metric::Train { step, epoch, loss, learning_rate, items_per_second });
        }
        let scores = scores(last + 1.0 / epoch as f64);
        let (step, seconds) = (epoch as u64 * 100, 12.5);
        metrics.push(Metric::Valid { step, epoch, seconds, scores: scores.clone() });
        progress.valid.push(scores);
        progress.epoch_seconds.push(seconds);
        progress.step = step;
    }
    Run {
        name: name.to_owned(),
        identity: Identity {
            implementation: "hand".to_owned(),
            task: json!({ "kind": "tagging", "network": { "hidden": 20 }, "none": null }),
            layers: String::new(),
            device: String::new(),
            data: "0123".to_owned(),
            train: json!({ "epochs": epochs, "learning_rate": last }),
        },
        metrics,
        progress,
        parameters: 1_234_567,
        test: Some(Evaluation { scores: scores(last), details: Vec::new() }),
    }
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// The section below a heading.
#[track_caller]
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<h2>{heading}</h2>")).unwrap();
    rest.split_once("</section>").unwrap().0
}

#[test]
fn a_run_has_its_results_curves_and_epochs() {
    let mut run = run("ewt", 5, 1.0);
    let labels = ["NOUN", "<VERB>"].map(str::to_owned).to_vec();
    run.test.as_mut().unwrap().details =
        vec![Detail::Confusion { labels, counts: vec![vec![90, 10], vec![3, 1]] }];
    let page = single::page(&run).unwrap();
    assert!(page.contains("Tagging, 1,234,567 parameters: finished after 5 epochs, 500 steps"));
    let result = section(&page, "Result");
    assert!(result.contains("<td>0.8800</td><td>0.9000</td>"), "{result}");
    let loss = section(&page, "Loss");
    assert!(loss.contains("\ntraining\n") && loss.contains("best epoch 5"));
    assert_eq!(count(loss, "<circle"), 5);
    let curves = section(&page, "Curves");
    assert_eq!((count(curves, "<svg"), count(curves, "<h3>Validation accuracy</h3>")), (3, 1));
    let epochs = section(&page, "Epochs");
    assert_eq!((count(epochs, "<tr"), count(epochs, ">best<")), (6, 1));
    assert!(section(&page, "Confusion of classes, test part").contains("90<small>"));
    let settings = section(&page, "Settings");
    assert!(settings.contains("task.network.hidden") && !settings.contains("task.none"));
    for part in ["<script", "<link", "src=", "href=", "url(", "@import", "<VERB>", "NaN"] {
        assert_eq!(count(&page, part), 0, "{part}");
    }
}

#[test]
fn a_long_forecast_has_its_end_drawn_closer() {
    let detail = |n: usize| Detail::Forecast {
        series: "OT".to_owned(),
        times: (0..n).map(|k| format!("2016-07-{:02} {:02}:00:00", 1 + k / 24, k % 24)).collect(),
        truth: (0..n).map(|k| (k as f64 / 9.0).sin()).collect(),
        forecast: (0..n).map(|k| (k as f64 / 9.0 - 0.3).sin()).collect(),
    };
    let mut run = run("ett", 2, 1.0);
    for (n, plots) in [(100, 1), (600, 2)] {
        run.test.as_mut().unwrap().details = vec![detail(n)];
        let page = single::page(&run).unwrap();
        let section = section(&page, "Forecast of OT, test part");
        assert_eq!((count(section, "<svg"), count(section, "\nforecast\n")), (plots, plots));
        assert!(section.contains("\n2016-07-0") && !section.contains(":00:00"), "{section}");
    }
    // Lists of unequal length are drawn as far as they go.
    let Detail::Forecast { series, truth, forecast, .. } = detail(300) else { unreachable!() };
    let uneven =
        Detail::Forecast { series, times: Vec::new(), truth, forecast: forecast[..9].to_vec() };
    run.test.as_mut().unwrap().details = vec![uneven];
    assert!(single::page(&run).unwrap().contains("<svg"));
}

#[test]
fn baselines_stand_beside_the_model_and_classes_below() {
    let mut run = run("ett", 2, 1.0);
    let test = &mut run.test.as_mut().unwrap().scores;
    for (name, score) in [
        ("mse", 0.2),
        ("mse_last_value", 0.3),
        ("mse_seasonal", 0.1),
        ("f1.NOUN", 0.75),
        ("f1.VERB", 0.5),
    ] {
        test.insert(name.to_owned(), score);
    }
    let page = single::page(&run).unwrap();
    let result = section(&page, "Result");
    let mse = result.lines().find(|line| line.contains("<th scope=\"row\">mse<")).unwrap();
    assert!(mse.contains("<td>-</td><td>0.2000</td><td>0.3000</td>"), "{mse}");
    assert!(
        mse.contains("<strong>0.1000</strong>") && result.contains("test, last value"),
        "{mse}"
    );
    assert_eq!(count(result, ">best<"), 1);
    let classes = section(&page, "Classes, test part");
    assert!(classes.contains("NOUN</th><td>0.7500</td>") && !result.contains("NOUN"), "{classes}");
}

#[test]
fn names_say_whose_a_measure_is() {
    for plain in ["loss", "macro_f1", "mse_units_OT", "mae_units_max. wv", "mse_units_a_constant"] {
        assert!(is_plain(plain), "{plain}");
    }
    for baseline in ["mse_last_value", "mae_seasonal", "mse_constant", "loss_guess"] {
        assert!(!is_plain(baseline) && of_class(baseline).is_none(), "{baseline}");
    }
    assert_eq!(of_baseline("loss_guess"), Some(("loss", "_guess")));
    // A class may have any name.
    for class in ["f1.NOUN", "precision.a.b", "recall._guess"] {
        assert!(!is_plain(class) && of_class(class).is_some(), "{class}");
    }
    let mut run = run("recall", 2, 1.0);
    let test = &mut run.test.as_mut().unwrap().scores;
    *test = Scores::new();
    for (name, score) in [("loss", 0.5), ("loss_guess", 2.0), ("mae_units_max. wv", 3.5)] {
        test.insert(name.to_owned(), score);
    }
    let page = single::page(&run).unwrap();
    let result = section(&page, "Result");
    assert!(result.contains("test, guess") && result.contains("mae units max. wv"), "{result}");
    assert!(!page.contains("Classes, test part"));
}

#[test]
fn an_unfinished_run_has_a_page() {
    let mut run = run("begun", 4, 1.0);
    run.identity.train["epochs"] = json!(9);
    run.test = None;
    let page = single::page(&run).unwrap();
    assert!(page.contains("stopped in epoch 5 of 9, 400 steps"), "{page}");
    run.metrics.clear();
    run.progress = Progress::default();
    let page = single::page(&run).unwrap();
    assert!(section(&page, "Result").contains("No epoch is done."));
    assert!(section(&page, "Loss").contains("Nothing to plot."));
    assert_eq!(count(&page, "<svg"), 0);
}

#[test]
fn many_epochs_are_thinned_but_the_best_one_stays() {
    let mut run = run("long", 200, 1.0);
    run.progress.best_epoch = 87;
    let page = single::page(&run).unwrap();
    let epochs = section(&page, "Epochs");
    assert_eq!(count(epochs, ">best<"), 1);
    assert!(epochs.contains("<strong>87</strong>") && epochs.contains(">200</th>"));
    assert!((50..70).contains(&count(epochs, "<tr")) && epochs.contains("one epoch of 4"));
}

#[test]
fn runs_are_compared() {
    let runs = [run("a", 3, 1.0), run("b", 3, 0.5), run("a", 3, 2.0)];
    let page = several::page(&runs).unwrap();
    assert!(page.contains("3 runs: a, b, a (2)."));
    for heading in ["Results, test part", "Best epoch, validation part"] {
        let results = section(&page, heading);
        let best = results.lines().find(|line| line.contains(">best<")).unwrap();
        // Accuracy and loss.
        assert!(best.contains("<th scope=\"row\">b</th>"), "{best}");
        assert_eq!((count(best, ">best<"), count(results, ">best<")), (2, 2), "{results}");
    }
    let differs = section(&page, "What differs");
    assert!(differs.contains("<td>1.0</td><td>0.5</td><td>2.0</td>"), "{differs}");
    assert_eq!(count(differs, "<tr"), 2);
    assert!(section(&page, "Settings of all").contains("task.network.hidden"));
    for heading in ["Training loss", "Validation loss", "Validation accuracy"] {
        let plot = section(&page, heading);
        assert!(["\na\n", "\nb\n", "\na (2)\n"].iter().all(|name| plot.contains(name)));
    }
    assert_eq!(count(section(&page, "Seconds an epoch"), "<rect"), 3);
    // Two that tie are both best; one alone is not.
    let alone = several::page(&[run("a", 3, 1.0)]).unwrap();
    assert_eq!(count(&alone, ">best<"), 0);
    assert!(!alone.contains("What differs"));
}

#[test]
fn measures_whose_direction_is_not_known_are_not_marked() {
    let measures =
        ["accuracy", "macro_f1", "f1.loss", "loss", "mse_units_OT", "accuracy_then_loss"];
    let expected = [Some(true), Some(true), Some(true), Some(false), Some(false), None];
    assert_eq!(measures.map(larger_is_better), expected);
}
