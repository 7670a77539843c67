//! Streams through one model on the processor, run together where more of them wait than there are processors.
//!
//! A batch fetches weights once, and launches each of a call's hundreds of operations once: eight streams of `music-5` take four fifths of what
//! they take one by one, of `live-1`, whose calls are short, half to three quarters (`python -m underscore_training.evaluate.batched FILE
//! --streams 1 8`). So at most one call per processor runs at a time. Who finds a processor free runs its own call, as if there were no others;
//! who does not, waits, and the next one that is done hands its turn on, with a share of what waits by then, to the one that has waited longest.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::Tensor;

use crate::error::BackendError;
use crate::network::Network;
use crate::queue::{Size, take_batch};

/// Most channels in a batch: beyond that its memory leaves the caches, and its first call waits for the last.
const MOST_CHANNELS: usize = 32;

/// A call of one stream, `[channel, ...]` each, as [`Network::forward`] takes it.
struct Call {
    spectrum: Tensor,
    state: Vec<Tensor>,
    embedding: Option<Tensor>,
}

/// What comes of it: masks `[stem, channel, frame, bin]`, next state.
type Found = (Tensor, Vec<Tensor>);

/// A call whose thread waits.
struct Waiting {
    call: Call,
    turn: SyncSender<Turn>,
}

/// What a waiting thread is told.
enum Turn {
    /// Somebody ran its call.
    Done(Result<Found, BackendError>),
    /// It is to run these; its own is the first.
    Run(Vec<Waiting>),
}

/// Who runs and who waits, of all streams of one model.
pub(crate) struct Pool {
    queue: Mutex<Queue>,
    num_processors: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Processors that run a call, or several.
    num_in_use: usize,
}

impl Pool {
    /// For `num_processors` calls or batches at a time.
    pub(crate) fn new(num_processors: usize) -> Self {
        Self { queue: Mutex::default(), num_processors }
    }

    /// Runs a call of one stream, with others where some wait. Arguments and results are those of [`Network::forward`]; `embedding` is
    /// `[channel, embedding]`.
    pub(crate) fn run(
        &self,
        network: &Network,
        spectrum: Tensor,
        state: Vec<Tensor>,
        embedding: Option<Tensor>,
    ) -> Result<Found, BackendError> {
        let call = Call { spectrum, state, embedding };
        match self.enter(call) {
            Entered::Free(call) => {
                let _in_use = InUse(self);
                network.forward(call.spectrum, call.state, call.embedding)
            }
            Entered::Waits(turn) => match turn.recv() {
                Ok(Turn::Done(found)) => found,
                Ok(Turn::Run(batch)) => {
                    let _in_use = InUse(self);
                    run_together(network, batch)
                }
                Err(_) => Err(abandoned()),
            },
        }
    }

    fn enter(&self, call: Call) -> Entered {
        let mut queue = self.lock();
        if queue.num_in_use < self.num_processors {
            queue.num_in_use += 1;
            return Entered::Free(call);
        }
        let (turn, its_turn) = sync_channel(1);
        queue.waiting.push_back(Waiting { call, turn });
        Entered::Waits(its_turn)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Entered {
    /// The calling thread is to run it.
    Free(Call),
    /// It is to wait for this.
    Waits(Receiver<Turn>),
}

/// A processor in use, handed on to those that wait when this is dropped.
struct InUse<'a>(&'a Pool);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        // The others take theirs of what is left: batches become smaller, so that what follows a call is done for the first while the last
        // are run. In two equal ones 20 instances of `Music 5` on two processors had late frames, so they have none.
        let share = queue.waiting.len().div_ceil(self.0.num_processors);
        let batch = take_batch(&mut queue.waiting, share, MOST_CHANNELS, |waiting| waiting.call.size());
        let Some(first) = batch.first() else {
            queue.num_in_use -= 1;
            return;
        };
        let turn = first.turn.clone();
        drop(queue);
        // It waits for nothing else.
        let _ = turn.send(Turn::Run(batch));
    }
}

impl Call {
    fn size(&self) -> Size {
        let shape = self.spectrum.size();
        Size { num_channels: shape[0] as usize, num_frames: shape[1] as usize, is_alone: false }
    }
}

/// Runs a batch, answers all but the first of its calls, and returns what came of that.
fn run_together(network: &Network, batch: Vec<Waiting>) -> Result<Found, BackendError> {
    let (calls, turns): (Vec<Call>, Vec<SyncSender<Turn>>) =
        batch.into_iter().map(|waiting| (waiting.call, waiting.turn)).unzip();
    let mut found = match forward(network, calls) {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => turns.iter().map(|_| Err(error.for_another())).collect::<VecDeque<_>>(),
    };
    let of_first = found.pop_front();
    for (turn, found) in turns.iter().skip(1).zip(found) {
        let _ = turn.send(Turn::Done(found));
    }
    of_first.unwrap_or_else(|| Err(abandoned()))
}

/// What comes of each of `calls`.
fn forward(network: &Network, calls: Vec<Call>) -> Result<VecDeque<Found>, BackendError> {
    let failed = |error| BackendError::run_failed(&error);
    let _no_grad = tch::no_grad_guard();
    let sizes: Vec<i64> = calls.iter().map(|call| call.spectrum.size()[0]).collect();
    let side_by_side = |parts: Vec<&Tensor>| Tensor::f_cat(&parts, 0).map_err(failed);
    let spectrum = side_by_side(calls.iter().map(|call| &call.spectrum).collect())?;
    let num_states = network.metadata.state_shapes.len();
    let states = (0..num_states).map(|idx| side_by_side(calls.iter().map(|call| &call.state[idx]).collect()));
    let state = states.collect::<Result<Vec<_>, _>>()?;
    let asked: Vec<&Tensor> = calls.iter().filter_map(|call| call.embedding.as_ref()).collect();
    let embedding = if asked.is_empty() { None } else { Some(side_by_side(asked)?) };
    drop(calls);
    let (masks, state) = network.forward(spectrum, state, embedding)?;
    let mut found: VecDeque<Found> =
        masks.f_split_with_sizes(&sizes, 1).map_err(failed)?.into_iter().map(|masks| (masks, Vec::new())).collect();
    for state in state {
        // Copies: a stream that is silent from now on would keep the state of all others in memory.
        let parts = state.f_split_with_sizes_copy(&sizes, 0).map_err(failed)?;
        for ((_, its), part) in found.iter_mut().zip(parts) {
            its.push(part);
        }
    }
    Ok(found)
}

fn abandoned() -> BackendError {
    BackendError::RunFailed { reason: "the thread that ran this call with others gave up".to_owned() }
}
