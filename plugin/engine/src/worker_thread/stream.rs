//! The worker's side of one engine: which calls are run, in what order, and what is said of them.

use std::sync::{Arc, Once};
use std::time::Instant;

use underscore_backend::{Backend, Device};

use super::listener::Listener;
use super::model::Model;
use super::past::Past;
use super::priority::Urgency;
use super::separation::{Separate, Separation};
use super::session::Session;
use super::{Assignment, DeviceChoice, library, store};
use crate::handoff::{Call, CallShape, Outcome, WorkerEnd};
use crate::status::EngineStatus;

/// After this many failures in a row no further call is tried: each costs time and none will work.
const MOST_FAILURES: u32 = 8;

/// An engine with what separates its calls.
pub struct Stream<S = Separation> {
    end: WorkerEnd,
    shape: CallShape,
    status: Arc<EngineStatus>,
    separation: S,
    past: Past,
    listener: Option<(Listener, Arc<Model>)>,
    /// Channels with a mask of their own in the call that was run last; none at first.
    num_mask_channels: usize,
    /// First of the frames that the model has heard without a gap. After a gap it goes on with what it knows and takes what
    /// comes for the continuation, so that its masks fit the frames from the gap on and none before.
    heard_from: u64,
    num_failures: u32,
}

impl Stream {
    /// Opens libtorch, the model and a session. On failure the status says why and what to do.
    pub fn open(assignment: Assignment) -> Option<Self> {
        let began = Instant::now();
        let status = assignment.status.clone();
        match Self::try_open(assignment) {
            Ok(mut stream) => {
                let device = if stream.separation.model().device() == Device::CUDA { "cuda" } else { "cpu" };
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
                status.set_running(device, load_ms);
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
        let load = |device| -> Result<(Arc<Model>, Session), String> {
            let model = store::get(backend, &spec, device, &resources).map_err(|error| error.to_string())?;
            let in_model = |error: super::session::SessionError| {
                format!("The model '{}' cannot be used: {error}. The sound passes unchanged.", spec.name)
            };
            // One channel first: it is what a linked bus uses, and what the test vector is for.
            let mut session = Session::open(model.clone(), 1).map_err(in_model)?;
            session.check(shape.spectrum_len(1), shape.masks_len(1), shape.embedding_size).map_err(in_model)?;
            Ok((model, session))
        };
        let wanted = if device == DeviceChoice::Auto && has_cuda(backend) { Device::CUDA } else { Device::CPU };
        let (model, session) = match load(wanted) {
            Err(message) if wanted == Device::CUDA => {
                let loaded = load(Device::CPU)?;
                status.set_notice(format!("The graphics card cannot be used, the processor is: {message}"));
                loaded
            }
            other => other?,
        };
        if let Some(listener) = &listener {
            listener.warm_up(&model);
        }
        let separation = Separation::new(model, session, shape, &spec.timing);
        Ok(Self::new(end, shape, status, separation).with_listener(listener))
    }

    /// Listens to examples, too.
    pub(crate) fn with_listener(self, listener: Option<Listener>) -> Self {
        let model = self.separation.model().clone();
        Self { listener: listener.map(|listener| (listener, model)), ..self }
    }

    /// Ends the stream and keeps the weights.
    pub fn into_model(self) -> Arc<Model> {
        self.separation.model().clone()
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
            past: Past::new(shape),
            listener: None,
            num_mask_channels: 0,
            heard_from: 0,
            num_failures: 0,
        }
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
            return self.listener.as_mut().is_some_and(|(listener, model)| listener.step(model));
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
        } else if self.num_failures >= MOST_FAILURES {
            Outcome::Failed
        } else {
            self.run(&mut call)
        };
        if call.outcome == Outcome::Masked {
            call.heard_from = call.heard_from.max(self.heard_from);
        } else {
            self.heard_from = last_frame + 1;
        }
        if let Some(from) = call.deadline_from
            && matches!(call.outcome, Outcome::Masked | Outcome::TooLate)
        {
            self.status.count_delivery(from.elapsed());
        }
        self.end.send(call);
        true
    }

    fn run(&mut self, call: &mut Call) -> Outcome {
        let began = Instant::now();
        if call.num_mask_channels != self.num_mask_channels {
            self.num_mask_channels = call.num_mask_channels;
            if !call.is_fresh {
                // The model begins anew.
                self.heard_from = call.first_frame;
            }
        }
        match self.separation.separate(call) {
            Ok(()) => {
                if std::mem::take(&mut self.num_failures) > 0 {
                    self.status.clear_message();
                }
                self.status.count_step(began.elapsed().as_secs_f32() * 1e3);
                Outcome::Masked
            }
            Err(error) => {
                self.num_failures += 1;
                if self.num_failures >= MOST_FAILURES {
                    self.status.set_unavailable(format!(
                        "The inference failed {MOST_FAILURES} times in a row: {error}. The sound passes unchanged. Reload \
                         the plugin to retry."
                    ));
                } else {
                    self.status.set_message(format!("An inference failed: {error}"));
                    self.separation.reset();
                }
                Outcome::Failed
            }
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
