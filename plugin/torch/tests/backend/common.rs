//! The backend as the engine uses it: through the C table only, by the caller's side of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use underscore_backend::{Backend, Batching, Device, Failure, Session};

/// The linked backend.
pub fn backend() -> Backend {
    // SAFETY: it is linked into this program.
    unsafe { Backend::enter(underscore_torch::underscore_backend) }.expect("a table of this build")
}

/// The model with a mask of 1 everywhere.
pub const IDENTITY: &str = "identity.pt";

fn weights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/weights")
}

/// A file of `models/weights`.
pub fn shipped(name: &str) -> PathBuf {
    weights().join(name)
}

/// The model that echoes what it is asked; see `underscore_training.fixtures`.
pub fn echo(device: Device) -> Model {
    Model::load_on(device, &echo_path()).expect("a model that is asked")
}

/// Its file.
pub fn echo_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/echo.pt")
}

/// The names of all models in `models/weights`.
pub fn all_shipped() -> Vec<String> {
    let files = weights().read_dir().expect("the folder of models");
    let paths =
        files.map(|file| file.expect("a file").path()).filter(|path| path.extension().is_some_and(|e| e == "pt"));
    let mut names: Vec<String> =
        paths.filter_map(|path| Some(path.file_name()?.to_str().expect("a UTF-8 name").to_owned())).collect();
    names.sort();
    names
}

/// The names of the shipped models that separate.
pub fn separators() -> Vec<String> {
    let names: Vec<_> = all_shipped().into_iter().filter(|name| name != IDENTITY).collect();
    assert!(!names.is_empty(), "no model that separates");
    names
}

/// A model with its metadata.
pub struct Model {
    loaded: Arc<underscore_backend::Model>,
    metadata: serde_json::Value,
}

impl Model {
    pub fn load(path: &Path) -> Result<Self, Failure> {
        Self::load_on(Device::CPU, path)
    }

    pub fn load_on(device: Device, path: &Path) -> Result<Self, Failure> {
        let loaded = Arc::new(backend().load(path, device)?);
        let metadata = serde_json::from_slice(loaded.metadata()).expect("JSON");
        Ok(Self { loaded, metadata })
    }

    pub fn metadata(&self) -> &serde_json::Value {
        &self.metadata
    }

    /// The field `pointer` of the metadata.
    pub fn count(&self, pointer: &str) -> usize {
        self.metadata.pointer(pointer).and_then(serde_json::Value::as_u64).expect("a count") as usize
    }

    /// Values of one channel's masks in one call: frames times bins.
    pub fn masks_len(&self) -> usize {
        self.count("/frames_per_call") * self.count("/num_bins")
    }

    /// A deterministic spectrum of one call, different for every `seed`, values in ±20.
    pub fn spectrum(&self, num_channels: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..num_channels * self.masks_len() * 2)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 40.0
            })
            .collect()
    }

    /// Calls before whose end a mask says nothing: its look-ahead.
    pub fn look_ahead_calls(&self) -> usize {
        self.count("/look_ahead_frames").div_ceil(self.count("/frames_per_call"))
    }

    /// Values of the embedding that it is asked by, 0 where it is not.
    pub fn embedding_size(&self) -> usize {
        self.count("/embedding_size")
    }

    pub fn encode(&self, spectrum: &[f32], embedding: &mut [f32]) -> Result<(), Failure> {
        self.loaded.encode(spectrum, embedding)
    }

    pub fn test_vector(&self) -> &[f32] {
        self.loaded.test_vector()
    }

    pub fn session(&self, num_channels: usize) -> Result<Session, Failure> {
        self.loaded.session(num_channels)
    }
}

/// Held by tests that look at how much memory this process has, or that take much of it.
pub static MEMORY: Mutex<()> = Mutex::new(());

/// One call of a model with one masked stem.
pub fn run(session: &mut Session, spectrum: &[f32]) -> Vec<f32> {
    let mut masks = vec![f32::NAN; spectrum.len() / 2];
    session.run(Batching::NEVER, spectrum, &mut masks).expect("a run");
    masks
}
