//! Audio files in and out.

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::path::Path;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// Extensions that are taken for audio in a folder.
pub const EXTENSIONS: [&str; 5] = ["wav", "flac", "ogg", "oga", "mp3"];

/// A decoded file.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// `[channel][sample]`, full scale 1.0.
    pub channels: Vec<Vec<f32>>,
    /// Sample rate.
    pub rate_hz: u32,
}

impl Audio {
    /// Samples per channel.
    pub fn num_samples(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }
}

/// Whether the name says audio.
pub fn has_audio_extension(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}

/// Reads a whole file. What cannot be decoded is an error, not a gap: a render of half a file helps nobody.
pub fn read(path: &Path) -> Result<Audio> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let stream = MediaSourceStream::new(Box::new(file), symphonia::core::io::MediaSourceStreamOptions::default());
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
        hint.with_extension(extension);
    }
    let mut format = symphonia::default::get_probe()
        .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
        .with_context(|| format!("{} is no audio file that can be read", path.display()))?;
    let track = format.default_track(TrackType::Audio).context("there is no audio track")?;
    let (track_id, declared_samples) = (track.id, track.num_frames);
    let codec = track.codec_params.as_ref().and_then(|params| params.audio()).context("the audio has no codec")?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(codec, &AudioDecoderOptions::default())
        .context("no decoder for this codec")?;
    let mut channels: Vec<Vec<f32>> = Vec::new();
    let mut rate_hz = 0;
    let mut planes: Vec<Vec<f32>> = Vec::new();
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // Some containers only notice their end by running into it.
            Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error).context("the file is damaged"),
        };
        if packet.track_id != track_id {
            continue;
        }
        let block = decoder.decode(&packet).context("the file is damaged")?;
        let spec = block.spec();
        if channels.is_empty() {
            rate_hz = spec.rate();
            channels = vec![Vec::new(); spec.channels().count()];
        }
        ensure!(
            spec.rate() == rate_hz && spec.channels().count() == channels.len(),
            "the rate or the number of channels changes inside the file"
        );
        block.copy_to_vecs_planar(&mut planes);
        for (channel, plane) in channels.iter_mut().zip(&planes) {
            channel.extend_from_slice(plane);
        }
    }
    let audio = Audio { channels, rate_hz };
    ensure!(audio.num_samples() > 0, "{} holds no audio", path.display());
    if let Some(declared) = declared_samples
        && (audio.num_samples() as u64) < declared
    {
        bail!("the file is cut off: it declares {declared} samples and holds {}", audio.num_samples());
    }
    Ok(audio)
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

    #[test]
    fn a_file_that_is_cut_off_or_no_audio_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write(&path, &[vec![0.5; 4_000]], 44_100).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        read(&path).unwrap_err();
        std::fs::write(&path, b"this is no audio").unwrap();
        read(&path).unwrap_err();
    }
}
