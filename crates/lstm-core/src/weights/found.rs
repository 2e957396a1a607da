//! Loading what [`discover`](super::discover) found in a safetensors file.

use std::path::Path;

use safetensors::SafeTensors;

use super::discover::discover_with;
use super::file::numbers;
use super::{Discovered, FoundLstm};
use crate::{Element, Error, LstmWeights, Result};

/// Every LSTM of a safetensors file, with the options that [`to_bytes`](super::to_bytes) wrote beside it.
///
/// # Errors
///
/// [`Error::Format`] where the bytes are no such file.
pub fn discover_in_bytes(bytes: &[u8]) -> Result<Discovered> {
    let format = |source| format_error("weights::discover_in_bytes", source);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
    let file = SafeTensors::deserialize(bytes).map_err(format)?;
    let views: Vec<_> = file.iter().collect();
    let tensors = views.iter().map(|(name, view)| (*name, view.shape()));
    Ok(discover_with(tensors, header.metadata().as_ref()))
}

/// The weights of an LSTM that [`discover_in_bytes`] found, in the order of `found.layers`.
///
/// # Errors
///
/// [`Error::Format`]; [`Error::MissingTensor`] or [`Error::Mismatch`] with the tensor's full name, where its
/// dtype is not that of `E`, or the file is not the one in which it was found.
pub fn found_from_bytes<E: Element>(
    bytes: &[u8],
    found: &FoundLstm,
) -> Result<Vec<LstmWeights<E>>> {
    const OP: &str = "weights::found_from_bytes";
    let file = SafeTensors::deserialize(bytes).map_err(|source| format_error(OP, source))?;
    found.weights(|name, shape| match file.tensor(name) {
        Ok(view) => numbers(OP, name, &view, shape),
        Err(_) => Err(Error::MissingTensor { op: OP, name: name.into() }),
    })
}

fn format_error(op: &'static str, source: safetensors::SafeTensorError) -> Error {
    Error::Format { op, path: Path::new("(bytes)").into(), source }
}

#[cfg(test)]
mod tests {
    use super::{discover_in_bytes, found_from_bytes};
    use crate::init::LstmInit;
    use crate::random::RandomStream;
    use crate::weights::to_bytes;
    use crate::{LayerPlace, LstmConfig, LstmWeights};

    #[test]
    fn what_is_saved_is_found_and_loaded() {
        let config = LstmConfig::new(3, 4);
        let weights: LstmWeights<f64> =
            LstmInit::default().weights(config, RandomStream::new(1)).unwrap();
        let bytes = to_bytes("x.", &[(LayerPlace::forward(0), &weights)]).unwrap();
        let found = discover_in_bytes(&bytes).unwrap().found.remove(0);
        assert_eq!(found.prefix, "x.");
        assert_eq!(found_from_bytes::<f64>(&bytes, &found).unwrap(), [weights]);
        let error = found_from_bytes::<f32>(&bytes, &found).unwrap_err().to_string();
        assert!(error.contains("dtype of `x.weight_ih_l0`"), "{error}");
        let other = to_bytes::<f64>("y.", &[]).unwrap();
        let error = found_from_bytes::<f64>(&other, &found).unwrap_err().to_string();
        assert!(error.contains("missing tensor `x.weight_ih_l0`"), "{error}");
        assert!(discover_in_bytes(b"junk").is_err());
    }
}
