//! Named arrays, and taking them one by one until none is left.

use std::collections::HashSet;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::{Direction, Element, Error, LayerPlace, Result};

/// An array under a framework's name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedArray<E> {
    /// The name within the layer, for example `recurrent_kernel`.
    pub name: String,
    /// The length of every axis.
    pub shape: Vec<usize>,
    /// The numbers, row-major.
    pub numbers: Vec<E>,
}

impl<E> NamedArray<E> {
    /// An array, unchecked until it is read.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, numbers: Vec<E>) -> Self {
        Self { name: name.into(), shape: shape.into(), numbers }
    }
}

/// The arrays of a safetensors file whose names begin with `prefix`, which is taken off.
///
/// # Errors
///
/// [`Error::Format`] where the bytes are no such file; [`Error::Mismatch`] where an array under the prefix
/// has another dtype than `E`.
pub fn arrays_from_safetensors<E: Element>(
    bytes: &[u8],
    prefix: &str,
) -> Result<Vec<NamedArray<E>>> {
    const OP: &str = "interop::arrays_from_safetensors";
    let format = |source| Error::Format { op: OP, path: Path::new("(bytes)").into(), source };
    let file = SafeTensors::deserialize(bytes).map_err(format)?;
    let mut arrays = Vec::new();
    for (name, view) in file.iter() {
        let Some(short) = name.strip_prefix(prefix) else { continue };
        Error::check(OP, &format!("dtype of `{name}`"), E::DTYPE, view.dtype())?;
        let numbers = view.data().chunks_exact(size_of::<E>()).filter_map(E::read_le).collect();
        arrays.push(NamedArray::new(short, view.shape(), numbers));
    }
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(arrays)
}

/// The bytes of a safetensors file with the arrays, `prefix` before every name.
///
/// # Errors
///
/// [`Error::Mismatch`] where an array has not the numbers of its shape, or two have one name;
/// [`Error::Format`] from the writer.
pub fn arrays_to_safetensors<E: Element>(
    prefix: &str,
    arrays: &[NamedArray<E>],
) -> Result<Vec<u8>> {
    const OP: &str = "interop::arrays_to_safetensors";
    let format = |source| Error::Format { op: OP, path: Path::new("(bytes)").into(), source };
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for array in arrays {
        check_len(OP, &array.name, array)?;
        if !names.insert(array.name.as_str()) {
            let what = format!("number of arrays called `{}`", array.name);
            return Err(Error::mismatch(OP, what, 1, "more"));
        }
        let mut bytes = Vec::new();
        array.numbers.iter().for_each(|number| number.write_le(&mut bytes));
        tensors.push((format!("{prefix}{}", array.name), &array.shape, bytes));
    }
    let mut views = Vec::new();
    for (name, shape, bytes) in &tensors {
        views.push((name, TensorView::new(E::DTYPE, shape.to_vec(), bytes).map_err(format)?));
    }
    safetensors::serialize(views, None).map_err(format)
}

/// Arrays of which every one must be asked for, and must have the shape that is asked for.
pub(super) struct Arrays<'a, E> {
    op: &'static str,
    place: Option<LayerPlace>,
    arrays: &'a [NamedArray<E>],
    known: Vec<String>,
}

impl<'a, E: Element> Arrays<'a, E> {
    /// `place` is for errors; arrays of several layers have none.
    pub(super) fn new(
        op: &'static str,
        place: Option<LayerPlace>,
        arrays: &'a [NamedArray<E>],
    ) -> Self {
        Self { op, place, arrays, known: Vec::new() }
    }

    fn full_name(&self, name: &str) -> String {
        self.place.map_or(name.to_owned(), |place| format!("{name}, {}", in_words(place)))
    }

    /// The numbers of the array `name`.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<&'a [E]> {
        let mut named = self.arrays.iter().filter(|array| array.name == name);
        let full_name = self.full_name(name);
        let Some(array) = named.next() else {
            return Err(Error::MissingTensor { op: self.op, name: full_name });
        };
        if named.next().is_some() {
            let what = format!("number of arrays called `{full_name}`");
            return Err(Error::mismatch(self.op, what, 1, "more"));
        }
        Error::check(self.op, &format!("shape of `{full_name}`"), shape, &array.shape)?;
        check_len(self.op, &full_name, array)?;
        self.known.push(name.to_owned());
        Ok(&array.numbers)
    }

    /// Refuses arrays that were not taken.
    pub(super) fn finish(self) -> Result<()> {
        match self.arrays.iter().find(|array| !self.known.contains(&array.name)) {
            None => Ok(()),
            Some(array) => Err(Error::UnexpectedTensor {
                op: self.op,
                name: self.full_name(&array.name),
                expected: self.known.join(", "),
            }),
        }
    }
}

/// Refuses an array that has not the numbers of its shape.
fn check_len<E>(op: &'static str, name: &str, array: &NamedArray<E>) -> Result<()> {
    let what = format!("number of elements of `{name}`");
    // A shape whose product overflows is that of no array.
    let len = array.shape.iter().try_fold(1_usize, |len, &axis| len.checked_mul(axis));
    let got = array.numbers.len();
    match len {
        Some(len) => Error::check(op, &what, len, got),
        None => Err(Error::mismatch(op, what, format!("those of {:?}", array.shape), got)),
    }
}

/// A place as errors name it.
pub(super) fn in_words(place: LayerPlace) -> String {
    match place.direction {
        Direction::Forward => format!("layer {} forward", place.layer),
        Direction::Reverse => format!("layer {} reverse", place.layer),
    }
}
