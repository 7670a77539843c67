//! State that the host and the plugin share past the framework. The CLAP and VST3 shims, which stand between the host and the framework's wrapper, write
//! what the host says and answer the host with what the plugin says.

pub mod claimed;
pub mod construction_slot;
pub mod params_by_id;
pub mod render_mode;
pub mod reported_latency;
pub mod spare_buses;

use std::sync::{Arc, OnceLock};

use construction_slot::ConstructionSlot;
use params_by_id::ParamsById;
use render_mode::HostRenderMode;
use reported_latency::ReportedLatency;

/// Computes the latency, samples, of an activation at a rate, Hz, and a largest block, samples, with the params as they are now. `None` where nothing can
/// be activated.
pub type PlannedLatency = Box<dyn Fn(f64, usize) -> Option<u32> + Send + Sync>;

/// State of one instance, shared by its shim and its plugin.
#[derive(Default)]
pub struct HostLink {
    /// Written by the shim.
    pub render_mode: HostRenderMode,
    /// Written by the plugin.
    pub latency: ReportedLatency,
    /// Set when the plugin is constructed.
    pub params: OnceLock<ParamsById>,
    /// Set when the plugin is constructed.
    pub planned_latency: OnceLock<PlannedLatency>,
}

thread_local! {
    /// The link of the instance that this thread is constructing.
    static SLOT: ConstructionSlot<HostLink> = const { ConstructionSlot::empty() };
}

impl HostLink {
    /// Makes the link of the next plugin that this thread constructs.
    #[must_use]
    pub fn offer() -> Arc<Self> {
        SLOT.with(|slot| slot.put(Self::default()))
    }

    /// Takes the link of the plugin that this thread is constructing. `None` in the stand-alone program, which has no shim.
    #[must_use]
    pub fn take() -> Option<Arc<Self>> {
        SLOT.with(ConstructionSlot::take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_goes_to_the_next_plugin_and_to_no_other() {
        let link = HostLink::offer();
        assert!(HostLink::take().is_some_and(|taken| Arc::ptr_eq(&taken, &link)));
        assert!(HostLink::take().is_none());
    }
}
