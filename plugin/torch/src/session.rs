//! One stream through a model: its state, carried from call to call.

use std::sync::Arc;

use tch::{IValue, Kind, Tensor};

use crate::device;
use crate::error::BackendError;
use crate::model::Model;

/// The running state of one stream.
pub(crate) struct Session {
    model: Arc<Model>,
    num_channels: usize,
    /// In the order and shapes of the metadata; handed to the model and replaced by what it returns.
    state: Vec<Tensor>,
    /// What is asked for, `[1, embedding]`; none where the model is not asked.
    embedding: Option<Tensor>,
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
        let mut session = Self { model, num_channels, state: Vec::new(), embedding: None };
        session.ask(&vec![0.0; session.model.metadata.embedding_size])?;
        session.reset()?;
        Ok(session)
    }

    /// What the following calls are to look for.
    pub(crate) fn ask(&mut self, embedding: &[f32]) -> Result<(), BackendError> {
        check_len("values of the embedding", self.model.metadata.embedding_size, embedding.len())?;
        if !embedding.is_empty() {
            let asked = Tensor::f_from_slice(embedding)
                .and_then(|asked| asked.f_view([1, embedding.len() as i64]))
                .and_then(|asked| asked.f_to_device(self.model.device));
            self.embedding = Some(asked.map_err(|error| BackendError::run_failed(&error))?);
        }
        Ok(())
    }

    /// Back to a zero state.
    pub(crate) fn reset(&mut self) -> Result<(), BackendError> {
        let options = (Kind::Float, self.model.device);
        self.state = self
            .model
            .metadata
            .state_shapes_for(self.num_channels)
            .map(|shape| Tensor::f_zeros(shape, options))
            .collect::<Result<_, _>>()
            .map_err(|error| BackendError::run_failed(&error))?;
        Ok(())
    }

    /// One call, or several at once: `spectrum` is `[channel][frame][bin][re, im]`, `masks` is `[stem][channel][frame][bin]`.
    ///
    /// After an error the state is zero again: what the stream had is in no known condition.
    pub(crate) fn run(&mut self, spectrum: &[f32], masks: &mut [f32]) -> Result<(), BackendError> {
        let metadata = &self.model.metadata;
        let per_call = metadata.spectrum_len(self.num_channels);
        let num_calls = (spectrum.len() / per_call).max(1);
        check_len("spectrum values", num_calls * per_call, spectrum.len())?;
        check_len("mask values", num_calls * metadata.masks_len(self.num_channels), masks.len())?;
        device::prepare_thread();
        let result = self.forward(spectrum, masks, num_calls * metadata.frames_per_call);
        if result.is_err() {
            self.reset()?;
        }
        result
    }

    fn forward(&mut self, spectrum: &[f32], masks: &mut [f32], num_frames: usize) -> Result<(), BackendError> {
        let _no_grad = tch::no_grad_guard();
        let failed = |error| BackendError::run_failed(&error);
        let metadata = &self.model.metadata;
        let (channels, frames, bins) = (self.num_channels as i64, num_frames as i64, metadata.num_bins as i64);

        // A copy, not a view of the caller's memory: the state that comes back may be a slice of the input.
        let input = Tensor::f_from_slice(spectrum)
            .and_then(|input| input.f_view([channels, frames, bins, 2]))
            .and_then(|input| input.f_to_device(self.model.device))
            .map_err(failed)?;
        let mut arguments = vec![IValue::Tensor(input), IValue::TensorList(std::mem::take(&mut self.state))];
        arguments.extend(self.embedding.as_ref().map(|asked| IValue::Tensor(asked.shallow_clone())));
        let output = self.model.module.forward_is(&arguments).map_err(failed)?;
        let (mask, state) = unpack(output)?;

        check_shape("mask", &[metadata.num_masked_stems as i64, channels, frames, bins], &mask)?;
        check_len("state tensors", metadata.state_shapes.len(), state.len())?;
        for (expected, actual) in metadata.state_shapes_for(self.num_channels).zip(&state) {
            check_shape("state tensor", &expected, actual)?;
        }
        mask.f_copy_data(masks, masks.len()).map_err(failed)?;
        self.state = state;
        Ok(())
    }
}

/// Takes the model's answer, `(mask, [state…])`, apart.
fn unpack(output: IValue) -> Result<(Tensor, Vec<Tensor>), BackendError> {
    let wrong = |actual: String| BackendError::WrongShape {
        what: "the model's answer",
        expected: "(mask, list of state tensors)".to_owned(),
        actual,
    };
    let IValue::Tuple(parts) = output else { return Err(wrong("no tuple".to_owned())) };
    match <[IValue; 2]>::try_from(parts) {
        Ok([IValue::Tensor(mask), IValue::TensorList(state)]) => Ok((mask, state)),
        Ok(_) => Err(wrong("a pair of other types".to_owned())),
        Err(parts) => Err(wrong(format!("{} values", parts.len()))),
    }
}

pub(crate) fn check_len(what: &'static str, expected: usize, actual: usize) -> Result<(), BackendError> {
    if expected == actual {
        return Ok(());
    }
    Err(BackendError::WrongShape { what, expected: expected.to_string(), actual: actual.to_string() })
}

pub(crate) fn check_shape(what: &'static str, expected: &[i64], tensor: &Tensor) -> Result<(), BackendError> {
    let (actual, kind) = (tensor.size(), tensor.kind());
    if actual == expected && kind == Kind::Float {
        return Ok(());
    }
    Err(BackendError::WrongShape {
        what,
        expected: format!("Float {expected:?}"),
        actual: format!("{kind:?} {actual:?}"),
    })
}
