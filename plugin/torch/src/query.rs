//! An example of a sound, and the embedding by which a model is asked for it.

use tch::Tensor;

use crate::device;
use crate::error::BackendError;
use crate::inference::Inference;
use crate::model::{Model, Sharing};
use crate::network::check_len;

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
    // From here on: a view that is made without it holds on to what it is a view of, and `Network` could not free that after a call that failed.
    let _inference = Inference::begin();
    let example = Tensor::f_from_slice(spectrum)
        .and_then(|example| example.f_view([1, frames as i64, bins as i64, 2]))
        .map_err(|error| BackendError::run_failed(&error))?;
    let found = match &model.sharing {
        Sharing::Card(batcher) => batcher.encode(example)?,
        Sharing::Processors(_) => network.encode(example)?,
    };
    found.f_copy_data(embedding, embedding.len()).map_err(|error| BackendError::run_failed(&error))
}
