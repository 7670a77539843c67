//! How loud sound is, and what counts as silence: one notion of it for the audio thread, which keeps none of it, for the worker, which looks for an
//! example in what was kept, and for files.

/// What is softer than this is silence: RMS, -80 dBFS. The dither of files of 16 bits lies some 15 dB below, soft playing above.
const SILENCE_RMS: f64 = 1e-4;

/// Mean square below which a sample counts as silence; see [`SILENCE_RMS`].
pub const SILENCE_POWER: f64 = SILENCE_RMS * SILENCE_RMS;

/// The power of one channel's samples around their mean: an offset is no sound.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loudness {
    num_samples: usize,
    sum: f64,
    square_sum: f64,
}

impl Loudness {
    /// Takes in one sample more.
    pub fn add(&mut self, sample: f32) {
        let sample = f64::from(sample);
        self.num_samples += 1;
        self.sum += sample;
        self.square_sum += sample * sample;
    }

    /// Mean square of what was taken in, without its mean; 0 of nothing.
    pub fn power(&self) -> f64 {
        if self.num_samples == 0 {
            return 0.0;
        }
        let num_samples = self.num_samples as f64;
        let mean = self.sum / num_samples;
        (self.square_sum / num_samples - mean * mean).max(0.0)
    }
}

/// Mean square of a piece of sound, over its channels; see [`Loudness`].
pub fn power<'a>(channels: impl IntoIterator<Item = &'a [f32]>) -> f64 {
    let (mut sum, mut num_channels) = (0.0, 0.0);
    for channel in channels {
        let mut loudness = Loudness::default();
        for sample in channel {
            loudness.add(*sample);
        }
        sum += loudness.power();
        num_channels += 1.0;
    }
    if num_channels > 0.0 { sum / num_channels } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_no_sound_and_neither_is_dither_but_soft_playing_is() {
        let of = |sample: &dyn Fn(usize) -> f32| {
            let piece: Vec<f32> = (0..768).map(sample).collect();
            power([&piece[..], &piece]) > SILENCE_POWER
        };
        let tone = |n: usize| (n as f32 * 0.1).sin();
        assert!(!of(&|_| 0.0) && !of(&|_| 0.25));
        // One step of 16 bits up and down, as dither has it in silence.
        assert!(!of(&|n| [0.0, 1.0, 0.0, -1.0, 1.0][n % 5] / 32_768.0));
        assert!(!of(&|n| 1e-4 * tone(n)), "3 dB below");
        assert!(of(&|n| 2e-4 * tone(n)) && of(&|n| 0.25 + 2e-4 * tone(n)));
        assert_eq!(power([&[][..]]) + power([]), 0.0);
    }
}
