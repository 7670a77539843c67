//! What all host tests share: the bundle, its resources, and the probe.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

use host_tests::probe::{Outcome, ProbeError, Scenario, run_in_child};
use host_tests::{
    Bundle, Config, Diagnostics, Instance, Priority, Rendered, bundle_path, raise_to_real_time, residual_db,
};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Buses and stems sum up to the delayed input to this, dBFS.
pub const EXACT_DB: f64 = -120.0;

/// What is in one stem and not in the other is louder, dBFS, where something is separated.
pub const APART_DB: f64 = -40.0;

/// Host rates of the latency and rate tests, Hz.
pub const RATES_HZ: [f64; 11] =
    [8_000.0, 11_025.0, 16_000.0, 22_050.0, 32_000.0, 44_100.0, 48_000.0, 88_200.0, 96_000.0, 176_400.0, 192_000.0];

/// Block sizes of the latency and offline tests.
pub const BLOCKS_SAMPLES: [usize; 11] = [1, 32, 64, 127, 256, 440, 480, 512, 1024, 4096, 8192];

/// The bundle under test.
pub fn bundle_file() -> PathBuf {
    bundle_path().unwrap_or_else(|error| panic!("{error}"))
}

/// The bundle under test, opened.
pub fn open() -> Bundle {
    Bundle::open(bundle_file()).unwrap_or_else(|error| panic!("{error}"))
}

/// The folder beside the bundle with `lib/` and `models/`.
pub fn resources() -> PathBuf {
    let folder = bundle_file().parent().expect("a file lies in a folder").join("underscore.resources");
    assert!(folder.is_dir(), "no {}: run `cargo xtask bundle` first", folder.display());
    folder
}

/// A configured stereo instance that renders offline.
pub fn offline_stereo(bundle: &Bundle, rate_hz: f64, max_block_samples: usize) -> Instance {
    let mut instance = bundle.create(None).unwrap();
    instance.configure(Config { rate_hz, max_block_samples, num_channels: 2, offline: true }).unwrap();
    instance
}

/// How the plugin offers a model that is asked by example.
const ASKED: &str = "Query";

/// How the plugin offers a model that hears seconds ahead.
const FOR_OFFLINE_WORK: &str = "Exact";

/// The models that take music and dialogue apart while somebody listens, as the plugin offers them.
pub fn separators(bundle: &Bundle) -> Vec<String> {
    let is_other =
        |model: &String| model == "Identity" || model.starts_with(ASKED) || model.starts_with(FOR_OFFLINE_WORK);
    models(bundle).into_iter().filter(|model| !is_other(model)).collect()
}

/// Those for offline work.
pub fn for_offline_work(bundle: &Bundle) -> Vec<String> {
    let found: Vec<String> = models(bundle).into_iter().filter(|model| model.starts_with(FOR_OFFLINE_WORK)).collect();
    assert!(!found.is_empty(), "no model for offline work");
    found
}

/// The models that are asked by example.
pub fn asked(bundle: &Bundle) -> Vec<String> {
    let asked: Vec<String> = models(bundle).into_iter().filter(|model| model.starts_with(ASKED)).collect();
    assert!(!asked.is_empty(), "no model is asked by example");
    asked
}

fn models(bundle: &Bundle) -> Vec<String> {
    let mut instance = bundle.create(None).unwrap();
    let param = instance.param("model").unwrap();
    instance.choices(&param).unwrap()
}

/// Makes sure that all of a render was separated, and in time: of equal shares everything is in its place, too, and sums up.
#[track_caller]
pub fn assert_separated(case: &str, rendered: &Rendered) {
    let engine = rendered.diagnostics.as_ref().and_then(Diagnostics::newest).expect("an engine");
    assert_eq!(engine.state, "running", "{case}: {}", engine.message);
    let num_dry = [rendered.frames.num_late, rendered.frames.num_unmasked];
    assert_eq!(num_dry, [0, 0], "{case}: frames late, and frames without masks");
    let [music, dialogue] = ["Music", "Dialogue"].map(|name| rendered.aligned_stem(name).expect("a stem"));
    let apart_db = residual_db(&music, &dialogue);
    assert!((APART_DB..f64::INFINITY).contains(&apart_db), "{case}: the stems differ by {apart_db:.1} dBFS");
}

/// Fails because of frames that were late. Where the system grants no audio thread's priority the worker waits for other programs, and that
/// is only told.
#[track_caller]
pub fn fail_as_late(what: &str) {
    let priority = std::thread::spawn(raise_to_real_time).join().expect("a thread");
    assert_ne!(priority, Priority::RealTime, "{what}");
    println!("NOT judged by the clock, for want of real-time priority: {what}");
}

/// Tells threads that it is over when it is dropped, whatever failed.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Plays a scenario in a child; a crash or a hang fails the test with what the child wrote.
pub fn probe(scenario: &Scenario, environment: &[(&str, &OsStr)]) -> Outcome {
    probe_or_error(scenario, environment).unwrap_or_else(|error| panic!("{error}"))
}

/// The same for one that may be meant to crash.
pub fn probe_or_error(scenario: &Scenario, environment: &[(&str, &OsStr)]) -> Result<Outcome, ProbeError> {
    run_in_child(Path::new(env!("CARGO_BIN_EXE_probe")), scenario, environment, Duration::from_mins(2))
}
