//! The latency that the host has been given. The plugin sets it on activation; the shims answer the host with it.
//!
//! Left to the framework, each instance would be activated twice. In CLAP the latency changes within the activation, and the wrapper reports it afterwards,
//! for which it requests a restart. In VST3 the wrapper reports a change even where the host could not know the latency before, and a host that follows
//! the interface restarts the plugin before it asks.

use std::sync::atomic::{AtomicU32, Ordering};

/// Latency of one instance, samples; 0 before the first activation.
#[derive(Debug, Default)]
pub struct ReportedLatency {
    samples: AtomicU32,
    /// The value that the host read last.
    known_samples: AtomicU32,
}

impl ReportedLatency {
    /// Sets the latency. All methods are real-time safe.
    pub fn set(&self, samples: u32) {
        self.samples.store(samples, Ordering::Relaxed);
    }

    /// Returns the latency to the host, and notes that the host knows it.
    #[must_use]
    pub fn report(&self) -> u32 {
        let samples = self.samples.load(Ordering::Relaxed);
        self.known_samples.store(samples, Ordering::Relaxed);
        samples
    }

    /// Whether the host knows another latency than the present one, so that it must be told to ask. Returns `true` once per change.
    #[must_use]
    pub fn take_change(&self) -> bool {
        let samples = self.samples.load(Ordering::Relaxed);
        self.known_samples.swap(samples, Ordering::Relaxed) != samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_to_ask_once_and_only_where_it_knows_another_latency() {
        let latency = ReportedLatency::default();
        assert!(!latency.take_change(), "nothing was set");
        latency.set(100);
        assert_eq!(latency.report(), 100);
        assert!(!latency.take_change(), "it has asked");
        latency.set(200);
        assert_eq!([latency.take_change(), latency.take_change()], [true, false]);
        latency.set(100);
        assert!(latency.take_change(), "one that it knew before is another one all the same");
        latency.set(200);
        latency.set(100);
        assert!(!latency.take_change());
    }
}
