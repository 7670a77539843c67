//! The backend from outside: everything goes through the C table, as the engine does it.

mod bad_files;
mod batched;
mod blocks;
mod common;
mod convolutions;
mod edited;
mod queue;
mod running;
mod turns;
