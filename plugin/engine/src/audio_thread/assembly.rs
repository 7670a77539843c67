//! Frame by frame: the newest hop goes out to the worker, and what is heard of the frame that is due is added to the stems.
//!
//! The transforms are the worker's. After every block an audio thread finds its caches cold, and then an FFT costs five times what it
//! computes (`cargo bench -p underscore-dsp -- pause`); moving samples does not. Only a frame whose mask is missing while the last
//! one is still held is transformed here: at most as many in a row as [`Schedule`] holds a mask and fades.

use std::time::Duration;

use underscore_dsp::{Complex32, History, MaskedSynthesis, OverlapAdd, Stft};

use super::dispatch::{Dispatch, Due};
use super::schedule::Schedule;
use crate::handoff::CallShape;
use crate::latency::{Latency, ModelTiming};
use crate::query::Embedding;
use crate::status::EngineStatus;

/// What a step needs to know of the moment.
#[derive(Debug, Clone, Copy)]
pub struct StepSettings {
    /// Mask exponent.
    pub strength: f32,
    /// One mask for all channels.
    pub stereo_link: bool,
    /// No inference wanted.
    pub asleep: bool,
    /// What is asked for.
    pub embedding: Embedding,
    /// How long `process` may wait for the worker: not at all, unless the host renders ahead of real time.
    pub longest_wait: Option<Duration>,
}

/// Hops in, hops of stems out.
pub struct Assembly {
    dispatch: Dispatch,
    schedule: Schedule,
    shape: CallShape,
    /// `[channel]`: back to the beginning of the frame that is due.
    history: Vec<History>,
    /// One signal per stem and channel, `[stem][channel]`, the residual left out.
    overlap: OverlapAdd,
    stand_in: StandIn,
    mask_delay_frames: usize,
    next_frame: u64,
    /// Hops without sound up to the newest, and how many of them make a silent frame.
    num_silent_hops: usize,
    hops_per_window: usize,
}

/// Does the worker's part for a frame whose mask is missing.
struct StandIn {
    stft: Stft,
    synthesis: MaskedSynthesis,
    /// The frame's samples.
    frame: Vec<f32>,
    spectrum: Vec<Complex32>,
    heard: Vec<f32>,
}

impl Assembly {
    pub fn new(dispatch: Dispatch, shape: CallShape, timing: &ModelTiming, latency: &Latency) -> Self {
        let grid = latency.grid;
        let (window, hop) = (grid.window_samples(), grid.hop_samples());
        let CallShape { num_channels, num_stems, num_bins, .. } = shape;
        // A call that is missed costs its own masks and those of the frames before it that look ahead to it.
        let hold_frames = timing.frames_per_call + timing.look_ahead_frames;
        Self {
            dispatch,
            schedule: Schedule::new(num_channels, num_stems, num_bins, hold_frames),
            shape,
            history: (0..num_channels).map(|_| History::new(latency.mask_delay_frames * hop + window)).collect(),
            overlap: OverlapAdd::new(grid, num_stems * num_channels),
            stand_in: StandIn {
                stft: Stft::new(grid),
                synthesis: MaskedSynthesis::new(grid, num_bins),
                frame: vec![0.0; window],
                spectrum: vec![Complex32::default(); grid.num_bins()],
                heard: vec![0.0; grid.synthesis_samples()],
            },
            mask_delay_frames: latency.mask_delay_frames,
            next_frame: 0,
            num_silent_hops: 0,
            hops_per_window: window.div_ceil(hop),
        }
    }

    /// Back to before the first sample.
    pub fn reset(&mut self) {
        self.dispatch.reset();
        self.schedule.reset();
        self.history.iter_mut().for_each(History::reset);
        self.overlap.reset();
        self.next_frame = 0;
        self.num_silent_hops = 0;
    }

    /// How far the masks are in since the last hop that was given out, 0..=1.
    pub fn presence(&self) -> f32 {
        self.schedule.presence()
    }

