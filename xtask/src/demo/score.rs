//! How close an estimate is to its reference.

use anyhow::{Result, ensure};

/// Two measures of one stem. Both take all channels together as one long signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Energy of the reference over that of the difference.
    pub sdr_db: f64,
    /// The same after the reference is scaled to fit the estimate best, so that a wrong level does not count.
    pub si_sdr_db: f64,
}

impl Score {
    /// Scores signals of one shape, `[channel][sample]`.
    pub fn of(reference: &[Vec<f32>], estimate: &[Vec<f32>]) -> Result<Self> {
        let shape = |signal: &[Vec<f32>]| signal.iter().map(Vec::len).collect::<Vec<_>>();
        ensure!(
            shape(reference) == shape(estimate),
            "the estimate has {:?} samples per channel, the reference {:?}",
            shape(estimate),
            shape(reference)
        );
        let pairs =
            || reference.iter().flatten().zip(estimate.iter().flatten()).map(|(r, e)| (f64::from(*r), f64::from(*e)));
        let reference_energy: f64 = pairs().map(|(r, _)| r * r).sum();
        ensure!(reference_energy > 0.0, "the reference is silent");
        let difference_energy = |scale: f64| pairs().map(|(r, e)| (scale * r - e).powi(2)).sum::<f64>();
        let scale = pairs().map(|(r, e)| r * e).sum::<f64>() / reference_energy;
        Ok(Self {
            sdr_db: 10.0 * (reference_energy / difference_energy(1.0)).log10(),
            si_sdr_db: 10.0 * (scale * scale * reference_energy / difference_energy(scale)).log10(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orthogonal_disturbance_of_a_tenth_is_twenty_decibels_down() {
        let score = Score::of(&[vec![1.0, 0.0]], &[vec![1.0, 0.1]]).expect("a score");
        assert!((score.sdr_db - 20.0).abs() < 1e-5 && (score.si_sdr_db - 20.0).abs() < 1e-5, "{score:?}");
    }

    #[test]
    fn a_wrong_level_counts_in_sdr_only() {
        let score = Score::of(&[vec![1.0, 0.0]], &[vec![0.5, 0.05]]).expect("a score");
        assert!((score.si_sdr_db - 20.0).abs() < 1e-5, "{score:?}");
        assert!((score.sdr_db - 10.0 * (1.0_f64 / 0.2525).log10()).abs() < 1e-5, "{score:?}");
    }

    #[test]
    fn channels_are_one_signal_and_shapes_must_match() {
        let both = Score::of(&[vec![1.0], vec![0.0]], &[vec![1.0], vec![0.1]]).expect("a score");
        assert!((both.sdr_db - 20.0).abs() < 1e-5);
        assert!(Score::of(&[vec![1.0]], &[vec![1.0, 0.0]]).is_err());
        assert!(Score::of(&[vec![0.0]], &[vec![1.0]]).is_err());
    }
}
