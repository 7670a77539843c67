//! The stems of one block: where they lie, and memory for those that lie nowhere yet.

use underscore_engine::{Control, ControlBuffer, Stems, touched_zeros};

/// Stems of every model: music and dialogue, or target and residual of one that is asked.
pub const NUM_STEMS: usize = 2;
/// Channels of the widest main bus.
pub const MAX_CHANNELS: usize = 2;

/// The separated part of a stem's sample: the stem without the equal share of the delayed input, `dry`, that stands in for missing masks. `presence`, 0..=1,
/// says how far the masks are in.
#[inline]
#[must_use]
pub fn wet_part(stem: f32, dry: f32, presence: f32) -> f32 {
    stem - (1.0 - presence) / NUM_STEMS as f32 * dry
}

/// What is mixed, metered and played on the buses of stems. Borrowed from whoever made it.
#[derive(Debug, Clone, Copy)]
pub struct StemBlock<'a> {
    /// Samples of every slice.
    pub num_samples: usize,
    /// Channels of the main bus, 1 or 2; slices of others are empty.
    pub num_channels: usize,
    /// `[stem][channel][sample]`; over all stems the sum is `dry`, to rounding. As far as masks are missing each is an equal share of that.
    pub stems: [[&'a [f32]; MAX_CHANNELS]; NUM_STEMS],
    /// `[channel][sample]`: the delayed input.
    pub dry: [&'a [f32]; MAX_CHANNELS],
    /// 0..=1: how far the masks are in.
    pub presence: Control<'a>,
    /// 0..=1: how far the stems are those of a model that is asked.
    pub query_share: Control<'a>,
}

impl<'a> StemBlock<'a> {
    /// What an engine made, where its engine left it.
    #[must_use]
    pub fn of(stems: &Stems<'a>, is_query_model: bool) -> Self {
        let num_channels = stems.num_channels().min(MAX_CHANNELS);
        let channels = |of: &dyn Fn(usize) -> &'a [f32]| {
            std::array::from_fn(
                |channel_idx| if channel_idx < num_channels { of(channel_idx) } else { Default::default() },
            )
        };
        Self {
            num_samples: stems.num_samples(),
            num_channels,
            stems: std::array::from_fn(|stem_idx| channels(&|channel_idx| stems.stem(stem_idx, channel_idx))),
            dry: channels(&|channel_idx| stems.dry(channel_idx)),
            presence: stems.presence(),
            query_share: Control::Constant(if is_query_model { 1.0 } else { 0.0 }),
        }
    }
}

/// Memory for a block that is made of others.
#[derive(Debug, Clone)]
pub struct StemMemory {
    num_channels: usize,
    num_samples: usize,
    /// `[stem][channel][sample]`
    pub stems: [[Vec<f32>; MAX_CHANNELS]; NUM_STEMS],
    /// `[channel][sample]`
    pub dry: [Vec<f32>; MAX_CHANNELS],
    /// See [`StemBlock::presence`].
    pub presence: ControlBuffer,
    /// See [`StemBlock::asked`].
    pub query_share: ControlBuffer,
}

impl StemMemory {
    /// Room for `max_samples` samples on `num_channels` channels.
    #[must_use]
    pub fn new(max_samples: usize, num_channels: usize) -> Self {
        let silence = || touched_zeros(max_samples);
        Self {
            num_channels: num_channels.clamp(1, MAX_CHANNELS),
            num_samples: 0,
            stems: std::array::from_fn(|_| std::array::from_fn(|_| silence())),
            dry: std::array::from_fn(|_| silence()),
            presence: ControlBuffer::new(max_samples),
            query_share: ControlBuffer::new(max_samples),
        }
    }

    /// Begins a block of `num_samples`, whose values are those of before until they are written. Controls are empty.
    pub fn begin(&mut self, num_samples: usize) {
        self.num_samples = num_samples;
        self.presence.clear();
        self.query_share.clear();
    }

    /// The block as it stands.
    #[must_use]
    pub fn block(&self) -> StemBlock<'_> {
        let Self { num_channels, num_samples, stems, dry, presence, query_share } = self;
        let in_use = |channel_idx: usize| if channel_idx < *num_channels { *num_samples } else { 0 };
        StemBlock {
            num_samples: *num_samples,
            num_channels: *num_channels,
            stems: std::array::from_fn(|stem_idx| {
                std::array::from_fn(|channel_idx| &stems[stem_idx][channel_idx][..in_use(channel_idx)])
            }),
            dry: std::array::from_fn(|channel_idx| &dry[channel_idx][..in_use(channel_idx)]),
            presence: presence.get(),
            query_share: query_share.get(),
        }
    }
}
