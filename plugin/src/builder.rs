//! Makes engines, off the audio thread, and gets rid of them.

mod played;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use underscore_engine::{
    Catalogue, Engine, EngineConfig, EngineStatus, QueryBoards, RenderMode, Resources, StatusSnapshot, Worker, latency,
    num_tries_again,
};

use crate::params::UnderscoreParams;
use crate::takeover::{EngineKey, EngineSupply, Takeover};
use played::Played;

/// Pause between two looks at the params: a click on another model is answered within it.
const TEND_INTERVAL: Duration = Duration::from_millis(50);

/// What the host said when it activated the plugin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostConfig {
    /// The host's rate, Hz.
    pub rate_hz: f64,
    /// Largest block, samples.
    pub max_block_samples: usize,
    /// Channels of the main bus.
    pub num_channels: usize,
    /// Whether it lines other sound up by the latency that it was told of, which then holds for as long as the plugin is active.
    pub compensates_latency: bool,
}

/// The engine that the params ask for.
#[must_use]
pub fn wanted(params: &UnderscoreParams) -> EngineKey {
    EngineKey { model: params.model.value().id(), device: params.device.value().choice() }
}

/// The maker of one instance's engines. Shared by the host's main thread (activation) and the [`Tender`]'s thread (a change of model
/// or device while the sound runs).
pub struct Builder {
    catalogue: &'static Catalogue,
    /// Where engines write the example that they listened to.
    boards: Arc<QueryBoards>,
    state: Mutex<BuilderState>,
    /// A change needs another latency, which only an activation may bring.
    needs_restart: AtomicBool,
    played: Played,
}

/// What there is to see of an instance's engines at one moment.
pub struct EngineFigures {
    /// Figures of the audible engine, while the plugin is active.
    pub current: Option<StatusSnapshot>,
    /// Figures of the engine that is being made ready to take over.
    pub next: Option<StatusSnapshot>,
    /// Whether the host gives the plugin sound just now.
    pub plays: bool,
    /// See [`HostConfig::compensates_latency`]; `true` while the plugin is not active.
    pub compensates_latency: bool,
    /// Whether what is wanted waits for the host to activate the plugin again.
    pub waits_for_host: bool,
    /// What whoever has started the stand-alone program must know whose audio server has another rate or longer blocks than the program was
    /// started for: it takes them as they come and tells nobody.
    pub clock_notice: Option<String>,
}

impl Default for EngineFigures {
    /// While the plugin is not active.
    fn default() -> Self {
        Self {
            current: None,
            next: None,
            plays: false,
            compensates_latency: true,
            waits_for_host: false,
            clock_notice: None,
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::of(Catalogue::shipped())
    }
}

#[derive(Default)]
struct BuilderState {
    /// Two, because while one engine takes over from another both want masks. The second costs nothing before that.
    workers: [Worker; 2],
    worker_idx: usize,
    active: Option<Active>,
    /// Status of the engine built last.
    status: Option<Arc<EngineStatus>>,
}

struct Active {
    host: HostConfig,
    /// Status of the audible engine.
    current: Arc<EngineStatus>,
    current_key: EngineKey,
    latency_samples: usize,
    /// Key of the engine built last.
    newest_key: EngineKey,
    /// Whether that is to be built once more, though nothing else is wanted.
    is_to_be_tried_again: bool,
    /// What was wanted after that and only an activation can bring.
    awaiting_activation: Option<EngineKey>,
    supply: EngineSupply,
    /// See [`num_tries_again`].
    num_tries_again: u64,
    /// An engine was sent, and the one that it takes over from has not come back: both workers are in use.
    is_taking_over: bool,
}

impl Builder {
    /// A maker of engines for the models of `catalogue`.
    #[must_use]
    pub fn of(catalogue: &'static Catalogue) -> Self {
        Self {
            catalogue,
            boards: Arc::default(),
            state: Mutex::default(),
            needs_restart: AtomicBool::new(false),
            played: Played::default(),
        }
    }

    /// Has its engines write their examples on `boards`.
    #[must_use]
    pub fn with_boards(self, boards: Arc<QueryBoards>) -> Self {
        Self { boards, ..self }
    }

