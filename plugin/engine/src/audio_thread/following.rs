//! When a sidechain that is followed is listened to.

/// Time from one example to the next.
const PERIOD_S: f64 = 1.0;

/// Of sound there is at least so much in the first one, and so much more in each that follows.
const LEAST_SOUND_S: f64 = 0.25;

/// Counts samples, so that it does not depend on where blocks end.
pub struct Following {
    period_samples: usize,
    least_sound_samples: usize,
    /// Samples since the last example; none where there was none since the sidechain is followed.
    since_last: Option<usize>,
    /// Samples of sound up to the last example.
    num_kept: usize,
}

impl Following {
    /// Of a sidechain of this rate, which nobody follows yet.
    pub fn new(rate_hz: f64) -> Self {
        Self {
            period_samples: (PERIOD_S * rate_hz) as usize,
            least_sound_samples: (LEAST_SOUND_S * rate_hz) as usize,
            since_last: None,
            num_kept: 0,
        }
    }

    /// Nobody follows it any more, or what comes does not follow on what came.
    pub fn reset(&mut self) {
        (self.since_last, self.num_kept) = (None, 0);
    }

    /// Whether there was an example since the sidechain is followed.
    pub fn has_begun(&self) -> bool {
        self.since_last.is_some()
    }

    /// So many samples more came.
    pub fn count(&mut self, num_samples: usize) {
        self.since_last = self.since_last.map(|since| since.saturating_add(num_samples));
    }

    /// Whether an example is due where `num_kept` samples of sound were kept since the last reset; if so, it is taken.
    pub fn take_due(&mut self, num_kept: usize) -> bool {
        let is_due = self.num_samples_to_go() == 0 && self.num_sound_to_go(num_kept) == 0;
        if is_due {
            (self.since_last, self.num_kept) = (Some(0), num_kept);
        }
        is_due
    }

    /// Samples before which none is due.
    pub fn num_samples_to_go(&self) -> usize {
        self.since_last.map_or(0, |since| self.period_samples.saturating_sub(since))
    }

    /// Samples of sound before which none is due.
    pub fn num_sound_to_go(&self, num_kept: usize) -> usize {
        self.least_sound_samples.saturating_sub(num_kept.saturating_sub(self.num_kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_comes_after_a_quarter_of_a_second_of_sound_and_each_later_one_a_second_after_if_there_is_something_new()
     {
        let mut following = Following::new(1_000.0);
        assert!(!following.take_due(249) && !following.has_begun());
        assert_eq!((following.num_samples_to_go(), following.num_sound_to_go(249)), (0, 1));
        assert!(following.take_due(250) && following.has_begun());
        following.count(999);
        assert!(!following.take_due(2_000));
        assert_eq!((following.num_samples_to_go(), following.num_sound_to_go(2_000)), (1, 0));
        following.count(1);
        assert!(!following.take_due(499), "hardly anything was played since");
        following.count(100_000);
        assert!(!following.take_due(499) && following.take_due(500));
        following.reset();
        assert!(following.take_due(1_500), "what was played before it is followed counts");
    }
}
