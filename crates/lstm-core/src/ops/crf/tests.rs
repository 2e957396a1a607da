//! Tests of the chain against all paths, one by one.

use super::{Chain, ChainGradients, Sentences};

/// Sums of a few dozen numbers of size one in f64.
const TOLERANCE: f64 = 1e-12;

fn wave(n: usize, shift: f64) -> Vec<f64> {
    (0..n).map(|k| 2.0 * (k as f64 * 1.7 + shift).sin()).collect()
}

/// Transitions, start and end of a chain over some tags.
struct Numbers([Vec<f64>; 3]);

impl Numbers {
    fn new(n_tags: usize) -> Self {
        Self([wave(n_tags * n_tags, 0.3), wave(n_tags, 1.1), wave(n_tags, 2.2)])
    }

    fn chain(&self) -> Chain<'_, f64> {
        let [transitions, start, end] = &self.0;
        Chain { transitions, start, end }
    }
}

/// All paths of `len` tags, each with its score.
fn paths(chain: &Chain<'_, f64>, emissions: &[f64], len: usize) -> Vec<(Vec<u32>, f64)> {
    let n_tags = chain.start.len();
    let path = |code: usize| -> Vec<u32> {
        (0..len).map(|t| (code / n_tags.pow(t as u32) % n_tags) as u32).collect()
    };
    let score = |path: &[u32]| {
        let tag = |t: usize| path[t] as usize;
        let words = (0..len).map(|t| emissions[t * n_tags + tag(t)]).sum::<f64>();
        let pairs = (1..len).map(|t| chain.transitions[tag(t - 1) * n_tags + tag(t)]).sum::<f64>();
        chain.start[tag(0)] + words + pairs + chain.end[tag(len - 1)]
    };
    let paths = (0..n_tags.pow(len as u32)).map(path);
    paths.map(|path| (path.clone(), score(&path))).collect()
}

