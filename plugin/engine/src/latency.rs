//! The one formula for latency.

use serde::Deserialize;
use underscore_dsp::{Grid, GridError};

/// What a model asks of time. All of it is declared by the model file and repeated in the catalogue, so that the latency is
/// known without opening the file.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct ModelTiming {
    /// The rate the model was trained at, Hz. It hears nothing above half of it; from a host of a lower rate it hears nothing
    /// above half of that.
    pub sample_rate_hz: f64,
    /// Analysis window, seconds.
    pub window_s: f64,
    /// Distance between frames, seconds.
    pub hop_s: f64,
    /// Synthesis window, seconds: the part at a frame's end that is heard of it. `window_s`, or less for a shorter latency.
    pub synthesis_s: f64,
    /// Bins per frame at the model's own rate: `round(sample_rate_hz · window_s) / 2 + 1`.
    pub num_bins: usize,
    /// Frames that one inference call takes, and masks that it gives back.
    pub frames_per_call: usize,
    /// The mask at place `j` of a call that starts with frame `c` belongs to frame `c + j − look_ahead_frames`.
    pub look_ahead_frames: usize,
    /// Frames before its own that a mask depends on by the model's convolutions; see [`ModelTiming::reach_frames`].
    pub look_back_frames: usize,
}

impl ModelTiming {
    /// Samples in the model's own analysis window.
    #[must_use]
    pub fn window_samples(&self) -> usize {
        (self.sample_rate_hz * self.window_s).round() as usize
    }

    /// The model's grid at a rate.
    ///
    /// # Errors
    /// Where they make no usable one.
    pub fn grid(&self, rate_hz: f64) -> Result<Grid, GridError> {
        Grid::new(rate_hz, self.window_s, self.hop_s, self.synthesis_s)
    }

    /// Model window over host window: brings the magnitudes of unnormalised spectra on `grid` to what the model was trained on.
    #[must_use]
    pub fn scale(&self, grid: Grid) -> f32 {
        self.window_samples() as f32 / grid.window_samples() as f32
    }

    /// Frames before the newest that its call's masks depend on. Where all of them were silent and the call is, too, there is
    /// nothing in it to be heard: neither in the frames that its masks are for, which lie `look_ahead_frames` back, nor in those
    /// that the model looks back to from there.
    #[must_use]
    pub fn reach_frames(&self) -> usize {
        self.look_ahead_frames + self.look_back_frames
    }
}

/// Where a model's timing, a host rate and a block size lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The frame grid at the host's rate.
    pub grid: Grid,
    /// Place in the hop at which a frame is taken and begins to play, samples; see [`latency`].
    pub synthesis_at_samples: usize,
    /// Time granted to the worker between handing a call over and the first use of its masks, samples.
    pub deadline_samples: usize,
    /// Distance between the frame handed over last and the frame taken after it, in frames.
    pub mask_delay_frames: usize,
    /// The reported total: output sample `n` is input sample `n − latency_samples`.
    pub latency_samples: usize,
}

/// When the calls of an activation come, and when what they give is needed, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CallTimes {
    /// From frame to frame.
    pub hop_s: f64,
    /// Of a call. It begins so many hops after the one before.
    pub num_frames: usize,
    /// The first of a call's masks is that of the frame so many before its own first one.
    pub look_ahead_frames: usize,
    /// From handing a call over to the need of its first mask; each further one is needed a hop later.
    pub deadline_s: f64,
    /// An audio thread that keeps time may be about to take as much at once: a hop, or a block of several.
    pub stride_s: f64,
}

impl CallTimes {
    /// Of a model whose latency at a host's rate and largest block is `latency`.
    #[must_use]
    pub fn new(timing: &ModelTiming, latency: &Latency, host_rate_hz: f64, max_block_samples: usize) -> Self {
        let hop_samples = latency.grid.hop_samples();
        Self {
            hop_s: hop_samples as f64 / host_rate_hz,
            num_frames: timing.frames_per_call,
            look_ahead_frames: timing.look_ahead_frames,
            deadline_s: latency.deadline_samples as f64 / host_rate_hz,
            stride_s: hop_samples.max(max_block_samples) as f64 / host_rate_hz,
        }
    }

    /// From call to call.
    #[must_use]
    pub fn call_s(&self) -> f64 {
        self.num_frames as f64 * self.hop_s
    }
}

