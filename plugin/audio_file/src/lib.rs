//! Audio files as channels of samples: WAV, AIFF, FLAC, Ogg Vorbis and MP3.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_FLAC, FORMAT_ID_MP3, FORMAT_ID_OGG, FORMAT_ID_WAVE};
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;

/// Extensions that are taken for audio, in lower case.
pub const EXTENSIONS: [&str; 7] = ["wav", "aiff", "aif", "flac", "ogg", "oga", "mp3"];

/// Of a beginning: samples of all channels, 128 MB.
const MOST_VALUES: usize = 1 << 25;

/// A decoded file, or its beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// `[channel][sample]`, full scale 1.0.
    pub channels: Vec<Vec<f32>>,
    /// Sample rate, Hz.
    pub rate_hz: u32,
}

impl Audio {
    /// Samples per channel.
    #[must_use]
    pub fn num_samples(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    fn is_longer_than(&self, longest_s: f64) -> bool {
        self.num_samples() as f64 >= longest_s * f64::from(self.rate_hz).max(1.0)
            || self.num_samples() * self.channels.len() >= MOST_VALUES
    }
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system says so.
    #[error("cannot open {}: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's word.
        reason: std::io::Error,
    },
    /// Nothing that is known.
    #[error("{} is no audio file that can be read ({})", path.display(), EXTENSIONS.join(", "))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What the reader expected.
        source: Error,
    },
    /// A container that is known, of a kind or with a codec that is not.
    #[error("{} has a container or codec that cannot be read ({reason}): convert it to WAV or FLAC", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        reason: String,
    },
    /// A container without sound, or without a sample of it.
    #[error("{} holds no audio", .0.display())]
    Empty(PathBuf),
    /// Something in the middle cannot be decoded.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder expected.
        reason: Error,
    },
    /// The rate or the number of channels changes inside the file.
    #[error("the rate or the number of channels changes inside {}", .0.display())]
    Changing(PathBuf),
    /// There is less in it than it says.
    #[error("{} is cut off: it declares {declared} samples and holds {actual}", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// By its own count.
        declared: u64,
        /// Found.
        actual: u64,
    },
    /// It does not say how much is in it, but what its kind ends with is missing.
    #[error("{} is cut off: it breaks off after {actual} samples, without the mark of its end", path.display())]
    BrokenOff {
        /// The file.
        path: PathBuf,
        /// Found.
        actual: u64,
    },
    /// There is more in it than it says: files that were joined, or more than its kind can count.
    #[error(
        "{} holds more than the {declared} samples that it declares: export it anew, as FLAC where it is a WAV of more than 4 GB",
        path.display()
    )]
    HoldsMore {
        /// The file.
        path: PathBuf,
        /// By its own count.
        declared: u64,
    },
}

/// Whether the name says audio.
#[must_use]
pub fn has_audio_extension(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}

/// Reads a whole file.
///
/// # Errors
/// What cannot be decoded is an error, not a gap: a render of half a file helps nobody.
pub fn read(path: &Path) -> Result<Audio, ReadError> {
    decoded(path, None)
}

/// Reads what there is of a file's first `longest_s` seconds, for a listener and not for a render: what cannot be decoded is left out, and nobody
/// minds that there is less than the file says. Of many channels or a very high rate less, so that it fits into 128 MB.
///
/// # Errors
/// Where nothing at all can be read.
pub fn read_beginning(path: &Path, longest_s: f64) -> Result<Audio, ReadError> {
    decoded(path, Some(longest_s))
}

/// What the probe says of a container that it does not know at all, and not of what is in one that it knows.
const NO_READER: &str = "core (probe): no suitable format reader found";

