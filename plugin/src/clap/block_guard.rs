//! Gives the framework's CLAP wrapper blocks as they should be.
//!
//! A host is to pass all ports, and events within the block. nice-plug 0.4.2 relies on both: it reads a port that is one beyond those that are there,
//! does nothing at all where an auxiliary output is missing, and takes the time of an event for the end of a piece of the block, which beyond the
//! block's own ends the host's process. A host that errs there is no reason to end it on air.
//!
//! A host may say at any time how it renders. The wrapper asks it for another activation then: a host that does so at once begins anew within the file,
//! and for one that puts it off the bounce would be live, or what plays after it would wait for every mask. So the wrapper is not told, and what the host
//! says is kept for the activations and blocks that come: see [`RenderTold`](crate::render_told::RenderTold).
//!
//! A latency may change within an activation alone, where the host is to hear of it. So the latency is kept here, and told in time: see
//! [`LatencyTold`](crate::latency_told::LatencyTold).
//!
//! The value of a param is the one that a host set. The wrapper answers with what modulation makes of it, which the host would save, or show as set.
//!
//! The host calls through a table of functions that an instance begins with, and gives the table's own address to each: the host is given a copy in
//! which some are replaced. The copy is the head of a [`BlockGuard`], so that they find the guard of their own instance.

use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use clap_sys::audio_buffer::clap_audio_buffer;
use clap_sys::events::{CLAP_EVENT_TRANSPORT, clap_event_header, clap_event_transport, clap_input_events};
use clap_sys::ext::audio_ports::{CLAP_EXT_AUDIO_PORTS, clap_audio_port_info, clap_plugin_audio_ports};
use clap_sys::ext::latency::{CLAP_EXT_LATENCY, clap_host_latency, clap_plugin_latency};
use clap_sys::ext::params::{CLAP_EXT_PARAMS, clap_plugin_params};
use clap_sys::ext::render::{CLAP_EXT_RENDER, CLAP_RENDER_OFFLINE, clap_plugin_render, clap_plugin_render_mode};
use clap_sys::id::clap_id;
use clap_sys::process::{CLAP_PROCESS_ERROR, clap_process, clap_process_status};
use nice_plug::prelude::{Plugin, ProcessMode};
use nice_plug::wrapper::clap::{clap_host, clap_plugin};

use crate::Underscore;
use crate::block::MAX_CHANNELS;
use crate::buses::{NUM_INPUT_BUSES, NUM_OUTPUT_BUSES};
use crate::claimed::Claimed;
use crate::spare_buses::{Bus, Fit, SpareBuses, Widths};
use crate::told::Told;

/// Bytes of the largest event of the interface's own, and more.
const LARGEST_EVENT_BYTES: usize = 256;

/// The table of one instance, and what its blocks lack.
#[repr(C)]
pub struct BlockGuard {
    /// What the host calls through. First, so that a pointer to it is a pointer to the guard.
    table: clap_plugin,
    original: *const clap_plugin,
    host: *const clap_host,
    told: Arc<Told>,
    /// The wrapper's, with a function of its own.
    params: Option<clap_plugin_params>,
    /// Of the thread that activates, and then of the one that processes.
    block: Claimed<Block>,
}

impl BlockGuard {
    /// Stands between `host` and `original`, which nobody else has seen yet and which has what is `told`, until the host destroys it.
    ///
    /// # Safety
    /// `original` was just made for `host`, which outlives it.
    pub unsafe fn install(original: *const clap_plugin, host: *const clap_host, told: Arc<Told>) -> *const clap_plugin {
        // SAFETY: by the caller's word; an extension is null or what its name says.
        let (mut table, params) = unsafe {
            let params = (*original).get_extension.map_or(null(), |get| get(original, CLAP_EXT_PARAMS.as_ptr()));
            (*original, params.cast::<clap_plugin_params>().as_ref().copied())
        };
        table.destroy = Some(destroy);
        table.activate = Some(activate);
        table.process = Some(process);
        table.get_extension = Some(get_extension);
        let params = params.map(|params| clap_plugin_params { get_value: Some(param_value), ..params });
        let guard = Self { table, original, host, told, params, block: Claimed::new(Block::new()) };
        Box::into_raw(Box::new(guard)).cast()
    }

