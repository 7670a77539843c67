//! A sound from elsewhere than the sidechain, to be listened to.

/// Of a recording no more than this is kept: longer than any model listens.
const LONGEST_S: f64 = 6.0;

/// Pieces in which loudness is compared, seconds.
const PIECE_S: f64 = 0.02;

/// No sample is larger: squares of these stay finite. Full scale is 1.
const LARGEST: f32 = 1e6;

/// The loudest part of a sound.
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
        let piece = ((rate_hz * PIECE_S) as usize).max(1);
        let channels = loudest(&channels, piece, (LONGEST_S / PIECE_S) as usize);
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
    let power_of = |start: usize| {
        samples.iter().flat_map(|channel| &channel[start..start + piece]).map(|x| f64::from(*x).powi(2)).sum::<f64>()
    };
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
        let mut channel = vec![0.01; 10_000];
        channel[5 * 768..7 * 768].fill(0.5);
        let quiet = vec![0.01; 12_000];
        let [found, of_other] = <[_; 2]>::try_from(loudest(&[channel.clone(), quiet.clone()], 768, 2)).unwrap();
        assert!(found == [0.5; 2 * 768] && of_other.len() == found.len());
        assert!(loudest(&[channel.clone()], 768, 20) == [channel], "a short one is taken whole");
        assert!(loudest(&[], 768, 2).is_empty());
    }

    #[test]
    fn minutes_of_it_are_cut_to_seconds_and_what_is_no_number_is_silence() {
        let mut channel = vec![0.001; 60 * 8_000];
        channel[40 * 8_000..41 * 8_000].fill(0.5);
        (channel[3], channel[40 * 8_000 + 1]) = (f32::NAN, f32::INFINITY);
        let recording = Recording::new("hum".into(), vec![channel; 2], 8_000.0);
        let kept = recording.loudest(128, usize::MAX / 128);
        assert_eq!((kept.len(), kept[0].len()), (2, 48_000));
        assert_eq!(kept[0].iter().filter(|sample| **sample == 0.5).count(), 7_999);
        for odd_rate_hz in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let odd = Recording::new("odd".into(), vec![vec![1e30; 100]], odd_rate_hz);
            assert!(odd.loudest(1, 100)[0].iter().all(|sample| *sample == LARGEST), "{odd_rate_hz} Hz");
        }
    }
}
