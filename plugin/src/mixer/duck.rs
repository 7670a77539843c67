//! The music goes down while the dialogue is heard.

use underscore_engine::{Control, ControlBuffer, Ducker, DuckerSettings};

use crate::block::{MAX_CHANNELS, NUM_STEMS, StemBlock, wet_part};

/// The stem that is ducked: the music.
const DUCKED: usize = 0;
/// The stem that it is ducked under: the dialogue.
const KEY: usize = 1;

/// What lies below is not listened to, Hz (6 dB per octave): rumble and plosives are no speech.
const KEY_FROM_HZ: f64 = 120.0;

/// The ducker of one instance.
#[derive(Debug, Clone)]
pub struct Duck {
    ducker: Ducker,
    key: Key,
    /// `[sample]`: the gain of the block that was followed last.
    gains: ControlBuffer,
}

/// What is listened to.
#[derive(Debug, Clone, Copy)]
struct Key {
    /// Share of the way per sample of what is taken away.
    share: f32,
    /// `[channel]`: what lies below.
    low: [f32; MAX_CHANNELS],
}

impl Duck {
    /// For blocks of at most `max_samples` at `rate_hz`.
    pub fn new(rate_hz: f64, max_samples: usize) -> Self {
        let share = 1.0 - (-std::f64::consts::TAU * KEY_FROM_HZ / rate_hz).exp();
        Self {
            ducker: Ducker::new(rate_hz),
            key: Key { share: share as f32, low: [0.0; MAX_CHANNELS] },
            gains: ControlBuffer::new(max_samples),
        }
    }

    /// Forgets the past. Real-time safe.
    pub fn reset(&mut self) {
        self.ducker.reset();
        self.key.low = [0.0; MAX_CHANNELS];
    }

    /// From the next step on does this, `at_once` where there is no sound before it to be continuous with. Real-time safe.
    pub fn set(&mut self, settings: DuckerSettings, at_once: bool) {
        self.ducker.set(settings, at_once);
    }

    /// Level of the dialogue as it is compared with the threshold, dBFS; nothing while nobody listens.
    pub fn key_db(&self) -> Option<f32> {
        self.ducker.level_db()
    }

    /// The gain of the music, sample by sample. The key is what was found of the dialogue, before its strip: what cannot be told from it without
    /// masks, and the stems of a model that is asked, are none. Real-time safe.
    pub fn follow(&mut self, block: &StemBlock<'_>) -> Control<'_> {
        let Self { ducker, key, gains } = self;
        let num_channels = block.num_channels.clamp(1, MAX_CHANNELS);
        let found = |channel_idx: usize, sample_idx: usize| {
            let (stem, dry) = (block.stems[KEY][channel_idx][sample_idx], block.dry[channel_idx][sample_idx]);
            wet_part(stem, dry, block.presence.at(sample_idx))
        };
        if ducker.level_db().is_none() && block.num_samples > 0 {
            // Nobody listened up to here. What the filter has of then would be a thump.
            key.low =
                std::array::from_fn(|channel_idx| if channel_idx < num_channels { found(channel_idx, 0) } else { 0.0 });
        }
        let power = (0..block.num_samples).map(|sample_idx| {
            let share = 1.0 - block.query_share.at(sample_idx);
            let mut sum = 0.0;
            for (channel_idx, low) in key.low.iter_mut().enumerate().take(num_channels) {
                let found = found(channel_idx, sample_idx);
                *low += key.share * (found - *low);
                sum += (found - *low) * (found - *low);
            }
            share * share * sum / num_channels as f32
        });
        gains.clear();
        ducker.follow(power, gains);
        // In digital silence it would decay to numbers that processors are slow with, and stay there.
        key.low.iter_mut().filter(|low| !low.is_normal()).for_each(|low| *low = 0.0);
        gains.get()
    }
}

/// The ducker's gain `duck` where the stems are those of a model that is asked as far as `asked` says, which has no music.
#[inline]
pub fn of_music(duck: f32, query_share: f32) -> f32 {
    // What is none stays exactly 1.
    if duck == 1.0 { 1.0 } else { duck + query_share * (1.0 - duck) }
}

/// `gains`, `[stem]`, where the music is ducked by `duck`.
#[inline]
pub fn ducked(mut gains: [f32; NUM_STEMS], duck: f32) -> [f32; NUM_STEMS] {
    gains[DUCKED] *= duck;
    gains
}
