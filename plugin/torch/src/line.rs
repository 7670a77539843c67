//! The line to a thread that answers requests: whoever asks waits for as long as the thread gives signs of life.
//!
//! A driver may hang and never come back. Whoever waited for it without end would hang with it, and could not leave it for the processor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Steps in which a thread may compile and load what it needs later.
const NUM_FIRST_STEPS: u64 = 32;

/// Pause between two looks whether the thread has made a step.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

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

    fn give_up(&self, num_steps: u64) {
        self.given_up_after.store(num_steps, Ordering::Relaxed);
    }
}

/// For how long the thread has been at one step, as far as one who waits for it can tell.
struct Silence<'a> {
    pulse: &'a Pulse,
    num_steps: u64,
    since: Instant,
}

impl<'a> Silence<'a> {
    fn begin(pulse: &'a Pulse) -> Self {
        Self { pulse, num_steps: pulse.num_steps(), since: Instant::now() }
    }

    /// Whether the patience is over: then the thread is given up.
    fn is_too_long(&mut self) -> bool {
        let before = std::mem::replace(&mut self.num_steps, self.pulse.num_steps());
        if self.num_steps != before {
            self.since = Instant::now();
        }
        let is_too_long = self.since.elapsed() >= self.pulse.patience(self.num_steps);
        if is_too_long {
            self.pulse.give_up(self.num_steps);
        }
        is_too_long
    }
}

/// Sees whether a thread was given up, for as long as it lives, and whether or not anybody can ask it still.
pub(crate) struct Watch(Weak<Pulse>);

impl Watch {
    /// Whether somebody gave the thread up, and it has made no step since.
    pub(crate) fn hangs(&self) -> bool {
        self.0.upgrade().is_some_and(|pulse| pulse.is_given_up())
    }

    /// Whether the thread has ended, and nobody holds a line to it.
    pub(crate) fn is_over(&self) -> bool {
        self.0.strong_count() == 0
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
        let mut silence = Silence::begin(&self.pulse);
        self.requests.send(request(answer)).map_err(|_| Unanswered::Ended)?;
        loop {
            match answered.recv_timeout(LOOK_INTERVAL) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(Unanswered::Ended),
                // It may have come while this thread was kept from running.
                Err(RecvTimeoutError::Timeout) if silence.is_too_long() => {
                    return answered.try_recv().map_err(|_| Unanswered::Hangs);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// What sees whether the thread hangs.
    pub(crate) fn watch(&self) -> Watch {
        Watch(Arc::downgrade(&self.pulse))
    }

    /// Hangs up, as all others have, and waits for the end of the thread. `false`: it hangs, and is left alone.
    pub(crate) fn end(self, thread: JoinHandle<()>) -> bool {
        let Self { requests, pulse } = self;
        drop(requests);
        let mut silence = Silence::begin(&pulse);
        while !thread.is_finished() {
            if pulse.is_given_up() || silence.is_too_long() {
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

    /// A sign of life: something is done. To have taken a request is none, as that shows nothing of the card.
    pub(crate) fn note_step(&self) {
        self.pulse.num_steps.fetch_add(1, Ordering::Relaxed);
    }
}

impl<R> Drop for Served<R> {
    fn drop(&mut self) {
        // A thread that ends does not hang.
        self.note_step();
    }
}
