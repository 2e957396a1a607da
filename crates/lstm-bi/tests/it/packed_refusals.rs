//! What packing refuses, in which words.

use candle_core::{DType, Tensor};
use lstm_bi::{
    PackOptions, PackedSequence, PadOptions, pack_padded_sequence, pack_sequence,
    pad_packed_sequence, pad_sequence, unpad_sequence,
};
use lstm_core::Lengths;

use crate::help::{random, refused};

fn pack(
    shape: &[usize],
    lengths: &[usize],
    enforce_sorted: bool,
) -> lstm_core::Result<PackedSequence> {
    let options = PackOptions { batch_first: false, enforce_sorted };
    pack_padded_sequence(&random("x", shape), &Lengths::new(lengths), options)
}

#[test]
fn bad_batches() {
    const OP: &str = "pack_padded_sequence";
    refused(pack(&[3], &[3], true), &[OP, "shape of input", "[T, B, ..]", "[3]"]);
    refused(
        pack(&[0, 2, 1], &[0, 0], true),
        &[OP, "shape of input", "no dimension of 0", "[0, 2, 1]"],
    );
    refused(pack(&[3, 2, 0], &[3, 2], true), &[OP, "no dimension of 0"]);
    refused(pack(&[3, 2, 1], &[3], true), &[OP, "number of lengths", "expected 2", "got 1"]);
    refused(pack(&[3, 2, 1], &[3, 0], true), &[OP, "length of row 1", "at least 1", "got 0"]);
    refused(pack(&[3, 2, 1], &[4, 2], true), &[OP, "length of row 0", "at most 3", "got 4"]);
    let sorted = ["length of row 1", "at most 2", "enforce_sorted", "got 3"];
    refused(pack(&[3, 2, 1], &[2, 3], true), &sorted);
    assert!(pack(&[3, 2, 1], &[2, 3], false).is_ok());
    let options = PackOptions { batch_first: true, ..PackOptions::default() };
    let refusal = pack_padded_sequence(&random("x", &[3]), &Lengths::new(vec![3]), options);
    refused(refusal, &["[B, T, ..]"]);
}

#[test]
fn bad_parts() {
    const OP: &str = "PackedSequence::new";
    let new = |rows: usize, sizes: &[usize], sorted: Option<&[usize]>| {
        PackedSequence::new(random("x", &[rows, 2]), sizes, sorted.map(<[usize]>::to_vec))
    };
    refused(new(3, &[], None), &[OP, "number of batch sizes", "at least 1"]);
    refused(new(3, &[1, 2], None), &[OP, "batch sizes", "never rising", "[1, 2]"]);
    refused(new(3, &[3, 0], None), &[OP, "batch sizes", "at least 1"]);
    refused(new(4, &[2, 1], None), &[OP, "shape of data", "[3, ..]", "[4, 2]"]);
    refused(new(3, &[usize::MAX, 4], None), &[OP, "shape of data"]);
    for sorted in [&[0][..], &[0, 0], &[0, 2], &[1, 0, 1]] {
        refused(new(3, &[2, 1], Some(sorted)), &[OP, "sorted indices", "each of 0 to 1 once"]);
    }
    let packed = new(3, &[2, 1], Some(&[1, 0])).unwrap();
    refused(packed.with_data(random("x", &[4, 2])), &["PackedSequence::with_data", "3", "4"]);
    let options = PadOptions { total_length: Some(1), ..PadOptions::default() };
    let words = ["pad_packed_sequence", "total_length", "at least 2", "got 1"];
    refused(pad_packed_sequence(&packed, options), &words);
}

#[test]
fn bad_lists() {
    const OP: &str = "pad_sequence";
    let pad = |sequences: &[Tensor]| pad_sequence(sequences, PadOptions::default());
    refused(pad(&[]), &[OP, "number of sequences", "at least 1", "got 0"]);
    refused(pad(&[random("a", &[])]), &[OP, "shape of sequence 0", "[L, ..]", "[]"]);
    let one = random("a", &[2, 3]);
    let wide = random("b", &[2, 4]);
    refused(pad(&[one.clone(), wide]), &[OP, "features of sequence 1", "[3]", "[4]"]);
    let single = one.to_dtype(DType::F32).unwrap();
    refused(pad(&[one.clone(), single]), &[OP, "dtype of sequence 1", "F64", "F32"]);
    let empty = one.narrow(0, 0, 0).unwrap();
    refused(pad(std::slice::from_ref(&empty)), &[OP, "number of steps", "at least 1", "got 0"]);
    let short = PadOptions { total_length: Some(1), ..PadOptions::default() };
    refused(
        pad_sequence(std::slice::from_ref(&one), short),
        &[OP, "number of steps", "at least 2", "got 1"],
    );
    refused(pack_sequence(&[one.clone(), empty], true), &["length of row 1", "at least 1"]);

    let unpad =
        |lengths: &[usize]| unpad_sequence(&random("x", &[3, 2, 1]), &Lengths::new(lengths), false);
    refused(unpad(&[3]), &["unpad_sequence", "number of lengths", "expected 2", "got 1"]);
    refused(unpad(&[3, 4]), &["unpad_sequence", "length of row 1", "at most 3", "got 4"]);
}
