//! Everything that runs inside the host's `process`.

mod capture;
mod capture_buffer;
mod dispatch;
mod engine;
mod fallback_synthesis;
mod following;
mod hop_player;
mod mask_fade;
mod pace;
mod patience;
#[cfg(test)]
mod random;
mod stems;

pub use engine::activation::{ActivateError, EngineConfig};
pub use engine::{Engine, RenderMode, Settings};
pub use stems::Stems;
