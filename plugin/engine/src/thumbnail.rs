//! What an example looks like: a small spectrogram.

use std::fmt;
use std::str::FromStr;

const NUM_COLUMNS: usize = Thumbnail::NUM_COLUMNS;
const NUM_ROWS: usize = Thumbnail::NUM_ROWS;

/// Where the lowest row begins.
const LOWEST_HZ: f32 = 60.0;

/// Levels of a cell: one hexadecimal digit.
const NUM_LEVELS: u8 = 16;

/// From the softest level to the loudest, which is that of the loudest cell.
const RANGE_DB: f32 = 50.0;

/// Levels 0..16 `[column][row]`. As text: hexadecimal digits in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    levels: Vec<u8>,
}

impl Thumbnail {
    /// Cells from left to right: the example's time.
    pub const NUM_COLUMNS: usize = 32;

    /// Cells from bottom to top: from 60 Hz to the model's highest bin, as many to every octave.
    pub const NUM_ROWS: usize = 16;

    /// Of a spectrum `[frame][bin][re, im]` whose bins are `bin_hz` apart, the first at 0.
    #[must_use]
    pub fn of(spectrum: &[f32], num_bins: usize, bin_hz: f32) -> Self {
        let frames: Vec<&[f32]> = spectrum.chunks_exact(num_bins.max(1) * 2).collect();
        let mut powers = vec![0.0_f32; NUM_COLUMNS * NUM_ROWS];
        for (column_idx, column) in powers.chunks_exact_mut(NUM_ROWS).enumerate() {
            let [first, end] = [column_idx, column_idx + 1].map(|idx| idx * frames.len() / NUM_COLUMNS);
            // Fewer frames than columns: each stands in several.
            let shown = &frames[first.min(frames.len().saturating_sub(1))..end.max(first + 1).min(frames.len())];
            for (row_idx, power) in column.iter_mut().enumerate() {
                let [low, high] = [row_idx, row_idx + 1].map(|idx| edge_bin(idx, num_bins, bin_hz));
                let bins = low.min(num_bins)..high.max(low + 1).min(num_bins);
                let of_frame = |frame: &&[f32]| frame[2 * bins.start..2 * bins.end].iter().map(|x| x * x).sum::<f32>();
                *power = shown.iter().map(of_frame).sum::<f32>() / shown.len().max(1) as f32;
            }
        }
        let loudest = powers.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let level = |power: &f32| {
            let below_loudest_db = 10.0 * (power / loudest).max(f32::MIN_POSITIVE).log10();
            let share = (1.0 + below_loudest_db / RANGE_DB).clamp(0.0, 1.0);
            (share * f32::from(NUM_LEVELS - 1)).round() as u8
        };
        Self { levels: powers.iter().map(level).collect() }
    }

    /// How loud a cell is, 0..=1.
    #[must_use]
    pub fn level(&self, column_idx: usize, row_idx: usize) -> f32 {
        let level = self.levels.get(column_idx * NUM_ROWS + row_idx).copied().unwrap_or(0);
        f32::from(level) / f32::from(NUM_LEVELS - 1)
    }
}

/// The first bin of a row.
fn edge_bin(row_idx: usize, num_bins: usize, bin_hz: f32) -> usize {
    let highest_hz = num_bins as f32 * bin_hz;
    let hz = LOWEST_HZ * (highest_hz / LOWEST_HZ).max(1.0).powf(row_idx as f32 / NUM_ROWS as f32);
    (hz / bin_hz).round() as usize
}

impl fmt::Display for Thumbnail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.levels.iter().try_for_each(|level| write!(f, "{level:x}"))
    }
}

/// A text that is no thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {} hexadecimal digits", NUM_COLUMNS * NUM_ROWS)]
pub struct NoThumbnail;

impl FromStr for Thumbnail {
    type Err = NoThumbnail;

    fn from_str(text: &str) -> Result<Self, NoThumbnail> {
        let levels: Option<Vec<u8>> = text.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
        let levels = levels.filter(|levels| levels.len() == NUM_COLUMNS * NUM_ROWS);
        levels.map(|levels| Self { levels }).ok_or(NoThumbnail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUM_BINS: usize = 1_024;
    const BIN_HZ: f32 = 15.625;

    /// A tone that comes when the example is half over.
    fn late_tone(num_frames: usize) -> Vec<f32> {
        let mut spectrum = vec![1e-4; num_frames * NUM_BINS * 2];
        for frame in spectrum.chunks_exact_mut(NUM_BINS * 2).skip(num_frames / 2) {
            // 1 kHz
            frame[2 * 64] = 1.0;
        }
        spectrum
    }

    #[test]
    fn what_plays_is_seen_where_and_when_it_plays() {
        for num_frames in [1_000, 180, 32, 20, 2] {
            let thumbnail = Thumbnail::of(&late_tone(num_frames), NUM_BINS, BIN_HZ);
            // 1 kHz lies 4.1 octaves above 60 Hz, of 8.06 in all.
            let brightest = (0..NUM_ROWS).max_by(|a, b| thumbnail.level(30, *a).total_cmp(&thumbnail.level(30, *b)));
            assert_eq!(brightest, Some(8), "{num_frames} frames");
            assert_eq!((thumbnail.level(30, 8), thumbnail.level(1, 8)), (1.0, 0.0), "{num_frames} frames");
        }
    }

    #[test]
    fn how_loud_it_was_is_not_seen_and_silence_is_dark() {
        let tone = late_tone(180);
        let louder: Vec<f32> = tone.iter().map(|x| x * 100.0).collect();
        assert_eq!(Thumbnail::of(&tone, NUM_BINS, BIN_HZ), Thumbnail::of(&louder, NUM_BINS, BIN_HZ));
        for nothing in [vec![], vec![0.0; 10 * NUM_BINS * 2]] {
            let dark = Thumbnail::of(&nothing, NUM_BINS, BIN_HZ);
            assert!((0..NUM_COLUMNS).all(|column| dark.level(column, 3) == 0.0));
        }
    }

    #[test]
    fn as_text_it_is_the_same_and_any_other_text_is_none() {
        let thumbnail = Thumbnail::of(&late_tone(180), NUM_BINS, BIN_HZ);
        let text = thumbnail.to_string();
        assert_eq!((text.len(), text.parse()), (512, Ok(thumbnail)));
        for other in ["", &text[1..], &"g".repeat(512), &"é".repeat(256)] {
            assert_eq!(other.parse::<Thumbnail>(), Err(NoThumbnail));
        }
    }
}
