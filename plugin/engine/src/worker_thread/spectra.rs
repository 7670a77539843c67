//! The worker's transforms: samples of a call to spectra, spectra through masks to what is heard, frame upon frame.

use std::ops::Range;

use underscore_dsp::{Complex32, MaskedSynthesis, OverlapAdd, Stft, linking};

use crate::handoff::{Call, CallShape};

/// Peak of the loudest frame that is given to the model as it is, 12 dB over full scale. Models judge what they hear by the level of seconds:
/// one burst of a filter that blew up would have them take all that comes in the next half minute for silence.
pub const MAX_MODEL_PEAK: f32 = 4.0;

/// The gain by which a frame, the samples of all its channels, is limited to [`MAX_MODEL_PEAK`].
pub fn limiting_gain<'a>(frame: impl Iterator<Item = &'a f32>) -> f32 {
    let peak = frame.fold(0.0, |peak: f32, sample| peak.max(sample.abs()));
    MAX_MODEL_PEAK / peak.max(MAX_MODEL_PEAK)
}

/// The mixture's spectra, kept until their masks come: those of a call are for the frames `look_ahead_frames` earlier.
pub struct Spectra {
    shape: CallShape,
    look_ahead_frames: usize,
    /// Brings magnitudes to what the model knows.
    scale: f32,
    stft: Stft,
    synthesis: MaskedSynthesis,
    /// One signal per stem and channel, `[stem][channel]`.
    overlap: OverlapAdd,
    /// The place, frames plus look-ahead, of the frame whose turn it is in `overlap`.
    next_place: u64,
    /// What is heard of one frame.
    heard: Box<[f32]>,
    /// By frame index modulo their number.
    kept: Vec<Kept>,
    /// `[mask channel][frame][bin][re, im]`: a call as the model reads it.
    features: Box<[f32]>,
    /// `[stem][bin]`: the masks of one frame and channel.
    of_frame: Box<[f32]>,
}

struct Kept {
    frame_index: Option<u64>,
    /// Mask exponent that was set when the frame came in.
    strength: f32,
    /// `[channel][bin]`
    spectra: Vec<Vec<Complex32>>,
}

impl Spectra {
    pub fn new(shape: CallShape, look_ahead_frames: usize, scale: f32) -> Self {
        let spectrum = || vec![Complex32::default(); shape.grid.num_bins()];
        let spectra = || (0..shape.num_channels).map(|_| spectrum()).collect();
        let kept = || Kept { frame_index: None, strength: 1.0, spectra: spectra() };
        Self {
            shape,
            look_ahead_frames,
            scale,
            stft: Stft::new(shape.grid),
            synthesis: MaskedSynthesis::new(shape.grid, shape.num_bins),
            overlap: OverlapAdd::new(shape.grid, shape.num_stems * shape.num_channels),
            next_place: 0,
            heard: vec![0.0; shape.grid.synthesis_samples()].into(),
            kept: (0..look_ahead_frames + shape.num_frames).map(|_| kept()).collect(),
            features: vec![0.0; shape.spectrum_len(shape.num_channels)].into(),
            of_frame: vec![0.0; shape.num_stems * shape.num_bins].into(),
        }
    }

    /// Forgets the frames of before.
    pub fn reset(&mut self) {
        self.kept.iter_mut().for_each(|kept| kept.frame_index = None);
        self.overlap.reset();
        self.next_place = 0;
    }

    /// Analyses the frames of `call` and gives them as the model reads them, `[mask channel][frame][bin][re, im]`.
    pub fn analyse(&mut self, call: &Call) -> &[f32] {
        let Self { shape, kept, .. } = self;
        for frame_idx in 0..shape.num_frames {
            let frame_index = call.first_frame + frame_idx as u64;
            let place = (frame_index % kept.len() as u64) as usize;
            let Kept { frame_index: kept_index, strength, spectra } = &mut kept[place];
            (*kept_index, *strength) = (Some(frame_index), call.strength);
            let samples = |channel_idx: usize| {
                let offset = shape.samples_offset(channel_idx, frame_idx);
                &call.samples[offset..offset + shape.grid.window_samples()]
            };
            for (channel_idx, spectrum) in spectra.iter_mut().enumerate() {
                self.stft.analyse(samples(channel_idx), spectrum);
            }
            // What is heard stays as it is.
            let scale_by = |channels: Range<usize>| self.scale * limiting_gain(channels.flat_map(samples));
            for mask_channel_idx in 0..call.num_mask_channels {
                let offset = shape.spectrum_offset(mask_channel_idx, frame_idx);
                let out = &mut self.features[offset..offset + shape.num_bins * 2];
                if call.num_mask_channels == 1 {
                    linking::link_rms(spectra.iter().map(Vec::as_slice), scale_by(0..shape.num_channels), out);
                } else {
                    linking::pack(&spectra[mask_channel_idx], scale_by(mask_channel_idx..mask_channel_idx + 1), out);
                }
            }
        }
        &self.features[..shape.spectrum_len(call.num_mask_channels)]
    }

