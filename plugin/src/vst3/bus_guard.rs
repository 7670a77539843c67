//! Gives the framework's VST3 wrapper what a host has switched off, or said a moment too late for it.
//!
//! A host may deactivate auxiliary buses, and most do until the user routes them. It then passes fewer buses, buses of no
//! channels, or null pointers. nice-plug 0.4.2 takes a block with any such output for a parameter flush and leaves it as it is:
//! the plugin would do nothing at all, with its latency reported. A null channel it would even write to. So `process` is
//! intercepted: every bus that is declared is there, those of the host where it has them, spare memory where it has not.
//!
//! Of a setup the wrapper notes the render mode after it has made the configuration that the plugin is activated with: a bounce
//! would be called real time, and playback after it offline. The mode that a block is given with it does not pass on at all, and there are hosts that
//! set up once and bounce by it (Ardour's export, JUCE's where rate and block stay as they are). Both are kept: see
//! [`RenderTold`](crate::render_told::RenderTold).
//!
//! A latency that an activation brings the wrapper calls a changed one there and then, upon which a host is to activate the plugin again. Hosts ask for
//! it without being called, some once an activation is over, others between the setup and the activation (JUCE's), where the wrapper has that of the
//! activation before. So the host is answered here, with what the activation will bring where it has not come yet, and called only where it has not
//! asked before the first block: see [`LatencyTold`](crate::latency_told::LatencyTold).
//!
//! Where a host asks for channels, the wrapper compares each auxiliary bus with what is asked of the bus before it. A layout of which all buses have as
//! many it finds nevertheless, if as many are asked of all. So it is asked for the layout of the main bus alone, and what the others come to by
//! that is the answer.
//!
//! The interception is one vtable: COM objects are called through a pointer to a table of functions, and the object's pointer
//! for `IAudioProcessor` is set to a copy of its table with some functions replaced. The copy is the head of a [`BusGuard`], so
//! that the functions find the guard of their own instance.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use atomic_float::AtomicF32;
use nice_plug::prelude::{AsyncExecutor, ProcessMode};
use nice_plug::wrapper::vst3::Wrapper;
use nice_plug::wrapper::vst3::vst3::ComWrapper;
use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{
    AudioBusBuffers, AudioBusBuffers__type0, IAudioProcessor, IAudioProcessorVtbl, ProcessData, ProcessSetup,
    SpeakerArrangement,
};
use nice_plug::wrapper::vst3::vst3::Steinberg::{kNotInitialized, kResultFalse, kResultOk, tresult, uint32};

#[cfg(target_os = "linux")]
use super::window_guard::WindowGuard;
use crate::Underscore;
use crate::buses::{NUM_INPUT_BUSES, NUM_OUTPUT_BUSES};
use crate::claimed::Claimed;
use crate::offered::Offered;
use crate::params::UnderscoreParams;
use crate::spare_buses::{Bus, Fit, SpareBuses, Widths};
use crate::told::Told;

#[cfg(test)]
pub use constants::PLAYS;
pub use constants::{BOUNCES, PREFETCHES};
#[cfg(test)]
use constants::{INPUT, OUTPUT};

/// The interface's constants, in the type of the fields that hold them.
#[allow(
    clippy::cast_possible_wrap,
    clippy::unnecessary_cast,
    reason = "the interface's constants are u32 or i32 by platform"
)]
mod constants {
    #[cfg(test)]
    use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::BusDirections_;
    use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::ProcessModes_;

    #[cfg(test)]
    pub const INPUT: i32 = BusDirections_::kInput as i32;
    #[cfg(test)]
    pub const OUTPUT: i32 = BusDirections_::kOutput as i32;

    #[cfg(test)]
    pub const PLAYS: i32 = ProcessModes_::kRealtime as i32;
    pub const PREFETCHES: i32 = ProcessModes_::kPrefetch as i32;
    pub const BOUNCES: i32 = ProcessModes_::kOffline as i32;
}

/// The same counts in the interface's own type.
const NUM_INPUTS: i32 = 2;
const NUM_OUTPUTS: i32 = 5;
const _: () = assert!(NUM_INPUTS as usize == NUM_INPUT_BUSES && NUM_OUTPUTS as usize == NUM_OUTPUT_BUSES);

