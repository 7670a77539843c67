//! Analysis: a hop of samples in, one spectrum out, per channel.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use crate::grid::Grid;

/// The streaming short-time Fourier transform of some channels.
///
/// They share the plan, its tables and its working memory: an audio thread finds its caches cold after every block, and what
/// it reads then costs more than what it computes.
///
/// Call number `t` for a channel (from 0, since [`Stft::new`] or [`Stft::reset`]) yields frame `t`, the windowed DFT, unnormalised,
/// of input samples `[(t+1)·hop − window, (t+1)·hop)`: `X[k] = Σ_n w[n] · x[(t+1)·hop − window + n] · e^(−2πikn/window)`. Before sample
/// 0 the signal is zero.
pub struct Stft {
    fft: Arc<dyn RealToComplex<f32>>,
    /// Of analysis, `window` long; see [`WindowPair`](crate::WindowPair).
    window: Vec<f32>,
    hop_samples: usize,
    /// `[channel][sample]`: the last `window` input samples, oldest first.
    history: Vec<Vec<f32>>,
    /// `history · window`; the transform destroys it.
    windowed: Vec<f32>,
    scratch: Vec<Complex32>,
}

impl Stft {
    /// Plans the transform and allocates everything.
    #[must_use]
    pub fn new(grid: Grid, num_channels: usize) -> Self {
        let fft = RealFftPlanner::<f32>::new().plan_fft_forward(grid.window_samples());
        let scratch = fft.make_scratch_vec();
        Self {
            fft,
            window: grid.windows().analysis,
            hop_samples: grid.hop_samples(),
            history: vec![vec![0.0; grid.window_samples()]; num_channels],
            windowed: vec![0.0; grid.window_samples()],
            scratch,
        }
    }

    /// Takes the next `hop` samples of one channel and writes the spectrum of its last `window` ones.
    ///
    /// # Panics
    /// If there is no such channel, `hop_in` is not `hop_samples` long or `spectrum` not `num_bins`.
    pub fn analyse(&mut self, channel_idx: usize, hop_in: &[f32], spectrum: &mut [Complex32]) {
        assert_eq!(hop_in.len(), self.hop_samples, "hop_in must be one hop long");
        let history = &mut self.history[channel_idx];
        history.copy_within(self.hop_samples.., 0);
        let num_kept = history.len() - self.hop_samples;
        history[num_kept..].copy_from_slice(hop_in);
        for ((out, sample), gain) in self.windowed.iter_mut().zip(&*history).zip(&self.window) {
            *out = sample * gain;
        }
        self.fft
            .process_with_scratch(&mut self.windowed, spectrum, &mut self.scratch)
            .expect("spectrum must be num_bins long");
    }

    /// Forgets the past: the next frame is frame 0.
    pub fn reset(&mut self) {
        self.history.iter_mut().for_each(|history| history.fill(0.0));
    }
}
