//! A small CLAP host, in process, for everything that must be known of the *built* bundle.
//!
//! What may be called where is in the types, as in a real host:
//!
//! * [`Bundle`]: an opened plugin file. It lists plugins, creates instances and reads the plugin's diagnostics.
//! * [`Instance`]: one plugin on the thread that created it: ports, params, state, latency, activation.
//! * [`Processor`]: the same plugin's audio side, from `activate` to `deactivate`. It may move between threads.
//! * [`render`]: input through a plugin, offline, as fast as possible, or paced by the clock, into memory; [`render_onto`] hands its
//!   outputs on as they come.
//!
//! Axis order of all audio: `[bus][channel][sample]`, 32-bit float, full scale 1.0.

mod audio_thread;
mod bundle;
mod callbacks;
mod diagnostics;
mod error;
mod locate;
mod main_thread;
mod measure;
pub mod probe;
mod process_memory;
mod rendering;
pub mod signals;
mod stolen_time;
mod yardstick;

pub use audio_thread::buses::{Bus, Buses};
pub use audio_thread::priority::{Priority, forbid_restless_threads, raise_to_real_time};
pub use audio_thread::{ParamChange, Processor, Transport};
pub use bundle::{Bundle, PluginId};
pub use diagnostics::{Diagnostics, InstanceDiagnostics};
pub use error::HostError;
pub use locate::{bundle_path, bundled_folder};
pub use main_thread::params::{Param, stable_id_hash};
pub use main_thread::ports::{NotePort, Port, Ports};
pub use main_thread::{Asked, Config, Instance};
pub use measure::{delay_samples, largest, peak_db, residual_db, sum_of};
pub use process_memory::{mapped_files, resident_bytes, started_threads};
pub use rendering::blocks::BlockSizes;
pub use rendering::tape::{Recorder, Stem, Tape};
pub use rendering::timings::{Percentiles, Timings};
pub use rendering::{
    Frames, Pace, Rendered, Rendering, capture_example, play_and_hold, render, render_onto, wait_until_loaded,
};
pub use stolen_time::StolenTime;
pub use yardstick::yardstick;
