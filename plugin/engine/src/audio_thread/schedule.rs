//! What a frame is heard through, and what happens when its mask is late.
//!
//! A late frame first keeps the last mask, for as long as one missed call is felt; then the masks fade to the dry share within a few
//! frames. When masks come again they fade in the same way. `presence` says how far the masks are in.

/// Frames over which the masks fade in or out, each one hop long: 64 ms on the paper's grid, too slow to click.
const FADE_FRAMES: f32 = 4.0;

/// The masks that were used last, and how far they are in.
pub struct Schedule {
    /// `[channel][stem][bin]`, at the model's bins.
    masks: Vec<Vec<f32>>,
    num_bins: usize,
    /// Channels that have a mask of their own: 1 when linked.
    num_mask_channels: usize,
    hold_frames: usize,
    num_missing_frames: usize,
    presence: f32,
    has_begun: bool,
}

impl Schedule {
    /// `num_stems` without the residual; a late mask is held for `hold_frames`.
    pub fn new(num_channels: usize, num_stems: usize, num_bins: usize, hold_frames: usize) -> Self {
        Self {
            masks: vec![vec![0.0; num_stems * num_bins]; num_channels],
            num_bins,
            num_mask_channels: 1,
            hold_frames,
            num_missing_frames: usize::MAX,
            presence: 0.0,
            has_begun: false,
        }
    }

    /// Back to before the first frame.
    pub fn reset(&mut self) {
        self.num_missing_frames = usize::MAX;
        self.presence = 0.0;
        self.has_begun = false;
    }

    /// A frame whose masks are here, for `num_mask_channels` channels; `mask_of(stem, channel)` gives each.
    pub fn take<'m>(&mut self, num_mask_channels: usize, mask_of: impl Fn(usize, usize) -> &'m [f32]) {
        self.num_mask_channels = num_mask_channels;
        for (channel_idx, masks) in self.masks.iter_mut().take(num_mask_channels).enumerate() {
            for (stem_idx, mask) in masks.chunks_exact_mut(self.num_bins).enumerate() {
                mask.copy_from_slice(mask_of(stem_idx, channel_idx));
            }
        }
        self.num_missing_frames = 0;
        // Before the very first frame there is silence: nothing to fade from.
        let step = if self.has_begun { 1.0 / FADE_FRAMES } else { 1.0 };
        self.presence = (self.presence + step).min(1.0);
        self.has_begun = true;
    }

    /// A frame whose masks are not here. `is_awaited`: they, or others soon after them, were to come.
    pub fn miss(&mut self, is_awaited: bool) {
        self.num_missing_frames = self.num_missing_frames.saturating_add(1);
        self.has_begun = true;
        if !is_awaited || self.num_missing_frames > self.hold_frames {
            self.presence = (self.presence - 1.0 / FADE_FRAMES).max(0.0);
        }
    }

    /// A frame without sound. Whatever comes next has nothing to fade from.
    pub fn rest(&mut self) {
        self.has_begun = false;
    }

    /// How far the masks are in, 0..=1.
    pub fn presence(&self) -> f32 {
        self.presence
    }

    /// The mask `[bin]` that was used last for one stem of a channel.
    pub fn mask(&self, stem_idx: usize, channel_idx: usize) -> &[f32] {
        let with_own = channel_idx.min(self.num_mask_channels - 1);
        &self.masks[with_own][stem_idx * self.num_bins..][..self.num_bins]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_mask_is_held_for_a_call_then_fades_and_comes_back_without_a_jump() {
        let mut schedule = Schedule::new(1, 1, 3, 8);
        let mask = [0.2, 0.4, 0.6];
        schedule.take(1, |_, _| &mask);
        assert_eq!(schedule.presence(), 1.0, "the first mask needs no fade");
        for _ in 0..8 {
            schedule.miss(true);
            assert_eq!(schedule.presence(), 1.0);
        }
        let mut before = 1.0;
        for _ in 0..20 {
            schedule.miss(true);
            assert!(before - schedule.presence() <= 0.25 + 1e-6);
            before = schedule.presence();
        }
        assert_eq!(before, 0.0);
        for _ in 0..4 {
            schedule.take(1, |_, _| &mask);
            assert!(schedule.presence() - before <= 0.25 + 1e-6);
            before = schedule.presence();
        }
        assert_eq!(before, 1.0);
    }

    #[test]
    fn the_last_mask_is_held_for_the_channels_that_it_was_made_for() {
        let mut schedule = Schedule::new(2, 1, 2, 8);
        schedule.take(2, |_, channel_idx| [&[0.1, 0.2], &[0.3, 0.4]][channel_idx]);
        schedule.miss(true);
        assert_eq!((schedule.mask(0, 0), schedule.mask(0, 1)), (&[0.1, 0.2][..], &[0.3, 0.4][..]));
        schedule.take(1, |_, _| &[0.5, 0.6]);
        schedule.miss(true);
        assert_eq!((schedule.mask(0, 0), schedule.mask(0, 1)), (&[0.5, 0.6][..], &[0.5, 0.6][..]));
    }
}
