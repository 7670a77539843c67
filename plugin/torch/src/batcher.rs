//! Streams through one model on a card, run together.
//!
//! A call of one stream keeps a card busy for a few microseconds in each of its hundreds of operations, which the processor takes longer to
//! launch: two hundred streams cost hardly more than one if they are one batch. So all sessions of a model hand their calls to one thread,
//! which runs what waits at once: whatever comes in while it computes is the next batch, and nobody is waited for. Their states lie side by
//! side in one arena on the card, a channel to a slot.
//!
//! One thread per model, not whichever worker comes first: each thread that uses a card gets handles and working memory of cuDNN and cuBLAS
//! there for itself. So examples are listened to on it, too.
//!
//! A card that fails or hangs is told to those who wait, so that they leave it for the processor: see `line`.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tch::{Device, Tensor};
use underscore_backend::Manner;

use crate::batch_limit::BatchLimit;
use crate::error::BackendError;
use crate::inference::Inference;
use crate::line::{Line, Patience, Served, Unanswered, line};
use crate::network::Network;
use crate::queue::{Size, take_batch};
use crate::urgency::{Follower, Urgency};
use crate::{device, recurrent};

/// Most channels in a batch. On an H200 400 of `Music 5` take twice as long as 200: from there on one batch is no better than two.
const MOST_CHANNELS: usize = 512;

/// A batch takes milliseconds. What comes first may find its kernels on a slow disk, and on one that is slower still the processor is used.
const PATIENCE: Patience = Patience { first: Duration::from_mins(1), later: Duration::from_secs(5) };

/// Channels that the arena has room for at first. It doubles when they are taken.
const FIRST_SLOTS: i64 = 8;

/// Where the rows go that fill a batch up; see [`rows_for`]. No stream has this slot.
const SPARE_SLOT: i64 = 0;

type Answer<T> = SyncSender<Result<T, BackendError>>;

/// What is asked of the thread.
enum Request {
    /// Slots for so many channels, zeroed.
    Open(usize, Answer<Vec<i64>>),
    /// A zero state.
    Reset(Vec<i64>),
    /// The slots are free again.
    Close(Vec<i64>),
    /// The embedding `[1, embedding]` of an example `[1, frame, bin, 2]`, both on the processor.
    Encode(Tensor, Answer<Tensor>),
    Run(Job),
}

/// One call of one stream.
struct Job {
    /// `[channel, frame, bin, 2]`, on the processor.
    spectrum: Tensor,
    /// A slot for each channel.
    slots: Vec<i64>,
    /// What each channel is asked for, `[channel, embedding]` on the processor; none where the model is not asked.
    embedding: Option<Tensor>,
    manner: Manner,
    urgency: Urgency,
    /// Masks `[stem, channel, frame, bin]`, on the processor.
    answer: Answer<Tensor>,
}

impl Job {
    fn size(&self) -> Size {
        // All jobs of a batcher are of its one model.
        Size { model: Some(0), num_channels: self.slots.len(), num_frames: self.spectrum.size()[1] as usize }
    }
}

