//! Tests of the page: panels, marks, means, escaping; of the activity and the gradients.

use lstm_core::init::LstmInit;
use lstm_core::random::RandomStream;
use lstm_core::{LayerPlace, LstmConfig, LstmWeights};

use super::axis::Axis;
use super::heat::{HeatMap, Scale};
use super::lines::shares;
use super::page::Page;
use super::run::{Panel, gradient_norms, panels};

/// Something to escape, and an attempt to leave an attribute and an element.
const NASTY: &str = "<script>&\"'</text>";

/// Two layers of both directions.
fn layers(input: usize, hidden: usize) -> Vec<(LayerPlace, LstmWeights<f64>)> {
    let place = |k: usize| match k % 2 {
        0 => LayerPlace::forward(k / 2),
        _ => LayerPlace::reverse(k / 2),
    };
    let layer = |k: usize| {
        let config = LstmConfig::new(if k < 2 { input } else { 2 * hidden }, hidden);
        let stream = RandomStream::new(3).named(&place(k).suffix());
        (place(k), LstmInit::default().weights(config, stream).unwrap())
    };
    (0..4).map(layer).collect()
}

fn x(n_steps: usize, features: usize) -> Vec<f64> {
    (0..n_steps * features).map(|k| (k as f64 * 0.7).sin() * 2.0).collect()
}

