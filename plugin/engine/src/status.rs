//! What the engine says of itself to the editor, the diagnostics and the tests. Written by the audio thread and the worker
//! with single atomic stores, read by anyone.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use atomic_float::AtomicF32;
use serde::Serialize;

use crate::latency::Latency;

/// Where an engine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// The worker is opening libtorch and the model; the output is dry.
    Loading = 0,
    /// Masks are coming.
    Running = 1,
    /// No masks will come; the message says why and what to do. The output is dry.
    Unavailable = 2,
}

/// Time in which a slow call is forgotten to a third, seconds.
const RECENT_S: f64 = 10.0;

/// The live figures of one engine.
#[derive(Debug)]
pub struct EngineStatus {
    id: u64,
    model: String,
    host_rate_hz: f64,
    max_block_samples: usize,
    latency: Latency,
    call_s: f64,
    state: AtomicU8,
    num_frames: AtomicU64,
    num_late_frames: AtomicU64,
    num_dropped_calls: AtomicU64,
    num_replaced_samples: AtomicU64,
    load_ms: AtomicF32,
    step_ms_sum: AtomicF32,
    step_ms_max: AtomicF32,
    /// The longest call, forgotten with time.
    step_ms_recent: AtomicF32,
    num_steps: AtomicU64,
    max_process_us: AtomicF32,
    /// Text that only the worker, the editor and hosts' main threads touch.
    text: Mutex<Text>,
}

#[derive(Debug, Default, Clone)]
struct Text {
    device: String,
    message: String,
}

/// A copy of all figures at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct StatusSnapshot {
    /// Number of this engine in the process, counted from 1.
    pub id: u64,
    /// Id of the model.
    pub model: String,
    /// Where the model runs: `cpu`, `cuda`, or empty before it is loaded.
    pub device: String,
    /// Where the engine stands.
    pub state: State,
    /// Why it is unavailable and what to do, or empty.
    pub message: String,
    /// The host's rate, Hz.
    pub host_rate_hz: f64,
    /// Largest block the host announced, samples.
    pub max_block_samples: usize,
    /// The reported latency, samples.
    pub latency_samples: usize,
    /// Distance between frames, samples.
    pub hop_samples: usize,
    /// Time granted to the worker, samples.
    pub deadline_samples: usize,
    /// Frames synthesised since activation.
    pub num_frames: u64,
    /// Frames whose mask was not there in time although a model was running.
    pub num_late_frames: u64,
    /// Calls that could not be handed over because the worker still held all of them.
    pub num_dropped_calls: u64,
    /// Input samples that were no sound (NaN, infinite, beyond +120 dBFS) and were replaced by zero.
    pub num_replaced_samples: u64,
    /// Time from activation to the first possible mask, ms.
    pub load_ms: f32,
    /// Mean duration of an inference call, ms.
    pub step_ms_mean: f32,
    /// Longest inference call, ms.
    pub step_ms_max: f32,
    /// Part of the deadline that the slowest of the latest calls left over; below 0 it came too late.
    pub headroom: f32,
    /// Inference calls since activation.
    pub num_steps: u64,
    /// `step_ms_mean` over the duration of the audio in a call: below 1 is real time.
    pub rtf: f32,
    /// Longest call of `process`, µs.
    pub max_process_us: f32,
}

static REGISTRY: Mutex<(u64, Vec<Weak<EngineStatus>>)> = Mutex::new((0, Vec::new()));

/// Snapshots of all engines alive in the process, oldest first. Not for the audio thread.
#[must_use]
pub fn all_statuses() -> Vec<StatusSnapshot> {
    let registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    registry.1.iter().filter_map(Weak::upgrade).map(|status| status.snapshot()).collect()
}

impl EngineStatus {
    pub(crate) fn register(
        model: &str,
        host_rate_hz: f64,
        max_block_samples: usize,
        latency: Latency,
        frames_per_call: usize,
    ) -> Arc<Self> {
        let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
        registry.0 += 1;
        let status = Arc::new(Self {
            id: registry.0,
            model: model.to_owned(),
            host_rate_hz,
            max_block_samples,
            latency,
            call_s: (frames_per_call * latency.grid.hop_samples()) as f64 / host_rate_hz,
            state: AtomicU8::new(State::Loading as u8),
            num_frames: AtomicU64::new(0),
            num_late_frames: AtomicU64::new(0),
            num_dropped_calls: AtomicU64::new(0),
            num_replaced_samples: AtomicU64::new(0),
            load_ms: AtomicF32::new(0.0),
            step_ms_sum: AtomicF32::new(0.0),
            step_ms_max: AtomicF32::new(0.0),
            step_ms_recent: AtomicF32::new(0.0),
            num_steps: AtomicU64::new(0),
            max_process_us: AtomicF32::new(0.0),
            text: Mutex::default(),
        });
        registry.1.retain(|other| other.strong_count() > 0);
        registry.1.push(Arc::downgrade(&status));
        status
    }

