//! A TorchScript module, and what goes in and comes out of it.

use tch::{CModule, IValue, Kind, Tensor};

use crate::error::BackendError;
use crate::inference::Inference;
use crate::metadata::Metadata;

/// The method of a module that listens to an example: `encode(spectrum) -> (mean, log-variance)`.
const ENCODE: &str = "encode";

/// A module on its device. Running it changes nothing in it, so any number of streams share it.
pub(crate) struct Network {
    pub(crate) module: CModule,
    pub(crate) device: tch::Device,
    pub(crate) metadata: Metadata,
}

impl Network {
    /// One call, or several that follow one another, of streams that lie side by side: spectrum `[channel, frame, bin, 2]`, state in the
    /// order of the metadata, on the network's device, and what is asked for, `[channel, embedding]`, where the model is asked ->
    /// masks `[stem, channel, frame, bin]`, state.
    pub(crate) fn forward(
        &self,
        spectrum: Tensor,
        state: Vec<Tensor>,
        embedding: Option<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>), BackendError> {
        let &[num_channels, num_frames, num_bins, _] = spectrum.size().as_slice() else {
            return Err(BackendError::WrongShape {
                what: "spectrum",
                expected: "[channel, frame, bin, 2]".to_owned(),
                actual: format!("{:?}", spectrum.size()),
            });
        };
        let failed = |error| BackendError::run_failed(&error);
        let on_device = spectrum.f_to_device(self.device).map_err(failed)?;
        drop(spectrum);
        let given: Vec<Tensor> = state.iter().chain([&on_device]).map(Tensor::shallow_clone).collect();
        let mut arguments = vec![IValue::Tensor(on_device), IValue::TensorList(state)];
        if let Some(embedding) = embedding {
            arguments.push(IValue::Tensor(embedding.f_to_device(self.device).map_err(failed)?));
        }
        let output = self.module.forward_is(&arguments).map_err(|error| {
            // What was asked for is small, and the stream's own.
            free(given);
            failed(error)
        })?;
        let (masks, state) = unpack(output)?;
        check_shape("mask", &[self.metadata.num_masked_stems as i64, num_channels, num_frames, num_bins], &masks)?;
        check_len("state tensors", self.metadata.state_shapes.len(), state.len())?;
        for (expected, actual) in self.metadata.state_shapes_for(num_channels as usize).zip(&state) {
            check_shape("state tensor", &expected, actual)?;
        }
        Ok((masks, state))
    }

    /// Where an example `[1, frame, bin, 2]` lies, `[1, embedding]`, both on the processor: the mean of what the model says.
    pub(crate) fn encode(&self, example: Tensor) -> Result<Tensor, BackendError> {
        let _inference = Inference::begin();
        let failed = |error| BackendError::run_failed(&error);
        let on_device = example.f_to_device(self.device).map_err(failed)?;
        drop(example);
        let given = on_device.shallow_clone();
        let output = self.module.method_is(ENCODE, &[IValue::Tensor(on_device)]).map_err(|error| {
            free([given]);
            failed(error)
        })?;
        let wrong = |actual: &str| BackendError::WrongShape {
            what: "the model's answer to an example",
            expected: "(mean, log-variance)".to_owned(),
            actual: actual.to_owned(),
        };
        let IValue::Tuple(parts) = output else { return Err(wrong("no tuple")) };
        let Some(IValue::Tensor(mean)) = parts.first() else { return Err(wrong("no tensor first")) };
        check_shape("embedding", &[1, self.metadata.embedding_size as i64], mean)?;
        mean.f_to_device(tch::Device::Cpu).map_err(failed)
    }

    /// The state of `num_channels` channels that have heard nothing.
    pub(crate) fn zero_state(&self, num_channels: usize) -> Result<Vec<Tensor>, BackendError> {
        let options = (Kind::Float, self.device);
        let zeros = self.metadata.state_shapes_for(num_channels).map(|shape| Tensor::f_zeros(shape, options));
        zeros.collect::<Result<_, _>>().map_err(|error| BackendError::run_failed(&error))
    }
}

/// Frees what lies in tensors that were given to a call that failed: tch never does, and such calls would fill the memory.
fn free(given: impl IntoIterator<Item = Tensor>) {
    for mut tensor in given {
        let _ = tensor.f_set_();
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
