//! From stems to the main output: gains, solo and mute, dry/wet and bypass. Pure arithmetic, without clicks.
//!
//! `main = (1 − amount) · dry + amount · Σ gain · stem`, with `amount = presence · wet · (1 − bypass)`. Where `amount` is 0 the
//! dry signal is copied, so that a bypassed plugin, or one without masks, is a delay and nothing else, bit for bit.

mod glide;

use glide::Glide;
use underscore_engine::{Ramp, s_curve};

use crate::block::{NUM_STEMS, StemBlock};

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
    /// Share of the separated mix, 0..=1.
    pub wet: f32,
    /// The host's bypass.
    pub is_bypassed: bool,
}

/// The gain that each stem is heard with: solo silences the others, mute silences even what is soloed.
#[must_use]
pub fn audible_gains(strips: &[Strip; NUM_STEMS]) -> [f32; NUM_STEMS] {
    let any_soloed = strips.iter().any(|strip| strip.is_soloed);
    strips.map(|strip| if strip.is_muted || (any_soloed && !strip.is_soloed) { 0.0 } else { strip.gain })
}

/// The mixer of one instance.
#[derive(Debug, Clone)]
pub struct Mixer {
    gains: [Glide; NUM_STEMS],
    wet: Glide,
    /// Position of the crossfade, 0 (active)..=1 (bypassed); its [`s_curve`] is what is applied.
    bypass: Ramp,
    bypass_fade_samples: usize,
    /// The next settings are taken as they are, without a glide: there is no sound before them to be continuous with.
    is_fresh: bool,
}

impl Mixer {
    /// A mixer at `rate_hz`.
    #[must_use]
    pub fn new(rate_hz: f64) -> Self {
        Self {
            gains: [Glide::new(rate_hz); NUM_STEMS],
            wet: Glide::new(rate_hz),
            bypass: Ramp::new(0.0),
            bypass_fade_samples: ((rate_hz * BYPASS_FADE_S).round() as usize).max(1),
            is_fresh: true,
        }
    }

    /// Forgets the past. Real-time safe.
    pub fn reset(&mut self) {
        self.is_fresh = true;
    }

    /// Moves towards `settings` from the next sample on.
    pub fn set(&mut self, settings: &MixSettings) {
        for (glide, gain) in self.gains.iter_mut().zip(audible_gains(&settings.strips)) {
            glide.set_target(gain, self.is_fresh);
        }
        self.wet.set_target(settings.wet, self.is_fresh);
        let fade_samples = if self.is_fresh { 0 } else { self.bypass_fade_samples };
        self.bypass.set_target(if settings.is_bypassed { 1.0 } else { 0.0 }, fade_samples);
        self.is_fresh = false;
    }

    /// The gains of this moment, `[stem]`, for the meters.
    #[must_use]
    pub fn gains(&self) -> [f32; NUM_STEMS] {
        self.gains.map(|glide| glide.value())
    }

    /// Writes the main output, `[channel][sample]`, each as long as the block.
    pub fn mix(&mut self, block: &StemBlock, main: &mut [&mut [f32]]) {
        for sample_idx in 0..block.num_samples {
            let gains = std::array::from_fn::<f32, NUM_STEMS, _>(|stem_idx| self.gains[stem_idx].next());
            let active = 1.0 - s_curve(self.bypass.next());
            let amount = block.presence[sample_idx] * self.wet.next() * active;
            for (channel_idx, channel) in main.iter_mut().enumerate().take(block.num_channels) {
                let dry = block.dry[channel_idx][sample_idx];
                channel[sample_idx] = if amount == 0.0 {
                    dry
                } else {
                    let mix: f32 =
                        gains.iter().zip(&block.stems).map(|(gain, stem)| gain * stem[channel_idx][sample_idx]).sum();
                    (1.0 - amount) * dry + amount * mix
                };
            }
        }
    }
}

#[cfg(test)]
mod tests;
