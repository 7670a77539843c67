//! The engine: host blocks in, stems out.

pub mod activation;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use underscore_backend::Batching;
use underscore_dsp::{Control, ControlBuffer, History, s_curve};

use super::capture::Capture;
use super::hop_player::{HopPlayer, StepSettings};
use super::pace::Pace;
use super::stems::Stems;
use crate::examples::EXAMPLE_CHANNELS;
use crate::latency::Latency;
use crate::query::{Embedding, QueryBlend};
use crate::status::{EngineStatus, State};

/// Seconds of `asleep` after which inference stops. Below it the masks keep coming, so that switching bypass back and forth
/// compares at once.
const SLEEP_AFTER_S: f64 = 2.0;

/// The longest that a host which says it is offline, or is too far ahead to be playing, waits for one call, model loading included. A worker that
/// takes longer is stuck, and a bounce that ends dry is better than one that never ends.
const LONGEST_WAIT_OFFLINE: Duration = Duration::from_mins(1);

/// The same for a host that only looks as if it were: short, in case the look deceives, but long enough for a step on a busy
/// machine, and for a model to load.
const LONGEST_WAIT_AHEAD: Duration = Duration::from_secs(1);
const LONGEST_WAIT_AHEAD_LOADING: Duration = Duration::from_secs(5);

/// Whether the host says that it renders offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenderMode {
    /// It plays, or does not say.
    RealTime,
    /// It bounces: `process` waits for the worker.
    Offline,
}

/// What may change with every block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Mask exponent, 0..=2: 0 separates nothing, 1 does as the model says, 2 leaves less bleed and more artefacts. A change takes
    /// effect with the next call, a frame's overlap long.
    pub strength: f32,
    /// One mask for all channels, from their RMS magnitude; otherwise each channel its own.
    pub stereo_link: bool,
    /// What the host says of its rendering.
    pub render: RenderMode,
    /// The masks are not used (bypass): after [`SLEEP_AFTER_S`] no inference is run, unless the host renders ahead of real time.
    pub asleep: bool,
    /// What a model that is asked is to look for. A change takes effect with the next call, a frame's overlap long.
    pub query_blend: QueryBlend,
    /// Slot A asks for what the sidechain says, listened to anew every second.
    pub is_following: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strength: 1.0,
            stereo_link: true,
            render: RenderMode::RealTime,
            asleep: false,
            query_blend: QueryBlend::default(),
            is_following: false,
        }
    }
}

/// From host blocks to stems. Made in the host's `activate`, used on its audio thread.
pub struct Engine {
    hops: HopPlayer,
    model_id: String,
    /// Where the model is asked by example.
    capture: Option<Capture>,
    /// `[channel]`: the input, back to the frame that is due and to what comes out of the delay.
    history: Vec<History>,
    pace: Pace,
    /// What the host said of the last block.
    render_before: RenderMode,
    status: Arc<EngineStatus>,
    latency: Latency,
    host_rate_hz: f64,
    num_asleep_samples: f64,
    /// Samples of the current hop that are in.
    hop_fill: usize,
    /// Presence at the start and the end of the hop being played.
    hop_presence: (f32, f32),
    max_block_samples: usize,
    /// `[channel][sample]` of the block.
    dry: Vec<Vec<f32>>,
    /// `[stem][channel][sample]` of the block, the residual last.
    stems: Vec<Vec<Vec<f32>>>,
    /// Of the block.
    presence: ControlBuffer,
}

impl Engine {
    /// The delay of everything that [`Engine::process`] gives back, samples.
    #[must_use]
    pub fn latency_samples(&self) -> usize {
        self.latency.latency_samples
    }

    /// Channels of the main bus.
    #[must_use]
    pub fn num_channels(&self) -> usize {
        self.history.len()
    }

    /// Whether its model is asked by example, so that its stems are a target and what it leaves.
    #[must_use]
    pub fn is_query_model(&self) -> bool {
        self.capture.is_some()
    }

    /// The live figures.
    #[must_use]
    pub fn status(&self) -> Arc<EngineStatus> {
        self.status.clone()
    }

    /// Forgets all audio but what examples may be taken of: the next sample is sample 0. Real-time safe.
    pub fn reset(&mut self) {
        self.hops.reset();
        if let Some(capture) = &mut self.capture {
            capture.reset();
        }
        self.num_asleep_samples = 0.0;
        self.history.iter_mut().for_each(History::reset);
        self.hop_fill = 0;
        self.hop_presence = (0.0, 0.0);
        self.pace.reset();
    }

