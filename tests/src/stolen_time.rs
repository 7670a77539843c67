//! Processor time that the hypervisor gave to other machines while this one wanted to run (Linux; elsewhere nothing is known).

/// Processor time of all cores since some moment.
#[derive(Debug, Clone, Copy)]
pub struct StolenTime {
    /// Clock ticks in all, idle ones included.
    num_ticks: u64,
    /// Those of them that were stolen.
    num_stolen: u64,
}

impl StolenTime {
    /// Since the machine started.
    #[must_use]
    pub fn so_far() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// Of `/proc/stat`: its first line is `cpu user nice system idle iowait irq softirq steal …`; what follows is counted in `user`.
    fn parse(stat: &str) -> Option<Self> {
        let ticks: Vec<u64> =
            stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|word| word.parse().ok()).collect();
        Some(Self { num_ticks: ticks.get(..8)?.iter().sum(), num_stolen: ticks[7] })
    }

    /// Part of the time since `before` that was stolen, 0..=1.
    #[must_use]
    pub fn share_since(self, before: Self) -> f64 {
        let num_ticks = self.num_ticks.saturating_sub(before.num_ticks).max(1);
        self.num_stolen.saturating_sub(before.num_stolen) as f64 / num_ticks as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stolen_is_the_eighth_figure_of_the_first_line() {
        let before = StolenTime::parse("cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0").unwrap();
        let after = StolenTime::parse("cpu  20 0 20 130 0 0 0 30 5 0\n").unwrap();
        assert_eq!(after.share_since(before), 0.2);
        assert_eq!(before.share_since(before), 0.0);
        assert!(StolenTime::parse("cpu  10 0 10").is_none());
    }
}