    fn state(&self) -> MutexGuard<'_, BuilderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine for an activation. `None`, and a line in the log, where the host asks for what cannot be: no rate at all.
    pub fn activate(&self, host: HostConfig, key: EngineKey) -> Option<Takeover> {
        let mut state = self.state();
        state.active = None;
        self.needs_restart.store(false, Ordering::Relaxed);
        self.played.forget();
        state.choose_worker();
        let engine = state.build(self.catalogue, &self.boards, host, key)?;
        let (current, latency_samples) = (engine.status(), engine.latency_samples());
        let (takeover, supply) = Takeover::new(Box::new(engine), host.rate_hz, host.max_block_samples);
        state.active = Some(Active {
            host,
            current,
            current_key: key,
            latency_samples,
            newest_key: key,
            is_to_be_tried_again: false,
            awaiting_activation: None,
            supply,
            num_tries_again: num_tries_again(),
            is_taking_over: false,
        });
        Some(takeover)
    }

    /// There is no audio thread any more.
    pub fn deactivate(&self) {
        let mut state = self.state();
        state.active = None;
        state.status = None;
        self.played.forget();
    }

    /// Frees old engines and, where `key` is not what was built last, builds it, as soon as the engine before has taken over or has come back; or,
    /// where it needs another latency and the host lines up by the one there is, sees to it that the host is asked for an activation, once.
    pub fn tend(&self, key: EngineKey) {
        let mut state = self.state();
        let is_held_back = state.status.as_ref().is_some_and(|status| status.is_held_back());
        state.free_old();
        let BuilderState { active: Some(active), .. } = &mut *state else { return };
        let num_before = std::mem::replace(&mut active.num_tries_again, num_tries_again());
        if is_held_back && active.num_tries_again != num_before {
            (active.is_to_be_tried_again, active.awaiting_activation) = (true, None);
        }
        if active.newest_key == key && !active.is_to_be_tried_again {
            // Another wish may have been withdrawn before the host was asked.
            active.awaiting_activation = None;
            self.needs_restart.store(false, Ordering::Relaxed);
            return;
        }
        if active.is_taking_over {
            active.supply.withdraw();
        }
        if active.awaiting_activation == Some(key) {
            return;
        }
        let host = active.host;
        let latency_samples = self.latency_samples(host.rate_hz, host.max_block_samples, key);
        if latency_samples.is_none() || (host.compensates_latency && latency_samples != Some(active.latency_samples)) {
            active.awaiting_activation = Some(key);
            self.needs_restart.store(latency_samples.is_some(), Ordering::Release);
            return;
        }
        if active.is_taking_over {
            return;
        }
        // The engine in use keeps its worker until the new one has taken over.
        state.use_other_worker();
        let Some(engine) = state.build(self.catalogue, &self.boards, host, key) else { return };
        let Some(active) = &mut state.active else { return };
        let latency_samples = engine.latency_samples();
        if active.supply.send(Box::new(engine)).is_ok() {
            // An earlier wish is over: it may be had anew.
            active.awaiting_activation = None;
            self.needs_restart.store(false, Ordering::Relaxed);
            (active.newest_key, active.is_to_be_tried_again) = (key, false);
            active.latency_samples = latency_samples;
            active.is_taking_over = true;
        }
    }

    /// The latency of an engine at `rate_hz`, in blocks of at most `max_block_samples`; none where there can be no such engine.
    #[must_use]
    pub fn latency_samples(&self, rate_hz: f64, max_block_samples: usize, key: EngineKey) -> Option<usize> {
        let model = self.catalogue.find(key.model)?;
        latency(&model.timing, rate_hz, max_block_samples).ok().map(|latency| latency.latency_samples)
    }

    /// Whether the host must be asked to activate the plugin again; says so once, and not while it bounces. Real-time safe.
    pub fn take_needs_restart(&self) -> bool {
        !self.played.is_bounce()
            && self.needs_restart.load(Ordering::Relaxed)
            && self.needs_restart.swap(false, Ordering::Acquire)
    }

    /// A block begins that the host renders so. Real-time safe.
    pub fn note_render(&self, render: RenderMode) {
        self.played.note_render(render);
    }

    /// A block was played, by a clock of `rate_hz`. Real-time safe.
    pub fn note_played(&self, rate_hz: f32, num_samples: usize) {
        self.played.note(rate_hz, num_samples);
    }

