//! Audio files out; in, they come through [`underscore_audio_file`].

use std::path::Path;

use anyhow::{Context, Result};
pub use underscore_audio_file::{Audio, EXTENSIONS, has_audio_extension};

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Audio> {
    Ok(underscore_audio_file::read(path)?)
}

/// Writes 32-bit float WAV.
pub fn write(path: &Path, channels: &[Vec<f32>], rate_hz: u32) -> Result<()> {
    let spec = hound::WavSpec {
        channels: u16::try_from(channels.len()).context("too many channels for a WAV file")?,
        sample_rate: rate_hz,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let fail = || format!("cannot write {}", path.display());
    let mut writer = hound::WavWriter::create(path, spec).with_context(fail)?;
    for sample_idx in 0..channels.first().map_or(0, Vec::len) {
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
}
