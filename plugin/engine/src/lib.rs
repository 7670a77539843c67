//! From a host's blocks to stems, with one fixed latency.
//!
//! ```text
//! host block → audio_thread: hops → ring → worker_thread: STFT → backend → mask × mixture spectrum → iSTFT per stem → overlap-add
//!            → ring → audio_thread: by frame index → stems
//! ```
//!
//! The folders are named after the thread that runs them. What lies in `audio_thread` never allocates, locks, waits (but for a
//! host that renders ahead of real time), logs or frees once [`Engine::activate`] has returned; what lies in `worker_thread`
//! may do all of it. Between them lies [`handoff`], on which the same few calls go to and fro ([`exchange`]) in two lock-free rings,
//! and [`examples`], which does so with what a model that is asked is to listen to.
//!
//! Axis order everywhere: spectra `[channel][frame][bin]`, masks `[stem][channel][frame][bin]`, audio `[stem][channel][sample]`.

mod audio_thread;
mod catalogue;
mod clock;
mod examples;
mod exchange;
mod handoff;
mod latency;
mod loudness;
mod query;
mod query_board;
mod query_map;
mod recording;
mod resources;
mod status;
mod thumbnail;
mod worker_thread;

pub use audio_thread::{ActivateError, Engine, EngineConfig, RenderMode, Settings, Stems};
pub use catalogue::{Catalogue, CatalogueError, ModelSpec};
pub use latency::{Latency, LatencyError, ModelTiming, latency};
pub use query::{Embedding, MAX_EMBEDDING_SIZE, NUM_SLOTS, Query, QueryBlend, QueryPreset, Space};
pub use query_board::{KeptExample, LONGEST_WISH, MAX_EARLIER, QueryBoard, QueryBoards, Reading, Source};
pub use query_map::{Place, Projection, QueryMap};
pub use recording::Recording;
pub use resources::{Resources, keep_this_binary_loaded, user_data_folder};
pub use status::{EngineStatus, State, StatusSnapshot, all_statuses};
pub use thumbnail::Thumbnail;
pub use underscore_dsp::{Control, ControlBuffer, Ducker, DuckerSettings, Ramp, s_curve, touched_zeros};
pub use worker_thread::{DeviceChoice, Worker, num_tries_again, try_loads_again};
