//! How long each `process` took.

use std::time::Duration;

/// The times of all blocks of a render.
#[derive(Debug, Clone, Default)]
pub struct Timings {
    wall_us: Vec<f32>,
    cpu_us: Vec<f32>,
    num_waits: u64,
    /// Blocks of which it is known whether they waited.
    num_watched_blocks: usize,
}

/// A distribution, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    /// 10 % are below.
    pub p10_us: f64,
    /// Half are below.
    pub p50_us: f64,
    /// 99 % are below.
    pub p99_us: f64,
    /// 99.9 % are below.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The sum, seconds.
    pub total_s: f64,
}

impl Percentiles {
    fn of(times_us: &[f32]) -> Self {
        if times_us.is_empty() {
            return Self::default();
        }
        let mut sorted = times_us.to_vec();
        sorted.sort_by(f32::total_cmp);
        // Nearest rank: the smallest time that at least this share of the blocks does not exceed.
        let rank = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            f64::from(sorted[rank.clamp(1, sorted.len()) - 1])
        };
        Self {
            p10_us: rank(0.1),
            p50_us: rank(0.5),
            p99_us: rank(0.99),
            p999_us: rank(0.999),
            max_us: rank(1.0),
            total_s: times_us.iter().map(|t| f64::from(*t)).sum::<f64>() / 1e6,
        }
    }
}

impl Timings {
    /// With room for that many blocks: an audio thread does not ask for more.
    #[must_use]
    pub fn with_capacity(num_blocks: usize) -> Self {
        Self { wall_us: Vec::with_capacity(num_blocks), cpu_us: Vec::with_capacity(num_blocks), ..Self::default() }
    }

    /// Adds a block's.
    pub fn push(&mut self, wall: Duration, cpu: Option<Duration>) {
        self.wall_us.push(wall.as_secs_f32() * 1e6);
        if let Some(cpu) = cpu {
            self.cpu_us.push(cpu.as_secs_f32() * 1e6);
        }
    }

    /// Adds how often the block that was added last waited, where that is known.
    pub fn push_waits(&mut self, num_waits: Option<u64>) {
        self.num_waits += num_waits.unwrap_or(0);
        self.num_watched_blocks += usize::from(num_waits.is_some());
    }

    /// Adds all blocks of another audio thread's.
    pub fn append(&mut self, other: &Self) {
        self.wall_us.extend(&other.wall_us);
        self.cpu_us.extend(&other.cpu_us);
        self.num_waits += other.num_waits;
        self.num_watched_blocks += other.num_watched_blocks;
    }

    /// Number of blocks.
    #[must_use]
    pub fn num_blocks(&self) -> usize {
        self.wall_us.len()
    }

    /// How often `process` waited for something: a lock, a sleep, a file.
    #[must_use]
    pub fn num_waits(&self) -> u64 {
        self.num_waits
    }

    /// Number of blocks of which that is known: all but a few where the system tells, else none.
    #[must_use]
    pub fn num_watched_blocks(&self) -> usize {
        self.num_watched_blocks
    }

    /// By the clock: with everything that the system did in between.
    #[must_use]
    pub fn wall(&self) -> Percentiles {
        Percentiles::of(&self.wall_us)
    }

    /// By the thread's own processor time: what the plugin itself used. Zero where the system does not tell.
    #[must_use]
    pub fn cpu(&self) -> Percentiles {
        Percentiles::of(&self.cpu_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut timings = Timings::default();
        for us in (1..=1000).rev() {
            timings.push(Duration::from_micros(us), None);
        }
        let wall = timings.wall();
        assert!((wall.p50_us - 500.0).abs() < 0.01 && (wall.p999_us - 999.0).abs() < 0.01);
        assert!((wall.max_us - 1000.0).abs() < 0.01 && timings.cpu() == Percentiles::default());
    }
}
