//! A sound from elsewhere than the sidechain, to be listened to.
//!
//! Where it is loudest is found by whoever read it. It may wait for long until somebody listens, and who does has little time.

use std::ops::Range;

use crate::loudness::power;

/// No sample is larger: squares of these stay finite. Full scale is 1.
const LARGEST: f32 = 1e6;

/// About how much is listened to, seconds, which the model says that does; and what is kept before and after the loudest of that length.
const LISTENED_S: f64 = 3.0;
const AROUND_S: f64 = 1.0;

/// In such pieces the loudest part is looked for, seconds.
const PIECE_S: f64 = 0.016;

/// The loudest part of a sound, and a little around it: how much of that is listened to, and in what pieces, the model says that listens.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    name: String,
    channels: Vec<Vec<f32>>,
    rate_hz: f64,
}

impl Recording {
    /// Of samples `[channel][sample]`, full scale 1.0, of any length, at any rate, Hz. What is no number is silence. Looks at all of them.
    #[must_use]
    pub fn new(name: String, mut channels: Vec<Vec<f32>>, rate_hz: f64) -> Self {
        for sample in channels.iter_mut().flatten() {
            *sample = if sample.is_finite() { sample.clamp(-LARGEST, LARGEST) } else { 0.0 };
        }
        let piece = (rate_hz * PIECE_S) as usize;
        if piece > 0 {
            let loudest = loudest(&channels, piece, (LISTENED_S / PIECE_S).ceil() as usize);
            let around = (rate_hz * AROUND_S) as usize;
            let kept = loudest.start.saturating_sub(around)..loudest.end.saturating_add(around);
            for channel in &mut channels {
                channel.truncate(kept.end);
                channel.drain(..kept.start.min(channel.len()));
                channel.shrink_to_fit();
            }
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
        let loudest = loudest(&self.channels, hop_samples, num_hops);
        self.channels.iter().map(|channel| channel[loudest.clone()].to_vec()).collect()
    }
}

/// Where the loudest `num_pieces` pieces in a row lie in samples `[channel][sample]`; all where there are no more.
fn loudest(samples: &[Vec<f32>], piece: usize, num_pieces: usize) -> Range<usize> {
    let len = samples.iter().map(Vec::len).min().unwrap_or(0);
    let power_of = |start: usize| power(samples.iter().map(|channel| &channel[start..start + piece]));
    let powers: Vec<f64> = (0..len / piece).map(|idx| power_of(idx * piece)).collect();
    let Some(last) = powers.len().checked_sub(num_pieces) else { return 0..len };
    let power_from = |first: usize| powers[first..first + num_pieces].iter().sum::<f64>();
    let first = (0..=last).max_by(|a, b| power_from(*a).total_cmp(&power_from(*b))).unwrap_or(0) * piece;
    first..first + num_pieces * piece
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
        assert_eq!(loudest(&[channel.clone(), quiet], 768, 2), 5 * 768..7 * 768);
        assert_eq!(loudest(&[channel], 768, 20), 0..10_000, "a short one is taken whole");
        assert_eq!(loudest(&[], 768, 2), 0..0);
    }

    #[test]
    fn of_minutes_the_loudest_seconds_are_found_though_a_longer_part_is_louder_elsewhere() {
        let tone = |level: f32, n: usize| level * (n as f32 * 0.3).sin();
        let mut channel: Vec<f32> = (0..60 * 8_000).map(|n| tone(0.001, n)).collect();
        // 3 s, and twice as long somewhat softer.
        (5 * 8_000..8 * 8_000).for_each(|n| channel[n] = tone(0.5, n));
        (40 * 8_000..46 * 8_000).for_each(|n| channel[n] = tone(0.4, n));
        let event_power: f32 = channel[5 * 8_000..8 * 8_000].iter().map(|sample| sample * sample).sum();
        let recording = Recording::new("hum".into(), vec![channel; 2], 8_000.0);
        for found in recording.loudest(125, 192) {
            let power: f32 = found.iter().map(|sample| sample * sample).sum();
            assert!(found.len() == 3 * 8_000 && power > 0.99 * event_power, "to half a hop it is that");
        }
        assert!(recording.channels.iter().all(|kept| kept.capacity() <= 6 * 8_000), "the rest is not kept");
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
