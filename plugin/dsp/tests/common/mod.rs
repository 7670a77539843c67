//! What the tests share: a signal, and frames of it hop by hop.
#![allow(dead_code, reason = "each test file uses its part")]

use underscore_dsp::{Complex32, Grid, History, Istft, OverlapAdd, Stft};

/// White noise of ±1, the same for the same seed.
pub fn noise(num_samples: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..num_samples)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / 8_388_608.0) - 1.0
        })
        .collect()
}

/// The larger of two, and no number where either is none: `max` would leave it out, and nothing but NaN would pass for silence.
pub fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b <= a { a } else { b }
}

/// One signal through both transforms, hop by hop.
pub struct Hops {
    history: History,
    stft: Stft,
    istft: Istft,
    overlap: OverlapAdd,
    frame: Vec<f32>,
    segment: Vec<f32>,
}

impl Hops {
    pub fn new(grid: Grid) -> Self {
        Self {
            history: History::new(grid.window_samples()),
            stft: Stft::new(grid),
            istft: Istft::new(grid),
            overlap: OverlapAdd::new(grid, 1),
            frame: vec![0.0; grid.window_samples()],
            segment: vec![0.0; grid.synthesis_samples()],
        }
    }

    /// The spectrum of the frame that `hop_in` completes.
    pub fn analyse(&mut self, hop_in: &[f32], spectrum: &mut [Complex32]) {
        self.history.push(hop_in);
        self.history.copy(0, &mut self.frame);
        self.stft.analyse(&self.frame, spectrum);
    }

    /// The hop that the frame of `spectrum`, which is destroyed, completes.
    pub fn synthesise(&mut self, spectrum: &mut [Complex32], hop_out: &mut [f32]) {
        self.istft.synthesise(spectrum, &mut self.segment);
        self.overlap.add(0, &self.segment);
        self.overlap.take_hop(0, hop_out);
    }

    pub fn reset(&mut self) {
        self.history.reset();
        self.overlap.reset();
    }
}
