//! Makes engines, off the audio thread, and gets rid of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use underscore_engine::{
    Catalogue, Engine, EngineConfig, EngineStatus, QueryBoards, Resources, Worker, latency, num_tries_again,
};

use crate::params::UnderscoreParams;
use crate::separation::{EngineKey, EngineSupply, Separation};

/// Pause between two looks at the params: a click on another model is answered within it.
const TEND_INTERVAL: Duration = Duration::from_millis(50);

/// Where no block was played for so long none is: longer than any block lasts, and than a host pauses that renders ahead.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

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
    pub lines_up: bool,
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
    /// Rate, Hz (high half), and length, samples, of the last block; 0 before the first.
    played: AtomicU64,
    made_at: Instant,
    /// When that was, ms after `made_at`, from 1 on; 0 before the first.
    played_at_ms: AtomicU64,
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
    status: Option<Arc<EngineStatus>>,
}

struct Active {
    host: HostConfig,
    latency_samples: usize,
    /// None: it is to be tried again, whatever it was.
    newest: Option<EngineKey>,
    /// What was wanted after that and only an activation can bring.
    left_to_activation: Option<EngineKey>,
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
            played: AtomicU64::new(0),
            made_at: Instant::now(),
            played_at_ms: AtomicU64::new(0),
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
    pub fn activate(&self, host: HostConfig, key: EngineKey) -> Option<Separation> {
        let mut state = self.state();
        state.active = None;
        self.needs_restart.store(false, Ordering::Relaxed);
        self.played.store(0, Ordering::Relaxed);
        self.played_at_ms.store(0, Ordering::Relaxed);
        state.choose_worker();
        let engine = state.build(self.catalogue, &self.boards, host, key)?;
        let latency_samples = engine.latency_samples();
        let (separation, supply) = Separation::new(Box::new(engine), host.rate_hz, host.max_block_samples);
        let (newest, left_to_activation) = (Some(key), None);
        state.active = Some(Active {
            host,
            latency_samples,
            newest,
            left_to_activation,
            supply,
            num_tries_again: num_tries_again(),
            is_taking_over: false,
        });
        Some(separation)
    }

    /// There is no audio thread any more.
    pub fn deactivate(&self) {
        let mut state = self.state();
        state.active = None;
        state.status = None;
        self.played_at_ms.store(0, Ordering::Relaxed);
    }

    /// Frees old engines and, where `key` is not what was built last, builds it, as soon as the engine before has taken over; or,
    /// where it needs another latency and the host lines up by the one there is, sees to it that the host is asked for an activation, once.
    pub fn tend(&self, key: EngineKey) {
        let mut state = self.state();
        let is_held_back = state.status.as_ref().is_some_and(|status| status.is_held_back());
        let Some(active) = &mut state.active else { return };
        if active.supply.free_old() > 0 {
            active.is_taking_over = false;
        }
        let num_before = std::mem::replace(&mut active.num_tries_again, num_tries_again());
        if is_held_back && active.num_tries_again != num_before {
            (active.newest, active.left_to_activation) = (None, None);
        }
        if active.newest == Some(key) {
            // Another wish may have been withdrawn before the host was asked.
            active.left_to_activation = None;
            self.needs_restart.store(false, Ordering::Relaxed);
            return;
        }
        if active.is_taking_over || active.left_to_activation == Some(key) {
            return;
        }
        let host = active.host;
        let latency_samples = self.latency_samples(host, key);
        if latency_samples.is_none() || (host.lines_up && latency_samples != Some(active.latency_samples)) {
            active.left_to_activation = Some(key);
            self.needs_restart.store(latency_samples.is_some(), Ordering::Release);
            return;
        }
        // The engine in use keeps its worker until the new one has taken over.
        state.worker_idx = (state.worker_idx + 1) % state.workers.len();
        let Some(engine) = state.build(self.catalogue, &self.boards, host, key) else { return };
        let Some(active) = &mut state.active else { return };
        let latency_samples = engine.latency_samples();
        if active.supply.send(Box::new(engine)).is_ok() {
            // An earlier wish is over: it may be had anew.
            active.left_to_activation = None;
            self.needs_restart.store(false, Ordering::Relaxed);
            active.newest = Some(key);
            active.latency_samples = latency_samples;
            active.is_taking_over = true;
        }
    }

    /// The latency of an engine; none where there can be no such engine.
    fn latency_samples(&self, host: HostConfig, key: EngineKey) -> Option<usize> {
        let model = self.catalogue.find(key.model)?;
        latency(&model.timing, host.rate_hz, host.max_block_samples).ok().map(|latency| latency.latency_samples)
    }

    /// Whether the host must be asked to activate the plugin again; says so once. Real-time safe.
    pub fn take_needs_restart(&self) -> bool {
        self.needs_restart.load(Ordering::Relaxed) && self.needs_restart.swap(false, Ordering::Acquire)
    }

    /// Whether an engine of this `key` waits for the host to activate the plugin again. Not for the audio thread.
    #[must_use]
    pub fn waits_for_host(&self, key: EngineKey) -> bool {
        self.state()
            .active
            .as_ref()
            .is_some_and(|active| active.host.lines_up && active.left_to_activation == Some(key))
    }

    /// A block was played, by a clock of `rate_hz`. Real-time safe.
    pub fn note_played(&self, rate_hz: f32, num_samples: usize) {
        let num_samples = u32::try_from(num_samples).unwrap_or(u32::MAX);
        self.played.store(u64::from(rate_hz as u32) << 32 | u64::from(num_samples), Ordering::Relaxed);
        self.played_at_ms.store(self.now_ms() + 1, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.made_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether blocks are played just now. A host may leave that without a word, though the plugin is active (REAPER, while an effect is bypassed).
    #[must_use]
    pub fn plays(&self) -> bool {
        let played_at_ms = self.played_at_ms.load(Ordering::Relaxed);
        played_at_ms != 0 && u128::from(self.now_ms().saturating_sub(played_at_ms)) < LONGEST_PAUSE.as_millis()
    }

    /// What whoever has started the stand-alone program must know whose audio server has another rate or longer blocks than the program was
    /// started for: it takes them as they come and tells nobody. Not for the audio thread.
    #[must_use]
    pub fn clock_notice(&self) -> Option<String> {
        let played = self.played.load(Ordering::Relaxed);
        let (rate_hz, num_samples) = (played >> 32, played & u64::from(u32::MAX));
        let host = self.state().active.as_ref().map(|active| active.host).filter(|host| !host.lines_up)?;
        let is_other = (rate_hz as f64 - host.rate_hz).abs() > 1.0 || num_samples > host.max_block_samples as u64;
        (played != 0 && is_other).then(|| {
            format!(
                "The audio server runs at {rate_hz} Hz in blocks of {num_samples}, and Underscore was started for {} Hz in blocks of up to \
                 {}: start it with --sample-rate {rate_hz} --period-size {num_samples}.",
                host.rate_hz, host.max_block_samples
            )
        })
    }

    /// See [`HostConfig::lines_up`]; `true` while the plugin is not active. Not for the audio thread.
    #[must_use]
    pub fn lines_up(&self) -> bool {
        self.state().active.as_ref().is_none_or(|active| active.host.lines_up)
    }

    /// Figures of the engine built last, while the plugin is active. Not for the audio thread.
    #[must_use]
    pub fn status(&self) -> Option<Arc<EngineStatus>> {
        self.state().status.clone()
    }
}

impl BuilderState {
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
            may_render_ahead: host.lines_up,
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
