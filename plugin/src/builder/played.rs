//! What the host has played last, and when: written by the audio thread with single atomic stores, read by anyone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use underscore_engine::RenderMode;

/// Where no block was played for so long, beside what the last one lasts, none is: longer than a host pauses that renders ahead.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The last block of an activation.
pub struct Played {
    /// Its rate, Hz (high half), and length, samples; 0 before the first.
    block: AtomicU64,
    made_at: Instant,
    /// When it was, ms after `made_at`, from 1 on; 0 before the first.
    at_ms: AtomicU64,
    /// Whether the block that began last is of a bounce.
    is_bounce: AtomicBool,
    /// Whether that block is being played still. In a bounce it may wait for a model, for as long as that takes.
    is_in_block: AtomicBool,
}

impl Default for Played {
    fn default() -> Self {
        Self {
            block: AtomicU64::new(0),
            made_at: Instant::now(),
            at_ms: AtomicU64::new(0),
            is_bounce: AtomicBool::new(false),
            is_in_block: AtomicBool::new(false),
        }
    }
}

impl Played {
    /// Nothing was played yet.
    pub fn forget(&self) {
        self.block.store(0, Ordering::Relaxed);
        self.at_ms.store(0, Ordering::Relaxed);
        self.is_bounce.store(false, Ordering::Relaxed);
        self.is_in_block.store(false, Ordering::Relaxed);
    }

    /// A block begins that the host renders so. Real-time safe.
    pub fn note_render(&self, render: RenderMode) {
        self.is_bounce.store(render == RenderMode::Offline, Ordering::Relaxed);
        self.is_in_block.store(true, Ordering::Relaxed);
    }

    /// Whether a bounce is under way. A host that has bounced and stands still says nowhere that the bounce is over.
    pub fn is_bounce(&self) -> bool {
        self.is_bounce.load(Ordering::Relaxed) && (self.is_in_block.load(Ordering::Relaxed) || self.is_recent())
    }

    /// The block was played, by a clock of `rate_hz`. Real-time safe.
    pub fn note(&self, rate_hz: f32, num_samples: usize) {
        let num_samples = u32::try_from(num_samples).unwrap_or(u32::MAX);
        self.block.store(u64::from(rate_hz as u32) << 32 | u64::from(num_samples), Ordering::Relaxed);
        self.at_ms.store(self.now_ms() + 1, Ordering::Relaxed);
        self.is_in_block.store(false, Ordering::Relaxed);
    }

    /// Rate, Hz, and length, samples, of the last block, if there was one.
    pub fn last_block(&self) -> Option<(u32, u32)> {
        let block = self.block.load(Ordering::Relaxed);
        (block != 0).then_some(((block >> 32) as u32, block as u32))
    }

    /// Whether blocks are played just now.
    pub fn is_recent(&self) -> bool {
        let at_ms = self.at_ms.load(Ordering::Relaxed);
        let Some((rate_hz, num_samples)) = self.last_block().filter(|_| at_ms != 0) else { return false };
        let block = Duration::from_secs_f64(f64::from(num_samples) / f64::from(rate_hz.max(1)));
        Duration::from_millis(self.now_ms().saturating_sub(at_ms)) < LONGEST_PAUSE + block
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.made_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
