//! Samples that a call shares with the call before it.

use crate::handoff::{Call, CallShape};

/// The end of the last call's samples, which a continued call begins with.
pub struct CarriedSamples {
    shape: CallShape,
    /// `[channel][sample]`
    samples: Box<[f32]>,
}

impl CarriedSamples {
    pub fn new(shape: CallShape) -> Self {
        Self { shape, samples: vec![0.0; shape.num_channels * shape.before_samples()].into() }
    }

    /// Fills in the samples that the audio thread left out of `call`. Must see every call, in order.
    pub fn complete(&mut self, call: &mut Call) {
        let num_before = self.shape.before_samples();
        // A window of a single hop has nothing in common with the one before.
        if num_before == 0 {
            return;
        }
        let channels = call.samples.chunks_exact_mut(self.shape.samples_per_channel());
        for (past, samples) in self.samples.chunks_exact_mut(num_before).zip(channels) {
            if call.is_continued {
                samples[..num_before].copy_from_slice(past);
            }
            past.copy_from_slice(&samples[samples.len() - num_before..]);
        }
    }
}
