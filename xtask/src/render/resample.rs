//! Whole files to another sample rate.

use super::audio_file::Audio;
use anyhow::{Context, Result, ensure};
use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Resampler};

/// The audio at `rate_hz`, aligned with what it was, `round(length × ratio)` samples long.
pub fn to_rate(audio: Audio, rate_hz: u32) -> Result<Audio> {
    const CHUNK_SAMPLES: usize = 1024;
    ensure!((1_000..=768_000).contains(&rate_hz), "a rate of {rate_hz} Hz: expected 1000 to 768000");
    if audio.rate_hz == rate_hz {
        return Ok(audio);
    }
    let num_channels = audio.channels.len();
    let num_samples = audio.num_samples();
    let mut resampler =
        Fft::<f32>::new(audio.rate_hz as usize, rate_hz as usize, CHUNK_SAMPLES, num_channels, FixedSync::Both)
            .with_context(|| format!("cannot resample {} Hz to {rate_hz} Hz", audio.rate_hz))?;
    let input = SequentialSliceOfVecs::new(&audio.channels, num_channels, num_samples)
        .context("the channels are not of one length")?;
    let interleaved = resampler.process_all(&input, num_samples, None).context("resampling failed")?.take_data();
    let expected = (num_samples as f64 * f64::from(rate_hz) / f64::from(audio.rate_hz)).round() as usize;
    let channels = (0..num_channels)
        .map(|channel_idx| {
            let mut channel: Vec<f32> = interleaved.iter().skip(channel_idx).step_by(num_channels).copied().collect();
            channel.resize(expected, 0.0);
            channel
        })
        .collect();
    Ok(Audio { channels, rate_hz })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    #[test]
    fn a_sine_stays_where_it_is() {
        let sine = |rate_hz: u32| -> Vec<f32> {
            (0..rate_hz).map(|i| (0.5 * (TAU * 997.0 * f64::from(i) / f64::from(rate_hz)).sin()) as f32).collect()
        };
        let audio = Audio { channels: vec![sine(44_100), sine(44_100)], rate_hz: 44_100 };
        let resampled = to_rate(audio, 48_000).unwrap();
        assert_eq!(resampled.num_samples(), 48_000);
        let expected = sine(48_000);
        // The ends ring: there the sine begins and stops.
        for (actual, expected) in resampled.channels[1].iter().zip(&expected).take(47_000).skip(1_000) {
            assert!((actual - expected).abs() < 1e-4, "{actual} {expected}");
        }
    }
}
