//! Peaks for the editor. Measured only while it is open: an instance that nobody looks at pays nothing.

use std::sync::atomic::Ordering;

use atomic_float::AtomicF32;

use crate::block::{MAX_CHANNELS, NUM_STEMS, StemBlock};

/// Peaks since the editor last looked, linear.
#[derive(Debug, Default)]
pub struct Meters {
    /// `[stem][channel]`: what the stem adds to the mix of stems, before that is mixed with the delayed input (dry/wet).
    stems: [[AtomicF32; MAX_CHANNELS]; NUM_STEMS],
    /// `[channel]`: the delayed input.
    input: [AtomicF32; MAX_CHANNELS],
    /// `[channel]`: the main output.
    output: [AtomicF32; MAX_CHANNELS],
    /// How far the music was ducked, dB, 0 and up.
    duck_db: AtomicF32,
}

/// What the editor reads.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Peaks {
    /// `[stem][channel]`, linear.
    pub stems: [[f32; MAX_CHANNELS]; NUM_STEMS],
    /// `[channel]`, linear.
    pub input: [f32; MAX_CHANNELS],
    /// `[channel]`, linear.
    pub output: [f32; MAX_CHANNELS],
    /// How far the music was ducked, dB, 0 and up.
    pub duck_db: f32,
}

impl Meters {
    /// Adds one block: its stems at `gains`, `[stem]`, of which one is the ducker's `duck_gain`, and the main output made of it,
    /// `[channel][sample]`. Real-time safe.
    pub fn add(&self, block: &StemBlock<'_>, gains: [f32; NUM_STEMS], duck_gain: f32, main: &[&mut [f32]]) {
        self.duck_db.fetch_max(-20.0 * duck_gain.max(1e-6).log10(), Ordering::Relaxed);
        for channel_idx in 0..MAX_CHANNELS {
            let from_idx = channel_idx.min(block.num_channels - 1);
            for (stem_idx, gain) in gains.iter().enumerate() {
                let audible = block.stems[stem_idx][from_idx].iter().enumerate();
                let peak = audible.fold(0.0_f32, |peak, (sample_idx, sample)| {
                    peak.max((sample * block.presence.at(sample_idx)).abs())
                });
                self.stems[stem_idx][channel_idx].fetch_max(peak * gain, Ordering::Relaxed);
            }
            self.input[channel_idx].fetch_max(peak(block.dry[from_idx]), Ordering::Relaxed);
            if let Some(channel) = main.get(from_idx) {
                self.output[channel_idx].fetch_max(peak(channel), Ordering::Relaxed);
            }
        }
    }

    /// The peaks since the last call.
    #[must_use]
    pub fn take(&self) -> Peaks {
        let take = |peaks: &[AtomicF32; MAX_CHANNELS]| {
            std::array::from_fn(|channel_idx| peaks[channel_idx].swap(0.0, Ordering::Relaxed))
        };
        Peaks {
            stems: std::array::from_fn(|stem_idx| take(&self.stems[stem_idx])),
            input: take(&self.input),
            output: take(&self.output),
            duck_db: self.duck_db.swap(0.0, Ordering::Relaxed),
        }
    }
}

fn peak(signal: &[f32]) -> f32 {
    signal.iter().fold(0.0, |peak, sample| peak.max(sample.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::StemMemory;

    #[test]
    fn peaks_are_the_largest_since_the_last_look() {
        let meters = Meters::default();
        let mut memory = StemMemory::new(4, 2);
        memory.begin(3);
        memory.presence.push_constant(0.5, 3);
        memory.stems[0][1] = vec![0.2, -0.8, 0.1, 9.0];
        memory.dry[0] = vec![0.3, 0.1, 0.0, 9.0];
        meters.add(&memory.block(), [2.0, 1.0], 0.5, &[&mut [0.0, -0.7, 0.0], &mut [0.0; 3]]);
        let mut silence = StemMemory::new(1, 2);
        silence.begin(1);
        silence.presence.push_constant(1.0, 1);
        meters.add(&silence.block(), [1.0; 2], 1.0, &[&mut [0.1], &mut [0.1]]);
        let peaks = meters.take();
        assert_eq!(peaks.stems, [[0.0, 0.8], [0.0, 0.0]]);
        assert_eq!(peaks.input, [0.3, 0.0]);
        assert_eq!(peaks.output, [0.7, 0.1]);
        assert!((peaks.duck_db - 6.02).abs() < 0.01, "{}", peaks.duck_db);
        assert_eq!(meters.take(), Peaks::default());
    }
}
