//! Fades between masked and unmasked sound.
//!
//! A late frame is first played through the last mask, for as long as one missed call takes; then the masks fade to the dry share
//! within a few frames. When masks come again they fade in the same way.

/// Frames over which the masks fade in or out, each one hop long: 64 ms on the paper's grid, too slow to click.
const FADE_FRAMES: f32 = 4.0;

/// The presence of the masks, 0 (unmasked) to 1: per frame, and along the hop of each.
pub struct MaskFade {
    hold_frames: usize,
    num_missing_frames: usize,
    /// Presence at the beginning and at the end of the hop.
    presence: (f32, f32),
    has_begun: bool,
}

impl MaskFade {
    /// A fade that holds a late mask for `hold_frames`.
    pub fn new(hold_frames: usize) -> Self {
        Self { hold_frames, num_missing_frames: usize::MAX, presence: (0.0, 0.0), has_begun: false }
    }

    /// Back to before the first frame.
    pub fn reset(&mut self) {
        *self = Self::new(self.hold_frames);
    }

    /// Notes a frame whose masks are here.
    pub fn mask_arrived(&mut self) {
        self.num_missing_frames = 0;
        // After silence, or before the very first frame, there is nothing to fade from.
        let to = (self.presence.1 + 1.0 / FADE_FRAMES).min(1.0);
        self.presence = if self.has_begun { (self.presence.1, to) } else { (1.0, 1.0) };
        self.has_begun = true;
    }

    /// Notes a frame whose masks are not here. `is_awaited`: they, or others soon after them, are still to come.
    pub fn mask_missing(&mut self, is_awaited: bool) {
        self.num_missing_frames = self.num_missing_frames.saturating_add(1);
        self.has_begun = true;
        let is_held = is_awaited && self.num_missing_frames <= self.hold_frames;
        let from = self.presence.1;
        self.presence = (from, if is_held { from } else { (from - 1.0 / FADE_FRAMES).max(0.0) });
    }

    /// Notes a frame without sound: whatever comes next has nothing to fade from.
    pub fn silence(&mut self) {
        self.presence.0 = self.presence.1;
        self.has_begun = false;
    }

    /// Whether there is nothing to fade from: silence came before, or nothing.
    pub fn is_at_rest(&self) -> bool {
        !self.has_begun
    }

    /// How far the masks are in at the beginning and at the end of the frame's hop.
    pub fn presence(&self) -> (f32, f32) {
        self.presence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_mask_is_held_for_a_call_then_fades_and_comes_back_without_a_jump() {
        let mut fade = MaskFade::new(8);
        fade.mask_arrived();
        assert_eq!(fade.presence(), (1.0, 1.0), "the first mask needs no fade");
        for _ in 0..8 {
            fade.mask_missing(true);
            assert_eq!(fade.presence(), (1.0, 1.0));
        }
        let mut before = 1.0;
        let mut goes_on = |fade: &MaskFade| {
            let (from, to) = fade.presence();
            assert!(from == before && (to - from).abs() <= 0.25 + 1e-6, "{from} to {to} after {before}");
            before = to;
        };
        for _ in 0..20 {
            fade.mask_missing(true);
            goes_on(&fade);
        }
        assert_eq!(fade.presence(), (0.0, 0.0));
        for _ in 0..4 {
            fade.mask_arrived();
            goes_on(&fade);
        }
        assert_eq!(fade.presence().1, 1.0);
    }

    #[test]
    fn after_silence_there_is_nothing_to_fade_from() {
        let mut fade = MaskFade::new(8);
        fade.mask_missing(false);
        fade.silence();
        assert_eq!(fade.presence(), (0.0, 0.0));
        fade.mask_arrived();
        assert_eq!(fade.presence(), (1.0, 1.0));
    }
}
