//! An input of few rows that many cells read is the input of every cell, in answers and gradients.

use candle_core::{DType, Device, Tensor};
use lstm_candle::CandleLstm;
use lstm_conformance::{Case, largest_error, tolerance};
use lstm_core::random::RandomStream;
use lstm_core::{
    LayerPlace, Lstm, LstmConfig, LstmLayer, Memory, RowIds, SeqOptions, SeqOutput, parallel,
    tensors,
};
use lstm_hand::{HandLstm, HandRnn};
use proptest::prelude::*;

use crate::last_output::answer;
use crate::subjects;

/// The table in the place of the case's input, and what its cells read: padding reads a row of NaN.
fn share(case: &mut Case, n_rows: usize, seed: u64) -> RowIds {
    let (n_steps, batch, features) = case.x.dims3().unwrap();
    let stream = RandomStream::new(seed);
    let n_numbers = n_rows * features;
    let numbers = (0..n_numbers as u64).map(|k| 2.0 * stream.named("rows").uniform(k) - 1.0);
    let nan = std::iter::repeat_n(f64::NAN, features);
    let table = Tensor::from_iter(numbers.chain(nan), &Device::Cpu).unwrap();
    let table = table.reshape((n_rows + 1, features)).unwrap();
    case.x = table.to_dtype(case.dtype).unwrap();
    let id = |cell: usize| {
        let lengths = case.lengths.as_ref().map(|lengths| lengths.rows());
        match lengths.is_none_or(|rows| cell / batch < rows[cell % batch]) {
            true => (stream.uniform(cell as u64) * n_rows as f64) as u32,
            false => n_rows as u32,
        }
    };
    RowIds::new(n_steps, batch, (0..n_steps * batch).map(id).collect::<Vec<_>>()).unwrap()
}

/// Output and state in one tensor.
fn all_of(out: SeqOutput) -> Tensor {
    let parts = [out.output, out.state.h, out.state.c].map(|t| t.flatten_all().unwrap());
    Tensor::cat(&parts, 0).unwrap()
}

/// Runs the case's layers over the rows, and over the input of every cell made from them.
#[track_caller]
fn is_the_input_of_every_cell<L: LstmLayer + 'static>(case: &Case, ids: &RowIds) {
    let run = |lstm: &dyn Lstm, input: &Tensor, options: &SeqOptions<'_>, last| match last {
        true => lstm.last_output(input, options).unwrap(),
        false => all_of(lstm.seq(input, options).unwrap()),
    };
    for last in [false, true] {
        let apart = answer::<L>(case, |lstm, table, options| {
            run(lstm, &tensors::input_of_cells(table, Some(ids)).unwrap(), options, last)
        });
        let shared = answer::<L>(case, |lstm, table, options| {
            run(lstm, table, &SeqOptions { ids: Some(ids), ..*options }, last)
        });
        let (error, worst) = largest_error(&shared, &apart).unwrap();
        let allowed = 20.0 * tolerance(case.dtype);
        assert!(error <= allowed, "{}, last: {last}, {worst}: {error:e}", L::NAME);
    }
}

