//! Delay and difference between two signals.

use realfft::RealFftPlanner;

/// Samples by which `delayed` lags behind `reference`: where their cross-correlation peaks, 0..=`max_delay_samples`.
/// `None` when either is silent, too short, or the two have nothing in common.
#[must_use]
pub fn delay_samples(reference: &[f32], delayed: &[f32], max_delay_samples: usize) -> Option<usize> {
    if reference.is_empty() || delayed.is_empty() {
        return None;
    }
    // Zero-padding to the sum of both lengths keeps the circular correlation from wrapping into the range of interest.
    let fft_size = (reference.len() + delayed.len()).next_power_of_two();
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, inverse) = (planner.plan_fft_forward(fft_size), planner.plan_fft_inverse(fft_size));
    let transform = |signal: &[f32]| {
        let mut time = vec![0.0; fft_size];
        time[..signal.len()].copy_from_slice(signal);
        let mut spectrum = forward.make_output_vec();
        forward.process(&mut time, &mut spectrum).ok()?;
        Some(spectrum)
    };
    let reference_spectrum = transform(reference)?;
    let mut product = transform(delayed)?;
    for (bin, reference_bin) in product.iter_mut().zip(&reference_spectrum) {
        *bin *= reference_bin.conj();
    }
    // Exactly real by symmetry, but for rounding: the inverse insists.
    let last = product.len() - 1;
    product[0].im = 0.0;
    product[last].im = 0.0;
    let mut correlation = inverse.make_output_vec();
    inverse.process(&mut product, &mut correlation).ok()?;
    let in_range = &correlation[..=max_delay_samples.min(delayed.len() - 1).min(fft_size - 1)];
    let (delay, peak) = in_range.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    // A quarter of what an exact copy would give is enough to call it one: a stem is not all of the input.
    let energy = |signal: &[f32]| signal.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let expected = (energy(reference) * energy(delayed)).sqrt();
    (expected > 0.0 && f64::from(*peak) / fft_size as f64 > 0.25 * expected).then_some(delay)
}

/// Largest magnitude, dBFS; −∞ for silence, +∞ when a sample is not finite.
#[must_use]
pub fn peak_db(signal: &[Vec<f32>]) -> f64 {
    let magnitudes = signal.iter().flatten().map(|x| f64::from(*x).abs());
    let peak = magnitudes.fold(0.0, |peak: f64, x| if x.is_finite() { peak.max(x) } else { f64::INFINITY });
    20.0 * peak.log10()
}

/// Largest difference between two signals `[channel][sample]`, dBFS; −∞ when they are equal, +∞ when a sample is not finite
/// or the shapes differ.
#[must_use]
pub fn residual_db(expected: &[Vec<f32>], actual: &[Vec<f32>]) -> f64 {
    let same_shape = expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| e.len() == a.len());
    if !same_shape {
        return f64::INFINITY;
    }
    let mut peak = 0.0_f64;
    for (expected, actual) in expected.iter().flatten().zip(actual.iter().flatten()) {
        let difference = (f64::from(*expected) - f64::from(*actual)).abs();
        if !difference.is_finite() {
            return f64::INFINITY;
        }
        peak = peak.max(difference);
    }
    20.0 * peak.log10()
}

/// Largest of magnitudes; 0 of none, NaN where one of them is.
pub fn largest(magnitudes: impl IntoIterator<Item = f32>) -> f32 {
    magnitudes.into_iter().fold(0.0, |largest, x| if largest.is_nan() || x <= largest { largest } else { x })
}

/// Sum of signals of the same shape, in double precision. `[channel][sample]`.
#[must_use]
pub fn sum_of(signals: &[&[Vec<f32>]]) -> Vec<Vec<f32>> {
    let Some(first) = signals.first() else { return Vec::new() };
    (0..first.len())
        .map(|channel_idx| {
            (0..first[channel_idx].len())
                .map(|sample_idx| {
                    signals.iter().map(|signal| f64::from(signal[channel_idx][sample_idx])).sum::<f64>() as f32
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::noise;

    #[test]
    fn a_delay_is_found_to_the_sample_even_under_a_filter() {
        let reference = noise(1, 5_000, 0.5, 1).remove(0);
        for delay in [0, 1, 777, 4_999] {
            let mut delayed = vec![0.0; delay];
            // A symmetric filter leaves the peak where it is.
            let sample = |idx: Option<usize>| idx.and_then(|i| reference.get(i)).copied().unwrap_or(0.0);
            delayed.extend(
                (0..5_000_usize).map(|i| 0.7 * reference[i] + 0.2 * (sample(i.checked_sub(1)) + sample(Some(i + 1)))),
            );
            assert_eq!(delay_samples(&reference, &delayed, 6_000), Some(delay));
        }
    }

    #[test]
    fn silence_and_strangers_have_no_delay() {
        let reference = noise(1, 5_000, 0.5, 1).remove(0);
        assert_eq!(delay_samples(&reference, &vec![0.0; 6_000], 1_000), None);
        assert_eq!(delay_samples(&reference, &noise(1, 6_000, 0.5, 2).remove(0), 1_000), None);
    }

    #[test]
    fn of_magnitudes_of_which_one_is_no_number_none_is_the_largest() {
        assert_eq!([largest([0.5, 2.0, 1.0]), largest([])], [2.0, 0.0]);
        assert!([[f32::NAN, 1.0], [1.0, f32::NAN]].into_iter().all(|magnitudes| largest(magnitudes).is_nan()));
    }

    #[test]
    fn a_residual_is_in_decibels_of_full_scale() {
        let one = vec![vec![0.5, 0.25]];
        assert!((residual_db(&one, &[vec![0.5, 0.251]]) + 60.0).abs() < 0.1);
        assert!(residual_db(&one, &one.clone()).is_infinite());
        assert!(residual_db(&one, &[vec![0.5, f32::NAN]]) > 0.0);
    }
}
