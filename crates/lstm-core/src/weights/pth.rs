//! PyTorch's `.pt` and `.pth` files, through candle's reader: those that `torch.save` writes as zip files.
//!
//! Of such a file no code is run: the pickle inside is read as data. It is candle's reader that decides what
//! is a tensor. A damaged file is an error, whether that reader refuses or panics; before it is one, a length
//! in it may ask for up to 4 GiB of memory.

use std::path::Path;

use candle_core::WithDType;
use candle_core::pickle::PthTensors;

use super::{Discovered, FoundLstm, discover};
use crate::{Element, Error, LstmWeights, Result};

/// Every LSTM of a state dict; with `key` of the one that stands under it in a saved dict, as `state_dict`
/// or `model` in many checkpoints.
///
/// # Errors
///
/// [`Error::Mismatch`] with the file's name where it cannot be read, has no `key` or holds no tensor.
pub fn discover_in_pth(path: &Path, key: Option<&str>) -> Result<Discovered> {
    let file = open("weights::discover_in_pth", path, key)?;
    let infos = file.tensor_infos();
    Ok(discover(infos.iter().map(|(name, info)| (name.as_str(), info.layout.dims()))))
}

/// The weights of an LSTM that [`discover_in_pth`] found, in the order of `found.layers`.
///
/// # Errors
///
/// As [`discover_in_pth`], and [`Error::MissingTensor`] or [`Error::Mismatch`] with the tensor's full name,
/// where its dtype is not that of `E`, or the file is not the one in which it was found.
pub fn found_from_pth<E: Element + WithDType>(
    path: &Path,
    key: Option<&str>,
    found: &FoundLstm,
) -> Result<Vec<LstmWeights<E>>> {
    const OP: &str = "weights::found_from_pth";
    let file = open(OP, path, key)?;
    found.weights(|name, shape| {
        let Some(tensor) = guarded(OP, path, || file.get(name))? else {
            return Err(Error::MissingTensor { op: OP, name: name.into() });
        };
        Error::check(OP, &format!("shape of `{name}`"), shape, tensor.dims())?;
        Error::check(OP, &format!("dtype of `{name}`"), <E as WithDType>::DTYPE, tensor.dtype())?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    })
}

/// Runs candle's reader, which panics on some damaged pickles where it checks its arithmetic.
fn guarded<T>(
    op: &'static str,
    path: &Path,
    read: impl FnOnce() -> candle_core::Result<T>,
) -> Result<T> {
    // What the reader leaves half done goes with it: `read` borrows only what it does not change.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)) {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            let what = path.display().to_string();
            Err(Error::mismatch(op, what, "a file that candle's reader takes", error))
        }
        Err(_) => {
            let what = format!("pickle of {}", path.display());
            Err(Error::mismatch(op, what, "one that candle's reader takes", "a damaged one"))
        }
    }
}

fn open(op: &'static str, path: &Path, key: Option<&str>) -> Result<PthTensors> {
    let file = guarded(op, path, || PthTensors::new(path, key))?;
    if file.tensor_infos().is_empty() {
        let what = format!("tensors of {} under the key {key:?}", path.display());
        return Err(Error::mismatch(op, what, "a state dict, or the key of one", "none"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::guarded;

    #[test]
    fn a_reader_that_panics_is_an_error_with_the_path() {
        let read = || -> candle_core::Result<()> { panic!("attempt to shift left with overflow") };
        let error = guarded("read", Path::new("some.pt"), read).unwrap_err().to_string();
        assert!(error.contains("read: pickle of some.pt: expected"), "{error}");
        assert_eq!(guarded("read", Path::new("some.pt"), || Ok(7)).unwrap(), 7);
    }
}
