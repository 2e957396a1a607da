//! Packed sequences: layout, there and back, gradients.

use candle_core::{Device, Tensor, Var};
use lstm_bi::{
    PackOptions, PadOptions, pack_padded_sequence, pack_sequence, pad_packed_sequence,
    pad_sequence, unpack_sequence, unpad_sequence,
};
use lstm_core::Lengths;
use proptest::prelude::*;

use crate::help::{close, numbers, random};

const UNSORTED: PackOptions = PackOptions { batch_first: false, enforce_sorted: false };

/// T, B, features and the length of each row.
fn any_batch() -> impl Strategy<Value = (usize, usize, Vec<usize>)> {
    (1..6_usize, 1..5_usize, 1..4_usize).prop_flat_map(|(n_steps, batch, features)| {
        (Just(n_steps), Just(features), prop::collection::vec(1..=n_steps, batch))
    })
}

/// 1 where a step of `[T, B, features]` is valid, 0 elsewhere.
fn valid(n_steps: usize, features: usize, lengths: &[usize]) -> Tensor {
    let row = |t| lengths.iter().map(move |&len| f64::from(u8::from(t < len)));
    let mask: Vec<f64> =
        (0..n_steps).flat_map(row).flat_map(|v| std::iter::repeat_n(v, features)).collect();
    Tensor::from_vec(mask, (n_steps, lengths.len(), features), &Device::Cpu).unwrap()
}

proptest! {
    #[test]
    fn padding_undoes_packing(
        (n_steps, features, lengths) in any_batch(),
        (batch_first, extra, padding_value) in (any::<bool>(), 0..3_usize, -2.0..2.0_f64),
    ) {
        let x = random("x", &[n_steps, lengths.len(), features]);
        let swap = |t: &Tensor| if batch_first { t.transpose(0, 1).unwrap() } else { t.clone() };
        let options = PackOptions { batch_first, ..UNSORTED };
        let rows = Lengths::new(lengths.clone());
        let packed = pack_padded_sequence(&swap(&x), &rows, options).unwrap();
        let longest = *lengths.iter().max().unwrap();
        let total = longest + extra;
        let options = PadOptions { batch_first, padding_value, total_length: Some(total) };
        let (padded, back) = pad_packed_sequence(&packed, options).unwrap();
        prop_assert_eq!(&back, &rows);
        let padded = numbers(&swap(&padded).contiguous().unwrap());
        let x = x.to_vec3::<f64>().unwrap();
        let mut expected = Vec::new();
        for t in 0..total {
            for (row, &len) in lengths.iter().enumerate() {
                let cell = if t < len { x[t][row].clone() } else { vec![padding_value; features] };
                expected.extend(cell);
            }
        }
        prop_assert_eq!(padded, expected);
        let (default, _) = pad_packed_sequence(&packed, PadOptions::default()).unwrap();
        prop_assert_eq!(default.dim(0).unwrap(), longest);
    }

    #[test]
    fn gradients_reach_valid_steps_alone((n_steps, features, lengths) in any_batch()) {
        let shape = [n_steps, lengths.len(), features];
        let x = Var::from_tensor(&random("x", &shape)).unwrap();
        let packed = pack_padded_sequence(&x, &Lengths::new(lengths.clone()), UNSORTED).unwrap();
        let options = PadOptions { total_length: Some(n_steps), ..PadOptions::default() };
        let (padded, _) = pad_packed_sequence(&packed, options).unwrap();
        let loss = random("loss", &shape);
        let gradients = padded.mul(&loss).unwrap().sum_all().unwrap().backward().unwrap();
        let expected = loss.mul(&valid(n_steps, features, &lengths)).unwrap();
        close(gradients.get(&x).unwrap(), &expected);
    }

    #[test]
    fn lists_come_back((_, features, lengths) in any_batch()) {
        let sequence = |(k, &len): (usize, &usize)| random(&format!("{k}"), &[len, features]);
        let sequences: Vec<Tensor> = lengths.iter().enumerate().map(sequence).collect();
        let back = unpack_sequence(&pack_sequence(&sequences, false).unwrap()).unwrap();
        prop_assert_eq!(back.len(), sequences.len());
        for (one, other) in sequences.iter().zip(&back) {
            close(one, other);
        }
        for batch_first in [false, true] {
            let options = PadOptions { batch_first, padding_value: 7.0, total_length: None };
            let (padded, rows) = pad_sequence(&sequences, options).unwrap();
            prop_assert_eq!(rows.rows(), &lengths[..]);
            let before = numbers(&padded);
            for (one, other) in sequences.iter().zip(unpad_sequence(&padded, &rows, batch_first).unwrap()) {
                close(one, &other);
            }
            prop_assert_eq!(before, numbers(&padded));
        }
    }
}

#[test]
fn the_layout_is_pytorchs() {
    // The example of PyTorch's documentation of pad_packed_sequence.
    let x = Tensor::new(&[[1_i64, 2, 0], [3, 0, 0], [4, 5, 6]], &Device::Cpu).unwrap();
    let options = PackOptions { batch_first: true, ..UNSORTED };
    let packed = pack_padded_sequence(&x, &Lengths::new(vec![2, 1, 3]), options).unwrap();
    assert_eq!(packed.data().to_vec1::<i64>().unwrap(), [4, 1, 3, 5, 2, 6]);
    assert_eq!(packed.batch_sizes(), [3, 2, 1]);
    assert_eq!(packed.sorted_indices(), Some(&[2, 0, 1][..]));
    assert_eq!(packed.unsorted_indices(), Some(&[1, 2, 0][..]));
    let options = PadOptions { batch_first: true, ..PadOptions::default() };
    let (padded, lengths) = pad_packed_sequence(&packed, options).unwrap();
    assert_eq!(padded.to_vec2::<i64>().unwrap(), [[1, 2, 0], [3, 0, 0], [4, 5, 6]]);
    assert_eq!(lengths.rows(), [2, 1, 3]);
}

#[test]
fn sorted_rows_need_no_indices_and_an_empty_sequence_can_be_padded() {
    let x = random("x", &[3, 2, 1]);
    let lengths = Lengths::new(vec![3, 3]);
    let packed = pack_padded_sequence(&x, &lengths, PackOptions::default()).unwrap();
    assert_eq!((packed.sorted_indices(), packed.unsorted_indices()), (None, None));
    assert_eq!((packed.n_steps(), packed.batch(), packed.lengths()), (3, 2, lengths));

    let sequences = [random("a", &[2, 3]), Tensor::zeros((0, 3), x.dtype(), x.device()).unwrap()];
    let (padded, lengths) = pad_sequence(&sequences, PadOptions::default()).unwrap();
    assert_eq!((padded.dims(), lengths.rows()), (&[2, 2, 3][..], &[2, 0][..]));
}
