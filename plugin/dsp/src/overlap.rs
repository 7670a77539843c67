//! Frames that overlap, added up to a signal.

use crate::grid::Grid;

/// Overlap-add of some signals, each a channel of a stem: what is heard of each frame in, the hop of samples that no later frame
/// reaches out.
///
/// The sums are divided by [`WindowPair::overlap_gain`](crate::WindowPair::overlap_gain), so that unchanged frames give the input
/// back at any hop, also one that does not divide the window.
///
/// Hop number `t` of a signal holds the first samples of what is heard of frame `t`: input samples
/// `[(t+1)·hop − synthesis, (t+1)·hop − synthesis + hop)`.
pub struct OverlapAdd {
    /// `1 / overlap_gain`, `hop` long.
    inverse_gain: Vec<f32>,
    /// Analysis window times synthesis window: what a frame weighs that nothing was done to. `synthesis` long.
    weight: Vec<f32>,
    signals: Vec<Sums>,
}

/// The sum of the frames of one signal so far.
#[derive(Clone)]
struct Sums {
    /// `synthesis` long.
    ring: Vec<f32>,
    /// The first sample in the ring that is not final.
    first_idx: usize,
}

impl Sums {
    /// The ring in two pieces, in the order of time, and the length of the first.
    fn pieces(&mut self) -> (&mut [f32], &mut [f32], usize) {
        let (later, sooner) = self.ring.split_at_mut(self.first_idx);
        let at = sooner.len();
        (sooner, later, at)
    }
}

impl OverlapAdd {
    /// Allocates everything.
    #[must_use]
    pub fn new(grid: Grid, num_signals: usize) -> Self {
        let windows = grid.windows();
        Self {
            inverse_gain: windows.overlap_gain(grid.hop_samples()).iter().map(|gain| gain.recip()).collect(),
            weight: windows.heard_weight(),
            signals: vec![Sums { ring: vec![0.0; grid.synthesis_samples()], first_idx: 0 }; num_signals],
        }
    }

    /// Adds what is heard of a frame, times `gain`: at a gain of 1 bit for bit what `heard` is.
    ///
    /// # Panics
    /// If there is no such signal or `heard` is not `synthesis_samples` long.
    pub fn add(&mut self, signal_idx: usize, heard: &[f32], gain: f32) {
        assert_eq!(heard.len(), self.weight.len(), "heard must be one synthesis window long");
        let (sooner, later, at) = self.signals[signal_idx].pieces();
        let (first, rest) = heard.split_at(at);
        for (sums, heard) in [(sooner, first), (later, rest)] {
            for (sum, sample) in sums.iter_mut().zip(heard) {
                *sum += sample * gain;
            }
        }
    }

    /// Adds what would be heard of a frame of these samples through a mask that is `gain` everywhere: a mask without a shape needs no
    /// transform.
    ///
    /// # Panics
    /// If there is no such signal or `samples`, the frame's last ones, are not `synthesis_samples` many.
    pub fn add_untransformed(&mut self, signal_idx: usize, samples: &[f32], gain: f32) {
        assert_eq!(samples.len(), self.weight.len(), "samples must be one synthesis window long");
        let (sooner, later, at) = self.signals[signal_idx].pieces();
        for (sums, range) in [(sooner, 0..at), (later, at..samples.len())] {
            for ((sum, sample), weight) in sums.iter_mut().zip(&samples[range.clone()]).zip(&self.weight[range]) {
                *sum += sample * weight * gain;
            }
        }
    }

    /// Writes the hop of a signal that no later frame reaches, and goes on to the next one.
    ///
    /// # Panics
    /// If there is no such signal or `hop_out` is not `hop_samples` long.
    pub fn take_hop(&mut self, signal_idx: usize, hop_out: &mut [f32]) {
        let hop_samples = self.inverse_gain.len();
        assert_eq!(hop_out.len(), hop_samples, "hop_out must be one hop long");
        let (sooner, later, at) = self.signals[signal_idx].pieces();
        let at = at.min(hop_samples);
        for (sums, range) in [(&mut sooner[..at], 0..at), (&mut later[..hop_samples - at], at..hop_samples)] {
            for ((out, sum), gain) in hop_out[range.clone()].iter_mut().zip(&*sums).zip(&self.inverse_gain[range]) {
                *out = sum * gain;
            }
            sums.fill(0.0);
        }
        let signal = &mut self.signals[signal_idx];
        signal.first_idx = (signal.first_idx + hop_samples) % signal.ring.len();
    }

    /// Forgets the past: the next frame is frame 0.
    pub fn reset(&mut self) {
        for signal in &mut self.signals {
            signal.ring.fill(0.0);
            signal.first_idx = 0;
        }
    }
}
