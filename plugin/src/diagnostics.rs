//! What the plugin says of itself to hosts that ask: one exported function, JSON.

use std::sync::atomic::{AtomicU64, Ordering};

use nice_plug::prelude::ProcessMode;
use serde::Serialize;
use underscore_engine::{StatusSnapshot, all_statuses};

/// Allocations and frees on the audio threads of all instances since the plugin was opened.
static NUM_ALLOC_VIOLATIONS: AtomicU64 = AtomicU64::new(0);

static NUM_OFFLINE_ACTIVATIONS: AtomicU64 = AtomicU64::new(0);

/// Counts an activation by what the host said of it. Real-time safe.
pub fn note_activation(mode: ProcessMode) {
    if mode == ProcessMode::Offline {
        NUM_OFFLINE_ACTIVATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Activations that the host called offline rendering, of all instances since the plugin was opened.
#[must_use]
pub fn num_offline_activations() -> u64 {
    NUM_OFFLINE_ACTIVATIONS.load(Ordering::Relaxed)
}

/// Runs `body` with allocations counted against the plugin. They are counted and never punished: a host is not to die of one.
/// Real-time safe.
pub fn watch_allocations<T>(body: impl FnOnce() -> T) -> T {
    let before = assert_no_alloc::violation_count();
    let result = assert_no_alloc::assert_no_alloc(body);
    let num_violations = assert_no_alloc::violation_count().wrapping_sub(before);
    if num_violations > 0 {
        NUM_ALLOC_VIOLATIONS.fetch_add(u64::from(num_violations), Ordering::Relaxed);
    }
    result
}

/// Allocations and frees on the audio threads since the plugin was opened.
#[must_use]
pub fn num_alloc_violations() -> u64 {
    NUM_ALLOC_VIOLATIONS.load(Ordering::Relaxed)
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    alloc_violations: u64,
    /// Sum over all instances since the plugin was opened.
    offline_activations: u64,
    /// Samples that were no numbers, over the engines alive.
    process_nan_inputs: u64,
    instances: Vec<StatusSnapshot>,
}

fn report() -> String {
    let instances = all_statuses();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        alloc_violations: num_alloc_violations(),
        offline_activations: num_offline_activations(),
        process_nan_inputs: instances.iter().map(|instance| instance.num_replaced_samples).sum(),
        instances,
    };
    serde_json::to_string(&report).unwrap_or_default()
}

/// Writes the figures of all instances in this process as JSON (UTF-8, no terminator) and returns its length in bytes. Where
/// that is more than `capacity` only the beginning was written: ask again with more room.
///
/// # Safety
/// `buffer` must be null or point to `capacity` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn underscore_diagnostics(buffer: *mut u8, capacity: usize) -> usize {
    // A panic may not cross into the host.
    let json = std::panic::catch_unwind(report).unwrap_or_default();
    let num_bytes = json.len().min(capacity);
    if !buffer.is_null() && num_bytes > 0 {
        // SAFETY: the caller vouches for `capacity` bytes, of which no more are written; the source is our own string.
        unsafe { std::ptr::copy_nonoverlapping(json.as_ptr(), buffer, num_bytes) };
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_json_and_its_length_is_told_without_room_for_it() {
        // SAFETY: null is allowed.
        let num_bytes = unsafe { underscore_diagnostics(std::ptr::null_mut(), 0) };
        let mut buffer = vec![0_u8; num_bytes + 100];
        // SAFETY: the buffer is as long as it is said to be.
        let written = unsafe { underscore_diagnostics(buffer.as_mut_ptr(), buffer.len()) };
        let json: serde_json::Value = serde_json::from_slice(&buffer[..written]).expect("JSON");
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
        assert!(json["instances"].is_array() && json["alloc_violations"].is_u64());
    }

    #[test]
    fn an_allocation_on_the_audio_thread_is_counted() {
        let before = num_alloc_violations();
        let boxed = watch_allocations(|| Box::new([0_u8; 64]));
        assert!(num_alloc_violations() > before, "is the counting allocator installed?");
        drop(boxed);
    }
}
