//! Gives the framework's CLAP wrapper blocks as they should be.
//!
//! A host is to pass all ports, and events within the block: what it leaves out is in [`block`] and [`events`], for a host that errs there is no reason to
//! end it on air. What it is asked, or told, besides blocks is in [`extensions`].
//!
//! The host calls through a table of functions that an instance begins with, and gives the table's own address to each: the host is given a copy in
//! which some are replaced. The copy is the head of a [`PluginShim`], so that they find the shim of their own instance.

mod block;
mod events;
mod extensions;
#[cfg(test)]
mod fake_host;

use std::mem::MaybeUninit;
use std::sync::Arc;

use clap_sys::ext::audio_ports::{CLAP_EXT_AUDIO_PORTS, clap_audio_port_info, clap_plugin_audio_ports};
use clap_sys::ext::params::clap_plugin_params;
use clap_sys::process::{CLAP_PROCESS_ERROR, clap_process, clap_process_status};
use nice_plug::wrapper::clap::{clap_host, clap_plugin};

use crate::block::MAX_CHANNELS;
use crate::host_link::HostLink;
use crate::host_link::claimed::Claimed;
use crate::host_link::spare_buses::Widths;
use block::Block;
use extensions::{get_extension, params_of, tell_of_latency};

/// The table of one instance, and what its blocks lack.
#[repr(C)]
pub struct PluginShim {
    /// What the host calls through. First, so that a pointer to it is a pointer to the shim.
    table: clap_plugin,
    original: *const clap_plugin,
    host: *const clap_host,
    host_link: Arc<HostLink>,
    /// The wrapper's, with a function of its own.
    params: Option<clap_plugin_params>,
    /// Of the thread that activates, and then of the one that processes.
    block: Claimed<Block>,
}

impl PluginShim {
    /// Stands between `host` and `original`, which nobody else has seen yet and whose plugin has the same `host_link`, until the host destroys it.
    ///
    /// # Safety
    /// `original` was just made for `host`, which outlives it.
    pub unsafe fn install(
        original: *const clap_plugin,
        host: *const clap_host,
        host_link: Arc<HostLink>,
    ) -> *const clap_plugin {
        // SAFETY: by the caller's word.
        let (mut table, params) = unsafe { (*original, params_of(original)) };
        table.destroy = Some(destroy);
        table.activate = Some(activate);
        table.process = Some(process);
        table.get_extension = Some(get_extension);
        let shim = Self { table, original, host, host_link, params, block: Claimed::new(Block::new()) };
        Box::into_raw(Box::new(shim)).cast()
    }

    /// The shim that the table is the head of.
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
        let shim = Box::from_raw(table.cast_mut().cast::<PluginShim>());
        if let Some(destroy) = (*shim.original).destroy {
            destroy(shim.original);
        }
    }
}

unsafe extern "C" fn activate(table: *const clap_plugin, rate_hz: f64, min_samples: u32, max_samples: u32) -> bool {
    // SAFETY: the host gives what it was given.
    unsafe {
        let shim = PluginShim::of(table);
        let is_active = (*shim.original)
            .activate
            .is_some_and(|activate| activate(shim.original, rate_hz, min_samples, max_samples));
        if !is_active {
            return false;
        }
        let widths = widths(shim.original);
        // No block should be processed meanwhile; one that is, is waited for.
        let prepared = shim.block.with_soon(|block| {
            block.spare.resize(max_samples as usize);
            block.widths = widths;
        });
        if prepared.is_none() {
            tracing::error!("a block is processed during the activation, and does not end");
        }
        if shim.host_link.latency.take_change() {
            tell_of_latency(shim.host);
        }
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
        let shim = PluginShim::of(table);
        let Some(process) = (*shim.original).process else { return CLAP_PROCESS_ERROR };
        let Some(mut own) = given.as_ref().copied() else { return CLAP_PROCESS_ERROR };
        let status = shim.block.with(|block| {
            if !block.complete(&mut own) {
                return CLAP_PROCESS_ERROR;
            }
            let events = block.events.within(&own);
            if !own.in_events.is_null() {
                own.in_events = &raw const events;
            }
            process(shim.original, &raw const own)
        });
        status.unwrap_or(CLAP_PROCESS_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::{null, null_mut};
    use std::time::{Duration, Instant};

    use clap_sys::audio_buffer::clap_audio_buffer;
    use clap_sys::events::{CLAP_EVENT_PARAM_MOD, CLAP_EVENT_PARAM_VALUE};
    use clap_sys::ext::audio_ports_config::{CLAP_EXT_AUDIO_PORTS_CONFIG, clap_plugin_audio_ports_config};
    use clap_sys::ext::latency::{CLAP_EXT_LATENCY, clap_plugin_latency};
    use clap_sys::ext::render::{CLAP_EXT_RENDER, CLAP_RENDER_OFFLINE, CLAP_RENDER_REALTIME, clap_plugin_render};
    use nice_plug::params::enums::Enum;
    use nice_plug::prelude::ProcessMode;

    use super::fake_host::{Asked, event, give, host, instance, params, play, render};
    use super::*;
    use crate::buses::{NUM_INPUT_BUSES, NUM_OUTPUT_BUSES};
    use crate::host_link::params_by_id::host_id;
    use crate::model::Model;

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
            let (table, instance, host_link) = instance(&host);
            let render_mode = &host_link.render_mode;
            assert_eq!(render_mode.get(), None);
            let get = (*table).get_extension.expect("a table of extensions");
            let render = get(table, CLAP_EXT_RENDER.as_ptr()).cast::<clap_plugin_render>().as_ref().expect("a mode");
            assert_eq!(render.has_hard_realtime_requirement.map(|has| has(table)), Some(false));
            for (mode, expected) in
                [(CLAP_RENDER_OFFLINE, ProcessMode::Offline), (CLAP_RENDER_REALTIME, ProcessMode::Realtime)]
            {
                assert_eq!(render.set.map(|set| set(table, mode)), Some(true));
                assert_eq!(render_mode.get(), Some(expected));
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
}
