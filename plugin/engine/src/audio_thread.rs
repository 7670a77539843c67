//! Everything that runs inside the host's `process`.

mod assembly;
mod capture;
mod dispatch;
mod engine;
mod following;
mod memory;
mod pace;
mod patience;
#[cfg(test)]
mod random;
mod schedule;
mod stand_in;
mod stems;

pub use engine::{ActivateError, Engine, EngineConfig, RenderMode, Settings};
pub use stems::Stems;
