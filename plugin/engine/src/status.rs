//! What the engine says of itself to the editor, the diagnostics and the tests. Written by the audio thread and the worker
//! with single atomic stores, read by anyone.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use atomic_float::{AtomicF32, AtomicF64};
use serde::Serialize;

use crate::latency::{CallTimes, Latency, ModelTiming};

/// Where an engine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// The worker is opening libtorch and the model; the output is dry.
    Loading = 0,
    /// Masks are coming.
    Running = 1,
    /// No masks come; the message says why and what to do. The output is dry.
    Unavailable = 2,
}

/// Time in which what happened is forgotten to a third, seconds.
const RECENT_S: f64 = 10.0;

/// So long must nothing have been separated before it is told: masks that come again within a moment are not worth a word, and at a start they take
/// the latency.
const UNSEPARATED_AFTER_S: f64 = 0.5;

/// No more than this is counted of it, seconds: as long as the difference is until masks that come again are told.
const UNSEPARATED_AT_MOST_S: f64 = 0.6;

/// What is heard where no masks come.
const UNSEPARATED: &str = "Nothing is separated: each stem's output carries half of the sound.";

/// Steps in which it is counted how much of its deadline a call takes: fortieths, and whatever is beyond it.
const NUM_DELIVERY_STEPS: usize = 41;

/// The live figures of one engine.
#[derive(Debug)]
pub struct EngineStatus {
    id: u64,
    model: String,
    host_rate_hz: f64,
    max_block_samples: usize,
    latency: Latency,
    call_times: CallTimes,
    state: AtomicU8,
    num_frames: AtomicU64,
    num_late_frames: AtomicU64,
    num_unmasked_frames: AtomicU64,
    num_dropped_calls: AtomicU64,
    num_replaced_samples: AtomicU64,
    load_ms: AtomicF32,
    /// In `f64`: a broadcast lasts for weeks.
    step_ms_sum: AtomicF64,
    step_ms_max: AtomicF32,
    /// Mean of about the last `RECENT_S` of audio.
    step_ms_recent: AtomicF32,
    num_steps: AtomicU64,
    /// The slowest delivery of late, and when it was counted, seconds after `registered`: forgotten by the clock.
    delivery_ms: AtomicF32,
    delivered_at_s: AtomicF64,
    num_deliveries: [AtomicU64; NUM_DELIVERY_STEPS],
    registered: Instant,
    max_process_us: AtomicF32,
    /// Frames with sound of which nothing was separated though a model runs, less those of which something was; from 0 up to
    /// [`UNSEPARATED_AT_MOST_S`].
    num_unseparated_frames: AtomicU64,
    is_held_back: AtomicBool,
    has_followed: AtomicBool,
    /// Text that only the worker, the editor and hosts' main threads touch.
    text: Mutex<Text>,
}