    /// Whether blocks are played just now. A host may leave that without a word, though the plugin is active (REAPER, while an effect is bypassed).
    #[must_use]
    pub fn plays(&self) -> bool {
        self.played.is_recent()
    }

    /// What there is to see while `key` is wanted. Not for the audio thread.
    #[must_use]
    pub fn figures(&self, key: EngineKey) -> EngineFigures {
        let state = self.state();
        let Some(active) = &state.active else { return EngineFigures::default() };
        let next = state.status.as_ref().filter(|_| active.is_taking_over);
        EngineFigures {
            current: Some(active.current.snapshot()),
            next: next.map(|status| status.snapshot()),
            plays: self.played.is_recent() || self.played.is_bounce(),
            compensates_latency: active.host.compensates_latency,
            waits_for_host: active.host.compensates_latency && active.awaiting_activation == Some(key),
            clock_notice: self.clock_notice(active.host),
        }
    }

    fn clock_notice(&self, host: HostConfig) -> Option<String> {
        let (rate_hz, num_samples) = self.played.last_block().filter(|_| !host.compensates_latency)?;
        let is_other = (f64::from(rate_hz) - host.rate_hz).abs() > 1.0 || num_samples as usize > host.max_block_samples;
        is_other.then(|| {
            format!(
                "The audio server runs at {rate_hz} Hz in blocks of {num_samples}, and Underscore was started for {} Hz in blocks of up to \
                 {}: start it with --sample-rate {rate_hz} --period-size {num_samples}.",
                host.rate_hz, host.max_block_samples
            )
        })
    }

    /// Figures of the engine built last, while the plugin is active. Not for the audio thread.
    #[must_use]
    pub fn status(&self) -> Option<Arc<EngineStatus>> {
        self.state().status.clone()
    }
}

impl BuilderState {
    /// Frees what the audio thread has given back: the engine that another one has taken over from, or one that was withdrawn.
    fn free_old(&mut self) {
        while let Some(active) = &mut self.active
            && let Some(engine) = active.supply.take_old()
        {
            active.is_taking_over = false;
            if Arc::ptr_eq(&engine.status(), &active.current) {
                if let Some(status) = &self.status {
                    active.current.clone_from(status);
                }
                active.current_key = active.newest_key;
            } else {
                active.newest_key = active.current_key;
                self.status = Some(active.current.clone());
                self.use_other_worker();
            }
        }
    }

    fn use_other_worker(&mut self) {
        self.worker_idx = (self.worker_idx + 1) % self.workers.len();
    }

    /// Any will do where nothing plays, but for one that a driver or a disk does not let go of.
    fn choose_worker(&mut self) {
        let is_held_up = |idx: usize| self.workers[idx].is_held_up();
        let other = (self.worker_idx + 1) % self.workers.len();
        if is_held_up(self.worker_idx) && !is_held_up(other) {
            self.worker_idx = other;
        }
    }

    fn build(
        &mut self,
        catalogue: &Catalogue,
        boards: &Arc<QueryBoards>,
        host: HostConfig,
        key: EngineKey,
    ) -> Option<Engine> {
        let Some(model) = catalogue.find(key.model) else {
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
            boards: boards.clone(),
            may_render_ahead: host.compensates_latency,
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

/// The thread that tends the engines of one activation. Ends when dropped.
///
/// It looks by itself rather than being told: the audio thread may not wake anyone. The framework's own background thread is
/// of no use for this: it ends for all instances when a task outlives the one that sent it, and the next instance that goes takes
/// the host along.
pub struct Tender {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tender {
    /// Starts to tend what `params` want of `builder`.
    #[must_use]
    pub fn start(builder: Arc<Builder>, params: Arc<UnderscoreParams>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = is_over.clone();
        let tend = move || {
            while !until.load(Ordering::Acquire) {
                builder.tend(wanted(&params));
                std::thread::park_timeout(TEND_INTERVAL);
            }
        };
        let thread = std::thread::Builder::new().name("underscore builder".into()).spawn(tend);
        if let Err(error) = &thread {
            tracing::error!("a change of model or device needs a restart of the plugin: no thread: {error}");
        }
        Self { is_over, thread: thread.ok() }
    }
}

impl Drop for Tender {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the builder thread panicked");
            }
        }
    }
}
