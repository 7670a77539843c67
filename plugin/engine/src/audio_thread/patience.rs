//! Waiting for the worker, while a host renders ahead of real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// A wait came to nothing: no further one until the worker gives a sign of life. Of the audio thread alone.
    has_given_up: Arc<AtomicBool>,
}

impl Patience {
    /// With the worker that `waker` wakes.
    pub fn with(waker: Waker) -> Self {
        Self { waker, has_given_up: Arc::default() }
    }

    /// The worker gave a sign of life.
    pub fn renew(&self) {
        self.has_given_up.store(false, Ordering::Relaxed);
    }

    /// Whether what is not here now is not coming.
    pub fn has_given_up(&self) -> bool {
        self.has_given_up.load(Ordering::Relaxed)
    }

    /// Waits until `is_met`, or until there is nothing to be hoped for.
    pub fn wait(&self, longest: Duration, status: &EngineStatus, mut is_met: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_met() && !self.has_given_up() && status.state() != State::Unavailable {
            self.has_given_up.store(began.elapsed() > longest, Ordering::Relaxed);
            self.waker.wake();
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
