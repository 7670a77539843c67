//! The latency that a host is told: the plugin writes it when it is activated, what stands between the two answers with it.
//!
//! The framework would have each instance activated twice. In CLAP a latency changes within an activation, and the wrapper tells of it when that is over,
//! for which it asks for another one. In VST3 it calls a latency changed that the host could not know before, and a host that follows the interface
//! activates the plugin again before it asks.

use std::sync::atomic::{AtomicU32, Ordering};

/// Of one instance, samples; 0 before the first activation.
#[derive(Debug, Default)]
pub struct LatencyTold {
    samples: AtomicU32,
    /// What the host was told last.
    known_samples: AtomicU32,
}

impl LatencyTold {
    /// From now on it is this. Real-time safe, as the others are.
    pub fn set(&self, samples: u32) {
        self.samples.store(samples, Ordering::Relaxed);
    }

    /// What was set last, for the host, which knows it now.
    #[must_use]
    pub fn tell(&self) -> u32 {
        let samples = self.samples.load(Ordering::Relaxed);
        self.known_samples.store(samples, Ordering::Relaxed);
        samples
    }

    /// Whether the host must be told to ask, because it knows another one; says so once.
    #[must_use]
    pub fn take_untold(&self) -> bool {
        let samples = self.samples.load(Ordering::Relaxed);
        self.known_samples.swap(samples, Ordering::Relaxed) != samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_to_ask_once_and_only_where_it_knows_another_latency() {
        let told = LatencyTold::default();
        assert!(!told.take_untold(), "nothing was set");
        told.set(100);
        assert_eq!(told.tell(), 100);
        assert!(!told.take_untold(), "it has asked");
        told.set(200);
        assert_eq!([told.take_untold(), told.take_untold()], [true, false]);
        told.set(100);
        assert!(told.take_untold(), "one that it knew before is another one all the same");
        told.set(200);
        told.set(100);
        assert!(!told.take_untold());
    }
}
