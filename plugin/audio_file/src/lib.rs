//! Audio files as channels of samples: WAV, AIFF, FLAC, Ogg Vorbis and MP3.

mod container;
mod decoding;
mod error;

use std::path::Path;

use symphonia::core::errors::Error;

use decoding::Decoding;
pub use error::ReadError;

/// Extensions that are taken for audio, in lower case.
pub const EXTENSIONS: [&str; 10] = ["wav", "wave", "bwf", "aiff", "aif", "aifc", "flac", "ogg", "oga", MP3];

const MP3: &str = "mp3";

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

    /// Samples of all channels.
    fn num_values(&self) -> usize {
        self.num_samples() * self.channels.len()
    }
}

/// The most that a file may hold to be read whole: what is beyond is refused before it fills the memory, by what the file declares where it does.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Channels.
    pub num_channels: usize,
    /// Samples of all channels together.
    pub num_values: u64,
}

/// Whether the name says audio.
#[must_use]
pub fn has_audio_extension(path: &Path) -> bool {
    EXTENSIONS.contains(&extension(path).as_str())
}

/// In lower case.
fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Reads a whole file.
///
/// # Errors
/// What cannot be decoded is an error, not a gap: a render of half a file helps nobody. So is what is beyond the limits.
pub fn read(path: &Path, limits: Limits) -> Result<Audio, ReadError> {
    let mut decoding = Decoding::open(path)?;
    decoding.require_declared_within(limits)?;
    while let Some(packet) = decoding.next_packet()? {
        decoding.require_in_place(&packet)?;
        decoding.append(&packet)?;
        decoding.require_within(limits)?;
    }
    decoding.require_whole()?;
    decoding.into_audio()
}