    /// Takes one hop of every channel `[channel][sample]` and hands the frame that it completes to the worker.
    pub fn take_in(&mut self, hop_in: &[Vec<f32>], settings: StepSettings, status: &EngineStatus) {
        let frame_index = self.next_frame;
        self.next_frame += 1;
        for (history, hop) in self.history.iter_mut().zip(hop_in) {
            history.push(hop);
        }
        let is_silent_hop = hop_in.iter().flatten().all(|&sample| sample == 0.0);
        self.num_silent_hops = if is_silent_hop { self.num_silent_hops.saturating_add(1) } else { 0 };
        // Before the first sample there is silence, too.
        let is_silent = self.num_silent_hops >= self.hops_per_window || self.num_silent_hops as u64 > frame_index;
        let num_mask_channels = if settings.stereo_link { 1 } else { self.history.len() };
        let (history, shape) = (&self.history, self.shape);
        let (window, hop) = (shape.grid.window_samples(), shape.grid.hop_samples());
        self.dispatch.push_frame(frame_index, num_mask_channels, is_silent, settings, status, |frame_idx, call| {
            // What frames have in common lies there once: the first one brings its whole window, each other one its hop.
            let num_new = if frame_idx == 0 { window } else { hop };
            for (channel_idx, history) in history.iter().enumerate() {
                let end = shape.samples_offset(channel_idx, frame_idx) + window;
                history.copy(0, &mut call.samples[end - num_new..end]);
            }
        });
    }

    /// Gives one hop of every channel of every estimated stem, `[stem][channel][sample]`: with the frame that is due, which was
    /// handed over `mask_delay_frames` before the newest one.
    pub fn give_out(&mut self, hop_out: &mut [Vec<Vec<f32>>], settings: StepSettings, status: &EngineStatus) {
        let Some(frame_index) = self.next_frame.checked_sub(self.mask_delay_frames as u64 + 1) else {
            // Output before the first input sample.
            hop_out.iter_mut().flatten().for_each(|hop| hop.fill(0.0));
            return;
        };
        let due = self.dispatch.due(frame_index, settings.longest_wait, status);
        status.count_frame(due == Due::Late);
        match due {
            Due::Mask { call_idx, frame_idx } => self.add_heard(call_idx, frame_idx),
            Due::Silence => self.schedule.rest(),
            Due::Late | Due::Unheard => self.add_without_mask(true),
            Due::Nothing => self.add_without_mask(false),
        }
        self.dispatch.release(frame_index);
        for (signal_idx, hop) in hop_out.iter_mut().flatten().enumerate() {
            self.overlap.take_hop(signal_idx, hop);
        }
    }

    /// The frame that is due as the worker made it.
    fn add_heard(&mut self, call_idx: usize, frame_idx: usize) {
        let Self { dispatch, schedule, overlap, shape, .. } = self;
        let call = dispatch.returned(call_idx);
        schedule.take(call.num_mask_channels, |stem_idx, channel_idx| {
            let offset = shape.mask_offset(call.num_mask_channels, stem_idx, channel_idx, frame_idx);
            &call.masks[offset..offset + shape.num_bins]
        });
        for stem_idx in 0..shape.num_stems {
            for channel_idx in 0..shape.num_channels {
                let offset = shape.heard_offset(stem_idx, channel_idx, frame_idx);
                let heard = &call.heard[offset..offset + shape.grid.synthesis_samples()];
                overlap.add(stem_idx * shape.num_channels + channel_idx, heard, schedule.presence());
            }
        }
        self.add_dry_share();
    }

    /// The frame that is due through the last masks, as far as they are still held. `is_awaited`: its own were to come.
    fn add_without_mask(&mut self, is_awaited: bool) {
        self.schedule.miss(is_awaited);
        let Self { schedule, overlap, stand_in, shape, history, .. } = self;
        let num_newer = self.mask_delay_frames * shape.grid.hop_samples();
        if schedule.presence() > 0.0 {
            for (channel_idx, history) in history.iter().enumerate() {
                history.copy(num_newer, &mut stand_in.frame);
                stand_in.stft.analyse(&stand_in.frame, &mut stand_in.spectrum);
                for stem_idx in 0..shape.num_stems {
                    stand_in.synthesis.set_mask(schedule.mask(stem_idx, channel_idx));
                    stand_in.synthesis.synthesise(&stand_in.spectrum, &mut stand_in.heard);
                    let signal_idx = stem_idx * shape.num_channels + channel_idx;
                    overlap.add(signal_idx, &stand_in.heard, schedule.presence());
                }
            }
        }
        self.add_dry_share();
    }

    /// For as far as the masks are not in, every stem gets an equal share of the frame that is due.
    fn add_dry_share(&mut self) {
        let absence = 1.0 - self.schedule.presence();
        if absence == 0.0 {
            return;
        }
        let share = absence / (self.shape.num_stems + 1) as f32;
        let num_newer = self.mask_delay_frames * self.shape.grid.hop_samples();
        let heard = &mut self.stand_in.heard;
        for (channel_idx, history) in self.history.iter().enumerate() {
            history.copy(num_newer, heard);
            for stem_idx in 0..self.shape.num_stems {
                self.overlap.add_untransformed(stem_idx * self.shape.num_channels + channel_idx, heard, share);
            }
        }
    }
}
