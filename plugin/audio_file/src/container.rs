//! What kind of file it is, and where it says that it ends.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_MP1, FORMAT_ID_MP2, FORMAT_ID_MP3};
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;

use crate::{MP3, ReadError, extension, has_audio_extension};

/// What the probe says of a container that it does not know at all, and not of what is in one that it knows.
const NO_READER: &str = "core (probe): no suitable format reader found";

/// What WAVs with sizes of 64 bits begin with (EBU Tech 3306, ITU-R BS.2088, Sony's Wave64). As broadcasters write them, they are longer than what
/// a render can write, or of more channels than it takes.
const LONG_WAVES: [(&[u8], &str); 3] = [(b"RF64", "RF64"), (b"BW64", "BW64"), (b"riff\x2e\x91\xcf\x11", "Wave64")];

/// Finds out what is in a file, and how long it says that it is.
///
/// The probe takes whatever looks like a beginning, anywhere in the first megabyte, and in samples something looks like that of an MPEG sooner or
/// later: what it would stumble into is told by its own beginning, and what it found by its name or its beginning.
///
/// Of an MP3 without a count in its header the reader estimates one, out of the size of the first frames, and leaves out what comes
/// after that: a part of a file whose bit rate rises or falls. It does so only where it can seek, and nothing here seeks, so an MP3 is
/// opened once more as something to be read from its beginning to its end. Others need to seek to learn what they declare.
pub(crate) fn open(path: &Path) -> Result<Box<dyn FormatReader>, ReadError> {
    let open = || File::open(path).map_err(|reason| ReadError::Open { path: path.to_path_buf(), reason });
    let unsupported = |reason: &str| ReadError::Unsupported { path: path.to_path_buf(), reason: reason.into() };
    let mut beginning = Vec::new();
    // A folder can be opened and not read: the probe tells.
    let _ = open()?.take(16).read_to_end(&mut beginning);
    if let Some((_, name)) = LONG_WAVES.iter().find(|(marker, _)| beginning.starts_with(marker)) {
        return Err(unsupported(name));
    }
    let probe = |source: Box<dyn MediaSource>| {
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
            hint.with_extension(extension);
        }
        symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|source| match source {
                Error::Unsupported(reason) if reason != NO_READER => unsupported(reason),
                source => ReadError::Unknown { path: path.to_path_buf(), source },
            })
    };
    let format = probe(Box::new(open()?))?;
    let kind = format.format_info().format;
    let is_mpeg = [FORMAT_ID_MP1, FORMAT_ID_MP2, FORMAT_ID_MP3].contains(&kind);
    if is_mpeg && has_audio_extension(path) && extension(path) != MP3 && !begins_as_mpeg(&beginning) {
        return Err(unsupported("an MPEG, or what looks like one, under the name of another kind"));
    }
    if kind == FORMAT_ID_MP3 {
        return probe(Box::new(ReadOnlySource::new(open()?)));
    }
    Ok(format)
}

/// Whether the first bytes are those of an MPEG: of the tags before it (ID3), or of the sync word of its first frame.
fn begins_as_mpeg(beginning: &[u8]) -> bool {
    beginning.starts_with(b"ID3") || matches!(beginning, [0xff, second, ..] if second & 0xe0 == 0xe0)
}

/// Whether much more lies behind the end that a WAV or an AIFF declares, and behind the `num_bytes` of sound that were read: its sizes are 32-bit
/// numbers, and some programs write on when they have run over.
pub(crate) fn goes_on_after_its_end(path: &Path, num_bytes: u64) -> bool {
    /// Tags that programs append are shorter.
    const MOST_APPENDED_BYTES: u64 = 16 << 20;
    let mut head = [0; 8];
    let read = |mut file: File| file.read_exact(&mut head).and_then(|()| file.metadata());
    let len = File::open(path).and_then(read).map_or(0, |metadata| metadata.len());
    let [id @ .., a, b, c, d] = head;
    let size = match &id {
        b"RIFF" => u32::from_le_bytes([a, b, c, d]),
        b"FORM" => u32::from_be_bytes([a, b, c, d]),
        _ => return false,
    };
    // The greatest one says that whoever wrote it could not know.
    let end = if size == u32::MAX { 0 } else { u64::from(size) + head.len() as u64 };
    len.saturating_sub(end.max(num_bytes)) > MOST_APPENDED_BYTES
}