    /// Forgets what examples may be taken of, too: what is bounced is not to depend on what was played before. Real-time safe.
    pub fn clear_captured(&mut self) {
        if let Some(capture) = &mut self.capture {
            capture.clear_captured();
        }
    }

    /// Takes in a block of the sidechain, `[channel][sample]`, of which an example may be taken.
    pub fn listen(&mut self, sidechain: &[&[f32]]) {
        if let Some(capture) = &mut self.capture {
            capture.listen(sidechain);
        }
    }

    /// Before a block is listened to: takes an example where one is due of a sidechain that is followed. Blocks that end after
    /// [`Engine::num_samples_to_follow`] at the latest make a bounce independent of the host's.
    pub fn follow(&mut self, is_following: bool) {
        if let Some(capture) = &mut self.capture {
            capture.follow(is_following);
        }
    }

    /// Samples before which no further example of a sidechain that is followed is due, at least one; none where the model is not asked.
    #[must_use]
    pub fn num_samples_to_follow(&self) -> Option<usize> {
        self.capture.as_ref().map(Capture::num_samples_to_follow)
    }

    /// Id of its model.
    #[must_use]
    pub fn model_id(&self) -> &str {
        &self.model_id
    }

    /// The last seconds of sound in the sidechain are the example of `slot`: the worker listens to it and writes on its board where it lies.
    pub fn take_sidechain_example(&mut self, slot: usize) {
        if let Some(capture) = &mut self.capture {
            capture.take(slot);
        }
    }

    /// The last seconds of sound in the target are the example of `slot`: what was found is asked for in its turn.
    pub fn take_target_example(&mut self, slot: usize) {
        if let Some(capture) = &mut self.capture {
            capture.take_target_example(slot);
        }
    }

