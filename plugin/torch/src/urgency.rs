//! The thread of a card is scheduled as the most urgent of those that wait when it begins a batch.
//!
//! The engine knows when a worker may run ahead of ordinary threads. The thread that works for several of them here asks the system how each
//! is scheduled at this moment, and is scheduled alike: unless it runs for more than half of the time, its waiting for the card included, as
//! no worker ahead of others may.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

/// Over this long it is measured how much the thread runs.
const WINDOW: Duration = Duration::from_secs(1);

/// How a thread is scheduled: among ordinary ones by the system, or ahead of them. Of two, the greater goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Urgency {
    /// Real-time priority; 0 for an ordinary thread.
    priority: i32,
}

impl Urgency {
    const ORDINARY: Self = Self { priority: 0 };
}

/// The scheduling of the thread that made it.
pub(crate) struct Follower {
    now: Urgency,
    began: Instant,
    cpu_at_begin: Duration,
    runs_often: bool,
}

impl Follower {
    /// Of the calling thread.
    pub(crate) fn of_this_thread() -> Self {
        let now = Urgency::of_this_thread();
        Self { now, began: Instant::now(), cpu_at_begin: thread_cpu_time(), runs_often: false }
    }

    /// Schedules the thread like one that waits for it. Asks the system only where that changes; where it refuses, the thread stays as it is.
    pub(crate) fn follow(&mut self, urgency: Urgency) {
        let passed = self.began.elapsed();
        if passed >= WINDOW {
            let cpu = thread_cpu_time();
            self.runs_often = 2 * cpu.saturating_sub(self.cpu_at_begin) > passed;
            (self.began, self.cpu_at_begin) = (Instant::now(), cpu);
        }
        let wanted = if self.runs_often { Urgency::ORDINARY } else { urgency };
        if wanted != self.now {
            system::apply(wanted);
            self.now = wanted;
        }
    }
}

/// Processor time of the calling thread; none, where the system does not say. The engine measures its workers in the same way, in
/// `worker_thread/priority.rs`: between the two lies the C boundary.
fn thread_cpu_time() -> Duration {
    ThreadTime::try_now().map_or(Duration::ZERO, |time| time.as_duration())
}

#[cfg(target_os = "linux")]
mod system {
    use super::Urgency;

    impl Urgency {
        /// Of the calling thread.
        pub(crate) fn of_this_thread() -> Self {
            let (mut policy, mut param) = (0, libc::sched_param { sched_priority: 0 });
            // SAFETY: the calling thread exists, and both places live until the call returns.
            let status = unsafe { libc::pthread_getschedparam(libc::pthread_self(), &raw mut policy, &raw mut param) };
            let is_real_time = status == 0 && matches!(policy, libc::SCHED_FIFO | libc::SCHED_RR);
            if is_real_time { Self { priority: param.sched_priority } } else { Self::ORDINARY }
        }
    }

    pub(super) fn apply(urgency: Urgency) {
        let policy = if urgency == Urgency::ORDINARY { libc::SCHED_OTHER } else { libc::SCHED_RR };
        let param = libc::sched_param { sched_priority: urgency.priority };
        // SAFETY: the calling thread exists, and the parameter lives until the call returns.
        let _ = unsafe { libc::pthread_setschedparam(libc::pthread_self(), policy, &raw const param) };
    }
}

/// A system whose threads all are ordinary: real-time threads of others have deadlines of their own, which `pthread` does not offer.
#[cfg(not(target_os = "linux"))]
mod system {
    use super::Urgency;

    impl Urgency {
        pub(crate) fn of_this_thread() -> Self {
            Self::ORDINARY
        }
    }

    pub(super) fn apply(_: Urgency) {}
}
