//! The kernels of layers, each compiled in this crate, for f32 and for f64.
//!
//! What is generic is compiled by each crate that calls it, with that crate's optimisation; these, for every instruction
//! set, would take a minute or more each time. A kernel that is started by [`Element::run`] instead is compiled so: those
//! of streams are, of which a program needs few.
//!
//! [`Element::run`]: crate::Element::run
#![expect(
    private_interfaces,
    reason = "only this crate can make a kernel, so only this crate can call these"
)]

use super::gate_products::{BiasGradient, ByColumns, ByGates, InputGradient};
use super::simd::instruction_set::InstructionSet;
use super::{
    input_product, packed_matrix, panels, pointwise, step_backward, step_forward, transpose,
};

/// Names each kernel's method: what runs it on an instruction set.
macro_rules! compiled {
    ($($method:ident: $kernel:ty;)+) => {
        /// The kernels, as methods of the type of their numbers.
        pub trait Compiled: Sized {
            $(fn $method(set: InstructionSet, kernel: $kernel);)+
        }

        impl Compiled for f32 {
            $(fn $method(set: InstructionSet, kernel: $kernel) {
                set.run_f32(kernel);
            })+
        }

        impl Compiled for f64 {
            $(fn $method(set: InstructionSet, kernel: $kernel) {
                set.run_f64(kernel);
            })+
        }
    };
}

compiled! {
    input_product: input_product::Product<'_, Self>;
    step_forward_of_one: step_forward::FewRows<'_, '_, Self, 1>;
    step_forward_of_two: step_forward::FewRows<'_, '_, Self, 2>;
    step_forward_product: step_forward::Recurrence<'_, Self>;
    step_forward_pointwise: step_forward::Pointwise<'_, '_, Self>;
    step_backward_product: step_backward::Recurrence<'_, Self>;
    step_backward_pointwise: step_backward::Pointwise<'_, Self>;
    input_gradient: InputGradient<'_, Self>;
    weight_gradient_by_gates: ByGates<'_, Self>;
    weight_gradient_by_columns: ByColumns<'_, Self>;
    bias_gradient: BiasGradient<'_, Self>;
    packed_product: packed_matrix::Product<'_, Self>;
    pack_columns: panels::PackColumns<'_, '_, Self>;
    transpose: transpose::Transpose<'_, Self>;
    sigmoid: pointwise::Sigmoid<'_, Self>;
    tanh: pointwise::Tanh<'_, Self>;
}
