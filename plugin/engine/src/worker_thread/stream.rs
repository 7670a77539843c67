//! The worker's side of one engine: which calls are run, in what order, and what is said of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use underscore_backend::Device;

use super::carried_samples::CarriedSamples;
use super::example_encoder::ExampleEncoder;
use super::expectation::Expectation;
use super::failure_streak::{self, FailureStreak};
use super::model::Model;
use super::opener;
use super::priority::Urgency;
use super::separation::{Separate, Separation};
use super::triage::Standing;
use super::worker::Assignment;
use crate::clock::Clock;
use crate::handoff::{Call, CallShape, Outcome, WorkerEnd};
use crate::status::{EngineStatus, State};

/// Sound has a deadline, an example has none; but on a machine that is too slow for the sound there is always a call. After so long an example is
/// listened to between two of them.
const LONGEST_EXAMPLE_WAIT: Duration = Duration::from_secs(1);

/// An engine with what separates its calls.
pub struct Stream<S = Separation> {
    end: WorkerEnd,
    shape: CallShape,
    status: Arc<EngineStatus>,
    separation: S,
    past: CarriedSamples,
    example_encoder: Option<ExampleEncoder>,
    /// Since when an example was seen to wait; none where none does.
    example_waits_since: Option<Instant>,
    /// Channels with a mask of their own in the call that was run last; none at first.
    num_mask_channels: usize,
    /// First of the frames that the model has heard without a gap. After a gap it goes on with what it knows and takes what
    /// comes for the continuation, so that its masks fit the frames from the gap on and none before.
    valid_from: u64,
    /// Of the last call.
    last_urgency: Urgency,
    expectation: Expectation,
    /// None while calls succeed.
    failures: Option<FailureStreak>,
    /// It was opened anew, or tried to be, and nobody was told yet.
    was_reopened: bool,
    clock: Clock,
}

impl Stream {
    /// Opens libtorch, the model and a session. On failure the status says why and what to do.
    pub fn open(assignment: Assignment) -> Option<Self> {
        let began = Instant::now();
        let status = assignment.status.clone();
        match Self::try_open(assignment) {
            Ok(mut stream) => {
                let load_ms = began.elapsed().as_secs_f32() * 1e3;
                // What came in meanwhile first: until the past calls are given back the audio thread has none to fill, and it
                // would count as late what only waited for the model. But for the newest one where a host waits for its masks: it is to
                // find the model running when they are there.
                for num_left in (1..=stream.end.calls.num_waiting()).rev() {
                    if num_left == 1 && stream.end.calls.next().is_some_and(|call| call.is_waited_for) {
                        break;
                    }
                    stream.step();
                }
                status.note_load_ms(load_ms);
                if stream.has_prospects() {
                    status.set_running(stream.device());
                }
                Some(stream)
            }
            Err(message) => {
                status.set_unavailable(&message);
                None
            }
        }
    }

    fn try_open(assignment: Assignment) -> Result<Self, String> {
        let Assignment { end, shape, status, example_encoder, model: spec, device, resources } = assignment;
        let timing = spec.timing;
        let opener = opener::opener(spec, device, resources, shape, status.clone())?;
        let separation = Separation::open(opener, shape, &timing)?;
        let stream = Self::new(end, shape, status, separation).with_listener(example_encoder);
        stream.warm_listener_up();
        Ok(stream)
    }

    /// Ends the stream and keeps the weights.
    pub fn into_model(self) -> Arc<Model> {
        self.separation.into_model()
    }
}

impl<S: Separate> Stream<S> {
    /// Joins an engine's end of the handoff and what separates its calls.
    pub(crate) fn new(end: WorkerEnd, shape: CallShape, status: Arc<EngineStatus>, separation: S) -> Self {
        Self {
            end,
            shape,
            status,
            separation,
            past: CarriedSamples::new(shape),
            example_encoder: None,
            example_waits_since: None,
            num_mask_channels: 0,
            valid_from: 0,
            last_urgency: Urgency::Ordinary,
            expectation: Expectation::default(),
            failures: None,
            was_reopened: false,
            clock: Instant::now,
        }
    }

    /// Listens to examples, too.
    pub(crate) fn with_listener(self, example_encoder: Option<ExampleEncoder>) -> Self {
        Self { example_encoder, ..self }
    }

