//! A model file: found, hashed, opened, and compared with what the catalogue promises.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use underscore_backend::{Backend, Device, Failure, SCHEMA_VERSION};

use crate::catalogue::ModelSpec;
use crate::resources::Resources;

/// What every message ends with.
const REMEDY: &str = "Install Underscore again (cargo xtask install) or choose another model.";

/// Calls after which a model has compiled itself.
pub const NUM_WARM_UPS: usize = 3;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file is in none of the places.
    #[error("The model '{name}' is not installed: '{file}' is in none of {places}. {REMEDY}")]
    Missing {
        /// The model.
        name: String,
        /// Relative path.
        file: String,
        /// The folders that were looked in.
        places: String,
    },
    /// The file cannot be read.
    #[error("The model file '{}' cannot be read: {source}. {REMEDY}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not the one that was shipped.
    #[error("The model file '{}' is not the one that belongs to this version: expected SHA-256 {expected}, got {actual}. \
             {REMEDY}", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Of the catalogue.
        expected: String,
        /// Of the file.
        actual: String,
    },
    /// The backend refused it.
    #[error("The model file '{}' cannot be opened: {source}. {REMEDY}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the backend says.
        source: Failure,
    },
    /// The file contradicts the catalogue.
    #[error("The model file '{}' does not fit: {field}: expected {expected}, got {actual}. {REMEDY}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Field of the metadata.
        field: &'static str,
        /// In the catalogue.
        expected: String,
        /// In the file.
        actual: String,
    },
}

/// `underscore.json` of a model file, as far as the engine needs it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Metadata {
    schema_version: u32,
    sample_rate_hz: f64,
    window_s: f64,
    hop_s: f64,
    synthesis_s: f64,
    num_bins: usize,
    frames_per_call: usize,
    look_ahead_frames: usize,
    look_back_frames: usize,
    stems: Vec<String>,
    residual: String,
    #[serde(default)]
    embedding_size: usize,
    #[serde(default)]
    query_frames: usize,
    mask: MaskRange,
    test_vector: TestVectorSize,
}

/// Kind and range of the masks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct MaskRange {
    kind: String,
    min: f32,
    max: f32,
}

/// Size of the test vector.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct TestVectorSize {
    num_calls: usize,
    channels: usize,
    tolerance: f32,
}

/// The test vector of a model file, over consecutive calls from a zero state.
pub struct TestVector<'a> {
    /// Number of calls.
    pub num_calls: usize,
    /// Channels of the spectra.
    pub num_channels: usize,
    /// Largest difference allowed, absolute.
    pub tolerance: f32,
    /// What is asked for, all spectra, all masks; see [`underscore_backend::BackendTable::test_vector`].
    pub values: &'a [f32],
}

/// A loaded model. Its weights are shared by all sessions, and freed with the last of them.
pub struct Model {
    loaded: Arc<underscore_backend::Model>,
    device: Device,
    mask_range: (f32, f32),
    test: TestVectorSize,
    /// Whether the test vector came out as it should, and no call has failed since.
    is_seen_to_work: AtomicBool,
}

impl Model {
    /// Loads and checks the file of `spec`. Runs no inference.
    pub fn load(backend: Backend, spec: &ModelSpec, device: Device, resources: &Resources) -> Result<Self, ModelError> {
        let path = Self::path(spec, resources)?;
        check_hash(&path, &spec.sha256)?;
        let loaded = backend.load(&path, device).map_err(|source| ModelError::Open { path: path.clone(), source })?;
        let metadata: Metadata = serde_json::from_slice(loaded.metadata()).map_err(|error| ModelError::Mismatch {
            path: path.clone(),
            field: "underscore.json",
            expected: format!("metadata of schema {SCHEMA_VERSION}"),
            actual: error.to_string(),
        })?;
        compare(&metadata, spec, &path)?;
        let mask_range = (metadata.mask.min, metadata.mask.max);
        let test = metadata.test_vector;
        Ok(Self { loaded: Arc::new(loaded), device, mask_range, test, is_seen_to_work: AtomicBool::new(false) })
    }

    /// A model that is no file, its masks of any value.
    #[cfg(test)]
    pub fn of(loaded: underscore_backend::Model) -> Self {
        let test = TestVectorSize { num_calls: 0, channels: 1, tolerance: 0.0 };
        let (device, mask_range) = (Device::CPU, (f32::MIN, f32::MAX));
        Self { loaded: Arc::new(loaded), device, mask_range, test, is_seen_to_work: AtomicBool::new(false) }
    }

