//! Gives the framework's CLAP wrapper blocks as they should be.
//!
//! A host is to pass all ports, and events within the block. nice-plug 0.4.2 relies on both: it reads a port that is one beyond those that are there,
//! does nothing at all where an auxiliary output is missing, and takes the time of an event for the end of a piece of the block, which beyond the
//! block's own ends the host's process. A host that errs there is no reason to end it on air.
//!
//! A host may say at any time how it renders. The wrapper asks it for another activation then, which it may put off: the bounce would be live, or what
//! plays after it would wait for every mask. So what it says is kept for the blocks that come: see [`RenderTold`].
//!
//! The host calls through a table of functions that an instance begins with, and gives the table's own address to each: the host is given a copy in
//! which four are replaced. The copy is the head of a [`BlockGuard`], so that they find the guard of their own instance.

use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use clap_sys::audio_buffer::clap_audio_buffer;
use clap_sys::events::{CLAP_EVENT_TRANSPORT, clap_event_header, clap_event_transport, clap_input_events};
use clap_sys::ext::audio_ports::{CLAP_EXT_AUDIO_PORTS, clap_audio_port_info, clap_plugin_audio_ports};
use clap_sys::ext::render::{CLAP_EXT_RENDER, CLAP_RENDER_OFFLINE, clap_plugin_render, clap_plugin_render_mode};
use clap_sys::process::{CLAP_PROCESS_ERROR, clap_process, clap_process_status};
use nice_plug::prelude::ProcessMode;
use nice_plug::wrapper::clap::clap_plugin;

use crate::block::MAX_CHANNELS;
use crate::buses::{NUM_INPUT_BUSES, NUM_OUTPUT_BUSES};
use crate::claimed::Claimed;
use crate::render_told::RenderTold;
use crate::spare_buses::{Bus, Fit, SpareBuses};

/// Bytes of the largest event of the interface's own, and more.
const LARGEST_EVENT_BYTES: usize = 256;

/// The table of one instance, and what its blocks lack.
#[repr(C)]
pub struct BlockGuard {
    /// What the host calls through. First, so that a pointer to it is a pointer to the guard.
    table: clap_plugin,
    original: *const clap_plugin,
    render_told: Arc<RenderTold>,
    /// Of the thread that activates, and then of the one that processes.
    block: Claimed<Block>,
}

impl BlockGuard {
    /// Stands between the host and `original`, which nobody else has seen yet and which reads `render_told`, until the host destroys it.
    ///
    /// # Safety
    /// `original` was just made.
    pub unsafe fn install(original: *const clap_plugin, render_told: Arc<RenderTold>) -> *const clap_plugin {
        // SAFETY: by the caller's word.
        let mut table = unsafe { *original };
        table.destroy = Some(destroy);
        table.activate = Some(activate);
        table.process = Some(process);
        table.get_extension = Some(get_extension);
        let guard = Self { table, original, render_told, block: Claimed::new(Block::new()) };
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
        let num_main_channels = num_main_channels(guard.original);
        // A block that is processed meanwhile, as none should be, is waited for.
        let prepared = guard.block.with_soon(|block| {
            block.spare.resize(max_samples as usize);
            block.num_main_channels = num_main_channels;
        });
        if prepared.is_none() {
            tracing::error!("a block is processed during the activation, and does not end");
        }
        true
    }
}

unsafe extern "C" fn get_extension(table: *const clap_plugin, id: *const c_char) -> *const c_void {
    // SAFETY: the host gives what it was given, and a name.
    unsafe {
        let original = BlockGuard::of(table).original;
        let found = (*original).get_extension.map_or(null(), |get| get(original, id));
        if !found.is_null() && CStr::from_ptr(id) == CLAP_EXT_RENDER { (&raw const RENDER).cast() } else { found }
    }
}

static RENDER: clap_plugin_render =
    clap_plugin_render { has_hard_realtime_requirement: Some(has_hard_realtime_requirement), set: Some(set_render) };

/// The wrapper's own table.
///
/// # Safety
/// `plugin` is an instance that lives.
unsafe fn wrapper_s_render<'a>(plugin: *const clap_plugin) -> Option<&'a clap_plugin_render> {
    // SAFETY: by the caller's word; an extension is null or what its name says, and lives as long as the instance.
    unsafe { (*plugin).get_extension?(plugin, CLAP_EXT_RENDER.as_ptr()).cast::<clap_plugin_render>().as_ref() }
}

