//! The thread on a card that runs the calls of all streams through one model.
//!
//! A call of one stream keeps a card busy for a few microseconds in each of its hundreds of operations, which the processor takes longer to
//! launch: two hundred streams cost hardly more than one if they are one batch. So all sessions of a model hand their calls to one thread,
//! which runs what waits at once: whatever comes in while it computes is the next batch, and nobody is waited for. See `arena`; the calls of a
//! model whose states cannot lie side by side come one by one (`own_states`).
//!
//! One thread per model, not whichever worker comes first: each thread that uses a card gets handles and working memory of cuDNN and cuBLAS
//! there for itself. So examples are listened to on it, too. And a worker that touches no card does not hang with it.
//!
//! A card that fails or hangs is told to those who wait, so that they leave it for the processor: see `line` and `card`.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use tch::Tensor;
use underscore_backend::Batching;

use crate::arena::Arena;
use crate::error::BackendError;
use crate::line::{Line, Served, Unanswered};
use crate::network::Network;
use crate::own_states::OwnStates;
use crate::urgency::{Follower, Urgency};
use crate::{card, device, recurrent};

type Answer<T> = SyncSender<Result<T, BackendError>>;

/// What is asked of the thread.
enum Request {
    /// Slots for so many channels, zeroed, that are given back by this line.
    Open(usize, Line<Request>, Answer<Slots>),
    /// A zero state.
    Reset(Vec<i64>),
    /// The slots are free again.
    Close(Vec<i64>),
    /// The embedding `[1, embedding]` of an example `[1, frame, bin, 2]`, both on the processor.
    Encode(Tensor, Answer<Tensor>),
    Run(Job),
}

/// One call of one stream.
pub(crate) struct Job {
    /// `[channel, frame, bin, 2]`, on the processor.
    pub(crate) spectrum: Tensor,
    /// Of its stream, as [`Streams::open`] gave them.
    pub(crate) slots: Vec<i64>,
    /// What each channel is asked for, `[channel, embedding]` on the processor; none where the model is not asked.
    pub(crate) embedding: Option<Tensor>,
    pub(crate) batching: Batching,
    urgency: Urgency,
    /// Masks `[stem, channel, frame, bin]`, on the processor.
    pub(crate) answer: Answer<Tensor>,
}

impl Job {
    pub(crate) fn num_frames(&self) -> usize {
        self.spectrum.size()[1] as usize
    }
}

/// The states of a model's streams on its card, and how their calls are run.
pub(crate) trait Streams {
    /// Slots for the state of a stream of so many channels, zeroed.
    fn open(&mut self, num_channels: usize) -> Result<Vec<i64>, BackendError>;
    /// Zeroes the state in these.
    fn reset(&mut self, slots: Vec<i64>);
    /// Takes them back.
    fn close(&mut self, slots: Vec<i64>);
    /// What of `waiting` is run at once; something, unless nothing waits.
    fn take_batch(&mut self, waiting: &mut VecDeque<Job>) -> Vec<Job>;
    /// Runs such a batch, or a call that is to be run by itself, and answers each.
    fn run(&mut self, jobs: Vec<Job>);
}

/// A model's thread, which ends with it.
pub(crate) struct Batcher {
    line: Option<Line<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Batcher {
    /// Of `network`, which has not been called.
    pub(crate) fn start(network: Arc<Network>) -> Result<Self, BackendError> {
        let (line, thread) = card::start("underscore card", move |served| {
            // What belongs to no channel cannot lie beside another stream's.
            if network.metadata.has_state_by_channel() {
                serve(served, &network, Arena::new(network.clone()));
            } else {
                serve(served, &network, OwnStates::new(network.clone()));
            }
        })?;
        Ok(Self { line: Some(line), thread: Some(thread) })
    }

    /// A stream of `num_channels` channels from a zero state.
    pub(crate) fn open(&self, num_channels: usize) -> Result<Slots, BackendError> {
        let line = self.line.as_ref().ok_or_else(ended)?;
        ask(line, |answer| Request::Open(num_channels, line.clone(), answer))
    }

    /// The embedding `[1, embedding]` of an example `[1, frame, bin, 2]`, both on the processor.
    pub(crate) fn encode(&self, example: Tensor) -> Result<Tensor, BackendError> {
        ask(self.line.as_ref().ok_or_else(ended)?, |answer| Request::Encode(example, answer))
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        // The sessions, which have lines of their own, are closed by now. A thread that hangs keeps what is its own, and its code stays: the
        // engine never closes this library.
        if let (Some(line), Some(thread)) = (self.line.take(), self.thread.take()) {
            line.end(thread);
        }
    }
}

/// A stream's slots, given back when this is dropped.
pub(crate) struct Slots {
    slots: Vec<i64>,
    line: Line<Request>,
}

impl Slots {
    /// Back to a zero state.
    pub(crate) fn reset(&self) -> Result<(), BackendError> {
        if self.line.tell(Request::Reset(self.slots.clone())) { Ok(()) } else { Err(ended()) }
    }

