//! The worker's side of one engine: which calls are run, in what order, and what is said of them.

use std::sync::{Arc, Once};
use std::time::Instant;

use underscore_backend::{Backend, Device};

use super::listener::Listener;
use super::model::Model;
use super::past::Past;
use super::priority::Urgency;
use super::separation::{Separate, Separation};
use super::session::{Session, SessionError};
use super::trouble::{self, Trouble};
use super::{Assignment, Clock, DeviceChoice, library, store};
use crate::catalogue::ModelSpec;
use crate::handoff::{Call, CallShape, Outcome, WorkerEnd};
use crate::resources::Resources;
use crate::status::EngineStatus;

/// An engine with what separates its calls.
pub struct Stream<S = Separation> {
    end: WorkerEnd,
    shape: CallShape,
    status: Arc<EngineStatus>,
    separation: S,
    past: Past,
    listener: Option<Listener>,
    /// Channels with a mask of their own in the call that was run last; none at first.
    num_mask_channels: usize,
    /// First of the frames that the model has heard without a gap. After a gap it goes on with what it knows and takes what
    /// comes for the continuation, so that its masks fit the frames from the gap on and none before.
    heard_from: u64,
    /// None while calls succeed.
    trouble: Option<Trouble>,
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
                for num_left in (1..=stream.end.num_waiting()).rev() {
                    if num_left == 1 && stream.end.next().is_some_and(|call| call.is_waited_for) {
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
                status.set_unavailable(message);
                None
            }
        }
    }

    fn try_open(assignment: Assignment) -> Result<Self, String> {
        let Assignment { end, shape, status, listener, model: spec, device, resources } = assignment;
        let backend = library::backend(&resources).map_err(|error| error.to_string())?;
        let timing = spec.timing;
        let its_status = status.clone();
        let opener = move || -> Result<(Arc<Model>, Session), String> {
            let load = |device| load(backend, &spec, device, &resources, shape);
            let wanted = if device == DeviceChoice::Auto && has_cuda(backend) { Device::CUDA } else { Device::CPU };
            let (loaded, notice) = match load(wanted) {
                Err(message) if wanted == Device::CUDA => {
                    let notice = format!("The graphics card cannot be used, the processor is: {message}");
                    (load(Device::CPU)?, notice)
                }
                other => (other?, String::new()),
            };
            its_status.set_notice(notice);
            Ok(loaded)
        };
        let separation = Separation::open(Box::new(opener), shape, &timing)?;
        let stream = Self::new(end, shape, status, separation).with_listener(listener);
        stream.warm_listener_up();
        Ok(stream)
    }

    /// Ends the stream and keeps the weights.
    pub fn into_model(self) -> Arc<Model> {
        self.separation.into_model()
    }
}

/// The model on `device`, and a session of it that was seen to work.
fn load(
    backend: Backend,
    spec: &ModelSpec,
    device: Device,
    resources: &Resources,
    shape: CallShape,
) -> Result<(Arc<Model>, Session), String> {
    let model = store::get(backend, spec, device, resources).map_err(|error| error.to_string())?;
    let in_model =
        |error: SessionError| format!("The model '{}' cannot be used: {error}. The sound passes unchanged.", spec.name);
    // One channel first: it is what a linked bus uses, and what the test vector is for.
    let mut session = Session::open(model.clone(), 1).map_err(in_model)?;
    session.check(shape.spectrum_len(1), shape.masks_len(1), shape.embedding_size).map_err(in_model)?;
    Ok((model, session))
}

impl<S: Separate> Stream<S> {
    /// Joins an engine's end of the handoff and what separates its calls.
    pub(crate) fn new(end: WorkerEnd, shape: CallShape, status: Arc<EngineStatus>, separation: S) -> Self {
        Self {
            end,
            shape,
            status,
            separation,
            past: Past::new(shape),
            listener: None,
            num_mask_channels: 0,
            heard_from: 0,
            trouble: None,
            clock: Instant::now,
        }
    }

    /// Listens to examples, too.
    pub(crate) fn with_listener(self, listener: Option<Listener>) -> Self {
        Self { listener, ..self }
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
        self.end.num_waiting()
    }

    fn warm_listener_up(&self) {
        if let (Some(listener), Some(model)) = (&self.listener, self.separation.model()) {
            listener.warm_up(model);
        }
    }

