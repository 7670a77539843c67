//! Audio files out; in, they come through [`underscore_audio_file`].

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use underscore_audio_file::Limits;
pub use underscore_audio_file::{Audio, EXTENSIONS, has_audio_extension};

/// Sizes in a WAV file are 32-bit numbers of bytes; its header takes less than this.
const MOST_HEADER_BYTES: u64 = 128;

/// Of all channels of a file that is written.
const MOST_BYTES: u64 = u32::MAX as u64 - MOST_HEADER_BYTES;

/// What is read whole is as much as one of the files can hold that come of it: 4 GB in memory.
const LIMITS: Limits = Limits { num_channels: 2, num_values: MOST_BYTES / 4 };

/// Reads a whole file of one or two channels.
pub fn read(path: &Path) -> Result<Audio> {
    Ok(underscore_audio_file::read(path, LIMITS)?)
}

/// A file that is being written.
pub type Writer = hound::WavWriter<BufWriter<File>>;

/// An error where so many samples of each channel are more than a file can hold.
pub fn require_room(num_channels: usize, num_samples: usize, rate_hz: u32) -> Result<()> {
    let bytes_per_s = 4 * num_channels as u64 * u64::from(rate_hz);
    let hours = |num_bytes: u64| num_bytes as f64 / bytes_per_s as f64 / 3600.0;
    let num_bytes = 4 * num_channels as u64 * num_samples as u64;
    ensure!(
        num_bytes <= MOST_BYTES,
        "{:.1} hours are too long for a WAV file: {num_channels} channels at {rate_hz} Hz take up to {:.1} hours; split the input, or \
         take a lower --rate",
        hours(num_bytes),
        hours(MOST_BYTES)
    );
    Ok(())
}

/// Begins a 32-bit float WAV in an empty file that `num_samples` of each channel will go to.
///
/// # Errors
/// Where they are more than the format can hold: that is known before the first is there.
pub fn begin(file: File, num_channels: usize, num_samples: usize, rate_hz: u32) -> Result<Writer> {
    let spec = hound::WavSpec {
        channels: u16::try_from(num_channels).context("too many channels for a WAV file")?,
        sample_rate: rate_hz,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    require_room(num_channels, num_samples, rate_hz)?;
    Ok(hound::WavWriter::new(BufWriter::new(file), spec)?)
}

/// Writes 32-bit float WAV.
pub fn write(path: &Path, channels: &[Vec<f32>], rate_hz: u32) -> Result<()> {
    let num_samples = channels.first().map_or(0, Vec::len);
    let fail = || format!("cannot write {}", path.display());
    let file = File::create(path).with_context(fail)?;
    let mut writer = begin(file, channels.len(), num_samples, rate_hz).with_context(fail)?;
    for sample_idx in 0..num_samples {
        for channel in channels {
            writer.write_sample(channel[sample_idx]).with_context(fail)?;
        }
    }
    writer.finalize().with_context(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let channels = vec![vec![0.0, 1.5, -0.25, 1e-9], vec![0.5, -0.5, 0.125, -1.0]];
        write(&path, &channels, 44_100).unwrap();
        assert_eq!(read(&path).unwrap(), Audio { channels, rate_hz: 44_100 });
    }

    #[test]
    fn what_no_wav_file_can_hold_is_refused_before_the_first_sample() {
        let begin = |num_channels, num_samples| {
            let file = tempfile::tempfile().unwrap();
            begin(file, num_channels, num_samples, 48_000).map(drop).map_err(|error| error.to_string())
        };
        let hour = 3600 * 48_000;
        let error = begin(2, 4 * hour).unwrap_err();
        assert!(error.contains("4.0 hours") && error.contains("3.1 hours"), "{error}");
        assert!(begin(2, 3 * hour).is_ok() && begin(1, 6 * hour).is_ok());
    }
}