    /// `spectrum` `[channel, frame, bin, 2]` and `embedding` `[channel, embedding]` -> masks `[stem, channel, frame, bin]`, all on the processor.
    /// After an error the state is zero.
    pub(crate) fn run(
        &self,
        batching: Batching,
        spectrum: Tensor,
        embedding: Option<Tensor>,
    ) -> Result<Tensor, BackendError> {
        let (slots, urgency) = (self.slots.clone(), Urgency::of_this_thread());
        ask(&self.line, |answer| Request::Run(Job { spectrum, slots, embedding, batching, urgency, answer }))
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.line.tell(Request::Close(std::mem::take(&mut self.slots)));
    }
}

/// Sends a request and waits for its answer.
fn ask<T>(line: &Line<Request>, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, BackendError> {
    line.ask(request).map_err(|unanswered| match unanswered {
        Unanswered::Ended => ended(),
        Unanswered::Hangs => BackendError::RunFailed { reason: "the card does not answer any more".to_owned() },
    })?
}

/// Of a thread that is gone, or has dropped what it was asked.
fn ended() -> BackendError {
    BackendError::RunFailed { reason: "the thread that runs the card gave up".to_owned() }
}

/// Answers requests until nobody can make one any more. Calls that may run together have a deadline, so they go first; between two batches there
/// is one of those who are patient.
fn serve(served: &Served<Request>, network: &Network, mut streams: impl Streams) {
    let mut follower = Follower::of_this_thread();
    let (mut waiting, mut patient) = (VecDeque::new(), VecDeque::new());
    device::prepare_thread();
    if network.metadata.packs_recurrent_weights && network.device.is_cuda() {
        recurrent::flatten(&network.module);
    }
    loop {
        if waiting.is_empty() && patient.is_empty() {
            let Some(request) = served.wait() else { return };
            take(request, &mut streams, &mut waiting, &mut patient);
        }
        while let Some(request) = served.next() {
            take(request, &mut streams, &mut waiting, &mut patient);
        }
        if let Some(most_urgent) = waiting.iter().map(|job: &Job| job.urgency).max() {
            follower.follow(most_urgent);
            let batch = streams.take_batch(&mut waiting);
            run_guarded(&mut streams, batch);
            served.note_step();
        }
        match patient.pop_front() {
            Some(Patient::Open(num_channels, line, answer)) => {
                // Where nobody waits for them any more they are dropped here, and come back.
                let _ = answer.send(streams.open(num_channels).map(|slots| Slots { slots, line }));
            }
            Some(Patient::Alone(job)) => {
                follower.follow(job.urgency);
                run_guarded(&mut streams, vec![job]);
            }
            Some(Patient::Encode(example, answer)) => {
                let found = catch_unwind(AssertUnwindSafe(|| network.encode(example)));
                let _ = answer.send(found.unwrap_or_else(|_| Err(ended())));
            }
            None => {}
        }
        served.note_step();
    }
}

/// What has no deadline: a stream to be opened, a call of a bounce, or an example.
enum Patient {
    Open(usize, Line<Request>, Answer<Slots>),
    Alone(Job),
    Encode(Tensor, Answer<Tensor>),
}

/// Does what is asked, but for what waits.
fn take(request: Request, streams: &mut impl Streams, waiting: &mut VecDeque<Job>, patient: &mut VecDeque<Patient>) {
    match request {
        Request::Open(num_channels, line, answer) => patient.push_back(Patient::Open(num_channels, line, answer)),
        Request::Reset(slots) => {
            drop_calls_of(&slots, waiting, patient);
            streams.reset(slots);
        }
        Request::Close(slots) => {
            drop_calls_of(&slots, waiting, patient);
            streams.close(slots);
        }
        Request::Encode(example, answer) => patient.push_back(Patient::Encode(example, answer)),
        Request::Run(job) if job.batching == Batching::ALLOWED => waiting.push_back(job),
        Request::Run(job) => patient.push_back(Patient::Alone(job)),
    }
}

/// Runs a batch and answers each of its jobs.
fn run_guarded(streams: &mut impl Streams, jobs: Vec<Job>) {
    let slots = slots_of(&jobs);
    // Who waits for a batch that panicked is told by the answers that are dropped.
    if catch_unwind(AssertUnwindSafe(|| streams.run(jobs))).is_err() {
        streams.reset(slots);
    }
}

/// Those of all of them.
pub(crate) fn slots_of(jobs: &[Job]) -> Vec<i64> {
    jobs.iter().flat_map(|job| &job.slots).copied().collect()
}

/// A stream that begins anew, or ends, while a call of it waits has given that call up: the card did not answer for long. It is not to write to
/// what the stream begins with, nor to what is another one's by then.
fn drop_calls_of(slots: &[i64], waiting: &mut VecDeque<Job>, patient: &mut VecDeque<Patient>) {
    waiting.retain(|job| job.slots != slots);
    patient.retain(|patient| !matches!(patient, Patient::Alone(job) if job.slots == slots));
}