    /// Where the engine stands. Real-time safe.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Loading,
            1 => State::Running,
            _ => State::Unavailable,
        }
    }

    /// A copy of all figures. Not for the audio thread.
    #[must_use]
    pub fn snapshot(&self) -> StatusSnapshot {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let num_steps = self.num_steps.load(Ordering::Relaxed);
        let step_ms_mean =
            if num_steps == 0 { 0.0 } else { self.step_ms_sum.load(Ordering::Relaxed) / num_steps as f32 };
        StatusSnapshot {
            id: self.id,
            model: self.model.clone(),
            device: text.device,
            state: self.state(),
            message: text.message,
            host_rate_hz: self.host_rate_hz,
            max_block_samples: self.max_block_samples,
            latency_samples: self.latency.latency_samples,
            hop_samples: self.latency.grid.hop_samples(),
            deadline_samples: self.latency.deadline_samples,
            num_frames: self.num_frames.load(Ordering::Relaxed),
            num_late_frames: self.num_late_frames.load(Ordering::Relaxed),
            num_dropped_calls: self.num_dropped_calls.load(Ordering::Relaxed),
            num_replaced_samples: self.num_replaced_samples.load(Ordering::Relaxed),
            load_ms: self.load_ms.load(Ordering::Relaxed),
            num_steps,
            step_ms_mean,
            step_ms_max: self.step_ms_max.load(Ordering::Relaxed),
            headroom: 1.0 - (f64::from(self.step_ms_recent.load(Ordering::Relaxed)) / self.deadline_ms()) as f32,
            rtf: (f64::from(step_ms_mean) / 1e3 / self.call_s) as f32,
            max_process_us: self.max_process_us.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set_running(&self, device: &str, load_ms: f32) {
        device.clone_into(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner).device);
        self.load_ms.store(load_ms, Ordering::Relaxed);
        self.state.store(State::Running as u8, Ordering::Release);
    }

    pub(crate) fn set_unavailable(&self, message: String) {
        tracing::warn!("{message}");
        self.text.lock().unwrap_or_else(PoisonError::into_inner).message = message;
        self.state.store(State::Unavailable as u8, Ordering::Release);
    }

    /// A message that does not change the state (a fallback that was taken).
    pub(crate) fn set_message(&self, message: String) {
        tracing::warn!("{message}");
        self.text.lock().unwrap_or_else(PoisonError::into_inner).message = message;
    }

    fn deadline_ms(&self) -> f64 {
        1e3 * self.latency.deadline_samples as f64 / self.host_rate_hz
    }

    /// Notes how long a call took. Of the worker alone.
    pub(crate) fn count_step(&self, step_ms: f32) {
        let kept = (-self.call_s / RECENT_S).exp() as f32 * self.step_ms_recent.load(Ordering::Relaxed);
        self.step_ms_recent.store(step_ms.max(kept), Ordering::Relaxed);
        self.step_ms_sum.fetch_add(step_ms, Ordering::Relaxed);
        self.step_ms_max.fetch_max(step_ms, Ordering::Relaxed);
        self.num_steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_frame(&self, late: bool) {
        self.num_frames.fetch_add(1, Ordering::Relaxed);
        self.num_late_frames.fetch_add(u64::from(late), Ordering::Relaxed);
    }

    pub(crate) fn count_dropped_call(&self) {
        self.num_dropped_calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_replaced_samples(&self, num_samples: usize) {
        self.num_replaced_samples.fetch_add(num_samples as u64, Ordering::Relaxed);
    }

    /// Notes how long a call of `process` took, µs. Real-time safe.
    pub fn note_process_us(&self, process_us: f32) {
        self.max_process_us.fetch_max(process_us, Ordering::Relaxed);
    }
}