    /// The guard that the table is the head of.
    ///
    /// # Safety
    /// `table` was given out by `install` and not destroyed.
    unsafe fn of<'a>(table: *const clap_plugin) -> &'a Self {
        // SAFETY: by the caller's word.
        unsafe { &*table.cast() }
    }
}

unsafe extern "C" fn destroy(table: *const clap_plugin) {
    // SAFETY: the host destroys what it was given, once.
    unsafe {
        let guard = Box::from_raw(table.cast_mut().cast::<BlockGuard>());
        if let Some(destroy) = (*guard.original).destroy {
            destroy(guard.original);
        }
    }
}

unsafe extern "C" fn activate(table: *const clap_plugin, rate_hz: f64, min_samples: u32, max_samples: u32) -> bool {
    // SAFETY: the host gives what it was given.
    unsafe {
        let guard = BlockGuard::of(table);
        // It waits for a block that is processed meanwhile, as none should be.
        let is_active = (*guard.original)
            .activate
            .is_some_and(|activate| activate(guard.original, rate_hz, min_samples, max_samples));
        if !is_active {
            return false;
        }
        let widths = widths(guard.original);
        // A block that is processed meanwhile, as none should be, is waited for.
        let prepared = guard.block.with_soon(|block| {
            block.spare.resize(max_samples as usize);
            block.widths = widths;
        });
        if prepared.is_none() {
            tracing::error!("a block is processed during the activation, and does not end");
        }
        if guard.told.latency.take_untold() {
            tell_of_latency(guard.host);
        }
        true
    }
}

unsafe extern "C" fn get_extension(table: *const clap_plugin, id: *const c_char) -> *const c_void {
    // SAFETY: the host gives what it was given, and a name.
    unsafe {
        let guard = BlockGuard::of(table);
        let found = (*guard.original).get_extension.map_or(null(), |get| get(guard.original, id));
        if found.is_null() {
            return found;
        }
        match (CStr::from_ptr(id), &guard.params) {
            (id, _) if id == CLAP_EXT_RENDER => (&raw const RENDER).cast(),
            (id, _) if id == CLAP_EXT_LATENCY => (&raw const LATENCY).cast(),
            (id, Some(params)) if id == CLAP_EXT_PARAMS => std::ptr::from_ref(params).cast(),
            _ => found,
        }
    }
}

static LATENCY: clap_plugin_latency = clap_plugin_latency { get: Some(latency) };

unsafe extern "C" fn latency(table: *const clap_plugin) -> u32 {
    // SAFETY: the host gives what it was given.
    unsafe { BlockGuard::of(table) }.told.latency.tell()
}

/// Has the host ask for the latency, where it wants to hear of another one. For the main thread, within an activation.
///
/// # Safety
/// `host` is null or lives.
unsafe fn tell_of_latency(host: *const clap_host) {
    // SAFETY: by the caller's word; an extension is null or what its name says, and lives as long as the host.
    unsafe {
        let get = host.as_ref().and_then(|host| host.get_extension);
        let latency = get.map_or(null(), |get| get(host, CLAP_EXT_LATENCY.as_ptr())).cast::<clap_host_latency>();
        if let Some(changed) = latency.as_ref().and_then(|latency| latency.changed) {
            changed(host);
        }
    }
}

static RENDER: clap_plugin_render =
    clap_plugin_render { has_hard_realtime_requirement: Some(has_hard_realtime_requirement), set: Some(set_render) };

unsafe extern "C" fn has_hard_realtime_requirement(_table: *const clap_plugin) -> bool {
    Underscore::HARD_REALTIME_ONLY
}

unsafe extern "C" fn set_render(table: *const clap_plugin, mode: clap_plugin_render_mode) -> bool {
    // SAFETY: the host gives what it was given.
    let guard = unsafe { BlockGuard::of(table) };
    let is_offline = mode == CLAP_RENDER_OFFLINE;
    guard.told.render.set_up(if is_offline { ProcessMode::Offline } else { ProcessMode::Realtime });
    true
}

unsafe extern "C" fn param_value(table: *const clap_plugin, id: clap_id, value: *mut f64) -> bool {
    // SAFETY: the host gives what it was given, and null or a place to write to; the param lives as long as what holds it.
    unsafe {
        let guard = BlockGuard::of(table);
        let (Some(param), Some(value)) = (guard.told.params.get().and_then(|params| params.get(id)), value.as_mut())
        else {
            return false;
        };
        // As the wrapper has them: steps from 0 on, or a share of the range.
        *value = f64::from(param.unmodulated_normalized_value()) * param.step_count().unwrap_or(1) as f64;
        true
    }
}

