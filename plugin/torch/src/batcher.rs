//! Streams through one model on a card, run together.
//!
//! A call of one stream keeps a card busy for a few microseconds in each of its hundreds of operations, which the processor takes longer to
//! launch: two hundred streams cost hardly more than one if they are one batch. So all sessions of a model hand their calls to one thread,
//! which runs what waits at once: whatever comes in while it computes is the next batch, and nobody is waited for. Their states lie side by
//! side in one arena on the card, a channel to a slot.
//!
//! One thread per model, not whichever worker comes first: each thread that runs inference on a card gets handles and working memory of
//! cuDNN and cuBLAS there for itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use tch::{Device, Tensor};

use crate::device;
use crate::error::BackendError;
use crate::network::Network;
use crate::urgency::{Follower, Urgency};

/// Most channels in a batch: what more brings in throughput is less than what the first of them would wait for it.
const MOST_CHANNELS: usize = 512;

/// Channels that the arena has room for at first. It doubles when they are taken.
const FIRST_CHANNELS: i64 = 8;

/// What is asked of the thread.
enum Request {
    /// Slots for so many channels, zeroed.
    Open(usize, SyncSender<Result<Vec<i64>, BackendError>>),
    /// A zero state.
    Reset(Vec<i64>),
    /// The slots are free again.
    Close(Vec<i64>),
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
    urgency: Urgency,
    answer: SyncSender<Result<Tensor, BackendError>>,
}

/// A model's thread, which ends with it.
pub(crate) struct Batcher {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Batcher {
    /// Of `network`, whose states all belong to a channel.
    pub(crate) fn start(network: Arc<Network>) -> Result<Self, BackendError> {
        let (requests, received) = channel();
        let thread = std::thread::Builder::new()
            .name("underscore card".into())
            .spawn(move || serve(&received, Arena::new(network)))
            .map_err(|error| BackendError::RunFailed { reason: format!("no thread for the card: {error}") })?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// A stream of `num_channels` channels from a zero state.
    pub(crate) fn open(&self, num_channels: usize) -> Result<Slots, BackendError> {
        let (answer, answered) = sync_channel(1);
        let requests = self.requests.clone().ok_or_else(ended)?;
        requests.send(Request::Open(num_channels, answer)).map_err(|_| ended())?;
        Ok(Slots { slots: answered.recv().map_err(|_| ended())??, requests })
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        // The sessions, which have senders of their own, are closed by now.
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A stream's place in the arena, given back when it is dropped.
pub(crate) struct Slots {
    /// A slot for each channel.
    slots: Vec<i64>,
    requests: Sender<Request>,
}

impl Slots {
    /// Back to a zero state.
    pub(crate) fn reset(&self) -> Result<(), BackendError> {
        self.requests.send(Request::Reset(self.slots.clone())).map_err(|_| ended())
    }

    /// `spectrum` `[channel, frame, bin, 2]` and `embedding` `[channel, embedding]` -> masks `[stem, channel, frame, bin]`, all on the processor.
    /// After an error the state is zero.
    pub(crate) fn run(&self, spectrum: Tensor, embedding: Option<Tensor>) -> Result<Tensor, BackendError> {
        let (answer, answered) = sync_channel(1);
        let job = Job { spectrum, slots: self.slots.clone(), embedding, urgency: Urgency::of_this_thread(), answer };
        self.requests.send(Request::Run(job)).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())?
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let _ = self.requests.send(Request::Close(std::mem::take(&mut self.slots)));
    }
}

fn ended() -> BackendError {
    BackendError::RunFailed { reason: "the thread that runs the card has ended".to_owned() }
}

/// Answers requests until nobody can make one any more.
fn serve(requests: &Receiver<Request>, mut arena: Arena) {
    let mut follower = Follower::of_this_thread();
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            let Ok(request) = requests.recv() else { return };
            arena.take(request, &mut waiting);
        }
        while let Ok(request) = requests.try_recv() {
            arena.take(request, &mut waiting);
        }
        if let Some(most_urgent) = waiting.iter().map(|job: &Job| job.urgency).max() {
            follower.follow(most_urgent);
            arena.run(next_batch(&mut waiting));
        }
    }
}

/// The jobs that go with the one that has waited longest: of as many frames, in the order in which they came.
fn next_batch(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let Some(num_frames) = waiting.front().map(|job| job.spectrum.size()[1]) else { return Vec::new() };
    let (mut batch, mut num_channels) = (Vec::new(), 0);
    for _ in 0..waiting.len() {
        let Some(job) = waiting.pop_front() else { break };
        let fits = batch.is_empty() || num_channels + job.slots.len() <= MOST_CHANNELS;
        if fits && job.spectrum.size()[1] == num_frames {
            num_channels += job.slots.len();
            batch.push(job);
        } else {
            waiting.push_back(job);
        }
    }
    batch
}

/// The states of all streams of one model.
struct Arena {
    network: Arc<Network>,
    /// In the order of the metadata, `[slot, ...]` each.
    states: Vec<Tensor>,
    num_slots: i64,
    free: Vec<i64>,
}

impl Arena {
    fn new(network: Arc<Network>) -> Self {
        Self { network, states: Vec::new(), num_slots: 0, free: Vec::new() }
    }