/// A model's thread, which ends with it.
pub(crate) struct Batcher {
    line: Option<Line<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Batcher {
    /// Of `network`, whose states all belong to a channel, and which has not been called.
    pub(crate) fn start(network: Arc<Network>) -> Result<Self, BackendError> {
        let (line, served) = line(PATIENCE);
        let thread = std::thread::Builder::new()
            .name("underscore card".into())
            .spawn(move || serve(&served, Arena::new(network)))
            .map_err(|error| BackendError::RunFailed { reason: format!("no thread for the card: {error}") })?;
        Ok(Self { line: Some(line), thread: Some(thread) })
    }

    /// A stream of `num_channels` channels from a zero state.
    pub(crate) fn open(&self, num_channels: usize) -> Result<Slots, BackendError> {
        let line = self.line.clone().ok_or_else(ended)?;
        let slots = ask(&line, |answer| Request::Open(num_channels, answer))?;
        Ok(Slots { slots, line })
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

/// A stream's slots in the arena, given back when this is dropped.
pub(crate) struct Slots {
    /// One for each channel.
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
        manner: Manner,
        spectrum: Tensor,
        embedding: Option<Tensor>,
    ) -> Result<Tensor, BackendError> {
        let (slots, urgency) = (self.slots.clone(), Urgency::of_this_thread());
        ask(&self.line, |answer| Request::Run(Job { spectrum, slots, embedding, manner, urgency, answer }))
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
/// is one of those who are patient: a call of a bounce, or an example.
fn serve(served: &Served<Request>, mut arena: Arena) {
    let mut follower = Follower::of_this_thread();
    let (mut waiting, mut patient) = (VecDeque::new(), VecDeque::new());
    device::prepare_thread();
    if arena.network.metadata.packs_recurrent_weights && arena.network.device.is_cuda() {
        recurrent::flatten(&arena.network.module);
    }
    loop {
        if waiting.is_empty() && patient.is_empty() {
            let Some(request) = served.wait() else { return };
            arena.take(request, &mut waiting, &mut patient);
            served.note_step();
        }
        while let Some(request) = served.next() {
            arena.take(request, &mut waiting, &mut patient);
            served.note_step();
        }
        if let Some(most_urgent) = waiting.iter().map(|job: &Job| job.urgency).max() {
            follower.follow(most_urgent);
            let most_channels = arena.limit.num_channels(Instant::now());
            let batch = take_batch(&mut waiting, usize::MAX, most_channels, Job::size);
            arena.run_guarded(batch);
            served.note_step();
        }
        match patient.pop_front() {
            Some(Patient::Alone(job)) => {
                follower.follow(job.urgency);
                arena.run_guarded(vec![job]);
                served.note_step();
            }
            Some(Patient::Encode(example, answer)) => {
                let found = catch_unwind(AssertUnwindSafe(|| arena.network.encode(example)));
                let _ = answer.send(found.unwrap_or_else(|_| Err(ended())));
                served.note_step();
            }
            None => {}
        }
    }
}

/// What has no deadline.
enum Patient {
    Alone(Job),
    Encode(Tensor, Answer<Tensor>),
}

/// So many rows has a batch of `num_channels`, the last ones without a meaning: few sizes, at most a quarter larger than need be, because cuDNN
/// looks for its way anew for each, which takes 10 to 30 ms, and keeps what it found.
fn rows_for(num_channels: usize) -> usize {
    let step = (num_channels.next_power_of_two() / 8).max(1);
    num_channels.next_multiple_of(step)
}

/// The states of all streams of one model.
struct Arena {
    network: Arc<Network>,
    /// In the order of the metadata, `[slot, ...]` each.
    states: Vec<Tensor>,
    num_slots: i64,
    free: Vec<i64>,
    /// What lies in these is of no stream, or of none any more, and is to be zeroed before anything is run: it could not be when it should.
    unclean: Vec<i64>,
    /// Of a batch.
    limit: BatchLimit,
}

impl Arena {
    fn new(network: Arc<Network>) -> Self {
        let (states, free, unclean) = (Vec::new(), Vec::new(), Vec::new());
        Self { network, states, num_slots: 0, free, unclean, limit: BatchLimit::new(MOST_CHANNELS) }
    }

    /// Does what is asked, but for what waits.
    fn take(&mut self, request: Request, waiting: &mut VecDeque<Job>, patient: &mut VecDeque<Patient>) {
        match request {
            Request::Open(num_channels, answer) => {
                let _ = answer.send(self.open(num_channels));
            }
            Request::Reset(slots) => {
                drop_calls_of(&slots, waiting, patient);
                self.unclean.extend(slots);
            }
            Request::Close(slots) => {
                drop_calls_of(&slots, waiting, patient);
                self.free.extend(slots);
            }
            Request::Encode(example, answer) => patient.push_back(Patient::Encode(example, answer)),
            Request::Run(job) if job.manner == Manner::TOGETHER => waiting.push_back(job),
            Request::Run(job) => patient.push_back(Patient::Alone(job)),
        }
    }

    fn open(&mut self, num_channels: usize) -> Result<Vec<i64>, BackendError> {
        while self.free.len() < num_channels {
            self.grow()?;
        }
        let slots = self.free.split_off(self.free.len() - num_channels);
        self.unclean.extend(&slots);
        // Now rather than with the first call: on a card that cannot be used nothing is to be opened.
        match self.clean() {
            Ok(()) => Ok(slots),
            Err(error) => {
                self.free.extend(slots);
                Err(error)
            }
        }
    }

    /// Room for twice as many.
    fn grow(&mut self) -> Result<(), BackendError> {
        let failed = |error| BackendError::run_failed(&error);
        let num_more = self.num_slots.max(FIRST_SLOTS);
        let more = self.network.zero_state(num_more as usize)?;
        self.states = if self.states.is_empty() {
            more
        } else {
            let pairs = self.states.iter().zip(&more);
            pairs.map(|(state, more)| Tensor::f_cat(&[state, more], 0)).collect::<Result<_, _>>().map_err(failed)?
        };
        self.free.extend((self.num_slots..self.num_slots + num_more).filter(|slot| *slot != SPARE_SLOT));
        self.num_slots += num_more;
        Ok(())
    }

    /// Zeroes what is to be.
    fn clean(&mut self) -> Result<(), BackendError> {
        if self.unclean.is_empty() {
            return Ok(());
        }
        let _inference = Inference::begin();
        let failed = |error| BackendError::run_failed(&error);
        let slots = self.on_card(&self.unclean).map_err(failed)?;
        for state in self.states.iter_mut().filter(|state| state.numel() > 0) {
            let _ = state.f_index_fill_(0, &slots, 0.0).map_err(failed)?;
        }
        self.unclean.clear();
        Ok(())
    }

    fn on_card(&self, slots: &[i64]) -> Result<Tensor, tch::TchError> {
        Tensor::f_from_slice(slots)?.f_to_device(self.network.device)
    }

    /// Runs a batch and answers each of its jobs.
    fn run_guarded(&mut self, jobs: Vec<Job>) {
        let slots = slots_of(&jobs);
        // Who waits for a batch that panicked is told by the answers that are dropped.
        if catch_unwind(AssertUnwindSafe(|| self.run(jobs))).is_err() {
            self.unclean.extend(slots);
        }
    }

    /// Runs a batch and answers each of its jobs. Whether none failed.
    fn run(&mut self, mut jobs: Vec<Job>) -> bool {
        let slots = slots_of(&jobs);
        let (masks, next) = match self.forward(&jobs, &slots) {
            Ok(found) => found,
            // It may have been too large for the card's memory, and nobody has lost anything yet: in halves, at once.
            Err(BackendError::RunFailed { .. }) if jobs.len() > 1 => {
                let second = jobs.split_off(jobs.len() / 2);
                let none_failed = self.run(jobs) & self.run(second);
                if none_failed {
                    self.limit.note_too_large(slots.len(), Instant::now());
                }
                return none_failed;
            }
            Err(error) => return self.fail(jobs, slots, &error),
        };
        if let Err(error) = self.keep(&next) {
            return self.fail(jobs, slots, &error);
        }
        let mut first = 0;
        for job in jobs {
            let num_channels = job.slots.len() as i64;
            let masks = masks.f_narrow(1, first, num_channels).map_err(|error| BackendError::run_failed(&error));
            first += num_channels;
            let _ = job.answer.send(masks);
        }
        true
    }

    /// Tells each of `jobs`. What these streams had, in `slots`, is in no known condition.
    fn fail(&mut self, jobs: Vec<Job>, slots: Vec<i64>, error: &BackendError) -> bool {
        self.unclean.extend(slots);
        for job in jobs {
            let _ = job.answer.send(Err(error.for_another()));
        }
        false
    }

    /// Masks `[stem, row, frame, bin]` of a batch, on the processor: a row for each of `slots`, then some without a meaning. And what is to be
    /// kept once they are there: the states that are kept by now stay as they are.
    fn forward(&mut self, jobs: &[Job], slots: &[i64]) -> Result<(Tensor, Next), BackendError> {
        self.clean()?;
        let _inference = Inference::begin();
        let failed = |error| BackendError::run_failed(&error);
        let is_alone = jobs.iter().any(|job| job.manner != Manner::TOGETHER);
        let num_spare = if is_alone { 0 } else { rows_for(slots.len()) - slots.len() };
        let places = [slots, &vec![SPARE_SLOT; num_spare]].concat();
        let places = self.on_card(&places).map_err(failed)?;
        let state = self.states.iter().map(|state| select(state, &places)).collect::<Result<Vec<_>, _>>();
        let state = state.map_err(failed)?;
        let spectrum = stacked(jobs.iter().map(|job| &job.spectrum), num_spare).map_err(failed)?;
        let asked = jobs.iter().filter_map(|job| job.embedding.as_ref());
        let embedding =
            asked.clone().next().is_some().then(|| stacked(asked, num_spare)).transpose().map_err(failed)?;
        let (masks, states) = self.network.forward(spectrum, state, embedding)?;
        // A card says of much only now that it failed.
        let masks = masks.f_to_device(Device::Cpu).map_err(failed)?;
        Ok((masks, Next { places, states }))
    }

    fn keep(&mut self, next: &Next) -> Result<(), BackendError> {
        let _inference = Inference::begin();
        for (kept, new) in self.states.iter_mut().zip(&next.states).filter(|(kept, _)| kept.numel() > 0) {
            let _ = kept.f_index_copy_(0, &next.places, new).map_err(|error| BackendError::run_failed(&error))?;
        }
        Ok(())
    }
}

/// The states that a batch leaves.
struct Next {
    /// `[row]`, a slot each.
    places: Tensor,
    /// In the order of the metadata, `[row, ...]` each.
    states: Vec<Tensor>,
}

fn slots_of(jobs: &[Job]) -> Vec<i64> {
    jobs.iter().flat_map(|job| &job.slots).copied().collect()
}

/// A stream that begins anew, or ends, while a call of it waits has given that call up: the card did not answer for long. It is not to write to
/// what is another stream's by then.
fn drop_calls_of(slots: &[i64], waiting: &mut VecDeque<Job>, patient: &mut VecDeque<Patient>) {
    waiting.retain(|job| job.slots != slots);
    patient.retain(|patient| !matches!(patient, Patient::Alone(job) if job.slots == slots));
}

/// `parts` `[row, ...]` below each other, and `num_spare` rows of zeros.
fn stacked<'a>(parts: impl Iterator<Item = &'a Tensor>, num_spare: usize) -> Result<Tensor, tch::TchError> {
    let mut parts: Vec<Tensor> = parts.map(Tensor::shallow_clone).collect();
    if num_spare > 0
        && let Some(first) = parts.first()
    {
        let shape = [&[num_spare as i64], &first.size()[1..]].concat();
        parts.push(Tensor::f_zeros(shape, (first.kind(), first.device()))?);
    }
    Tensor::f_cat(&parts, 0)
}

/// The rows of `state` at `places`. Of a state without values, that of a model without look-ahead, as many.
fn select(state: &Tensor, places: &Tensor) -> Result<Tensor, tch::TchError> {
    if state.numel() > 0 {
        return state.f_index_select(0, places);
    }
    let shape = [&places.size()[..1], &state.size()[1..]].concat();
    Tensor::f_zeros(shape, (state.kind(), state.device()))
}
