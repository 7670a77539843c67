//! Everything that may block, allocate and fail: one long-lived thread per plugin instance, which opens libtorch and the
//! model when it gets its first assignment, and then makes of the samples of frames what is heard of them.
//!
//! The thread outlives activations, because inference on ever new threads leaks, and hosts activate a plugin many times over.
//!
//! There is no pool of such threads for all instances: one whose disk hangs would take a thread of all others with it. What they share is
//! the work: the backend may run a call together with those of other instances of the model that wait at that moment, where all use a card, or
//! where no processor is free, once the host was seen to play. A call of a bounce goes by itself, as its masks are to be the same bit for bit
//! whatever else plays.

mod carried_samples;
mod example_encoder;
mod expectation;
mod failure_streak;
#[cfg(test)]
pub mod fake_backend;
mod fine_ticks;
mod library;
mod load_marks;
mod model;
mod opener;
mod priority;
mod separation;
mod session;
mod shared_object;
mod spectra;
mod store;
mod stream;
mod triage;
mod worker;
mod worker_loop;

#[cfg(test)]
pub use carried_samples::CarriedSamples;
pub use example_encoder::ExampleEncoder;
pub use load_marks::{num_tries_again, try_loads_again};
#[cfg(test)]
pub use model::Model;
#[cfg(test)]
pub use priority::Urgency;
#[cfg(test)]
pub use separation::Separate;
#[cfg(test)]
pub use spectra::Spectra;
#[cfg(test)]
pub use stream::Stream;
pub use worker::{Assignment, DeviceChoice, Waker, Worker};