/// Reads what there is of a file's first `longest_s` seconds, for a listener and not for a render: what cannot be decoded is left out, and nobody
/// minds that there is less than the file says. Of many channels or a very high rate less, so that it fits into 128 MB.
///
/// # Errors
/// Where nothing at all can be read.
pub fn read_beginning(path: &Path, longest_s: f64) -> Result<Audio, ReadError> {
    let mut decoding = Decoding::open(path)?;
    let is_enough = |audio: &Audio| {
        let rate_hz = f64::from(audio.rate_hz).max(1.0);
        audio.num_samples() as f64 >= longest_s * rate_hz || audio.num_values() >= MOST_VALUES
    };
    while !is_enough(decoding.audio())
        && let Ok(Some(packet)) = decoding.next_packet()
    {
        match decoding.append(&packet) {
            // Of a damaged frame some decoders say that the file had ended there.
            Ok(()) | Err(ReadError::Damaged { reason: Error::DecodeError(_) | Error::IoError(_), .. }) => {}
            Err(ReadError::Changing(_)) => break,
            Err(error) => return Err(error),
        }
    }
    decoding.into_audio()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;

    use super::*;

    /// As a render has them.
    const LIMITS: Limits = Limits { num_channels: 2, num_values: 1 << 30 };

    fn read(path: &Path) -> Result<Audio, ReadError> {
        super::read(path, LIMITS)
    }

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

    /// An AIFF of 16 bits (44.1 kHz, mono), of the form `AIFF` or `AIFC`.
    fn aiff(form: [u8; 4], num_samples: u16) -> Vec<u8> {
        let chunk = |id: &[u8], content: &[u8]| [id, &(content.len() as u32).to_be_bytes(), content].concat();
        let rate_44100_hz = [0x40, 0x0e, 0xac, 0x44, 0, 0, 0, 0, 0, 0];
        let compression = if form == *b"AIFC" { &b"NONE\0\0"[..] } else { &[] };
        let common = [&[0, 1, 0, 0], &num_samples.to_be_bytes()[..], &[0, 16], &rate_44100_hz, compression].concat();
        let sound = [&[0; 8][..], &[0x40, 0].repeat(usize::from(num_samples))].concat();
        chunk(b"FORM", &[&form[..], &chunk(b"COMM", &common), &chunk(b"SSND", &sound)].concat())
    }

    /// Where a hole in a file takes no room.
    #[cfg(unix)]
    #[test]
    fn a_wav_or_an_aiff_that_is_longer_than_its_sizes_say_is_an_error_and_not_what_they_come_to() {
        let folder = tempfile::tempdir().unwrap();
        let wav = folder.path().join("a.wav");
        write(&wav, &[vec![0.5; 4_000]], 44_100);
        let saturated = folder.path().join("saturated.wav");
        let mut bytes = std::fs::read(&wav).unwrap();
        bytes[4..8].fill(0xff);
        std::fs::write(&saturated, bytes).unwrap();
        let aif = folder.path().join("a.aif");
        std::fs::write(&aif, aiff(*b"AIFF", 4_000)).unwrap();
        for path in [wav, saturated, aif] {
            let len = path.metadata().unwrap().len();
            let grow = |len: u64| File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
            // Other chunks and tags may follow.
            grow(len + 1_000_000);
            assert_eq!(read(&path).unwrap().num_samples(), 4_000);
            for more in [1 << 30, 1 << 32] {
                grow(len + more);
                let told = read(&path).unwrap_err();
                println!("{told}");
                assert!(matches!(told, ReadError::HoldsMore { declared: 4_000, .. }), "{told}");
            }
        }
    }

    #[test]
    fn what_is_beyond_the_limits_by_its_header_is_refused_for_that_and_before_the_rest_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long.flac");
        let mut stream_info = flac_stream_info();
        stream_info[18..22].copy_from_slice(&(10 * 3600 * 44_100_u32).to_be_bytes());
        std::fs::write(&long, [&b"fLaC"[..], &stream_info, &flac_frame(0)].concat()).unwrap();
        let told = read(&long).unwrap_err();
        println!("{told}");
        assert!(matches!(told, ReadError::TooLong { rate_hz: 44_100, .. }), "{told}");
        assert!(told.to_string().contains("long.flac is too long") && told.to_string().contains("6.8 hours"), "{told}");

        let wide = folder.path().join("wide.wav");
        write(&wide, &vec![vec![0.5; 4_000]; 6], 44_100);
        let bytes = std::fs::read(&wide).unwrap();
        std::fs::write(&wide, &bytes[..bytes.len() / 2]).unwrap();
        let told = read(&wide).unwrap_err();
        println!("{told}");
        assert!(matches!(told, ReadError::TooManyChannels { actual: 6, most: 2, .. }), "{told}");
        assert!(told.to_string().contains("wide.wav has 6 channels"), "{told}");
        // A listener minds neither.
        assert_eq!(read_beginning(&long, 60.0).unwrap().num_samples(), SAMPLES_PER_FLAC_FRAME);
        assert_eq!(read_beginning(&wide, 60.0).unwrap().channels.len(), 6);
    }

    #[test]
    fn what_does_not_say_how_long_it_is_is_read_no_further_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp3");
        // Of the second half only what is damaged is told, if it is reached.
        let mut bytes = mp3(&[9; 100]);
        let half = bytes.len() / 2;
        bytes[half + 4..half + 400].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let within = |num_frames: usize| {
            super::read(&path, Limits { num_values: (num_frames * SAMPLES_PER_FRAME) as u64, ..LIMITS }).unwrap_err()
        };
        assert!(matches!(within(20), ReadError::TooLong { rate_hz: 44_100, .. }), "{}", within(20));
        assert!(matches!(within(80), ReadError::Damaged { .. }), "{}", within(80));
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
        // The place of the format's tag, and one that few know: GSM 6.10.
        let mut coded = bytes;
        coded[20..22].copy_from_slice(&0x31_u16.to_le_bytes());
        std::fs::write(&path, coded).unwrap();
        let told = read(&path).unwrap_err();
        println!("{told}");
        assert!(matches!(told, ReadError::Unsupported { .. }), "{told}");
        assert!(told.to_string().contains("a.wav") && told.to_string().contains("convert it"));
    }

    #[test]
    fn samples_that_look_like_an_mpeg_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        write(&path, &[vec![0.5; 4_000]], 44_100);
        let mut bytes = std::fs::read(&path).unwrap();
        let frames = mp3(&[9; 4]);
        let end = bytes.len();
        bytes[end - frames.len()..].copy_from_slice(&frames);
        for (beginning, told) in
            [(&b"RF64"[..], "RF64"), (b"BW64", "BW64"), (b"riff\x2e\x91\xcf\x11", "Wave64"), (b"lost", "MPEG")]
        {
            bytes[..beginning.len()].copy_from_slice(beginning);
            std::fs::write(&path, &bytes).unwrap();
            for error in [read(&path).unwrap_err(), read_beginning(&path, 60.0).unwrap_err()] {
                println!("{error}");
                assert!(matches!(error, ReadError::Unsupported { .. }), "{error}");
                assert!(error.to_string().contains("a.wav") && error.to_string().contains(told), "{error}");
            }
        }
    }

    #[test]
    fn an_mp3_under_another_name_is_read() {
        let folder = tempfile::tempdir().unwrap();
        // Ten bytes of an empty tag.
        let tag = b"ID3\x04\0\0\0\0\0\0";
        for name in ["a.wav", "a.ogg", "a.aif"] {
            let path = folder.path().join(name);
            for bytes in [mp3(&[9; 10]), [&tag[..], &mp3(&[9; 10])].concat()] {
                std::fs::write(&path, bytes).unwrap();
                assert_eq!(read(&path).unwrap().num_samples(), 10 * SAMPLES_PER_FRAME, "{name}");
            }
        }
    }

    #[test]
    fn files_of_every_extension_that_is_taken_for_audio_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let wav = folder.path().join("a.wav");
        write(&wav, &[vec![0.5; 400]], 44_100);
        let frames: Vec<_> = (0..2).map(flac_frame).collect();
        let flac = [b"fLaC".to_vec(), flac_stream_info(), frames.concat()].concat();
        let wav = std::fs::read(wav).unwrap();
        for (extension, bytes) in EXTENSIONS.map(|extension| match extension {
            "aif" | "aiff" => (extension, aiff(*b"AIFF", 400)),
            "aifc" => (extension, aiff(*b"AIFC", 400)),
            "mp3" => (extension, mp3(&[9; 10])),
            // Of Ogg there is a test of its own.
            "flac" | "ogg" | "oga" => (extension, flac.clone()),
            _ => (extension, wav.clone()),
        }) {
            let path: PathBuf = folder.path().join("b").with_extension(extension);
            std::fs::write(&path, bytes).unwrap();
            let audio = read(&path).unwrap();
            assert!(has_audio_extension(&path) && audio.rate_hz == 44_100 && audio.num_samples() > 0, "{extension}");
        }
    }

    #[test]
    fn audio_is_told_by_its_extension_in_either_case() {
        for (name, is_audio) in [
            ("a.wav", true),
            ("b.WAV", true),
            ("c.wave", true),
            ("d.bwf", true),
            ("e.aifc", true),
            ("f.txt", false),
            ("wav", false),
        ] {
            assert_eq!(has_audio_extension(Path::new(name)), is_audio, "{name}");
        }
    }
}
