//! A sound from elsewhere than the sidechain, to be listened to.

use crate::loudness::power;

/// No sample is larger: squares of these stay finite. Full scale is 1.
const LARGEST: f32 = 1e6;

/// All of a sound that was read: how much of it is listened to, and in what pieces, the model says that listens.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    name: String,
    channels: Vec<Vec<f32>>,
    rate_hz: f64,
}

impl Recording {
    /// Of samples `[channel][sample]`, full scale 1.0, of any length, at any rate, Hz. What is no number is silence.
    #[must_use]
    pub fn new(name: String, mut channels: Vec<Vec<f32>>, rate_hz: f64) -> Self {
        for sample in channels.iter_mut().flatten() {
            *sample = if sample.is_finite() { sample.clamp(-LARGEST, LARGEST) } else { 0.0 };
        }
        Self { name, channels, rate_hz }
    }

    /// What the example is to be called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of the samples, Hz; whatever the host's is.
    #[must_use]
    pub fn rate_hz(&self) -> f64 {
        self.rate_hz
    }

    /// Its loudest `num_hops` hops, `[channel][sample]`, or all that there are.
    #[must_use]
    pub fn loudest(&self, hop_samples: usize, num_hops: usize) -> Vec<Vec<f32>> {
        loudest(&self.channels, hop_samples, num_hops)
    }
}

/// The loudest `num_pieces` pieces in a row, `[channel][sample]`; all where there are no more.
fn loudest(samples: &[Vec<f32>], piece: usize, num_pieces: usize) -> Vec<Vec<f32>> {
    let len = samples.iter().map(Vec::len).min().unwrap_or(0);
    let power_of = |start: usize| power(samples.iter().map(|channel| &channel[start..start + piece]));
    let powers: Vec<f64> = (0..len / piece).map(|idx| power_of(idx * piece)).collect();
    let Some(last) = powers.len().checked_sub(num_pieces) else { return samples.to_vec() };
    let power_from = |first: usize| powers[first..first + num_pieces].iter().sum::<f64>();
    let first = (0..=last).max_by(|a, b| power_from(*a).total_cmp(&power_from(*b))).unwrap_or(0) * piece;
    samples.iter().map(|channel| channel[first..first + num_pieces * piece].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_recording_the_loudest_part_is_the_example() {
        let tone = |level: f32, n: usize| level * (n as f32 * 0.3).sin();
        let mut channel: Vec<f32> = (0..10_000).map(|n| tone(0.01, n)).collect();
        (5 * 768..7 * 768).for_each(|n| channel[n] = tone(0.5, n));
        // An offset is not loud.
        channel[768..4 * 768].iter_mut().for_each(|sample| *sample += 0.9);
        let quiet = vec![0.01; 12_000];
        let [found, of_other] = <[_; 2]>::try_from(loudest(&[channel.clone(), quiet.clone()], 768, 2)).unwrap();
        assert!(found == channel[5 * 768..7 * 768] && of_other.len() == found.len());
        assert!(loudest(&[channel.clone()], 768, 20) == [channel], "a short one is taken whole");
        assert!(loudest(&[], 768, 2).is_empty());
    }

    #[test]
    fn of_minutes_the_loudest_seconds_are_found_though_a_longer_part_is_louder_elsewhere() {
        let tone = |level: f32, n: usize| level * (n as f32 * 0.3).sin();
        let mut channel: Vec<f32> = (0..60 * 8_000).map(|n| tone(0.001, n)).collect();
        // 3 s, and twice as long somewhat softer.
        (5 * 8_000..8 * 8_000).for_each(|n| channel[n] = tone(0.5, n));
        (40 * 8_000..46 * 8_000).for_each(|n| channel[n] = tone(0.4, n));
        let loudest = channel[5 * 8_000..8 * 8_000].to_vec();
        let recording = Recording::new("hum".into(), vec![channel; 2], 8_000.0);
        assert_eq!(recording.loudest(125, 192), vec![loudest; 2]);
    }

    #[test]
    fn what_is_no_number_is_silence_and_what_is_wild_is_limited() {
        let mut channel = vec![0.5; 100];
        (channel[3], channel[5]) = (f32::NAN, f32::INFINITY);
        let kept = Recording::new("hum".into(), vec![channel], 8_000.0).loudest(128, 1);
        assert_eq!(kept[0].iter().filter(|sample| **sample == 0.5).count(), 98);
        for odd_rate_hz in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let odd = Recording::new("odd".into(), vec![vec![1e30; 100]], odd_rate_hz);
            assert!(odd.loudest(1, 100)[0].iter().all(|sample| *sample == LARGEST), "{odd_rate_hz} Hz");
        }
    }
}
