//! Which piece of the input is looked for in the outputs, and how much later it is found.

use super::audio_file::Audio;
use host_tests::delay_samples;
use std::ops::Range;

/// A piece of one input channel.
#[derive(Debug, Clone)]
pub struct Sought {
    /// The channel.
    pub channel_idx: usize,
    /// Samples of the input.
    pub piece: Range<usize>,
    /// How much later it may come than after twice the latency that was reported.
    pub margin_samples: usize,
}

impl Sought {
    /// The loudest stretch of the loudest channel.
    pub fn loudest_of(audio: &Audio) -> Option<Self> {
        const STRETCH_S: usize = 20;
        let rate_hz = audio.rate_hz as usize;
        let energy = |samples: &[f32]| samples.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        // Of each whole second: what stretches have in common is summed once.
        let energies =
            audio.channels.iter().map(|channel| channel.chunks_exact(rate_hz).map(energy).collect::<Vec<_>>());
        let energies: Vec<Vec<f64>> = energies.collect();
        let of_channel = |idx: usize| {
            energies[idx].iter().sum::<f64>() + energy(audio.channels[idx].chunks_exact(rate_hz).remainder())
        };
        let channel_idx = (0..energies.len()).max_by(|a, b| of_channel(*a).total_cmp(&of_channel(*b)))?;
        let of_stretches: Vec<f64> =
            energies[channel_idx].windows(STRETCH_S).map(|window| window.iter().sum()).collect();
        let seconds = 0..of_stretches.len();
        let start_s = seconds.max_by(|a, b| of_stretches[*a].total_cmp(&of_stretches[*b])).unwrap_or(0);
        let (start, end) = (start_s * rate_hz, (start_s + STRETCH_S) * rate_hz);
        Some(Self { channel_idx, piece: start..end.min(audio.num_samples()), margin_samples: rate_hz })
    }

    /// The latest that it is looked for.
    pub fn most_delay_samples(&self, latency_samples: usize) -> usize {
        2 * latency_samples + self.margin_samples
    }

    /// Delay of what was heard behind the input.
    pub fn found_in(&self, heard: &[f32], audio: &Audio, latency_samples: usize) -> Option<usize> {
        let input = audio.channels.get(self.channel_idx)?.get(self.piece.clone())?;
        delay_samples(input, heard, self.most_delay_samples(latency_samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loudest_twenty_seconds_of_the_loudest_channel_are_looked_for() {
        const RATE_HZ: usize = 100;
        let audio = |channels| Audio { channels, rate_hz: RATE_HZ as u32 };
        let (soft, mut loud) = (vec![0.1; 60 * RATE_HZ + 50], vec![0.05; 60 * RATE_HZ + 50]);
        loud[27 * RATE_HZ..47 * RATE_HZ].fill(0.5);
        // Shorter, for a moment louder, and at the very end.
        loud[60 * RATE_HZ..].fill(0.9);
        let sought = Sought::loudest_of(&audio(vec![soft, loud])).unwrap();
        assert_eq!((sought.channel_idx, sought.piece), (1, 27 * RATE_HZ..47 * RATE_HZ));
        // What is shorter than a second, or than the stretch, is looked for as a whole.
        for num_samples in [0, 50, 19 * RATE_HZ + 50] {
            let sought = Sought::loudest_of(&audio(vec![vec![0.5; num_samples]])).unwrap();
            assert_eq!(sought.piece, 0..num_samples);
        }
        assert!(Sought::loudest_of(&audio(Vec::new())).is_none());
    }
}
