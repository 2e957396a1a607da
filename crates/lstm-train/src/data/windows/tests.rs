//! Tests of the windows: small texts whose windows are written out by hand.

use super::*;

#[track_caller]
fn check(sentences: &[Vec<u32>], window: usize, expected: &[(&[u32], u32)]) {
    let windows = Windows::new(sentences, window).unwrap();
    let got: Vec<(&[u32], u32)> = windows.iter().collect();
    assert_eq!(got, expected);
    assert_eq!(windows.len(), expected.len());
    assert_eq!(windows.window(), window);
    assert_eq!(windows.inputs().len(), window * expected.len());
}

#[test]
fn a_long_sentence_gives_every_run() {
    let expected: [(&[u32], u32); 3] = [(&[SOS, 4], 5), (&[4, 5], 6), (&[5, 6], EOS)];
    check(&[vec![4, 5, 6]], 2, &expected);
}

#[test]
fn a_short_sentence_is_padded_to_one_window() {
    check(&[vec![4]], 5, &[(&[PAD, PAD, PAD, SOS, 4], EOS)]);
    check(&[vec![4]], 3, &[(&[PAD, SOS, 4], EOS)]);
    // One id longer than the window: no padding, and still one window.
    check(&[vec![4]], 2, &[(&[SOS, 4], EOS)]);
    check(&[vec![]], 3, &[(&[PAD, PAD, SOS], EOS)]);
    check(&[vec![]], 1, &[(&[SOS], EOS)]);
}

#[test]
fn windows_follow_the_text_and_cross_no_sentence() {
    let expected: [(&[u32], u32); 4] =
        [(&[SOS, 4, 5], EOS), (&[PAD, SOS, 6], EOS), (&[SOS, 7, 8], 9), (&[7, 8, 9], EOS)];
    check(&[vec![4, 5], vec![6], vec![7, 8, 9]], 3, &expected);
}

#[test]
fn batches_cover_all_windows_once() {
    let windows = Windows::new(&[vec![4, 5, 6, 7], vec![8, 9]], 2).unwrap();
    assert_eq!(windows.len(), 6);
    assert!(!windows.is_empty());
    for batch_size in 1..8 {
        let n_batches = windows.n_batches(batch_size);
        let batches = (0..n_batches).filter_map(|idx| windows.batch(idx, batch_size));
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for batch in batches {
            assert!((1..=batch_size).contains(&batch.targets.len()));
            inputs.extend_from_slice(batch.inputs);
            targets.extend_from_slice(batch.targets);
        }
        assert_eq!(inputs, windows.inputs());
        assert_eq!(targets, windows.targets());
        assert_eq!(windows.batch(n_batches, batch_size), None);
    }
    let last = windows.batch(1, 4).unwrap();
    assert_eq!(last.inputs, [SOS, 8, 8, 9]);
    assert_eq!(last.targets, [9, EOS]);
}

#[test]
fn impossible_batches_are_none() {
    let windows = Windows::new(&[vec![4, 5, 6]], 1).unwrap();
    assert_eq!(windows.n_batches(0), 0);
    assert_eq!(windows.n_batches(usize::MAX), 1);
    assert_eq!(windows.batch(0, 0), None);
    assert_eq!(windows.batch(usize::MAX, usize::MAX), None);
    assert_eq!(windows.batch(0, usize::MAX).unwrap().targets.len(), 4);
}

#[test]
fn impossible_windows_are_refused() {
    for window in [0, MAX_WINDOW + 1, usize::MAX] {
        let error = Windows::new(&[vec![4]], window).unwrap_err();
        assert!(error.to_string().starts_with("cut windows: "), "{error}");
    }
    let error = Windows::new(&[], 3).unwrap_err();
    assert!(error.to_string().contains("at least one sentence"));
}

#[test]
fn windows_that_would_fill_the_memory_are_refused() {
    // One window for each sentence, padded.
    let n_windows = MAX_NUMBERS / MAX_WINDOW + 1;
    let error = Windows::new(&vec![vec![4]; n_windows], MAX_WINDOW).unwrap_err().to_string();
    let pieces = ["at most 1073741824 ids", "got 16385 windows of 65536"];
    assert!(pieces.iter().all(|piece| error.contains(piece)), "{error}");
}
