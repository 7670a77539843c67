//! A plugin on the thread that created it.

pub(crate) mod params;
pub(crate) mod ports;

use crate::callbacks::{AudioThread, Host, MainThread, Shared};
use crate::{HostError, Ports, Processor};
use clack_extensions::latency::PluginLatency;
use clack_extensions::render::{PluginRender, RenderMode};
use clack_extensions::state::PluginState;
use clack_host::prelude::*;
use libloading::Library;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

/// What a host settles before `activate`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Sample rate.
    pub rate_hz: f64,
    /// Largest block that will be processed.
    pub max_block_samples: usize,
    /// Channels of the main buses: 1 or 2.
    pub num_channels: usize,
    /// Whether the host says that it renders offline.
    pub offline: bool,
}

/// What a plugin has asked of its host, or told it, since it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// To be deactivated and activated again.
    pub num_restarts: usize,
    /// To read another latency, within an activation.
    pub num_latency_changes: usize,
}

/// A plugin instance. Not `Send`: CLAP's main thread is the one that created it.
pub struct Instance {
    // Before `library`: the plugin must be gone when its code may go.
    plugin: PluginInstance<Host>,
    ports: Ports,
    config: Option<Config>,
    created_in: Duration,
    _library: Arc<Library>,
}

impl Instance {
    pub(crate) fn new(mut plugin: PluginInstance<Host>, created_in: Duration, library: Arc<Library>) -> Self {
        let ports = ports::read(plugin.plugin_handle());
        Self { plugin, ports, config: None, created_in, _library: library }
    }

    /// Time that creation and initialisation took.
    #[must_use]
    pub fn created_in(&self) -> Duration {
        self.created_in
    }

    /// The ports of the layout selected now.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// What `configure` was last given.
    #[must_use]
    pub fn config(&self) -> Option<Config> {
        self.config
    }

    /// Selects the port layout and the render mode. The rest is kept for [`Instance::activate`].
    ///
    /// # Errors
    /// [`HostError::MustBeInactive`]; [`HostError::NoLayout`] when no layout has that many main channels;
    /// [`HostError::NoExtension`] when a mode or layout must be set and cannot.
    pub fn configure(&mut self, config: Config) -> Result<(), HostError> {
        if self.plugin.is_active() {
            return Err(HostError::MustBeInactive("configure"));
        }
        let handle = self.plugin.plugin_handle();
        if self.ports.num_main_channels() != config.num_channels {
            ports::select(handle, config.num_channels)?;
            self.ports = ports::read(handle);
        }
        let mode = if config.offline { RenderMode::Offline } else { RenderMode::Realtime };
        let render = handle.get_extension::<PluginRender>().ok_or(HostError::NoExtension("render"))?;
        render.set(&handle, mode).map_err(|e| HostError::refused("render mode", e))?;
        self.config = Some(config);
        Ok(())
    }

    /// Activates the plugin and hands out its audio side, stopped.
    ///
    /// # Errors
    /// [`HostError::NotConfigured`], or [`HostError::Refused`] when the plugin refuses.
    pub fn activate(&mut self) -> Result<Processor, HostError> {
        let config = self.config.ok_or(HostError::NotConfigured)?;
        let max_frames_count = config.max_block_samples as u32;
        self.plugin.access_handler(|handler| handler.set_activating(true));
        let stopped = self.plugin.activate(
            |_, _| AudioThread,
            PluginAudioConfiguration { sample_rate: config.rate_hz, min_frames_count: 1, max_frames_count },
        );
        self.plugin.access_handler(|handler| handler.set_activating(false));
        let stopped = stopped.map_err(|e| HostError::refused("activate", e))?;
        self.pump();
        Ok(Processor::new(stopped.into(), &self.ports, config.max_block_samples))
    }

    /// Stops and deactivates the plugin.
    pub fn deactivate(&mut self, processor: Processor) {
        self.plugin.deactivate(processor.into_stopped());
        self.pump();
    }

    /// Reported latency, samples. Only meaningful while activated.
    #[must_use]
    pub fn latency_samples(&mut self) -> usize {
        let handle = self.plugin.plugin_handle();
        handle.get_extension::<PluginLatency>().map_or(0, |latency| latency.get(&handle)) as usize
    }

    /// Serves the plugin's request for a call on the main thread, where it made one. Whether it asked to be activated anew since the last look.
    pub fn pump(&mut self) -> bool {
        while self.plugin.access_shared_handler(Shared::take_callback) {
            self.plugin.call_on_main_thread_callback();
        }
        self.plugin.access_shared_handler(Shared::take_restart)
    }

    /// All that the plugin has asked so far.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked {
            num_restarts: self.plugin.access_shared_handler(Shared::num_restarts),
            num_latency_changes: self.plugin.access_handler(MainThread::num_latency_changes),
        }
    }

    /// The plugin's state, as a session would keep it.
    ///
    /// # Errors
    /// [`HostError::NoExtension`] or [`HostError::Refused`].
    pub fn save_state(&mut self) -> Result<Vec<u8>, HostError> {
        let handle = self.plugin.plugin_handle();
        let state = handle.get_extension::<PluginState>().ok_or(HostError::NoExtension("state"))?;
        let mut bytes = Vec::new();
        state.save(&handle, &mut bytes).map_err(|e| HostError::refused("save state", e))?;
        Ok(bytes)
    }

    /// Loads a state.
    ///
    /// # Errors
    /// [`HostError::NoExtension`], or [`HostError::Refused`] when the plugin rejects it.
    pub fn load_state(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        let handle = self.plugin.plugin_handle();
        let state = handle.get_extension::<PluginState>().ok_or(HostError::NoExtension("state"))?;
        state.load(&handle, &mut Cursor::new(bytes)).map_err(|e| HostError::refused("load state", e))
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("ports", &self.ports).field("config", &self.config).finish_non_exhaustive()
    }
}
