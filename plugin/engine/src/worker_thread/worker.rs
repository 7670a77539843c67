//! The worker as other threads have it: what it is to do is handed over here, and here it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use super::example_encoder::ExampleEncoder;
use super::fine_ticks::FineTicks;
use super::load_marks;
use super::stream::Stream;
use super::worker_loop::WorkerLoop;
use crate::catalogue::ModelSpec;
use crate::handoff::{CallShape, WorkerEnd};
use crate::resources::{Resources, keep_this_binary_loaded};
use crate::status::EngineStatus;

/// A call, and the opening of libtorch and a model, take less, unless something hangs or the disk is very slow.
const LONGEST_END: Duration = Duration::from_secs(10);

/// A model that is being opened for longer, libtorch included, or a call that takes longer, is on a disk or in a driver that may never answer.
const HELD_UP_AFTER: Duration = Duration::from_secs(5);

/// Pause between two looks whether the thread has ended.
const END_INTERVAL: Duration = Duration::from_millis(1);

/// Where a model is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// CUDA where there is a driver and a CUDA build of libtorch, else the processor.
    Auto,
    /// The processor.
    Cpu,
}

/// What an engine gives its worker to do.
pub struct Assignment {
    /// The worker's end of the engine's handoff.
    pub end: WorkerEnd,
    /// Sizes of its calls.
    pub shape: CallShape,
    /// Where progress and trouble are written.
    pub status: Arc<EngineStatus>,
    /// Where its model is asked by example.
    pub example_encoder: Option<ExampleEncoder>,
    /// The model.
    pub model: ModelSpec,
    /// Where it is to run.
    pub device: DeviceChoice,
    /// Where its file and libtorch lie.
    pub resources: Resources,
}

/// The worker of one plugin instance. Making one costs nothing: its thread starts with the first assignment, and ends, after
/// the call it is in, when the worker is dropped, which waits for it, but not for one that hangs.
#[derive(Default)]
pub struct Worker {
    running: OnceLock<Option<Running>>,
}

struct Running {
    thread: Option<JoinHandle<()>>,
    mailbox: Arc<Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    /// Newest first served: an assignment that was never begun is of no use once there is a newer one. That there is one is said
    /// nowhere else: a flag beside it would be behind it at times, and announce what the worker has taken already.
    next: Mutex<Option<Assignment>>,
    /// Since when the worker is at what it does, while it does something.
    busy_since: Mutex<Option<Instant>>,
    is_over: AtomicBool,
}

impl Mailbox {
    fn post(&self, assignment: Assignment) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(assignment);
    }

    fn take(&self) -> Option<Assignment> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// One turn of the worker, with what is next, where there is something.
    fn turn<T>(&self, turn: impl FnOnce(Option<Assignment>) -> T) -> T {
        let next = self.take();
        self.note_busy(Some(Instant::now()));
        let done = turn(next);
        self.note_busy(None);
        done
    }

    fn note_busy(&self, since: Option<Instant>) {
        *self.busy_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn is_held_up(&self, now: Instant) -> bool {
        let since = *self.busy_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| now.saturating_duration_since(since) >= HELD_UP_AFTER)
    }
}

/// Ends the worker's pause. A system call: only for an audio thread that may wait.
#[derive(Clone)]
pub struct Waker(Option<Thread>);

impl Waker {
    /// Wakes nobody.
    #[cfg(test)]
    pub fn none() -> Self {
        Self(None)
    }

    /// Wakes a thread of a test.
    #[cfg(test)]
    pub fn of(thread: Thread) -> Self {
        Self(Some(thread))
    }

    /// Ends the pause.
    pub fn wake(&self) {
        if let Some(thread) = &self.0 {
            thread.unpark();
        }
    }
}

impl Worker {
    fn running(&self) -> Option<&Running> {
        self.running
            .get_or_init(|| {
                let mailbox = Arc::new(Mailbox::default());
                let its_mailbox = mailbox.clone();
                let thread =
                    std::thread::Builder::new().name("underscore worker".into()).spawn(move || work(&its_mailbox));
                match thread {
                    Ok(thread) => Some(Running { thread: Some(thread), mailbox }),
                    Err(error) => {
                        tracing::error!("the worker thread cannot be started: {error}");
                        None
                    }
                }
            })
            .as_ref()
    }

    /// Replaces what the worker does.
    pub(crate) fn assign(&self, assignment: Assignment) {
        let Some(running) = self.running() else {
            assignment.status.set_unavailable(
                "The system refused to start a thread: close other programs and load the plugin again.",
            );
            return;
        };
        running.mailbox.post(assignment);
        self.waker().wake();
    }

