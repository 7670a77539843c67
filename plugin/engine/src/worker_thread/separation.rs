//! What a call goes through: samples, spectra, the model, masks, and what is heard.

use std::sync::Arc;

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
}

/// By a model.
pub struct Separation {
    model: Arc<Model>,
    session: Session,
    spectra: Spectra,
    shape: CallShape,
}

impl Separation {
    /// `session` is one of `model`, whose timing is `timing`.
    pub fn new(model: Arc<Model>, session: Session, shape: CallShape, timing: &ModelTiming) -> Self {
        let spectra = Spectra::new(shape, timing.look_ahead_frames, timing.scale(shape.grid));
        Self { model, session, spectra, shape }
    }

    /// What separates.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
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
        self.session.run(features, masks)?;
        let num_shares = masks.len() / self.shape.num_stems.max(1);
        underscore_dsp::shape(masks, self.shape.num_stems, num_shares, call.strength);
        self.spectra.synthesise(call);
        Ok(())
    }

    fn reset(&mut self) {
        self.session.reset();
        self.spectra.reset();
    }
}
