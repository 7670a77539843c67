//! Stands between a VST3 host and the framework's `IAudioProcessor`, whose answers differ from what the interface asks for in these points:
//!
//! * Buses: see [`buses`]. Without it the plugin would do nothing in hosts that leave auxiliary buses inactive.
//! * Layouts: see [`arrangements`].
//! * Render mode: the wrapper notes the mode of a setup after it has made the configuration of the activation, so that a bounce would be called real time
//!   and playback after it offline. The mode of a block it ignores, but some hosts set up once and bounce by it (Ardour's export; JUCE's where rate and
//!   block stay as they are). Both are kept in [`HostRenderMode`](crate::host_link::render_mode::HostRenderMode).
//! * Latency: the wrapper reports a change with each activation that brings one, upon which the host restarts the plugin. Hosts ask by themselves: some
//!   after the activation, others between setup and activation (JUCE's), where the wrapper has the latency of the activation before. The shim answers
//!   with the latency to come, and a host is called only where it has not asked before the first block: see
//!   [`ReportedLatency`](crate::host_link::reported_latency::ReportedLatency).
//!
//! COM objects are called through a pointer to a table of functions. The object's pointer for `IAudioProcessor` is set to a copy of its table with some
//! functions replaced. The copy is the first field of a [`ProcessorShim`], so that the functions find the shim of their own instance.

mod arrangements;
mod buses;

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
use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{IAudioProcessor, IAudioProcessorVtbl, ProcessData, ProcessSetup};
use nice_plug::wrapper::vst3::vst3::Steinberg::{kNotInitialized, kResultFalse, tresult, uint32};

#[cfg(target_os = "linux")]
use super::editor_shim::EditorShim;
use crate::Underscore;
use crate::buses::{NUM_INPUT_BUSES, NUM_OUTPUT_BUSES};
use crate::host_link::HostLink;
use crate::host_link::claimed::Claimed;
use crate::host_link::construction_slot::ConstructionSlot;
use crate::params::UnderscoreParams;
use buses::Buses;

#[cfg(test)]
pub use constants::PLAYS;
pub use constants::{BOUNCES, PREFETCHES};

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

/// Numbers of buses in the interface's own type.
const NUM_INPUTS: i32 = 2;
const NUM_OUTPUTS: i32 = 5;
const _: () = assert!(NUM_INPUTS as usize == NUM_INPUT_BUSES && NUM_OUTPUTS as usize == NUM_OUTPUT_BUSES);

/// The table of one instance, and the memory behind its missing buses. Kept by the plugin, which outlives every call of the host.
#[repr(C)]
pub struct ProcessorShim {
    /// What the host calls through. First, so that a pointer to it is a pointer to the shim.
    vtbl: UnsafeCell<MaybeUninit<IAudioProcessorVtbl>>,
    original: Cell<*const IAudioProcessorVtbl>,
    buses: Claimed<Buses>,
    /// The longest block that `buses` has memory for, samples: a host that sets up while it processes changes but the mode.
    max_samples: AtomicUsize,
    host_link: Arc<HostLink>,
    /// Channels of all buses, of the last activation; 0 before the first: the wrapper has nothing to process with then, and ends the host.
    num_channels: AtomicUsize,
    is_active: AtomicBool,
    /// The rate that was set up last, Hz; 0 before that.
    rate_hz: AtomicF32,
    /// The longest block of that setup, samples.
    max_block_samples: AtomicUsize,
    #[cfg(target_os = "linux")]
    window: OnceLock<Arc<EditorShim>>,
}

// SAFETY: the table and the original are written before anybody else has seen the instance. What is looked at and written after that is atomic, set
// once, or lent to one call at a time.
unsafe impl Send for ProcessorShim {}
// SAFETY: as above.
unsafe impl Sync for ProcessorShim {}

/// The framework's name for a process mode of the interface.
fn process_mode(of: i32) -> ProcessMode {
    match of {
        BOUNCES => ProcessMode::Offline,
        PREFETCHES => ProcessMode::Buffered,
        _ => ProcessMode::Realtime,
    }
}

thread_local! {
    /// Shim of the instance that this thread is constructing.
    static SLOT: ConstructionSlot<ProcessorShim> = const { ConstructionSlot::empty() };
}

impl ProcessorShim {
    /// Makes the shim, and with it the link, of the next plugin that this thread constructs.
    #[must_use]
    pub fn offer() -> Arc<Self> {
        let shim = Self {
            vtbl: UnsafeCell::new(MaybeUninit::uninit()),
            original: Cell::new(std::ptr::null()),
            buses: Claimed::new(Buses::new()),
            max_samples: AtomicUsize::new(0),
            host_link: HostLink::offer(),
            num_channels: AtomicUsize::new(0),
            is_active: AtomicBool::new(false),
            rate_hz: AtomicF32::new(0.0),
            max_block_samples: AtomicUsize::new(0),
            #[cfg(target_os = "linux")]
            window: OnceLock::new(),
        };
        SLOT.with(|slot| slot.put(shim))
    }

    /// Takes the shim of the plugin that this thread is constructing. `None` in another format.
    #[must_use]
    pub fn take() -> Option<Arc<Self>> {
        SLOT.with(ConstructionSlot::take)
    }

