//! Streams through models on the processor: of all that wait in this process as many are run at a time as there are processors, those of one
//! model together.
//!
//! A batch fetches weights once, and launches each of a call's hundreds of operations once: eight streams of `music-5` take four fifths of what
//! they take one by one, of `live-1`, whose calls are short, half to three quarters (`python -m underscore_training.evaluate.batched FILE
//! --streams 1 8`).
//!
//! One pool for all models: calls of two of them on one processor would each take twice as long, and be late together. Who has the least time to
//! wait is next, whatever its model.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tch::Tensor;

use crate::error::BackendError;
use crate::inference::Inference;
use crate::network::Network;
use crate::queue::Size;
use crate::turns::Turns;
use crate::urgency::Urgency;

/// A call of one stream, `[channel, ...]` each, as [`Network::forward`] takes it.
struct Call {
    network: Arc<Network>,
    spectrum: Tensor,
    state: Vec<Tensor>,
    embedding: Option<Tensor>,
}

/// What comes of it: masks `[stem, channel, frame, bin]`, next state.
type Found = (Tensor, Vec<Tensor>);

/// With whom calls of a model may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// With calls of its other streams.
    OfItsModel,
    /// By themselves: their state cannot lie beside another one.
    None,
}

/// Whose turn it is, of all streams of this process.
fn turns() -> &'static Turns<Call, Result<Found, BackendError>, Urgency> {
    static TURNS: OnceLock<Turns<Call, Result<Found, BackendError>, Urgency>> = OnceLock::new();
    TURNS.get_or_init(|| Turns::new(std::thread::available_parallelism().map_or(1, usize::from)))
}

/// Runs a call of one stream, with others where some wait. Arguments and results are those of [`Network::forward`].
pub(crate) fn run(
    network: &Arc<Network>,
    company: Company,
    spectrum: Tensor,
    state: Vec<Tensor>,
    embedding: Option<Tensor>,
) -> Result<Found, BackendError> {
    let &[num_channels, num_frames, ..] = spectrum.size().as_slice() else {
        return network.forward(spectrum, state, embedding);
    };
    let size = Size {
        // Its address: a call that waits keeps its network alive.
        model: (company == Company::OfItsModel).then_some(Arc::as_ptr(network) as usize),
        num_channels: num_channels as usize,
        num_frames: num_frames as usize,
    };
    // The engine grants a call half the time that its sound lasts, and more.
    let patience = Duration::from_secs_f64(0.5 * network.metadata.hop_s * num_frames as f64);
    let call = Call { network: network.clone(), spectrum, state, embedding };
    turns().run(call, size, Urgency::of_this_thread(), patience, run_batch).unwrap_or_else(|| {
        Err(BackendError::RunFailed { reason: "the thread that ran this call with others gave up".to_owned() })
    })
}

/// What comes of each of `calls`, which are of one network.
fn run_batch(mut calls: Vec<Call>) -> Vec<Result<Found, BackendError>> {
    if calls.len() <= 1 {
        let only = calls.pop();
        return only.map(|call| call.network.forward(call.spectrum, call.state, call.embedding)).into_iter().collect();
    }
    let num_calls = calls.len();
    let network = calls[0].network.clone();
    match run_together(&network, calls) {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => (0..num_calls).map(|_| Err(error.for_another())).collect(),
    }
}

fn run_together(network: &Network, calls: Vec<Call>) -> Result<Vec<Found>, BackendError> {
    let failed = |error| BackendError::run_failed(&error);
    let _inference = Inference::begin();
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
    let masks = masks.f_split_with_sizes(&sizes, 1).map_err(failed)?;
    let mut found: Vec<Found> = masks.into_iter().map(|masks| (masks, Vec::with_capacity(num_states))).collect();
    for state in state {
        // Copies: a stream that is silent from now on would keep the state of all others in memory.
        let parts = state.f_split_with_sizes_copy(&sizes, 0).map_err(failed)?;
        for ((_, its), part) in found.iter_mut().zip(parts) {
            its.push(part);
        }
    }
    Ok(found)
}
