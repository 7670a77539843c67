//! Buses that a host does not pass, or not as they are declared: silence to read, and memory that nobody reads to write to.
//!
//! Hosts may leave auxiliary buses out, and most do until the user routes them. What nice-plug 0.4.2 makes of that is told in the guards of the two
//! formats, which stand between it and the host.

use underscore_engine::touched_zeros;

use crate::block::MAX_CHANNELS;
use crate::buses::{NUM_INPUT_BUSES, NUM_OUTPUT_BUSES};

/// One bus as a host passes it: `num_channels` pointers, each to as many samples as the block has. Null where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bus {
    pub channels: *mut *mut f32,
    pub num_channels: usize,
}

impl Bus {
    /// Whether it has this many channels, at least, with memory behind each.
    ///
    /// # Safety
    /// There are `num_channels` pointers, or none at all.
    pub unsafe fn is_usable(&self, num_channels: usize) -> bool {
        num_channels > 0
            && self.num_channels >= num_channels
            && !self.channels.is_null()
            // SAFETY: by the caller's word, of at least as many.
            && unsafe { std::slice::from_raw_parts(self.channels, num_channels) }.iter().all(|channel| !channel.is_null())
    }
}

/// Memory for the buses of one instance. Made in `activate`.
pub struct SpareBuses {
    max_samples: usize,
    /// Never written to after it was made.
    silence: Vec<f32>,
    /// One stretch of `max_samples` per channel of every output bus; nobody reads it.
    sink: Vec<f32>,
    /// `[bus][channel]`
    sink_channels: [[*mut f32; MAX_CHANNELS]; NUM_OUTPUT_BUSES],
    silent_channels: [*mut f32; MAX_CHANNELS],
    /// `[bus][channel]`: one channel of the host's, for the two that are declared.
    doubled_channels: [[*mut f32; MAX_CHANNELS]; NUM_INPUT_BUSES],
}

impl SpareBuses {
    /// Without memory.
    pub fn new() -> Self {
        Self {
            max_samples: 0,
            silence: Vec::new(),
            sink: Vec::new(),
            sink_channels: [[std::ptr::null_mut(); MAX_CHANNELS]; NUM_OUTPUT_BUSES],
            silent_channels: [std::ptr::null_mut(); MAX_CHANNELS],
            doubled_channels: [[std::ptr::null_mut(); MAX_CHANNELS]; NUM_INPUT_BUSES],
        }
    }

    /// The longest block that there is memory for, samples.
    pub fn max_samples(&self) -> usize {
        self.max_samples
    }

