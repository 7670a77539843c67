//! Levels over time and frequency, ready to be drawn: one column of pixels per frame, one row per step of log frequency.

use crate::render::audio_file::Audio;
use anyhow::{Result, ensure};
use realfft::RealFftPlanner;
use std::f32::consts::TAU;

/// Length of a frame: long enough to tell the partials of a low chord apart.
const WINDOW_S: f64 = 0.085;

/// Levels in decibels, `[column][row]`, the lowest frequency first.
pub struct Spectrogram {
    /// See above. 0 dB is a full-scale sine.
    pub levels_db: Vec<Vec<f32>>,
}

impl Spectrogram {
    /// The mean power of the channels, on `num_columns` frames spread over the whole signal and `num_rows` frequencies from
    /// `lowest_hz` to `highest_hz` at equal ratios.
    pub fn of(audio: &Audio, num_columns: usize, num_rows: usize, band_hz: (f64, f64)) -> Result<Self> {
        let rate_hz = f64::from(audio.rate_hz);
        let window_samples = ((WINDOW_S * rate_hz) as usize).next_power_of_two();
        ensure!(audio.num_samples() > 0 && num_columns > 0 && num_rows > 1, "there is nothing to draw");
        ensure!(band_hz.1 < rate_hz / 2.0, "{} Hz is above half the sample rate", band_hz.1);
        let window = hann(window_samples);
        // A sine of amplitude 1 peaks at half the sum of the window.
        let full_scale = window.iter().sum::<f32>() / 2.0;
        let transform = RealFftPlanner::<f32>::new().plan_fft_forward(window_samples);
        let (mut frame, mut spectrum) = (transform.make_input_vec(), transform.make_output_vec());
        let positions = bin_positions(num_rows, band_hz, rate_hz / window_samples as f64);
        let mut levels_db = Vec::with_capacity(num_columns);
        for column_idx in 0..num_columns {
            let centre = (column_idx as f64 + 0.5) / num_columns as f64 * audio.num_samples() as f64;
            let start = centre as isize - (window_samples / 2).cast_signed();
            let mut power = vec![0.0; spectrum.len()];
            for channel in &audio.channels {
                for (sample_idx, (sample, weight)) in frame.iter_mut().zip(&window).enumerate() {
                    let at = usize::try_from(start + sample_idx.cast_signed()).ok();
                    *sample = weight * at.and_then(|at| channel.get(at)).copied().unwrap_or(0.0);
                }
                transform.process(&mut frame, &mut spectrum)?;
                for (sum, bin) in power.iter_mut().zip(&spectrum) {
                    *sum += bin.norm_sqr() / (full_scale * full_scale) / audio.channels.len() as f32;
                }
            }
            levels_db.push(positions.iter().map(|&position| level_at(&power, position)).collect());
        }
        Ok(Self { levels_db })
    }

    /// The highest level.
    pub fn peak_db(&self) -> f32 {
        self.levels_db.iter().flatten().fold(f32::NEG_INFINITY, |peak, level| peak.max(*level))
    }
}

fn hann(num_samples: usize) -> Vec<f32> {
    (0..num_samples).map(|n| 0.5 - 0.5 * (TAU * n as f32 / num_samples as f32).cos()).collect()
}

/// Where each row lies among the bins.
fn bin_positions(num_rows: usize, (lowest_hz, highest_hz): (f64, f64), bin_hz: f64) -> Vec<f64> {
    let ratio = highest_hz / lowest_hz;
    (0..num_rows).map(|row_idx| lowest_hz * ratio.powf(row_idx as f64 / (num_rows - 1) as f64) / bin_hz).collect()
}

/// Level between two bins.
fn level_at(power: &[f32], position: f64) -> f32 {
    let below = position as usize;
    let part = (position - below as f64) as f32;
    let at = |bin_idx: usize| power.get(bin_idx).copied().unwrap_or(0.0);
    10.0 * (at(below) * (1.0 - part) + at(below + 1) * part + 1e-12).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scale_sine_is_a_line_at_its_own_frequency_and_at_zero_decibels() {
        let rate_hz = 48_000;
        let bin_hz = f64::from(rate_hz) / 4096.0;
        let sine_hz = 85.0 * bin_hz;
        let channel: Vec<f32> = (0..rate_hz)
            .map(|n| (std::f64::consts::TAU * sine_hz * f64::from(n) / f64::from(rate_hz)).sin() as f32)
            .collect();
        let audio = Audio { channels: vec![channel], rate_hz };
        let (num_rows, band_hz) = (401, (sine_hz / 4.0, sine_hz * 4.0));
        let spectrogram = Spectrogram::of(&audio, 9, num_rows, band_hz).expect("a spectrogram");
        let column = &spectrogram.levels_db[4];
        let loudest = (0..num_rows).max_by(|a, b| column[*a].total_cmp(&column[*b])).expect("a row");
        assert_eq!(loudest, 200, "the middle of the band");
        assert!(column[200].abs() < 0.1, "{} dB", column[200]);
        assert!(column[0] < -60.0 && column[400] < -60.0);
    }

    #[test]
    fn a_band_above_half_the_rate_is_refused() {
        let audio = Audio { channels: vec![vec![0.0; 1000]], rate_hz: 16_000 };
        assert!(Spectrogram::of(&audio, 10, 10, (50.0, 12_000.0)).is_err());
    }
}
