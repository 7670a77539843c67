//! The window, and what overlapping frames of it add up to.

/// The periodic Hann window `w[n] = ½ − ½ cos(2πn / len)`, as `torch.hann_window(len)` has it; computed in `f64`.
#[must_use]
pub fn periodic_hann(len: usize) -> Vec<f32> {
    (0..len).map(|n| (0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / len as f64).cos()) as f32).collect()
}

/// What windowing twice (analysis and synthesis) and overlapping every `hop` samples multiplies a signal by, for each of the
/// `hop` positions: `gain[n] = Σ_m w²[n + m·hop]`, summed in `f64`. Empty for a hop of 0.
///
/// The sum is exact for any hop, also one that does not divide the window, because the pattern repeats every hop.
#[must_use]
pub fn overlap_gain(window: &[f32], hop: usize) -> Vec<f32> {
    (0..hop)
        .map(|n| window.iter().skip(n).step_by(hop).map(|&w| f64::from(w) * f64::from(w)).sum::<f64>() as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_periodic_not_symmetric() {
        let window = periodic_hann(8);
        assert!(window[0].abs() < 1e-12 && (window[4] - 1.0).abs() < 1e-12);
        for n in 1..8 {
            assert!((window[n] - window[8 - n]).abs() < 1e-7, "w[{n}] ≠ w[{}]", 8 - n);
        }
    }

    #[test]
    fn a_quarter_hop_of_a_hann_window_adds_up_to_three_halves() {
        for gain in overlap_gain(&periodic_hann(3072), 768) {
            assert!((gain - 1.5).abs() < 1e-6, "{gain}");
        }
    }

    #[test]
    fn the_gain_equals_the_overlap_of_many_frames() {
        let (len, hop) = (1411, 353);
        let window = periodic_hann(len);
        let gain = overlap_gain(&window, hop);
        let mut sum = vec![0.0_f64; 20 * hop + len];
        for frame in 0..20 {
            for (n, &w) in window.iter().enumerate() {
                sum[frame * hop + n] += f64::from(w).powi(2);
            }
        }
        for n in 0..hop {
            assert!((sum[10 * hop + n] - f64::from(gain[n])).abs() < 1e-6, "position {n}");
        }
    }
}