    /// Processes one block of any length up to the largest: `input` is `[channel][sample]`. A longer block, or channels of
    /// unequal length, are cut to what fits; the caller is to split them.
    pub fn process(&mut self, input: &[&[f32]], settings: &Settings) -> Stems<'_> {
        let num_samples = input.iter().map(|channel| channel.len()).min().unwrap_or(0).min(self.max_block_samples);
        let block_s = num_samples as f64 / self.host_rate_hz;
        if self.render_before != settings.render {
            self.render_before = settings.render;
            // By how much the bounce was ahead says nothing of the host that plays on.
            self.pace.reset();
        }
        self.pace.note_piece(Instant::now(), block_s);
        let is_loading = self.status.state() == State::Loading;
        let longest_wait = self.longest_wait(settings.render, is_loading);
        // A bounce has no time to save, and what comes after a bypass would begin without masks.
        let asleep = settings.asleep && longest_wait.is_none();
        let embedding = match &mut self.capture {
            Some(capture) => capture.embedding(&settings.query_blend, settings.is_following, longest_wait),
            None => Some(Embedding::default()),
        };
        // What nobody here understands is not separated by.
        let is_unanswerable = embedding.is_none();
        let embedding = embedding.unwrap_or_default();
        let batching = if self.pace.keeps_time() { Batching::ALLOWED } else { Batching::NEVER };
        let is_forgiven = longest_wait.is_some() && (is_loading || self.pace.is_far_ahead());
        let (hop, synthesis_at) = (self.latency.grid.hop_samples(), self.latency.synthesis_at_samples);
        self.presence.clear();
        let (mut done, mut num_replaced) = (0, 0);
        while done < num_samples {
            let next_place = if self.hop_fill < synthesis_at { synthesis_at } else { hop };
            let take = (num_samples - done).min(next_place - self.hop_fill);
            num_replaced += self.exchange(input, done..done + take);
            done += take;
            // Counted and decided place by place, so that it does not depend on where blocks end.
            self.num_asleep_samples = if asleep { self.num_asleep_samples + take as f64 } else { 0.0 };
            let asleep = is_unanswerable || self.num_asleep_samples > SLEEP_AFTER_S * self.host_rate_hz;
            let Settings { strength, stereo_link, .. } = *settings;
            self.work(StepSettings { strength, stereo_link, asleep, embedding, longest_wait, batching });
        }
        if num_replaced > 0 {
            self.status.count_replaced_samples(num_replaced);
        }
        if is_forgiven {
            self.pace.forgive_until(Instant::now());
        }
        self.capture_target(num_samples);
        self.compute_residual(num_samples);
        Stems { num_samples, audio: &self.stems, dry: &self.dry, presence: self.presence.get() }
    }

    /// How long the worker is waited for at the most; none where the host plays.
    fn longest_wait(&self, render: RenderMode, is_loading: bool) -> Option<Duration> {
        match render {
            RenderMode::Offline => Some(LONGEST_WAIT_OFFLINE),
            RenderMode::RealTime if !self.pace.is_ahead() => None,
            RenderMode::RealTime if self.pace.is_far_ahead() => Some(LONGEST_WAIT_OFFLINE),
            RenderMode::RealTime if is_loading => Some(LONGEST_WAIT_AHEAD_LOADING),
            RenderMode::RealTime => Some(LONGEST_WAIT_AHEAD),
        }
    }

    /// The target of a model that is asked may be the next example.
    fn capture_target(&mut self, num_samples: usize) {
        let (Some(capture), Some(target)) = (&mut self.capture, self.stems.first()) else { return };
        let mut note = |range: Range<usize>| {
            let mut channels = target.iter();
            let found = std::array::from_fn::<&[f32], EXAMPLE_CHANNELS, _>(|_| {
                channels.next().map(|channel| &channel[range.clone()]).unwrap_or_default()
            });
            capture.capture_target(&found);
        };
        // Where masks are missing the target is a share of what went in.
        match self.presence.get() {
            Control::Constant(presence) if presence < 1.0 => {}
            Control::Constant(_) => note(0..num_samples),
            Control::Varying(presence) => {
                let mut done = 0;
                for run in presence.chunk_by(|a, b| (*a < 1.0) == (*b < 1.0)) {
                    if run[0] >= 1.0 {
                        note(done..done + run.len());
                    }
                    done += run.len();
                }
            }
        }
    }

    /// Does what is to be done at this place of the hop; see [`crate::latency()`].
    fn work(&mut self, step: StepSettings) {
        if self.hop_fill == self.latency.synthesis_at_samples {
            self.hop_presence = self.hops.next_hop(&self.history, step);
        }
        if self.hop_fill == self.latency.grid.hop_samples() {
            self.hop_fill = 0;
            self.hops.push_hop(&self.history, step);
        }
    }

    /// Takes samples `range` of the block in, and as many out: of the delayed input, and of the hop being played as far as the masks are in.
    /// For the rest every stem gets an equal share of the delayed input. Returns how many samples were no sound and were replaced.
    fn exchange(&mut self, input: &[&[f32]], range: Range<usize>) -> usize {
        let mut num_replaced = 0;
        for (channel_idx, (history, dry)) in self.history.iter_mut().zip(&mut self.dry).enumerate() {
            match input.get(channel_idx) {
                Some(channel) => num_replaced += history.push(&channel[range.clone()]),
                None => history.push_silence(range.len()),
            }
            history.copy(self.latency.latency_samples, &mut dry[range.clone()]);
        }
        let hop = self.latency.grid.hop_samples();
        let num_played = (self.hop_fill + hop - self.latency.synthesis_at_samples) % hop;
        let (from, to) = self.hop_presence;
        let presence_at = |place: usize| from + (to - from) * s_curve((place + 1) as f32 / hop as f32);
        if from == to {
            self.presence.push_constant(to, range.len());
        } else {
            self.presence.push((num_played..num_played + range.len()).map(presence_at));
        }
        let share = 1.0 / self.stems.len() as f32;
        let num_estimated = self.stems.len() - 1;
        for (stem_idx, stem) in self.stems.iter_mut().enumerate().take(num_estimated) {
            for (channel_idx, (channel, dry)) in stem.iter_mut().zip(&self.dry).enumerate() {
                let (channel, dry) = (&mut channel[range.clone()], &dry[range.clone()]);
                if (from, to) == (0.0, 0.0) {
                    channel.iter_mut().zip(dry).for_each(|(out, dry)| *out = share * dry);
                    continue;
                }
                let made = &self.hops.hop(stem_idx, channel_idx)[num_played..][..range.len()];
                if (from, to) == (1.0, 1.0) {
                    channel.copy_from_slice(made);
                    continue;
                }
                for (place, ((out, made), dry)) in channel.iter_mut().zip(made).zip(dry).enumerate() {
                    let presence = if from == to { to } else { presence_at(num_played + place) };
                    *out = presence * made + (1.0 - presence) * share * dry;
                }
            }
        }
        self.hop_fill += range.len();
        num_replaced
    }

    /// The last stem is what the others leave of the mixture, so that all of them sum to it.
    fn compute_residual(&mut self, num_samples: usize) {
        let Some((residual, estimates)) = self.stems.split_last_mut() else { return };
        for (channel_idx, channel) in residual.iter_mut().enumerate() {
            let channel = &mut channel[..num_samples];
            channel.copy_from_slice(&self.dry[channel_idx][..num_samples]);
            for estimate in estimates.iter() {
                for (value, taken) in channel.iter_mut().zip(&estimate[channel_idx][..num_samples]) {
                    *value -= taken;
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
