//! What the engine gives back for one block.

use underscore_dsp::Control;

/// The stems of one block, all delayed by the latency. Borrowed from the engine until the next call.
#[derive(Debug, Clone, Copy)]
pub struct Stems<'a> {
    pub(super) num_samples: usize,
    /// `[stem][channel][sample]`, the residual last.
    pub(super) audio: &'a [Vec<Vec<f32>>],
    /// `[channel][sample]`
    pub(super) dry: &'a [Vec<f32>],
    pub(super) presence: Control<'a>,
}

impl<'a> Stems<'a> {
    /// Samples in every slice.
    #[must_use]
    pub fn num_samples(&self) -> usize {
        self.num_samples
    }

    /// Channels of each.
    #[must_use]
    pub fn num_channels(&self) -> usize {
        self.dry.len()
    }

    /// Stems, the residual included.
    #[must_use]
    pub fn num_stems(&self) -> usize {
        self.audio.len()
    }

    /// One channel of one stem, in the order of the model's labels. Over all stems the sum is [`Stems::dry`], to rounding, in
    /// every state of the engine.
    #[must_use]
    pub fn stem(&self, stem_idx: usize, channel_idx: usize) -> &'a [f32] {
        &self.audio[stem_idx][channel_idx][..self.num_samples]
    }

    /// The delayed mixture, bit for bit (non-finite samples replaced by zero).
    #[must_use]
    pub fn dry(&self, channel_idx: usize) -> &'a [f32] {
        &self.dry[channel_idx][..self.num_samples]
    }

    /// How far the masks are in, per sample, 0..=1. At 0 no mask is in use and every stem is an equal share of the mixture;
    /// a main output is to play the dry signal then.
    #[must_use]
    pub fn presence(&self) -> Control<'a> {
        self.presence
    }
}
