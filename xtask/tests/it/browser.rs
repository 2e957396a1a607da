//! Pages in a browser without a window: every plot has marks inside the page, no text lies on another, nothing
//! is fetched and nothing fails. Skipped, with the reason, where there is no Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::language::Workplace;

/// What the probe finds on a page.
#[derive(Debug, Deserialize)]
struct Found {
    errors: Vec<String>,
    /// Bytes and files that were asked for.
    fetched: Vec<String>,
    /// The width of the page, and of what stands on it.
    widths: [f64; 2],
    plots: Vec<Plot>,
    /// Cells of confusion tables with a shade of their own.
    shaded: usize,
    /// The colours of the page and of its text.
    colours: [String; 2],
}

/// A drawing.
#[derive(Debug, Deserialize)]
struct Plot {
    name: String,
    /// The lines, dots and bars that are neither an axis nor a part of the legend.
    data: usize,
    /// Left, top, width and height on the page.
    at: [f64; 4],
    /// Marks and texts that are not inside the drawing.
    outside: Vec<String>,
    /// Pairs of texts that lie on each other.
    overlaps: Vec<String>,
}

/// Looks at the page after it is drawn, and writes what it finds at the end of it.
const PROBE: &str = include_str!("probe.js");

/// The browser, unless there is none; the environment variable `CHROME` comes first.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROME").map(PathBuf::from);
    let names = ["chromium", "chromium-browser", "google-chrome"].map(PathBuf::from);
    let works = |name: &PathBuf| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let found = named.into_iter().chain(names).find(works);
    if found.is_none() {
        eprintln!("skipped: no chromium, chromium-browser or google-chrome, and CHROME names none");
    }
    found
}

/// Opens a page with the probe in it; `dark` as a reader has it who prefers that.
fn open(chromium: &Path, page: &Path, dark: bool) -> Found {
    let folder = tempfile::tempdir().unwrap();
    let html = std::fs::read_to_string(page).unwrap();
    let begin =
        "<script>window.failed = []; onerror = (m) => { failed.push(String(m)); };</script>";
    let html = html.replacen("<head>", &format!("<head>{begin}"), 1);
    let html = html.replacen("</body>", &format!("<script>{PROBE}</script></body>"), 1);
    let probed = folder.path().join("page.html");
    std::fs::write(&probed, html).unwrap();
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
        .args(["--window-size=1200,900", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", probed.display()))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let console: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{}: {console:?}", page.display());
    let dom = String::from_utf8(output.stdout).unwrap();
    let (_, found) = dom.split_once("<script type=\"application/json\" id=\"found\">").unwrap();
    serde_json::from_str(found.split_once("</script>").unwrap().0).unwrap()
}

/// Everything that has to hold of a page, in both colour schemes.
#[track_caller]
fn check(chromium: &Path, page: &Path, n_plots: usize, n_shaded: usize) {
    let [light, dark] = [false, true].map(|dark| open(chromium, page, dark));
    assert_ne!(light.colours, dark.colours, "one theme only");
    for found in [light, dark] {
        let name = page.display();
        assert!(found.errors.is_empty() && found.fetched.is_empty(), "{name}: {found:?}");
        assert!(found.widths[1] <= found.widths[0], "{name} is too wide: {:?}", found.widths);
        assert_eq!((found.plots.len(), found.shaded), (n_plots, n_shaded), "{name}");
        for plot in &found.plots {
            let [left, top, width, height] = plot.at;
            assert!(plot.data > 0 && !plot.name.is_empty(), "{name}: {plot:?}");
            assert!(
                left >= 0.0 && top >= 0.0 && left + width <= found.widths[0],
                "{name}: {plot:?}"
            );
            assert!(width > 300.0 && height > 80.0, "{name}: {plot:?}");
            assert!(plot.outside.is_empty(), "{name}: {plot:?}");
            assert!(plot.overlaps.is_empty(), "{name}: {plot:?}");
        }
    }
}

/// Gives the test part of a run details of every kind.
fn add_details(work: &Workplace, run: &str) {
    let path = work.path(run).join("test.json");
    let mut test: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let labels: Vec<String> = (0..17).map(|k| format!("CLASS{k}")).collect();
    let count = |truth: usize, answer: usize| match truth == answer {
        true => 400 + 13 * truth,
        false => (truth * 7 + answer * 3) % 5,
    };
    let counts: Vec<Vec<usize>> =
        (0..17).map(|truth| (0..17).map(|answer| count(truth, answer)).collect()).collect();
    let wave =
        |shift: f64| (0..700).map(|k| (k as f64 / 12.0 + shift).sin() * 9.0).collect::<Vec<_>>();
    let time =
        |k: usize| format!("2018-{:02}-{:02} {:02}:00:00", 1 + k / 600, 1 + k / 24 % 25, k % 24);
    let line =
        |name: &str, at: f64| json!([name, [[100.0, at], [200.0, at / 2.0], [400.0, at / 3.0]]]);
    test["details"] = json!([
        { "kind": "confusion", "labels": labels, "counts": counts },
        { "kind": "forecast", "series": "OT", "times": (0..700).map(time).collect::<Vec<_>>(),
          "truth": wave(0.0), "forecast": wave(0.3) },
        { "kind": "curves", "x": "lag", "y": "mean squared error",
          "lines": [line("LSTM", 0.01), line("plain RNN", 0.17)] },
    ]);
    std::fs::write(path, test.to_string()).unwrap();
}

/// A page without what is drawn after the axes of its plots: their data.
fn without_data(page: &str) -> String {
    let mut has_axes = false;
    let mut text = String::new();
    for line in page.lines() {
        let line = line.trim_start();
        if line.starts_with("<svg") {
            has_axes = false;
        }
        let is_mark =
            ["<polyline", "<line", "<circle", "<rect"].iter().any(|mark| line.starts_with(mark));
        let is_grey = line.contains("#808080");
        has_axes |= is_mark && is_grey;
        if !(is_mark && has_axes && !is_grey) {
            text += &format!("{line}\n");
        }
    }
    text
}

#[test]
fn pages_have_marks_and_no_errors() {
    let Some(chromium) = chromium() else { return };
    let work = Workplace::new();
    work.train("run", &[]);
    // A plot with a legend, axes and nothing else is seen as one without data.
    let page = std::fs::read_to_string(work.path("run/report.html")).unwrap();
    std::fs::write(work.path("empty.html"), without_data(&page)).unwrap();
    let empty = open(&chromium, &work.path("empty.html"), false);
    assert_eq!(empty.plots.len(), 4);
    assert!(empty.plots.iter().all(|plot| plot.data == 0), "{empty:?}");
    work.train("other", &["--set", "train.learning_rate=0.03"]);
    // Loss, learning rate, predictions a second, perplexity.
    check(&chromium, &work.path("run/report.html"), 4, 0);
    work.printed(&["report", "run", "other", "--out", "both.html"]);
    // Training loss, loss, perplexity, seconds.
    check(&chromium, &work.path("both.html"), 4, 0);
    add_details(&work, "run");
    work.printed(&["report", "run"]);
    // Every cell of the table that is not 0, two plots of the forecast, one over lags.
    check(&chromium, &work.path("run/report.html"), 7, 17 * 17 - 42);
}

#[test]
fn the_page_of_a_comparison_has_marks_and_no_errors() {
    let Some(chromium) = chromium() else { return };
    let bench = crate::run::Bench::new();
    assert!(bench.output("run", &["--log-every", "10"]).status.success());
    check(&chromium, &bench.out("run").join("report.html"), 3, 0);
}