unsafe extern "C" fn has_hard_realtime_requirement(table: *const clap_plugin) -> bool {
    // SAFETY: the host gives what it was given.
    unsafe {
        let original = BlockGuard::of(table).original;
        wrapper_s_render(original)
            .and_then(|render| render.has_hard_realtime_requirement)
            .is_some_and(|has| has(original))
    }
}

unsafe extern "C" fn set_render(table: *const clap_plugin, mode: clap_plugin_render_mode) -> bool {
    // SAFETY: the host gives what it was given.
    unsafe {
        let guard = BlockGuard::of(table);
        let is_offline = mode == CLAP_RENDER_OFFLINE;
        guard.render_told.set_up(if is_offline { ProcessMode::Offline } else { ProcessMode::Realtime });
        wrapper_s_render(guard.original).and_then(|render| render.set).is_some_and(|set| set(guard.original, mode))
    }
}

/// Channels of the main output that the plugin declares.
///
/// # Safety
/// `plugin` is an instance that lives.
unsafe fn num_main_channels(plugin: *const clap_plugin) -> usize {
    // SAFETY: by the caller's word; extensions are null or what their names say, and live as long as the instance.
    unsafe {
        let ports = (*plugin).get_extension.map_or(null(), |get| get(plugin, CLAP_EXT_AUDIO_PORTS.as_ptr()));
        let Some(get) = ports.cast::<clap_plugin_audio_ports>().as_ref().and_then(|ports| ports.get) else { return 0 };
        let mut info = MaybeUninit::<clap_audio_port_info>::zeroed();
        if get(plugin, 0, false, info.as_mut_ptr()) {
            (info.assume_init().channel_count as usize).min(MAX_CHANNELS)
        } else {
            0
        }
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
    /// Of the main buses; 0 before the first activation that succeeds.
    num_main_channels: usize,
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
            num_main_channels: 0,
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
        if self.num_main_channels == 0 {
            return false;
        }
        // SAFETY: as many as the block says, by the caller's word.
        let (inputs, outputs) = unsafe {
            (ports(block.audio_inputs, block.audio_inputs_count), ports(block.audio_outputs, block.audio_outputs_count))
        };
        let (input, output) = (|place: usize| inputs.get(place).map(bus), |place: usize| outputs.get(place).map(bus));
        let sizes = (self.num_main_channels, block.frames_count as usize);
        // SAFETY: by the caller's word.
        let (full_inputs, full_outputs) = match unsafe { self.spare.complete(sizes, input, output) } {
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
    use clap_sys::events::clap_event_param_value;
    use clap_sys::ext::render::CLAP_RENDER_REALTIME;
    use nice_plug::wrapper::clap::{CLAP_VERSION, Wrapper, clap_host};

    use super::*;
    use crate::Underscore;

    /// A host's list of values at these times.
    struct List(Vec<clap_event_param_value>);

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

    unsafe extern "C" fn no_extension(_: *const clap_host, _: *const c_char) -> *const c_void {
        null()
    }

    unsafe extern "C" fn no_answer(_: *const clap_host) {}

    #[test]
    fn what_a_host_says_of_its_rendering_is_kept_for_the_blocks_that_come() {
        let host = clap_host {
            clap_version: CLAP_VERSION,
            host_data: null_mut(),
            name: c"a host".as_ptr(),
            vendor: c"".as_ptr(),
            url: c"".as_ptr(),
            version: c"".as_ptr(),
            get_extension: Some(no_extension),
            request_restart: Some(no_answer),
            request_process: Some(no_answer),
            request_callback: Some(no_answer),
        };
        let told = RenderTold::offer();
        // SAFETY: calls as a host makes them, on one thread; the instance was just made, and the host lives as long as it.
        unsafe {
            let instance = (*Arc::into_raw(Wrapper::<Underscore>::new(&raw const host))).clap_plugin.as_ptr();
            let table = BlockGuard::install(instance, told.clone());
            assert!((*table).init.is_some_and(|init| init(table)));
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
    fn events_beyond_the_block_come_with_its_last_sample_and_others_are_left_alone() {
        let event = |time: u32| clap_event_param_value {
            header: clap_event_header {
                size: size_of::<clap_event_param_value>() as u32,
                time,
                space_id: 0,
                type_: 5,
                flags: 0,
            },
            param_id: time,
            cookie: null_mut(),
            note_id: -1,
            port_index: -1,
            channel: -1,
            key: -1,
            value: f64::from(time),
        };
        let mut list = List([0, 63, 64, 5_000_000].map(event).into());
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