/// The table of one instance, and the memory behind its missing buses. Kept by the plugin, which outlives every call of the host.
#[repr(C)]
pub struct BusGuard {
    /// What the host calls through. First, so that a pointer to it is a pointer to the guard.
    vtbl: UnsafeCell<MaybeUninit<IAudioProcessorVtbl>>,
    original: Cell<*const IAudioProcessorVtbl>,
    buses: Claimed<Buses>,
    /// The longest block that `buses` has memory for, samples: a host that sets up while it processes changes but the mode.
    max_samples: AtomicUsize,
    told: Arc<Told>,
    /// Channels of all buses, of the last activation; 0 before the first: the wrapper has nothing to process with then, and ends the host.
    num_channels: AtomicUsize,
    is_active: AtomicBool,
    /// The rate that was set up last, Hz; 0 before that.
    rate_hz: AtomicF32,
    /// The longest block of that setup, samples.
    max_block_samples: AtomicUsize,
    #[cfg(target_os = "linux")]
    window: OnceLock<Arc<WindowGuard>>,
}

// SAFETY: the table and the original are written before anybody else has seen the instance. What is looked at and written after that is atomic, set
// once, or lent to one call at a time.
unsafe impl Send for BusGuard {}
// SAFETY: as above.
unsafe impl Sync for BusGuard {}

/// As the framework has it.
fn process_mode(of: i32) -> ProcessMode {
    match of {
        BOUNCES => ProcessMode::Offline,
        PREFETCHES => ProcessMode::Buffered,
        _ => ProcessMode::Realtime,
    }
}

thread_local! {
    /// Of the instance that this thread is just making.
    static OFFERED: Offered<BusGuard> = const { Offered::nothing() };
}

impl BusGuard {
    /// For the next plugin that this thread makes, which is offered what is `told` here, too.
    #[must_use]
    pub fn offer() -> Arc<Self> {
        let guard = Self {
            vtbl: UnsafeCell::new(MaybeUninit::uninit()),
            original: Cell::new(std::ptr::null()),
            buses: Claimed::new(Buses::new()),
            max_samples: AtomicUsize::new(0),
            told: Told::offer(),
            num_channels: AtomicUsize::new(0),
            is_active: AtomicBool::new(false),
            rate_hz: AtomicF32::new(0.0),
            max_block_samples: AtomicUsize::new(0),
            #[cfg(target_os = "linux")]
            window: OnceLock::new(),
        };
        OFFERED.with(|offered| offered.offer(guard))
    }

    /// What is offered to the plugin that is just made; none for one of another format.
    #[must_use]
    pub fn take_offered() -> Option<Arc<Self>> {
        OFFERED.with(Offered::take)
    }

    /// Puts the guard between the host and `instance`, which nobody else has seen yet and whose plugin has taken it.
    pub fn install(self: &Arc<Self>, instance: &ComWrapper<Wrapper<Underscore>>) {
        let Some(processor) = instance.as_com_ref::<IAudioProcessor>() else { return };
        let processor = processor.as_ptr();
        // SAFETY: the plugin has the guard, so it lives as long as that. The object is not shared yet, so its table pointer may be changed; the table
        // that it then points to is written before. It is a pointer to all of the guard, which is what the functions make of it.
        unsafe {
            let original = (*processor).vtbl;
            let mut vtbl = std::ptr::read(original);
            vtbl.process = process;
            vtbl.setupProcessing = setup_processing;
            vtbl.setBusArrangements = set_bus_arrangements;
            vtbl.getLatencySamples = latency_samples;
            self.original.set(original);
            (*self.vtbl.get()).write(vtbl);
            (*processor).vtbl = Arc::as_ptr(self).cast();
        }
        #[cfg(target_os = "linux")]
        if let Some(window) = self.window.get() {
            window.install(instance);
        }
    }