#[derive(Debug, Default, Clone)]
struct Text {
    device: String,
    /// A fallback that was taken: holds as long as the device.
    notice: String,
    /// Why nothing is separated, until that is over.
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
    /// Why it is unavailable and what to do, or what does not go well; or empty.
    pub message: String,
    /// Which fallback was taken, for as long as it holds; or empty.
    pub notice: String,
    /// Whether nothing of the sound has been separated for half a second though a model runs: nobody wants masks, none are in time, or the first are
    /// still to come.
    pub is_unseparated: bool,
    /// Whether something is not loaded because it ended hosts before; until [`crate::try_loads_again`].
    pub is_held_back: bool,
    /// Whether a sidechain that is followed has said anything yet.
    pub has_followed: bool,
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
    /// Frames with sound that no mask could be had for: there was no model yet, or none any more, or its call failed.
    pub num_unmasked_frames: u64,
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
    /// Part of its deadline that the slowest of the latest calls left over, from being handed over to having its masks; at 0 and
    /// below they came too late. A bad moment fades within about ten seconds.
    pub headroom: f32,
    /// Calls since activation by the part of their deadline that they took, from being handed over to having their masks, in fortieths; the last: more.
    pub num_deliveries: Vec<u64>,
    /// Inference calls since activation.
    pub num_steps: u64,
    /// Mean duration of the inference calls of about the last ten seconds, over that of the audio in a call: below 1 is real time.
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
        timing: &ModelTiming,
        host_rate_hz: f64,
        max_block_samples: usize,
        latency: Latency,
    ) -> Arc<Self> {
        let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
        registry.0 += 1;
        let status = Arc::new(Self {
            id: registry.0,
            model: model.to_owned(),
            host_rate_hz,
            max_block_samples,
            latency,
            call_times: CallTimes::new(timing, &latency, host_rate_hz, max_block_samples),
            state: AtomicU8::new(State::Loading as u8),
            num_frames: AtomicU64::new(0),
            num_late_frames: AtomicU64::new(0),
            num_unmasked_frames: AtomicU64::new(0),
            num_dropped_calls: AtomicU64::new(0),
            num_replaced_samples: AtomicU64::new(0),
            load_ms: AtomicF32::new(0.0),
            step_ms_sum: AtomicF64::new(0.0),
            step_ms_max: AtomicF32::new(0.0),
            step_ms_recent: AtomicF32::new(0.0),
            num_steps: AtomicU64::new(0),
            delivery_ms: AtomicF32::new(0.0),
            delivered_at_s: AtomicF64::new(0.0),
            num_deliveries: std::array::from_fn(|_| AtomicU64::new(0)),
            registered: Instant::now(),
            max_process_us: AtomicF32::new(0.0),
            num_unseparated_frames: AtomicU64::new(0),
            is_held_back: AtomicBool::new(false),
            has_followed: AtomicBool::new(false),
            text: Mutex::default(),
        });
        registry.1.retain(|other| other.strong_count() > 0);
        registry.1.push(Arc::downgrade(&status));
        status
    }

    /// Of an engine that there is not, of `timing` in a host of this rate and largest block.
    #[cfg(test)]
    pub(crate) fn for_tests(timing: &ModelTiming, host_rate_hz: f64, max_block_samples: usize) -> Arc<Self> {
        let latency = crate::latency::latency(timing, host_rate_hz, max_block_samples).unwrap();
        Self::register("test", timing, host_rate_hz, max_block_samples, latency)
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
            if num_steps == 0 { 0.0 } else { (self.step_ms_sum.load(Ordering::Relaxed) / num_steps as f64) as f32 };
        StatusSnapshot {
            id: self.id,
            model: self.model.clone(),
            device: text.device,
            state: self.state(),
            message: text.message,
            notice: text.notice,
            is_unseparated: self.is_unseparated(),
            is_held_back: self.is_held_back(),
            has_followed: self.has_followed.load(Ordering::Relaxed),
            host_rate_hz: self.host_rate_hz,
            max_block_samples: self.max_block_samples,
            latency_samples: self.latency.latency_samples,
            hop_samples: self.latency.grid.hop_samples(),
            deadline_samples: self.latency.deadline_samples,
            num_frames: self.num_frames.load(Ordering::Relaxed),
            num_late_frames: self.num_late_frames.load(Ordering::Relaxed),
            num_unmasked_frames: self.num_unmasked_frames.load(Ordering::Relaxed),
            num_dropped_calls: self.num_dropped_calls.load(Ordering::Relaxed),
            num_replaced_samples: self.num_replaced_samples.load(Ordering::Relaxed),
            load_ms: self.load_ms.load(Ordering::Relaxed),
            num_steps,
            step_ms_mean,
            step_ms_max: self.step_ms_max.load(Ordering::Relaxed),
            headroom: (1.0 - self.delivery_ms_now() / self.deadline_ms()) as f32,
            num_deliveries: self.num_deliveries.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            rtf: (f64::from(self.step_ms_recent.load(Ordering::Relaxed)) / 1e3 / self.call_times.call_s()) as f32,
            max_process_us: self.max_process_us.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn note_load_ms(&self, load_ms: f32) {
        self.load_ms.store(load_ms, Ordering::Relaxed);
    }

    pub(crate) fn set_running(&self, device: &str) {
        device.clone_into(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner).device);
        self.state.store(State::Running as u8, Ordering::Release);
    }

    pub(crate) fn set_unavailable(&self, why: &str) {
        let message = format!("{why} {UNSEPARATED}");
        tracing::warn!("{message}");
        self.text.lock().unwrap_or_else(PoisonError::into_inner).message = message;
        self.state.store(State::Unavailable as u8, Ordering::Release);
    }

    /// Something does not go well, which does not change the state.
    pub(crate) fn set_message(&self, message: String) {
        tracing::warn!("{message}");
        self.text.lock().unwrap_or_else(PoisonError::into_inner).message = message;
    }

    /// It goes well again.
    pub(crate) fn clear_message(&self) {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).message.clear();
    }

    /// A fallback that was taken, or empty.
    pub(crate) fn set_notice(&self, notice: String) {
        if !notice.is_empty() {
            tracing::warn!("{notice}");
        }
        self.text.lock().unwrap_or_else(PoisonError::into_inner).notice = notice;
    }

    /// See [`StatusSnapshot::has_followed`].
    pub(crate) fn set_has_followed(&self, is_so: bool) {
        self.has_followed.store(is_so, Ordering::Relaxed);
    }

    /// Something was not even tried: see [`StatusSnapshot::is_held_back`].
    pub(crate) fn set_held_back(&self, is_so: bool) {
        self.is_held_back.store(is_so, Ordering::Relaxed);
    }

    /// See [`StatusSnapshot::is_held_back`].
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        self.is_held_back.load(Ordering::Relaxed)
    }

    /// When calls come and their masks are needed.
    pub(crate) fn call_times(&self) -> CallTimes {
        self.call_times
    }

    /// Time from handing a call over to the moment at which the first of its masks is needed.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs_f64(self.call_times.deadline_s)
    }

    fn deadline_ms(&self) -> f64 {
        1e3 * self.deadline().as_secs_f64()
    }

    /// The slowest delivery of late, ms.
    fn delivery_ms_now(&self) -> f64 {
        let passed_s = self.registered.elapsed().as_secs_f64() - self.delivered_at_s.load(Ordering::Relaxed);
        f64::from(self.delivery_ms.load(Ordering::Relaxed)) * (-passed_s / RECENT_S).exp()
    }

    /// Notes how long the inference of a call took. Of the worker alone.
    pub(crate) fn count_step(&self, step_ms: f32) {
        let num_steps = self.num_steps.fetch_add(1, Ordering::Relaxed) + 1;
        // A plain mean while there are few.
        let weight = (self.call_times.call_s() / RECENT_S).max(1.0 / num_steps as f64).min(1.0) as f32;
        let mean = self.step_ms_recent.load(Ordering::Relaxed);
        self.step_ms_recent.store(mean + weight * (step_ms - mean), Ordering::Relaxed);
        self.step_ms_sum.fetch_add(f64::from(step_ms), Ordering::Relaxed);
        self.step_ms_max.fetch_max(step_ms, Ordering::Relaxed);
    }

    /// Notes how long a call was on its way, from being handed over to being done with. Of the worker alone.
    pub(crate) fn count_delivery(&self, taken: Duration) {
        // However late it was: it is to fade in time.
        let taken_ms = (taken.as_secs_f64() * 1e3).min(2.0 * self.deadline_ms());
        let step = (taken_ms / self.deadline_ms() * (NUM_DELIVERY_STEPS - 1) as f64) as usize;
        self.num_deliveries[step.min(NUM_DELIVERY_STEPS - 1)].fetch_add(1, Ordering::Relaxed);
        self.note_delivery_ms(taken_ms);
    }

    fn note_delivery_ms(&self, taken_ms: f64) {
        if taken_ms > self.delivery_ms_now() {
            self.delivery_ms.store(taken_ms as f32, Ordering::Relaxed);
            self.delivered_at_s.store(self.registered.elapsed().as_secs_f64(), Ordering::Relaxed);
        }
    }

    pub(crate) fn count_frame(&self, is_late: bool, is_unmasked: bool) {
        if is_late {
            // A call that is not back yet has used its deadline up. It may never come back, and then nobody counts it.
            self.note_delivery_ms(self.deadline_ms());
        }
        self.num_frames.fetch_add(1, Ordering::Relaxed);
        self.num_late_frames.fetch_add(u64::from(is_late), Ordering::Relaxed);
        self.num_unmasked_frames.fetch_add(u64::from(is_unmasked), Ordering::Relaxed);
    }

    /// Notes whether anything of the newest frame was separated, or there was nothing to separate. Of the audio thread alone.
    pub(crate) fn note_separated(&self, is_so: bool) {
        let num_before = self.num_unseparated_frames.load(Ordering::Relaxed);
        let most = (UNSEPARATED_AT_MOST_S / self.call_times.hop_s).ceil() as u64;
        let num_now = match (self.state(), is_so) {
            // Before a model runs nobody expects it.
            (State::Loading | State::Unavailable, _) => 0,
            // One by one: a mask that comes in time every now and then makes no separation.
            (State::Running, true) => num_before.saturating_sub(1),
            (State::Running, false) => (num_before + 1).min(most),
        };
        self.num_unseparated_frames.store(num_now, Ordering::Relaxed);
    }

    /// See [`StatusSnapshot::is_unseparated`].
    fn is_unseparated(&self) -> bool {
        let lasts_s = self.num_unseparated_frames.load(Ordering::Relaxed) as f64 * self.call_times.hop_s;
        self.state() == State::Running && lasts_s >= UNSEPARATED_AFTER_S
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

#[cfg(test)]
mod tests {
    use super::*;

    /// At 48 kHz with calls of 64 ms and a deadline of 54 ms.
    fn status() -> Arc<EngineStatus> {
        EngineStatus::for_tests(&ModelTiming::FULL_BAND, 48_000.0, 512)
    }

    #[test]
    fn the_headroom_is_what_the_slowest_delivery_left_of_the_deadline() {
        let status = status();
        assert!((status.snapshot().headroom - 1.0).abs() < 1e-6);
        for taken_ms in [5, 27, 10] {
            status.count_delivery(Duration::from_millis(taken_ms));
        }
        assert!((status.snapshot().headroom - 0.5).abs() < 0.01, "{}", status.snapshot().headroom);
        let counted = |step: usize| status.snapshot().num_deliveries[step];
        assert_eq!([5, 27, 10].map(|taken_ms| counted(taken_ms * 40 / 54)), [1, 1, 1]);
        status.count_delivery(Duration::from_secs(3));
        assert!((status.snapshot().headroom + 1.0).abs() < 0.01, "{}", status.snapshot().headroom);
    }

    #[test]
    fn trouble_that_is_over_leaves_the_fallback_to_be_told() {
        let status = status();
        status.set_notice("the processor is used".into());
        status.set_message("a call failed".into());
        assert_eq!(status.snapshot().message, "a call failed");
        status.clear_message();
        let snapshot = status.snapshot();
        assert_eq!((snapshot.message.as_str(), snapshot.notice.as_str()), ("", "the processor is used"));
    }

    #[test]
    fn the_load_is_that_of_the_last_seconds_and_the_mean_that_of_all() {
        let status = status();
        for _ in 0..10 {
            status.count_step(6.4);
        }
        assert!((status.snapshot().rtf - 0.1).abs() < 1e-3);
        // A minute of calls that take five times as long.
        for _ in 0..938 {
            status.count_step(32.0);
        }
        let snapshot = status.snapshot();
        assert!((snapshot.rtf - 0.5).abs() < 0.01, "{}", snapshot.rtf);
        assert!((snapshot.step_ms_mean - 31.73).abs() < 0.01 && snapshot.step_ms_max >= 32.0, "{snapshot:?}");
    }
}
