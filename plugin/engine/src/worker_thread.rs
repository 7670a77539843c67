//! Everything that may block, allocate and fail: one long-lived thread per plugin instance, which opens libtorch and the
//! model when it gets its first assignment, and then makes of the samples of frames what is heard of them.
//!
//! The thread outlives activations, because inference on ever new threads leaks, and hosts activate a plugin many times over.
//!
//! There is no pool of such threads for all instances: one whose disk hangs would take a thread of all others with it. What they share is
//! the work: the backend may run a call together with those of other instances of the model that wait at that moment, where no processor is
//! free or all use a card, once the host was seen to play. A call of a bounce goes by itself, as its masks are to be the same bit for bit
//! whatever else plays.

#[cfg(test)]
pub mod double;
mod expectation;
mod fine_ticks;
mod library;
mod listener;
mod load_marks;
mod model;
mod opener;
mod past;
mod priority;
mod separation;
mod session;
mod shared_object;
mod spectra;
mod store;
mod stream;
mod triage;
mod trouble;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::catalogue::ModelSpec;
use crate::clock::Clock;
use crate::handoff::{CallShape, WorkerEnd};
use crate::resources::{Resources, keep_this_binary_loaded};
use crate::status::EngineStatus;
use fine_ticks::FineTicks;
pub use listener::Listener;
use load_marks::LoadMarks;
pub use model::Model;
#[cfg(test)]
pub use past::Past;
use priority::Priority;
pub use priority::Urgency;
#[cfg(test)]
pub use separation::Separate;
#[cfg(test)]
pub use spectra::Spectra;
pub use stream::Stream;

/// Pause between two looks for work. The audio thread may not make a system call, so it cannot wake anyone; this is a
/// small part of the deadline, and a few hundred wake-ups a second are below what can be measured.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// After this long without a call (silence, bypass) the worker looks less often. The first call after it loses a part of its deadline:
/// no more than a quarter, which a model that keeps up has to spare.
const IDLE_AFTER: Duration = Duration::from_secs(1);
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(15);
const IDLE_POLLS_PER_DEADLINE: u32 = 4;

/// Weights that no stream uses are kept for so long: to change its block size a host drops the engine, and makes another one of the
/// same model as soon as it has done with the rest of the project.
const KEEP_WEIGHTS: Duration = Duration::from_secs(10);

/// Pause while there is nothing to poll.
const IDLE_INTERVAL: Duration = Duration::from_millis(100);

/// A call, and the opening of libtorch and a model, take less, unless something hangs or the disk is very slow.
const LONGEST_END: Duration = Duration::from_secs(10);

/// A model that is being opened for longer, libtorch included, is on a disk or in a driver that may never answer.
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
    pub listener: Option<Listener>,
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
    /// Since when libtorch and a model are being opened, while they are.
    opening_since: Mutex<Option<Instant>>,
    is_over: AtomicBool,
}

