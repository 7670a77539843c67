//! Completes the buses of a block.
//!
//! A host may deactivate auxiliary buses, and most do until the user routes them. It then passes fewer buses, buses without channels, or null pointers.
//! nice-plug 0.4.2 takes a block with any such output for a parameter flush and leaves it as it is, and writes to a null channel. So every declared bus is
//! there: the host's own where it has them, spare memory where it has not.

use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{AudioBusBuffers, AudioBusBuffers__type0, ProcessData};

use super::{NUM_INPUTS, NUM_OUTPUTS};
use crate::buses::{NUM_INPUT_BUSES, NUM_OUTPUT_BUSES};
use crate::host_link::spare_buses::{Bus, Fit, SpareBuses, Widths};

/// Memory for the buses of one block, in the interface's own type.
pub struct Buses {
    spare: SpareBuses,
    inputs: [AudioBusBuffers; NUM_INPUT_BUSES],
    outputs: [AudioBusBuffers; NUM_OUTPUT_BUSES],
}

impl Buses {
    pub fn new() -> Self {
        let none = AudioBusBuffers {
            numChannels: 0,
            silenceFlags: 0,
            __field0: AudioBusBuffers__type0 { channelBuffers32: std::ptr::null_mut() },
        };
        Self { spare: SpareBuses::new(), inputs: [none; NUM_INPUT_BUSES], outputs: [none; NUM_OUTPUT_BUSES] }
    }

    /// Makes room for blocks of up to `max_samples`.
    pub fn resize(&mut self, max_samples: usize) {
        self.spare.resize(max_samples);
    }

    /// Points `data` to a full set of buses of `num_channels` each, or to none where there is no main output to write to. `false` where that cannot be.
    ///
    /// # Safety
    /// The buses of `data` are as many as it says, and each has as many channels and samples.
    pub unsafe fn complete(&mut self, num_channels: usize, data: &mut ProcessData) -> bool {
        // SAFETY: as many as the data says, by the caller's word.
        let (inputs, outputs) = unsafe { (buses(data.inputs, data.numInputs), buses(data.outputs, data.numOutputs)) };
        let widths = Widths { main: num_channels, aux: num_channels };
        let num_samples = usize::try_from(data.numSamples).unwrap_or(0);
        let (input, output) = (|place: usize| inputs.get(place).map(bus), |place: usize| outputs.get(place).map(bus));
        // SAFETY: by the caller's word.
        let (full_inputs, full_outputs) = match unsafe { self.spare.complete(widths, num_samples, input, output) } {
            Fit::Full(inputs, outputs) => (inputs, outputs),
            Fit::AsItIs => return true,
            Fit::TooLong => return false,
            Fit::NoMain => {
                // Params and events only, which the wrapper knows by there being no outputs.
                data.numOutputs = 0;
                return true;
            }
        };
        let flags = |own: &[AudioBusBuffers], place: usize, full: Bus| {
            own.get(place).filter(|own| bus(own).channels == full.channels).map_or(0, |own| own.silenceFlags)
        };
        for (place, (own, full)) in self.inputs.iter_mut().zip(full_inputs).enumerate() {
            *own = bus_of(full, flags(inputs, place, full));
        }
        for (place, (own, full)) in self.outputs.iter_mut().zip(full_outputs).enumerate() {
            *own = bus_of(full, flags(outputs, place, full));
        }
        data.inputs = self.inputs.as_mut_ptr();
        data.numInputs = NUM_INPUTS;
        data.outputs = self.outputs.as_mut_ptr();
        data.numOutputs = NUM_OUTPUTS;
        true
    }
}

fn bus(of: &AudioBusBuffers) -> Bus {
    // SAFETY: both fields of the union are pointers to pointers, and only blocks of 32 bits are asked for.
    let channels = unsafe { of.__field0.channelBuffers32 };
    Bus { channels, num_channels: usize::try_from(of.numChannels).unwrap_or(0) }
}

pub fn bus_of(of: Bus, silence_flags: u64) -> AudioBusBuffers {
    AudioBusBuffers {
        numChannels: i32::try_from(of.num_channels).unwrap_or(i32::MAX),
        silenceFlags: silence_flags,
        __field0: AudioBusBuffers__type0 { channelBuffers32: of.channels },
    }
}

/// # Safety
/// `first` is null or the first of at least `num` buses.
unsafe fn buses<'a>(first: *const AudioBusBuffers, num: i32) -> &'a [AudioBusBuffers] {
    if first.is_null() || num <= 0 {
        return &[];
    }
    // SAFETY: by the caller's word.
    unsafe { std::slice::from_raw_parts(first, num as usize) }
}
