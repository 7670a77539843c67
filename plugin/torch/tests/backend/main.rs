//! The backend from outside: everything goes through the C table, as the engine does it.

mod bad_files;
mod batch_limit;
mod batched;
mod blocks;
mod common;
mod convolutions;
mod edited;
mod line;
mod queue;
mod running;
mod turns;
