//! Analysis and synthesis windows, and what overlapping frames of them add up to.

use std::f64::consts::{PI, TAU};

/// The windows that a frame goes through, one before its transform and one after.
///
/// - Synthesis as long as analysis: both are the periodic Hann window, as `torch.hann_window(len)` has it.
/// - Synthesis shorter, which is what makes the latency shorter: a pair that bends towards the frame's end, after Mauler and
///   Martin, "A low delay, variable resolution, perfect reconstruction spectral analysis-synthesis system", EUSIPCO 2007.
///   Synthesis takes the frame's last samples through the square root of a periodic Hann window; analysis rises as a Hann window
///   does over all that comes before the middle of that one, and falls with it.
///
/// Computed in `f64`.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowPair {
    /// For the whole frame.
    pub analysis: Vec<f32>,
    /// For the last samples of it, which are its segment.
    pub synthesis: Vec<f32>,
}

impl WindowPair {
    /// The pair of these lengths, samples; a synthesis window longer than the frame is cut to it.
    #[must_use]
    pub fn new(analysis_samples: usize, synthesis_samples: usize) -> Self {
        let num_before = analysis_samples.saturating_sub(synthesis_samples);
        if num_before == 0 {
            let hann = periodic_hann(analysis_samples, |gain| gain);
            return Self { synthesis: hann.clone(), analysis: hann };
        }
        let synthesis = periodic_hann(synthesis_samples, f64::sqrt);
        let num_rising = analysis_samples as f64 - synthesis_samples as f64 / 2.0;
        let analysis = (0..analysis_samples)
            .map(|n| match n as f64 {
                place if place < num_rising => (0.5 - 0.5 * (PI * place / num_rising).cos()) as f32,
                _ => synthesis[n - num_before],
            })
            .collect();
        Self { analysis, synthesis }
    }

    /// What both windows and overlapping every `hop` samples multiply a signal by, for each of the `hop` positions:
    /// `gain[n] = Σ_m analysis[n + m·hop] · synthesis[n + m·hop]` over the samples of the synthesis window, summed in `f64`. Empty
    /// for a hop of 0.
    ///
    /// The sum is exact for any hop, also one that does not divide the window, because the pattern repeats every hop.
    #[must_use]
    pub fn overlap_gain(&self, hop: usize) -> Vec<f32> {
        (0..hop).map(|n| self.products().skip(n).step_by(hop).sum::<f64>() as f32).collect()
    }

    fn products(&self) -> impl Iterator<Item = f64> {
        let segment = &self.analysis[self.analysis.len() - self.synthesis.len()..];
        segment.iter().zip(&self.synthesis).map(|(&a, &s)| f64::from(a) * f64::from(s))
    }
}

/// `w[n] = shape(½ − ½ cos(2πn / len))`.
fn periodic_hann(len: usize, shape: impl Fn(f64) -> f64) -> Vec<f32> {
    (0..len).map(|n| shape(0.5 - 0.5 * (TAU * n as f64 / len as f64).cos()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_lengths_both_windows_are_hann_s_periodic_one() {
        let WindowPair { analysis, synthesis } = WindowPair::new(8, 8);
        assert_eq!(analysis, synthesis);
        assert!(analysis[0].abs() < 1e-12 && (analysis[4] - 1.0).abs() < 1e-12);
        for n in 1..8 {
            assert!((analysis[n] - analysis[8 - n]).abs() < 1e-7, "w[{n}] ≠ w[{}]", 8 - n);
        }
    }

    #[test]
    fn a_shorter_synthesis_window_bends_the_analysis_towards_its_middle() {
        for (len, synthesis_len) in [(3072, 1536), (1411, 706), (2822, 1411)] {
            let WindowPair { analysis, synthesis } = WindowPair::new(len, synthesis_len);
            assert_eq!((analysis.len(), synthesis.len()), (len, synthesis_len));
            let top = analysis.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            assert!(top.abs_diff(len - synthesis_len / 2) <= 1, "{len}: highest at {top}");
            let largest_step = analysis.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
            // As steep as the root of a Hann window is at its end, and nowhere else.
            assert!(largest_step <= 1.01 * std::f32::consts::PI / synthesis_len as f32, "{len}: {largest_step}");
        }
    }

    #[test]
    fn a_quarter_hop_of_a_hann_window_adds_up_to_three_halves() {
        for gain in WindowPair::new(3072, 3072).overlap_gain(768) {
            assert!((gain - 1.5).abs() < 1e-6, "{gain}");
        }
    }

    #[test]
    fn the_gain_equals_the_overlap_of_many_frames() {
        for (len, synthesis_len, hop) in [(1411, 1411, 353), (1411, 706, 353), (1411, 500, 353)] {
            let pair = WindowPair::new(len, synthesis_len);
            let gain = pair.overlap_gain(hop);
            let num_before = len - synthesis_len;
            let mut sum = vec![0.0_f64; 20 * hop + synthesis_len];
            for frame in 0..20 {
                for (n, &synthesis) in pair.synthesis.iter().enumerate() {
                    sum[frame * hop + n] += f64::from(pair.analysis[num_before + n]) * f64::from(synthesis);
                }
            }
            for n in 0..hop {
                assert!((sum[10 * hop + n] - f64::from(gain[n])).abs() < 1e-6, "position {n}");
            }
        }
    }
}
