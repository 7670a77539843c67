//! A file that is being decoded, packet by packet.

use std::path::{Path, PathBuf};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::well_known::{FORMAT_ID_FLAC, FORMAT_ID_MP3, FORMAT_ID_OGG};
use symphonia::core::formats::{FormatId, FormatReader, TrackType};
use symphonia::core::packet::Packet;

use crate::{Audio, Limits, ReadError, container};

/// What is read of a file, and what it says of itself.
pub(crate) struct Decoding {
    path: PathBuf,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track_id: u32,
    kind: FormatId,
    declared: Declared,
    /// So far.
    audio: Audio,
    /// Of the packets so far.
    num_bytes: u64,
    /// It ended before its last page.
    is_broken_off: bool,
    /// One packet, `[channel][sample]`.
    planes: Vec<Vec<f32>>,
}

/// What a file's header says, as far as it does.
#[derive(Debug, Clone, Copy)]
struct Declared {
    num_samples: Option<u64>,
    num_channels: Option<usize>,
    rate_hz: Option<u32>,
    /// What the encoder of an MP3 put after the last sample, which may take a frame and more, and the count is without.
    num_padding: u64,
}

impl Decoding {
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let format = container::open(path)?;
        let empty = || ReadError::Empty(path.to_path_buf());
        let track = format.default_track(TrackType::Audio).ok_or_else(empty)?;
        let codec = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or_else(empty)?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(codec, &AudioDecoderOptions::default())
            .map_err(|reason| ReadError::Unsupported { path: path.to_path_buf(), reason: reason.to_string() })?;
        let declared = Declared {
            num_samples: track.num_frames,
            num_channels: codec.channels.as_ref().map(Channels::count),
            rate_hz: codec.sample_rate,
            num_padding: u64::from(track.padding.unwrap_or_default()),
        };
        Ok(Self {
            path: path.to_path_buf(),
            track_id: track.id,
            kind: format.format_info().format,
            format,
            decoder,
            declared,
            audio: Audio { channels: Vec::new(), rate_hz: 0 },
            num_bytes: 0,
            is_broken_off: false,
            planes: Vec::new(),
        })
    }

    /// What was read so far.
    pub(crate) fn audio(&self) -> &Audio {
        &self.audio
    }

    /// What was read.
    pub(crate) fn into_audio(self) -> Result<Audio, ReadError> {
        if self.audio.num_samples() == 0 { Err(ReadError::Empty(self.path)) } else { Ok(self.audio) }
    }

    /// None at the end.
    pub(crate) fn next_packet(&mut self) -> Result<Option<Packet>, ReadError> {
        loop {
            match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track_id => {
                    self.num_bytes += packet.data.len() as u64;
                    return Ok(Some(packet));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                // Some containers only notice their end by running into it. The last page of an Ogg says that it is the last.
                Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    self.is_broken_off = self.kind == FORMAT_ID_OGG;
                    return Ok(None);
                }
                Err(reason) => return Err(self.damaged(reason)),
            }
        }
    }

    /// Decodes what was just read.
    pub(crate) fn append(&mut self, packet: &Packet) -> Result<(), ReadError> {
        let path = || self.path.clone();
        let decoded = self.decoder.decode(packet);
        let block = decoded.map_err(|reason| ReadError::Damaged { path: path(), reason })?;
        let (rate_hz, num_channels) = (block.spec().rate(), block.spec().channels().count());
        if self.audio.channels.is_empty() {
            self.audio = Audio { channels: vec![Vec::new(); num_channels], rate_hz };
        }
        if (rate_hz, num_channels) != (self.audio.rate_hz, self.audio.channels.len()) {
            return Err(ReadError::Changing(path()));
        }
        block.copy_to_vecs_planar(&mut self.planes);
        for (channel, plane) in self.audio.channels.iter_mut().zip(&self.planes) {
            channel.extend_from_slice(plane);
        }
        Ok(())
    }

    /// An error where what the file declares is beyond the limits.
    pub(crate) fn require_declared_within(&self, limits: Limits) -> Result<(), ReadError> {
        let Declared { num_samples, num_channels, rate_hz, .. } = self.declared;
        self.within(limits, num_channels.unwrap_or(1), num_samples.unwrap_or(0), rate_hz.unwrap_or(0))
    }

    /// An error where what was read so far is beyond the limits.
    pub(crate) fn require_within(&self, limits: Limits) -> Result<(), ReadError> {
        self.within(limits, self.audio.channels.len(), self.audio.num_samples() as u64, self.audio.rate_hz)
    }

    fn within(&self, limits: Limits, num_channels: usize, num_samples: u64, rate_hz: u32) -> Result<(), ReadError> {
        let path = || self.path.clone();
        if num_channels > limits.num_channels {
            return Err(ReadError::TooManyChannels { path: path(), actual: num_channels, most: limits.num_channels });
        }
        if num_samples.saturating_mul(num_channels as u64) > limits.num_values {
            let values_per_hour = 3600.0 * f64::from(rate_hz.max(1)) * num_channels as f64;
            let longest_hours = limits.num_values as f64 / values_per_hour;
            return Err(ReadError::TooLong { path: path(), rate_hz, longest_hours });
        }
        Ok(())
    }

    /// An error where a packet lies elsewhere than where the last one ended, or where the file was to end.
    pub(crate) fn require_in_place(&self, packet: &Packet) -> Result<(), ReadError> {
        let begins_at = u64::try_from(packet.pts.get()).unwrap_or_default();
        // Frames that are not known for such are left out by the reader, and all that follows them would come too early.
        if self.kind == FORMAT_ID_FLAC && begins_at != self.audio.num_samples() as u64 {
            return Err(self.damaged(Error::DecodeError("flac: frames are missing")));
        }
        // The reader cuts off what begins there. One frame more is no other file: some encoders count one too few.
        match self.declared.num_samples {
            Some(declared) if self.kind == FORMAT_ID_MP3 && begins_at > declared + self.declared.num_padding => {
                Err(ReadError::HoldsMore { path: self.path.clone(), declared })
            }
            _ => Ok(()),
        }
    }

    /// At the end: an error where there was less than the file says, or is more.
    pub(crate) fn require_whole(&self) -> Result<(), ReadError> {
        let path = || self.path.clone();
        let actual = self.audio.num_samples() as u64;
        match self.declared.num_samples {
            _ if actual == 0 => Err(ReadError::Empty(path())),
            Some(declared) if actual < declared => Err(ReadError::CutOff { path: path(), declared, actual }),
            None if self.is_broken_off => Err(ReadError::BrokenOff { path: path(), actual }),
            Some(declared) if container::goes_on_after_its_end(&self.path, self.num_bytes) => {
                Err(ReadError::HoldsMore { path: path(), declared })
            }
            _ => Ok(()),
        }
    }

    fn damaged(&self, reason: Error) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), reason }
    }
}
