//! Buses that a host does not pass, or not as they are declared: silence to read, and memory that nobody reads to write to.
//!
//! Hosts may leave auxiliary buses out, and most do until the user routes them. The shims of the two formats
//! say what nice-plug 0.4.2 makes of that.
//!
//! Others pass all, and one and the same memory wherever nothing is connected (Ardour), or inputs that lie where another bus is written to. The framework
//! writes main outputs and clears the others before the plugin has read anything: so no two outputs share memory here, and what would be written over
//! is copied first.

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

/// Channels of all input buses, and of all output buses.
const NUM_INPUT_CHANNELS: usize = NUM_INPUT_BUSES * MAX_CHANNELS;
const NUM_OUTPUT_CHANNELS: usize = NUM_OUTPUT_BUSES * MAX_CHANNELS;

/// Channels of the buses that are declared, at most [`MAX_CHANNELS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    pub main: usize,
    /// Channels of every other bus.
    pub aux: usize,
}

impl Widths {
    fn at(self, place: usize) -> usize {
        if place == 0 { self.main } else { self.aux }
    }
}

/// What a block of the host's is to be processed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// These, all that are declared.
    Full([Bus; NUM_INPUT_BUSES], [Bus; NUM_OUTPUT_BUSES]),
    /// Its own: it is longer than was announced, and has all of them.
    AsItIs,
    /// Nothing: it is longer than was announced, and there is no memory for what it lacks.
    TooLong,
    /// Params and events alone: there is no main output to write to.
    NoMain,
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
    /// One stretch of `max_samples` per channel of every input bus: what would be written over before it is read.
    copies: Vec<f32>,
    /// `[bus][channel]`: what is passed of a bus of which the host's channels are not passed as they are.
    own_inputs: [[*mut f32; MAX_CHANNELS]; NUM_INPUT_BUSES],
    /// `[bus][channel]`
    own_outputs: [[*mut f32; MAX_CHANNELS]; NUM_OUTPUT_BUSES],
}

/// Whether two channels of `num_samples` share memory.
fn overlap(a: *mut f32, b: *mut f32, num_samples: usize) -> bool {
    a.addr().abs_diff(b.addr()) < num_samples * size_of::<f32>()
}

