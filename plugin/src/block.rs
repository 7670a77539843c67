//! The stems of one block, in memory that belongs to the plugin.

/// Stems of every model: music and dialogue, or target and residual of one that is asked.
pub const NUM_STEMS: usize = 2;
/// Channels of the widest main bus.
pub const MAX_CHANNELS: usize = 2;

/// What the mixer works on. Allocated for the largest block; `num_samples` of it are in use.
#[derive(Debug, Clone, Default)]
pub struct StemBlock {
    /// Samples in use.
    pub num_samples: usize,
    /// Channels of the main bus, 1 or 2.
    pub num_channels: usize,
    /// `[stem][channel][sample]`; over all stems the sum is `dry`, to rounding.
    pub stems: [[Vec<f32>; MAX_CHANNELS]; NUM_STEMS],
    /// `[channel][sample]`: the delayed input.
    pub dry: [Vec<f32>; MAX_CHANNELS],
    /// `[sample]`, 0..=1: how far the masks are in.
    pub presence: Vec<f32>,
    /// `[sample]`, 0..=1: how far the stems are those of a model that is asked.
    pub asked: Vec<f32>,
}

impl StemBlock {
    /// Room for `max_samples` samples on `num_channels` channels.
    #[must_use]
    pub fn new(max_samples: usize, num_channels: usize) -> Self {
        let silence = || vec![0.0; max_samples];
        Self {
            num_samples: 0,
            num_channels: num_channels.clamp(1, MAX_CHANNELS),
            stems: std::array::from_fn(|_| std::array::from_fn(|_| silence())),
            dry: std::array::from_fn(|_| silence()),
            presence: silence(),
            asked: silence(),
        }
    }

    /// The samples in use of one channel of one stem.
    #[must_use]
    pub fn stem(&self, stem_idx: usize, channel_idx: usize) -> &[f32] {
        &self.stems[stem_idx][channel_idx][..self.num_samples]
    }

    /// The samples in use of one channel of the delayed input.
    #[must_use]
    pub fn dry(&self, channel_idx: usize) -> &[f32] {
        &self.dry[channel_idx][..self.num_samples]
    }
}