fn page(n_steps: usize, hidden: usize, tokens: Vec<String>, facts: &[(String, String)]) -> String {
    let layers = layers(3, hidden);
    let x = x(n_steps, 3);
    let panels = panels(&layers, &x, n_steps).unwrap();
    let gradient = gradient_norms(&layers, &x, n_steps).unwrap();
    let axis = Axis { n_steps, tokens };
    Page { title: NASTY, facts, axis: &axis, panels: &panels, gradient: &gradient }.to_html()
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// The cells that the paths of every map cover.
fn cells(page: &str) -> Vec<usize> {
    let maps = page.split("class=\"map\"").skip(1).filter_map(|rest| rest.split("</g>").next());
    let length = |run: &str| run.split(['M', '"']).next().unwrap().parse::<usize>().unwrap();
    maps.map(|map| {
        map.split('h').skip(1).filter(|run| run.starts_with(char::is_numeric)).map(length).sum()
    })
    .collect()
}

#[test]
fn every_layer_and_direction_has_its_marks() {
    let tokens: Vec<String> = (0..7).map(|step| format!("{NASTY}{step}")).collect();
    let facts = [("text".to_owned(), NASTY.to_owned())];
    let page = page(7, 5, tokens, &facts);
    assert_eq!(count(&page, "<section class=\"panel\">"), 4);
    assert_eq!(count(&page, "<section class=\"gradient\">"), 1);
    for name in ["Layer 0, forward", "Layer 0, reverse", "Layer 1, forward", "Layer 1, reverse"] {
        assert_eq!(count(&page, &format!("<h2>{name}: 5 units</h2>")), 1, "{name}");
    }
    assert_eq!(cells(&page), vec![7 * 5; 4 * 6]);
    assert_eq!(count(&page, "<text class=\"token\""), 5 * 7);
    // Three gates by two bounds, and their samples in the legend; the gradient is one line more.
    assert_eq!(count(&page, "class=\"line low\""), 4 * 3);
    assert_eq!(count(&page, "class=\"line\""), 4 * (3 + 3) + 1);
    assert_eq!(count(&page, "<circle"), 7);
}

#[test]
fn texts_are_escaped_and_nothing_is_fetched() {
    let tokens = vec![NASTY.to_owned(), "\u{1}".to_owned(), " ".to_owned()];
    let page = page(3, 2, tokens, &[(NASTY.to_owned(), NASTY.to_owned())]);
    for part in ["<script", "src=", "href=", "url(", "@import", "http", "\u{1}", "&\"'"] {
        assert_eq!(count(&page, part), 0, "{part}");
    }
    assert!(page.contains("<title>&lt;script&gt;&amp;&quot;&#39;&lt;/text&gt;</title>"));
    assert_eq!(count(&page, ">␣</text>"), 5);
    assert_eq!(count(&page, "<svg"), count(&page, "</svg>"));
}

#[test]
fn large_runs_are_averaged_and_say_so() {
    let note = |page: &str| page.split("class=\"lead\">").nth(1).unwrap()[..400].to_owned();
    let wide = page(200, 512, Vec::new(), &[]);
    assert_eq!(cells(&wide), vec![200 * 64; 4 * 6]);
    assert!(wide.len() < 4_000_000, "{} bytes", wide.len());
    assert!(note(&wide).contains("a row is the mean of neighbours"));
    let long = page(600, 2, Vec::new(), &[]);
    assert_eq!(cells(&long), vec![200 * 2; 4 * 6]);
    assert!(note(&long).contains("Every column is the mean of 3 steps"));
    assert_eq!(count(&long, "<circle"), 200);
    assert!(!note(&page(9, 2, Vec::new(), &[])).contains("mean"));
}

#[test]
fn a_row_of_a_map_is_the_mean_of_its_units() {
    let draw = |values: &[f64], units: usize, n_steps: usize| {
        let axis = Axis { n_steps, tokens: Vec::new() };
        let scale = Scale::of_gate(values);
        let mut svg = String::new();
        HeatMap { title: "", values, units, scale }.draw(&mut svg, &axis, 0.0);
        svg.split("class=\"map\"").nth(1).unwrap().to_owned()
    };
    // Neighbours of 0 and 1 are ½ together, the colour in the middle.
    let stripes: Vec<f64> = (0..128).map(|unit| f64::from(unit % 2)).collect();
    let map = draw(&stripes, 128, 1);
    assert_eq!(count(&map, "<path"), 1);
    assert!(map.contains("stroke=\"#21918c\" d=\"M0 0h1M0 1h1"), "{map}");
    let map = draw(&[0.0, f64::NAN, 1.0], 1, 3);
    for run in ["#440154\" d=\"M0 0h1", "#808080\" d=\"M1 0h1", "#fde725\" d=\"M2 0h1"] {
        assert!(map.contains(run), "{run} in {map}");
    }
    assert_eq!(Scale::of_gate(&[0.0, -2.0]), Scale { low: -2.0, high: 2.0 });
    assert_eq!(Scale::of_cells(&[0.0; 3]), Scale { low: -1.0, high: 1.0 });
}

#[test]
fn saturation_counts_units_beyond_the_bounds() {
    let [low, high] = shares(&[0.05, 0.1, 0.5, 0.95, 0.0, 0.0, 0.9, 1.0], 4);
    assert_eq!(low, [0.25, 0.5]);
    assert_eq!(high, [0.25, 0.25]);
}

/// The sum of the squares of the last step's output.
fn loss(panels: &[Panel]) -> f64 {
    let last = |panel: &Panel| panel.h[panel.h.len() - panel.output..].to_vec();
    panels[2..].iter().flat_map(last).map(|h| h * h).sum()
}

#[test]
fn gradients_are_those_of_the_activity_that_is_drawn() {
    let (layers, n_steps) = (layers(3, 4), 6);
    let x = x(n_steps, 3);
    let slope = |k: usize| {
        let at = |shift: f64| {
            let mut x = x.clone();
            x[k] += shift;
            loss(&panels(&layers, &x, n_steps).unwrap())
        };
        (at(1e-5) - at(-1e-5)) / 2e-5
    };
    let slopes: Vec<f64> = (0..x.len()).map(slope).collect();
    let norms = gradient_norms(&layers, &x, n_steps).unwrap();
    assert_eq!(norms.len(), n_steps);
    for (norm, slopes) in norms.iter().zip(slopes.chunks(3)) {
        let measured = slopes.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
        assert!((norm - measured).abs() < 1e-8, "{norm} {measured}");
        assert!(*norm > 1e-6);
    }
}

#[test]
fn gates_and_cells_obey_the_equations() {
    let layers = layers(3, 4);
    let n_steps = 5;
    for panel in panels(&layers, &x(n_steps, 3), n_steps).unwrap() {
        let at = |values: &[f64], t: usize, unit: usize| values[t * 4 + unit];
        let is_forward = panel.place == LayerPlace::forward(panel.place.layer);
        for t in 0..n_steps {
            let before = if is_forward { t.checked_sub(1) } else { Some(t + 1) };
            let before = before.filter(|&before| before < n_steps);
            for unit in 0..4 {
                let [i, f, g, o] = panel.gates.each_ref().map(|gate| at(gate, t, unit));
                let c = f * before.map_or(0.0, |t| at(&panel.cells, t, unit)) + i * g;
                assert!((c - at(&panel.cells, t, unit)).abs() < 1e-12);
                assert!((o * c.tanh() - at(&panel.h, t, unit)).abs() < 1e-12);
            }
        }
    }
}