fn any_rows() -> impl Strategy<Value = (usize, u64)> {
    (prop_oneof![1..4_usize, 4..40_usize], any::<u64>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn of_any_stack_in_any_memory((mut case, rows) in (subjects::any_case(), any_rows()), kept in 0..3) {
        let ids = share(&mut case, rows.0, rows.1);
        case.memory = [Memory::KeepGates, Memory::RecomputeGates, Memory::Checkpoints][kept as usize];
        is_the_input_of_every_cell::<HandLstm>(&case, &ids);
        if case.memory != Memory::RecomputeGates {
            is_the_input_of_every_cell::<CandleLstm>(&case, &ids);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(15))]

    #[test]
    fn of_any_cell_and_direction((mut case, rows) in (subjects::any_large(DType::F64), any_rows())) {
        let ids = share(&mut case, rows.0, rows.1);
        is_the_input_of_every_cell::<HandLstm>(&case, &ids);
        is_the_input_of_every_cell::<CandleLstm>(&case, &ids);
    }
}

/// 37 rows, 9 steps, 50 rows that they share.
fn large(seed: u64) -> (Case, RowIds) {
    let config = lstm_bi::StackedConfig::new(LstmConfig::new(40, 65)).with_layers(2);
    let mut case = lstm_conformance::random_case(config, (9, 37), DType::F32, seed).unwrap();
    let ids = share(&mut case, 50, seed);
    (case, ids)
}

/// Outputs have the same bits with rows as without, and everything has on any number of threads.
#[test]
fn of_several_blocks_in_f32_to_the_bit() {
    for memory in [Memory::KeepGates, Memory::RecomputeGates, Memory::Checkpoints] {
        let (mut case, ids) = large(5);
        case.memory = memory;
        same_bits(&case, &ids);
    }
}

/// Few rows of the batch and many features: the only block's cells are cut for all threads.
#[test]
fn of_one_block_in_f32_to_the_bit() {
    let config = lstm_bi::StackedConfig::new(LstmConfig::new(200, 150));
    let mut case = lstm_conformance::random_case(config, (200, 5), DType::F32, 3).unwrap();
    let ids = share(&mut case, 30, 4);
    same_bits(&case, &ids);
}

#[track_caller]
fn same_bits(case: &Case, ids: &RowIds) {
    let shared = || {
        answer::<HandLstm>(case, |lstm, table, options| {
            all_of(lstm.seq(table, &SeqOptions { ids: Some(ids), ..*options }).unwrap())
        })
    };
    let apart = answer::<HandLstm>(case, |lstm, table, options| {
        let cells = tensors::input_of_cells(table, Some(ids)).unwrap();
        all_of(lstm.seq(&cells, options).unwrap())
    });
    let bits = |t: &Tensor| tensors::to_vec::<f32>(&t.detach()).unwrap();
    let one = parallel::with_threads(1, shared);
    assert_eq!(bits(&one["output"]), bits(&apart["output"]));
    for n_threads in [2, 5] {
        let other = parallel::with_threads(n_threads, shared);
        for (name, tensor) in &one {
            assert!(bits(tensor) == bits(&other[name]), "{name}, {n_threads} threads");
        }
    }
}

/// Longer than candle's graph may be deep: several graphs without a gradient, segments with one.
#[test]
fn of_long_sequences_on_candle() {
    let config = lstm_bi::StackedConfig::new(LstmConfig::new(3, 4));
    let mut case = lstm_conformance::random_case(config, (150, 2), DType::F64, 8).unwrap();
    let ids = share(&mut case, 7, 9);
    is_the_input_of_every_cell::<CandleLstm>(&case, &ids);
    let weights = case.weights.iter().cloned().collect();
    let vb = candle_nn::VarBuilder::from_tensors(weights, case.dtype, &Device::Cpu);
    let lstm = CandleLstm::new(&LstmConfig::new(3, 4), vb).unwrap();
    let options = SeqOptions { ids: Some(&ids), ..SeqOptions::default() };
    let cells = tensors::input_of_cells(&case.x, Some(&ids)).unwrap();
    let (shared, apart) = (lstm.seq(&case.x, &options).unwrap(), lstm.forward(&cells).unwrap());
    let difference = (shared.output - apart).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f64>().unwrap() < 1e-14);
}

/// A table is neither `[T, I]` nor `[B, T, I]`, whatever the layout.
#[test]
fn of_pytorchs_layer_in_either_layout() {
    for batch_first in [false, true] {
        let variables = candle_nn::VarMap::new();
        let vb = candle_nn::VarBuilder::from_varmap(&variables, DType::F64, &Device::Cpu);
        let config = lstm_bi::TorchLstmConfig::new(3, 4).with_batch_first(batch_first);
        let lstm = config.build::<HandLstm>(vb).unwrap();
        let table = Tensor::arange(0.0, 15.0, &Device::Cpu).unwrap().reshape((5, 3)).unwrap();
        let table = table.t().unwrap().contiguous().unwrap().t().unwrap();
        let ids = RowIds::new(3, 2, [4, 0, 0, 4, 2, 0]).unwrap();
        let state = Tensor::arange(0.0, 8.0, &Device::Cpu).unwrap().reshape((1, 2, 4)).unwrap();
        let state = lstm_core::LstmState { h: state.clone(), c: state };
        let options = SeqOptions { initial: Some(&state), ..SeqOptions::default() };
        let cells = tensors::input_of_cells(&table, Some(&ids)).unwrap();
        let cells = if batch_first { cells.transpose(0, 1).unwrap() } else { cells };
        let apart = all_of(lstm.run(&cells, &options).unwrap());
        let options = SeqOptions { ids: Some(&ids), ..options };
        let shared = all_of(lstm.run(&table, &options).unwrap());
        let numbers = |t: &Tensor| tensors::to_vec::<f64>(&t.detach()).unwrap();
        assert_eq!(numbers(&shared), numbers(&apart));
        let error = lstm.run(&cells, &options).unwrap_err().to_string();
        assert!(error.contains("TorchLstm::run") && error.contains("[N, 3]"), "{error}");
    }
}

