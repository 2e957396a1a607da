//! Tests of the report: marks in every plot, escaping, odd numbers, `table.json`.

use super::Curve;
use super::report::Report;
use super::table::{ModelRow, Table};

/// Headings of the three plots.
const PLOTS: [&str; 3] = ["Training loss", "Validation perplexity", "Seconds an epoch"];

/// Something to escape, and an attempt to leave an attribute and an element.
const NASTY: &str = "<script>&\"'</title>";

const N_EPOCHS: u64 = 5;

fn row(model: &str, test_loss: f64) -> ModelRow {
    ModelRow {
        model: model.to_owned(),
        parameters: 1_234_567,
        epoch_seconds: vec![12.5, 12.0, 11.5, 12.0, 12.0],
        valid_loss: (0..N_EPOCHS).map(|epoch| test_loss + 1.0 / (epoch + 1) as f64).collect(),
        test_loss,
        test_ppl: test_loss.exp(),
    }
}

fn curve(model: &str, offset: f64) -> Curve {
    let loss = |step: u64| 5.2 + offset + 1.3 * (-(step as f64) / 200.0).exp();
    Curve {
        model: model.to_owned(),
        train: (1..=600).map(|step| (step, loss(step))).collect(),
        valid: (1..=N_EPOCHS).map(|epoch| (epoch * 120, loss(epoch * 120))).collect(),
    }
}

fn table(limit_ppl: Option<f64>) -> Table {
    Table { limit_ppl, models: vec![row("lstm", 5.3), row("bilstm", 5.1), row("hand-lstm", 5.3)] }
}

fn curves() -> Vec<Curve> {
    vec![curve("lstm", 0.0), curve("bilstm", -0.2), curve("hand-lstm", 0.0)]
}

#[track_caller]
fn page(table: &Table, curves: &[Curve]) -> String {
    Report { title: "Runs", settings: &[], table, curves }.to_html().unwrap()
}

/// The SVG below a heading, if the page has one there.
fn plot<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("<h2>{heading}</h2>"))?;
    let (section, _) = rest.split_once("</section>")?;
    let (_, rest) = section.split_once("<svg")?;
    Some(rest.split_once("</svg>")?.0)
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// How many solid lines through many points: axes, ticks and dashes have only a few.
fn long_lines(svg: &str, at_least: usize) -> usize {
    let points = svg.split("points=\"").skip(1).filter_map(|rest| rest.split('"').next());
    points.filter(|points| count(points, ",") >= at_least).count()
}

#[test]
fn every_plot_has_marks() {
    let page = page(&table(None), &curves());
    let [training, validation, seconds] = PLOTS.map(|heading| plot(&page, heading).unwrap());
    // The third pen is dashed, so two lines are whole and one is in many pieces.
    assert_eq!(long_lines(training, 600), 2);
    assert!(count(training, "stroke=\"#E69F00\"") > 30);
    assert_eq!(count(training, "<circle"), 0);
    assert_eq!(long_lines(validation, 5), 2);
    assert_eq!(count(validation, "<circle"), 3 * N_EPOCHS as usize);
    assert_eq!(count(seconds, "<rect"), 3);
    assert_eq!(count(seconds, "<circle"), 3 * N_EPOCHS as usize);
}

#[test]
fn legends_name_every_model() {
    let page = page(&table(None), &curves());
    for heading in PLOTS {
        let svg = plot(&page, heading).unwrap();
        for model in ["lstm", "bilstm", "hand-lstm"] {
            assert_eq!(count(svg, &format!("\n{model}\n")), 1, "{model} in {heading}");
        }
    }
}

#[test]
fn long_runs_stay_small() {
    let mut long = curve("lstm", 0.0);
    long.train = (1..=100_000).map(|step| (step, 5.0 + 1.0 / step as f64)).collect();
    let page = page(&table(None), &[long]);
    assert_eq!(long_lines(plot(&page, "Training loss").unwrap(), 800), 1);
    assert!(page.len() < 100_000, "{} bytes", page.len());
}

#[test]
fn limit_is_drawn_only_when_known() {
    let known = page(&table(Some(92.4)), &curves());
    let unknown = page(&table(None), &curves());
    let label = |page: &str| count(plot(page, "Validation perplexity").unwrap(), "limit 92.40");
    assert_eq!((label(&known), label(&unknown)), (1, 0));
    let dashes = |page: &str| {
        let svg = plot(page, "Validation perplexity").unwrap();
        svg.lines().filter(|line| line.contains("<polyline") && line.contains("#808080")).count()
    };
    assert!(dashes(&known) > dashes(&unknown) + 20);
    assert_eq!(count(&known, "ratio to limit"), 1);
    assert_eq!(count(&unknown, "ratio to limit"), 0);
    assert!(known.contains("no model can beat a perplexity of 92.40"));
}

#[test]
fn text_is_escaped() {
    let table = Table { limit_ppl: None, models: vec![row(NASTY, 5.0)] };
    let settings = [(NASTY.to_owned(), NASTY.to_owned())];
    let curves = [curve(NASTY, 0.0)];
    let report = Report { title: NASTY, settings: &settings, table: &table, curves: &curves };
    let page = report.to_html().unwrap();
    assert_eq!(count(&page, "<script"), 0);
    assert_eq!(count(&page, "</title>"), 1);
    // Title twice, lead, row, both cells of the setting; the plots escape the quote otherwise.
    assert_eq!(count(&page, "&lt;script&gt;&amp;&quot;&#39;&lt;/title&gt;"), 6);
    assert_eq!(count(&page, "&lt;script&gt;&amp;&quot;&apos;&lt;/title&gt;"), 3);
}

