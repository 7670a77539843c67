//! A control that never jumps.

/// Time constant of each of the two stages, seconds: a mute is 60 dB down after 46 ms.
const TIME_CONSTANT_S: f64 = 0.005;

/// Closer than this (−120 dB) the target is taken.
const SETTLED: f64 = 1e-6;

/// A value that approaches its target through two one-pole stages, so that neither it nor its slope jumps. The path depends
/// on the samples passed and on nothing else: not on block sizes, and a target that moves all the time is followed smoothly.
#[derive(Debug, Clone, Copy)]
pub struct Glide {
    /// Share of the way per sample.
    share: f64,
    target: f64,
    first: f64,
    value: f64,
    is_settled: bool,
}

impl Glide {
    /// A glide at rest at 0.
    pub fn new(rate_hz: f64) -> Self {
        let share = 1.0 - (-1.0 / (TIME_CONSTANT_S * rate_hz)).exp();
        Self { share, target: 0.0, first: 0.0, value: 0.0, is_settled: true }
    }

    /// Heads for `target`, or is there at once. What is no number is silence.
    pub fn set_target(&mut self, target: f32, at_once: bool) {
        let target = if target.is_finite() { f64::from(target) } else { 0.0 };
        if at_once {
            *self = Self { share: self.share, target, first: target, value: target, is_settled: true };
        } else if target.to_bits() != self.target.to_bits() {
            self.target = target;
            self.is_settled = false;
        }
    }

    /// Moves on by one sample.
    #[inline]
    pub fn next(&mut self) -> f32 {
        if !self.is_settled {
            self.first += self.share * (self.target - self.first);
            self.value += self.share * (self.first - self.value);
            if (self.target - self.first).abs() < SETTLED && (self.target - self.value).abs() < SETTLED {
                self.first = self.target;
                self.value = self.target;
                self.is_settled = true;
            }
        }
        self.value as f32
    }

    /// Whether the target is reached, so that [`Glide::next`] would return the same value for ever.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// The value [`Glide::next`] returned last.
    pub fn value(&self) -> f32 {
        self.value as f32
    }
}
