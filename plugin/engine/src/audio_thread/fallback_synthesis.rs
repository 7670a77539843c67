//! Does the worker's part for frames whose masks are missing, on the audio thread.
//!
//! It goes on from what the last frame that the worker made and those before it add up to: through that frame's mask, for at most as
//! many frames as [`MaskFade`](super::mask_fade::MaskFade) holds a mask and fades; or through a frame's own, where the worker made it but
//! not all that overlaps with it. Where the masks had faded out and no call is long enough to hold all of that, the frames before it go
//! through it, too.

use underscore_dsp::{Complex32, History, MaskedSynthesis, OverlapAdd, Stft, s_curve, touched_zeros};

use crate::handoff::{Call, CallShape};

#[cfg(test)]
thread_local! {
    static NUM_MADE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Frames that were made on this thread since it asked last.
#[cfg(test)]
pub fn num_made() -> usize {
    NUM_MADE.take()
}

/// State of the fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The worker's sums are played.
    Idle,
    /// The overlap of the last frames is played to its end: nothing was missing since.
    Ending,
    /// A frame was missing.
    Acting,
}

/// Synthesises frames on the audio thread.
pub struct FallbackSynthesis {
    shape: CallShape,
    role: Role,
    /// Silent frames in a row.
    num_silent_frames: usize,
    stft: Stft,
    synthesis: MaskedSynthesis,
    /// One signal per stem and channel, `[stem][channel]`.
    overlap: OverlapAdd,
    /// The frame's samples.
    frame: Vec<f32>,
    spectrum: Vec<Complex32>,
    segment: Vec<f32>,
}

impl FallbackSynthesis {
    /// Plans the transforms and allocates everything.
    pub fn new(shape: CallShape) -> Self {
        let grid = shape.grid;
        Self {
            shape,
            role: Role::Idle,
            num_silent_frames: 0,
            stft: Stft::new(grid),
            synthesis: MaskedSynthesis::new(grid, shape.num_bins),
            overlap: OverlapAdd::new(grid, shape.num_stems * shape.num_channels),
            frame: touched_zeros(grid.window_samples()),
            spectrum: touched_zeros(grid.num_bins()),
            segment: touched_zeros(grid.synthesis_samples()),
        }
    }

    /// Whether its output differs from what the worker would have made.
    pub fn is_acting(&self) -> bool {
        self.role == Role::Acting
    }

    /// The worker's sums are played from now on.
    pub fn rest(&mut self) {
        self.role = Role::Idle;
    }

    /// The frame is silent: nothing is added to what `last`, the call and the frame in it that were played last, left.
    pub fn add_silence(&mut self, last: Option<(&Call, usize)>) {
        self.begin(last);
        self.num_silent_frames = self.num_silent_frames.saturating_add(1);
        if self.num_silent_frames > self.shape.overlap_frames() {
            // Nothing is left of what it added.
            self.role = Role::Ending;
        }
    }

    /// Adds a frame of the samples in `history`, `[channel]`, that ends `num_newer` samples before the newest, through the mask of
    /// `masked`, a call and a frame in it; `last` are those that were played last.
    pub fn add_frame(
        &mut self,
        last: Option<(&Call, usize)>,
        masked: Option<(&Call, usize)>,
        history: &[History],
        num_newer: usize,
    ) {
        self.begin(last);
        self.role = Role::Acting;
        self.num_silent_frames = 0;
        let Some((call, frame_idx)) = masked else { return };
        #[cfg(test)]
        NUM_MADE.set(NUM_MADE.get() + 1);
        let Self { shape, stft, synthesis, overlap, frame, spectrum, segment, .. } = self;
        for (channel_idx, history) in history.iter().enumerate() {
            history.copy(num_newer, frame);
            stft.analyse(frame, spectrum);
            // Linked channels have one mask.
            let mask_channel_idx = channel_idx.min(call.num_mask_channels - 1);
            for stem_idx in 0..shape.num_stems {
                let offset = shape.mask_offset(call.num_mask_channels, stem_idx, mask_channel_idx, frame_idx);
                synthesis.set_mask(&call.masks[offset..offset + shape.num_bins]);
                synthesis.synthesise(spectrum, segment);
                overlap.add(stem_idx * shape.num_channels + channel_idx, segment);
            }
        }
    }

    /// Writes the hop of a signal that no later frame reaches, and goes on to the next one.
    pub fn take_hop(&mut self, signal_idx: usize, hop_out: &mut [f32]) {
        self.overlap.take_hop(signal_idx, hop_out);
    }

    /// Moves `hop_out`, the hop of a signal as the worker made it, along the hop from its own to that, and goes on to the next one.
    pub fn hand_over(&mut self, signal_idx: usize, hop_out: &mut [f32]) {
        let num_samples = hop_out.len();
        let own = &mut self.segment[..num_samples];
        self.overlap.take_hop(signal_idx, own);
        for (sample_idx, (out, own)) in hop_out.iter_mut().zip(own).enumerate() {
            let share = s_curve((sample_idx + 1) as f32 / num_samples as f32);
            *out = *own + share * (*out - *own);
        }
    }

    fn begin(&mut self, last: Option<(&Call, usize)>) {
        if self.role != Role::Idle {
            return;
        }
        self.role = Role::Ending;
        self.num_silent_frames = 0;
        let Some((call, frame_idx)) = last else {
            self.overlap.reset();
            return;
        };
        let shape = self.shape;
        for stem_idx in 0..shape.num_stems {
            for channel_idx in 0..shape.num_channels {
                let offset = shape.sums_offset(stem_idx, channel_idx, frame_idx);
                let sums = &call.sums[offset..offset + shape.grid.synthesis_samples()];
                self.overlap.go_on_from(stem_idx * shape.num_channels + channel_idx, sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use underscore_dsp::Grid;

    #[test]
    fn what_it_did_is_over_once_nothing_of_it_is_heard() {
        let grid = Grid::new(1000.0, 0.004, 0.001, 0.004).unwrap();
        let shape = CallShape { grid, num_channels: 1, num_frames: 1, num_bins: 3, num_stems: 1, embedding_size: 0 };
        let mut fallback = FallbackSynthesis::new(shape);
        for num_silent_frames in 0..6 {
            fallback.add_frame(None, None, &[], 0);
            (0..num_silent_frames).for_each(|_| fallback.add_silence(None));
            assert_eq!(fallback.is_acting(), num_silent_frames <= shape.overlap_frames(), "{num_silent_frames}");
        }
        fallback.rest();
        fallback.add_silence(None);
        assert!(!fallback.is_acting(), "what is left of the worker's frames is the worker's");
    }
}