/// Finds out what is in a file, and how long it says that it is.
///
/// Of an MP3 without a count in its header the reader estimates one, out of the size of the first frames, and leaves out what comes
/// after that: a part of a file whose bit rate rises or falls. It does so only where it can seek, and nothing here seeks, so an MP3 is
/// opened once more as something to be read from its beginning to its end. Others need to seek to learn what they declare.
fn probed(path: &Path) -> Result<Box<dyn FormatReader>, ReadError> {
    let of = || path.to_path_buf();
    let open = || File::open(path).map_err(|reason| ReadError::Open { path: of(), reason });
    let probe = |source: Box<dyn MediaSource>| {
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
            hint.with_extension(extension);
        }
        symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|source| match source {
                Error::Unsupported(NO_READER) if !is_long_wave(path) => ReadError::Unknown { path: of(), source },
                Error::Unsupported(NO_READER) => ReadError::Unsupported { path: of(), reason: "RF64".into() },
                Error::Unsupported(reason) => ReadError::Unsupported { path: of(), reason: reason.into() },
                source => ReadError::Unknown { path: of(), source },
            })
    };
    let format = probe(Box::new(open()?))?;
    if format.format_info().format == FORMAT_ID_MP3 {
        return probe(Box::new(ReadOnlySource::new(open()?)));
    }
    Ok(format)
}

/// Whether it is a WAV of more than 4 GB, as broadcasters write them (EBU Tech 3306).
fn is_long_wave(path: &Path) -> bool {
    let mut id = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut id)).is_ok() && (&id == b"RF64" || &id == b"BW64")
}

/// The whole file, or what there is of its beginning.
fn decoded(path: &Path, longest_s: Option<f64>) -> Result<Audio, ReadError> {
    let of = || path.to_path_buf();
    let unsupported = |reason: Error| ReadError::Unsupported { path: of(), reason: reason.to_string() };
    let damaged = |reason| ReadError::Damaged { path: of(), reason };
    let mut format = probed(path)?;
    let kind = format.format_info().format;
    let track = format.default_track(TrackType::Audio).ok_or_else(|| ReadError::Empty(of()))?;
    let (track_id, declared_samples) = (track.id, track.num_frames);
    // Of an MP3 the count is without what the encoder put after the last sample, which may take a frame and more.
    let mp3_end = declared_samples.filter(|_| kind == FORMAT_ID_MP3);
    let mp3_end = mp3_end.map(|declared| declared + u64::from(track.padding.unwrap_or_default()));
    let codec = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or_else(|| ReadError::Empty(of()))?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(codec, &AudioDecoderOptions::default())
        .map_err(unsupported)?;
    let mut audio = Audio { channels: Vec::new(), rate_hz: 0 };
    let mut planes: Vec<Vec<f32>> = Vec::new();
    let (mut is_broken_off, mut num_bytes) = (false, 0);
    while !longest_s.is_some_and(|longest_s| audio.is_longer_than(longest_s)) {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // Some containers only notice their end by running into it. The last page of an Ogg says that it is the last.
            Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                is_broken_off = kind == FORMAT_ID_OGG;
                break;
            }
            Err(_) if longest_s.is_some() => break,
            Err(error) => return Err(damaged(error)),
        };
        if packet.track_id != track_id {
            continue;
        }
        num_bytes += packet.data.len() as u64;
        if longest_s.is_none() {
            let begins_at = u64::try_from(packet.pts.get()).unwrap_or_default();
            // Frames that are not known for such are left out by the reader, and all that follows them would come too early.
            if kind == FORMAT_ID_FLAC && begins_at != audio.num_samples() as u64 {
                return Err(damaged(Error::DecodeError("flac: frames are missing")));
            }
            // The reader cuts off what begins there. One frame more is no other file: some encoders count one too few.
            if let Some(declared) = declared_samples.filter(|_| mp3_end.is_some_and(|end| begins_at > end)) {
                return Err(ReadError::HoldsMore { path: of(), declared });
            }
        }
        let block = match decoder.decode(&packet) {
            Ok(block) => block,
            // Of a damaged frame some decoders say that the file had ended there.
            Err(Error::DecodeError(_) | Error::IoError(_)) if longest_s.is_some() => continue,
            Err(error) => return Err(damaged(error)),
        };
        let spec = block.spec();
        if audio.channels.is_empty() {
            audio.rate_hz = spec.rate();
            audio.channels = vec![Vec::new(); spec.channels().count()];
        }
        if spec.rate() != audio.rate_hz || spec.channels().count() != audio.channels.len() {
            if longest_s.is_some() {
                break;
            }
            return Err(ReadError::Changing(of()));
        }
        block.copy_to_vecs_planar(&mut planes);
        for (channel, plane) in audio.channels.iter_mut().zip(&planes) {
            channel.extend_from_slice(plane);
        }
    }
    let actual = audio.num_samples() as u64;
    match declared_samples {
        _ if actual == 0 => Err(ReadError::Empty(of())),
        _ if longest_s.is_some() => Ok(audio),
        Some(declared) if actual < declared => Err(ReadError::CutOff { path: of(), declared, actual }),
        None if is_broken_off => Err(ReadError::BrokenOff { path: of(), actual }),
        Some(declared) if kind == FORMAT_ID_WAVE && is_longer_than_wave_counts(path, num_bytes) => {
            Err(ReadError::HoldsMore { path: of(), declared })
        }
        _ => Ok(audio),
    }
}

