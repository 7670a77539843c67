//! From stems to the main output: gains, solo and mute, ducking, dry/wet and bypass. Pure arithmetic, without clicks.
//!
//! `main = (1 − separated) · dry + separated · (Σ gain · found + (1 − presence) · stand-in · dry)`, with
//! `separated = wet · (1 − bypass)`; `found` is the stem without the share of the dry signal that it has where masks are missing; the music's gain is its
//! strip's times the ducker's. Where `separated` is 0 the dry signal is copied,
//! so that a bypassed plugin is a delay and nothing else, bit for bit; and so is one without masks, as long as a strip is at unity or
//! above.
//!
//! Without masks nothing is known of the stems: the programme stands in for them, at the gain of the louder strip, so that what is
//! turned down or muted as a whole stays so, and speech is as loud as before; but never louder than it came.

mod duck;
mod glide;

use duck::{Duck, ducked, of_music};
use glide::Glide;
use underscore_engine::{Control, DuckerSettings, Ramp, s_curve};

use crate::block::{NUM_STEMS, StemBlock, wet_part};

/// Duration of the bypass crossfade, seconds.
const BYPASS_FADE_S: f64 = 0.010;

/// The controls of one stem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strip {
    /// Linear gain.
    pub gain: f32,
    /// Only soloed stems are heard.
    pub is_soloed: bool,
    /// Not heard, soloed or not.
    pub is_muted: bool,
}

/// The controls of the mixer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixSettings {
    /// `[stem]`
    pub strips: [Strip; NUM_STEMS],
    /// How the music is ducked under the dialogue.
    pub duck: DuckerSettings,
    /// Share of the separated mix, 0..=1.
    pub wet: f32,
    /// The host's bypass.
    pub is_bypassed: bool,
}

/// Which stems are let through: solo silences the others, mute silences even what is soloed.
#[must_use]
pub fn audible(strips: &[Strip; NUM_STEMS]) -> [bool; NUM_STEMS] {
    let any_soloed = strips.iter().any(|strip| strip.is_soloed);
    strips.map(|strip| !strip.is_muted && (strip.is_soloed || !any_soloed))
}

/// The gain that each stem is heard with.
#[must_use]
pub fn audible_gains(strips: &[Strip; NUM_STEMS]) -> [f32; NUM_STEMS] {
    let audible = audible(strips);
    std::array::from_fn(|stem_idx| if audible[stem_idx] { strips[stem_idx].gain } else { 0.0 })
}

/// The mixer of one instance.
#[derive(Debug, Clone)]
pub struct Mixer {
    controls: Controls,
    duck: Duck,
    /// Gains of the last sample that was mixed.
    ducking: Ducking,
    bypass_fade_samples: usize,
    /// The next settings are taken as they are, without a glide: there is no sound before them to be continuous with.
    is_fresh: bool,
}

impl Mixer {
    /// A mixer at `rate_hz` for blocks of at most `max_block_samples`.
    #[must_use]
    pub fn new(rate_hz: f64, max_block_samples: usize) -> Self {
        Self {
            controls: Controls {
                gains: [Glide::new(rate_hz); NUM_STEMS],
                wet: Glide::new(rate_hz),
                bypass: Ramp::new(0.0),
            },
            duck: Duck::new(rate_hz, max_block_samples),
            ducking: Ducking::NONE,
            bypass_fade_samples: ((rate_hz * BYPASS_FADE_S).round() as usize).max(1),
            is_fresh: true,
        }
    }

    /// Forgets the past. Real-time safe.
    pub fn reset(&mut self) {
        self.duck.reset();
        self.is_fresh = true;
    }

    /// Moves towards `settings` from the next sample on.
    pub fn set(&mut self, settings: &MixSettings) {
        let Controls { gains, wet, bypass } = &mut self.controls;
        for (glide, gain) in gains.iter_mut().zip(audible_gains(&settings.strips)) {
            glide.set_target(gain, self.is_fresh);
        }
        wet.set_target(settings.wet, self.is_fresh);
        self.duck.set(settings.duck, self.is_fresh);
        let fade_samples = if self.is_fresh { 0 } else { self.bypass_fade_samples };
        bypass.set_target(if settings.is_bypassed { 1.0 } else { 0.0 }, fade_samples);
        self.is_fresh = false;
    }

    /// The gains of this moment, `[stem]`, for the meters.
    #[must_use]
    pub fn gains(&self) -> [f32; NUM_STEMS] {
        ducked(self.controls.gains.map(|glide| glide.value()), self.ducking.gain)
    }

    /// What the ducker does at this moment, for the meters.
    #[must_use]
    pub fn ducking(&self) -> Ducking {
        self.ducking
    }