/// Channels of the outputs that the plugin declares; its inputs have as many.
///
/// # Safety
/// `plugin` is an instance that lives.
unsafe fn widths(plugin: *const clap_plugin) -> Option<Widths> {
    // SAFETY: by the caller's word; extensions are null or what their names say, and live as long as the instance.
    unsafe {
        let ports = (*plugin).get_extension?(plugin, CLAP_EXT_AUDIO_PORTS.as_ptr());
        let get = ports.cast::<clap_plugin_audio_ports>().as_ref()?.get?;
        let num_channels = |place: u32| {
            let mut info = MaybeUninit::<clap_audio_port_info>::zeroed();
            get(plugin, place, false, info.as_mut_ptr())
                .then(|| (info.assume_init().channel_count as usize).min(MAX_CHANNELS))
        };
        Some(Widths { main: num_channels(0)?, aux: num_channels(1)? })
    }
}

unsafe extern "C" fn process(table: *const clap_plugin, given: *const clap_process) -> clap_process_status {
    // SAFETY: the host gives what it was given; what it gives with it is null or valid.
    unsafe {
        let guard = BlockGuard::of(table);
        let Some(process) = (*guard.original).process else { return CLAP_PROCESS_ERROR };
        let Some(mut own) = given.as_ref().copied() else { return CLAP_PROCESS_ERROR };
        let status = guard.block.with(|block| {
            if !block.complete(&mut own) {
                return CLAP_PROCESS_ERROR;
            }
            let events = block.events.within(&own);
            if !own.in_events.is_null() {
                own.in_events = &raw const events;
            }
            process(guard.original, &raw const own)
        });
        status.unwrap_or(CLAP_PROCESS_ERROR)
    }
}

/// What one block is completed with.
struct Block {
    spare: SpareBuses,
    /// None before the first activation that succeeds.
    widths: Option<Widths>,
    inputs: [clap_audio_buffer; NUM_INPUT_BUSES],
    outputs: [clap_audio_buffer; NUM_OUTPUT_BUSES],
    events: Events,
}

