//! Synthesis: one spectrum in, the hop of samples that it completes out, per signal.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner};

use crate::grid::Grid;

/// The streaming inverse of [`Stft`](crate::Stft): windowed overlap-add of some signals, each a channel of a stem.
///
/// They share the plan, its tables and its working memory, as in [`Stft`](crate::Stft).
///
/// The last `synthesis` samples of each inverse DFT are windowed once more, overlapped, divided by `window` (the transforms are
/// unnormalised) and by [`WindowPair::overlap_gain`](crate::WindowPair::overlap_gain), so an unchanged spectrogram gives the
/// input back at any hop, also one that does not divide the window.
///
/// Call number `t` for a signal returns the samples that no later frame reaches, the first hop of what is heard of frame `t`: input
/// samples `[(t+1)·hop − synthesis, (t+1)·hop − synthesis + hop)`. The first sample of the input thus comes `synthesis − hop`
/// samples after it was analysed (and `synthesis` after it was heard, because a hop must be complete before its frame).
pub struct Istft {
    fft: Arc<dyn ComplexToReal<f32>>,
    /// Of synthesis, divided by the length of the DFT: `synthesis` long.
    window: Vec<f32>,
    /// `1 / overlap_gain`, `hop` long.
    inverse_gain: Vec<f32>,
    /// Whether the last bin is the Nyquist bin, whose DFT is real.
    has_nyquist: bool,
    /// `[signal][sample]`: sum of the frames so far, from the first sample that is not final.
    overlap: Vec<Vec<f32>>,
    /// One frame in time, before its window.
    frame: Vec<f32>,
    scratch: Vec<Complex32>,
}

impl Istft {
    /// Plans the transform and allocates everything.
    #[must_use]
    pub fn new(grid: Grid, num_signals: usize) -> Self {
        let window_samples = grid.window_samples();
        let fft = RealFftPlanner::<f32>::new().plan_fft_inverse(window_samples);
        let scratch = fft.make_scratch_vec();
        let windows = grid.windows();
        let inverse_gain = windows.overlap_gain(grid.hop_samples()).iter().map(|gain| gain.recip()).collect();
        let scale = (window_samples as f32).recip();
        Self {
            fft,
            window: windows.synthesis.iter().map(|gain| gain * scale).collect(),
            inverse_gain,
            has_nyquist: window_samples.is_multiple_of(2),
            overlap: vec![vec![0.0; grid.synthesis_samples()]; num_signals],
            frame: vec![0.0; window_samples],
            scratch,
        }
    }

    /// Adds the frame of `spectrum` (`num_bins` long, destroyed) to one signal and writes the hop that it completes.
    ///
    /// The imaginary parts of the DC bin and, where the window is even, of the Nyquist bin are ignored: a real signal has
    /// none.
    ///
    /// # Panics
    /// If there is no such signal, `spectrum` is not `num_bins` long or `hop_out` not `hop_samples`.
    pub fn synthesise(&mut self, signal_idx: usize, spectrum: &mut [Complex32], hop_out: &mut [f32]) {
        let hop_samples = self.inverse_gain.len();
        assert_eq!(hop_out.len(), hop_samples, "hop_out must be one hop long");
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
        let overlap = &mut self.overlap[signal_idx];
        let heard = &self.frame[self.frame.len() - self.window.len()..];
        for ((sum, sample), gain) in overlap.iter_mut().zip(heard).zip(&self.window) {
            *sum += sample * gain;
        }
        for ((out, sum), gain) in hop_out.iter_mut().zip(&*overlap).zip(&self.inverse_gain) {
            *out = sum * gain;
        }
        overlap.copy_within(hop_samples.., 0);
        let num_kept = overlap.len() - hop_samples;
        overlap[num_kept..].fill(0.0);
    }

    /// Forgets the past: the next frame is frame 0.
    pub fn reset(&mut self) {
        self.overlap.iter_mut().for_each(|overlap| overlap.fill(0.0));
    }
}
