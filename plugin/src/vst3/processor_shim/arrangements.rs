//! Answers a host that asks for channels.
//!
//! The wrapper compares each auxiliary bus with the bus before it, so it refuses a layout whose buses differ and finds one whose buses are all alike. It is
//! therefore asked for the layout of the main bus alone, and the answer says whether the others become what the host asked for.

use std::sync::atomic::Ordering;

use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{IAudioProcessor, SpeakerArrangement};
use nice_plug::wrapper::vst3::vst3::Steinberg::{kResultFalse, kResultOk, tresult};

use super::{NUM_INPUTS, NUM_OUTPUTS, ProcessorShim};
use crate::buses::{NUM_INPUT_BUSES, NUM_OUTPUT_BUSES};

/// `kResultOk` where all buses are as they are asked for, or where the host may treat them so. Where only the main ones are, `kResultFalse`, upon which
/// the interface has the host look at what the others have become.
pub unsafe extern "system" fn set_bus_arrangements(
    this: *mut IAudioProcessor,
    inputs: *mut SpeakerArrangement,
    num_inputs: i32,
    outputs: *mut SpeakerArrangement,
    num_outputs: i32,
) -> tresult {
    // SAFETY: only objects with a shim have this function in their table; the arrangements are as many as the host says.
    unsafe {
        let shim = ProcessorShim::of(this);
        let original = (*shim.original.get()).setBusArrangements;
        if inputs.is_null() || outputs.is_null() || (num_inputs, num_outputs) != (NUM_INPUTS, NUM_OUTPUTS) {
            return original(this, inputs, num_inputs, outputs, num_outputs);
        }
        let asked_inputs = std::slice::from_raw_parts(inputs, NUM_INPUT_BUSES);
        let asked_outputs = std::slice::from_raw_parts(outputs, NUM_OUTPUT_BUSES);
        let num_channels = asked_outputs[0].count_ones();
        if shim.is_active.load(Ordering::Acquire) && num_channels as usize != shim.num_channels.load(Ordering::Acquire)
        {
            // What is active has its memory by the layout of before, which the wrapper would change all the same.
            return kResultFalse;
        }
        let (mut as_main_input, mut as_main_output) =
            ([asked_inputs[0]; NUM_INPUT_BUSES], [asked_outputs[0]; NUM_OUTPUT_BUSES]);
        let answer = original(this, as_main_input.as_mut_ptr(), NUM_INPUTS, as_main_output.as_mut_ptr(), NUM_OUTPUTS);
        // A mono sidechain is heard as well. Hosts ask for nothing where they do not use a bus.
        let is_as_asked = asked_inputs.iter().all(|bus| bus.count_ones() <= num_channels)
            && asked_outputs.iter().all(|bus| [0, num_channels].contains(&bus.count_ones()));
        if answer == kResultOk && !is_as_asked { kResultFalse } else { answer }
    }
}

#[cfg(test)]
mod tests {
    use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{
        IAudioProcessorTrait, IComponent, IComponentTrait, ProcessData,
    };

    use super::super::super::test_instance;
    use super::super::buses::bus_of;
    use super::super::constants::{INPUT, OUTPUT, PLAYS};
    use super::*;
    use crate::host_link::spare_buses::Bus;

    /// Channels that are asked for on the inputs, and on the outputs.
    type Request = ([u32; NUM_INPUT_BUSES], [u32; NUM_OUTPUT_BUSES]);

    const MONO: Request = ([1; NUM_INPUT_BUSES], [1; NUM_OUTPUT_BUSES]);
    const STEREO: Request = ([2; NUM_INPUT_BUSES], [2; NUM_OUTPUT_BUSES]);

    /// # Safety
    /// Called as a host does.
    unsafe fn ask(processor: &impl IAudioProcessorTrait, (inputs, outputs): Request) -> tresult {
        let (mut inputs, mut outputs) = (inputs.map(|num| (1_u64 << num) - 1), outputs.map(|num| (1_u64 << num) - 1));
        // SAFETY: as many as are said.
        unsafe { processor.setBusArrangements(inputs.as_mut_ptr(), NUM_INPUTS, outputs.as_mut_ptr(), NUM_OUTPUTS) }
    }

    /// Channels that all buses have.
    ///
    /// # Safety
    /// Called as a host does.
    unsafe fn channels(processor: &impl IAudioProcessorTrait) -> Request {
        let num = |direction: i32, place: usize| {
            let mut arrangement = 0;
            let place = i32::try_from(place).expect("a place among the buses");
            // SAFETY: by the caller's word, with a place to write to.
            assert_eq!(unsafe { processor.getBusArrangement(direction, place, &raw mut arrangement) }, kResultOk);
            arrangement.count_ones()
        };
        (std::array::from_fn(|place| num(INPUT, place)), std::array::from_fn(|place| num(OUTPUT, place)))
    }