impl Block {
    fn new() -> Self {
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
    unsafe fn complete(&mut self, block: &mut clap_process) -> bool {
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

/// The host's events, each of them within the block.
struct Events {
    of_host: *const clap_input_events,
    last_sample: u32,
    /// A copy of one that came too late: of the transport, which the wrapper looks at until the block is over, and of any other.
    copies: [[u64; LARGEST_EVENT_BYTES / size_of::<u64>()]; 2],
}

impl Events {
    fn new() -> Self {
        Self { of_host: null(), last_sample: 0, copies: [[0; LARGEST_EVENT_BYTES / size_of::<u64>()]; 2] }
    }

    /// Those of `block`, for as long as it is processed.
    fn within(&mut self, block: &clap_process) -> clap_input_events {
        (self.of_host, self.last_sample) = (block.in_events, block.frames_count.saturating_sub(1));
        clap_input_events { ctx: std::ptr::from_mut(self).cast(), size: Some(size), get: Some(get) }
    }

    /// The event at `index`; where it is too late, at the block's last sample.
    ///
    /// # Safety
    /// The host's list lives.
    unsafe fn get(&mut self, index: u32) -> *const clap_event_header {
        // SAFETY: by the caller's word; the list's events are null or valid until the block is over.
        let event = unsafe { (*self.of_host).get.map_or(null(), |get| get(self.of_host, index)) };
        // SAFETY: as above.
        let Some(header) = (unsafe { event.as_ref() }) else { return event };
        if header.time <= self.last_sample {
            return event;
        }
        let is_transport = header.type_ == CLAP_EVENT_TRANSPORT;
        let least = if is_transport { size_of::<clap_event_transport>() } else { size_of::<clap_event_header>() };
        if !(least..=LARGEST_EVENT_BYTES).contains(&(header.size as usize)) {
            // None of the interface's own.
            return null();
        }
        let copy = &mut self.copies[usize::from(!is_transport)];
        // SAFETY: an event is as long as it says, and the copy has room for it and lies where the largest of its fields may.
        unsafe {
            std::ptr::copy_nonoverlapping(event.cast::<u8>(), copy.as_mut_ptr().cast(), header.size as usize);
            (*copy.as_mut_ptr().cast::<clap_event_header>()).time = self.last_sample;
        }
        copy.as_ptr().cast()
    }
}

unsafe extern "C" fn size(list: *const clap_input_events) -> u32 {
    // SAFETY: called with the list that `within` made, while the block is processed.
    unsafe {
        let events = &*(*list).ctx.cast::<Events>();
        (*events.of_host).size.map_or(0, |size| size(events.of_host))
    }
}

unsafe extern "C" fn get(list: *const clap_input_events, index: u32) -> *const clap_event_header {
    // SAFETY: called with the list that `within` made, while the block is processed, by one thread.
    unsafe { (*(*list).ctx.cast::<Events>()).get(index) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    use clap_sys::events::{CLAP_EVENT_PARAM_MOD, CLAP_EVENT_PARAM_VALUE, clap_event_param_value, clap_output_events};
    use clap_sys::ext::audio_ports_config::{CLAP_EXT_AUDIO_PORTS_CONFIG, clap_plugin_audio_ports_config};
    use clap_sys::ext::render::CLAP_RENDER_REALTIME;
    use nice_plug::params::enums::Enum;
    use nice_plug::wrapper::clap::{CLAP_VERSION, Wrapper, clap_host};

    use super::*;
    use crate::model::Model;
    use crate::params_by_id::host_id;

    /// A host's list of values at these times.
    struct List(Vec<clap_event_param_value>);

    /// A value, or what is added to it: the interface has them in one form.
    fn event(type_: u16, time: u32, param_id: u32, value: f64) -> clap_event_param_value {
        let size = size_of::<clap_event_param_value>() as u32;
        clap_event_param_value {
            header: clap_event_header { size, time, space_id: 0, type_, flags: 0 },
            param_id,
            cookie: null_mut(),
            note_id: -1,
            port_index: -1,
            channel: -1,
            key: -1,
            value,
        }
    }

    /// Gives the event to an instance that processes nothing just now.
    ///
    /// # Safety
    /// `table` is an instance that lives.
    unsafe fn give(table: *const clap_plugin, event: clap_event_param_value) {
        let mut list = List(vec![event]);
        let events = clap_input_events { ctx: (&raw mut list).cast(), size: Some(list_size), get: Some(list_get) };
        let out = clap_output_events { ctx: null_mut(), try_push: Some(take_none) };
        // SAFETY: by the caller's word; the lists live.
        unsafe { (params(table).flush.expect("a way in"))(table, &raw const events, &raw const out) }
    }

    unsafe extern "C" fn take_none(_: *const clap_output_events, _: *const clap_event_header) -> bool {
        false
    }

    /// # Safety
    /// `table` is an instance that lives.
    unsafe fn params<'a>(table: *const clap_plugin) -> &'a clap_plugin_params {
        // SAFETY: by the caller's word; an extension is what its name says.
        unsafe {
            let get = (*table).get_extension.expect("a table of extensions");
            get(table, CLAP_EXT_PARAMS.as_ptr()).cast::<clap_plugin_params>().as_ref().expect("params")
        }
    }

    /// Has it say how it renders from now on.
    ///
    /// # Safety
    /// `table` is an instance that lives.
    unsafe fn render(table: *const clap_plugin, mode: clap_plugin_render_mode) {
        // SAFETY: by the caller's word; an extension is what its name says.
        unsafe {
            let get = (*table).get_extension.expect("a table of extensions");
            let render = get(table, CLAP_EXT_RENDER.as_ptr()).cast::<clap_plugin_render>().as_ref().expect("a mode");
            assert_eq!(render.set.map(|set| set(table, mode)), Some(true));
        }
    }

    /// A block of silence in stereo on the main ports alone.
    ///
    /// # Safety
    /// `table` is an instance that processes.
    unsafe fn play(table: *const clap_plugin) {
        let mut memory = [[0.0_f32; 64]; 2];
        let mut channels = memory.each_mut().map(|channel| channel.as_mut_ptr());
        let port = clap_audio_buffer {
            data32: channels.as_mut_ptr(),
            data64: null_mut(),
            channel_count: 2,
            latency: 0,
            constant_mask: 0,
        };
        let (input, mut output) = (port, port);
        // SAFETY: plain data, whose null pointers nobody looks at.
        let mut block: clap_process = unsafe { std::mem::zeroed() };
        block.frames_count = 64;
        (block.audio_inputs, block.audio_inputs_count) = (&raw const input, 1);
        (block.audio_outputs, block.audio_outputs_count) = (&raw mut output, 1);
        // SAFETY: by the caller's word; the memory lives.
        let status = unsafe { (*table).process.map(|process| process(table, &raw const block)) };
        assert_ne!(status, Some(CLAP_PROCESS_ERROR));
    }

    unsafe extern "C" fn list_size(list: *const clap_input_events) -> u32 {
        // SAFETY: the context is a list that lives.
        let list = unsafe { &*(*list).ctx.cast::<List>() };
        list.0.len() as u32
    }

    unsafe extern "C" fn list_get(list: *const clap_input_events, index: u32) -> *const clap_event_header {
        // SAFETY: the context is a list that lives.
        let list = unsafe { &*(*list).ctx.cast::<List>() };
        list.0.get(index as usize).map_or(null(), |event| std::ptr::from_ref(event).cast())
    }

    /// What a host was asked.
    #[derive(Default)]
    struct Asked {
        num_restarts: Cell<u32>,
        num_latency_changes: Cell<u32>,
    }

    impl Asked {
        /// # Safety
        /// The host was made by `host` and lives.
        unsafe fn of<'a>(host: *const clap_host) -> &'a Self {
            // SAFETY: by the caller's word.
            unsafe { &*(*host).host_data.cast() }
        }
    }

    fn host(asked: &Asked) -> clap_host {
        clap_host {
            clap_version: CLAP_VERSION,
            host_data: std::ptr::from_ref(asked).cast_mut().cast(),
            name: c"a host".as_ptr(),
            vendor: c"".as_ptr(),
            url: c"".as_ptr(),
            version: c"".as_ptr(),
            get_extension: Some(host_extension),
            request_restart: Some(request_restart),
            request_process: Some(no_answer),
            request_callback: Some(no_answer),
        }
    }

    static HOST_LATENCY: clap_host_latency = clap_host_latency { changed: Some(latency_changed) };

    unsafe extern "C" fn host_extension(_: *const clap_host, id: *const c_char) -> *const c_void {
        // SAFETY: a name.
        if unsafe { CStr::from_ptr(id) } == CLAP_EXT_LATENCY { (&raw const HOST_LATENCY).cast() } else { null() }
    }

    unsafe extern "C" fn request_restart(host: *const clap_host) {
        // SAFETY: called with the host that lives.
        let asked = unsafe { Asked::of(host) };
        asked.num_restarts.update(|num| num + 1);
    }

    unsafe extern "C" fn latency_changed(host: *const clap_host) {
        // SAFETY: as above.
        let asked = unsafe { Asked::of(host) };
        asked.num_latency_changes.update(|num| num + 1);
    }

    unsafe extern "C" fn no_answer(_: *const clap_host) {}

    /// An instance as the factory makes it, initialised.
    ///
    /// # Safety
    /// The host outlives it.
    unsafe fn instance(host: &clap_host) -> (*const clap_plugin, *const clap_plugin, Arc<Told>) {
        let told = Told::offer();
        // SAFETY: the instance was just made, and the host lives as long as it.
        unsafe {
            let original = (*Arc::into_raw(Wrapper::<Underscore>::new(host))).clap_plugin.as_ptr();
            let table = BlockGuard::install(original, host, told.clone());
            assert!((*table).init.is_some_and(|init| init(table)));
            (table, original, told)
        }
    }

    #[test]
    fn a_host_hears_of_a_latency_within_the_activation_that_brings_it_and_is_asked_for_no_other() {
        let asked = Asked::default();
        let host = host(&asked);
        // SAFETY: calls as a host makes them, on one thread; the host lives as long as the instance.
        unsafe {
            let (table, ..) = instance(&host);
            let get = (*table).get_extension.expect("a table of extensions");
            let latency = get(table, CLAP_EXT_LATENCY.as_ptr()).cast::<clap_plugin_latency>().as_ref();
            let latency = || latency.and_then(|latency| latency.get).map(|get| get(table));
            let mut known = latency();
            assert_eq!(known, Some(0), "before the first activation");
            for (max_samples, is_other) in [(256, true), (256, false), (8192, true), (256, true)] {
                let told_before = asked.num_latency_changes.get();
                assert!((*table).activate.is_some_and(|activate| activate(table, 48e3, 1, max_samples)));
                assert_eq!(asked.num_latency_changes.get() - told_before, u32::from(is_other), "{max_samples}");
                assert_eq!((latency() != known, asked.num_restarts.get()), (is_other, 0), "{max_samples}");
                known = latency();
                (*table).deactivate.expect("an end")(table);
            }
            (*table).destroy.expect("an end")(table);
        }
    }

    #[test]
    fn a_layout_is_played_on_as_many_channels_as_it_has_whatever_a_host_passes() {
        const LEN: usize = 64;
        let asked = Asked::default();
        let host = host(&asked);
        for (layout, [main, aux]) in (0..).zip([[2, 2], [1, 2], [1, 1]]) {
            // SAFETY: calls as a host makes them, on one thread, with memory that lives; the host lives as long as the instance.
            unsafe {
                let (table, ..) = instance(&host);
                let get = (*table).get_extension.expect("a table of extensions");
                let configs = get(table, CLAP_EXT_AUDIO_PORTS_CONFIG.as_ptr()).cast::<clap_plugin_audio_ports_config>();
                assert!(
                    configs.as_ref().and_then(|configs| configs.select).is_some_and(|select| select(table, layout))
                );
                assert!((*table).activate.is_some_and(|activate| activate(table, 48e3, 1, LEN as u32)));
                assert!((*table).start_processing.is_some_and(|start| start(table)));
                let mut memory = [[[9.0_f32; LEN]; 2]; NUM_INPUT_BUSES + NUM_OUTPUT_BUSES];
                let mut channels = memory.each_mut().map(|bus| bus.each_mut().map(|channel| channel.as_mut_ptr()));
                let ports = channels.each_mut().map(|bus| clap_audio_buffer {
                    data32: bus.as_mut_ptr(),
                    data64: null_mut(),
                    channel_count: 2,
                    latency: 0,
                    constant_mask: 0,
                });
                let (inputs, outputs) = ports.split_at(NUM_INPUT_BUSES);
                let mut outputs: [_; NUM_OUTPUT_BUSES] = outputs.try_into().expect("all outputs");
                let mut block: clap_process = std::mem::zeroed();
                block.frames_count = LEN as u32;
                (block.audio_inputs, block.audio_inputs_count) = (inputs.as_ptr(), NUM_INPUT_BUSES as u32);
                (block.audio_outputs, block.audio_outputs_count) = (outputs.as_mut_ptr(), NUM_OUTPUT_BUSES as u32);
                assert_ne!((*table).process.map(|process| process(table, &raw const block)), Some(CLAP_PROCESS_ERROR));
                let num_written = |bus: &[[f32; LEN]; 2]| bus.iter().filter(|channel| channel[0] != 9.0).count();
                let written: Vec<usize> = memory[NUM_INPUT_BUSES..].iter().map(num_written).collect();
                assert_eq!(written, [main, aux, aux, aux, aux], "layout {layout}");
                (*table).stop_processing.expect("an end")(table);
                (*table).deactivate.expect("an end")(table);
                (*table).destroy.expect("an end")(table);
            }
        }
    }

    #[test]
    fn what_a_host_says_of_its_rendering_is_kept_for_the_blocks_that_come() {
        let asked = Asked::default();
        let host = host(&asked);
        // SAFETY: calls as a host makes them, on one thread; the host lives as long as the instance.
        unsafe {
            let (table, instance, told) = instance(&host);
            let told = &told.render;
            assert_eq!(told.get(), None);
            let get = (*table).get_extension.expect("a table of extensions");
            let render = get(table, CLAP_EXT_RENDER.as_ptr()).cast::<clap_plugin_render>().as_ref().expect("a mode");
            assert_eq!(render.has_hard_realtime_requirement.map(|has| has(table)), Some(false));
            for (mode, expected) in
                [(CLAP_RENDER_OFFLINE, ProcessMode::Offline), (CLAP_RENDER_REALTIME, ProcessMode::Realtime)]
            {
                assert_eq!(render.set.map(|set| set(table, mode)), Some(true));
                assert_eq!(told.get(), Some(expected));
            }
            let ports = get(table, CLAP_EXT_AUDIO_PORTS.as_ptr());
            assert_eq!(
                ports,
                (*instance).get_extension.map_or(null(), |get| get(instance, CLAP_EXT_AUDIO_PORTS.as_ptr()))
            );
            (*table).destroy.expect("an end")(table);
        }
    }

    #[test]
    fn a_host_is_asked_for_no_activation_when_a_bounce_begins_or_ends_nor_for_another_latency_within_it() {
        let asked = Asked::default();
        let host = host(&asked);
        let model = Model::of("live-1").expect("a model of another latency than the default's").to_index();
        // SAFETY: calls as a host makes them, on one thread; the host lives as long as the instance.
        unsafe {
            let (table, ..) = instance(&host);
            assert!((*table).activate.is_some_and(|activate| activate(table, 48e3, 1, 64)));
            assert!((*table).start_processing.is_some_and(|start| start(table)));
            play(table);
            render(table, CLAP_RENDER_OFFLINE);
            play(table);
            give(table, event(CLAP_EVENT_PARAM_VALUE, 0, host_id("model"), model as f64));
            // Till it is seen.
            std::thread::sleep(Duration::from_millis(500));
            play(table);
            assert_eq!(asked.num_restarts.get(), 0, "within the bounce");
            render(table, CLAP_RENDER_REALTIME);
            assert_eq!(asked.num_restarts.get(), 0, "at its end");
            let start = Instant::now();
            while asked.num_restarts.get() == 0 {
                assert!(start.elapsed().as_secs() < 20, "what was chosen is forgotten");
                play(table);
            }
            play(table);
            assert_eq!(asked.num_restarts.get(), 1);
            (*table).stop_processing.expect("an end")(table);
            (*table).deactivate.expect("an end")(table);
            (*table).destroy.expect("an end")(table);
        }
    }

    #[test]
    fn the_value_of_a_param_is_what_was_set_whatever_modulates_it() {
        let asked = Asked::default();
        let host = host(&asked);
        // SAFETY: calls as a host makes them, on one thread; the host lives as long as the instance.
        unsafe {
            let (table, ..) = instance(&host);
            let value = |id: &str| {
                let mut value = 0.0;
                let get = params(table).get_value.expect("a way out");
                get(table, host_id(id), &raw mut value).then_some(value)
            };
            give(table, event(CLAP_EVENT_PARAM_VALUE, 0, host_id("dry_wet"), 0.25));
            give(table, event(CLAP_EVENT_PARAM_MOD, 0, host_id("dry_wet"), 0.5));
            assert_eq!(value("dry_wet"), Some(0.25));
            give(table, event(CLAP_EVENT_PARAM_VALUE, 0, host_id("device"), 1.0));
            assert_eq!([value("device"), value("model")], [Some(1.0), Some(0.0)], "by steps");
            assert_eq!(value("none of them"), None);
            (*table).destroy.expect("an end")(table);
        }
    }

    #[test]
    fn events_beyond_the_block_come_with_its_last_sample_and_others_are_left_alone() {
        let at = |time: u32| event(CLAP_EVENT_PARAM_VALUE, time, time, f64::from(time));
        let mut list = List([0, 63, 64, 5_000_000].map(at).into());
        let of_host = clap_input_events { ctx: (&raw mut list).cast(), size: Some(list_size), get: Some(list_get) };
        // SAFETY: plain data, whose null pointers nobody looks at.
        let mut block: clap_process = unsafe { std::mem::zeroed() };
        (block.frames_count, block.in_events) = (64, &raw const of_host);
        let mut events = Events::new();
        let within = events.within(&block);
        // SAFETY: all of it lives, and each event is a value.
        let heard: Vec<(u32, f64)> = unsafe {
            (0..size(&raw const within))
                .map(|index| get(&raw const within, index).cast::<c_void>().cast::<clap_event_param_value>())
                .map(|event| ((*event).header.time, (*event).value))
                .collect()
        };
        assert_eq!(heard, [(0, 0.0), (63, 63.0), (63, 64.0), (63, 5e6)]);
        list.0[3].header.size = 1_000_000;
        // SAFETY: as above.
        assert!(unsafe { get(&raw const within, 3) }.is_null(), "an event that is none is none");
    }
}
