//! Everything that may block, allocate and fail: one long-lived thread per plugin instance, which opens libtorch and the
//! model when it gets its first assignment, and then turns spectra into masks.
//!
//! The thread outlives activations, because inference on ever new threads leaks, and hosts activate a plugin many times over.

mod library;
mod model;
mod session;
mod shared_object;
mod store;
mod stream;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crate::catalogue::ModelSpec;
use crate::handoff::{CallShape, WorkerEnd};
use crate::resources::Resources;
use crate::status::EngineStatus;
use stream::Stream;

/// Pause between two looks for work. The audio thread may not make a system call, so it cannot wake anyone; this is a
/// small part of the deadline, and a few hundred wake-ups a second are below what can be measured.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

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
    while !mailbox.is_over.load(Ordering::Acquire) {
        if mailbox.has_next.swap(false, Ordering::AcqRel) {
            let next = mailbox.next.lock().unwrap_or_else(PoisonError::into_inner).take();
            // The old session is closed before the new model is opened: two would not help anyone.
            drop(stream.take());
            stream = next.and_then(Stream::open);
        }
        match &mut stream {
            Some(open) if open.is_abandoned() => stream = None,
            Some(open) => {
                if !open.step() {
                    std::thread::park_timeout(POLL_INTERVAL);
                }
            }
            None => std::thread::park_timeout(IDLE_INTERVAL),
        }
    }
}