    /// Has blocks, and the window, tell each other when they begin and end, where they may not meet.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(clippy::unused_self, reason = "called as on Linux, where the window is in it")
    )]
    pub fn watch(&self, params: Arc<UnderscoreParams>, tasks: AsyncExecutor<Underscore>) {
        #[cfg(target_os = "linux")]
        let _ = self.window.set(Arc::new(WindowGuard::new(params, tasks)));
        #[cfg(not(target_os = "linux"))]
        let _ = (params, tasks);
    }

    /// The plugin was activated: blocks may come, with so many channels on each bus.
    pub fn note_activation(&self, num_channels: usize) {
        self.num_channels.store(num_channels, Ordering::Release);
        self.is_active.store(true, Ordering::Release);
    }

    /// The plugin is about to be deactivated. Waits until the framework has done what blocks left it to do: a task that outlives its instance ends the
    /// thread of them all.
    pub fn note_deactivation(&self) {
        self.is_active.store(false, Ordering::Release);
        #[cfg(target_os = "linux")]
        if let Some(window) = self.window.get() {
            window.drain();
        }
    }

    /// Runs the wrapper's `process`, which is given values only where it may tell its window of them.
    ///
    /// # Safety
    /// `data` is what the host gives `process`.
    #[cfg(target_os = "linux")]
    unsafe fn in_block(&self, data: &mut ProcessData, process: impl FnOnce(*mut ProcessData) -> tresult) -> tresult {
        let Some(window) = self.window.get() else { return process(data) };
        // SAFETY: by the caller's word.
        data.inputParameterChanges =
            unsafe { window.enter(data.inputParameterChanges, self.rate_hz.load(Ordering::Relaxed)) };
        let answer = process(data);
        window.leave();
        answer
    }

    /// Runs the wrapper's `process`.
    ///
    /// # Safety
    /// `data` is what the host gives `process`.
    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, reason = "called as on Linux, where the window is in it")]
    unsafe fn in_block(&self, data: &mut ProcessData, process: impl FnOnce(*mut ProcessData) -> tresult) -> tresult {
        process(data)
    }

    /// The guard that the object's table is the head of.
    ///
    /// # Safety
    /// `this` is an object that a guard was installed in.
    unsafe fn of<'a>(this: *mut IAudioProcessor) -> &'a Self {
        // SAFETY: the table pointer was set by `install` and points to a live guard.
        unsafe { &*(*this).vtbl.cast::<Self>() }
    }
}

/// The buses of one block, in the interface's own type.
struct Buses {
    spare: SpareBuses,
    inputs: [AudioBusBuffers; NUM_INPUT_BUSES],
    outputs: [AudioBusBuffers; NUM_OUTPUT_BUSES],
}

impl Buses {
    fn new() -> Self {
        let none = AudioBusBuffers {
            numChannels: 0,
            silenceFlags: 0,
            __field0: AudioBusBuffers__type0 { channelBuffers32: std::ptr::null_mut() },
        };
        Self { spare: SpareBuses::new(), inputs: [none; NUM_INPUT_BUSES], outputs: [none; NUM_OUTPUT_BUSES] }
    }

