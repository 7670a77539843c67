//! Makes an engine: what the host's main thread does before the audio thread has it.

use std::sync::Arc;

use underscore_dsp::{ControlBuffer, History, touched_zeros};

use super::{Engine, RenderMode};
use crate::audio_thread::capture::Capture;
use crate::audio_thread::dispatch::Dispatch;
use crate::audio_thread::hop_player::HopPlayer;
use crate::audio_thread::pace::Pace;
use crate::audio_thread::patience::Patience;
use crate::catalogue::ModelSpec;
use crate::examples::{EXAMPLE_CHANNELS, examples};
use crate::handoff::{CallShape, handoff};
use crate::latency::{Latency, LatencyError, ModelTiming, latency};
use crate::query::Space;
use crate::query_board::{Boards, QueryBoards};
use crate::resources::Resources;
use crate::status::EngineStatus;
use crate::worker_thread::{Assignment, DeviceChoice, ExampleEncoder, Worker};

/// What an engine is made for. All of it is fixed until the next activation.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The host's rate, Hz.
    pub host_rate_hz: f64,
    /// Largest block, samples.
    pub max_block_samples: usize,
    /// Channels of the main bus: 1 or 2.
    pub num_channels: usize,
    /// The model.
    pub model: ModelSpec,
    /// Where it is to run.
    pub device: DeviceChoice,
    /// Where its file and libtorch lie.
    pub resources: Resources,
    /// Where examples are written that a model which is asked has listened to.
    pub boards: Arc<QueryBoards>,
    /// Whether who runs it may render ahead of real time without saying so. A program that plays through a sound server cannot, whatever the
    /// clocks say: what it is given too fast is given at another rate than it was started for.
    pub may_render_ahead: bool,
}

/// Why an engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// There is no latency to report.
    #[error(transparent)]
    Latency(#[from] LatencyError),
    /// The main bus has no or too many channels.
    #[error("expected 1 or 2 channels on the main bus, got {num_channels}")]
    Channels {
        /// Channels of the bus.
        num_channels: usize,
    },
}

impl Engine {
    /// Allocates for the largest case and gives `worker` the model to load. Returns at once: until the masks come, the
    /// output is the delayed input. A model that cannot be used at this rate or on this machine is no error here; the status
    /// says what is missing.
    ///
    /// # Errors
    /// Where the bus or the rate leave nothing to process.
    pub fn activate(config: EngineConfig, worker: &Worker) -> Result<Self, ActivateError> {
        let EngineConfig { host_rate_hz, max_block_samples, num_channels, ref model, .. } = config;
        if !(1..=2).contains(&num_channels) {
            return Err(ActivateError::Channels { num_channels });
        }
        let timing = model.timing;
        let latency = latency(&timing, host_rate_hz, max_block_samples)?;
        let shape = call_shape(model, &latency, num_channels);
        let num_calls = num_calls(&latency, &timing);
        let status = EngineStatus::register(&model.id, &timing, host_rate_hz, max_block_samples, latency);
        let (audio_end, worker_end) = handoff(&shape, num_calls);
        let patience = Patience::with(worker.waker(), status.clone());
        let (capture, example_encoder) = Self::example_path(&config, &latency, patience.clone(), &status).unzip();
        let dispatch = Dispatch::new(audio_end, patience, status.clone(), shape, &timing, num_calls);
        let engine = Self::new(&config, latency, shape, dispatch, capture, status.clone());
        match check_host_rate(host_rate_hz) {
            Err(error) => status.set_unavailable(&error.to_string()),
            Ok(()) => worker.assign(Assignment {
                end: worker_end,
                shape,
                status,
                example_encoder,
                model: config.model,
                device: config.device,
                resources: config.resources,
            }),
        }
        Ok(engine)
    }

