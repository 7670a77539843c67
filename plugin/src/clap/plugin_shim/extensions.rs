//! What an instance answers itself of what a host asks the wrapper's extensions.
//!
//! A host may say at any time how it renders. The wrapper asks it for another activation then: a host that does so at once begins anew within the file,
//! and for one that puts it off the bounce would be live, or what plays after it would wait for every mask. So the wrapper is not told, and what the host
//! says is kept for the activations and blocks that come: see [`HostRenderMode`](crate::host_link::render_mode::HostRenderMode).
//!
//! A latency may change within an activation alone, where the host is to hear of it. So the latency is kept here, and told in time: see
//! [`ReportedLatency`](crate::host_link::reported_latency::ReportedLatency).
//!
//! The value of a param is the one that a host set. The wrapper answers with what modulation makes of it, which the host would save, or show as set.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::null;

use clap_sys::ext::latency::{CLAP_EXT_LATENCY, clap_host_latency, clap_plugin_latency};
use clap_sys::ext::params::{CLAP_EXT_PARAMS, clap_plugin_params};
use clap_sys::ext::render::{CLAP_EXT_RENDER, CLAP_RENDER_OFFLINE, clap_plugin_render, clap_plugin_render_mode};
use clap_sys::id::clap_id;
use nice_plug::prelude::{Plugin, ProcessMode};
use nice_plug::wrapper::clap::{clap_host, clap_plugin};

use super::PluginShim;
use crate::Underscore;

/// The params of the wrapper's instance, with the values that a host set; none where it has no params.
///
/// # Safety
/// `original` is an instance that lives.
pub unsafe fn params_of(original: *const clap_plugin) -> Option<clap_plugin_params> {
    // SAFETY: by the caller's word; an extension is null or what its name says.
    let params = unsafe {
        let params = (*original).get_extension.map_or(null(), |get| get(original, CLAP_EXT_PARAMS.as_ptr()));
        params.cast::<clap_plugin_params>().as_ref().copied()?
    };
    Some(clap_plugin_params { get_value: Some(param_value), ..params })
}

pub unsafe extern "C" fn get_extension(table: *const clap_plugin, id: *const c_char) -> *const c_void {
    // SAFETY: the host gives what it was given, and a name.
    unsafe {
        let shim = PluginShim::of(table);
        let found = (*shim.original).get_extension.map_or(null(), |get| get(shim.original, id));
        if found.is_null() {
            return found;
        }
        match (CStr::from_ptr(id), &shim.params) {
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
    unsafe { PluginShim::of(table) }.host_link.latency.report()
}

/// Has the host ask for the latency, where it wants to hear of another one. For the main thread, within an activation.
///
/// # Safety
/// `host` is null or lives.
pub unsafe fn tell_of_latency(host: *const clap_host) {
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
    let shim = unsafe { PluginShim::of(table) };
    let is_offline = mode == CLAP_RENDER_OFFLINE;
    shim.host_link.render_mode.set_up(if is_offline { ProcessMode::Offline } else { ProcessMode::Realtime });
    true
}

unsafe extern "C" fn param_value(table: *const clap_plugin, id: clap_id, value: *mut f64) -> bool {
    // SAFETY: the host gives what it was given, and null or a place to write to; the param lives as long as what holds it.
    unsafe {
        let shim = PluginShim::of(table);
        let (Some(param), Some(value)) =
            (shim.host_link.params.get().and_then(|params| params.get(id)), value.as_mut())
        else {
            return false;
        };
        // As the wrapper has them: steps from 0 on, or a share of the range.
        *value = f64::from(param.unmodulated_normalized_value()) * param.step_count().unwrap_or(1) as f64;
        true
    }
}