    /// Points `data` to a full set of buses of `num_channels` each, or to none where there is no main output to write to. `false` where that cannot be.
    ///
    /// # Safety
    /// The buses of `data` are as many as it says, and each has as many channels and samples.
    unsafe fn complete(&mut self, num_channels: usize, data: &mut ProcessData) -> bool {
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

fn bus_of(of: Bus, silence_flags: u64) -> AudioBusBuffers {
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

unsafe extern "system" fn setup_processing(this: *mut IAudioProcessor, setup: *mut ProcessSetup) -> tresult {
    // SAFETY: only objects with a guard have this function in their table; the setup is null or valid.
    unsafe {
        let guard = BusGuard::of(this);
        if let Some(setup) = setup.as_ref() {
            guard.told.render.set_up(process_mode(setup.processMode));
            let max_samples = usize::try_from(setup.maxSamplesPerBlock).unwrap_or(0);
            if max_samples > guard.max_samples.load(Ordering::Relaxed)
                && guard.buses.with_soon(|buses| buses.spare.resize(max_samples)).is_some()
            {
                guard.max_samples.store(max_samples, Ordering::Relaxed);
            }
            guard.rate_hz.store(setup.sampleRate as f32, Ordering::Relaxed);
            guard.max_block_samples.store(max_samples, Ordering::Relaxed);
        }
        ((*guard.original.get()).setupProcessing)(this, setup)
    }
}

unsafe extern "system" fn latency_samples(this: *mut IAudioProcessor) -> uint32 {
    // SAFETY: only objects with a guard have this function in their table.
    let guard = unsafe { BusGuard::of(this) };
    let rate_hz = f64::from(guard.rate_hz.load(Ordering::Relaxed));
    if !guard.is_active.load(Ordering::Acquire)
        && rate_hz > 0.0
        && let Some(planned) = guard.told.planned_latency.get()
        && let Some(samples) = planned(rate_hz, guard.max_block_samples.load(Ordering::Relaxed).max(1))
    {
        guard.told.latency.set(samples);
    }
    guard.told.latency.tell()
}

/// `kResultOk` where all buses are as they are asked for, or where the host may treat them so. Where only the main ones are, `kResultFalse`, upon which
/// the interface has the host look at what the others have become.
unsafe extern "system" fn set_bus_arrangements(
    this: *mut IAudioProcessor,
    inputs: *mut SpeakerArrangement,
    num_inputs: i32,
    outputs: *mut SpeakerArrangement,
    num_outputs: i32,
) -> tresult {
    // SAFETY: only objects with a guard have this function in their table; the arrangements are as many as the host says.
    unsafe {
        let guard = BusGuard::of(this);
        let original = (*guard.original.get()).setBusArrangements;
        if inputs.is_null() || outputs.is_null() || (num_inputs, num_outputs) != (NUM_INPUTS, NUM_OUTPUTS) {
            return original(this, inputs, num_inputs, outputs, num_outputs);
        }
        let asked_inputs = std::slice::from_raw_parts(inputs, NUM_INPUT_BUSES);
        let asked_outputs = std::slice::from_raw_parts(outputs, NUM_OUTPUT_BUSES);
        let num_channels = asked_outputs[0].count_ones();
        if guard.is_active.load(Ordering::Acquire)
            && num_channels as usize != guard.num_channels.load(Ordering::Acquire)
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

unsafe extern "system" fn process(this: *mut IAudioProcessor, data: *mut ProcessData) -> tresult {
    // SAFETY: only objects with a guard have this function in their table; the data is null or valid.
    unsafe {
        let guard = BusGuard::of(this);
        let original = (*guard.original.get()).process;
        let process = |this, data: *mut ProcessData| guard.in_block(&mut *data, |data| original(this, data));
        let Some(mut own) = data.as_ref().copied() else { return original(this, data) };
        let num_channels = guard.num_channels.load(Ordering::Acquire);
        if num_channels == 0 {
            return kNotInitialized;
        }
        guard.told.render.note_block(process_mode(own.processMode));
        let answer = guard.buses.with(|full| {
            if !full.complete(num_channels, &mut own) {
                return kResultFalse;
            }
            process(this, &raw mut own)
        });
        answer.unwrap_or(kResultFalse)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use nice_plug::wrapper::vst3::vst3::Class;
    use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{
        IAudioProcessorTrait, IComponent, IComponentHandler, IComponentHandlerTrait, IComponentTrait, IEditController,
        IEditControllerTrait,
    };

    use super::super::double;
    use super::*;
    use crate::diagnostics;

    /// A host that activates one instance for each of these modes in turn, and asks after each how many activations were offline.
    fn offline_activations_after(modes: &[i32]) -> Vec<u64> {
        let instance = double::instance();
        let processor = instance.as_com_ref::<IAudioProcessor>().expect("an audio processor");
        let component = instance.as_com_ref::<IComponent>().expect("a component");
        let before = diagnostics::num_offline_activations();
        let mut counts = Vec::new();
        for mode in modes {
            let mut setup = double::setup(*mode, 512);
            // SAFETY: calls as a host makes them, on one thread, with a setup that lives.
            unsafe {
                assert_eq!(processor.setupProcessing(&raw mut setup), kResultOk);
                assert_eq!(component.setActive(1), kResultOk);
                assert_eq!(component.setActive(0), kResultOk);
            }
            counts.push(diagnostics::num_offline_activations() - before);
        }
        counts
    }

    #[test]
    fn a_bounce_is_called_offline_and_playback_after_it_is_not() {
        assert_eq!(offline_activations_after(&[PLAYS, BOUNCES, PLAYS, PLAYS, BOUNCES]), [0, 1, 1, 1, 2]);
    }

    #[test]
    fn a_host_that_bounces_by_its_blocks_alone_is_heard_and_one_that_sets_up_again_while_it_is_active() {
        let instance = double::instance();
        let processor = instance.as_com_ref::<IAudioProcessor>().expect("an audio processor");
        let component = instance.as_com_ref::<IComponent>().expect("a component");
        // SAFETY: calls as a host makes them, on one thread; of plain data without buses and samples nothing is read, and the guard lives.
        unsafe {
            let told = &BusGuard::of(processor.as_ptr()).told.render;
            let mut data: ProcessData = std::mem::zeroed();
            data.processMode = BOUNCES;
            assert_eq!(processor.process(&raw mut data), kNotInitialized, "nothing was set up");
            let [mut plays, mut bounces] = [PLAYS, BOUNCES].map(|mode| double::setup(mode, 512));
            assert_eq!(processor.setupProcessing(&raw mut plays), kResultOk);
            assert_eq!(processor.process(&raw mut data), kNotInitialized, "nothing is active");
            assert_eq!(component.setActive(1), kResultOk);
            assert_eq!(processor.setupProcessing(&raw mut bounces), kResultOk);
            assert_eq!(told.get(), Some(ProcessMode::Offline), "without another activation");
            assert_eq!(processor.setupProcessing(&raw mut plays), kResultOk);
            data.processMode = PLAYS;
            assert_eq!(processor.process(&raw mut data), kResultOk);
            assert_eq!(told.get(), Some(ProcessMode::Realtime));
            data.processMode = BOUNCES;
            assert_eq!(processor.process(&raw mut data), kResultOk);
            assert_eq!(told.get(), Some(ProcessMode::Offline));
            assert_eq!(component.setActive(0), kResultOk);
        }
    }

    /// What a host is called for.
    #[derive(Default)]
    struct Handler {
        num_restarts: AtomicU32,
    }

    impl Class for Handler {
        type Interfaces = (IComponentHandler,);
    }

    impl IComponentHandlerTrait for Handler {
        unsafe fn beginEdit(&self, _id: u32) -> tresult {
            kResultOk
        }

        unsafe fn performEdit(&self, _id: u32, _value: f64) -> tresult {
            kResultOk
        }

        unsafe fn endEdit(&self, _id: u32) -> tresult {
            kResultOk
        }

        unsafe fn restartComponent(&self, _flags: i32) -> tresult {
            self.num_restarts.fetch_add(1, Ordering::Relaxed);
            kResultOk
        }
    }

    #[test]
    fn a_host_is_called_for_a_latency_only_where_it_did_not_ask_for_it_before_the_first_block() {
        let instance = double::instance();
        let processor = instance.as_com_ref::<IAudioProcessor>().expect("an audio processor");
        let component = instance.as_com_ref::<IComponent>().expect("a component");
        let controller = instance.as_com_ref::<IEditController>().expect("a controller");
        let handler = ComWrapper::new(Handler::default());
        let num_restarts = || handler.num_restarts.load(Ordering::Relaxed);
        let of_host = handler.to_com_ptr::<IComponentHandler>().expect("a handler");
        // SAFETY: calls as a host makes them, on one thread, with memory that lives.
        unsafe {
            assert_eq!(controller.setComponentHandler(of_host.as_ptr()), kResultOk);
            for (max_samples, [asks_before, asks_after], expected) in [
                (256, [false, true], 0),
                (8192, [false, false], 1),
                (8192, [false, false], 0),
                (256, [false, true], 0),
                // What it knew before is another one all the same.
                (8192, [false, false], 1),
                // As JUCE does.
                (256, [true, false], 0),
                (8192, [true, true], 0),
            ] {
                let before = num_restarts();
                let mut setup = double::setup(PLAYS, max_samples);
                assert_eq!(processor.setupProcessing(&raw mut setup), kResultOk);
                let planned = asks_before.then(|| processor.getLatencySamples());
                assert_eq!(component.setActive(1), kResultOk);
                assert_eq!(num_restarts() - before, 0, "within the activation");
                let told = asks_after.then(|| processor.getLatencySamples());
                assert!([planned, told].into_iter().flatten().all(|samples| samples > 0));
                assert_eq!(processor.setProcessing(1), kResultOk);
                for _ in 0..2 {
                    play(&processor);
                }
                assert_eq!(num_restarts() - before, expected, "{max_samples}, {asks_before}, {asks_after}");
                assert_eq!(planned.unwrap_or_else(|| processor.getLatencySamples()), processor.getLatencySamples());
                assert_eq!(component.setActive(0), kResultOk);
            }
            assert_eq!(controller.setComponentHandler(std::ptr::null_mut()), kResultOk);
        }
    }

    /// A block of silence in stereo on the main buses alone.
    ///
    /// # Safety
    /// Called as a host does.
    unsafe fn play(processor: &impl IAudioProcessorTrait) {
        let mut memory = [[0.0_f32; 64]; 2];
        let mut channels = memory.each_mut().map(|channel| channel.as_mut_ptr());
        let mut input = bus_of(Bus { channels: channels.as_mut_ptr(), num_channels: 2 }, 0);
        let mut output = input;
        // SAFETY: plain data, whose null pointers nobody looks at.
        let mut data: ProcessData = unsafe { std::mem::zeroed() };
        (data.numSamples, data.numInputs, data.numOutputs) = (64, 1, 1);
        (data.inputs, data.outputs) = (&raw mut input, &raw mut output);
        // SAFETY: by the caller's word; the memory lives.
        assert_eq!(unsafe { processor.process(&raw mut data) }, kResultOk);
    }

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
        let instance = double::instance();
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
        let instance = double::instance();
        let processor = instance.as_com_ref::<IAudioProcessor>().expect("an audio processor");
        let component = instance.as_com_ref::<IComponent>().expect("a component");
        let mut setup = double::setup(PLAYS, NUM_SAMPLES);
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