    /// Both sides of listening to examples, where the model is asked.
    pub(super) fn example_path(
        config: &EngineConfig,
        latency: &Latency,
        patience: Patience,
        status: &Arc<EngineStatus>,
    ) -> Option<(Capture, ExampleEncoder)> {
        let (spec, grid) = (&config.model, latency.grid);
        let map = spec.query_map()?;
        let num_hops = grid.frames_reach_hops(spec.query_frames);
        let hop = grid.hop_samples();
        let (audio, examples) = examples(EXAMPLE_CHANNELS, num_hops * hop, hop);
        let boards = Boards { slots: config.boards.clone(), followed: Arc::default() };
        let example_encoder = ExampleEncoder {
            examples,
            boards: boards.clone(),
            followed_power: 0.0,
            model_id: spec.id.clone(),
            grid,
            timing: spec.timing,
            num_frames: spec.query_frames,
            embedding_size: spec.embedding_size,
        };
        let space = Space::of(&spec.id);
        Some((
            Capture::new(audio, (config.host_rate_hz, hop), boards, map, space, patience, status.clone()),
            example_encoder,
        ))
    }

    pub(super) fn new(
        config: &EngineConfig,
        latency: Latency,
        shape: CallShape,
        dispatch: Dispatch,
        capture: Option<Capture>,
        status: Arc<EngineStatus>,
    ) -> Self {
        let EngineConfig { host_rate_hz, max_block_samples, num_channels, .. } = *config;
        let num_stems = shape.num_stems;
        let hop = latency.grid.hop_samples();
        let block = || (0..num_channels).map(|_| touched_zeros(max_block_samples)).collect::<Vec<_>>();
        // A hop at most goes in before as much of the delayed input is read.
        let history_samples = HopPlayer::history_samples(&latency, shape).max(latency.latency_samples + hop);
        Self {
            hops: HopPlayer::new(dispatch, status.clone(), shape, &config.model.timing, &latency),
            model_id: config.model.id.clone(),
            capture,
            history: (0..num_channels).map(|_| History::new(history_samples)).collect(),
            pace: pace_of(&latency, config),
            render_before: RenderMode::RealTime,
            status,
            latency,
            host_rate_hz,
            num_asleep_samples: 0.0,
            hop_fill: 0,
            hop_presence: (0.0, 0.0),
            max_block_samples,
            dry: block(),
            stems: (0..=num_stems).map(|_| block()).collect(),
            presence: ControlBuffer::new(max_block_samples),
        }
    }
}

/// The lowest host rate at which anything is separated, Hz: the telephone's. Half of what carries speech is missing below it.
pub(super) const LOWEST_HOST_RATE_HZ: f64 = 8_000.0;

/// Why an engine, though it can be made, separates nothing at this rate.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "The host runs at {host_rate_hz} Hz; Underscore separates from {LOWEST_HOST_RATE_HZ} Hz up. Set \
     the project to a higher sample rate."
)]
pub(super) struct HostRateTooLow {
    host_rate_hz: f64,
}

pub(super) fn check_host_rate(host_rate_hz: f64) -> Result<(), HostRateTooLow> {
    if host_rate_hz < LOWEST_HOST_RATE_HZ { Err(HostRateTooLow { host_rate_hz }) } else { Ok(()) }
}

/// Sizes of the calls of an activation.
pub fn call_shape(model: &ModelSpec, latency: &Latency, num_channels: usize) -> CallShape {
    CallShape {
        grid: latency.grid,
        num_channels,
        num_frames: model.timing.frames_per_call,
        num_bins: model.timing.num_bins,
        num_stems: model.num_estimated_stems(),
        embedding_size: model.embedding_size,
    }
}

/// Calls in circulation: every one that a frame between analysis and synthesis can be in, the one being filled, the one that was
/// heard last, and one to spare.
pub fn num_calls(latency: &Latency, timing: &ModelTiming) -> usize {
    latency.mask_delay_frames.div_ceil(timing.frames_per_call) + 4
}

/// Of the deadline only what is not the block itself: the lead is taken at the start of a block, and with all of it the first masks of a
/// bounce in large blocks were due before the lead was seen.
pub(super) fn pace_of(latency: &Latency, config: &EngineConfig) -> Pace {
    let slack_samples = latency.deadline_samples.saturating_sub(config.max_block_samples);
    let slack_s = if config.may_render_ahead { slack_samples as f64 / config.host_rate_hz } else { f64::INFINITY };
    Pace::new(slack_s, config.max_block_samples as f64 / config.host_rate_hz)
}
