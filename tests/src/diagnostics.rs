//! What the plugin says about itself: the JSON of `underscore_diagnostics`.

use crate::HostError;
use libloading::Library;
use serde::{Deserialize, Serialize};
use std::path::Path;

const SYMBOL: &[u8] = b"underscore_diagnostics\0";
type DiagnosticsFn = unsafe extern "C" fn(buffer: *mut u8, capacity: usize) -> usize;

/// All engines alive in this process, through one bundle.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnostics {
    /// Version of the plugin.
    pub version: String,
    /// Allocations that `process` made since the bundle was opened.
    pub alloc_violations: u64,
    /// One entry per active engine.
    pub instances: Vec<InstanceDiagnostics>,
}

impl Diagnostics {
    /// The engine activated last.
    #[must_use]
    pub fn newest(&self) -> Option<&InstanceDiagnostics> {
        self.instances.iter().max_by_key(|instance| instance.id)
    }
}

/// One engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceDiagnostics {
    /// Rises with every engine of the process.
    pub id: u64,
    /// Id of the model chosen.
    pub model: String,
    /// Where it runs: `cpu`, `cuda`.
    pub device: String,
    /// `loading`, `running`, `unavailable` or `idle`.
    pub state: String,
    /// What is missing and what to do, for a person; empty when all is well.
    pub message: String,
    /// Which fallback was taken, such as the processor for a card; or empty.
    pub notice: String,
    /// Rate given at `activate`.
    pub host_rate_hz: f64,
    /// Largest block announced at `activate`.
    pub max_block_samples: usize,
    /// Latency reported to the host.
    pub latency_samples: usize,
    /// Distance between frames.
    pub hop_samples: usize,
    /// Time granted to the worker, samples.
    pub deadline_samples: usize,
    /// Frames processed since reset.
    pub num_frames: u64,
    /// Frames whose mask came after its deadline.
    pub num_late_frames: u64,
    /// Frames with sound that no mask could be had for; 0 of a plugin that does not count them.
    #[serde(default)]
    pub num_unmasked_frames: u64,
    /// Model calls that found no room on their way.
    pub num_dropped_calls: u64,
    /// Calls of the model that were run since activation.
    pub num_steps: u64,
    /// Time to open the library and load the model.
    pub load_ms: f64,
    /// Mean time of a model call.
    pub step_ms_mean: f64,
    /// Longest model call.
    pub step_ms_max: f64,
    /// Part of the deadline that the slowest of the latest calls left over.
    pub headroom: f64,
    /// Calls by the part of their deadline that they took, in fortieths; the last: more.
    pub num_deliveries: Vec<u64>,
    /// Model time per time of audio.
    pub rtf: f64,
    /// Longest `process`, as the plugin measured it.
    pub max_process_us: f64,
}

impl InstanceDiagnostics {
    /// Whether loading has come to an end, one way or the other.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.state.is_empty() && self.state != "loading"
    }
}

/// Reads the diagnostics through an open library.
pub(crate) fn read(library: &Library, path: &Path) -> Result<Diagnostics, HostError> {
    let fail = |reason: String| HostError::Diagnostics { path: path.to_path_buf(), reason };
    // SAFETY: the symbol, where it is there, is the plugin's own export of exactly this signature.
    let function = unsafe { library.get::<DiagnosticsFn>(SYMBOL) }
        .map_err(|e| fail(format!("no export underscore_diagnostics ({e})")))?;
    let mut json = vec![0_u8; 16 * 1024];
    loop {
        // SAFETY: the function writes at most `capacity` bytes into the buffer given.
        let num_needed = unsafe { function(json.as_mut_ptr(), json.len()) };
        if num_needed <= json.len() {
            json.truncate(num_needed);
            break;
        }
        json.resize(num_needed + 1024, 0);
    }
    serde_json::from_slice(&json)
        .map_err(|e| fail(format!("not the expected JSON ({e}): {}", String::from_utf8_lossy(&json))))
}