#[test]
fn page_needs_nothing_else() {
    let page = page(&table(Some(92.4)), &curves());
    for part in ["<script", "<link", "src=", "href=", "url(", "@import"] {
        assert_eq!(count(&page, part), 0, "{part}");
    }
    assert_eq!(count(&page, "http"), count(&page, "xmlns=\"http://www.w3.org/2000/svg\""));
}

#[test]
fn best_test_perplexity_is_marked() {
    let page = page(&table(None), &curves());
    let best = page.lines().find(|line| line.contains(">best<")).unwrap();
    assert!(best.contains("<th scope=\"row\">bilstm</th>"));
    assert!(best.contains("<strong>164.02</strong>"));
    assert_eq!(count(&page, ">best<"), 1);
}

#[test]
fn empty_inputs_give_a_page() {
    let empty = Table { limit_ppl: None, models: Vec::new() };
    let page = page(&empty, &[]);
    assert_eq!(PLOTS.map(|heading| plot(&page, heading)), [None; 3]);
    assert_eq!(count(&page, "Nothing to plot."), 3);

    let no_epoch = ModelRow { epoch_seconds: Vec::new(), valid_loss: Vec::new(), ..row("a", 5.0) };
    let table = Table { limit_ppl: Some(90.0), models: vec![no_epoch] };
    let no_point = Curve { model: "a".to_owned(), train: Vec::new(), valid: Vec::new() };
    let page = self::page(&table, &[no_point]);
    assert_eq!(count(&page, "Nothing to plot."), 3);
    assert_eq!(count(&page, "<td>-</td>"), 3);
}

/// Numbers no run should give, alone and beside good ones: always a page, never a panic.
#[test]
fn odd_numbers_give_a_page() {
    let odd = [f64::NAN, f64::INFINITY, -f64::INFINITY, f64::MAX, -1.0, 0.0, 1e-300, 1e11, 800.0];
    for value in odd {
        let mut bad = row("bad", value);
        bad.epoch_seconds = vec![value, 3.0, value];
        bad.valid_loss = vec![value];
        let alone =
            Curve { model: "bad".to_owned(), train: vec![(1, value)], valid: vec![(1, value)] };
        let mut mixed = curve("lstm", 0.0);
        mixed.train.push((u64::MAX, value));
        mixed.train.push((601, value));
        mixed.valid.push((u64::MAX, value));
        for limit in [None, Some(value), Some(92.4)] {
            let table = Table { limit_ppl: limit, models: vec![row("lstm", 5.0), bad.clone()] };
            let page = page(&table, &[mixed.clone(), alone.clone()]);
            assert!(plot(&page, "Training loss").is_some(), "{value}");
            assert_eq!(count(&page, "NaN") + count(&page, ">inf"), 0, "{value}");
            assert!(table.to_text().contains("lstm"));
            self::page(
                &Table { limit_ppl: limit, models: vec![bad.clone()] },
                std::slice::from_ref(&alone),
            );
        }
    }
}

/// Values a rounding apart must not leave an axis without room for ticks.
#[test]
fn level_curves_give_a_page() {
    for level in [0.0, 1e-12, 5.2, 1e11] {
        let next = f64::from_bits(f64::to_bits(level) + 1);
        let mut flat = curve("lstm", 0.0);
        flat.train = vec![(1, level), (2, next), (3, level)];
        assert!(plot(&page(&table(None), &[flat]), "Training loss").is_some(), "{level}");
    }
}

#[test]
fn text_table_is_aligned() {
    let text = table(Some(100.0)).to_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7);
    assert!(lines[..5].iter().all(|line| line.len() == lines[0].len()), "{text}");
    assert!(lines[2].starts_with("lstm  "));
    let cells: Vec<&str> = lines[3].split_whitespace().collect();
    let expected =
        ["bilstm", "1,234,567", "12.00", "5.3000", "200.34", "5.1000", "164.02", "1.640"];
    assert_eq!(cells, expected);
    assert_eq!(lines[6], "Limit: no model can beat a perplexity of 100.00.");
    assert!(table(None).to_text().ends_with("is not known here.\n"));
}

#[test]
fn table_goes_through_json() {
    for limit in [None, Some(92.5)] {
        let mut table = table(limit);
        // Reading may be off in the last bit without the feature `float_roundtrip`: numbers here
        // are short enough to be exact.
        for row in &mut table.models {
            row.test_ppl = row.test_ppl.round();
            row.valid_loss = vec![6.5, 5.25];
        }
        let json = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<Table>(&json).unwrap(), table);
    }
    let row = ModelRow {
        model: "lstm".to_owned(),
        parameters: 7,
        epoch_seconds: vec![1.5],
        valid_loss: vec![2.5],
        test_loss: 3.5,
        test_ppl: 4.5,
    };
    let json = serde_json::to_string(&Table { limit_ppl: None, models: vec![row] }).unwrap();
    let expected = "{\"limit_ppl\":null,\"models\":[{\"model\":\"lstm\",\"parameters\":7,\
                    \"epoch_seconds\":[1.5],\"valid_loss\":[2.5],\"test_loss\":3.5,\
                    \"test_ppl\":4.5}]}";
    assert_eq!(json, expected);
}

#[test]
fn diverged_run_goes_through_json() {
    let mut diverged = row("lstm", f64::NAN);
    diverged.valid_loss = vec![5.0, f64::NAN];
    let json = serde_json::to_string(&Table { limit_ppl: None, models: vec![diverged] }).unwrap();
    let back: Table = serde_json::from_str(&json).unwrap();
    assert!(back.models[0].test_ppl.is_nan());
    assert_eq!(back.models[0].valid_loss[0], 5.0);
    assert!(back.models[0].valid_loss[1].is_nan());
}
