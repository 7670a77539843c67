//! A host for tests: what it gives an instance, and what it is asked by it.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use clap_sys::audio_buffer::clap_audio_buffer;
use clap_sys::events::{clap_event_header, clap_event_param_value, clap_input_events, clap_output_events};
use clap_sys::ext::latency::{CLAP_EXT_LATENCY, clap_host_latency};
use clap_sys::ext::params::{CLAP_EXT_PARAMS, clap_plugin_params};
use clap_sys::ext::render::{CLAP_EXT_RENDER, clap_plugin_render, clap_plugin_render_mode};
use clap_sys::process::{CLAP_PROCESS_ERROR, clap_process};
use nice_plug::wrapper::clap::{CLAP_VERSION, Wrapper, clap_host, clap_plugin};

use super::PluginShim;
use crate::Underscore;
use crate::host_link::HostLink;

/// A host's list of values at these times.
pub struct List(pub Vec<clap_event_param_value>);

impl List {
    /// In the interface's form, for as long as it lives.
    pub fn events(&mut self) -> clap_input_events {
        clap_input_events { ctx: std::ptr::from_mut(self).cast(), size: Some(list_size), get: Some(list_get) }
    }
}

/// A value, or what is added to it: the interface has them in one form.
pub fn event(type_: u16, time: u32, param_id: u32, value: f64) -> clap_event_param_value {
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
pub unsafe fn give(table: *const clap_plugin, event: clap_event_param_value) {
    let mut list = List(vec![event]);
    let events = list.events();
    let out = clap_output_events { ctx: null_mut(), try_push: Some(take_none) };
    // SAFETY: by the caller's word; the lists live.
    unsafe { (params(table).flush.expect("a way in"))(table, &raw const events, &raw const out) }
}

unsafe extern "C" fn take_none(_: *const clap_output_events, _: *const clap_event_header) -> bool {
    false
}

/// # Safety
/// `table` is an instance that lives.
pub unsafe fn params<'a>(table: *const clap_plugin) -> &'a clap_plugin_params {
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
pub unsafe fn render(table: *const clap_plugin, mode: clap_plugin_render_mode) {
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
pub unsafe fn play(table: *const clap_plugin) {
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
pub struct Asked {
    pub num_restarts: Cell<u32>,
    pub num_latency_changes: Cell<u32>,
}

impl Asked {
    /// # Safety
    /// The host was made by `host` and lives.
    unsafe fn of<'a>(host: *const clap_host) -> &'a Self {
        // SAFETY: by the caller's word.
        unsafe { &*(*host).host_data.cast() }
    }
}

pub fn host(asked: &Asked) -> clap_host {
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
pub unsafe fn instance(host: &clap_host) -> (*const clap_plugin, *const clap_plugin, Arc<HostLink>) {
    let host_link = HostLink::offer();
    // SAFETY: the instance was just made, and the host lives as long as it.
    unsafe {
        let original = (*Arc::into_raw(Wrapper::<Underscore>::new(host))).clap_plugin.as_ptr();
        let table = PluginShim::install(original, host, host_link.clone());
        assert!((*table).init.is_some_and(|init| init(table)));
        (table, original, host_link)
    }
}
