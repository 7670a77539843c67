//! Values that move instead of jumping, so that a change makes no click.

/// An S between 0 and 1, level at both ends: `s_curve(x) + s_curve(1 − x) = 1`.
#[must_use]
#[inline]
pub fn s_curve(place: f32) -> f32 {
    place * place * (3.0 - 2.0 * place)
}

/// A linear ramp of a gain (or presence, or mix) towards a target, one step per sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    value: f32,
    target: f32,
    /// Change per sample.
    step: f32,
    num_samples_left: usize,
}

impl Ramp {
    /// A ramp that rests at `value`.
    #[must_use]
    pub fn new(value: f32) -> Self {
        Self { value, target: value, step: 0.0, num_samples_left: 0 }
    }

    /// From now on moves towards `target`, to reach it at the `num_samples`-th call of [`Ramp::next`]; 0 jumps there.
    ///
    /// Asking for the target that is already being approached changes nothing, so this may be called in every block with the
    /// current value of a parameter.
    pub fn set_target(&mut self, target: f32, num_samples: usize) {
        if num_samples == 0 {
            *self = Self::new(target);
        } else if target.to_bits() != self.target.to_bits() {
            self.target = target;
            self.step = (target - self.value) / num_samples as f32;
            self.num_samples_left = num_samples;
        }
    }

    /// Moves on by one sample and returns the value for it. The last step lands on the target exactly.
    #[expect(clippy::should_implement_trait, reason = "a ramp never ends, so it is no iterator")]
    #[inline]
    pub fn next(&mut self) -> f32 {
        match self.num_samples_left {
            0 => {}
            1 => {
                self.num_samples_left = 0;
                self.value = self.target;
            }
            _ => {
                self.num_samples_left -= 1;
                self.value += self.step;
            }
        }
        self.value
    }

    /// The value that [`Ramp::next`] returned last.
    #[must_use]
    pub fn value(&self) -> f32 {
        self.value
    }

    /// Whether the target is reached, so that [`Ramp::next`] would return the same value for ever.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.num_samples_left == 0
    }
}