    /// Goes by another clock.
    #[cfg(test)]
    pub(crate) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// What separates.
    #[cfg(test)]
    pub(crate) fn separation(&mut self) -> &mut S {
        &mut self.separation
    }

    /// Calls that wait.
    #[cfg(test)]
    pub(crate) fn num_waiting(&self) -> usize {
        self.end.calls.num_waiting()
    }

    fn warm_listener_up(&self) {
        if let (Some(example_encoder), Some(model)) = (&self.example_encoder, self.separation.model()) {
            example_encoder.warm_up(model);
        }
    }

    fn device(&self) -> &'static str {
        match self.separation.model().map(|model| model.device()) {
            Some(Device::CUDA) => "cuda",
            _ => "cpu",
        }
    }

    /// Whether calls are tried.
    fn has_prospects(&self) -> bool {
        !self.failures.as_ref().is_some_and(FailureStreak::has_given_up)
    }

    /// Where the engine's figures are written.
    pub fn status(&self) -> Arc<EngineStatus> {
        self.status.clone()
    }

    /// Time granted between handing a call over and the need of its first mask.
    pub fn deadline(&self) -> Duration {
        self.status.deadline()
    }

    /// Whether the engine is gone, and nobody will ever send or receive again.
    pub fn is_abandoned(&self) -> bool {
        self.end.calls.is_abandoned()
    }

    /// How urgent the next step is: where there is nothing to do, the pause before the next call, which is going to be like the last. So is
    /// listening to an example: a call that comes meanwhile waits for it.
    pub fn urgency(&self) -> Urgency {
        match self.end.calls.next() {
            Some(call) => self.urgency_of(call),
            None if self.is_retry_due() => Urgency::Ordinary,
            None => self.last_urgency,
        }
    }

    fn urgency_of(&self, call: &Call) -> Urgency {
        if call.is_waited_for { Urgency::Ordinary } else { Urgency::with_deadline(self.deadline()) }
    }

    /// Whether what separates was opened anew, or tried to be, since this was asked last.
    pub fn take_was_reopened(&mut self) -> bool {
        std::mem::take(&mut self.was_reopened)
    }

    /// Works one call off. `false`: there was none.
    pub fn step(&mut self) -> bool {
        if self.is_example_overdue() && self.listen() {
            return true;
        }
        let Some(mut call) = self.end.calls.receive() else {
            // Sound first: it has a deadline.
            return self.retry_where_due() || self.listen();
        };
        self.last_urgency = self.urgency_of(&call);
        self.past.complete(&mut call);
        if self.end.is_waited_for() {
            // It may have been handed over with a deadline, before the audio thread saw that there is time to wait.
            call.deadline_from = None;
        }
        if call.is_fresh {
            self.separation.reset();
            self.valid_from = call.valid_from;
        }
        // Its masks are those of the frames `look_ahead_frames` earlier, and may be past already. But its own frames get none
        // unless the model hears them, so it is worth running until they are past, too.
        let last_frame = self.shape.last_frame(call.first_frame);
        let expected = self.expectation.get();
        call.outcome = if self.end.is_past(&call, last_frame) {
            Outcome::TooLate
        } else if self.is_to_be_left_out(&call, expected) {
            self.expectation.note_not_run();
            Outcome::TooLate
        } else if self.has_prospects() {
            self.run(&mut call)
        } else {
            Outcome::Failed
        };
        if call.outcome == Outcome::Masked {
            call.valid_from = call.valid_from.max(self.valid_from);
        } else {
            self.valid_from = last_frame + 1;
        }
        if let Some(from) = call.deadline_from
            && matches!(call.outcome, Outcome::Masked | Outcome::TooLate)
        {
            // One that was not run would have come later still.
            let to_come = if call.outcome == Outcome::TooLate { expected } else { Duration::ZERO };
            self.status.count_delivery((self.clock)().saturating_duration_since(from) + to_come);
        }
        self.end.calls.send(call);
        true
    }

    /// Whether more of what is to come is in time without `call`. Never, where somebody waits for it.
    fn is_to_be_left_out(&self, call: &Call, expected: Duration) -> bool {
        let Some(from) = call.deadline_from else { return false };
        let times = self.status.call_times();
        let first_mask = call.first_frame.cast_signed() - times.look_ahead_frames.cast_signed() as i64;
        let mut behind_s = (self.clock)().saturating_duration_since(from).as_secs_f64();
        // By the clock alone a machine that stood still would be late for all that was on its way, though its audio thread stood still,
        // too: it is no later than that has come.
        if let Some(num_to_go) = self.end.num_frames_to_go(call, first_mask) {
            let least_to_go_s = num_to_go as f64 * times.hop_s - times.stride_s;
            behind_s = behind_s.min(times.deadline_s - least_to_go_s).max(0.0);
        }
        Standing { behind_s, takes_s: expected.as_secs_f64() }.is_to_be_left_out(&times)
    }

    fn run(&mut self, call: &mut Call) -> Outcome {
        if call.num_mask_channels != self.num_mask_channels {
            self.num_mask_channels = call.num_mask_channels;
            if !call.is_fresh {
                // The model begins anew.
                self.valid_from = call.first_frame;
            }
        }
        let mut began = (self.clock)();
        let mut result = self.separation.separate(call);
        if result.is_err() {
            self.failures.take_if(|failures| failures.is_past(began));
            // A bounce waits, and would be through with all of it before it is given up: what failed for the first time is run once more, on
            // what can be used now. What the model had heard is gone, as after every failure: the masks go on from this call.
            if self.failures.is_none() && self.end.is_waited_for() && self.reopen().is_ok() {
                self.valid_from = call.first_frame;
                if self.status.state() == State::Running {
                    self.status.set_running(self.device());
                }
                began = (self.clock)();
                result = self.separation.separate(call);
            }
        }
        let now = (self.clock)();
        match result {
            Ok(()) => {
                if self.failures.take().is_some() {
                    self.status.clear_message();
                }
                let taken = now.saturating_duration_since(began);
                self.expectation.note_run(taken);
                self.status.count_step(taken.as_secs_f32() * 1e3);
                Outcome::Masked
            }
            Err(error) => {
                self.note_failure(now, &error.to_string());
                Outcome::Failed
            }
        }
    }

    /// A call had failed by `now`.
    fn note_failure(&mut self, now: Instant, error: &str) {
        self.separation.reset();
        let Some(failures) = &mut self.failures else {
            self.failures = Some(FailureStreak::begin(now));
            self.status.set_message(format!("An inference failed: {error}"));
            return;
        };
        if failures.note_failure(now) {
            let failing_s = failure_streak::GIVE_UP_AFTER.as_secs();
            self.status.set_unavailable(&format!(
                "The inference has been failing for {failing_s} seconds: {error}. It is tried again from time to time."
            ));
        }
    }

    /// After it was given up the audio thread sends nothing more, so nothing can show that calls would succeed again but an
    /// attempt. `false`: none was due, or it was in vain.
    fn retry_where_due(&mut self) -> bool {
        if !self.is_retry_due() {
            return false;
        }
        match self.reopen() {
            Ok(()) => {
                self.failures = None;
                self.status.clear_message();
                self.status.set_running(self.device());
                true
            }
            Err(message) => {
                // The status has told why, unless it is another reason; this may go on for days.
                if self.status.is_held_back() {
                    self.status.set_message(message);
                } else {
                    tracing::debug!("in vain: {message}");
                }
                if let Some(failures) = &mut self.failures {
                    failures.note_retry((self.clock)());
                }
                false
            }
        }
    }

    /// What separates, on what can be used now.
    fn reopen(&mut self) -> Result<(), String> {
        self.was_reopened = true;
        self.separation.reopen()?;
        self.warm_listener_up();
        Ok(())
    }

    fn is_retry_due(&self) -> bool {
        self.failures.as_ref().is_some_and(|failures| failures.is_retry_due((self.clock)()))
    }

    fn is_example_overdue(&mut self) -> bool {
        if !self.example_encoder.as_ref().is_some_and(ExampleEncoder::is_one_waiting) {
            self.example_waits_since = None;
            return false;
        }
        let now = (self.clock)();
        now.saturating_duration_since(*self.example_waits_since.get_or_insert(now)) >= LONGEST_EXAMPLE_WAIT
    }

    /// Listens to one example. `false`: there was none.
    fn listen(&mut self) -> bool {
        // The next one waits for its own turn.
        self.example_waits_since = None;
        match (&mut self.example_encoder, self.separation.model()) {
            (Some(example_encoder), Some(model)) => example_encoder.step(model),
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
