//! The bundle's own inference library, called without the plugin around it.

use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use underscore_backend::{Backend, Device, ENTRY_SYMBOL, EntryFn, LIBRARY_FILE, Session};

/// Opens the one in the folder of resources beside a bundle, until the process ends: libtorch does not survive its closing.
pub fn open(resources: &Path) -> Result<Backend> {
    let path = resources.join(LIBRARY_FILE);
    // SAFETY: opening a library runs its initialisers; this one and libtorch beside it are what `bundle` put there.
    let library = unsafe { libloading::Library::new(&path) }
        .with_context(|| format!("{} cannot be opened: run cargo xtask bundle", path.display()))?;
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    // SAFETY: by the boundary's contract the symbol is a function of this type.
    let entry = unsafe { library.get::<EntryFn>(ENTRY_SYMBOL) }
        .with_context(|| format!("{} is no Underscore backend", path.display()))?;
    // SAFETY: it is that of a backend, which was leaked above and stays open.
    unsafe { Backend::enter(*entry) }.with_context(|| format!("{}: run cargo xtask bundle", path.display()))
}

/// What a model says of itself, as far as it is measured.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct About {
    /// Permanent id.
    pub id: String,
    /// Bins per frame.
    pub num_bins: usize,
    /// Frames per call.
    pub frames_per_call: usize,
    /// Frames that a mask waits for.
    pub look_ahead_frames: usize,
    /// Frames before its own that a mask depends on.
    pub look_back_frames: usize,
    /// Distance of frames, seconds.
    pub hop_s: f64,
    /// 10⁹ multiply-accumulates per second of one channel's audio; 0 where the file does not say.
    pub gmac_per_s: f64,
    /// All stems; one of them is the residual and has no mask.
    pub stems: Vec<String>,
}

impl About {
    /// Audio per call, seconds.
    pub fn call_s(&self) -> f64 {
        self.frames_per_call as f64 * self.hop_s
    }

    /// `f32` in the spectrum of one call of one channel.
    pub fn spectrum_len(&self) -> usize {
        self.frames_per_call * self.num_bins * 2
    }

    /// `f32` in its masks.
    pub fn masks_len(&self) -> usize {
        (self.stems.len() - 1) * self.frames_per_call * self.num_bins
    }
}

/// A loaded model and its metadata.
pub struct Model {
    loaded: Arc<underscore_backend::Model>,
    /// Its metadata.
    pub about: About,
}

impl Model {
    /// Loads the file at `path`.
    pub fn load(backend: Backend, path: &Path, device: Device) -> Result<Self> {
        let loaded = backend.load(path, device)?;
        let about =
            serde_json::from_slice(loaded.metadata()).with_context(|| format!("metadata of {}", path.display()))?;
        Ok(Self { loaded: Arc::new(loaded), about })
    }

    /// Opens a stream of one channel.
    pub fn session(&self) -> Result<Session> {
        Ok(self.loaded.session(1)?)
    }
}