/// What nothing is tracked of runs on other paths; a plain RNN has the same inputs.
#[test]
fn of_constants_and_of_the_plain_recurrent_layer() {
    let (case, ids) = large(7);
    let weights = case.weights.iter().cloned().collect();
    let vb = candle_nn::VarBuilder::from_tensors(weights, case.dtype, &Device::Cpu);
    let cells = tensors::input_of_cells(&case.x, Some(&ids)).unwrap();
    let check = |lstm: &dyn Lstm| {
        let options = SeqOptions { ids: Some(&ids), ..SeqOptions::default() };
        let (shared, apart) = (
            all_of(lstm.seq(&case.x, &options).unwrap()),
            all_of(lstm.seq(&cells, &SeqOptions::default()).unwrap()),
        );
        let difference = (shared - apart).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-6);
    };
    check(&HandLstm::new(&LstmConfig::new(40, 65), vb.clone()).unwrap());
    check(&CandleLstm::new(&LstmConfig::new(40, 65), vb).unwrap());
    let variables = candle_nn::VarMap::new();
    let vb = candle_nn::VarBuilder::from_varmap(&variables, case.dtype, &Device::Cpu);
    check(&HandRnn::new(&LstmConfig::new(40, 65), vb).unwrap());
}

#[test]
fn ids_that_are_no_rows_and_inputs_that_are_no_table_are_refused() {
    let (case, ids) = large(9);
    let weights = case.weights.iter().cloned().collect();
    let vb = candle_nn::VarBuilder::from_tensors(weights, case.dtype, &Device::Cpu);
    let lstm = HandLstm::new(&LstmConfig::new(40, 65), vb).unwrap();
    let refused = |input: &Tensor, ids: &RowIds| {
        let options = SeqOptions { ids: Some(ids), ..SeqOptions::default() };
        let error = lstm.seq(input, &options).unwrap_err().to_string();
        assert_eq!(lstm.last_output(input, &options).unwrap_err().to_string(), error);
        error
    };
    let error = refused(&case.x.narrow(0, 0, 3).unwrap(), &ids);
    assert!(error.contains("id of cell") && error.contains("below 3"), "{error}");
    let error = refused(&case.x.unsqueeze(0).unwrap(), &ids);
    assert!(error.contains("[N, 40]"), "{error}");
    let error = refused(&case.x, &RowIds::new(0, 3, []).unwrap());
    assert!(error.contains("number of steps"), "{error}");
    let error = refused(&case.x.narrow(1, 0, 39).unwrap(), &ids);
    assert!(error.contains("last dimension of input"), "{error}");
    // Of a step, too, that the last output of a reverse layer does not depend on.
    let variables = candle_nn::VarMap::new();
    let vb = candle_nn::VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let reverse = HandLstm::build(&LstmConfig::new(40, 65), LayerPlace::reverse(0), vb).unwrap();
    let mut bad = ids.ids().to_vec();
    bad[3] = 51;
    let (n_steps, batch) = ids.dims();
    let bad = RowIds::new(n_steps, batch, bad).unwrap();
    let options = SeqOptions { ids: Some(&bad), ..SeqOptions::default() };
    let error = reverse.last_output(&case.x, &options).unwrap_err().to_string();
    assert!(error.contains("id of cell 3") && error.contains("below 51"), "{error}");
    let error = lstm.seq(&case.x, &SeqOptions::default()).unwrap_err().to_string();
    assert!(error.contains("[T, B, 40]"), "{error}");
}