/// Why there is no latency to report.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum LatencyError {
    /// The host rate and the model's windows and hop make no usable grid.
    #[error("no frame grid at {host_rate_hz} Hz: {source}")]
    Grid {
        /// The host's rate, Hz.
        host_rate_hz: f64,
        /// What is wrong with it.
        source: GridError,
    },
    /// A count that must be at least one is zero.
    #[error("{field} is 0, expected at least 1")]
    Zero {
        /// Which.
        field: &'static str,
    },
}

/// The latency of a model at a host rate and a largest block size. Pure: it knows nothing of this machine's speed.
///
/// At the start of a hop the frame that the hop before completed is handed to the worker; after three eighths (`synthesis_at`) what
/// the worker made of another one is taken and begins to play. The places do not depend on the block, so neither does what is heard.
/// Three eighths are more than 256 samples on a grid of 16 ms at 44.1 kHz and 48 kHz alike: in blocks of that length the two
/// never fall into one, and the worker has a little more than whole hops.
///
/// The frame to be heard was handed over `mask_delay_frames` earlier: the rest of its call (`frames_per_call − 1`), the model's
/// look-ahead, and the whole frames of the deadline. Its first sample that is heard lies `synthesis − hop` before the hop that
/// completed it, hence
///
/// `latency_samples = synthesis + mask_delay_frames · hop + synthesis_at`.
///
/// The deadline must outlast the largest block, because masks handed over and needed in one and the same block would have no
/// time at all, and on top leaves the worker half a call's duration to compute. It is the least `n · hop + synthesis_at` with
///
/// `n · hop + synthesis_at ≥ max_block + ⌈frames_per_call / 2⌉ · hop`.
///
/// # Errors
/// Where the rate makes no grid or a count is zero.
pub fn latency(timing: &ModelTiming, host_rate_hz: f64, max_block_samples: usize) -> Result<Latency, LatencyError> {
    if timing.frames_per_call == 0 {
        return Err(LatencyError::Zero { field: "frames_per_call" });
    }
    if max_block_samples == 0 {
        return Err(LatencyError::Zero { field: "max_block_samples" });
    }
    let grid = timing.grid(host_rate_hz).map_err(|source| LatencyError::Grid { host_rate_hz, source })?;
    let hop = grid.hop_samples();
    // Rounded up, so that even a hop of one sample has its place.
    let synthesis_at_samples = (3 * hop).div_ceil(8);
    let least_samples = max_block_samples + timing.frames_per_call.div_ceil(2) * hop;
    let deadline_frames = least_samples.saturating_sub(synthesis_at_samples).div_ceil(hop);
    let mask_delay_frames = timing.frames_per_call - 1 + timing.look_ahead_frames + deadline_frames;
    Ok(Latency {
        grid,
        synthesis_at_samples,
        deadline_samples: deadline_frames * hop + synthesis_at_samples,
        mask_delay_frames,
        latency_samples: grid.synthesis_samples() + mask_delay_frames * hop + synthesis_at_samples,
    })
}

/// What models may be like, for tests.
#[cfg(test)]
impl ModelTiming {
    /// Of the paper: causal, eight frames at a time.
    pub const PAPER: Self = Self {
        sample_rate_hz: 16_000.0,
        window_s: 0.064,
        hop_s: 0.016,
        synthesis_s: 0.064,
        num_bins: 513,
        frames_per_call: 8,
        look_ahead_frames: 0,
        look_back_frames: 0,
    };

    /// Of more bins than some hosts have, with look-ahead.
    pub const FULL_BAND: Self =
        Self { sample_rate_hz: 32_000.0, num_bins: 1025, frames_per_call: 4, look_ahead_frames: 8, ..Self::PAPER };