    /// Whether it has been at one thing, a model to open or a call, for so long that it may never be done: what it serves and what is assigned to it
    /// wait for that. Not for the audio thread.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        matches!(self.running.get(), Some(Some(running)) if running.mailbox.is_held_up(Instant::now()))
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(self.running().and_then(|running| running.thread.as_ref()).map(|thread| thread.thread().clone()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(Some(running)) = self.running.take() {
            running.end(LONGEST_END);
        }
    }
}

impl Running {
    /// Joined, not left behind: the host may unload this code as soon as the instance is gone. One that does not come back (from a driver
    /// that hangs, a disk that is gone) would stop the host for good: it is left alone then. Returns whether it ended in time.
    fn end(mut self, patience: Duration) -> bool {
        self.mailbox.is_over.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return true };
        thread.thread().unpark();
        let until = Instant::now() + patience;
        while !thread.is_finished() {
            if Instant::now() >= until {
                tracing::error!("the worker thread does not end: it is left alone");
                load_marks::leave_behind();
                return false;
            }
            std::thread::sleep(END_INTERVAL);
        }
        if thread.join().is_err() {
            tracing::error!("the worker thread panicked");
        }
        true
    }
}

fn work(mailbox: &Mailbox) {
    // A thread that hangs is left alone with its code; see `Running::end`. Then it would be too late: what hangs may have the loader's lock.
    // libtorch, which this is for, never leaves either.
    static KEPT: Once = Once::new();
    KEPT.call_once(keep_this_binary_loaded);
    let _fine_ticks = FineTicks::hold();
    let mut worker_loop = WorkerLoop::new(Stream::open, Instant::now);
    while !mailbox.is_over.load(Ordering::Acquire) {
        if let Some(pause) = mailbox.turn(|next| worker_loop.run_once(next)) {
            std::thread::park_timeout(pause);
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::handoff::{AudioEnd, handoff};
    use crate::latency::{ModelTiming, latency};

    const RATE_HZ: f64 = 44_100.0;
    const LOOK_EVERY: Duration = Duration::from_millis(3);

    /// What an engine gives its worker, and the engine's end of it.
    pub fn assignment() -> (AudioEnd, Assignment) {
        assignment_of(256)
    }

    /// The same for blocks of another length.
    pub fn assignment_of(max_block_samples: usize) -> (AudioEnd, Assignment) {
        let model = ModelSpec::for_tests(ModelTiming::LIVE);
        let latency = latency(&model.timing, RATE_HZ, max_block_samples).unwrap();
        let shape = CallShape {
            grid: latency.grid,
            num_channels: 1,
            num_frames: 1,
            num_bins: model.timing.num_bins,
            num_stems: 1,
            embedding_size: 0,
        };
        let status = EngineStatus::register(&model.id, &model.timing, RATE_HZ, max_block_samples, latency);
        let (audio_end, end) = handoff(&shape, 4);
        let (device, resources) = (DeviceChoice::Cpu, Resources::at("/nowhere"));
        (audio_end, Assignment { end, shape, status, example_encoder: None, model, device, resources })
    }

    #[test]
    fn a_mailbox_gives_the_newest_assignment_once() {
        let mailbox = Mailbox::default();
        let ((_first_end, first), (_second_end, second)) = (assignment(), assignment());
        let newest = second.status.clone();
        mailbox.post(first);
        mailbox.post(second);
        assert!(mailbox.take().is_some_and(|taken| Arc::ptr_eq(&taken.status, &newest)));
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn whoever_is_at_one_thing_for_long_is_held_up_until_it_is_done_whether_it_was_given_something_new_or_not() {
        let mailbox = Mailbox::default();
        let long_after = || Instant::now() + HELD_UP_AFTER;
        assert!(!mailbox.is_held_up(long_after()), "nothing to do");
        let (_end, assignment) = assignment();
        for next in [Some(assignment), None] {
            let is_new = next.is_some();
            if let Some(next) = next {
                mailbox.post(next);
            }
            mailbox.turn(|next| {
                assert_eq!(next.is_some(), is_new);
                assert!(!mailbox.is_held_up(Instant::now()), "that takes a moment");
                assert!(mailbox.is_held_up(long_after()), "with something new: {is_new}");
            });
            assert!(!mailbox.is_held_up(long_after()), "it is done");
        }
    }

    #[test]
    fn a_thread_that_hangs_is_left_alone_and_one_that_does_not_is_waited_for() {
        for is_stuck in [true, false] {
            let mailbox = Arc::new(Mailbox::default());
            let (come_back, is_to_come_back) = std::sync::mpsc::channel::<()>();
            let its_mailbox = mailbox.clone();
            let thread = std::thread::spawn(move || {
                while is_stuck && is_to_come_back.recv_timeout(LOOK_EVERY).is_err() {}
                while !its_mailbox.is_over.load(Ordering::Acquire) {
                    std::thread::sleep(LOOK_EVERY);
                }
            });
            let running = Running { thread: Some(thread), mailbox: mailbox.clone() };
            let patience = if is_stuck { Duration::from_millis(30) } else { LONGEST_END };
            assert_eq!(running.end(patience), !is_stuck);
            assert_eq!(Arc::strong_count(&mailbox), if is_stuck { 2 } else { 1 }, "whether the thread is there still");
            let _ = come_back.send(());
        }
    }
}
