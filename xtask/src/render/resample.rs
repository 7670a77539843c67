//! Whole files to another sample rate.

use super::audio_file::Audio;
use anyhow::{Context, Result, ensure};
use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Resampler};

/// About +120 dBFS: what is beyond is no sound, for the plugin neither.
const LOUDEST: f32 = (1 << 20) as f32;

/// The audio at `rate_hz`, aligned with what it was, `round(length × ratio)` samples long. Samples that are no sound (NaN, infinite, beyond
/// +120 dBFS) are replaced by 0, as the plugin does it: a transform of one of them is no signal at all.
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
    let num_channels = audio.channels.len();
    let num_samples = audio.num_samples();
    let (from, to) = (audio.rate_hz as usize, rate_hz as usize);
    let mut resampler = Fft::<f32>::new(from, to, chunk_samples(from, to), num_channels, FixedSync::Both)
        .with_context(|| format!("cannot resample {from} Hz to {to} Hz"))?;
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