    #[test]
    fn the_main_bus_decides_between_mono_and_stereo_and_a_host_is_told_where_other_buses_are_not_as_it_asked() {
        let instance = test_instance::instance();
        let processor = instance.as_com_ref::<IAudioProcessor>().expect("an audio processor");
        // SAFETY: calls as a host makes them, on one thread.
        unsafe {
            assert_eq!(channels(&processor), STEREO, "of a host that asks for nothing");
            for (what, request, answer, expected) in [
                ("mono", MONO, kResultOk, MONO),
                ("stereo", STEREO, kResultOk, STEREO),
                ("mono, stems as they were", ([1, 2], [1, 2, 2, 2, 2]), kResultFalse, MONO),
                ("stereo, stems as they were", ([2, 1], [2, 1, 1, 1, 1]), kResultFalse, STEREO),
                ("mono alone", ([1, 0], [1, 0, 0, 0, 0]), kResultOk, MONO),
                ("a mono sidechain", ([2, 1], [2; NUM_OUTPUT_BUSES]), kResultOk, STEREO),
                ("a stem of its own width", (STEREO.0, [2, 2, 2, 2, 1]), kResultFalse, STEREO),
                ("surround", ([6; NUM_INPUT_BUSES], [6; NUM_OUTPUT_BUSES]), kResultFalse, STEREO),
                ("mono to stereo", ([1; NUM_INPUT_BUSES], [2; NUM_OUTPUT_BUSES]), kResultFalse, STEREO),
            ] {
                assert_eq!((ask(&processor, request), channels(&processor)), (answer, expected), "{what}");
            }
        }
    }

    #[test]
    fn a_mono_track_is_taken_apart_on_mono_buses_and_keeps_them_while_it_is_active() {
        const LEN: usize = 256;
        const NUM_SAMPLES: i32 = 256;
        let instance = test_instance::instance();
        let processor = instance.as_com_ref::<IAudioProcessor>().expect("an audio processor");
        let component = instance.as_com_ref::<IComponent>().expect("a component");
        let mut setup = test_instance::setup(PLAYS, NUM_SAMPLES);
        // SAFETY: calls as a host makes them, on one thread, with memory that lives.
        unsafe {
            assert_eq!(ask(&processor, MONO), kResultOk);
            assert_eq!(processor.setupProcessing(&raw mut setup), kResultOk);
            assert_eq!(component.setActive(1), kResultOk);
            assert_eq!((ask(&processor, STEREO), channels(&processor)), (kResultFalse, MONO), "it is active");
            let latency_samples = processor.getLatencySamples() as usize;
            let mut heard = vec![Vec::new(); NUM_OUTPUT_BUSES];
            // A host that keeps stereo memory on a mono track is given no more than mono.
            for (begin, num_given) in (0..=latency_samples).step_by(LEN).zip([1, 2].into_iter().cycle()) {
                let mut input = [0.0_f32; LEN];
                input[0] = if begin == 0 { 0.5 } else { 0.0 };
                let mut memory = [[[9.0_f32; LEN]; 2]; NUM_OUTPUT_BUSES];
                let mut input_channels = [input.as_mut_ptr(); 2];
                let mut output_channels =
                    memory.each_mut().map(|bus| bus.each_mut().map(|channel| channel.as_mut_ptr()));
                let bus = |channels: &mut [*mut f32; 2]| {
                    bus_of(Bus { channels: channels.as_mut_ptr(), num_channels: num_given }, 0)
                };
                let mut inputs = [bus(&mut input_channels)];
                let mut outputs = output_channels.each_mut().map(bus);
                let mut data: ProcessData = std::mem::zeroed();
                data.numSamples = NUM_SAMPLES;
                (data.numInputs, data.inputs) = (1, inputs.as_mut_ptr());
                (data.numOutputs, data.outputs) = (NUM_OUTPUTS, outputs.as_mut_ptr());
                assert_eq!(processor.process(&raw mut data), kResultOk);
                for (heard, bus) in heard.iter_mut().zip(memory) {
                    heard.extend(bus[0]);
                    assert_eq!(bus[1], [9.0; LEN], "there is no second channel");
                }
            }
            assert_eq!(component.setActive(0), kResultOk);
            let main = heard.remove(0);
            assert_eq!((main[latency_samples], main.iter().filter(|sample| **sample != 0.0).count()), (0.5, 1));
            for (at, main) in main.iter().enumerate() {
                let sum: f32 = heard.iter().map(|stem| stem[at]).sum();
                assert!((sum - main).abs() < 1e-6, "{sum} of {main} at {at}");
            }
            assert_eq!((ask(&processor, STEREO), channels(&processor)), (kResultOk, STEREO), "it is not any more");
        }
    }
}
