//! Sends the newest hop of the input to the worker and plays the hop of stems that is due, frame by frame.
//!
//! The transforms and the adding up are the worker's. After every block an audio thread finds its caches cold, and then an FFT costs
//! five times what it computes (`cargo bench -p underscore-dsp -- pause`); moving a hop of samples does not. Only for frames whose
//! masks are missing it does the worker's part: see [`FallbackSynthesis`].

use std::sync::Arc;
use std::time::Duration;

use underscore_backend::Batching;
use underscore_dsp::{History, touched_zeros};

use super::dispatch::{Dispatch, Due};
use super::fallback_synthesis::FallbackSynthesis;
use super::mask_fade::MaskFade;
use crate::handoff::{Call, CallShape};
use crate::latency::{Latency, ModelTiming};
use crate::query::Embedding;
use crate::status::EngineStatus;

/// The longest that a late mask is held, seconds: what a missed call of the models for mixing costs. Of a model that hears seconds ahead it costs
/// seconds.
const LONGEST_HOLD_S: f64 = 0.32;

/// Settings of one hop.
#[derive(Debug, Clone, Copy)]
pub struct StepSettings {
    /// Mask exponent.
    pub strength: f32,
    /// One mask for all channels.
    pub stereo_link: bool,
    /// No inference is wanted.
    pub asleep: bool,
    /// What a query model is asked for.
    pub embedding: Embedding,
    /// How long `process` may wait for the worker: not at all, unless the host renders ahead of real time.
    pub longest_wait: Option<Duration>,
    /// Whether calls may share a batch. They may once the host was seen to play: only a bounce has to be the same bit for bit each time.
    pub batching: Batching,
}

/// Takes hops of the input and gives hops of the stems.
pub struct HopPlayer {
    dispatch: Dispatch,
    status: Arc<EngineStatus>,
    mask_fade: MaskFade,
    shape: CallShape,
    fallback: FallbackSynthesis,
    latency: Latency,
    next_frame: u64,
    /// Hops without sound up to the newest, and how many of them make a silent frame.
    num_silent_hops: usize,
    hops_per_window: usize,
    /// The frame that was heard last of those that the worker made.
    last: Option<MadeFrame>,
    /// Whether the hop being played is that of `last`, where the worker wrote it.
    plays_last: bool,
    /// `[stem][channel][sample]`: the hop being played, where it is another one.
    own_hop: Box<[f32]>,
}

/// A frame that the worker made, by its place.
#[derive(Debug, Clone, Copy)]
struct MadeFrame {
    /// First frame of the call.
    first_frame: u64,
    /// Frame in the call.
    frame_idx: usize,
}

impl HopPlayer {
    pub fn new(
        dispatch: Dispatch,
        status: Arc<EngineStatus>,
        shape: CallShape,
        timing: &ModelTiming,
        latency: &Latency,
    ) -> Self {
        let grid = latency.grid;
        Self {
            dispatch,
            status,
            mask_fade: MaskFade::new(hold_frames(timing, shape.overlap_frames())),
            shape,
            fallback: FallbackSynthesis::new(shape),
            latency: *latency,
            next_frame: 0,
            num_silent_hops: 0,
            hops_per_window: grid.window_samples().div_ceil(grid.hop_samples()),
            last: None,
            plays_last: false,
            own_hop: touched_zeros(shape.num_stems * shape.num_channels * grid.hop_samples()).into_boxed_slice(),
        }
    }

    /// Samples of the past that it reads: up to the frame that is due, and to those that are heard in its hop, too.
    pub fn history_samples(latency: &Latency, shape: CallShape) -> usize {
        (latency.mask_delay_frames + shape.overlap_frames()) * latency.grid.hop_samples()
            + latency.synthesis_at_samples
            + latency.grid.window_samples()
    }

    /// Back to before the first sample.
    pub fn reset(&mut self) {
        self.dispatch.reset();
        self.mask_fade.reset();
        self.fallback.rest();
        self.next_frame = 0;
        self.num_silent_hops = 0;
        self.last = None;
        self.silence_hop();
    }

    fn silence_hop(&mut self) {
        self.plays_last = false;
        self.own_hop.fill(0.0);
    }

