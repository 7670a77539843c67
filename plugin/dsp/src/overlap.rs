//! Frames that overlap, added up to a signal.

use crate::grid::Grid;
use crate::memory::touched_zeros;

/// Overlap-add of some signals, each a channel of a stem: the segment of each frame in, the hop of samples that no later frame
/// reaches out.
///
/// The sums are divided by [`WindowPair::overlap_gain`](crate::WindowPair::overlap_gain), so that unchanged frames give the input
/// back at any hop, also one that does not divide the window.
///
/// Hop number `t` of a signal holds the first samples of the segment of frame `t`: input samples
/// `[(t+1)·hop − synthesis, (t+1)·hop − synthesis + hop)`. What follows it in the sums is to be added to by later frames.
pub struct OverlapAdd {
    hop_samples: usize,
    /// `1 / overlap_gain`, which comes round every hop; `synthesis` long.
    inverse_gain: Vec<f32>,
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
    /// The ring in two pieces, in the order of time.
    fn pieces(&mut self) -> [&mut [f32]; 2] {
        let (later, sooner) = self.ring.split_at_mut(self.first_idx);
        [sooner, later]
    }

    /// Goes on to the next hop.
    fn drop_hop(&mut self, hop_samples: usize) {
        let [sooner, later] = self.pieces();
        let at = sooner.len().min(hop_samples);
        sooner[..at].fill(0.0);
        later[..hop_samples - at].fill(0.0);
        self.first_idx = (self.first_idx + hop_samples) % self.ring.len();
    }
}

impl OverlapAdd {
    /// Allocates everything.
    #[must_use]
    pub fn new(grid: Grid, num_signals: usize) -> Self {
        let (hop_samples, num_heard) = (grid.hop_samples(), grid.synthesis_samples());
        let inverse_gain: Vec<f32> = grid.windows().overlap_gain(hop_samples).iter().map(|gain| gain.recip()).collect();
        Self {
            hop_samples,
            inverse_gain: inverse_gain.into_iter().cycle().take(num_heard).collect(),
            signals: (0..num_signals).map(|_| Sums { ring: touched_zeros(num_heard), first_idx: 0 }).collect(),
        }
    }

    /// Adds the segment of a frame.
    ///
    /// # Panics
    /// If there is no such signal or `segment` is not `synthesis_samples` long.
    pub fn add(&mut self, signal_idx: usize, segment: &[f32]) {
        assert_eq!(segment.len(), self.inverse_gain.len(), "segment must be one synthesis window long");
        let mut rest = segment.iter().zip(&self.inverse_gain);
        for piece in self.signals[signal_idx].pieces() {
            for (sum, (sample, gain)) in piece.iter_mut().zip(&mut rest) {
                *sum += sample * gain;
            }
        }
    }

    /// Copies what the frames so far add up to: the hop that is final, and what later frames will be added to.
    ///
    /// # Panics
    /// If there is no such signal or `sums` is not `synthesis_samples` long.
    pub fn copy_sums(&self, signal_idx: usize, sums: &mut [f32]) {
        let Sums { ring, first_idx } = &self.signals[signal_idx];
        assert_eq!(sums.len(), ring.len(), "sums must be one synthesis window long");
        let (sooner, later) = sums.split_at_mut(ring.len() - first_idx);
        sooner.copy_from_slice(&ring[*first_idx..]);
        later.copy_from_slice(&ring[..*first_idx]);
    }

    /// Goes on from the sums of another, at the hop after the one that was final there.
    ///
    /// # Panics
    /// If there is no such signal or `sums` is not `synthesis_samples` long.
    pub fn go_on_from(&mut self, signal_idx: usize, sums: &[f32]) {
        let signal = &mut self.signals[signal_idx];
        assert_eq!(sums.len(), signal.ring.len(), "sums must be one synthesis window long");
        signal.ring.copy_from_slice(sums);
        signal.first_idx = 0;
        signal.drop_hop(self.hop_samples);
    }

    /// Writes the hop of a signal that no later frame reaches, and goes on to the next one.
    ///
    /// # Panics
    /// If there is no such signal or `hop_out` is not `hop_samples` long.
    pub fn take_hop(&mut self, signal_idx: usize, hop_out: &mut [f32]) {
        assert_eq!(hop_out.len(), self.hop_samples, "hop_out must be one hop long");
        let [sooner, later] = self.signals[signal_idx].pieces();
        let (first, rest) = hop_out.split_at_mut(sooner.len().min(self.hop_samples));
        first.copy_from_slice(&sooner[..first.len()]);
        rest.copy_from_slice(&later[..rest.len()]);
        self.drop_hop(signal_idx);
    }

    /// Goes on to the next hop of a signal.
    ///
    /// # Panics
    /// If there is no such signal.
    pub fn drop_hop(&mut self, signal_idx: usize) {
        self.signals[signal_idx].drop_hop(self.hop_samples);
    }

    /// Forgets the past: the next frame is frame 0.
    pub fn reset(&mut self) {
        for signal in &mut self.signals {
            signal.ring.fill(0.0);
            signal.first_idx = 0;
        }
    }
}
