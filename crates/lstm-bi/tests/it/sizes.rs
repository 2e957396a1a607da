//! Sizes that no memory has, parts on two devices and dropout without a place: errors by name, no panic.

use candle_core::{CudaDevice, DType, Device, Tensor};
use candle_nn::VarMap;
use lstm_bi::{
    Bidirectional, Directions, LayerwiseConfig, Merge, PackOptions, PackedSequence, PadOptions,
    StackLayer, Stacked, StackedConfig, StateLayout, StatePart, TorchLstmConfig,
    pack_padded_sequence, pad_packed_sequence, pad_sequence,
};
use lstm_core::{
    LayerPlace, Lengths, Lstm, LstmConfig, LstmLayer, LstmState, Result, SeqOptions, SeqOutput,
};
use lstm_hand::HandLstm;

use crate::help::{random, refused, variables};

const HUGE: usize = usize::MAX;

fn layer(place: LayerPlace, input: usize) -> HandLstm {
    HandLstm::build(&LstmConfig::new(input, 4), place, variables(&VarMap::new())).unwrap()
}

/// A layer that says to be on another device.
#[derive(Debug, Clone)]
struct Elsewhere(HandLstm, Device);

impl Lstm for Elsewhere {
    fn input_size(&self) -> usize {
        self.0.input_size()
    }
    fn hidden_size(&self) -> usize {
        self.0.hidden_size()
    }
    fn h_size(&self) -> usize {
        self.0.h_size()
    }
    fn output_size(&self) -> usize {
        self.0.output_size()
    }
    fn state_rows(&self) -> usize {
        self.0.state_rows()
    }
    fn dtype(&self) -> DType {
        self.0.dtype()
    }
    fn device(&self) -> &Device {
        &self.1
    }
    fn seq(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<SeqOutput> {
        self.0.seq(input, options)
    }
}

#[test]
fn parts_on_two_devices() {
    let here = Elsewhere(layer(LayerPlace::forward(0), 4), Device::Cpu);
    let there = Elsewhere(layer(LayerPlace::reverse(0), 4), Device::Cuda(CudaDevice));
    let both = Bidirectional::from_parts(here.clone(), there.clone(), Merge::Sum);
    refused(both.map(drop), &["Bidirectional::from_parts", "device of the reverse part", "Cpu"]);
    let stack = Stacked::from_layers(vec![here.clone(), here, there], 0.0, "");
    refused(stack.map(drop), &["Stacked::from_layers", "device of layer 2", "Cpu", "Cuda"]);
}

#[test]
fn dropout_that_has_no_place() {
    let one = vec![layer(LayerPlace::forward(0), 3)];
    let stack = Stacked::from_layers(one, 0.5, "");
    refused(stack.map(drop), &["Stacked::from_layers", "0 for a single layer", "got 0.5"]);
}

#[test]
fn sizes_and_numbers_of_layers() {
    let build = |config: TorchLstmConfig| config.build::<HandLstm>(variables(&VarMap::new()));
    let words = ["sizes", "fit the address space"];
    for (input, hidden) in [(3, HUGE), (HUGE, 4), (3, HUGE / 2 + 1)] {
        let config = TorchLstmConfig::new(input, hidden);
        for both in [false, true] {
            refused(build(config.with_bidirectional(both)), &words);
            refused(build(config.with_bidirectional(both).with_num_layers(2)), &words);
        }
    }
    for layers in [HUGE, HUGE / 64] {
        let config = TorchLstmConfig::new(3, 4).with_num_layers(layers);
        let words = ["number of layers", "fit the address space", &layers.to_string()];
        refused(build(config), &words);
        refused(build(config.with_bidirectional(true)), &words);
    }
    let stack = StackedConfig::new(LstmConfig::new(3, 4)).with_layers(2);
    assert!(stack.with_directions(Directions::Both(Merge::Concat)).check().is_ok());
    let wide = StackLayer {
        config: LstmConfig::new(3, HUGE),
        directions: Directions::Both(Merge::Concat),
    };
    assert_eq!(wide.output_size(), HUGE);
    let wide = LayerwiseConfig::new([wide, StackLayer::forward(LstmConfig::new(3, 4))]);
    assert_eq!(wide.state_layout().h_size(), HUGE);
    refused(wide.build::<HandLstm>(variables(&VarMap::new())), &words);
}

#[test]
fn layouts_of_states() {
    let part = |rows, size| StatePart { rows, h_size: size, hidden_size: size };
    let state = LstmState { h: random("h", &[1, 2, 3]), c: random("c", &[1, 2, 3]) };
    for parts in
        [[part(HUGE, 2), part(2, 2)], [part(2, HUGE), part(1, 3)], [part(HUGE, 2), part(1, 3)]]
    {
        let layout = StateLayout::new(parts);
        assert!(layout.rows() == HUGE || layout.h_size() == HUGE && layout.hidden_size() == HUGE);
        refused(layout.split(&state), &["StateLayout::split", "shape of state h", "[1, 2, 3]"]);
        let states = [state.clone(), state.clone()];
        refused(layout.join(&states), &["StateLayout::join", "shape of state h", "[1, 2, 3]"]);
    }
}

#[test]
fn lengths_of_padded_batches() {
    let x = random("x", &[4, 2, 3]);
    let options = PackOptions::default();
    let packed = pack_padded_sequence(&x, &Lengths::new(vec![4, 2]), options).unwrap();
    for total in [HUGE, HUGE / 2, HUGE / 16, 1 << 58] {
        let options = PadOptions { total_length: Some(total), ..PadOptions::default() };
        let words = ["total_length", "fits the memory", &total.to_string()];
        refused(pad_packed_sequence(&packed, options), &words);
        refused(pad_sequence(&[x.get(0).unwrap(), x.get(1).unwrap()], options), &words);
    }
    let empty = Tensor::zeros((1 << 60, 0), DType::F64, &Device::Cpu).unwrap();
    let order = Some(vec![0, 1]);
    let words = ["sorted indices", "each of 0 to"];
    refused(PackedSequence::new(empty, vec![1 << 60], order), &words);
}
