//! Synthesis: the spectrum of a frame in, its synthesised segment out.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner};

use crate::grid::Grid;
use crate::memory::touched_zeros;

/// The inverse of [`Stft`](crate::Stft), under the synthesis window: the last `synthesis` samples of the inverse DFT, windowed once
/// more and divided by `window` (the transforms are unnormalised). [`OverlapAdd`](crate::OverlapAdd) makes a signal of them.
///
/// It keeps nothing from one frame to the next, so one serves any number of signals.
pub struct Istft {
    fft: Arc<dyn ComplexToReal<f32>>,
    /// Of synthesis, divided by the length of the DFT: `synthesis` long.
    window: Vec<f32>,
    /// Whether the last bin is the Nyquist bin, whose DFT is real.
    has_nyquist: bool,
    /// One frame in time, before its window.
    frame: Vec<f32>,
    scratch: Vec<Complex32>,
}

impl Istft {
    /// Plans the transform and allocates everything.
    #[must_use]
    pub fn new(grid: Grid) -> Self {
        let window_samples = grid.window_samples();
        let fft = RealFftPlanner::<f32>::new().plan_fft_inverse(window_samples);
        let scratch = touched_zeros(fft.get_scratch_len());
        let scale = (window_samples as f32).recip();
        Self {
            fft,
            window: grid.windows().synthesis.iter().map(|gain| gain * scale).collect(),
            has_nyquist: window_samples.is_multiple_of(2),
            frame: touched_zeros(window_samples),
            scratch,
        }
    }

    /// Writes the synthesised segment of the frame of `spectrum` (`num_bins` long, destroyed).
    ///
    /// The imaginary parts of the DC bin and, where the window is even, of the Nyquist bin are ignored: a real signal has
    /// none.
    ///
    /// # Panics
    /// If `spectrum` is not `num_bins` long or `segment` not `synthesis_samples`.
    pub fn synthesise(&mut self, spectrum: &mut [Complex32], segment: &mut [f32]) {
        assert_eq!(segment.len(), self.window.len(), "segment must be one synthesis window long");
        if let Some(dc) = spectrum.first_mut() {
            dc.im = 0.0;
        }
        if self.has_nyquist
            && let Some(nyquist) = spectrum.last_mut()
        {
            nyquist.im = 0.0;
        }
        self.fft
            .process_with_scratch(spectrum, &mut self.frame, &mut self.scratch)
            .expect("spectrum must be num_bins long");
        let frame = &self.frame[self.frame.len() - self.window.len()..];
        for ((out, sample), gain) in segment.iter_mut().zip(frame).zip(&self.window) {
            *out = sample * gain;
        }
    }
}