    /// The same that runs on `device`, and whose file declares a range of masks, and a test vector of so many calls of one channel.
    #[cfg(test)]
    pub fn declaring(self, device: Device, mask_range: (f32, f32), num_calls: usize, tolerance: f32) -> Self {
        Self { device, mask_range, test: TestVectorSize { num_calls, channels: 1, tolerance }, ..self }
    }

    /// Where the file of `spec` lies.
    pub fn path(spec: &ModelSpec, resources: &Resources) -> Result<PathBuf, ModelError> {
        let file = Path::new("models").join(&spec.file);
        resources.find(&file).ok_or_else(|| ModelError::Missing {
            name: spec.name.clone(),
            file: file.display().to_string(),
            places: resources.places(),
        })
    }

    /// What its streams are opened on.
    pub fn loaded(&self) -> &Arc<underscore_backend::Model> {
        &self.loaded
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Least and greatest value of a mask.
    pub fn mask_range(&self) -> (f32, f32) {
        self.mask_range
    }

    /// Whether its test vector came out as it should, and nothing has failed since.
    pub fn is_seen_to_work(&self) -> bool {
        self.is_seen_to_work.load(Ordering::Relaxed)
    }

    /// The test vector came out as it should.
    pub fn note_seen_to_work(&self) {
        self.is_seen_to_work.store(true, Ordering::Relaxed);
    }

    /// A call failed: the next session is to see for itself.
    pub fn doubt(&self) {
        self.is_seen_to_work.store(false, Ordering::Relaxed);
    }

    /// The test vector that came with the file.
    pub fn test_vector(&self) -> TestVector<'_> {
        TestVector {
            num_calls: self.test.num_calls,
            num_channels: self.test.channels,
            tolerance: self.test.tolerance,
            values: self.loaded.test_vector(),
        }
    }
}

fn check_hash(path: &Path, expected: &str) -> Result<(), ModelError> {
    let bytes = std::fs::read(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    let actual = format!("{:x}", Sha256::digest(&bytes));
    if actual.eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        Err(ModelError::Hash { path: path.to_owned(), expected: expected.to_owned(), actual })
    }
}

