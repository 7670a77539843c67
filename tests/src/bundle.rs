//! An opened plugin file.

use crate::callbacks::{Host, MainThread, Shared};
use crate::{Diagnostics, HostError, Instance, diagnostics};
use clack_host::prelude::*;
use libloading::Library;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A plugin in a bundle, as its descriptor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginId {
    /// Stable CLAP id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Version.
    pub version: String,
    /// CLAP feature tags.
    pub features: Vec<String>,
}

/// A plugin file, opened: its entry is initialised, nothing is created yet.
pub struct Bundle {
    path: PathBuf,
    opened_in: Duration,
    entry: PluginEntry,
    // A second handle of the same file, for exports that CLAP knows nothing of.
    library: Arc<Library>,
}

impl Bundle {
    /// Opens the CLAP at `path` (on macOS: the binary inside the bundle folder is found by itself).
    ///
    /// # Errors
    /// [`HostError::NoBundle`] or [`HostError::CannotOpen`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, HostError> {
        let path = path.as_ref().to_path_buf();
        if !path.exists() {
            return Err(HostError::NoBundle { path });
        }
        let fail = |reason: String| HostError::CannotOpen { path: path.clone(), reason };
        let start = Instant::now();
        // SAFETY: opening a plugin runs its code; running it is what this host is for.
        let entry = unsafe { PluginEntry::load(&path) }.map_err(|e| fail(e.to_string()))?;
        let opened_in = start.elapsed();
        // SAFETY: the file is open already, so no initialiser runs: this only takes another reference.
        let library = unsafe { Library::new(library_file(&path)) }.map_err(|e| fail(e.to_string()))?;
        Ok(Self { path, opened_in, entry, library: Arc::new(library) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Time that opening took.
    #[must_use]
    pub fn opened_in(&self) -> Duration {
        self.opened_in
    }

    /// The plugins in the bundle.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginId> {
        let text = |text: Option<&std::ffi::CStr>| text.map(|t| t.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(factory) = self.entry.get_plugin_factory() else { return Vec::new() };
        factory
            .plugin_descriptors()
            .map(|descriptor| PluginId {
                id: text(descriptor.id()),
                name: text(descriptor.name()),
                version: text(descriptor.version()),
                features: descriptor.features().map(|f| f.to_string_lossy().into_owned()).collect(),
            })
            .collect()
    }

    /// Creates the plugin `id`, or the first one. The instance belongs to the calling thread.
    ///
    /// # Errors
    /// [`HostError::NoPlugin`], or [`HostError::Refused`] when the plugin does not come up.
    pub fn create(&self, id: Option<&str>) -> Result<Instance, HostError> {
        let offered: Vec<String> = self.plugins().into_iter().map(|plugin| plugin.id).collect();
        let chosen = match id {
            None => offered.first(),
            Some(id) => offered.iter().find(|offer| *offer == id),
        };
        let Some(chosen) = chosen.cloned() else {
            return Err(HostError::NoPlugin { asked: id.map(str::to_owned), offered });
        };
        let host = HostInfo::new("Underscore host tests", "Underscore", "https://underscore-audio.org", "0.1.0")
            .map_err(|e| HostError::refused("host info", e))?;
        let id = CString::new(chosen).map_err(|e| HostError::refused("create", e))?;
        let start = Instant::now();
        let plugin =
            PluginInstance::<Host>::new(|()| Shared::new(), |_| MainThread::default(), &self.entry, &id, &host)
                .map_err(|e| HostError::refused("create", e))?;
        let created_in = start.elapsed();
        Ok(Instance::new(plugin, created_in, Arc::clone(&self.library)))
    }

    /// What the plugin says of all its engines in this process.
    ///
    /// # Errors
    /// [`HostError::Diagnostics`] when the export is missing or is not the expected JSON.
    pub fn diagnostics(&self) -> Result<Diagnostics, HostError> {
        diagnostics::read(&self.library, &self.path)
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The binary of a bundle: on macOS a CLAP is a folder.
fn library_file(path: &Path) -> PathBuf {
    let folder = path.join("Contents/MacOS");
    if path.is_dir()
        && let Some(Ok(first)) = std::fs::read_dir(&folder).ok().and_then(|mut entries| entries.next())
    {
        return first.path();
    }
    path.to_path_buf()
}
