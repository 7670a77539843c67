//! The latency that a CLAP host is told: the plugin writes it when it is activated, the guard of its instance answers with it.
//!
//! The interface has it change within an activation. The framework would tell of it when that is over, and ask for another one first: see
//! [`super::block_guard`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::offered::Offered;

/// Of one instance, samples; 0 before the first activation.
#[derive(Debug, Default)]
pub struct LatencyTold(AtomicU32);

thread_local! {
    /// Of the instance that this thread is just making.
    static OFFERED: Offered<LatencyTold> = const { Offered::nothing() };
}

impl LatencyTold {
    /// For the next plugin that this thread makes.
    #[must_use]
    pub fn offer() -> Arc<Self> {
        OFFERED.with(Offered::make)
    }

    /// What is offered to the plugin that is just made; none for one of another format.
    #[must_use]
    pub fn take_offered() -> Option<Arc<Self>> {
        OFFERED.with(Offered::take)
    }

    /// From now on it is this.
    pub fn set(&self, latency_samples: u32) {
        self.0.store(latency_samples, Ordering::Relaxed);
    }

    /// What was set last.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
