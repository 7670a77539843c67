//! Analysis: the samples of a frame in, its spectrum out.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use crate::grid::Grid;
use crate::memory::touched_zeros;

/// The transform of one frame: `X[k] = Σ_n w[n] · x[n] · e^(−2πikn/window)`, the unnormalised DFT of the frame's samples under the
/// analysis window of [`WindowPair`](crate::WindowPair).
///
/// It keeps nothing from one frame to the next, so one serves any number of signals.
pub struct Stft {
    fft: Arc<dyn RealToComplex<f32>>,
    /// Of analysis, `window` long.
    window: Vec<f32>,
    /// `frame · window`; the transform destroys it.
    windowed: Vec<f32>,
    scratch: Vec<Complex32>,
}

impl Stft {
    /// Plans the transform and allocates everything.
    #[must_use]
    pub fn new(grid: Grid) -> Self {
        let fft = RealFftPlanner::<f32>::new().plan_fft_forward(grid.window_samples());
        let scratch = touched_zeros(fft.get_scratch_len());
        Self { fft, window: grid.windows().analysis, windowed: touched_zeros(grid.window_samples()), scratch }
    }

    /// Writes the spectrum of `frame`, oldest sample first.
    ///
    /// # Panics
    /// If `frame` is not `window_samples` long or `spectrum` not `num_bins`.
    pub fn analyse(&mut self, frame: &[f32], spectrum: &mut [Complex32]) {
        assert_eq!(frame.len(), self.window.len(), "frame must be one window long");
        for ((out, sample), gain) in self.windowed.iter_mut().zip(frame).zip(&self.window) {
            *out = sample * gain;
        }
        self.fft
            .process_with_scratch(&mut self.windowed, spectrum, &mut self.scratch)
            .expect("spectrum must be num_bins long");
    }
}