impl Mailbox {
    fn post(&self, assignment: Assignment) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(assignment);
    }

    fn take(&self) -> Option<Assignment> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note_opening(&self, since: Option<Instant>) {
        *self.opening_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn is_held_up(&self) -> bool {
        let since = *self.opening_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() >= HELD_UP_AFTER)
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

    /// Whether it has been opening a model for so long that it may never be done: what is assigned to it waits for that. Not for the audio thread.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        matches!(self.running.get(), Some(Some(running)) if running.mailbox.is_held_up())
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

/// What is held back because it ended a host is loaded, from the next assignment on, whatever instance it is of.
pub fn try_loads_again(resources: &Resources) {
    LoadMarks::of(resources).forget();
}

/// How often [`try_loads_again`] was called in this process: whoever was held back before may be built anew.
#[must_use]
pub fn num_tries_again() -> u64 {
    load_marks::num_wanted_again()
}

fn work(mailbox: &Mailbox) {
    // A thread that hangs is left alone with its code; see `Running::end`. Then it would be too late: what hangs may have the loader's lock.
    // libtorch, which this is for, never leaves either.
    static KEPT: Once = Once::new();
    KEPT.call_once(keep_this_binary_loaded);
    let _fine_ticks = FineTicks::hold();
    let mut desk = Desk::new(Stream::open, Instant::now);
    while !mailbox.is_over.load(Ordering::Acquire) {
        let next = mailbox.take();
        // Opening it is part of the turn.
        mailbox.note_opening(next.as_ref().map(|_| Instant::now()));
        let pause = desk.turn(next);
        mailbox.note_opening(None);
        if let Some(pause) = pause {
            std::thread::park_timeout(pause);
        }
    }
}

/// What the worker has before it.
struct Desk {
    open: fn(Assignment) -> Option<Stream>,
    stream: Option<Stream>,
    /// The weights of the stream that was open last, and when it ended.
    kept: Option<(Arc<Model>, Instant)>,
    priority: Priority,
    last_call: Instant,
    clock: Clock,
}

impl Desk {
    fn new(open: fn(Assignment) -> Option<Stream>, clock: Clock) -> Self {
        Self { open, stream: None, kept: None, priority: Priority::of_this_thread(), last_call: clock(), clock }
    }

    /// Begins what is `next`, where there is something, and works one call off. Returns how long to pause, if at all.
    fn turn(&mut self, next: Option<Assignment>) -> Option<Duration> {
        if let Some(next) = next {
            self.end_stream();
            // An engine that was made for a look is gone by now, and its host waits for this thread.
            if !next.end.is_abandoned() {
                self.stream = guarded(&next.status.clone(), || (self.open)(next)).flatten();
            }
            if self.stream.is_some() {
                self.kept = None;
            }
        }
        let Some(open) = &mut self.stream else {
            let now = (self.clock)();
            self.kept.take_if(|(_, since)| now.saturating_duration_since(*since) >= KEEP_WEIGHTS);
            return Some(IDLE_INTERVAL);
        };
        if open.is_abandoned() {
            self.end_stream();
            return None;
        }
        self.priority.set(open.urgency());
        match guarded(&open.status(), || open.step()) {
            Some(true) => {
                self.last_call = (self.clock)();
                None
            }
            Some(false) if (self.clock)().saturating_duration_since(self.last_call) < IDLE_AFTER => Some(POLL_INTERVAL),
            Some(false) => {
                self.priority.rest();
                let of_deadline = open.deadline() / IDLE_POLLS_PER_DEADLINE;
                Some(IDLE_POLL_INTERVAL.min(of_deadline).max(POLL_INTERVAL))
            }
            None => {
                self.end_stream();
                None
            }
        }
    }

    /// Its weights stay: hosts activate again and again with the same model.
    fn end_stream(&mut self) {
        // Closing may take its time.
        self.priority.set(Urgency::Ordinary);
        if let Some(stream) = self.stream.take() {
            self.kept = Some((stream.into_model(), (self.clock)()));
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.end_stream();
    }
}

/// Runs `work`; a panic in it ends the engine's separation and is told, but neither the thread nor the host.
fn guarded<T>(status: &EngineStatus, work: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .inspect_err(|_| {
            status.set_unavailable(
                "The separation stopped by a fault of Underscore. Reload the plugin, and report what you did.",
            );
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::standing as clock;
    use crate::handoff::{AudioEnd, Outcome, handoff};
    use crate::latency::{ModelTiming, latency};

    const RATE_HZ: f64 = 44_100.0;

    /// What an engine gives its worker, and the engine's end of it.
    fn assignment() -> (AudioEnd, Assignment) {
        assignment_of(256)
    }

    /// The same for blocks of another length.
    fn assignment_of(max_block_samples: usize) -> (AudioEnd, Assignment) {
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
        (audio_end, Assignment { end, shape, status, listener: None, model, device, resources })
    }

    fn open_double(assignment: Assignment) -> Stream {
        let Assignment { end, shape, status, model, .. } = assignment;
        double::stream(end, shape, &model.timing, status, |_| 1.0)
    }

    fn desk() -> Desk {
        Desk::new(|assignment| Some(open_double(assignment)), clock::now)
    }

    fn is_answered(audio: &mut AudioEnd, desk: &mut Desk) -> bool {
        let call = audio.take_empty().expect("an empty call");
        audio.send(call);
        desk.turn(None);
        let Some(call) = audio.receive() else { return false };
        let is_answered = call.outcome == Outcome::Masked;
        audio.put_empty(call);
        is_answered
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
    fn whoever_opens_a_model_for_long_is_held_up_until_it_is_done() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.is_held_up(), "nothing to do");
        mailbox.note_opening(Some(Instant::now()));
        assert!(!mailbox.is_held_up(), "that takes a moment");
        mailbox.note_opening(Instant::now().checked_sub(HELD_UP_AFTER));
        assert!(mailbox.is_held_up());
        mailbox.note_opening(None);
        assert!(!mailbox.is_held_up());
    }

    #[test]
    fn a_thread_that_hangs_is_left_alone_and_one_that_does_not_is_waited_for() {
        for is_stuck in [true, false] {
            let mailbox = Arc::new(Mailbox::default());
            let (come_back, is_to_come_back) = std::sync::mpsc::channel::<()>();
            let its_mailbox = mailbox.clone();
            let thread = std::thread::spawn(move || {
                while is_stuck && is_to_come_back.recv_timeout(POLL_INTERVAL).is_err() {}
                while !its_mailbox.is_over.load(Ordering::Acquire) {
                    std::thread::sleep(POLL_INTERVAL);
                }
            });
            let running = Running { thread: Some(thread), mailbox: mailbox.clone() };
            let patience = if is_stuck { Duration::from_millis(30) } else { LONGEST_END };
            assert_eq!(running.end(patience), !is_stuck);
            assert_eq!(Arc::strong_count(&mailbox), if is_stuck { 2 } else { 1 }, "whether the thread is there still");
            let _ = come_back.send(());
        }
    }

    #[test]
    fn an_engine_is_served_however_often_nothing_new_is_found_and_until_another_takes_its_place() {
        let mut desk = desk();
        let (mut first_end, first) = assignment();
        desk.turn(Some(first));
        for _ in 0..10 {
            desk.turn(None);
            assert!(is_answered(&mut first_end, &mut desk));
        }
        let (mut second_end, second) = assignment();
        desk.turn(Some(second));
        assert!(is_answered(&mut second_end, &mut desk) && !is_answered(&mut first_end, &mut desk));
    }

    #[test]
    fn a_worker_that_rests_leaves_the_first_call_most_of_its_deadline() {
        for max_block_samples in [64, 256, 512, 2048, 8192] {
            let mut desk = desk();
            let (_end, assignment) = assignment_of(max_block_samples);
            let deadline = assignment.status.deadline();
            assert_eq!(desk.turn(Some(assignment)), Some(POLL_INTERVAL));
            clock::advance(2 * IDLE_AFTER);
            let pause = desk.turn(None).expect("a pause");
            println!("deadline {deadline:?}, pause {pause:?}");
            assert!(pause > POLL_INTERVAL && pause <= IDLE_POLL_INTERVAL && pause <= deadline / 4, "{pause:?}");
        }
    }

    #[test]
    fn the_weights_outlive_an_engine_until_the_next_one_has_its_own_or_nobody_has_wanted_them_for_a_while() {
        let mut desk = desk();
        let weights_of_an_engine_that_is_gone = |desk: &mut Desk| {
            let (end, assignment) = assignment();
            desk.turn(Some(assignment));
            let weights =
                Arc::downgrade(desk.stream.as_mut().and_then(|stream| stream.separation().model()).expect("a model"));
            drop(end);
            desk.turn(None);
            assert!(desk.stream.is_none());
            weights
        };
        let first = weights_of_an_engine_that_is_gone(&mut desk);
        clock::advance(KEEP_WEIGHTS / 2);
        desk.turn(None);
        assert!(first.strong_count() > 0, "it may come again");
        let second = weights_of_an_engine_that_is_gone(&mut desk);
        assert_eq!(first.strong_count(), 0, "the next one has its own");
        clock::advance(KEEP_WEIGHTS / 2);
        desk.turn(None);
        assert!(second.strong_count() > 0);
        clock::advance(KEEP_WEIGHTS / 2);
        desk.turn(None);
        assert_eq!(second.strong_count(), 0);
    }
}
