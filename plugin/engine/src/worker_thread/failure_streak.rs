//! Decides when inference that keeps failing is given up, and when it is tried again.

use std::time::{Duration, Instant};

/// Calls that keep failing for this long are given up: the audio thread does without, and a host that bounces does not wait.
/// Counted in time, because calls may last 16 ms or 128, and what passes by itself (a driver that resets, memory that is short) takes
/// seconds.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(2);

/// A call that begins so long after the one before it failed, and fails, too, begins a new streak: in between, in silence or asleep,
/// nothing was tried. Far longer than calls are apart that follow on one another.
pub const LONGEST_GAP: Duration = Duration::from_secs(1);

/// Pause before the model is opened anew; it doubles with each attempt, up to [`LONGEST_RETRY`]: each attempt may cost as
/// much as loading, and libtorch's binding does not free what it gave to a call that failed.
pub const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Longest pause between attempts.
pub const LONGEST_RETRY: Duration = Duration::from_mins(2);

/// Calls that failed one after another.
#[derive(Debug)]
pub struct FailureStreak {
    since: Instant,
    /// When the last of them failed.
    last: Instant,
    /// When it was given up or tried anew last; none while calls are still tried.
    tried: Option<Instant>,
    /// From then to the next attempt.
    retry_after: Duration,
}

impl FailureStreak {
    /// Begins with a call that failed.
    pub fn begin(now: Instant) -> Self {
        Self { since: now, last: now, tried: None, retry_after: FIRST_RETRY }
    }

    /// Notes another failed call. Returns whether this is the one with which to give up.
    pub fn note_failure(&mut self, now: Instant) -> bool {
        self.last = now;
        let is_over = self.tried.is_none() && now.saturating_duration_since(self.since) >= GIVE_UP_AFTER;
        if is_over {
            self.tried = Some(now);
        }
        is_over
    }

    /// Whether a call that began at `began` and failed, too, has nothing to do with it. From its beginning on: it may take long to fail.
    pub fn is_past(&self, began: Instant) -> bool {
        self.tried.is_none() && began.saturating_duration_since(self.last) > LONGEST_GAP
    }

    /// Whether no call is tried any more.
    pub fn has_given_up(&self) -> bool {
        self.tried.is_some()
    }

    /// Whether it is to be opened anew.
    pub fn is_retry_due(&self, now: Instant) -> bool {
        self.tried.is_some_and(|tried| now.saturating_duration_since(tried) >= self.retry_after)
    }

    /// It was tried anew, in vain.
    pub fn note_retry(&mut self, now: Instant) {
        self.tried = Some(now);
        self.retry_after = (2 * self.retry_after).min(LONGEST_RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_attempt_to_attempt_it_takes_twice_as_long_up_to_the_longest_pause() {
        let begin = Instant::now();
        let mut failures = FailureStreak::begin(begin);
        let mut now = begin + GIVE_UP_AFTER;
        assert!(failures.note_failure(now), "it is given up");
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let tried = now;
            while !failures.is_retry_due(now) {
                now += Duration::from_secs(1);
            }
            pauses.push((now - tried).as_secs());
            failures.note_retry(now);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 120, 120, 120]);
    }
}
