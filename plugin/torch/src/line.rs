//! The line to a thread that answers requests: whoever asks waits for as long as the thread gives signs of life.
//!
//! A driver may hang and never come back. Whoever waited for it without end would hang with it, and could not leave it for the processor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Steps in which a thread may compile and load what it needs later.
const NUM_FIRST_STEPS: u64 = 32;

/// Pause between two looks whether the thread has ended.
const END_INTERVAL: Duration = Duration::from_millis(1);

/// For how long a thread may be at one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Of the first ones.
    pub(crate) first: Duration,
    /// Of all others.
    pub(crate) later: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The thread is gone, or has given this request up.
    Ended,
    /// The thread has been at one step for longer than it may.
    Hangs,
}

/// The end of those who ask.
pub(crate) struct Line<R> {
    requests: Sender<R>,
    pulse: Arc<Pulse>,
}

/// The thread's end.
pub(crate) struct Served<R> {
    requests: Receiver<R>,
    pulse: Arc<Pulse>,
}

/// Both ends.
pub(crate) fn line<R>(patience: Patience) -> (Line<R>, Served<R>) {
    let (requests, served) = channel();
    let pulse = Arc::new(Pulse { patience, num_steps: AtomicU64::new(0), given_up_after: AtomicU64::new(u64::MAX) });
    (Line { requests, pulse: pulse.clone() }, Served { requests: served, pulse })
}

struct Pulse {
    patience: Patience,
    /// Steps that the thread is done with.
    num_steps: AtomicU64,
    /// After so many somebody gave it up; `u64::MAX`, where nobody has.
    given_up_after: AtomicU64,
}

impl Pulse {
    fn num_steps(&self) -> u64 {
        self.num_steps.load(Ordering::Relaxed)
    }

    fn is_given_up(&self) -> bool {
        self.given_up_after.load(Ordering::Relaxed) == self.num_steps()
    }

    /// For the step after so many.
    fn patience(&self, num_steps: u64) -> Duration {
        if num_steps < NUM_FIRST_STEPS { self.patience.first } else { self.patience.later }
    }
}

impl<R> Clone for Line<R> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone(), pulse: self.pulse.clone() }
    }
}

impl<R> Line<R> {
    /// Sends what needs no answer. `false`: the thread is gone.
    pub(crate) fn tell(&self, request: R) -> bool {
        self.requests.send(request).is_ok()
    }

    /// Sends a request and waits for its answer: however many others are before it, but not for a thread that hangs. Whoever comes after one that
    /// has found it so need not wait, too.
    pub(crate) fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> R) -> Result<T, Unanswered> {
        if self.pulse.is_given_up() {
            return Err(Unanswered::Hangs);
        }
        let (answer, answered) = sync_channel(1);
        let mut num_steps = self.pulse.num_steps();
        self.requests.send(request(answer)).map_err(|_| Unanswered::Ended)?;
        loop {
            match answered.recv_timeout(self.pulse.patience(num_steps)) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(Unanswered::Ended),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let before = std::mem::replace(&mut num_steps, self.pulse.num_steps());
            if num_steps == before {
                self.pulse.given_up_after.store(num_steps, Ordering::Relaxed);
                return Err(Unanswered::Hangs);
            }
        }
    }

    /// Hangs up, as all others have, and waits for the end of the thread. `false`: it hangs, and is left alone.
    pub(crate) fn end(self, thread: JoinHandle<()>) -> bool {
        let Self { requests, pulse } = self;
        drop(requests);
        let mut last_step = (Instant::now(), pulse.num_steps());
        while !thread.is_finished() {
            if pulse.num_steps() != last_step.1 {
                last_step = (Instant::now(), pulse.num_steps());
            }
            if pulse.is_given_up() || last_step.0.elapsed() >= pulse.patience(last_step.1) {
                return false;
            }
            std::thread::sleep(END_INTERVAL);
        }
        let _ = thread.join();
        true
    }
}

impl<R> Served<R> {
    /// The next request; none, once nobody can make one any more.
    pub(crate) fn wait(&self) -> Option<R> {
        self.requests.recv().ok()
    }

    /// The next request that is there.
    pub(crate) fn next(&self) -> Option<R> {
        self.requests.try_recv().ok()
    }

    /// A sign of life: something is done.
    pub(crate) fn note_step(&self) {
        self.pulse.num_steps.fetch_add(1, Ordering::Relaxed);
    }
}
