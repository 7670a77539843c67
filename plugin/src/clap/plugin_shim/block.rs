//! A host's block with all ports.
//!
//! nice-plug 0.4.2 reads a port that is one beyond those that are there, and does nothing at all where an auxiliary output is missing.

use std::ptr::{null, null_mut};

use clap_sys::audio_buffer::clap_audio_buffer;
use clap_sys::process::clap_process;

use super::events::Events;
use crate::buses::{NUM_INPUT_BUSES, NUM_OUTPUT_BUSES};
use crate::host_link::spare_buses::{Bus, Fit, SpareBuses, Widths};

/// What one block is completed with.
pub struct Block {
    pub spare: SpareBuses,
    /// None before the first activation that succeeds.
    pub widths: Option<Widths>,
    inputs: [clap_audio_buffer; NUM_INPUT_BUSES],
    outputs: [clap_audio_buffer; NUM_OUTPUT_BUSES],
    pub events: Events,
}

impl Block {
    pub fn new() -> Self {
        let none = clap_audio_buffer {
            data32: null_mut(),
            data64: null_mut(),
            channel_count: 0,
            latency: 0,
            constant_mask: 0,
        };
        Self {
            spare: SpareBuses::new(),
            widths: None,
            inputs: [none; NUM_INPUT_BUSES],
            outputs: [none; NUM_OUTPUT_BUSES],
            events: Events::new(),
        }
    }

    /// Points `block` to a full set of ports; to none where there is no main output to write to. `false` where that cannot be: before the first
    /// activation, and for a block that is longer than was announced, unless the host has all ports itself.
    ///
    /// # Safety
    /// The ports of `block` are as many as it says, and each has as many channels.
    pub unsafe fn complete(&mut self, block: &mut clap_process) -> bool {
        let Some(widths) = self.widths else { return false };
        // SAFETY: as many as the block says, by the caller's word.
        let (inputs, outputs) = unsafe {
            (ports(block.audio_inputs, block.audio_inputs_count), ports(block.audio_outputs, block.audio_outputs_count))
        };
        let (input, output) = (|place: usize| inputs.get(place).map(bus), |place: usize| outputs.get(place).map(bus));
        let num_samples = block.frames_count as usize;
        // SAFETY: by the caller's word.
        let (full_inputs, full_outputs) = match unsafe { self.spare.complete(widths, num_samples, input, output) } {
            Fit::Full(inputs, outputs) => (inputs, outputs),
            Fit::AsItIs => return true,
            Fit::TooLong => return false,
            Fit::NoMain => {
                // The wrapper looks at params and events only.
                (block.audio_inputs, block.audio_inputs_count) = (null(), 0);
                (block.audio_outputs, block.audio_outputs_count) = (null_mut(), 0);
                return true;
            }
        };
        for (own, full) in self.inputs.iter_mut().zip(full_inputs).chain(self.outputs.iter_mut().zip(full_outputs)) {
            (own.data32, own.channel_count) = (full.channels, full.num_channels as u32);
        }
        (block.audio_inputs, block.audio_inputs_count) = (self.inputs.as_ptr(), NUM_INPUT_BUSES as u32);
        (block.audio_outputs, block.audio_outputs_count) = (self.outputs.as_mut_ptr(), NUM_OUTPUT_BUSES as u32);
        true
    }
}

/// # Safety
/// `first` is null or the first of at least `num` ports.
unsafe fn ports<'a>(first: *const clap_audio_buffer, num: u32) -> &'a [clap_audio_buffer] {
    // SAFETY: by the caller's word.
    if first.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(first, num as usize) } }
}

fn bus(of: &clap_audio_buffer) -> Bus {
    Bus { channels: of.data32, num_channels: of.channel_count as usize }
}