    /// Does what is asked, but for a call, which waits.
    fn take(&mut self, request: Request, waiting: &mut VecDeque<Job>) {
        match request {
            Request::Open(num_channels, answer) => {
                let _ = answer.send(self.open(num_channels));
            }
            // What a card refuses here it refuses the next call, which says so.
            Request::Reset(slots) => drop(self.zero(&slots)),
            Request::Close(slots) => self.free.extend(slots),
            Request::Run(job) => waiting.push_back(job),
        }
    }

    fn open(&mut self, num_channels: usize) -> Result<Vec<i64>, BackendError> {
        device::prepare_thread();
        while self.free.len() < num_channels {
            self.grow()?;
        }
        let slots = self.free.split_off(self.free.len() - num_channels);
        match self.zero(&slots) {
            Ok(()) => Ok(slots),
            Err(error) => {
                self.free.extend(slots);
                Err(error)
            }
        }
    }

    /// Room for twice as many.
    fn grow(&mut self) -> Result<(), BackendError> {
        let num_more = self.num_slots.max(FIRST_CHANNELS);
        let mut states = self.network.zero_state(num_more as usize)?;
        if !self.states.is_empty() {
            for (state, more) in self.states.iter().zip(&mut states) {
                *more = Tensor::f_cat(&[state, &*more], 0).map_err(|error| BackendError::run_failed(&error))?;
            }
        }
        self.states = states;
        self.free.extend(self.num_slots..self.num_slots + num_more);
        self.num_slots += num_more;
        Ok(())
    }

    fn zero(&mut self, slots: &[i64]) -> Result<(), BackendError> {
        let _no_grad = tch::no_grad_guard();
        let failed = |error| BackendError::run_failed(&error);
        let slots = self.places(slots).map_err(failed)?;
        for state in &mut self.states {
            if state.numel() > 0 {
                let _ = state.f_index_fill_(0, &slots, 0.0).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn places(&self, slots: &[i64]) -> Result<Tensor, tch::TchError> {
        Tensor::f_from_slice(slots)?.f_to_device(self.network.device)
    }

    /// Runs a batch and answers each of its jobs.
    fn run(&mut self, jobs: Vec<Job>) {
        let slots: Vec<i64> = jobs.iter().flat_map(|job| &job.slots).copied().collect();
        let masks = self.forward(&jobs, &slots);
        if masks.is_err() {
            // What these streams had is in no known condition.
            let _ = self.zero(&slots);
        }
        let mut first = 0;
        for job in jobs {
            let num_channels = job.slots.len() as i64;
            let answer = match &masks {
                Ok(masks) => masks.f_narrow(1, first, num_channels).map_err(|error| BackendError::run_failed(&error)),
                Err(error) => Err(BackendError::RunFailed { reason: error.to_string() }),
            };
            first += num_channels;
            let _ = job.answer.send(answer);
        }
    }

    /// Masks `[stem, channel, frame, bin]` of all channels of a batch, on the processor.
    fn forward(&mut self, jobs: &[Job], slots: &[i64]) -> Result<Tensor, BackendError> {
        device::prepare_thread();
        let _no_grad = tch::no_grad_guard();
        let failed = |error| BackendError::run_failed(&error);
        let places = self.places(slots).map_err(failed)?;
        let state =
            self.states.iter().map(|state| select(state, &places)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let together =
            |parts: Vec<&Tensor>| Tensor::f_cat(&parts, 0).and_then(|all| all.f_to_device(self.network.device));
        let spectrum = together(jobs.iter().map(|job| &job.spectrum).collect()).map_err(failed)?;
        let asked: Vec<&Tensor> = jobs.iter().filter_map(|job| job.embedding.as_ref()).collect();
        let embedding = if asked.is_empty() { None } else { Some(together(asked).map_err(failed)?) };
        let (masks, state) = self.network.forward(spectrum, state, embedding)?;
        for (kept, new) in self.states.iter_mut().zip(&state) {
            if kept.numel() > 0 {
                let _ = kept.f_index_copy_(0, &places, new).map_err(failed)?;
            }
        }
        masks.f_to_device(Device::Cpu).map_err(failed)
    }
}

/// The rows of `state` at `places`. Of a state without values, that of a model without look-ahead, as many.
fn select(state: &Tensor, places: &Tensor) -> Result<Tensor, tch::TchError> {
    if state.numel() > 0 { state.f_index_select(0, places) } else { state.f_narrow(0, 0, places.size()[0]) }
}