    /// For whoever is on air: frame by frame, half of each heard.
    pub const LIVE: Self = Self { frames_per_call: 1, synthesis_s: 0.032, ..Self::PAPER };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, ModelSpec};

    const PAPER: ModelTiming = ModelTiming::PAPER;

    /// The oracle: walk the grid sample by sample and note when the first sample of a frame can leave.
    fn latency_by_walking(timing: &ModelTiming, latency: &Latency) -> usize {
        let (heard, hop) = (latency.grid.synthesis_samples(), latency.grid.hop_samples());
        // The frame whose mask stands first in its call waits longest.
        let frame = 50 * timing.frames_per_call - timing.look_ahead_frames;
        let call_last_frame = frame + timing.look_ahead_frames + timing.frames_per_call - 1;
        let handed_over_at = (call_last_frame + 1) * hop;
        let needed_at = handed_over_at + latency.deadline_samples;
        let first_sample = (frame + 1) * hop - heard;
        needed_at - first_sample
    }

    #[test]
    fn the_formula_equals_a_walk_over_the_grid_at_every_rate_and_block() {
        for rate_hz in [8_000.0, 16_000.0, 22_050.0, 32_000.0, 44_100.0, 48_000.0, 88_200.0, 96_000.0, 192_000.0] {
            for block in [1, 32, 64, 127, 440, 480, 512, 1024, 4096, 8192] {
                for (frames_per_call, look_ahead_frames, synthesis_s) in
                    [(8, 0, 0.064), (1, 0, 0.064), (8, 16, 0.064), (4, 3, 0.064), (4, 8, 0.032), (1, 0, 0.032)]
                {
                    let timing = ModelTiming { synthesis_s, frames_per_call, look_ahead_frames, ..PAPER };
                    let found = latency(&timing, rate_hz, block).unwrap();
                    assert_eq!(found.latency_samples, latency_by_walking(&timing, &found), "{rate_hz} Hz, {block}");
                    let half_a_call = frames_per_call.div_ceil(2) * found.grid.hop_samples();
                    assert!(found.deadline_samples >= block + half_a_call);
                }
            }
        }
    }

    #[test]
    fn the_paper_s_grid_at_48_khz_and_256_samples_takes_246_ms() {
        let found = latency(&PAPER, 48_000.0, 256).unwrap();
        assert_eq!(found.deadline_samples, 288 + 4 * 768);
        assert_eq!(found.latency_samples, 3072 + 11 * 768 + 288);
        println!("latency at 48 kHz / 256: {:.1} ms", found.latency_samples as f64 / 48.0);
    }

    #[test]
    fn frame_by_frame_without_look_ahead_and_with_half_of_each_heard_it_takes_less_than_64_ms() {
        let live = ModelTiming::LIVE;
        for (rate_hz, block) in [(44_100.0, 128), (44_100.0, 256), (48_000.0, 128), (48_000.0, 256), (96_000.0, 512)] {
            let found = latency(&live, rate_hz, block).unwrap();
            let latency_ms = 1e3 * found.latency_samples as f64 / rate_hz;
            println!("latency at {rate_hz} Hz / {block}: {latency_ms:.1} ms");
            assert!(latency_ms < 55.0, "{rate_hz} Hz / {block}: {latency_ms} ms");
        }
    }

    #[test]
    fn the_latencies_of_the_shipped_models_are_those_of_the_readme_and_of_docs_latency_md() {
        let identity = Catalogue::shipped().find("identity").expect("it ships");
        for (spec, block, expected_ms) in [
            (ModelSpec::shipped("music"), 256, 374),
            (ModelSpec::shipped("query"), 256, 374),
            (ModelSpec::shipped("live"), 256, 54),
            (ModelSpec::shipped("exact"), 256, 2710),
            (identity, 256, 246),
            (ModelSpec::shipped("music"), 1024, 390),
            (ModelSpec::shipped("live"), 512, 70),
        ] {
            let found = latency(&spec.timing, 48_000.0, block).unwrap();
            let found_ms = (1e3 * found.latency_samples as f64 / 48_000.0).round() as u32;
            assert_eq!(found_ms, expected_ms, "{} in blocks of {block}", spec.id);
        }
    }

    #[test]
    fn the_model_s_own_rate_plays_no_part() {
        let full_band = ModelTiming { sample_rate_hz: 32_000.0, num_bins: 1025, ..PAPER };
        for rate_hz in [16_000.0, 48_000.0] {
            assert_eq!(latency(&full_band, rate_hz, 512), latency(&PAPER, rate_hz, 512));
        }
    }

    #[test]
    fn a_rate_that_makes_no_grid_is_an_error_and_not_a_number() {
        assert!(latency(&PAPER, f64::NAN, 512).is_err());
        assert!(latency(&PAPER, 0.0, 512).is_err());
        assert!(latency(&PAPER, 48_000.0, 0).is_err());
    }
}