    /// Gives each mask of `call` the strength that was set when its frame came in, which may be seconds ago.
    pub fn shape(&mut self, call: &mut Call) {
        let Self { shape, kept, of_frame, look_ahead_frames, .. } = self;
        for frame_idx in 0..shape.num_frames {
            let frame_index = (call.first_frame + frame_idx as u64).checked_sub(*look_ahead_frames as u64);
            let kept = frame_index.map(|frame_index| &kept[(frame_index % kept.len() as u64) as usize]);
            let strength =
                kept.filter(|kept| kept.frame_index == frame_index).map_or(call.strength, |kept| kept.strength);
            if strength.to_bits() == 1.0_f32.to_bits() {
                continue;
            }
            for channel_idx in 0..call.num_mask_channels {
                let place = |stem_idx: usize| {
                    let offset = shape.mask_offset(call.num_mask_channels, stem_idx, channel_idx, frame_idx);
                    offset..offset + shape.num_bins
                };
                for (stem_idx, mask) in of_frame.chunks_exact_mut(shape.num_bins).enumerate() {
                    mask.copy_from_slice(&call.masks[place(stem_idx)]);
                }
                underscore_dsp::shape(of_frame, shape.num_stems, shape.num_bins, strength);
                for (stem_idx, mask) in of_frame.chunks_exact(shape.num_bins).enumerate() {
                    call.masks[place(stem_idx)].copy_from_slice(mask);
                }
            }
        }
    }

    /// Writes what is heard of the frames that the masks of `call` are for, added to that of the frames before: silence, where a
    /// frame was not analysed.
    pub fn synthesise(&mut self, call: &mut Call) {
        let Self { shape, kept, synthesis, overlap, heard, .. } = self;
        // Of frames that were left out nothing is heard, and what was heard before them goes by.
        let num_left_out = call.first_frame.saturating_sub(self.next_place).min(shape.overlap_frames() as u64 + 1);
        for signal_idx in 0..shape.num_stems * shape.num_channels {
            (0..num_left_out).for_each(|_| overlap.drop_hop(signal_idx));
        }
        self.next_place = call.first_frame + shape.num_frames as u64;
        for frame_idx in 0..shape.num_frames {
            let place = call.first_frame + frame_idx as u64;
            let frame_index = place.checked_sub(self.look_ahead_frames as u64);
            let kept = frame_index.map(|frame_index| &kept[(frame_index % kept.len() as u64) as usize]);
            let spectra = kept.filter(|kept| kept.frame_index == frame_index).map(|kept| &kept.spectra);
            for stem_idx in 0..shape.num_stems {
                for channel_idx in 0..shape.num_channels {
                    let signal_idx = stem_idx * shape.num_channels + channel_idx;
                    if let Some(spectra) = spectra {
                        if channel_idx < call.num_mask_channels {
                            let offset = shape.mask_offset(call.num_mask_channels, stem_idx, channel_idx, frame_idx);
                            synthesis.set_mask(&call.masks[offset..offset + shape.num_bins]);
                        }
                        synthesis.synthesise(&spectra[channel_idx], heard);
                        overlap.add(signal_idx, heard);
                    }
                    let offset = shape.sums_offset(stem_idx, channel_idx, frame_idx);
                    overlap.copy_sums(signal_idx, &mut call.sums[offset..offset + heard.len()]);
                    overlap.drop_hop(signal_idx);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{ModelTiming, latency};

    #[test]
    fn a_burst_is_turned_down_for_the_model_and_all_else_is_heard_as_it_is() {
        const TIMING: ModelTiming = ModelTiming::PAPER;
        let grid = latency(&TIMING, 48_000.0, 512).unwrap().grid;
        let (num_frames, num_bins) = (8, TIMING.num_bins);
        let shape = CallShape { grid, num_channels: 2, num_frames, num_bins, num_stems: 1, embedding_size: 0 };
        let scale = 0.5;
        let features_of = |burst: f32, num_mask_channels: usize| {
            let mut call = shape.new_call();
            call.num_mask_channels = num_mask_channels;
            for (idx, sample) in call.samples.iter_mut().enumerate() {
                *sample = 0.1 * (idx as f32 * 0.37).sin();
            }
            // In the last frame's last hop alone.
            let at = shape.samples_offset(1, num_frames - 1) + grid.window_samples() - grid.hop_samples() / 2;
            call.samples[at] += burst;
            Spectra::new(shape, 0, scale).analyse(&call).to_vec()
        };
        for num_mask_channels in [1, 2] {
            let plain = features_of(0.0, num_mask_channels);
            for burst in [2.0, 1e3, 1e6] {
                let found = features_of(burst, num_mask_channels);
                let frame = |features: &[f32], channel: usize, frame: usize| {
                    let offset = shape.spectrum_offset(channel, frame);
                    features[offset..offset + 2 * num_bins].to_vec()
                };
                if num_mask_channels == 2 {
                    let last = num_frames - 1;
                    assert_eq!(frame(&found, 0, last), frame(&plain, 0, last), "the burst is the other channel's");
                }
                for channel in 0..num_mask_channels {
                    for frame_idx in 0..num_frames - 1 {
                        assert_eq!(
                            frame(&found, channel, frame_idx),
                            frame(&plain, channel, frame_idx),
                            "frame {frame_idx}"
                        );
                    }
                    let loudest = frame(&found, channel, num_frames - 1)
                        .iter()
                        .fold(0.0_f32, |most, value| most.max(value.abs()));
                    let most_before = plain.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                    assert!(loudest <= most_before + scale * MAX_MODEL_PEAK, "{burst}: {loudest} beside {most_before}");
                }
            }
        }
        let (soft, softer) = (features_of(3.0, 2), features_of(2.0, 2));
        assert_ne!(soft, softer, "what is not that loud is heard as loud as it is");
    }
}
