//! Streams on a card whose states lie side by side, a channel to a slot: all that waits is one batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tch::{Device, Tensor};
use underscore_backend::Batching;

use crate::batch_limit::BatchLimit;
use crate::batcher::{Job, Streams, slots_of};
use crate::error::BackendError;
use crate::inference::Inference;
use crate::network::Network;
use crate::queue::{Size, take_batch};

/// Most channels in a batch. On an H200 400 of `Music 5` take twice as long as 200: from there on one batch is no better than two.
const MOST_CHANNELS: usize = 512;

/// Channels that the arena has room for at first. It doubles when they are taken.
const FIRST_SLOTS: i64 = 8;

/// Where the rows go that fill a batch up; see [`rows_for`]. No stream has this slot.
const SPARE_SLOT: i64 = 0;

/// So many rows has a batch of `num_channels`, the last ones without a meaning: few sizes, at most a quarter larger than need be, because cuDNN
/// looks for its way anew for each, which takes 10 to 30 ms, and keeps what it found.
fn rows_for(num_channels: usize) -> usize {
    let step = (num_channels.next_power_of_two() / 8).max(1);
    num_channels.next_multiple_of(step)
}

/// The states of all streams of one model.
pub(crate) struct Arena {
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

impl Streams for Arena {
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

    fn reset(&mut self, slots: Vec<i64>) {
        self.unclean.extend(slots);
    }

    fn close(&mut self, slots: Vec<i64>) {
        self.free.extend(slots);
    }

    fn take_batch(&mut self, waiting: &mut VecDeque<Job>) -> Vec<Job> {
        let most_channels = self.limit.num_channels(Instant::now());
        // All jobs of a batcher are of its one model.
        let size = |job: &Job| Size { model: Some(0), num_channels: job.slots.len(), num_frames: job.num_frames() };
        take_batch(waiting, usize::MAX, most_channels, size)
    }

    fn run(&mut self, jobs: Vec<Job>) {
        self.run_parts(jobs);
    }
}

impl Arena {
    /// Of `network`, whose states all belong to a channel.
    pub(crate) fn new(network: Arc<Network>) -> Self {
        let (states, free, unclean) = (Vec::new(), Vec::new(), Vec::new());
        Self { network, states, num_slots: 0, free, unclean, limit: BatchLimit::new(MOST_CHANNELS) }
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

    /// Runs a batch and answers each of its jobs. Whether any of them succeeded.
    fn run_parts(&mut self, mut jobs: Vec<Job>) -> bool {
        let slots = slots_of(&jobs);
        let (masks, next) = match self.forward(&jobs, &slots) {
            Ok(found) => found,
            // It may have been too large for the card's memory, and nobody has lost anything yet: in halves, at once.
            Err(BackendError::RunFailed { .. }) if jobs.len() > 1 => {
                let second = jobs.split_off(jobs.len() / 2);
                let has_some_success = self.run_parts(jobs) | self.run_parts(second);
                // A stream that is too large by itself fails in every batch: the others are to be spared all of these.
                if has_some_success {
                    self.limit.note_too_large(slots.len(), Instant::now());
                }
                return has_some_success;
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
        let is_alone = jobs.iter().any(|job| job.batching != Batching::ALLOWED);
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