/// Whether there is more beside the `num_bytes` of sound that were read than all chunks of a WAV can be: its sizes are 32-bit numbers,
/// and some programs write on when they have run over.
fn is_longer_than_wave_counts(path: &Path, num_bytes: u64) -> bool {
    let len = path.metadata().map_or(0, |metadata| metadata.len());
    len.saturating_sub(num_bytes) > u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, channels: &[Vec<f32>], rate_hz: u32) {
        let spec = hound::WavSpec {
            channels: u16::try_from(channels.len()).unwrap(),
            sample_rate: rate_hz,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for sample_idx in 0..channels[0].len() {
            for channel in channels {
                writer.write_sample(channel[sample_idx]).unwrap();
            }
        }
        writer.finalize().unwrap();
    }

    fn ramp(num_samples: usize) -> Vec<f32> {
        (0..num_samples).map(|n| n as f32 / num_samples as f32).collect()
    }

    #[test]
    fn a_file_is_read_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let channels = vec![vec![0.0, 1.5, -0.25, 1e-9], vec![0.5, -0.5, 0.125, -1.0]];
        write(&path, &channels, 44_100);
        assert_eq!(read(&path).unwrap(), Audio { channels, rate_hz: 44_100 });
    }

    #[test]
    fn of_a_long_file_only_the_beginning_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let channel = ramp(480_000);
        write(&path, std::slice::from_ref(&channel), 48_000);
        let beginning = read_beginning(&path, 2.0).unwrap();
        assert!((96_000..110_000).contains(&beginning.num_samples()), "{}", beginning.num_samples());
        assert_eq!(beginning.channels[0], channel[..beginning.num_samples()]);
        assert_eq!(read_beginning(&path, 60.0).unwrap(), read(&path).unwrap());
    }

    #[test]
    fn a_file_that_is_cut_off_empty_missing_or_no_audio_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write(&path, &[vec![0.5; 4_000]], 44_100);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let cut_off = read(&path).unwrap_err();
        let heard = read_beginning(&path, 60.0).unwrap().num_samples();
        assert!((1_900..2_100).contains(&heard), "{heard} of it can be listened to");
        std::fs::write(&path, b"this is no audio").unwrap();
        let unknown = read(&path).unwrap_err();
        write(&path, &[vec![]], 44_100);
        let empty = read(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        let missing = read(&path).unwrap_err();
        println!("{cut_off}\n{unknown}\n{empty}\n{missing}");
        assert!(matches!(cut_off, ReadError::CutOff { declared: 4_000, .. }));
        assert!(matches!(unknown, ReadError::Unknown { .. }));
        assert!(matches!(empty, ReadError::Empty(_)));
        assert!(matches!(missing, ReadError::Open { .. }));
        assert!([cut_off, unknown, empty, missing].iter().all(|error| error.to_string().contains("a.wav")));
    }

    /// Silent frames of an MP3 (MPEG-1 layer III, 44.1 kHz, mono) at bit rates that their header's index names.
    fn mp3(bit_rate_indices: &[u8]) -> Vec<u8> {
        const KBIT_PER_S: [usize; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
        let frames = bit_rate_indices.iter().map(|idx| {
            let mut frame = vec![0; 144 * 1000 * KBIT_PER_S[usize::from(*idx)] / 44_100];
            frame[..4].copy_from_slice(&[0xff, 0xfb, idx << 4, 0xc0]);
            frame
        });
        frames.flatten().collect()
    }

    /// A first frame that counts the others.
    fn mp3_header(num_frames: u32) -> Vec<u8> {
        let mut frame = mp3(&[9]);
        // After the four bytes of the frame's header and the 17 of mono side information.
        frame[21..33].copy_from_slice(&[b"Xing", &1_u32.to_be_bytes()[..], &num_frames.to_be_bytes()].concat());
        frame
    }

    const SAMPLES_PER_FRAME: usize = 1152;

    #[test]
    fn an_mp3_without_a_count_is_read_to_its_end_whatever_its_first_frames_are_like() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp3");
        for (first, then) in [(14, 1), (1, 14), (9, 9)] {
            let indices = [[first; 20], [then; 20], [then; 20], [then; 20]].concat();
            std::fs::write(&path, mp3(&indices)).unwrap();
            assert_eq!(read(&path).unwrap().num_samples(), 80 * SAMPLES_PER_FRAME, "{first}, then {then}");
            assert_eq!(read_beginning(&path, 60.0).unwrap().num_samples(), 80 * SAMPLES_PER_FRAME);
        }
    }

    #[test]
    fn an_mp3_with_a_count_is_held_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp3");
        std::fs::write(&path, [mp3_header(50), mp3(&[9; 50])].concat()).unwrap();
        assert_eq!(read(&path).unwrap().num_samples(), 50 * SAMPLES_PER_FRAME);
        std::fs::write(&path, [mp3_header(80), mp3(&[9; 50])].concat()).unwrap();
        let (declared, actual) = (80 * SAMPLES_PER_FRAME as u64, 50 * SAMPLES_PER_FRAME as u64);
        match read(&path) {
            Err(ReadError::CutOff { declared: d, actual: a, .. }) => assert_eq!((d, a), (declared, actual)),
            other => panic!("expected a file that is cut off, got {other:?}"),
        }
    }

    #[test]
    fn an_mp3_that_goes_on_after_its_count_is_an_error_and_what_an_encoder_put_after_the_last_sample_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp3");
        // Two files that somebody joined.
        let joined = [mp3_header(50), mp3(&[9; 50]), mp3_header(10), mp3(&[9; 10])].concat();
        std::fs::write(&path, joined).unwrap();
        let told = read(&path).unwrap_err();
        println!("{told}");
        let counted = 50 * SAMPLES_PER_FRAME as u64;
        assert!(matches!(told, ReadError::HoldsMore { declared, .. } if declared == counted), "{told}");
        assert!(told.to_string().contains("a.mp3") && told.to_string().contains("export it anew"));
        assert_eq!(read_beginning(&path, 60.0).unwrap().num_samples(), 50 * SAMPLES_PER_FRAME);
        std::fs::write(&path, [mp3_header(50), mp3(&[9; 51])].concat()).unwrap();
        assert_eq!(read(&path).unwrap().num_samples(), 50 * SAMPLES_PER_FRAME, "an encoder that counts one too few");
        std::fs::write(&path, [mp3_header(50), mp3(&[9; 52])].concat()).unwrap();
        assert!(matches!(read(&path), Err(ReadError::HoldsMore { .. })));

        // Of two frames and more none is heard.
        let (delay_samples, padding_samples) = (576_u32, 3_000_u32);
        let mut header = mp3_header(50);
        header[33..37].copy_from_slice(b"LAME");
        header[54..57].copy_from_slice(&(delay_samples << 12 | padding_samples).to_be_bytes()[1..]);
        std::fs::write(&path, [header, mp3(&[9; 50])].concat()).unwrap();
        let expected = 50 * SAMPLES_PER_FRAME - (delay_samples + padding_samples) as usize;
        assert_eq!(read(&path).unwrap().num_samples(), expected);
    }

    /// Checksums of FLAC frames and of Ogg pages: from zero, the highest bit first.
    fn crc(num_bits: u32, polynomial: u32, bytes: &[u8]) -> u32 {
        let mask = u32::MAX >> (32 - num_bits);
        let shifted = |crc: u32| if crc >> (num_bits - 1) == 1 { (crc << 1 ^ polynomial) & mask } else { crc << 1 };
        bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte) << (num_bits - 8), |crc, _| shifted(crc)))
    }

    const SAMPLES_PER_FLAC_FRAME: usize = 192;

    /// What a FLAC begins with (44.1 kHz, mono, 16 bits, frames of one size), without a count of samples.
    fn flac_stream_info() -> Vec<u8> {
        let frame_samples = (SAMPLES_PER_FLAC_FRAME as u16).to_be_bytes();
        let format = [0x0a, 0xc4, 0x40, 0xf0];
        [&[0x80, 0, 0, 34][..], &frame_samples, &frame_samples, &[0; 6], &format, &[0; 20]].concat()
    }

    /// The FLAC frame of this number, in which all samples are the same.
    fn flac_frame(number: u8) -> Vec<u8> {
        let mut frame = vec![0xff, 0xf8, 0x19, 0x08, number];
        frame.push(crc(8, 0x07, &frame) as u8);
        frame.extend([0, number, 0]);
        frame.extend((crc(16, 0x8005, &frame) as u16).to_be_bytes());
        frame
    }

    #[test]
    fn of_a_flac_without_a_count_that_is_damaged_a_render_gets_nothing_and_a_listener_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.flac");
        let frames: Vec<_> = (0..100).map(flac_frame).collect();
        let write = |frames: &[Vec<u8>]| {
            std::fs::write(&path, [b"fLaC".to_vec(), flac_stream_info(), frames.concat()].concat()).unwrap();
        };
        write(&frames);
        let whole = read(&path).unwrap();
        assert_eq!((whole.rate_hz, whole.num_samples()), (44_100, 100 * SAMPLES_PER_FLAC_FRAME));
        for idx in [0, 40] {
            let mut frames = frames.clone();
            frames[idx][7] ^= 0x55;
            write(&frames);
            let damaged = read(&path).unwrap_err();
            println!("{damaged}");
            assert!(matches!(damaged, ReadError::Damaged { .. }), "{damaged}");
            assert_eq!(read_beginning(&path, 60.0).unwrap().num_samples(), 99 * SAMPLES_PER_FLAC_FRAME);
        }
    }

    /// A page of an Ogg.
    fn ogg_page(flags: u8, end_samples: usize, number: u8, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut page = [&b"OggS\0"[..], &[flags], &(end_samples as u64).to_le_bytes(), b"mine"].concat();
        page.extend([number, 0, 0, 0, 0, 0, 0, 0, packets.len() as u8]);
        page.extend(packets.iter().map(|packet| packet.len() as u8));
        page.extend(packets.concat());
        let crc = crc(32, 0x04c1_1db7, &page);
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        page
    }

    #[test]
    fn an_ogg_without_its_last_page_is_cut_off_for_a_render_and_a_listener_hears_what_there_is() {
        const FRAMES_PER_PAGE: usize = 20;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ogg");
        // FLAC in it, which takes no codebooks.
        let first = [&b"\x7fFLAC\x01\0\0\x01fLaC"[..], &flac_stream_info()].concat();
        let comments = vec![0x84, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut pages = vec![ogg_page(2, 0, 0, &[first]), ogg_page(0, 0, 1, &[comments])];
        for page_idx in 0..5 {
            let numbers = page_idx * FRAMES_PER_PAGE..(page_idx + 1) * FRAMES_PER_PAGE;
            let end_samples = numbers.end * SAMPLES_PER_FLAC_FRAME;
            let frames: Vec<_> = numbers.map(|number| flac_frame(number as u8)).collect();
            pages.push(ogg_page(if page_idx == 4 { 4 } else { 0 }, end_samples, page_idx as u8 + 2, &frames));
        }
        std::fs::write(&path, pages.concat()).unwrap();
        let page_samples = FRAMES_PER_PAGE * SAMPLES_PER_FLAC_FRAME;
        assert_eq!(read(&path).unwrap().num_samples(), 5 * page_samples);
        // Between two pages, and inside of one.
        for cut_off_bytes in [0, 100] {
            let bytes = pages[..6].concat();
            std::fs::write(&path, &bytes[..bytes.len() - cut_off_bytes]).unwrap();
            let expected = if cut_off_bytes == 0 { 4 * page_samples } else { 3 * page_samples };
            let cut_off = read(&path).unwrap_err();
            println!("{cut_off}");
            assert!(matches!(cut_off, ReadError::BrokenOff { actual, .. } if actual == expected as u64), "{cut_off}");
            assert!(cut_off.to_string().contains("a.ogg is cut off"));
            assert_eq!(read_beginning(&path, 60.0).unwrap().num_samples(), expected);
        }
    }

    /// Where a hole in a file takes no room.
    #[cfg(unix)]
    #[test]
    fn a_wav_of_more_than_its_sizes_can_count_is_an_error_and_not_what_they_come_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write(&path, &[vec![0.5; 4_000]], 44_100);
        let len = path.metadata().unwrap().len();
        let grow = |len: u64| File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        // Other chunks may follow.
        grow(len + 1_000_000);
        assert_eq!(read(&path).unwrap().num_samples(), 4_000);
        grow(len + (1 << 32));
        let told = read(&path).unwrap_err();
        println!("{told}");
        assert!(matches!(told, ReadError::HoldsMore { declared: 4_000, .. }), "{told}");
    }

    #[test]
    fn a_damaged_frame_costs_a_listener_that_frame_and_a_render_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp3");
        let mut bytes = mp3(&[9; 50]);
        let frame_len = bytes.len() / 50;
        // All that follows the header of one of them.
        bytes[25 * frame_len + 4..26 * frame_len].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let damaged = read(&path).unwrap_err();
        println!("{damaged}");
        assert!(matches!(damaged, ReadError::Damaged { .. }));
        let heard = read_beginning(&path, 60.0).unwrap().num_samples();
        assert!(heard >= 45 * SAMPLES_PER_FRAME, "{heard} samples");
    }

    #[test]
    fn of_what_cannot_be_decoded_it_is_told_what_it_is_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write(&path, &[vec![0.5; 4_000]], 44_100);
        let bytes = std::fs::read(&path).unwrap();
        let long = [b"RF64", &bytes[4..]].concat();
        // The place of the format's tag, and one that few know: GSM 6.10.
        let mut coded = bytes.clone();
        coded[20..22].copy_from_slice(&0x31_u16.to_le_bytes());
        for bytes in [long, coded] {
            std::fs::write(&path, bytes).unwrap();
            let told = read(&path).unwrap_err();
            println!("{told}");
            assert!(matches!(told, ReadError::Unsupported { .. }), "{told}");
            assert!(told.to_string().contains("a.wav") && told.to_string().contains("convert it"));
        }
    }

    #[test]
    fn audio_is_told_by_its_extension_in_either_case() {
        for (name, is_audio) in [("a.wav", true), ("b.WAV", true), ("c.txt", false), ("wav", false)] {
            assert_eq!(has_audio_extension(Path::new(name)), is_audio, "{name}");
        }
    }
}
