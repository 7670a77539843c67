//! Frame by frame: analysis of the newest one, masks for the one that is due, and its synthesis.

use std::time::Duration;

use underscore_dsp::{Complex32, Istft, MaskExtender, Stft, linking, mask};

use super::dispatch::{Dispatch, Due};
use super::schedule::Schedule;
use crate::catalogue::ModelSpec;
use crate::latency::Latency;
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

/// Spectra in flight, and everything between them and the stems.
pub struct Separator {
    dispatch: Dispatch,
    schedule: Schedule,
    analysis: Stft,
    /// Spectra of the last `mask_delay_frames + 1` frames, by frame index modulo that: `[frame][channel][bin]`.
    mixture: Vec<Vec<Vec<Complex32>>>,
    /// One signal per stem and channel, `[stem][channel]`, the residual left out.
    synthesis: Istft,
    extender: MaskExtender,
    /// `[bin]` at the host's rate.
    host_mask: Vec<f32>,
    masked: Vec<Complex32>,
    /// Model window over host window: brings magnitudes to what the model knows.
    scale: f32,
    num_channels: usize,
    mask_delay_frames: u64,
    next_frame: u64,
    /// Hops without sound up to the newest, and how many of them make a silent frame.
    num_silent_hops: usize,
    hops_per_window: usize,
}

impl Separator {
    pub fn new(dispatch: Dispatch, spec: &ModelSpec, latency: &Latency, num_channels: usize) -> Self {
        let grid = latency.grid;
        let num_bins = grid.num_bins();
        let num_stems = spec.num_estimated_stems();
        let num_frames = latency.mask_delay_frames + 1;
        let timing = &spec.timing;
        Self {
            dispatch,
            // A call that is missed costs its own masks and those of the frames before it that look ahead to it.
            schedule: Schedule::new(
                num_channels,
                num_stems,
                timing.num_bins,
                timing.frames_per_call + timing.look_ahead_frames,
            ),
            analysis: Stft::new(grid, num_channels),
            mixture: vec![vec![vec![Complex32::default(); num_bins]; num_channels]; num_frames],
            synthesis: Istft::new(grid, num_stems * num_channels),
            extender: MaskExtender::new(timing.num_bins, num_bins),
            host_mask: vec![0.0; num_bins],
            masked: vec![Complex32::default(); num_bins],
            scale: timing.window_samples() as f32 / grid.window_samples() as f32,
            num_channels,
            mask_delay_frames: latency.mask_delay_frames as u64,
            next_frame: 0,
            num_silent_hops: 0,
            hops_per_window: grid.window_samples().div_ceil(grid.hop_samples()),
        }
    }

    /// Back to before the first sample.
    pub fn reset(&mut self) {
        self.dispatch.reset();
        self.schedule.reset();
        self.analysis.reset();
        self.synthesis.reset();
        for spectrum in self.mixture.iter_mut().flatten() {
            spectrum.fill(Complex32::default());
        }
        self.next_frame = 0;
        self.num_silent_hops = 0;
    }

    /// How far the masks are in since the last synthesis, 0..=1.
    pub fn presence(&self) -> f32 {
        self.schedule.presence()
    }

    /// Takes one hop of every channel `[channel][sample]`, analyses the frame that it completes, and hands it to the worker.
    pub fn analyse(&mut self, hop_in: &[Vec<f32>], settings: StepSettings, status: &EngineStatus) {
        let frame_index = self.next_frame;
        self.next_frame += 1;
        let place = (frame_index % self.mixture.len() as u64) as usize;
        let spectra = &mut self.mixture[place];
        for (channel_idx, (hop, spectrum)) in hop_in.iter().zip(spectra.iter_mut()).enumerate() {
            self.analysis.analyse(channel_idx, hop, spectrum);
        }
        let is_silent_hop = hop_in.iter().flatten().all(|&sample| sample == 0.0);
        self.num_silent_hops = if is_silent_hop { self.num_silent_hops.saturating_add(1) } else { 0 };
        // Before the first sample there is silence, too.
        let is_silent = self.num_silent_hops >= self.hops_per_window || self.num_silent_hops as u64 > frame_index;
        let num_mask_channels = if settings.stereo_link { 1 } else { self.num_channels };
        let (spectra, scale) = (&self.mixture[place], self.scale);
        self.dispatch.push_frame(
            frame_index,
            num_mask_channels,
            is_silent,
            settings,
            status,
            |of, channel_idx, out| {
                if of == 1 {
                    linking::link_rms(spectra.iter().map(Vec::as_slice), scale, out);
                } else {
                    linking::pack(&spectra[channel_idx], scale, out);
                }
            },
        );
    }

    /// Gives one hop of every channel of every estimated stem, `[stem][channel][sample]`: of the frame that is due, which was
    /// analysed `mask_delay_frames` before the newest one.
    pub fn synthesise(&mut self, hop_out: &mut [Vec<Vec<f32>>], settings: StepSettings, status: &EngineStatus) {
        let Some(frame_index) = self.next_frame.checked_sub(self.mask_delay_frames + 1) else {
            // Output before the first input sample.
            hop_out.iter_mut().flatten().for_each(|hop| hop.fill(0.0));
            return;
        };
        let due = self.dispatch.due(frame_index, settings.longest_wait, status);
        match due {
            Due::Mask { call_idx, frame_idx } => {
                let dispatch = &self.dispatch;
                self.schedule.take(dispatch.num_mask_channels(call_idx), |stem_idx, channel_idx| {
                    dispatch.mask(call_idx, frame_idx, stem_idx, channel_idx)
                });
            }
            Due::Silence => self.schedule.rest(),
            Due::Late | Due::Unheard => self.schedule.miss(true),
            Due::Nothing => self.schedule.miss(false),
        }
        status.count_frame(due == Due::Late);
        self.dispatch.release(frame_index);

        self.schedule.shape(settings.strength);
        let spectra = &self.mixture[(frame_index % self.mixture.len() as u64) as usize];
        for (stem_idx, hops) in hop_out.iter_mut().enumerate() {
            for (channel_idx, hop) in hops.iter_mut().enumerate() {
                if channel_idx < self.schedule.num_mask_channels() {
                    self.extender.extend(self.schedule.mask(stem_idx, channel_idx), &mut self.host_mask);
                    self.schedule.blend(&mut self.host_mask);
                }
                mask::apply(&self.host_mask, &spectra[channel_idx], &mut self.masked);
                self.synthesis.synthesise(stem_idx * self.num_channels + channel_idx, &mut self.masked, hop);
            }
        }
    }
}
