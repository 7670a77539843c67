//! The frame grid: window and hop in samples of the host, from seconds of the model.

use crate::window::WindowPair;

/// Longest window, samples: 64 ms at 2 MHz. A longer one is a mistake in the model's metadata or the host's rate.
const MAX_WINDOW_SAMPLES: usize = 1 << 17;

/// Smallest overlap gain over the largest one that still counts as non-zero overlap-add. At this value the normalisation
/// raises rounding errors by 20 dB at the weakest sample of the hop.
const MIN_GAIN_RATIO: f64 = 0.01;

/// Window, hop and synthesis window, samples at the host's rate.
///
/// A model declares each in seconds: `window = round(rate · window_s)`, `hop = round(rate · hop_s)`. Bin `k` is then the
/// frequency `k · rate / window ≈ k / window_s` at every host rate, so one model serves them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit is part of each name")]
pub struct Grid {
    window_samples: usize,
    hop_samples: usize,
    synthesis_samples: usize,
}

impl Grid {
    /// Places a grid at `host_rate_hz`: frames of `window_s` seconds every `hop_s`, of which the last `synthesis_s`, the segment, are synthesised.
    ///
    /// # Errors
    /// If a value is not finite and positive, if window or hop round to nothing, if the hop is longer than the synthesis window or
    /// that than the window, if the window is too long, or if the windows overlap too little to be inverted (NOLA).
    pub fn new(host_rate_hz: f64, window_s: f64, hop_s: f64, synthesis_s: f64) -> Result<Self, GridError> {
        for (name, value) in
            [("host_rate_hz", host_rate_hz), ("window_s", window_s), ("hop_s", hop_s), ("synthesis_s", synthesis_s)]
        {
            if !(value.is_finite() && value > 0.0) {
                return Err(GridError::NotPositive { name, value });
            }
        }
        let [window, hop, synthesis] = [window_s, hop_s, synthesis_s].map(|length_s| (host_rate_hz * length_s).round());
        if window < 2.0 || hop < 1.0 {
            return Err(GridError::TooShort { window_samples: window as usize, hop_samples: hop as usize });
        }
        if hop > synthesis || synthesis > window {
            return Err(GridError::OutOfOrder { hop_s, synthesis_s, window_s });
        }
        if window > MAX_WINDOW_SAMPLES as f64 {
            return Err(GridError::TooLong { window_samples: window, max_samples: MAX_WINDOW_SAMPLES });
        }
        let grid =
            Self { window_samples: window as usize, hop_samples: hop as usize, synthesis_samples: synthesis as usize };

        let gain = grid.windows().overlap_gain(grid.hop_samples);
        let smallest = gain.iter().copied().fold(f32::INFINITY, f32::min);
        let largest = gain.iter().copied().fold(0.0, f32::max);
        if f64::from(smallest) <= MIN_GAIN_RATIO * f64::from(largest) {
            return Err(GridError::Nola {
                synthesis_samples: grid.synthesis_samples,
                hop_samples: grid.hop_samples,
                smallest,
            });
        }
        Ok(grid)
    }

    /// Length of the analysis window and of the DFT, samples. May be odd (1411 at 22.05 kHz).
    #[must_use]
    pub fn window_samples(self) -> usize {
        self.window_samples
    }

    /// Samples between two frames.
    #[must_use]
    pub fn hop_samples(self) -> usize {
        self.hop_samples
    }

    /// Samples of a segment, the end of a frame that is synthesised; a sample waits that long for its last frame.
    #[must_use]
    pub fn synthesis_samples(self) -> usize {
        self.synthesis_samples
    }

    /// Hops that so many frames in a row are made of: one each, and what the first one's window reaches back.
    #[must_use]
    pub fn frames_reach_hops(self, num_frames: usize) -> usize {
        num_frames + self.window_samples.div_ceil(self.hop_samples) - 1
    }

    /// The windows of these lengths.
    #[must_use]
    pub fn windows(self) -> WindowPair {
        WindowPair::new(self.window_samples, self.synthesis_samples)
    }

    /// Bins of a spectrum, DC included: `window / 2 + 1`.
    #[must_use]
    pub fn num_bins(self) -> usize {
        self.window_samples / 2 + 1
    }
}

