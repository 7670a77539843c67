//! The backend library: found, checked, opened once per process, never closed.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

use underscore_backend::{Backend, ENTRY_SYMBOL, EntryFn, LIBRARY_FILE, LIBTORCH_VERSION, WrongBuild};

use super::shared_object::{self, SharedObjectError, check_whole};
use crate::resources::Resources;

/// Libraries whose files are looked at before the backend is opened: the large ones, which an interrupted copy tears, and elsewhere than on
/// Linux, whose loader says what it misses, all.
const LIBTORCH_FILES: &[&str] = if cfg!(target_os = "macos") {
    &[
        "lib/libtorch/libtorch_cpu.dylib",
        "lib/libtorch/libc10.dylib",
        "lib/libtorch/libomp.dylib",
        "lib/libtorch/libtorch.dylib",
    ]
} else if cfg!(windows) {
    &["lib/libtorch/torch_cpu.dll", "lib/libtorch/c10.dll", "lib/libtorch/libiomp5md.dll", "lib/libtorch/uv.dll"]
} else {
    &["lib/libtorch/libtorch_cpu.so", "lib/libtorch/libc10.so"]
};

/// What a message ends with while nothing was opened.
const REMEDY: &str = "Install Underscore again (cargo xtask install), then reload the plugin.";

/// What a message ends with once the library is open, which it then is until the process ends.
const REMEDY_ONCE_OPEN: &str = "Install Underscore again (cargo xtask install), then restart the host.";

/// What a message ends with where it was not Underscore that opened libtorch: no installation changes which one the process has.
const REMEDY_FOREIGN: &str =
    "Remove the other plugin that brings it, or load Underscore in a host, or a process of its own, without that one.";

/// Why there is no backend.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A file is in none of the places.
    #[error("libtorch is not installed: '{file}' is in none of {places}. {REMEDY}")]
    Missing {
        /// Relative path.
        file: &'static str,
        /// The folders that were looked in.
        places: String,
    },
    /// A file is there but cannot be used.
    #[error("'{}' {source}. {REMEDY}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SharedObjectError,
    },
    /// The loader refused.
    #[error("'{}' cannot be opened with the libtorch beside it, expected {}: {reason}. {REMEDY}", path.display(), LIBTORCH_VERSION.to_string_lossy())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// The loader refused, where the process had a libtorch before: it takes that one, whatever lies beside the library.
    #[error("'{}' cannot be opened with the libtorch that the host or another plugin opened before, expected {}: {reason}. {REMEDY_FOREIGN}", path.display(), LIBTORCH_VERSION.to_string_lossy())]
    OpenWithForeign {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// It is a library, but no backend.
    #[error("'{}' is no Underscore backend: '{ENTRY_SYMBOL}' is missing. {REMEDY_ONCE_OPEN}", path.display())]
    NoEntry {
        /// The file.
        path: PathBuf,
    },
    /// It speaks another version of the boundary, or found another libtorch.
    #[error("'{}' cannot be used: {source}. {}", path.display(), remedy(source))]
    WrongBuild {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        source: WrongBuild,
    },
}

fn remedy(fault: &WrongBuild) -> &'static str {
    match fault {
        WrongBuild::Libtorch { .. } => REMEDY_FOREIGN,
        WrongBuild::NoTable | WrongBuild::Version { .. } => REMEDY_ONCE_OPEN,
    }
}

/// The first success stays for the life of the process. A failure is not kept: what could not even be opened may be repaired, and
/// is found when the plugin is activated again.
static OPENED: Mutex<Option<Backend>> = Mutex::new(None);

/// The process's backend, where it is open already.
pub fn opened() -> Option<Backend> {
    *OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process's backend; opens it where this was not done yet.
pub fn backend(resources: &Resources) -> Result<Backend, LibraryError> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(backend) = *opened {
        return Ok(backend);
    }
    let backend = open(resources)?;
    *opened = Some(backend);
    Ok(backend)
}

fn open(resources: &Resources) -> Result<Backend, LibraryError> {
    let path = find(resources, LIBRARY_FILE)?;
    for file in LIBTORCH_FILES {
        check(&find(resources, file)?)?;
    }
    check(&path)?;
    let has_libtorch = LIBTORCH_FILES.iter().any(|file| shared_object::is_loaded(Path::new(file)));
    // SAFETY: opening a library runs its initialisers. This one is the backend that was installed with the plugin, found
    // from the plugin's own place and seen to be whole, and libtorch, which it brings along.
    let library = unsafe { shared_object::open(&path, &path.with_file_name("libtorch")) }
        .map_err(|error| refused(&path, describe(&error), has_libtorch))?;
    // Never closed: libtorch does not survive it, and other instances use it.
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    // SAFETY: by the boundary's contract the symbol is a function of this type.
    let entry =
        unsafe { library.get::<EntryFn>(ENTRY_SYMBOL) }.map_err(|_| LibraryError::NoEntry { path: path.clone() })?;
    // SAFETY: it is that of a backend, which was leaked above and stays open.
    unsafe { Backend::enter(*entry) }.map_err(|source| LibraryError::WrongBuild { path, source })
}

fn refused(path: &Path, reason: String, has_libtorch: bool) -> LibraryError {
    let path = path.to_owned();
    if has_libtorch { LibraryError::OpenWithForeign { path, reason } } else { LibraryError::Open { path, reason } }
}

fn find(resources: &Resources, file: &'static str) -> Result<PathBuf, LibraryError> {
    resources.find(Path::new(file)).ok_or_else(|| LibraryError::Missing { file, places: resources.places() })
}

fn check(path: &Path) -> Result<(), LibraryError> {
    check_whole(path).map_err(|source| LibraryError::Unusable { path: path.to_owned(), source })
}

/// The loader's own words, which libloading keeps as the source.
fn describe(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_meets_another_plugins_libtorch_is_not_sent_to_install_again() {
        let path = Path::new("underscore.so");
        let other = WrongBuild::Libtorch { actual: "1.0".into() };
        for error in [
            refused(path, "undefined symbol".into(), true),
            LibraryError::WrongBuild { path: path.into(), source: other },
        ] {
            let message = error.to_string();
            assert!(message.contains("the host or another plugin") && !message.contains("Install"), "{message}");
        }
        for error in [
            refused(path, "undefined symbol".into(), false),
            LibraryError::WrongBuild { path: path.into(), source: WrongBuild::NoTable },
        ] {
            assert!(error.to_string().contains("Install Underscore again"), "{error}");
        }
    }
}
