//! Peaks for the editor. Measured only while it is open: an instance that nobody looks at pays nothing.

use std::sync::atomic::Ordering;

use atomic_float::AtomicF32;

use crate::block::{MAX_CHANNELS, NUM_STEMS, StemBlock, wet_part};
use crate::mixer::Ducking;

/// Stands where no block said anything, or had nothing to say: below all levels that there are.
const NOTHING: f32 = -1e3;

/// Peaks since the editor last looked.
#[derive(Debug)]
pub struct Meters {
    /// `[stem][channel]`, linear, as those below: what the stem adds to the mix of stems, before that is mixed with the delayed input (dry/wet).
    stems: [[AtomicF32; MAX_CHANNELS]; NUM_STEMS],
    /// `[channel]`: the delayed input.
    input: [AtomicF32; MAX_CHANNELS],
    /// `[channel]`: the main output.
    output: [AtomicF32; MAX_CHANNELS],
    /// How far the music was down, dB, 0 and up, or [`NOTHING`].
    duck_db: AtomicF32,
    /// Level of the dialogue that the ducker heard, dBFS, or [`NOTHING`].
    key_db: AtomicF32,
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
    /// How far the music was down, dB, 0 and up; nothing where no block was played.
    pub duck_db: Option<f32>,
    /// Level of the dialogue that the ducker heard, dBFS; nothing where it does not listen, or no block was played.
    pub key_db: Option<f32>,
}

impl Default for Meters {
    fn default() -> Self {
        let level = || AtomicF32::new(NOTHING);
        Self {
            stems: Default::default(),
            input: Default::default(),
            output: Default::default(),
            duck_db: level(),
            key_db: level(),
        }
    }
}

impl Meters {
    /// Adds one block: its stems at `gains`, `[stem]`, the ducker's part in them, and the main output made of it, `[channel][sample]`.
    /// Real-time safe.
    pub fn add(&self, block: &StemBlock<'_>, gains: [f32; NUM_STEMS], ducking: Ducking, main: &[&mut [f32]]) {
        self.duck_db.fetch_max(ducking.down_db(), Ordering::Relaxed);
        self.key_db.fetch_max(ducking.key_db.unwrap_or(NOTHING), Ordering::Relaxed);
        for channel_idx in 0..MAX_CHANNELS {
            let from_idx = channel_idx.min(block.num_channels - 1);
            for (stem_idx, gain) in gains.iter().enumerate() {
                let audible = block.stems[stem_idx][from_idx].iter().zip(block.dry[from_idx]).enumerate();
                let peak = audible.fold(0.0_f32, |peak, (sample_idx, (stem, dry))| {
                    peak.max(wet_part(*stem, *dry, block.presence.at(sample_idx)).abs())
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
            duck_db: take_level(&self.duck_db),
            key_db: take_level(&self.key_db),
        }
    }
}

fn take_level(level: &AtomicF32) -> Option<f32> {
    let level_db = level.swap(NOTHING, Ordering::Relaxed);
    (level_db > NOTHING).then_some(level_db)
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
        // Of stem 0 on the right 0.1, -0.4 and 0.05 were found, beside a quarter of what came in.
        memory.stems[0] = [vec![0.075, 0.025, 0.0, 9.0], vec![0.2, -0.3, 0.05, 9.0]];
        memory.stems[1] = [vec![0.075, 0.025, 0.0, 9.0], vec![0.1, 0.1, 0.0, 9.0]];
        memory.dry = [vec![0.3, 0.1, 0.0, 9.0], vec![0.4, 0.4, 0.0, 9.0]];
        meters.add(&memory.block(), [2.0, 1.0], Ducking::NONE, &[&mut [0.0, -0.7, 0.0], &mut [0.0; 3]]);
        let mut silence = StemMemory::new(1, 2);
        silence.begin(1);
        silence.presence.push_constant(1.0, 1);
        meters.add(&silence.block(), [1.0; 2], Ducking::NONE, &[&mut [0.1], &mut [0.1]]);
        let peaks = meters.take();
        assert_eq!(peaks.stems, [[0.0, 0.8], [0.0, 0.0]]);
        assert_eq!(peaks.input, [0.3, 0.4]);
        assert_eq!(peaks.output, [0.7, 0.1]);
        assert_eq!((peaks.duck_db, peaks.key_db), (Some(0.0), None));
        assert_eq!(meters.take(), Peaks::default());
    }
}
