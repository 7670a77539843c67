//! Streams on a card whose states cannot lie side by side, because some of them belong to no channel: each call is run by itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tch::{Device, Tensor};

use crate::batcher::{Job, Streams};
use crate::error::BackendError;
use crate::inference::Inference;
use crate::network::Network;

/// The states of all streams of one model. A stream has one slot, whatever its channels.
pub(crate) struct OwnStates {
    network: Arc<Network>,
    /// By slot: in the order and shapes of the metadata. Zero, where there is none.
    states: HashMap<i64, Vec<Tensor>>,
    num_slots: i64,
}

impl OwnStates {
    pub(crate) fn new(network: Arc<Network>) -> Self {
        Self { network, states: HashMap::new(), num_slots: 0 }
    }

    /// Masks `[stem, channel, frame, bin]`, on the processor. After an error the state is zero.
    fn forward(&mut self, slot: i64, spectrum: Tensor, embedding: Option<Tensor>) -> Result<Tensor, BackendError> {
        let _inference = Inference::begin();
        let state = match self.states.remove(&slot) {
            Some(state) => state,
            None => self.network.zero_state(spectrum.size()[0] as usize)?,
        };
        let (masks, state) = self.network.forward(spectrum, state, embedding)?;
        // A card says of much only now that it failed.
        let masks = masks.f_to_device(Device::Cpu).map_err(|error| BackendError::run_failed(&error))?;
        self.states.insert(slot, state);
        Ok(masks)
    }
}

impl Streams for OwnStates {
    fn open(&mut self, num_channels: usize) -> Result<Vec<i64>, BackendError> {
        // Now rather than with the first call: on a card that cannot be used nothing is to be opened.
        let state = self.network.zero_state(num_channels)?;
        let slot = self.num_slots;
        self.num_slots += 1;
        self.states.insert(slot, state);
        Ok(vec![slot])
    }

    fn reset(&mut self, slots: Vec<i64>) {
        for slot in slots {
            self.states.remove(&slot);
        }
    }

    fn close(&mut self, slots: Vec<i64>) {
        self.reset(slots);
    }

    fn take_batch(&mut self, waiting: &mut VecDeque<Job>) -> Vec<Job> {
        waiting.pop_front().into_iter().collect()
    }

    fn run(&mut self, jobs: Vec<Job>) {
        for Job { spectrum, slots, embedding, answer, .. } in jobs {
            // Always one: see `open`.
            if let [slot] = slots[..] {
                let _ = answer.send(self.forward(slot, spectrum, embedding));
            }
        }
    }
}