    /// Memory for so many samples. What there is stays where it is enough: there are hosts that set up while they process, to change the mode.
    pub fn resize(&mut self, max_samples: usize) {
        if max_samples <= self.max_samples {
            return;
        }
        self.max_samples = max_samples;
        self.silence = touched_zeros(max_samples);
        self.sink = touched_zeros(max_samples * NUM_OUTPUT_BUSES * MAX_CHANNELS);
        self.silent_channels = [self.silence.as_mut_ptr(); MAX_CHANNELS];
        let mut stretches = self.sink.chunks_exact_mut(max_samples.max(1));
        for channel in self.sink_channels.iter_mut().flatten() {
            *channel = stretches.next().map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr);
        }
    }

    /// A full set of the buses that are declared: those of the host where it has them, else silence and memory. Main buses have `num_main_channels`,
    /// at most [`MAX_CHANNELS`], all others as many as that; what a host has beyond is left alone. Real-time safe.
    ///
    /// # Safety
    /// Of each bus there are as many channels as it says, or none at all.
    pub unsafe fn complete(
        &mut self,
        num_main_channels: usize,
        input: impl Fn(usize) -> Option<Bus>,
        output: impl Fn(usize) -> Option<Bus>,
    ) -> ([Bus; NUM_INPUT_BUSES], [Bus; NUM_OUTPUT_BUSES]) {
        let declared = |place: usize| if place == 0 { num_main_channels } else { MAX_CHANNELS };
        let inputs = std::array::from_fn(|place| {
            let num_channels = declared(place);
            // SAFETY: by the caller's word.
            let has = |bus: &Bus, num_channels: usize| unsafe { bus.is_usable(num_channels) };
            match input(place) {
                Some(bus) if has(&bus, num_channels) => Bus { num_channels, ..bus },
                // The wrapper's layouts have stereo sidechains only, and hosts send mono all the same.
                Some(bus) if has(&bus, 1) => {
                    // SAFETY: usable, so there is a pointer to its first channel.
                    self.doubled_channels[place] = [unsafe { *bus.channels }; MAX_CHANNELS];
                    Bus { channels: self.doubled_channels[place].as_mut_ptr(), num_channels }
                }
                // Silence of the block's own length: of a bus without channels the wrapper would pass on the last length it had.
                _ => Bus { channels: self.silent_channels.as_mut_ptr(), num_channels },
            }
        });
        let outputs = std::array::from_fn(|place| {
            let num_channels = declared(place);
            match output(place) {
                // SAFETY: by the caller's word.
                Some(bus) if unsafe { bus.is_usable(num_channels) } => Bus { num_channels, ..bus },
                _ => Bus { channels: self.sink_channels[place].as_mut_ptr(), num_channels },
            }
        });
        (inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 4;

    /// The first sample of each channel.
    fn heard<const N: usize>(buses: [Bus; N]) -> [Vec<f32>; N] {
        // SAFETY: of each bus there are as many channels as it says, with memory behind each.
        buses.map(|bus| (0..bus.num_channels).map(|channel| unsafe { **bus.channels.add(channel) }).collect())
    }

    fn bus(channels: &mut [*mut f32]) -> Bus {
        Bus { channels: channels.as_mut_ptr(), num_channels: channels.len() }
    }

    #[test]
    fn mono_is_heard_on_both_channels_and_what_is_not_there_is_silence() {
        let (mut left, mut right) = ([0.25_f32; LEN], [0.5_f32; LEN]);
        let mut stereo = [left.as_mut_ptr(), right.as_mut_ptr()];
        let mut mono = [right.as_mut_ptr()];
        let mut torn = [left.as_mut_ptr(), std::ptr::null_mut()];
        let (stereo, mono, torn) = (bus(&mut stereo), bus(&mut mono), bus(&mut torn));
        let mut spare = SpareBuses::new();
        spare.resize(LEN);
        let mut inputs_of = |main: Option<Bus>, side: Option<Bus>| {
            // SAFETY: all of these live, and have as many channels as they say.
            heard(unsafe { spare.complete(2, |place| [main, side][place], |place| (place == 0).then_some(stereo)) }.0)
        };
        assert_eq!(inputs_of(Some(stereo), Some(stereo)), [[0.25, 0.5], [0.25, 0.5]]);
        assert_eq!(inputs_of(Some(mono), Some(mono)), [[0.5, 0.5], [0.5, 0.5]]);
        assert_eq!(inputs_of(Some(stereo), None), [[0.25, 0.5], [0.0, 0.0]]);
        assert_eq!(inputs_of(None, Some(torn)), [[0.0, 0.0], [0.25, 0.25]]);
        let none = Bus { channels: std::ptr::null_mut(), num_channels: 0 };
        assert_eq!(inputs_of(Some(stereo), Some(none)), [[0.25, 0.5], [0.0, 0.0]]);
    }

    #[test]
    fn channels_beyond_those_that_are_declared_are_left_alone() {
        let mut samples = [0.25_f32; LEN];
        let mut many = [samples.as_mut_ptr(); 6];
        let six = bus(&mut many);
        let mut spare = SpareBuses::new();
        spare.resize(LEN);
        for num_main_channels in [1, 2] {
            // SAFETY: it lives, and has as many channels as it says.
            let (inputs, outputs) = unsafe { spare.complete(num_main_channels, |_| Some(six), |_| Some(six)) };
            assert_eq!(inputs.map(|bus| bus.num_channels), [num_main_channels, 2]);
            assert_eq!(outputs.map(|bus| bus.num_channels), [num_main_channels, 2, 2, 2, 2]);
        }
    }

    #[test]
    fn outputs_that_the_host_has_are_its_own_and_no_two_others_share_memory() {
        let (mut left, mut right) = ([0.0_f32; LEN], [0.0_f32; LEN]);
        let mut channels = [left.as_mut_ptr(), right.as_mut_ptr()];
        let its = bus(&mut channels);
        let mut spare = SpareBuses::new();
        spare.resize(LEN);
        // SAFETY: it lives, and has as many channels as it says.
        let (_, outputs) = unsafe { spare.complete(2, |_| None, |place| (place % 2 == 0).then_some(its)) };
        assert_eq!([outputs[0], outputs[2], outputs[4]], [its; 3]);
        // SAFETY: two channels each, with memory behind both.
        let of = |bus: Bus| [0, 1].map(|channel| unsafe { *bus.channels.add(channel) });
        let mut places: Vec<_> = [outputs[1], outputs[3]].into_iter().flat_map(of).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[1] as usize - pair[0] as usize >= LEN * size_of::<f32>()));
    }
}
