//! What host and plugin tell each other past the framework: the guard of either format offers it to the plugin that is just made, and both keep it.

use std::sync::{Arc, OnceLock};

use crate::latency_told::LatencyTold;
use crate::offered::Offered;
use crate::params_by_id::ParamsById;
use crate::render_told::RenderTold;

/// The latency that an activation would bring now, samples, at a rate, Hz, and in blocks of up to so many samples.
pub type PlannedLatency = Box<dyn Fn(f64, usize) -> Option<u32> + Send + Sync>;

/// Of one instance.
#[derive(Default)]
pub struct Told {
    /// By the host.
    pub render: RenderTold,
    /// By the plugin.
    pub latency: LatencyTold,
    /// Those of the plugin, from when it is made.
    pub params: OnceLock<ParamsById>,
    /// That of the plugin, from when it is made.
    pub planned_latency: OnceLock<PlannedLatency>,
}

thread_local! {
    /// Of the instance that this thread is just making.
    static OFFERED: Offered<Told> = const { Offered::nothing() };
}

impl Told {
    /// For the next plugin that this thread makes.
    #[must_use]
    pub fn offer() -> Arc<Self> {
        OFFERED.with(|offered| offered.offer(Self::default()))
    }

    /// What is offered to the plugin that is just made; none in the stand-alone program.
    #[must_use]
    pub fn take_offered() -> Option<Arc<Self>> {
        OFFERED.with(Offered::take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_the_next_plugin_s_and_no_other_s() {
        let offered = Told::offer();
        assert!(Told::take_offered().is_some_and(|taken| Arc::ptr_eq(&taken, &offered)));
        assert!(Told::take_offered().is_none());
    }
}
