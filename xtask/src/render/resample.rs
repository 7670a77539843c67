//! Whole files to another sample rate.

use super::audio_file::{self, Audio};
use anyhow::{Context, Result, ensure};
use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Resampler};

/// About +120 dBFS: what is beyond is no sound, for the plugin neither.
const LOUDEST: f32 = (1 << 20) as f32;

/// The audio at `rate_hz`, aligned with what it was, `round(length × ratio)` samples long. Samples that are no sound (NaN, infinite, beyond
/// +120 dBFS) are replaced by 0, as the plugin does it: a transform of one of them is no signal at all. One channel after the other, each in place
/// of what it was: hours of sound are not in memory twice.
///
/// # Errors
/// Where that is more than a file can hold, too: nobody is to wait for what cannot be written.
pub fn to_rate(mut audio: Audio, rate_hz: u32) -> Result<Audio> {
    ensure!((1_000..=768_000).contains(&rate_hz), "a rate of {rate_hz} Hz: expected 1000 to 768000");
    for sample in audio.channels.iter_mut().flatten() {
        if sample.is_nan() || sample.abs() >= LOUDEST {
            *sample = 0.0;
        }
    }
    if audio.rate_hz == rate_hz {
        return Ok(audio);
    }
    let num_samples = (audio.num_samples() as f64 * f64::from(rate_hz) / f64::from(audio.rate_hz)).round() as usize;
    audio_file::require_room(audio.channels.len(), num_samples, rate_hz)?;
    for channel in &mut audio.channels {
        *channel = resampled(std::mem::take(channel), audio.rate_hz as usize, rate_hz as usize)?;
        channel.resize(num_samples, 0.0);
    }
    Ok(Audio { rate_hz, ..audio })
}

/// One channel at another rate, about as long as that makes it.
fn resampled(channel: Vec<f32>, from_hz: usize, to_hz: usize) -> Result<Vec<f32>> {
    let num_samples = channel.len();
    let mut resampler = Fft::<f32>::new(from_hz, to_hz, chunk_samples(from_hz, to_hz), 1, FixedSync::Both)
        .with_context(|| format!("cannot resample {from_hz} Hz to {to_hz} Hz"))?;
    let channels = [channel];
    let input = SequentialSliceOfVecs::new(&channels, 1, num_samples).context("resampling failed")?;
    Ok(resampler.process_all(&input, num_samples, None).context("resampling failed")?.take_data())
}

/// About 1024 input samples, an even multiple of the ratio's denominator: rubato trims its delay to whole samples, and only in
/// chunks of even length is half a chunk a whole number of samples on both sides.
fn chunk_samples(from_hz: usize, to_hz: usize) -> usize {
    const ABOUT: usize = 1024;
    let (mut gcd, mut rest) = (from_hz, to_hz);
    while rest != 0 {
        (gcd, rest) = (rest, gcd % rest);
    }
    let pair = 2 * from_hz / gcd;
    pair * ABOUT.div_ceil(pair)
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
        for (from, to) in [(44_100, 48_000), (48_000, 44_100), (16_000, 96_000), (22_050, 32_000)] {
            let audio = Audio { channels: vec![sine(from), sine(from)], rate_hz: from };
            let resampled = to_rate(audio, to).unwrap();
            assert_eq!(resampled.num_samples(), to as usize);
            let expected = sine(to);
            // The ends ring: there the sine begins and stops.
            let ends = to as usize / 10;
            let inside = ends..to as usize - ends;
            let error = inside.map(|i| (resampled.channels[1][i] - expected[i]).abs()).fold(0.0, f32::max);
            assert!(error < 1e-4, "{from} to {to}: off by {error}");
        }
    }

    #[test]
    fn what_no_file_can_hold_is_refused_before_it_is_made() {
        let hour_at_8_khz = Audio { channels: vec![vec![0.0; 3600 * 8_000]; 2], rate_hz: 8_000 };
        let error = to_rate(hour_at_8_khz, 768_000).unwrap_err().to_string();
        assert!(error.contains("1.0 hours") && error.contains("a lower --rate"), "{error}");
    }

    #[test]
    fn what_is_no_sound_is_silence_and_all_around_it_stays() {
        let audio = |wild: f32| {
            let mut channel = vec![0.5; 4_410];
            channel[2_000] = wild;
            Audio { channels: vec![channel.clone(), channel], rate_hz: 44_100 }
        };
        for rate_hz in [44_100, 48_000] {
            let expected = to_rate(audio(0.0), rate_hz).unwrap();
            for wild in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -LOUDEST] {
                assert_eq!(to_rate(audio(wild), rate_hz).unwrap(), expected, "{wild} at {rate_hz} Hz");
            }
        }
    }
}