/// The channels of a bus.
///
/// # Safety
/// There are as many as it says.
unsafe fn channels_of(bus: &Bus) -> [*mut f32; MAX_CHANNELS] {
    let mut found = [std::ptr::null_mut(); MAX_CHANNELS];
    for (place, channel) in found.iter_mut().enumerate().take(bus.num_channels) {
        // SAFETY: by the caller's word.
        *channel = unsafe { *bus.channels.add(place) };
    }
    found
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
            copies: Vec::new(),
            own_inputs: [[std::ptr::null_mut(); MAX_CHANNELS]; NUM_INPUT_BUSES],
            own_outputs: [[std::ptr::null_mut(); MAX_CHANNELS]; NUM_OUTPUT_BUSES],
        }
    }

    /// Memory for so many samples. What there is stays where it is enough: there are hosts that set up while they process, to change the mode.
    pub fn resize(&mut self, max_samples: usize) {
        if max_samples <= self.max_samples {
            return;
        }
        self.max_samples = max_samples;
        self.silence = touched_zeros(max_samples);
        self.sink = touched_zeros(max_samples * NUM_OUTPUT_CHANNELS);
        self.copies = touched_zeros(max_samples * NUM_INPUT_CHANNELS);
        self.silent_channels = [self.silence.as_mut_ptr(); MAX_CHANNELS];
        let mut stretches = self.sink.chunks_exact_mut(max_samples.max(1));
        for channel in self.sink_channels.iter_mut().flatten() {
            *channel = stretches.next().map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr);
        }
    }

    /// A full set of the buses that are declared, of these widths: those of the host where it has them, else silence and memory; what a host has
    /// beyond is left alone. No output shares memory with another, nor with an input, unless it is the main bus' own channel in its place. Real-time
    /// safe.
    ///
    /// # Safety
    /// Of each bus there are as many channels as it says, or none at all, and in each `num_samples`.
    pub unsafe fn complete(
        &mut self,
        widths: Widths,
        num_samples: usize,
        input: impl Fn(usize) -> Option<Bus>,
        output: impl Fn(usize) -> Option<Bus>,
    ) -> Fit {
        // SAFETY: by the caller's word.
        let has = |bus: Option<Bus>, num_channels: usize| bus.is_some_and(|bus| unsafe { bus.is_usable(num_channels) });
        if !has(output(0), widths.main) {
            return Fit::NoMain;
        }
        if num_samples > self.max_samples {
            // With no channel beyond, for which the wrapper would have no place.
            let is_declared = |place: usize, bus: Option<Bus>| {
                has(bus, widths.at(place)) && bus.is_some_and(|bus| bus.num_channels == widths.at(place))
            };
            let has_all = (0..NUM_INPUT_BUSES).all(|place| is_declared(place, input(place)))
                && (0..NUM_OUTPUT_BUSES).all(|place| is_declared(place, output(place)));
            return if has_all { Fit::AsItIs } else { Fit::TooLong };
        }
        let mut inputs = std::array::from_fn(|place| {
            let num_channels = widths.at(place);
            // SAFETY: by the caller's word.
            let has = |bus: &Bus, num_channels: usize| unsafe { bus.is_usable(num_channels) };
            match input(place) {
                Some(bus) if has(&bus, num_channels) => Bus { num_channels, ..bus },
                // Hosts send mono to a stereo sidechain.
                Some(bus) if has(&bus, 1) => {
                    // SAFETY: usable, so there is a pointer to its first channel.
                    self.own_inputs[place] = [unsafe { *bus.channels }; MAX_CHANNELS];
                    Bus { channels: self.own_inputs[place].as_mut_ptr(), num_channels }
                }
                // Silence of the block's own length: of a bus without channels the wrapper would pass on the last length it had.
                _ => Bus { channels: self.silent_channels.as_mut_ptr(), num_channels },
            }
        });
        let mut outputs = std::array::from_fn(|place| {
            let num_channels = widths.at(place);
            match output(place) {
                // SAFETY: by the caller's word.
                Some(bus) if unsafe { bus.is_usable(num_channels) } => Bus { num_channels, ..bus },
                _ => Bus { channels: self.sink_channels[place].as_mut_ptr(), num_channels },
            }
        });
        // SAFETY: by the caller's word, and what is not the host's is here.
        unsafe {
            self.part(&mut outputs, num_samples);
            self.rescue(&mut inputs, &outputs, num_samples);
        }
        Fit::Full(inputs, outputs)
    }

    /// Gives each output memory of its own: of those that share it the first keeps it.
    ///
    /// # Safety
    /// Of each bus there are as many channels as it says.
    unsafe fn part(&mut self, outputs: &mut [Bus; NUM_OUTPUT_BUSES], num_samples: usize) {
        let mut taken = [std::ptr::null_mut(); NUM_OUTPUT_CHANNELS];
        let mut num_taken = 0;
        for (place, bus) in outputs.iter_mut().enumerate() {
            // SAFETY: by the caller's word.
            let own = unsafe { channels_of(bus) };
            let mut parted = own;
            for (channel, spare) in parted.iter_mut().zip(self.sink_channels[place]).take(bus.num_channels) {
                if taken[..num_taken].iter().any(|other| overlap(*other, *channel, num_samples)) {
                    *channel = spare;
                }
                taken[num_taken] = *channel;
                num_taken += 1;
            }
            if parted != own {
                self.own_outputs[place] = parted;
                bus.channels = self.own_outputs[place].as_mut_ptr();
            }
        }
    }

    /// Copies the inputs that an output would be written over.
    ///
    /// # Safety
    /// Of each bus there are as many channels as it says, and in each `num_samples`, for which there is memory here.
    unsafe fn rescue(
        &mut self,
        inputs: &mut [Bus; NUM_INPUT_BUSES],
        outputs: &[Bus; NUM_OUTPUT_BUSES],
        num_samples: usize,
    ) {
        for (place, bus) in inputs.iter_mut().enumerate() {
            // SAFETY: by the caller's word.
            let own = unsafe { channels_of(bus) };
            let mut rescued = own;
            for (channel_idx, channel) in rescued.iter_mut().enumerate().take(bus.num_channels) {
                let is_written_over = outputs.iter().enumerate().any(|(output, bus)| {
                    // SAFETY: by the caller's word.
                    let channels = unsafe { channels_of(bus) };
                    channels.iter().enumerate().take(bus.num_channels).any(|(idx, other)| {
                        let is_in_place = place == 0 && output == 0 && idx == channel_idx && *other == *channel;
                        !is_in_place && overlap(*other, *channel, num_samples)
                    })
                });
                if is_written_over {
                    let stretch = (place * MAX_CHANNELS + channel_idx) * self.max_samples;
                    let copy = &mut self.copies[stretch..stretch + num_samples];
                    // SAFETY: `num_samples` lie there by the caller's word, and none of the copies is the host's.
                    unsafe { std::ptr::copy_nonoverlapping(*channel, copy.as_mut_ptr(), num_samples) };
                    *channel = copy.as_mut_ptr();
                }
            }
            if rescued != own {
                self.own_inputs[place] = rescued;
                bus.channels = self.own_inputs[place].as_mut_ptr();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 4;
    const STEREO: Widths = Widths { main: 2, aux: 2 };

    /// The first sample of each channel.
    fn heard<const N: usize>(buses: [Bus; N]) -> [Vec<f32>; N] {
        // SAFETY: of each bus there are as many channels as it says, with memory behind each.
        buses.map(|bus| (0..bus.num_channels).map(|channel| unsafe { **bus.channels.add(channel) }).collect())
    }

    /// The buses of a block that has a main output and is no longer than was announced.
    fn full(fit: Fit) -> ([Bus; NUM_INPUT_BUSES], [Bus; NUM_OUTPUT_BUSES]) {
        match fit {
            Fit::Full(inputs, outputs) => (inputs, outputs),
            other => panic!("{other:?}"),
        }
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
        let (mut out_left, mut out_right) = ([0.0_f32; LEN], [0.0_f32; LEN]);
        let mut out = [out_left.as_mut_ptr(), out_right.as_mut_ptr()];
        let out = bus(&mut out);
        let mut spare = SpareBuses::new();
        spare.resize(LEN);
        let mut inputs_of = |main: Option<Bus>, side: Option<Bus>| {
            // SAFETY: all of these live, and have as many channels as they say.
            heard(
                full(unsafe {
                    spare.complete(STEREO, LEN, |place| [main, side][place], |place| (place == 0).then_some(out))
                })
                .0,
            )
        };
        assert_eq!(inputs_of(Some(stereo), Some(stereo)), [[0.25, 0.5], [0.25, 0.5]]);
        assert_eq!(inputs_of(Some(mono), Some(mono)), [[0.5, 0.5], [0.5, 0.5]]);
        assert_eq!(inputs_of(Some(stereo), None), [[0.25, 0.5], [0.0, 0.0]]);
        assert_eq!(inputs_of(None, Some(torn)), [[0.0, 0.0], [0.25, 0.25]]);
        let none = Bus { channels: std::ptr::null_mut(), num_channels: 0 };
        assert_eq!(inputs_of(Some(stereo), Some(none)), [[0.25, 0.5], [0.0, 0.0]]);
    }

    #[test]
    fn a_block_that_is_longer_than_was_announced_is_the_host_s_own_or_none_and_one_without_a_main_output_is_none() {
        let mut memory = [[0.0; LEN]; 2];
        let mut pair = channels(&mut memory);
        let its = bus(&mut pair);
        let mut spare = SpareBuses::new();
        spare.resize(LEN - 1);
        // SAFETY: it lives, and has as many channels as it says.
        let mut fit = |num_samples: usize, has_all: bool, has_main: bool| unsafe {
            let output = |place: usize| (if place == 0 { has_main } else { has_all }).then_some(its);
            spare.complete(STEREO, num_samples, |_| Some(its), output)
        };
        assert_eq!(fit(LEN, true, true), Fit::AsItIs);
        assert_eq!(fit(LEN, false, true), Fit::TooLong);
        assert_eq!([fit(LEN, true, false), fit(1, true, false)], [Fit::NoMain; 2]);
        assert!(matches!(fit(LEN - 1, false, true), Fit::Full(..)));
    }

    #[test]
    fn channels_beyond_those_that_are_declared_are_left_alone() {
        let mut samples = [0.25_f32; LEN];
        let mut many = [samples.as_mut_ptr(); 6];
        let six = bus(&mut many);
        let mut spare = SpareBuses::new();
        spare.resize(LEN);
        for (main, aux) in [(1, 1), (1, 2), (2, 2)] {
            // SAFETY: it lives, and has as many channels as it says.
            let mut fit = |num_samples| unsafe {
                spare.complete(Widths { main, aux }, num_samples, |_| Some(six), |_| Some(six))
            };
            let (inputs, outputs) = full(fit(LEN));
            assert_eq!(inputs.map(|bus| bus.num_channels), [main, aux]);
            assert_eq!(outputs.map(|bus| bus.num_channels), [main, aux, aux, aux, aux]);
            assert_eq!(fit(LEN + 1), Fit::TooLong, "there is no place for its own");
        }
    }

    /// So many channels, of which each is filled with its number and a half.
    fn channels<const N: usize>(memory: &mut [[f32; LEN]; N]) -> [*mut f32; N] {
        memory.iter_mut().enumerate().for_each(|(idx, channel)| channel.fill(idx as f32 + 0.5));
        std::array::from_fn(|idx| memory[idx].as_mut_ptr())
    }

    fn pointers(buses: &[Bus]) -> Vec<*mut f32> {
        // SAFETY: of each bus there are as many channels as it says.
        buses.iter().flat_map(|bus| unsafe { channels_of(bus) }.into_iter().take(bus.num_channels)).collect()
    }

    fn share_nothing(channels: &[*mut f32]) -> bool {
        let mut sorted = channels.to_vec();
        sorted.sort_unstable();
        sorted.windows(2).all(|pair| !overlap(pair[0], pair[1], LEN))
    }

    #[test]
    fn outputs_that_the_host_has_are_its_own_and_no_two_share_memory() {
        let mut memory = [[0.0; LEN]; 6];
        let its = channels(&mut memory);
        let mut pairs = [[its[0], its[1]], [its[2], its[3]], [its[4], its[5]]];
        let buses = pairs.each_mut().map(|pair| bus(pair));
        let mut spare = SpareBuses::new();
        spare.resize(LEN);
        // SAFETY: it lives, and has as many channels as it says.
        let (_, outputs) =
            full(unsafe { spare.complete(STEREO, LEN, |_| None, |place| (place % 2 == 0).then(|| buses[place / 2])) });
        assert_eq!([outputs[0], outputs[2], outputs[4]], buses);
        assert!(share_nothing(&pointers(&outputs)));
    }

    #[test]
    fn where_a_host_has_one_memory_for_all_that_is_not_connected_nothing_is_written_over() {
        // As Ardour has it where a stem alone is connected: main and the other stems go to a scratch buffer.
        let mut memory = [[0.0; LEN]; 5];
        let [left, right, scratch, stem_left, stem_right] = channels(&mut memory);
        let (mut input, mut nowhere, mut stem) = ([left, right], [scratch, scratch], [stem_left, stem_right]);
        let (input, nowhere, stem) = (bus(&mut input), bus(&mut nowhere), bus(&mut stem));
        let mut spare = SpareBuses::new();
        spare.resize(LEN);
        // SAFETY: all of it lives, and has as many channels as it says.
        let (inputs, outputs) = unsafe {
            full(spare.complete(
                STEREO,
                LEN,
                |place| (place == 0).then_some(input),
                |place| Some(if place == 1 { stem } else { nowhere }),
            ))
        };
        assert_eq!((inputs[0], outputs[1]), (input, stem), "what is connected is the host's");
        assert_eq!(pointers(&outputs)[0], scratch);
        assert!(share_nothing(&[&pointers(&outputs)[..], &[left, right]].concat()));
    }

    #[test]
    fn an_input_that_another_output_is_written_over_is_read_as_it_was() {
        let mut memory = [[0.0; LEN]; 4];
        let its = channels(&mut memory);
        let given = |main: [usize; 2], side: [usize; 2], out: [usize; 2]| {
            let [mut main, mut side, mut out] = [main, side, out].map(|places| places.map(|place| its[place]));
            let (main, side, out) = (bus(&mut main), bus(&mut side), bus(&mut out));
            let mut spare = SpareBuses::new();
            spare.resize(LEN);
            // SAFETY: all of it lives, and has as many channels as it says.
            unsafe {
                let (inputs, outputs) = full(spare.complete(
                    STEREO,
                    LEN,
                    |place| Some([main, side][place]),
                    |place| (place == 0).then_some(out),
                ));
                let before = heard(inputs);
                let is_host_s: Vec<bool> = pointers(&inputs).iter().map(|channel| its.contains(channel)).collect();
                let written = pointers(&outputs);
                assert!(share_nothing(&written));
                for (input, channel) in pointers(&inputs).iter().enumerate() {
                    assert!(
                        written.iter().enumerate().all(|(output, other)| (output == input && input < MAX_CHANNELS)
                            || !overlap(*other, *channel, LEN))
                    );
                }
                (before, is_host_s)
            }
        };
        assert_eq!(given([0, 1], [2, 3], [0, 1]), ([vec![0.5, 1.5], vec![2.5, 3.5]], vec![true; 4]), "in place");
        let crossed = given([0, 1], [2, 3], [1, 0]);
        assert_eq!(crossed, ([vec![0.5, 1.5], vec![2.5, 3.5]], vec![false, false, true, true]));
        let over_sidechain = given([0, 1], [2, 3], [2, 3]);
        assert_eq!(over_sidechain, ([vec![0.5, 1.5], vec![2.5, 3.5]], vec![true, true, false, false]));
    }
}