    /// Hands the frame that the newest hop in `history`, `[channel]`, completes to the worker.
    pub fn push_hop(&mut self, history: &[History], settings: StepSettings) {
        let frame_index = self.next_frame;
        self.next_frame += 1;
        let shape = self.shape;
        let hop = shape.grid.hop_samples();
        let is_silent_hop = history.iter().all(|history| history.is_silent(hop));
        self.num_silent_hops = if is_silent_hop { self.num_silent_hops.saturating_add(1) } else { 0 };
        // Before the first sample there is silence, too.
        let is_silent = self.num_silent_hops >= self.hops_per_window || self.num_silent_hops as u64 > frame_index;
        let num_mask_channels = if settings.stereo_link { 1 } else { history.len() };
        self.dispatch.push_frame(frame_index, num_mask_channels, is_silent, settings, |frame_idx, call| {
            // What frames have in common lies there once: each brings its hop, and the first one what lies before it, too, if
            // the worker has not got that.
            let num_new = if frame_idx == 0 && !call.is_continued { hop + shape.before_samples() } else { hop };
            for (channel_idx, history) in history.iter().enumerate() {
                let end = shape.samples_offset(channel_idx, frame_idx) + shape.grid.window_samples();
                history.copy(0, &mut call.samples[end - num_new..end]);
            }
        });
    }

    /// Goes on to the next [`HopPlayer::hop`]: with the frame that is due, which was handed over `mask_delay_frames` before the newest
    /// one. Says how far the masks are in at its beginning and at its end; where not at all, the hop is that of no mask and may not be
    /// used.
    pub fn next_hop(&mut self, history: &[History], settings: StepSettings) -> (f32, f32) {
        let Some(frame_index) = self.next_frame.checked_sub(self.latency.mask_delay_frames as u64 + 1) else {
            // Output before the first input sample.
            self.silence_hop();
            return self.mask_fade.presence();
        };
        let due = self.dispatch.due(frame_index, settings.longest_wait);
        match due {
            Due::Mask { call_idx, frame_idx } => self.give_made(history, frame_index, call_idx, frame_idx),
            Due::Silence => self.give_silence(),
            Due::Late | Due::Unheard => self.give_missing(history, true),
            Due::Asleep | Due::Nothing => self.give_missing(history, false),
        }
        self.dispatch.release(frame_index, self.last.map(|heard| heard.first_frame));
        let presence = self.mask_fade.presence();
        self.status.note_separated(self.mask_fade.is_at_rest() || presence.1 > 0.0);
        let is_unmasked = match due {
            Due::Nothing => true,
            // What the last mask stands in for is separated; a model that looks further ahead than that is held has more to begin anew with.
            Due::Unheard => presence.1 < 1.0,
            // It waits for sums that are whole.
            Due::Mask { .. } => presence.1 == 0.0,
            Due::Late | Due::Silence | Due::Asleep => false,
        };
        self.status.count_frame(due == Due::Late, is_unmasked);
        presence
    }

    /// One channel of one estimated stem, `[sample]`, of the hop being played. What the worker made is read where it lies, block by
    /// block: the call is kept for as long.
    pub fn hop(&self, stem_idx: usize, channel_idx: usize) -> &[f32] {
        let Self { shape, .. } = self;
        let hop = shape.grid.hop_samples();
        if self.plays_last
            && let Some((call, frame_idx)) = place_of(&self.dispatch, self.last)
        {
            return &call.sums[shape.sums_offset(stem_idx, channel_idx, frame_idx)..][..hop];
        }
        &self.own_hop[(stem_idx * shape.num_channels + channel_idx) * hop..][..hop]
    }

