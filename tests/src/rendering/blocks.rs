//! In which pieces a host hands over its audio.

use crate::signals::Random;

/// The sizes of consecutive blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockSizes {
    /// Always the same.
    Fixed(usize),
    /// These, over and over. Zero is allowed, but not alone.
    Cycle(Vec<usize>),
    /// Random sizes in `0..=max`.
    Random {
        /// Start of the sequence.
        seed: u64,
        /// Largest size.
        max: usize,
    },
}

impl BlockSizes {
    /// The largest size that will come.
    #[must_use]
    pub fn max(&self) -> usize {
        match self {
            Self::Fixed(size) => *size,
            Self::Cycle(sizes) => sizes.iter().copied().max().unwrap_or(0),
            Self::Random { max, .. } => *max,
        }
    }

    /// The sizes that make up `num_samples`; the last is cut to fit.
    ///
    /// # Panics
    /// When all sizes are zero.
    pub fn cover(&self, num_samples: usize) -> impl Iterator<Item = usize> + use<> {
        assert!(self.max() > 0, "blocks of no samples never end");
        let sizes = self.clone();
        let (mut position, mut block_idx) = (0, 0);
        let mut random = Random::new(if let Self::Random { seed, .. } = self { *seed } else { 0 });
        std::iter::from_fn(move || {
            if position == num_samples {
                return None;
            }
            let size = match &sizes {
                BlockSizes::Fixed(size) => *size,
                BlockSizes::Cycle(sizes) => sizes[block_idx % sizes.len()],
                BlockSizes::Random { max, .. } => random.up_to(*max),
            };
            block_idx += 1;
            let size = size.min(num_samples - position);
            position += size;
            Some(size)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_covers_the_signal_exactly() {
        for sizes in
            [BlockSizes::Fixed(127), BlockSizes::Cycle(vec![0, 1, 440, 32]), BlockSizes::Random { seed: 1, max: 900 }]
        {
            let blocks: Vec<_> = sizes.cover(10_000).collect();
            assert_eq!(blocks.iter().sum::<usize>(), 10_000);
            assert!(blocks.iter().all(|size| *size <= sizes.max()));
        }
    }
}
