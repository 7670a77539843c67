//! One stream through a model: its state, carried from call to call.

use std::sync::Arc;

use tch::Tensor;
use underscore_backend::Batching;

use crate::batcher::Slots;
use crate::device;
use crate::error::BackendError;
use crate::inference::Inference;
use crate::model::{Model, Sharing};
use crate::network::check_len;
use crate::pool;

/// The running state of one stream.
pub(crate) struct Session {
    /// Dropped before the model, whose thread ends when no stream can ask it any more.
    state: State,
    model: Arc<Model>,
    num_channels: usize,
    /// What is asked for, on the processor: `[channel, embedding]`; none where the model is not asked.
    embedding: Option<Tensor>,
}

/// Where a stream's state lies, and with it who runs its calls.
enum State {
    /// Here, in the order and shapes of the metadata: handed to the model, and replaced by what it returns.
    Own(Vec<Tensor>),
    /// On a card, with the thread that runs the calls there.
    OnCard(Slots),
}

impl Session {
    /// Opens a stream of `num_channels` channels from a zero state.
    pub(crate) fn open(model: Arc<Model>, num_channels: usize) -> Result<Self, BackendError> {
        const CHANNELS_LIMIT: usize = 64;
        if !(1..=CHANNELS_LIMIT).contains(&num_channels) {
            return Err(BackendError::WrongShape {
                what: "channels",
                expected: format!("1 to {CHANNELS_LIMIT}"),
                actual: num_channels.to_string(),
            });
        }
        device::prepare_thread();
        let state = match &model.sharing {
            Sharing::Card(batcher) => State::OnCard(batcher.open(num_channels)?),
            Sharing::Processors(_) => State::Own(model.network.zero_state(num_channels)?),
        };
        let mut session = Self { state, model, num_channels, embedding: None };
        session.ask(&vec![0.0; session.model.network.metadata.embedding_size])?;
        Ok(session)
    }

    /// What the following calls are to look for.
    pub(crate) fn ask(&mut self, embedding: &[f32]) -> Result<(), BackendError> {
        check_len("values of the embedding", self.model.network.metadata.embedding_size, embedding.len())?;
        if !embedding.is_empty() {
            let asked = Tensor::f_from_slice(&embedding.repeat(self.num_channels))
                .and_then(|asked| asked.f_view([self.num_channels as i64, embedding.len() as i64]));
            self.embedding = Some(asked.map_err(|error| BackendError::run_failed(&error))?);
        }
        Ok(())
    }

    /// Back to a zero state.
    pub(crate) fn reset(&mut self) -> Result<(), BackendError> {
        match &mut self.state {
            State::Own(state) => *state = self.model.network.zero_state(self.num_channels)?,
            State::OnCard(slots) => slots.reset()?,
        }
        Ok(())
    }

    /// One call, or several at once: `spectrum` is `[channel][frame][bin][re, im]`, `masks` is `[stem][channel][frame][bin]`.
    ///
    /// After an error the state is zero again: what the stream had is in no known condition.
    pub(crate) fn run(&mut self, batching: Batching, spectrum: &[f32], masks: &mut [f32]) -> Result<(), BackendError> {
        let metadata = &self.model.network.metadata;
        let per_call = metadata.spectrum_len(self.num_channels);
        let num_calls = (spectrum.len() / per_call).max(1);
        check_len("spectrum values", num_calls * per_call, spectrum.len())?;
        check_len("mask values", num_calls * metadata.masks_len(self.num_channels), masks.len())?;
        device::prepare_thread();
        let result = self.forward(batching, spectrum, masks, num_calls * metadata.frames_per_call);
        if result.is_err() {
            self.reset()?;
        }
        result
    }

    fn forward(
        &mut self,
        batching: Batching,
        spectrum: &[f32],
        masks: &mut [f32],
        num_frames: usize,
    ) -> Result<(), BackendError> {
        let _inference = Inference::begin();
        let failed = |error| BackendError::run_failed(&error);
        let network = &self.model.network;
        let shape = [self.num_channels, num_frames, network.metadata.num_bins, 2].map(|size| size as i64);
        // A copy, not a view of the caller's memory: the state that comes back may be a slice of the input.
        let spectrum = Tensor::f_from_slice(spectrum).and_then(|spectrum| spectrum.f_view(shape)).map_err(failed)?;
        let embedding = self.embedding.as_ref().map(Tensor::shallow_clone);
        let found = match &mut self.state {
            State::OnCard(slots) => slots.run(batching, spectrum, embedding)?,
            State::Own(state) => {
                let before = std::mem::take(state);
                let (found, after) = match &self.model.sharing {
                    Sharing::Processors(company) if batching == Batching::ALLOWED => {
                        pool::run(network, *company, spectrum, before, embedding)?
                    }
                    _ => network.forward(spectrum, before, embedding)?,
                };
                *state = after;
                found
            }
        };
        found.f_copy_data(masks, masks.len()).map_err(failed)
    }
}