    /// The frame that is due as the worker made it.
    fn give_made(&mut self, history: &[History], frame_index: u64, call_idx: usize, frame_idx: usize) {
        let shape = self.shape;
        let Call { valid_from, first_frame, .. } = *self.dispatch.returned(call_idx);
        let heard = MadeFrame { first_frame, frame_idx };
        // In its hop frames are heard, too, that the worker did not make. Before frame 0 there are none.
        let is_incomplete = valid_from > 0 && frame_index < valid_from + shape.overlap_frames() as u64;
        if is_incomplete {
            if self.mask_fade.presence() == (0.0, 0.0) && !self.mask_fade.is_at_rest() {
                // Nobody has what came before.
                if shape.num_frames > shape.overlap_frames() {
                    // This call or the next holds sums that are whole. A fade that has not begun can wait for them: to catch up is the work of
                    // as many frames as overlap, in one block.
                    self.give_missing(history, false);
                    return;
                }
                // To wait until the worker's sums are whole would be to wait for ever where it is in time for every other call only.
                for age_frames in (1..=shape.overlap_frames()).rev() {
                    self.add_to_stand_in(history, age_frames, Some(heard));
                    self.take_from_stand_in();
                }
            }
            self.add_to_stand_in(history, 0, Some(heard));
            self.mask_fade.mask_arrived();
            self.last = Some(heard);
            self.take_from_stand_in();
            return;
        }
        let is_handed_over = self.fallback.is_acting() && self.mask_fade.presence().1 > 0.0;
        if is_handed_over {
            self.add_to_stand_in(history, 0, self.last);
        }
        self.fallback.rest();
        self.mask_fade.mask_arrived();
        self.last = Some(heard);
        self.plays_last = !is_handed_over;
        if is_handed_over {
            let call = self.dispatch.returned(call_idx);
            let hops = self.own_hop.chunks_exact_mut(shape.grid.hop_samples());
            for (signal_idx, hop) in hops.enumerate() {
                let (stem_idx, channel_idx) = (signal_idx / shape.num_channels, signal_idx % shape.num_channels);
                let offset = shape.sums_offset(stem_idx, channel_idx, frame_idx);
                hop.copy_from_slice(&call.sums[offset..offset + hop.len()]);
                self.fallback.hand_over(signal_idx, hop);
            }
        }
    }

    /// A frame without sound: what is left of those before it.
    fn give_silence(&mut self) {
        self.mask_fade.silence();
        self.fallback.add_silence(place_of(&self.dispatch, self.last));
        self.take_from_stand_in();
    }

    /// The frame that is due through the last mask, as far as it is still held. `is_awaited`: its own was to come.
    fn give_missing(&mut self, history: &[History], is_awaited: bool) {
        self.mask_fade.mask_missing(is_awaited);
        if self.mask_fade.presence() == (0.0, 0.0) {
            self.fallback.rest();
            self.last = None;
            return;
        }
        self.add_to_stand_in(history, 0, self.last);
        self.take_from_stand_in();
    }

    /// Has the stand-in make the frame that was due `age_frames` before the one that is due now, through the mask of `masked`.
    fn add_to_stand_in(&mut self, history: &[History], age_frames: usize, masked: Option<MadeFrame>) {
        let Latency { grid, synthesis_at_samples, mask_delay_frames, .. } = self.latency;
        let num_newer = (mask_delay_frames + age_frames) * grid.hop_samples() + synthesis_at_samples;
        let (last, masked) = (place_of(&self.dispatch, self.last), place_of(&self.dispatch, masked));
        self.fallback.add_frame(last, masked, history, num_newer);
    }

    fn take_from_stand_in(&mut self) {
        self.plays_last = false;
        for (signal_idx, hop) in self.own_hop.chunks_exact_mut(self.shape.grid.hop_samples()).enumerate() {
            self.fallback.take_hop(signal_idx, hop);
        }
    }
}

/// For how many frames a late mask is held. A call that is missed costs its own masks, those of the frames before it that look ahead to it, and the
/// `overlap_frames` after it in which it would have been heard. One mask stands for another as long as the sound is like it, and no longer.
fn hold_frames(timing: &ModelTiming, overlap_frames: usize) -> usize {
    let missed_frames = timing.frames_per_call + timing.look_ahead_frames + overlap_frames;
    missed_frames.min((LONGEST_HOLD_S / timing.hop_s) as usize)
}

/// The call that `heard` lies in, and its frame there.
fn place_of(dispatch: &Dispatch, heard: Option<MadeFrame>) -> Option<(&Call, usize)> {
    let MadeFrame { first_frame, frame_idx } = heard?;
    dispatch.kept(first_frame).map(|call| (call, frame_idx))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio_thread::engine::activation::call_shape;
    use crate::catalogue::ModelSpec;
    use crate::latency::latency;

    #[test]
    fn a_late_mask_is_held_for_what_a_missed_call_costs_and_never_for_seconds() {
        // In words they stand in the README.
        for (family, expected_frames) in [("music", 19), ("query", 19), ("live", 2), ("exact", 20)] {
            let spec = ModelSpec::shipped(family);
            let latency = latency(&spec.timing, 48_000.0, 256).unwrap();
            let found = hold_frames(&spec.timing, call_shape(spec, &latency, 2).overlap_frames());
            println!("{}: {found} frames, {:.0} ms", spec.id, 1e3 * found as f64 * spec.timing.hop_s);
            assert_eq!(found, expected_frames, "{}", spec.id);
        }
    }
}
