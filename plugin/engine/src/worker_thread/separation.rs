//! What a call goes through: samples, spectra, the model, masks, and what is heard.

use std::sync::Arc;

use underscore_backend::{Batching, Device};

use super::model::Model;
use super::session::{Session, SessionError};
use super::spectra::Spectra;
use crate::handoff::{Call, CallShape};
use crate::latency::ModelTiming;

/// Makes of the samples of a call what is heard of its frames.
pub trait Separate {
    /// Why a call could not be run, in words.
    type Error: std::fmt::Display;

    /// Fills the masks of `call` and what is heard through them. What it knows of a stream of another number of mask channels is
    /// forgotten.
    fn separate(&mut self, call: &mut Call) -> Result<(), Self::Error>;

    /// Back to before the first frame.
    fn reset(&mut self);

    /// Opens it anew, before the first frame, on what can be used now: after it failed for long, what failed may be beyond a reset. On
    /// failure everything stays, and the message says why.
    fn reopen(&mut self) -> Result<(), String>;

    /// What examples are listened to by, where it is a model.
    fn model(&self) -> Option<&Arc<Model>>;
}

/// Finds a model and opens a session of it that works, as often as it is asked.
pub type Opener = Box<dyn Fn() -> Result<(Arc<Model>, Session), String> + Send>;

/// By a model.
pub struct Separation {
    opener: Opener,
    model: Arc<Model>,
    session: Session,
    spectra: Spectra,
    shape: CallShape,
}

impl Separation {
    /// By what `opener` finds, whose timing is `timing`.
    pub fn open(opener: Opener, shape: CallShape, timing: &ModelTiming) -> Result<Self, String> {
        let (model, session) = opener()?;
        let spectra = Spectra::new(shape, timing.look_ahead_frames, timing.scale(shape.grid));
        Ok(Self { opener, model, session, spectra, shape })
    }

    /// What separated.
    pub fn into_model(self) -> Arc<Model> {
        self.model
    }
}

impl Separate for Separation {
    type Error = SessionError;

    fn separate(&mut self, call: &mut Call) -> Result<(), SessionError> {
        let num_mask_channels = call.num_mask_channels;
        if num_mask_channels != self.session.num_channels() {
            self.session = Session::open(self.model.clone(), num_mask_channels)?;
        }
        self.session.ask(&call.embedding)?;
        let features = self.spectra.analyse(call);
        let masks = &mut call.masks[..self.shape.masks_len(num_mask_channels)];
        let batching = match call.deadline_from {
            // A bounce is the same bit for bit, whatever else plays, also where the host says that it plays.
            None => Batching::NEVER,
            // One after another, the calls of few streams are too many for a card: there none is held until its host was seen to play. In a
            // batch of its own a call has the bits that it has by itself.
            Some(_) if self.model.device() != Device::CPU => Batching::ALLOWED,
            Some(_) => call.batching,
        };
        self.session.run(batching, features, masks)?;
        self.spectra.shape(call);
        self.spectra.synthesise(call);
        Ok(())
    }

    fn reset(&mut self) {
        self.session.reset();
        self.spectra.reset();
    }

    fn reopen(&mut self) -> Result<(), String> {
        (self.model, self.session) = (self.opener)()?;
        self.spectra.reset();
        Ok(())
    }

    fn model(&self) -> Option<&Arc<Model>> {
        Some(&self.model)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::latency::latency;
    use crate::worker_thread::fake_backend;

    #[test]
    fn what_has_a_deadline_runs_with_others_on_a_card_from_the_first_call_on_and_what_has_none_by_itself() {
        const TIMING: ModelTiming = ModelTiming::LIVE;
        let grid = latency(&TIMING, 48_000.0, 256).unwrap().grid;
        let (num_frames, num_bins) = (TIMING.frames_per_call, TIMING.num_bins);
        let shape = CallShape { grid, num_channels: 1, num_frames, num_bins, num_stems: 1, embedding_size: 0 };
        for (device, with_deadline) in [(Device::CPU, Batching::NEVER), (Device::CUDA, Batching::ALLOWED)] {
            let model = fake_backend::model(shape, &TIMING, |_| 1.0, Vec::new());
            let model = Arc::new(model.declaring(device, (0.0, 1.0), 0, 0.0));
            let opener = move || Ok((model.clone(), Session::open(model.clone(), 1).unwrap()));
            let mut separation = Separation::open(Box::new(opener), shape, &TIMING).unwrap();
            for (deadline_from, expected) in [(Some(Instant::now()), with_deadline), (None, Batching::NEVER)] {
                separation.reset();
                fake_backend::batchings();
                // As the audio thread has it while it does not know yet whether the host plays.
                let mut call = Call { deadline_from, batching: Batching::NEVER, ..shape.new_call() };
                separation.separate(&mut call).unwrap();
                assert_eq!(fake_backend::batchings(), [expected], "{device:?}, a deadline from {deadline_from:?}");
            }
        }
    }
}
