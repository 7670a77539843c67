//! The worker's loop: it serves one engine at a time, call by call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::model::Model;
use super::priority::{Priority, Urgency};
use super::stream::Stream;
use super::worker::Assignment;
use crate::clock::Clock;
use crate::status::EngineStatus;

/// Pause between two looks for work. The audio thread may not make a system call, so it cannot wake anyone; this is a
/// small part of the deadline, and a few hundred wake-ups a second are below what can be measured.
pub const POLL_INTERVAL: Duration = Duration::from_millis(3);

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

/// State of the loop between two calls.
pub struct WorkerLoop {
    open: fn(Assignment) -> Option<Stream>,
    stream: Option<Stream>,
    /// The weights of the stream that was open last, and when it ended.
    kept: Option<(Arc<Model>, Instant)>,
    priority: Priority,
    last_call: Instant,
    clock: Clock,
}

impl WorkerLoop {
    pub fn new(open: fn(Assignment) -> Option<Stream>, clock: Clock) -> Self {
        Self { open, stream: None, kept: None, priority: Priority::of_this_thread(), last_call: clock(), clock }
    }

    /// Begins the `next` assignment, if there is one, and works off one call. Returns how long to pause, if at all.
    pub fn run_once(&mut self, next: Option<Assignment>) -> Option<Duration> {
        if let Some(next) = next {
            self.end_stream();
            // An engine that was made for a look is gone by now, and its host waits for this thread.
            if !next.end.calls.is_abandoned() {
                self.stream = guarded(&next.status.clone(), || (self.open)(next)).flatten();
            }
            if self.stream.is_some() {
                self.kept = None;
            }
            self.priority.rest();
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
        let stepped = guarded(&open.status(), || open.step());
        if open.take_was_reopened() {
            self.priority.rest();
        }
        match stepped {
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
        // The share of a worker that serves nobody is free for others.
        self.priority.rest();
    }
}

impl Drop for WorkerLoop {
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
    use super::super::fake_backend;
    use super::super::separation::Separate;
    use super::super::worker::tests::{assignment, assignment_of};
    use super::*;
    use crate::clock::standing as clock;
    use crate::handoff::{AudioEnd, Outcome};

    fn open_double(assignment: Assignment) -> Stream {
        let Assignment { end, shape, status, model, .. } = assignment;
        fake_backend::stream(end, shape, &model.timing, status, |_| 1.0)
    }

    fn worker_loop() -> WorkerLoop {
        WorkerLoop::new(|assignment| Some(open_double(assignment)), clock::now)
    }

    fn is_answered(audio: &mut AudioEnd, worker_loop: &mut WorkerLoop) -> bool {
        let call = audio.calls.take_empty().expect("an empty call");
        audio.send(call);
        worker_loop.run_once(None);
        let Some(call) = audio.calls.receive() else { return false };
        let is_answered = call.outcome == Outcome::Masked;
        audio.calls.put_empty(call);
        is_answered
    }

    #[test]
    fn an_engine_is_served_however_often_nothing_new_is_found_and_until_another_takes_its_place() {
        let mut worker_loop = worker_loop();
        let (mut first_end, first) = assignment();
        worker_loop.run_once(Some(first));
        for _ in 0..10 {
            worker_loop.run_once(None);
            assert!(is_answered(&mut first_end, &mut worker_loop));
        }
        let (mut second_end, second) = assignment();
        worker_loop.run_once(Some(second));
        assert!(is_answered(&mut second_end, &mut worker_loop) && !is_answered(&mut first_end, &mut worker_loop));
    }

    #[test]
    fn a_worker_that_rests_leaves_the_first_call_most_of_its_deadline() {
        for max_block_samples in [64, 256, 512, 2048, 8192] {
            let mut worker_loop = worker_loop();
            let (_end, assignment) = assignment_of(max_block_samples);
            let deadline = assignment.status.deadline();
            assert_eq!(worker_loop.run_once(Some(assignment)), Some(POLL_INTERVAL));
            clock::advance(2 * IDLE_AFTER);
            let pause = worker_loop.run_once(None).expect("a pause");
            println!("deadline {deadline:?}, pause {pause:?}");
            assert!(pause > POLL_INTERVAL && pause <= IDLE_POLL_INTERVAL && pause <= deadline / 4, "{pause:?}");
        }
    }

    #[test]
    fn the_weights_outlive_an_engine_until_the_next_one_has_its_own_or_nobody_has_wanted_them_for_a_while() {
        let mut worker_loop = worker_loop();
        let weights_of_an_engine_that_is_gone = |worker_loop: &mut WorkerLoop| {
            let (end, assignment) = assignment();
            worker_loop.run_once(Some(assignment));
            let weights = Arc::downgrade(
                worker_loop.stream.as_mut().and_then(|stream| stream.separation().model()).expect("a model"),
            );
            drop(end);
            worker_loop.run_once(None);
            assert!(worker_loop.stream.is_none());
            weights
        };
        let first = weights_of_an_engine_that_is_gone(&mut worker_loop);
        clock::advance(KEEP_WEIGHTS / 2);
        worker_loop.run_once(None);
        assert!(first.strong_count() > 0, "it may come again");
        let second = weights_of_an_engine_that_is_gone(&mut worker_loop);
        assert_eq!(first.strong_count(), 0, "the next one has its own");
        clock::advance(KEEP_WEIGHTS / 2);
        worker_loop.run_once(None);
        assert!(second.strong_count() > 0);
        clock::advance(KEEP_WEIGHTS / 2);
        worker_loop.run_once(None);
        assert_eq!(second.strong_count(), 0);
    }

    #[test]
    fn a_worker_whose_engine_is_gone_has_no_share_of_what_the_processors_have() {
        let mut worker_loop = worker_loop();
        let (end, assignment) = assignment();
        worker_loop.run_once(Some(assignment));
        worker_loop.priority.pretend_to_run(150);
        assert_eq!(worker_loop.priority.running_permille(), 150);
        drop(end);
        worker_loop.run_once(None);
        assert!(worker_loop.stream.is_none());
        assert_eq!(worker_loop.priority.running_permille(), 0);
    }
}
