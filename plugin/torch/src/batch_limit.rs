//! How many channels a batch may have: fewer for a while, after one was too large for the memory there is.

use std::time::{Duration, Instant};

/// After so long a batch may be twice as large again; twice as long with every further one that was too large, until batches of the full size have
/// fitted for as long. Each such attempt costs the streams in it the time of a call, and other programs that have the memory keep it for long.
const FIRST_PAUSE: Duration = Duration::from_mins(1);

/// That pause at most.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The limit of one model's batches.
pub(crate) struct BatchLimit {
    most_channels: usize,
    num_channels: usize,
    /// When it is to be raised, or, where it cannot be any more, the pause is to be the first one again; none where neither is left to do.
    change_at: Option<Instant>,
    pause: Duration,
}

impl BatchLimit {
    /// Never more than `most_channels`.
    pub(crate) fn new(most_channels: usize) -> Self {
        Self { most_channels, num_channels: most_channels, change_at: None, pause: FIRST_PAUSE }
    }

    /// The limit at this moment, in channels.
    pub(crate) fn num_channels(&mut self, now: Instant) -> usize {
        if self.change_at.is_some_and(|at| now >= at) {
            if self.num_channels < self.most_channels {
                self.num_channels = (2 * self.num_channels).min(self.most_channels);
                self.change_at = Some(now + self.pause);
            } else {
                self.pause = FIRST_PAUSE;
                self.change_at = None;
            }
        }
        self.num_channels
    }

    /// A batch of so many channels was too large: some part of it was not.
    pub(crate) fn note_too_large(&mut self, num_channels: usize, now: Instant) {
        let half = (num_channels / 2).max(1);
        // Where a half was too large, too, that is known by now.
        if half < self.num_channels {
            self.num_channels = half;
            self.change_at = Some(now + self.pause);
            self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        }
    }
}
