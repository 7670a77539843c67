//! An example of a sound, and the embedding by which a model is asked for it.

use tch::{IValue, Tensor};

use crate::device;
use crate::error::BackendError;
use crate::model::Model;
use crate::network::{check_len, check_shape};

/// The method of a module that listens to an example: `encode(spectrum) -> (mean, log-variance)`.
const METHOD: &str = "encode";

/// Writes the embedding of `spectrum`, `[frame][bin][re, im]`: the mean of where the example may lie.
pub(crate) fn encode(model: &Model, spectrum: &[f32], embedding: &mut [f32]) -> Result<(), BackendError> {
    let network = &model.network;
    let metadata = &network.metadata;
    let (frames, bins) = (metadata.query_frames, metadata.num_bins);
    check_len("values of the example's spectrum", frames * bins * 2, spectrum.len())?;
    check_len("values of the embedding", metadata.embedding_size, embedding.len())?;
    if embedding.is_empty() {
        return Err(BackendError::WrongShape {
            what: "model",
            expected: "one that is asked by example".to_owned(),
            actual: "one that is not".to_owned(),
        });
    }
    device::prepare_thread();
    let _no_grad = tch::no_grad_guard();
    let failed = |error| BackendError::run_failed(&error);
    let input = Tensor::f_from_slice(spectrum)
        .and_then(|input| input.f_view([1, frames as i64, bins as i64, 2]))
        .and_then(|input| input.f_to_device(network.device))
        .map_err(failed)?;
    let output = network.module.method_is(METHOD, &[IValue::Tensor(input)]).map_err(failed)?;
    let IValue::Tuple(parts) = output else { return Err(wrong("no tuple")) };
    let Some(IValue::Tensor(mean)) = parts.first() else { return Err(wrong("no tensor first")) };
    check_shape("embedding", &[1, embedding.len() as i64], mean)?;
    mean.f_copy_data(embedding, embedding.len()).map_err(failed)
}

fn wrong(actual: &str) -> BackendError {
    BackendError::WrongShape {
        what: "the model's answer to an example",
        expected: "(mean, log-variance)".to_owned(),
        actual: actual.to_owned(),
    }
}
