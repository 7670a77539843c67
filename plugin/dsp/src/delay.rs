//! A fixed delay of one channel.

use crate::memory::touched_zeros;

/// Delays a signal by a fixed number of samples; before sample 0 it is zero.
pub struct DelayLine {
    /// The last `delay_samples` inputs, in a ring.
    ring: Vec<f32>,
    /// The oldest sample in the ring: the next one out and the next one overwritten.
    oldest_idx: usize,
}

impl DelayLine {
    /// A delay of `delay_samples` (0 passes the input through). Blocks may be of any length: the memory does not depend on it.
    #[must_use]
    pub fn new(delay_samples: usize) -> Self {
        Self { ring: touched_zeros(delay_samples), oldest_idx: 0 }
    }

    /// Takes `input` and writes as many samples of the delayed signal; exact, bit for bit. Any length, 0 included.
    ///
    /// # Panics
    /// If `input` and `output` differ in length.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) {
        assert_eq!(input.len(), output.len(), "input and output must be of one length");
        if self.ring.is_empty() {
            output.copy_from_slice(input);
            return;
        }
        let mut done = 0;
        while done < input.len() {
            let num_samples = (input.len() - done).min(self.ring.len() - self.oldest_idx);
            let ring = &mut self.ring[self.oldest_idx..self.oldest_idx + num_samples];
            output[done..done + num_samples].copy_from_slice(ring);
            ring.copy_from_slice(&input[done..done + num_samples]);
            done += num_samples;
            self.oldest_idx = (self.oldest_idx + num_samples) % self.ring.len();
        }
    }

    /// Forgets the past: the next outputs are zero for the length of the delay.
    pub fn reset(&mut self) {
        self.ring.fill(0.0);
        self.oldest_idx = 0;
    }
}