#[test]
fn losses_marginals_and_best_paths_equal_those_of_all_paths() {
    for n_tags in 1..5 {
        let numbers = Numbers::new(n_tags);
        let chain = numbers.chain();
        let lengths = [1, 4, 2, 5, 3, 1];
        let emissions = wave(16 * n_tags, 0.7);
        let sentences = Sentences { emissions: &emissions, lengths: &lengths };
        let tags: Vec<u32> = (0..16).map(|k| (k * 7 % 5 % n_tags) as u32).collect();
        let losses = chain.losses(&sentences, &tags, 1.0, None).unwrap();
        let marginals = chain.marginals(&sentences).unwrap();
        let best = chain.best(&sentences).unwrap();
        let mut first = 0;
        for (loss, len) in losses.into_iter().zip(lengths) {
            let words = first..first + len;
            let paths = paths(&chain, &emissions[first * n_tags..], len);
            let log_z = paths.iter().map(|(_, score)| score.exp()).sum::<f64>().ln();
            let (_, score) = paths.iter().find(|(path, _)| path == &tags[words.clone()]).unwrap();
            assert!((loss - (log_z - score)).abs() < TOLERANCE, "{loss} {}", log_z - score);
            for t in 0..len {
                for tag in 0..n_tags {
                    let here = paths.iter().filter(|(path, _)| path[t] as usize == tag);
                    let expected: f64 = here.map(|(_, score)| (score - log_z).exp()).sum();
                    let got = marginals[(first + t) * n_tags + tag];
                    assert!((got - expected).abs() < TOLERANCE, "{got} {expected}");
                }
            }
            let (path, _) = paths.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            assert_eq!(&best[words], path);
            first += len;
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    const STEP: f64 = 1e-5;
    let n_tags = 3;
    let lengths = [2, 1, 4, 3, 5];
    let tags: Vec<u32> = (0..15).map(|k| k * 5 % 7 % 3).collect();
    let Numbers([transitions, start, end]) = Numbers::new(n_tags);
    let mut numbers = [wave(15 * n_tags, 0.7), transitions, start, end];
    let scale = 0.3;
    let loss = |[emissions, transitions, start, end]: &[Vec<f64>; 4]| -> f64 {
        let chain = Chain { transitions, start, end };
        let sentences = Sentences { emissions, lengths: &lengths };
        scale * chain.losses(&sentences, &tags, scale, None).unwrap().iter().sum::<f64>()
    };
    let mut room = numbers.each_ref().map(|part| vec![f64::NAN; part.len()]);
    let [emissions, transitions, start, end] = room.each_mut().map(|part| &mut part[..]);
    let gradients = ChainGradients { emissions, transitions, start, end };
    let chain = Chain { transitions: &numbers[1], start: &numbers[2], end: &numbers[3] };
    let sentences = Sentences { emissions: &numbers[0], lengths: &lengths };
    let losses = chain.losses(&sentences, &tags, scale, Some(gradients)).unwrap();
    assert!((scale * losses.iter().sum::<f64>() - loss(&numbers)).abs() < TOLERANCE);
    for part in 0..4 {
        for k in 0..numbers[part].len() {
            let before = numbers[part][k];
            let mut at = |number| {
                numbers[part][k] = number;
                loss(&numbers)
            };
            let slope = (at(before + STEP) - at(before - STEP)) / (2.0 * STEP);
            at(before);
            let got = room[part][k];
            assert!((got - slope).abs() < 1e-9, "part {part}, {k}: {got} {slope}");
        }
    }
}

#[test]
fn large_scores_neither_overflow_nor_vanish() {
    // A path that is surer than another one by thousands, and one in single precision.
    let chain = Chain {
        transitions: &[0.0, -4000.0, -4000.0, 0.0],
        start: &[3000.0, -3000.0],
        end: &[0.0; 2],
    };
    let sentences = Sentences { emissions: &[-3000.0_f64, 3000.0, 0.0, 0.0], lengths: &[2] };
    let losses = chain.losses(&sentences, &[0, 0], 1.0, None).unwrap();
    assert!((losses[0] - 2_f64.ln()).abs() < TOLERANCE, "{losses:?}");
    let losses = chain.losses(&sentences, &[0, 1], 1.0, None).unwrap();
    assert!((losses[0] - (4000.0 + 2_f64.ln())).abs() < 1e-9, "{losses:?}");
    let chain = Chain { transitions: &[0.0; 4], start: &[0.0; 2], end: &[0.0; 2] };
    let emissions = [90.0_f32, -90.0, 90.0, -90.0];
    let sentences = Sentences { emissions: &emissions, lengths: &[2] };
    assert_eq!(chain.losses(&sentences, &[0, 0], 1.0, None).unwrap(), [0.0]);
    assert_eq!(chain.losses(&sentences, &[1, 0], 1.0, None).unwrap(), [180.0]);
}

#[test]
fn wrong_sizes_and_tags_are_refused() {
    let numbers = Numbers::new(2);
    let chain = numbers.chain();
    let emissions = wave(6, 0.0);
    let whole = Sentences { emissions: &emissions, lengths: &[1, 2] };
    assert!(chain.losses(&whole, &[0, 1, 0], 1.0, None).is_ok());
    let message = |tags: &[u32]| chain.losses(&whole, tags, 1.0, None).unwrap_err().to_string();
    assert!(message(&[0, 1, 2]).contains("tag of word 2: expected below 2"));
    assert!(message(&[0, 1]).contains("number of tags"));
    let bad: [(Chain<'_, f64>, &[usize]); 7] = [
        (chain, &[1, 0, 2]),
        (chain, &[usize::MAX, 4]),
        (chain, &[1, 3]),
        (chain, &[1, 1]),
        (Chain { end: &[0.0], ..chain }, &[1, 2]),
        (Chain { transitions: &[0.0; 3], ..chain }, &[1, 2]),
        (Chain { transitions: &[], start: &[], end: &[] }, &[]),
    ];
    for (chain, lengths) in bad {
        let sentences = Sentences { emissions: &emissions, lengths };
        assert!(chain.losses(&sentences, &[0, 1, 0], 1.0, None).is_err());
        assert!(chain.best(&sentences).is_err() && chain.marginals(&sentences).is_err());
    }
    let mut room = [[0.0; 6], [0.0; 6], [0.0; 6], [0.0; 6]];
    let [a, b, c, d] = room.each_mut();
    let gradients = ChainGradients {
        emissions: a,
        transitions: &mut b[..4],
        start: &mut c[..2],
        end: &mut d[..1],
    };
    let error = chain.losses(&whole, &[0, 1, 0], 1.0, Some(gradients)).unwrap_err().to_string();
    assert!(error.contains("end's gradient"), "{error}");
}