/// Why a grid cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum GridError {
    /// A rate or duration is zero, negative, infinite or NaN.
    #[error(
        "{name} is {value}, expected a finite number above 0: check the host's sample rate and the model's metadata"
    )]
    NotPositive {
        /// Which argument of [`Grid::new`].
        name: &'static str,
        /// What it was, hertz or seconds.
        value: f64,
    },
    /// Window or hop round to less than they need.
    #[error(
        "the window is {window_samples} samples and the hop {hop_samples}, expected at least 2 and 1: \
         use a higher sample rate or a model with longer frames"
    )]
    TooShort {
        /// Window after rounding.
        window_samples: usize,
        /// Hop after rounding.
        hop_samples: usize,
    },
    /// Samples between frames would be lost, or a segment be longer than its frame.
    #[error(
        "the hop is {hop_s} s, the synthesis window {synthesis_s} s and the window {window_s} s, expected each to be at most as \
         long as the next: correct the model's metadata"
    )]
    OutOfOrder {
        /// Hop as declared, seconds.
        hop_s: f64,
        /// Synthesis window as declared, seconds.
        synthesis_s: f64,
        /// Window as declared, seconds.
        window_s: f64,
    },
    /// The window is absurdly long.
    #[error(
        "the window is {window_samples} samples, expected at most {max_samples}: \
         use a lower sample rate or a model with shorter frames"
    )]
    TooLong {
        /// Window after rounding.
        window_samples: f64,
        /// The limit.
        max_samples: usize,
    },
    /// The windows overlap too little for the signal to be rebuilt.
    #[error(
        "synthesis windows of {synthesis_samples} samples every {hop_samples} overlap too little (smallest sum {smallest}): \
         use a model whose hop is at most half of its synthesis window"
    )]
    Nola {
        /// Synthesis window after rounding.
        synthesis_samples: usize,
        /// Hop after rounding.
        hop_samples: usize,
        /// Smallest value of [`WindowPair::overlap_gain`].
        smallest: f32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seconds_make_the_expected_samples_at_each_rate() {
        for (rate_hz, window, hop) in [
            (16_000.0, 1024, 256),
            (22_050.0, 1411, 353),
            (32_000.0, 2048, 512),
            (44_100.0, 2822, 706),
            (48_000.0, 3072, 768),
            (88_200.0, 5645, 1411),
            (96_000.0, 6144, 1536),
            (176_400.0, 11_290, 2822),
            (192_000.0, 12_288, 3072),
        ] {
            let grid = Grid::new(rate_hz, 0.064, 0.016, 0.064).unwrap();
            assert_eq!((grid.window_samples(), grid.hop_samples()), (window, hop), "at {rate_hz} Hz");
            assert_eq!(grid.num_bins(), window / 2 + 1);
        }
    }

    #[test]
    fn a_bin_is_the_same_frequency_at_each_rate() {
        for rate_hz in
            [8_000.0, 11_025.0, 16_000.0, 22_050.0, 32_000.0, 44_100.0, 48_000.0, 88_200.0, 96_000.0, 192_000.0]
        {
            let grid = Grid::new(rate_hz, 0.064, 0.016, 0.064).unwrap();
            // The top bins of models that are fed 16 and 32 kHz, or what the host has of them.
            for top_bin in [512, 1024].map(|bin_idx| bin_idx.min(grid.num_bins() - 1) as f64) {
                let top_bin_hz = top_bin * rate_hz / grid.window_samples() as f64;
                let off_bins = top_bin_hz * 0.064 - top_bin;
                println!("{rate_hz:>8} Hz: bin {top_bin} at {top_bin_hz:.2} Hz, {off_bins:+.3} bins off");
                assert!(off_bins.abs() < 0.25, "bin {top_bin} is {off_bins} bins off at {rate_hz} Hz");
            }
        }
    }

    #[test]
    fn values_that_make_no_grid_are_refused_by_name() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for (name, rate_hz, window_s, hop_s, synthesis_s) in [
                ("host_rate_hz", bad, 0.064, 0.016, 0.064),
                ("window_s", 48e3, bad, 0.016, 0.064),
                ("hop_s", 48e3, 0.064, bad, 0.064),
                ("synthesis_s", 48e3, 0.064, 0.016, bad),
            ] {
                match Grid::new(rate_hz, window_s, hop_s, synthesis_s) {
                    Err(GridError::NotPositive { name: reported, .. }) => assert_eq!(reported, name),
                    other => panic!("{name} = {bad}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn lengths_that_make_no_grid_are_refused() {
        let refusal = |rate_hz, window_s, hop_s| Grid::new(rate_hz, window_s, hop_s, window_s).unwrap_err();
        assert!(matches!(refusal(10.0, 0.064, 0.016), GridError::TooShort { window_samples: 1, hop_samples: 0 }));
        assert!(matches!(refusal(48e3, 0.064, 0.065), GridError::OutOfOrder { .. }));
        assert!(matches!(Grid::new(48e3, 0.064, 0.016, 0.065).unwrap_err(), GridError::OutOfOrder { .. }));
        assert!(matches!(Grid::new(48e3, 0.064, 0.016, 0.015).unwrap_err(), GridError::OutOfOrder { .. }));
        // A synthesis window of a single sample is zero there.
        assert!(matches!(Grid::new(40.0, 0.064, 0.016, 0.032).unwrap_err(), GridError::Nola { .. }));
        // Segments must overlap with the next, however long the frame is.
        assert!(matches!(Grid::new(48e3, 0.064, 0.016, 0.016).unwrap_err(), GridError::Nola { .. }));
        assert!(matches!(refusal(48e3, 10.0, 1.0), GridError::TooLong { .. }));
        assert!(matches!(refusal(f64::MAX, 0.064, 0.016), GridError::TooLong { .. }));
        // A Hann window begins with 0, so a hop of a whole window leaves samples that no frame has seen.
        assert!(matches!(refusal(48e3, 0.064, 0.064), GridError::Nola { .. }));
        assert!(matches!(refusal(48e3, 0.064, 0.062), GridError::Nola { .. }));
        assert!(Grid::new(48e3, 0.064, 0.032, 0.064).is_ok());
        assert!(Grid::new(48e3, 0.064, 0.016, 0.032).is_ok());
    }
}