    /// Puts the shim between the host and `instance`, which nobody else has seen yet and whose plugin has taken it.
    pub fn install(self: &Arc<Self>, instance: &ComWrapper<Wrapper<Underscore>>) {
        let Some(processor) = instance.as_com_ref::<IAudioProcessor>() else { return };
        let processor = processor.as_ptr();
        // SAFETY: the plugin has the shim, so it lives as long as that. The object is not shared yet, so its table pointer may be changed; the table
        // that it then points to is written before. It is a pointer to all of the shim, which is what the functions make of it.
        unsafe {
            let original = (*processor).vtbl;
            let mut vtbl = std::ptr::read(original);
            vtbl.process = process;
            vtbl.setupProcessing = setup_processing;
            vtbl.setBusArrangements = arrangements::set_bus_arrangements;
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
        let _ = self.window.set(Arc::new(EditorShim::new(params, tasks)));
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

    /// The shim that the object's table is the head of.
    ///
    /// # Safety
    /// `this` is an object that a shim was installed in.
    unsafe fn of<'a>(this: *mut IAudioProcessor) -> &'a Self {
        // SAFETY: the table pointer was set by `install` and points to a live shim.
        unsafe { &*(*this).vtbl.cast::<Self>() }
    }
}

unsafe extern "system" fn setup_processing(this: *mut IAudioProcessor, setup: *mut ProcessSetup) -> tresult {
    // SAFETY: only objects with a shim have this function in their table; the setup is null or valid.
    unsafe {
        let shim = ProcessorShim::of(this);
        if let Some(setup) = setup.as_ref() {
            shim.host_link.render_mode.set_up(process_mode(setup.processMode));
            let max_samples = usize::try_from(setup.maxSamplesPerBlock).unwrap_or(0);
            if max_samples > shim.max_samples.load(Ordering::Relaxed)
                && shim.buses.with_soon(|buses| buses.resize(max_samples)).is_some()
            {
                shim.max_samples.store(max_samples, Ordering::Relaxed);
            }
            shim.rate_hz.store(setup.sampleRate as f32, Ordering::Relaxed);
            shim.max_block_samples.store(max_samples, Ordering::Relaxed);
        }
        ((*shim.original.get()).setupProcessing)(this, setup)
    }
}

unsafe extern "system" fn latency_samples(this: *mut IAudioProcessor) -> uint32 {
    // SAFETY: only objects with a shim have this function in their table.
    let shim = unsafe { ProcessorShim::of(this) };
    let rate_hz = f64::from(shim.rate_hz.load(Ordering::Relaxed));
    if !shim.is_active.load(Ordering::Acquire)
        && rate_hz > 0.0
        && let Some(planned) = shim.host_link.planned_latency.get()
        && let Some(samples) = planned(rate_hz, shim.max_block_samples.load(Ordering::Relaxed).max(1))
    {
        shim.host_link.latency.set(samples);
    }
    shim.host_link.latency.report()
}

unsafe extern "system" fn process(this: *mut IAudioProcessor, data: *mut ProcessData) -> tresult {
    // SAFETY: only objects with a shim have this function in their table; the data is null or valid.
    unsafe {
        let shim = ProcessorShim::of(this);
        let original = (*shim.original.get()).process;
        let process = |this, data: *mut ProcessData| shim.in_block(&mut *data, |data| original(this, data));
        let Some(mut own) = data.as_ref().copied() else { return original(this, data) };
        let num_channels = shim.num_channels.load(Ordering::Acquire);
        if num_channels == 0 {
            return kNotInitialized;
        }
        shim.host_link.render_mode.note_block(process_mode(own.processMode));
        let answer = shim.buses.with(|full| {
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
    use nice_plug::wrapper::vst3::vst3::Steinberg::kResultOk;

    use super::super::test_instance;
    use super::buses::bus_of;
    use super::*;
    use crate::diagnostics;
    use crate::host_link::spare_buses::Bus;

    /// A host that activates one instance for each of these modes in turn, and asks after each how many activations were offline.
    fn offline_activations_after(modes: &[i32]) -> Vec<u64> {
        let instance = test_instance::instance();
        let processor = instance.as_com_ref::<IAudioProcessor>().expect("an audio processor");
        let component = instance.as_com_ref::<IComponent>().expect("a component");
        let before = diagnostics::num_offline_activations();
        let mut counts = Vec::new();
        for mode in modes {
            let mut setup = test_instance::setup(*mode, 512);
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
        let instance = test_instance::instance();
        let processor = instance.as_com_ref::<IAudioProcessor>().expect("an audio processor");
        let component = instance.as_com_ref::<IComponent>().expect("a component");
        // SAFETY: calls as a host makes them, on one thread; of plain data without buses and samples nothing is read, and the shim lives.
        unsafe {
            let mode = &ProcessorShim::of(processor.as_ptr()).host_link.render_mode;
            let mut data: ProcessData = std::mem::zeroed();
            data.processMode = BOUNCES;
            assert_eq!(processor.process(&raw mut data), kNotInitialized, "nothing was set up");
            let [mut plays, mut bounces] = [PLAYS, BOUNCES].map(|mode| test_instance::setup(mode, 512));
            assert_eq!(processor.setupProcessing(&raw mut plays), kResultOk);
            assert_eq!(processor.process(&raw mut data), kNotInitialized, "nothing is active");
            assert_eq!(component.setActive(1), kResultOk);
            assert_eq!(processor.setupProcessing(&raw mut bounces), kResultOk);
            assert_eq!(mode.get(), Some(ProcessMode::Offline), "without another activation");
            assert_eq!(processor.setupProcessing(&raw mut plays), kResultOk);
            data.processMode = PLAYS;
            assert_eq!(processor.process(&raw mut data), kResultOk);
            assert_eq!(mode.get(), Some(ProcessMode::Realtime));
            data.processMode = BOUNCES;
            assert_eq!(processor.process(&raw mut data), kResultOk);
            assert_eq!(mode.get(), Some(ProcessMode::Offline));
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
        let instance = test_instance::instance();
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
                let mut setup = test_instance::setup(PLAYS, max_samples);
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
}
