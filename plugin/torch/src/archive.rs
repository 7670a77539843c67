//! The extra files inside a TorchScript file, which is a zip archive.
//!
//! tch loads modules but does not hand out their extra files, so they are read here. The same pass checks every entry's CRC, which
//! libtorch does not: a file torn in the middle is found before its weights are used.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use crate::error::{BackendError, MetadataFault};

/// Name of the metadata inside the archive's `extra` folder.
const METADATA_NAME: &str = "underscore.json";
/// Name of the test vector there: little-endian `f32`.
const TEST_VECTOR_NAME: &str = "test_vector.f32";
/// Metadata is text a person can read; more than this is something else. Bytes.
const METADATA_LIMIT: u64 = 1 << 20;
/// A few calls of a model; bytes.
const TEST_VECTOR_LIMIT: u64 = 64 << 20;

/// Nothing stands before the archive; looking for where it starts finds false starts in weights.
const WHOLE_FILE: Config = Config { archive_offset: ArchiveOffset::Known(0) };

/// The extra files of a model.
pub(crate) struct Extras {
    /// `underscore.json`, as it is.
    pub(crate) metadata: Vec<u8>,
    /// `test_vector.f32`, decoded.
    pub(crate) test_vector: Vec<f32>,
}

/// Reads the extra files at `path` and checks all the others.
pub(crate) fn read(path: &Path) -> Result<Extras, BackendError> {
    let cannot_read = |source| BackendError::CannotRead { path: path.to_owned(), source };
    let torn = |error: ZipError| match error {
        // Only the disk speaks with the system's error numbers; the rest is about what the file holds.
        ZipError::Io(source) if source.raw_os_error().is_some() => cannot_read(source),
        error => BackendError::NotAModel { path: path.to_owned(), reason: error.to_string() },
    };

    let file = File::open(path).map_err(cannot_read)?;
    let kind = file.metadata().map_err(cannot_read)?;
    if !kind.is_file() {
        return Err(cannot_read(std::io::Error::other("it is not a file")));
    }
    let mut archive = ZipArchive::with_config(WHOLE_FILE, BufReader::new(file)).map_err(torn)?;

    let mut metadata = None;
    let mut test_vector = None;
    for entry_idx in 0..archive.len() {
        let mut entry = archive.by_index(entry_idx).map_err(torn)?;
        // The outermost folder bears the name the file had when it was saved.
        let name = entry.name().map_err(torn)?;
        let inner = name.split_once('/').map_or("", |(_, inner)| inner).to_owned();
        let (wanted, name, limit) = match inner.strip_prefix("extra/") {
            Some(METADATA_NAME) => (Some(&mut metadata), METADATA_NAME, METADATA_LIMIT),
            Some(TEST_VECTOR_NAME) => (Some(&mut test_vector), TEST_VECTOR_NAME, TEST_VECTOR_LIMIT),
            _ => (None, "", u64::MAX),
        };
        if entry.size() > limit {
            let reason = MetadataFault::TooLarge { name, limit, actual: entry.size() };
            return Err(BackendError::BadMetadata { path: path.to_owned(), reason });
        }
        if let Some(wanted) = wanted {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|error| torn(error.into()))?;
            *wanted = Some(bytes);
        } else {
            std::io::copy(&mut entry, &mut std::io::sink()).map_err(|error| torn(error.into()))?;
        }
    }

    let missing = |name| BackendError::BadMetadata { path: path.to_owned(), reason: MetadataFault::MissingFile(name) };
    let metadata = metadata.ok_or_else(|| missing(METADATA_NAME))?;
    let test_vector = test_vector.ok_or_else(|| missing(TEST_VECTOR_NAME))?;
    let (values, rest) = test_vector.as_chunks::<4>();
    if !rest.is_empty() {
        let reason = MetadataFault::Field {
            field: TEST_VECTOR_NAME.to_owned(),
            expected: "a multiple of 4 bytes".to_owned(),
            actual: format!("{} bytes", test_vector.len()),
        };
        return Err(BackendError::BadMetadata { path: path.to_owned(), reason });
    }
    Ok(Extras { metadata, test_vector: values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect() })
}