    fn device(&self) -> &'static str {
        match self.separation.model().map(Model::device) {
            Some(Device::CUDA) => "cuda",
            _ => "cpu",
        }
    }

    /// Whether calls are tried.
    fn has_prospects(&self) -> bool {
        !self.trouble.as_ref().is_some_and(Trouble::has_given_up)
    }

    /// Where the engine's figures are written.
    pub fn status(&self) -> Arc<EngineStatus> {
        self.status.clone()
    }

    /// Whether the engine is gone, and nobody will ever send or receive again.
    pub fn is_abandoned(&self) -> bool {
        self.end.is_abandoned()
    }

    /// How urgent the next call is, where there is one.
    pub fn urgency(&self) -> Option<Urgency> {
        let is_waited_for = self.end.next()?.is_waited_for;
        Some(if is_waited_for { Urgency::Ordinary } else { Urgency::RealTime })
    }

    /// Works one call off. `false`: there was none.
    pub fn step(&mut self) -> bool {
        let Some(mut call) = self.end.receive() else {
            // Sound first: it has a deadline.
            return self.retry_where_due() || self.listen();
        };
        self.past.complete(&mut call);
        if call.is_fresh {
            self.separation.reset();
            self.heard_from = call.heard_from;
        }
        // Its masks are those of the frames `look_ahead_frames` earlier, and may be past already. But its own frames get none
        // unless the model hears them, so it is worth running until they are past, too.
        let last_frame = self.shape.last_frame(call.first_frame);
        call.outcome = if self.end.is_past(&call, last_frame) {
            Outcome::TooLate
        } else if self.has_prospects() {
            self.run(&mut call)
        } else {
            Outcome::Failed
        };
        if call.outcome == Outcome::Masked {
            call.heard_from = call.heard_from.max(self.heard_from);
        } else {
            self.heard_from = last_frame + 1;
        }
        if let Some(from) = call.deadline_from
            && matches!(call.outcome, Outcome::Masked | Outcome::TooLate)
        {
            self.status.count_delivery((self.clock)().saturating_duration_since(from));
        }
        self.end.send(call);
        true
    }

    fn run(&mut self, call: &mut Call) -> Outcome {
        let began = (self.clock)();
        if call.num_mask_channels != self.num_mask_channels {
            self.num_mask_channels = call.num_mask_channels;
            if !call.is_fresh {
                // The model begins anew.
                self.heard_from = call.first_frame;
            }
        }
        let result = self.separation.separate(call);
        let now = (self.clock)();
        match result {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    self.status.clear_message();
                }
                self.status.count_step(now.saturating_duration_since(began).as_secs_f32() * 1e3);
                Outcome::Masked
            }
            Err(error) => {
                self.note_failure(now, &error.to_string());
                Outcome::Failed
            }
        }
    }

    fn note_failure(&mut self, now: Instant, error: &str) {
        self.separation.reset();
        let Some(trouble) = &mut self.trouble else {
            self.trouble = Some(Trouble::begin(now));
            self.status.set_message(format!("An inference failed: {error}"));
            return;
        };
        if trouble.goes_on(now) {
            self.status.set_unavailable(format!(
                "The inference has been failing for {} seconds: {error}. The sound passes unchanged until it works again, which \
                 is tried every {} seconds.",
                trouble::LONGEST.as_secs(),
                trouble::RETRY_EVERY.as_secs()
            ));
        }
    }

    /// After it was given up the audio thread sends nothing more, so nothing can show that calls would succeed again but an
    /// attempt. `false`: none was due, or it was in vain.
    fn retry_where_due(&mut self) -> bool {
        let now = (self.clock)();
        let Some(trouble) = self.trouble.as_mut().filter(|trouble| trouble.is_retry_due(now)) else { return false };
        match self.separation.reopen() {
            Ok(()) => {
                self.trouble = None;
                self.warm_listener_up();
                self.status.clear_message();
                self.status.set_running(self.device());
                true
            }
            Err(message) => {
                // The status has told why; this may go on for days.
                tracing::debug!("in vain: {message}");
                trouble.note_retry((self.clock)());
                false
            }
        }
    }

    /// Listens to one example. `false`: there was none.
    fn listen(&mut self) -> bool {
        match (&mut self.listener, self.separation.model()) {
            (Some(listener), Some(model)) => listener.step(model),
            _ => false,
        }
    }
}

fn has_cuda(backend: Backend) -> bool {
    // Once is enough: every activation asks.
    static TOLD: Once = Once::new();
    let probed = backend.probe(Device::CUDA);
    TOLD.call_once(|| match &probed {
        Ok(name) => tracing::info!("CUDA: {name}"),
        Err(reason) => tracing::info!("CUDA: {reason}"),
    });
    probed.is_ok()
}
