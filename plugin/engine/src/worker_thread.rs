//! Everything that may block, allocate and fail: one long-lived thread per plugin instance, which opens libtorch and the
//! model when it gets its first assignment, and then makes of the samples of frames what is heard of them.
//!
//! The thread outlives activations, because inference on ever new threads leaks, and hosts activate a plugin many times over.

#[cfg(test)]
pub mod double;
mod library;
mod listener;
mod model;
mod past;
mod priority;
mod separation;
mod session;
mod shared_object;
mod spectra;
mod store;
mod stream;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::catalogue::ModelSpec;
use crate::handoff::{CallShape, WorkerEnd};
use crate::resources::Resources;
use crate::status::EngineStatus;
pub use listener::Listener;
#[cfg(test)]
pub use past::Past;
use priority::{Priority, Urgency};
#[cfg(test)]
pub use separation::Separate;
#[cfg(test)]
pub use spectra::Spectra;
pub use stream::Stream;

/// Pause between two looks for work. The audio thread may not make a system call, so it cannot wake anyone; this is a
/// small part of the deadline, and a few hundred wake-ups a second are below what can be measured.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// After this long without a call (silence, bypass) the worker looks less often. The first call after it loses a little of its
/// deadline, which has room for it.
const IDLE_AFTER: Duration = Duration::from_secs(1);
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(15);

/// Pause while there is nothing to poll.
const IDLE_INTERVAL: Duration = Duration::from_millis(100);

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
/// the call it is in, when the worker is dropped.
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
    /// Newest first served: an assignment that was never begun is of no use once there is a newer one.
    next: Mutex<Option<Assignment>>,
    has_next: AtomicBool,
    is_over: AtomicBool,
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
                "The system refused to start a thread, so nothing can be separated. The sound passes unchanged. Close \
                 other programs and load the plugin again."
                    .into(),
            );
            return;
        };
        *running.mailbox.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(assignment);
        running.mailbox.has_next.store(true, Ordering::Release);
        self.waker().wake();
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(self.running().and_then(|running| running.thread.as_ref()).map(|thread| thread.thread().clone()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Joined, not left behind: the host may unload this code as soon as the instance is gone.
        if let Some(Some(mut running)) = self.running.take() {
            running.mailbox.is_over.store(true, Ordering::Release);
            if let Some(thread) = running.thread.take() {
                thread.thread().unpark();
                if thread.join().is_err() {
                    tracing::error!("the worker thread panicked");
                }
            }
        }
    }
}

fn work(mailbox: &Mailbox) {
    let mut stream: Option<Stream> = None;
    let mut priority = Priority::of_this_thread();
    let mut last_call = Instant::now();
    while !mailbox.is_over.load(Ordering::Acquire) {
        if mailbox.has_next.swap(false, Ordering::AcqRel) {
            let next = mailbox.next.lock().unwrap_or_else(PoisonError::into_inner).take();
            priority.set(Urgency::Ordinary);
            // The weights are kept until the new stream is open: hosts activate again and again with the same model.
            let weights = stream.take().map(Stream::into_model);
            stream = next.and_then(|next| guarded(&next.status.clone(), || Stream::open(next)).flatten());
            drop(weights);
        }
        match &mut stream {
            Some(open) if open.is_abandoned() => {
                priority.set(Urgency::Ordinary);
                stream = None;
            }
            Some(open) => {
                if let Some(urgency) = open.urgency() {
                    priority.set(urgency);
                }
                let status = open.status();
                match guarded(&status, || open.step()) {
                    Some(true) => last_call = Instant::now(),
                    Some(false) if last_call.elapsed() < IDLE_AFTER => std::thread::park_timeout(POLL_INTERVAL),
                    Some(false) => {
                        priority.rest();
                        std::thread::park_timeout(IDLE_POLL_INTERVAL);
                    }
                    None => {
                        priority.set(Urgency::Ordinary);
                        stream = None;
                    }
                }
            }
            None => std::thread::park_timeout(IDLE_INTERVAL),
        }
    }
    // Closing a model may take its time.
    priority.set(Urgency::Ordinary);
}

/// Runs `work`; a panic in it ends the engine's separation and is told, but neither the thread nor the host.
fn guarded<T>(status: &EngineStatus, work: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .inspect_err(|_| {
            status.set_unavailable(
                "The separation stopped by a fault of Underscore. The sound passes unchanged. Reload the plugin, and \
                 report what you did."
                    .into(),
            );
        })
        .ok()
}