    /// Writes the main output, `[channel][sample]`, each as long as the block.
    pub fn mix(&mut self, block: &StemBlock<'_>, main: &mut [&mut [f32]]) {
        let main = main.iter_mut().take(block.num_channels).enumerate();
        let Self { controls, duck: ducker, ducking, .. } = self;
        let duck = ducker.follow(block);
        if let (true, Control::Constant(presence), Control::Constant(duck), Control::Constant(query_share)) =
            (controls.is_settled(), block.presence, duck, block.query_share)
        {
            // Nothing moves: the same sum for all samples.
            let (shares, duck) = (controls.next(), of_music(duck, query_share));
            for (channel_idx, channel) in main {
                let [one, other] = block.stems.map(|stem| stem[channel_idx]);
                for (((out, dry), one), other) in channel.iter_mut().zip(block.dry[channel_idx]).zip(one).zip(other) {
                    *out = shares.mix(presence, duck, *dry, [*one, *other]);
                }
            }
            *ducking = Ducking { gain: duck, heard: shares.separated * presence, key_db: ducker.key_db() };
            return;
        }
        let before = *controls;
        let (mut gain, mut heard) = (1.0, 0.0);
        for (channel_idx, channel) in main {
            *controls = before;
            for (sample_idx, out) in channel.iter_mut().enumerate().take(block.num_samples) {
                let stems = block.stems.map(|stem| stem[channel_idx][sample_idx]);
                let presence = block.presence.at(sample_idx);
                let (shares, duck) = (controls.next(), of_music(duck.at(sample_idx), block.query_share.at(sample_idx)));
                *out = shares.mix(presence, duck, block.dry[channel_idx][sample_idx], stems);
                (gain, heard) = (duck, shares.separated * presence);
            }
        }
        *ducking = Ducking { gain, heard, key_db: ducker.key_db() };
    }
}

/// What the ducker does, for who looks at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ducking {
    /// Linear gain of the music among the stems, 0..=1.
    gain: f32,
    /// How much of the main output the stems are, 0..=1.
    heard: f32,
    /// Level of the dialogue as it is compared with the threshold, dBFS; nothing while nothing can be ducked.
    pub key_db: Option<f32>,
}

impl Ducking {
    /// Nothing is ducked.
    pub const NONE: Self = Self { gain: 1.0, heard: 0.0, key_db: None };

    /// How far the music in the main output is down, dB, 0 and up, where its strip is at unity.
    #[must_use]
    pub fn down_db(&self) -> f32 {
        -20.0 * (1.0 - self.heard * (1.0 - self.gain)).max(1e-6).log10()
    }
}

/// What moves from sample to sample as the settings say, the same on all channels.
#[derive(Debug, Clone, Copy)]
struct Controls {
    /// `[stem]`
    gains: [Glide; NUM_STEMS],
    wet: Glide,
    /// Position of the crossfade, 0 (active)..=1 (bypassed); its [`s_curve`] is what is applied.
    bypass: Ramp,
}

impl Controls {
    fn is_settled(&self) -> bool {
        self.gains.iter().all(Glide::is_settled) && self.wet.is_settled() && self.bypass.is_settled()
    }

    /// The shares of the next sample.
    fn next(&mut self) -> Shares {
        let gains = std::array::from_fn(|stem_idx| self.gains[stem_idx].next());
        let active = 1.0 - s_curve(self.bypass.next());
        Shares { gains, separated: self.wet.next() * active }
    }
}

/// What a sample is mixed by.
struct Shares {
    /// `[stem]`
    gains: [f32; NUM_STEMS],
    /// Share of the separated mix where the masks are in, 0..=1.
    separated: f32,
}

impl Shares {
    /// A sample of the delayed input, and of what was found, out of the stems, `[stem]`, whose masks are in as far as `presence` says; the music at
    /// the ducker's gain `duck`.
    #[inline]
    fn mix(&self, presence: f32, duck: f32, dry: f32, stems: [f32; NUM_STEMS]) -> f32 {
        if self.separated == 0.0 {
            return dry;
        }
        let substitute_gain = self.gains.iter().fold(0.0, |louder: f32, gain| louder.max(*gain)).min(1.0);
        // At unity exactly 1, so that without masks nothing is rounded.
        let dry_gain = 1.0 + self.separated * ((1.0 - presence) * substitute_gain - 1.0);
        if presence == 0.0 {
            return dry_gain * dry;
        }
        let gains = ducked(self.gains, duck);
        let mix: f32 = gains.iter().zip(stems).map(|(gain, stem)| gain * wet_part(stem, dry, presence)).sum();
        dry_gain * dry + self.separated * mix
    }
}

#[cfg(test)]
mod tests;
