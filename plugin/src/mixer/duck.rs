//! The music goes down while the dialogue is heard.

use underscore_engine::{Control, ControlBuffer, Ducker, DuckerSettings};

use crate::block::{MAX_CHANNELS, NUM_STEMS, StemBlock};

/// The stem that is ducked: the music.
const DUCKED: usize = 0;
/// The stem that it is ducked under: the dialogue.
const KEY: usize = 1;

/// The ducker of one instance.
#[derive(Debug, Clone)]
pub struct Duck {
    ducker: Ducker,
    /// `[sample]`: the gain of the block that was followed last.
    gains: ControlBuffer,
}

impl Duck {
    /// For blocks of at most `max_samples` at `rate_hz`.
    pub fn new(rate_hz: f64, max_samples: usize) -> Self {
        Self { ducker: Ducker::new(rate_hz), gains: ControlBuffer::new(max_samples) }
    }

    /// Forgets the past. Real-time safe.
    pub fn reset(&mut self) {
        self.ducker.reset();
    }

    /// From the next step on does this. Real-time safe.
    pub fn set(&mut self, settings: DuckerSettings) {
        self.ducker.set(settings);
    }

    /// Linear gain of the last sample, 0..=1.
    pub fn gain(&self) -> f32 {
        self.ducker.gain()
    }

    /// The gain of the music, sample by sample. The key is the dialogue alone, before its strip: what cannot be told from it without masks, and the
    /// stems of a model that is asked, are none. Real-time safe.
    pub fn follow(&mut self, block: &StemBlock<'_>) -> Control<'_> {
        let key = &block.stems[KEY];
        let num_channels = block.num_channels.clamp(1, MAX_CHANNELS);
        let power = (0..block.num_samples).map(|sample_idx| {
            let share = block.presence.at(sample_idx) * (1.0 - block.asked.at(sample_idx));
            let sum: f32 = key[..num_channels].iter().map(|channel| channel[sample_idx] * channel[sample_idx]).sum();
            share * share * sum / num_channels as f32
        });
        self.gains.clear();
        self.ducker.follow(power, &mut self.gains);
        self.gains.get()
    }
}

/// `gains`, `[stem]`, where the music is ducked by `duck`.
#[inline]
pub fn ducked(mut gains: [f32; NUM_STEMS], duck: f32) -> [f32; NUM_STEMS] {
    gains[DUCKED] *= duck;
    gains
}
