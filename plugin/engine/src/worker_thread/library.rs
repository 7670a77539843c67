//! The backend library: found, checked, opened once per process, never closed.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

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
    /// The loader refused. It takes a libtorch that the process has, whatever lies beside the library.
    #[error(
        "'{}' cannot be opened with the libtorch {}, expected {}: {reason}. {}",
        path.display(),
        if *is_foreign { "that the host or another plugin opened before" } else { "beside it" },
        LIBTORCH_VERSION.to_string_lossy(),
        if *is_foreign { REMEDY_FOREIGN } else { REMEDY }
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
        /// Whether somebody else had opened a libtorch.
        is_foreign: bool,
    },
    /// It is a library, but no backend.
    #[error("'{}' is no Underscore backend: '{ENTRY_SYMBOL}' is missing. {REMEDY_ONCE_OPEN}", path.display())]
    NoEntry {
        /// The file.
        path: PathBuf,
    },
    /// It speaks another version of the boundary, or found another libtorch.
    #[error("'{}' cannot be used: {source}. {}", path.display(), if *is_foreign { REMEDY_FOREIGN } else { REMEDY_ONCE_OPEN })]
    WrongBuild {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        source: WrongBuild,
        /// Whether it is of a libtorch that somebody else had opened.
        is_foreign: bool,
    },
}

/// How many of [`LIBTORCH_FILES`] are libtorch's own: the others come with other software, too.
const NUM_OF_LIBTORCH: usize = 2;

/// Whether somebody else had opened a libtorch before this plugin first tried to.
static IS_FOREIGN: LazyLock<bool> =
    LazyLock::new(|| LIBTORCH_FILES[..NUM_OF_LIBTORCH].iter().any(|file| shared_object::is_loaded(Path::new(file))));

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
    let is_foreign = *IS_FOREIGN;
    // SAFETY: opening a library runs its initialisers. This one is the backend that was installed with the plugin, found
    // from the plugin's own place and seen to be whole, and libtorch, which it brings along.
    let library = unsafe { shared_object::open(&path, &path.with_file_name("libtorch")) }
        .map_err(|error| LibraryError::Open { path: path.clone(), reason: describe(&error), is_foreign })?;
    // Never closed: libtorch does not survive it, and other instances use it.
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    // SAFETY: by the boundary's contract the symbol is a function of this type.
    let entry =
        unsafe { library.get::<EntryFn>(ENTRY_SYMBOL) }.map_err(|_| LibraryError::NoEntry { path: path.clone() })?;
    // SAFETY: it is that of a backend, which was leaked above and stays open.
    unsafe { Backend::enter(*entry) }.map_err(|source| {
        let is_foreign = is_foreign && matches!(source, WrongBuild::Libtorch { .. });
        LibraryError::WrongBuild { path, source, is_foreign }
    })
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
    fn whoever_meets_another_plugins_libtorch_is_not_sent_to_install_again_and_others_are() {
        for is_foreign in [false, true] {
            let source = WrongBuild::Libtorch { actual: "1.0".into() };
            for error in [
                LibraryError::Open { path: "underscore.so".into(), reason: "undefined symbol".into(), is_foreign },
                LibraryError::WrongBuild { path: "underscore.so".into(), source, is_foreign },
            ] {
                let message = error.to_string();
                assert_eq!(message.contains("Remove the other plugin"), is_foreign, "{message}");
                assert_eq!(message.contains("Install Underscore again"), !is_foreign, "{message}");
            }
        }
        assert!(
            LIBTORCH_FILES[..NUM_OF_LIBTORCH].iter().all(|file| file.contains("torch_cpu") || file.contains("c10"))
        );
        assert!(!*IS_FOREIGN, "nobody has opened one here");
    }
}
