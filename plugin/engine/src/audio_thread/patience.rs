//! Waiting for the worker, while a host renders ahead of real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::status::{EngineStatus, State};
use crate::worker_thread::Waker;

/// Pause between two looks. Far below the duration of a call, so that it costs a bounce nothing.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// That of one engine, shared by all of it that waits: a worker that hangs is waited for once, and not again in every block by
/// each of them.
#[derive(Clone)]
pub struct Patience {
    waker: Waker,
    /// Of the engine.
    status: Arc<EngineStatus>,
    /// A wait came to nothing: no further one until the worker gives a sign of life. Of the audio thread alone.
    has_given_up: Arc<AtomicBool>,
    /// How often the worker gave one. Of the audio thread alone.
    num_signs: Arc<AtomicU64>,
}

impl Patience {
    /// With the worker that `waker` wakes.
    pub fn with(waker: Waker, status: Arc<EngineStatus>) -> Self {
        Self { waker, status, has_given_up: Arc::default(), num_signs: Arc::default() }
    }

    /// The worker gave a sign of life.
    pub fn renew(&self) {
        self.has_given_up.store(false, Ordering::Relaxed);
        self.num_signs.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether what is not here now is not coming.
    pub fn has_given_up(&self) -> bool {
        self.has_given_up.load(Ordering::Relaxed)
    }

    /// Waits until `is_met`, or until there is nothing to be hoped for: for `longest` without a sign of life. What is waited for may be many calls
    /// away, each of which is one.
    pub fn wait(&self, longest: Duration, mut is_met: impl FnMut() -> bool) {
        let num_signs = || self.num_signs.load(Ordering::Relaxed);
        let mut since = (Instant::now(), num_signs());
        while !is_met() && !self.has_given_up() && self.status.state() != State::Unavailable {
            if num_signs() != since.1 {
                since = (Instant::now(), num_signs());
            }
            self.has_given_up.store(since.0.elapsed() > longest, Ordering::Relaxed);
            self.waker.wake();
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::ModelTiming;

    #[test]
    fn a_worker_that_gives_signs_of_life_is_waited_for_longer_than_one_that_gives_none() {
        let status = EngineStatus::for_tests(&ModelTiming::PAPER, 48_000.0, 512);
        let longest = Duration::from_millis(100);
        let patience = Patience::with(Waker::none(), status);
        let (began, mut last_sign) = (Instant::now(), Instant::now());
        patience.wait(longest, || {
            if last_sign.elapsed() > longest / 4 {
                last_sign = Instant::now();
                patience.renew();
            }
            began.elapsed() > 4 * longest
        });
        assert!(!patience.has_given_up());
        let began = Instant::now();
        patience.wait(longest, || false);
        assert!(patience.has_given_up() && began.elapsed() >= longest);
    }
}
