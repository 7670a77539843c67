//! Scenarios that need a process of their own.
//!
//! What a plugin finds on its disk is settled once per process (environment, opened libraries), and a crash must not take the
//! test with it: such a case runs in the `probe` binary, which prints its [`Outcome`] as JSON.

mod child;
mod inspect;

pub use child::{ProbeError, run_in_child};
pub use inspect::inspect;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the probe shall do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The bundle.
    pub bundle: PathBuf,
    /// Libraries that somebody else in the process has opened before, for all to see.
    pub others: Vec<PathBuf>,
    /// Host sample rate.
    pub rate_hz: f64,
    /// Largest block announced.
    pub max_block_samples: usize,
    /// Sizes of consecutive blocks, over and over.
    pub blocks: Vec<usize>,
    /// Channels of the main buses.
    pub num_channels: usize,
    /// How the host renders.
    pub host: HostKind,
    /// Params, by id and text.
    pub params: Vec<(String, String)>,
    /// What goes in.
    pub input: Input,
    /// Length of the input, seconds. 0: open, create, and look, no more.
    pub duration_s: f64,
    /// Instances, one after the other, alive together; all but the first only activated.
    pub num_instances: usize,
}

impl Scenario {
    /// Two seconds of programme, stereo, 48 kHz in blocks of 512, offline.
    #[must_use]
    pub fn new(bundle: impl Into<PathBuf>) -> Self {
        Self {
            bundle: bundle.into(),
            others: Vec::new(),
            rate_hz: 48_000.0,
            max_block_samples: 512,
            blocks: vec![512],
            num_channels: 2,
            host: HostKind::Offline,
            params: Vec::new(),
            input: Input::Programme,
            duration_s: 2.0,
            num_instances: 1,
        }
    }
}

/// What a host says and does about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostKind {
    /// Says that it renders offline, and does.
    Offline,
    /// Renders as fast as it can and does not say so.
    Unreported,
    /// Paced by the clock from the first block on, whether or not a model is loaded.
    RealTime,
}

/// Input signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Speech-like over music-like.
    Programme,
    /// The same with NaN, both infinities and denormals in it.
    Broken,
    /// Nothing.
    Silence,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Time to open the bundle.
    pub opened_ms: f64,
    /// Time to create the first instance.
    pub created_ms: f64,
    /// Files of libtorch mapped after creation, before activation.
    pub libtorch_at_scan: Vec<String>,
    /// Files of a graphics driver mapped then.
    pub driver_at_scan: Vec<String>,
    /// Names of the threads that were started until then, where the system tells.
    pub threads_at_scan: Option<Vec<String>>,
    /// Files of libtorch mapped after rendering.
    pub libtorch_in_use: Vec<String>,
    /// Reported latency.
    pub latency_samples: usize,
    /// State of the engine at the end: `running`, `unavailable`…
    pub state: String,
    /// What it says is missing.
    pub message: String,
    /// Which fallback it says that it took.
    pub notice: String,
    /// Model in use.
    pub model: String,
    /// Whether every output sample is finite and was written.
    pub is_finite: bool,
    /// Summed stems against the delayed input (not-finite samples as 0), dBFS, −400..400.
    pub sum_residual_db: f64,
    /// Main output against the delayed input, dBFS, −400..400.
    pub main_residual_db: f64,
    /// Peak of `music − dialogue`, dBFS: −400 when nothing was separated.
    pub separation_db: f64,
    /// Late frames.
    pub num_late_frames: u64,
    /// Frames with sound that no mask could be had for.
    pub num_unmasked_frames: u64,
    /// Allocations in `process`.
    pub alloc_violations: u64,
    /// Resident memory after each instance was activated and loaded, MB.
    pub resident_mb: Vec<f64>,
}