fn compare(metadata: &Metadata, spec: &ModelSpec, path: &Path) -> Result<(), ModelError> {
    let timing = &spec.timing;
    let MaskRange { min, max, .. } = metadata.mask;
    let tolerance = metadata.test_vector.tolerance;
    // What is right is expected to be what it is.
    let right = |is_right: bool, expected: &str, actual: String| {
        (if is_right { actual.clone() } else { expected.into() }, actual)
    };
    let range = right(
        min.is_finite() && max.is_finite() && min < max,
        "two numbers, the first the smaller",
        format!("{min}, {max}"),
    );
    let tolerance = right(tolerance > 0.0 && tolerance < 0.1, "more than 0 and less than 0.1", tolerance.to_string());
    let fields: [(&'static str, String, String); 16] = [
        ("schema_version", SCHEMA_VERSION.to_string(), metadata.schema_version.to_string()),
        ("sample_rate_hz", timing.sample_rate_hz.to_string(), metadata.sample_rate_hz.to_string()),
        ("window_s", timing.window_s.to_string(), metadata.window_s.to_string()),
        ("hop_s", timing.hop_s.to_string(), metadata.hop_s.to_string()),
        ("synthesis_s", timing.synthesis_s.to_string(), metadata.synthesis_s.to_string()),
        ("num_bins", timing.num_bins.to_string(), metadata.num_bins.to_string()),
        ("frames_per_call", timing.frames_per_call.to_string(), metadata.frames_per_call.to_string()),
        ("look_ahead_frames", timing.look_ahead_frames.to_string(), metadata.look_ahead_frames.to_string()),
        ("look_back_frames", timing.look_back_frames.to_string(), metadata.look_back_frames.to_string()),
        ("stems", format!("{:?}", spec.stems), format!("{:?}", metadata.stems)),
        ("residual", spec.residual.clone(), metadata.residual.clone()),
        ("embedding_size", spec.embedding_size.to_string(), metadata.embedding_size.to_string()),
        ("query_frames", spec.query_frames.to_string(), metadata.query_frames.to_string()),
        ("mask.kind", "real".into(), metadata.mask.kind.clone()),
        ("mask.min, mask.max", range.0, range.1),
        ("test_vector.tolerance", tolerance.0, tolerance.1),
    ];
    match fields.into_iter().find(|(_, expected, actual)| expected != actual) {
        None => Ok(()),
        Some((field, expected, actual)) => Err(ModelError::Mismatch { path: path.to_owned(), field, expected, actual }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    type Edit = fn(&mut Metadata);

    /// What the file of `spec` says of itself.
    fn metadata_of(spec: &ModelSpec) -> Metadata {
        let timing = spec.timing;
        Metadata {
            schema_version: SCHEMA_VERSION,
            sample_rate_hz: timing.sample_rate_hz,
            window_s: timing.window_s,
            hop_s: timing.hop_s,
            synthesis_s: timing.synthesis_s,
            num_bins: timing.num_bins,
            frames_per_call: timing.frames_per_call,
            look_ahead_frames: timing.look_ahead_frames,
            look_back_frames: timing.look_back_frames,
            stems: spec.stems.clone(),
            residual: spec.residual.clone(),
            embedding_size: spec.embedding_size,
            query_frames: spec.query_frames,
            mask: MaskRange { kind: "real".into(), min: 0.0, max: 1.0 },
            test_vector: TestVectorSize { num_calls: 3, channels: 1, tolerance: 1e-3 },
        }
    }

    #[test]
    fn a_file_that_differs_from_the_catalogue_in_any_field_is_refused_by_that_field() {
        let edits: [(&str, Edit); 23] = [
            ("schema_version", |file| file.schema_version += 1),
            ("sample_rate_hz", |file| file.sample_rate_hz *= 2.0),
            ("window_s", |file| file.window_s += 0.001),
            ("hop_s", |file| file.hop_s += 0.001),
            ("synthesis_s", |file| file.synthesis_s += 0.001),
            ("num_bins", |file| file.num_bins += 1),
            ("frames_per_call", |file| file.frames_per_call += 1),
            ("look_ahead_frames", |file| file.look_ahead_frames += 1),
            ("look_back_frames", |file| file.look_back_frames += 1),
            ("stems", |file| file.stems.reverse()),
            ("residual", |file| file.residual.push('s')),
            ("embedding_size", |file| file.embedding_size += 1),
            ("query_frames", |file| file.query_frames += 1),
            ("mask.kind", |file| file.mask.kind = "complex".into()),
            ("mask.min, mask.max", |file| file.mask.min = file.mask.max),
            ("mask.min, mask.max", |file| file.mask.min = f32::NEG_INFINITY),
            ("mask.min, mask.max", |file| file.mask.max = f32::INFINITY),
            ("mask.min, mask.max", |file| file.mask.max = f32::NAN),
            // One that nothing can meet, and three that anything can.
            ("test_vector.tolerance", |file| file.test_vector.tolerance = 0.0),
            ("test_vector.tolerance", |file| file.test_vector.tolerance = 0.1),
            ("test_vector.tolerance", |file| file.test_vector.tolerance = f32::INFINITY),
            ("test_vector.tolerance", |file| file.test_vector.tolerance = f32::NAN),
            ("test_vector.tolerance", |file| file.test_vector.tolerance = -1e-3),
        ];
        let path = Path::new("a/model.pt");
        for spec in Catalogue::shipped().models() {
            compare(&metadata_of(spec), spec, path).expect("what the catalogue says");
            for (expected, edit) in edits {
                let mut metadata = metadata_of(spec);
                edit(&mut metadata);
                match compare(&metadata, spec, path) {
                    Err(ModelError::Mismatch { field, .. }) => assert_eq!(field, expected, "{}", spec.id),
                    other => panic!("{}: expected a refusal for {expected}, got {other:?}", spec.id),
                }
            }
        }
    }

    #[test]
    fn a_refusal_says_what_was_expected_and_what_was_found() {
        let spec = &Catalogue::shipped().models()[0];
        let mut metadata = metadata_of(spec);
        metadata.mask.max = -1.0;
        let message = compare(&metadata, spec, Path::new("a/model.pt")).unwrap_err().to_string();
        let words =
            "'a/model.pt' does not fit: mask.min, mask.max: expected two numbers, the first the smaller, got 0, -1.";
        assert!(message.contains(words), "{message}");
    }
}
