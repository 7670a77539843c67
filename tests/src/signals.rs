//! Test signals, the same on every machine.

/// A small random generator (SplitMix64): no quality needed but the same numbers everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts a sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number in `0..=max`.
    pub fn up_to(&mut self, max: usize) -> usize {
        (self.next_u64() % (max as u64 + 1)) as usize
    }

    /// Uniform in −1..1.
    pub fn sample(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

/// One sample of `amplitude` at `at_samples`, on all channels. `[channel][sample]`.
#[must_use]
pub fn impulse(num_channels: usize, num_samples: usize, at_samples: usize, amplitude: f32) -> Vec<Vec<f32>> {
    let mut channel = vec![0.0; num_samples];
    channel[at_samples] = amplitude;
    vec![channel; num_channels]
}

/// White noise, different on each channel. `[channel][sample]`.
#[must_use]
pub fn noise(num_channels: usize, num_samples: usize, amplitude: f32, seed: u64) -> Vec<Vec<f32>> {
    (0..num_channels as u64)
        .map(|channel| {
            let mut random = Random::new(seed ^ (channel << 32));
            (0..num_samples).map(|_| amplitude * random.sample()).collect()
        })
        .collect()
}

/// Something like a programme: a chord that changes every second, and under an envelope of syllables a gliding harmonic
/// voice with breath. Peaks below 0.7. `[channel][sample]`.
#[must_use]
pub fn programme(num_channels: usize, num_samples: usize, rate_hz: f64, seed: u64) -> Vec<Vec<f32>> {
    use std::f64::consts::TAU;
    const CHORDS_HZ: [[f64; 3]; 4] =
        [[220.0, 277.2, 329.6], [196.0, 246.9, 293.7], [174.6, 220.0, 261.6], [164.8, 207.7, 246.9]];
    let mut random = Random::new(seed);
    let (mut voice_phase, mut chord_phases) = (0.0_f64, [0.0_f64; 3]);
    let mut channels = vec![Vec::with_capacity(num_samples); num_channels];
    for sample_idx in 0..num_samples {
        let time_s = sample_idx as f64 / rate_hz;
        let chord = CHORDS_HZ[(time_s as usize) % CHORDS_HZ.len()];
        let mut music = 0.0;
        for (phase, hz) in chord_phases.iter_mut().zip(chord) {
            *phase = (*phase + hz / rate_hz).fract();
            music += (TAU * *phase).sin() + 0.4 * (TAU * 2.0 * *phase).sin() + 0.2 * (TAU * 5.0 * *phase).sin();
        }
        let pitch_hz = 140.0 + 30.0 * (TAU * 0.7 * time_s).sin() + 8.0 * (TAU * 5.1 * time_s).sin();
        voice_phase = (voice_phase + pitch_hz / rate_hz).fract();
        let syllable = (TAU * 3.3 * time_s).sin().max(0.0).powi(2);
        let formant = 0.5 + 0.5 * (TAU * 1.3 * time_s).sin();
        let voice: f64 = (1..=12)
            .map(|n| {
                let n = f64::from(n);
                (TAU * n * voice_phase).sin() / n.powf(0.6 + 0.8 * formant)
            })
            .sum();
        let breath = f64::from(random.sample());
        let speech = syllable * (0.16 * voice + 0.02 * breath);
        for (channel_idx, channel) in channels.iter_mut().enumerate() {
            let pan = if channel_idx % 2 == 0 { 0.8 } else { 1.0 };
            channel.push((pan * 0.05 * music + speech) as f32 * 0.8);
        }
    }
    channels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programme_is_neither_silent_nor_clipped_and_always_the_same() {
        let first = programme(2, 24_000, 48_000.0, 1);
        assert_eq!(first, programme(2, 24_000, 48_000.0, 1));
        let peak = first.iter().flatten().fold(0.0_f32, |peak, x| peak.max(x.abs()));
        assert!((0.2..0.9).contains(&peak), "{peak}");
    }

    #[test]
    fn noise_spans_the_range_and_differs_between_channels() {
        let noise = noise(2, 10_000, 1.0, 3);
        assert_ne!(noise[0], noise[1]);
        let mean = noise[0].iter().sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.02 && noise[0].iter().any(|x| *x > 0.99) && noise[0].iter().any(|x| *x < -0.99));
    }
}
