//! The newest samples of one channel.

use crate::memory::touched_zeros;
use crate::sanitise::sanitise;

/// A ring of the newest samples, to be read as one piece. Before sample 0 there is silence.
pub struct History {
    ring: Vec<f32>,
    /// The oldest sample in the ring: the next one overwritten.
    oldest_idx: usize,
}

impl History {
    /// Room for the newest `num_samples`.
    #[must_use]
    pub fn new(num_samples: usize) -> Self {
        Self { ring: touched_zeros(num_samples), oldest_idx: 0 }
    }

    /// Takes samples in, of which those beyond the room are forgotten at once; returns how many of the others were no sound and were
    /// replaced ([`sanitise`]).
    pub fn push(&mut self, samples: &[f32]) -> usize {
        let mut rest = &samples[samples.len().saturating_sub(self.ring.len())..];
        let mut num_replaced = 0;
        while !rest.is_empty() {
            let part;
            (part, rest) = rest.split_at(rest.len().min(self.ring.len() - self.oldest_idx));
            let own = self.next_part(part.len());
            own.copy_from_slice(part);
            num_replaced += sanitise(own);
        }
        num_replaced
    }

    /// Takes in samples of silence.
    pub fn push_silence(&mut self, num_samples: usize) {
        let mut num_left = num_samples.min(self.ring.len());
        while num_left > 0 {
            let part = num_left.min(self.ring.len() - self.oldest_idx);
            self.next_part(part).fill(0.0);
            num_left -= part;
        }
    }

    /// The memory of the next so many samples, which do not reach beyond the ring's end.
    fn next_part(&mut self, num_samples: usize) -> &mut [f32] {
        let start = self.oldest_idx;
        self.oldest_idx = (start + num_samples) % self.ring.len();
        &mut self.ring[start..start + num_samples]
    }

    /// Whether the newest `num_samples`, or all that there is room for, are zero.
    #[must_use]
    pub fn is_silent(&self, num_samples: usize) -> bool {
        let num_samples = num_samples.min(self.ring.len());
        let start = (self.oldest_idx + self.ring.len() - num_samples) % self.ring.len().max(1);
        let at = num_samples.min(self.ring.len() - start);
        let pieces = [&self.ring[start..start + at], &self.ring[..num_samples - at]];
        pieces.into_iter().flatten().all(|sample| *sample == 0.0)
    }

    /// Copies the samples that end `num_newer` before the newest one, oldest first.
    ///
    /// # Panics
    /// If they reach back further than the room.
    pub fn copy(&self, num_newer: usize, out: &mut [f32]) {
        let num_samples = self.ring.len();
        assert!(num_newer + out.len() <= num_samples, "the history is shorter than that");
        let start = (self.oldest_idx + num_samples - num_newer - out.len()) % num_samples.max(1);
        let at = out.len().min(num_samples - start);
        let (first, rest) = out.split_at_mut(at);
        first.copy_from_slice(&self.ring[start..start + at]);
        rest.copy_from_slice(&self.ring[..rest.len()]);
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.ring.fill(0.0);
        self.oldest_idx = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stretch_within_the_room_can_be_read_after_pushes_of_any_length() {
        let samples: Vec<f32> = (1..=400_u16).map(f32::from).collect();
        for lengths in [[1, 7, 16], [5, 40, 3], [16, 0, 64]] {
            let mut history = History::new(16);
            let mut done = 0;
            for length in lengths.into_iter().cycle().take(9) {
                history.push(&samples[done..done + length]);
                done += length;
                for num_newer in 0..=16 {
                    for len in 0..=16 - num_newer {
                        let mut out = vec![f32::NAN; len];
                        history.copy(num_newer, &mut out);
                        let expected: Vec<f32> = (0..len)
                            .map(|n| (done + n).checked_sub(num_newer + len).map_or(0.0, |idx| samples[idx]))
                            .collect();
                        assert_eq!(out, expected, "{done} samples in, {len} of them, {num_newer} before the newest");
                    }
                }
            }
            assert_eq!(history.push(&[f32::NAN, 0.0]), 1, "what is no sound is silence");
            history.push_silence(4);
            assert!(history.is_silent(0) && history.is_silent(6) && !history.is_silent(7) && !history.is_silent(99));
            history.reset();
            let mut out = [f32::NAN; 16];
            history.copy(0, &mut out);
            assert_eq!(out, [0.0; 16]);
        }
    }
}
