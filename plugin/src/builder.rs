//! Makes engines, off the audio thread, and gets rid of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use underscore_engine::{Catalogue, Engine, EngineConfig, EngineStatus, Resources, Worker};

use crate::params::UnderscoreParams;
use crate::separation::{EngineKey, EngineSupply, Separation};

/// What the host said when it activated the plugin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostConfig {
    /// The host's rate, Hz.
    pub rate_hz: f64,
    /// Largest block, samples.
    pub max_block_samples: usize,
    /// Channels of the main bus.
    pub num_channels: usize,
}

/// The engine that the params ask for.
#[must_use]
pub fn wanted(params: &UnderscoreParams) -> EngineKey {
    EngineKey { model: params.model.value().id(), device: params.device.value().choice() }
}

/// The maker of one instance's engines. Shared by the host's main thread (activation) and the background thread (a change of
/// model or device while the sound runs).
#[derive(Default)]
pub struct Builder {
    state: Mutex<BuilderState>,
    /// A change needs another latency, which only an activation may bring.
    needs_restart: AtomicBool,
    /// A change could not be made yet, because the one before it is still being crossfaded.
    has_waiting_change: AtomicBool,
}

#[derive(Default)]
struct BuilderState {
    /// Two, because while one engine takes over from another both want masks. The second costs nothing before that.
    workers: [Worker; 2],
    worker_idx: usize,
    active: Option<Active>,
    status: Option<Arc<EngineStatus>>,
}

struct Active {
    host: HostConfig,
    latency_samples: usize,
    newest: EngineKey,
    supply: EngineSupply,
    /// An engine was sent, and the one that it takes over from has not come back: both workers are in use.
    is_taking_over: bool,
}

impl Builder {
    fn state(&self) -> MutexGuard<'_, BuilderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine for an activation. `None`, and a line in the log, where the host asks for what cannot be: no rate at all.
    pub fn activate(&self, host: HostConfig, key: EngineKey) -> Option<Separation> {
        let mut state = self.state();
        state.active = None;
        self.needs_restart.store(false, Ordering::Relaxed);
        self.has_waiting_change.store(false, Ordering::Relaxed);
        let engine = state.build(host, key)?;
        let latency_samples = engine.latency_samples();
        let (separation, supply) = Separation::new(Box::new(engine), host.rate_hz);
        state.active = Some(Active { host, latency_samples, newest: key, supply, is_taking_over: false });
        Some(separation)
    }

    /// There is no audio thread any more.
    pub fn deactivate(&self) {
        let mut state = self.state();
        state.active = None;
        state.status = None;
    }

    /// Frees old engines and, where `key` is not what was built last, builds it. For the background thread.
    pub fn tend(&self, key: EngineKey) {
        let mut state = self.state();
        let Some(active) = &mut state.active else { return };
        if active.supply.free_old() > 0 {
            active.is_taking_over = false;
        }
        let is_waiting = active.newest != key && active.is_taking_over;
        self.has_waiting_change.store(is_waiting, Ordering::Relaxed);
        if active.newest == key || is_waiting {
            return;
        }
        let (host, latency_samples) = (active.host, active.latency_samples);
        // The engine in use keeps its worker until the new one has taken over.
        state.worker_idx = (state.worker_idx + 1) % state.workers.len();
        let Some(engine) = state.build(host, key) else { return };
        let Some(active) = &mut state.active else { return };
        if engine.latency_samples() != latency_samples {
            self.needs_restart.store(true, Ordering::Release);
        } else if active.supply.send(Box::new(engine)).is_ok() {
            active.newest = key;
            active.is_taking_over = true;
        }
    }

    /// Whether a change waits to be asked for again. Real-time safe.
    pub fn has_waiting_change(&self) -> bool {
        self.has_waiting_change.load(Ordering::Relaxed)
    }

    /// Whether the host must be asked to activate the plugin again; says so once. Real-time safe.
    pub fn take_needs_restart(&self) -> bool {
        self.needs_restart.load(Ordering::Relaxed) && self.needs_restart.swap(false, Ordering::Acquire)
    }

    /// Figures of the engine built last, while the plugin is active. Not for the audio thread.
    #[must_use]
    pub fn status(&self) -> Option<Arc<EngineStatus>> {
        self.state().status.clone()
    }
}

impl BuilderState {
    fn build(&mut self, host: HostConfig, key: EngineKey) -> Option<Engine> {
        let Some(model) = Catalogue::shipped().find(key.model) else {
            tracing::error!("the model '{}' is not in the catalogue", key.model);
            return None;
        };
        let config = EngineConfig {
            host_rate_hz: host.rate_hz,
            max_block_samples: host.max_block_samples,
            num_channels: host.num_channels,
            model: model.clone(),
            device: key.device,
            resources: Resources::of_this_binary(),
        };
        match Engine::activate(config, &self.workers[self.worker_idx]) {
            Ok(engine) => {
                self.status = Some(engine.status());
                Some(engine)
            }
            Err(error) => {
                tracing::error!("cannot separate for {host:?}: {error}");
                None
            }
        }
    }
}
