//! The backend library: found, checked, opened once per process, never closed.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

use underscore_backend::{ABI_VERSION, BackendTable, ENTRY_SYMBOL, EntryFn};

use super::shared_object::{SharedObjectError, check_whole};
use crate::resources::Resources;

/// The libtorch release that the backend is built against. Another one has another ABI.
const LIBTORCH_VERSION: &str = "2.11.0";

/// Names on this system.
const BACKEND_FILE: &str = if cfg!(target_os = "macos") {
    "lib/libunderscore_torch.dylib"
} else if cfg!(windows) {
    "lib/underscore_torch.dll"
} else {
    "lib/libunderscore_torch.so"
};

/// Libraries whose files are looked at before the backend is opened: the large ones, which an interrupted copy tears.
const LIBTORCH_FILES: [&str; 2] = ["lib/libtorch/libtorch_cpu.so", "lib/libtorch/libc10.so"];

/// What every message ends with.
const REMEDY: &str =
    "The sound passes unchanged. Install Underscore again (cargo xtask install), then reload the plugin.";

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
    #[error("'{}' cannot be opened with the libtorch beside it, expected {LIBTORCH_VERSION}: {reason}. {REMEDY}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// It is a library, but no backend.
    #[error("'{}' is no Underscore backend: '{ENTRY_SYMBOL}' is missing. {REMEDY}", path.display())]
    NoEntry {
        /// The file.
        path: PathBuf,
    },
    /// It speaks another version of the boundary.
    #[error("'{}' is of another version: expected boundary {ABI_VERSION}, got {actual}. {REMEDY}", path.display())]
    AbiVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        actual: u32,
    },
    /// It found another libtorch.
    #[error("libtorch is of another version: expected {LIBTORCH_VERSION}, got {actual}. {REMEDY}")]
    TorchVersion {
        /// Version of the libtorch that was opened.
        actual: String,
    },
}

/// The opened backend.
#[derive(Clone, Copy)]
pub struct Library {
    table: &'static BackendTable,
}

/// The first success stays for the life of the process. A failure is not kept, so that a repaired installation is found when
/// the plugin is activated again.
static OPENED: Mutex<Option<Library>> = Mutex::new(None);

impl Library {
    /// The process's backend; opens it where this was not done yet.
    pub fn get(resources: &Resources) -> Result<Self, LibraryError> {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = *opened {
            return Ok(library);
        }
        let library = Self::open(resources)?;
        *opened = Some(library);
        Ok(library)
    }

    /// A backend that is no file.
    #[cfg(test)]
    pub fn of(table: &'static BackendTable) -> Self {
        Self { table }
    }

    /// Its functions.
    pub fn table(self) -> &'static BackendTable {
        self.table
    }

    fn open(resources: &Resources) -> Result<Self, LibraryError> {
        let path = find(resources, BACKEND_FILE)?;
        if cfg!(target_os = "linux") {
            for file in LIBTORCH_FILES {
                check(&find(resources, file)?)?;
            }
        }
        check(&path)?;
        // SAFETY: opening a library runs its initialisers. This one is the backend that was installed with the plugin, found
        // from the plugin's own place and seen to be whole, and libtorch, which it brings along.
        let library = unsafe { libloading::Library::new(&path) }
            .map_err(|error| LibraryError::Open { path: path.clone(), reason: describe(&error) })?;
        // Never closed: libtorch does not survive it, and other instances use it.
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        // SAFETY: the symbol, where it exists, is by the boundary's contract a function of type `EntryFn`.
        let entry = unsafe { library.get::<EntryFn>(ENTRY_SYMBOL) }
            .map_err(|_| LibraryError::NoEntry { path: path.clone() })?;
        // SAFETY: the entry function takes nothing and returns a table that lives as long as the library, which is for ever.
        let table = unsafe { entry() };
        // SAFETY: the pointer is null or that table; version and size stand at the same place in every version of it.
        let Some(head) = (unsafe { table.cast::<[u32; 2]>().as_ref() }) else {
            return Err(LibraryError::NoEntry { path });
        };
        if head[0] != ABI_VERSION || head[1] as usize != size_of::<BackendTable>() {
            return Err(LibraryError::AbiVersion { path, actual: head[0] });
        }
        // SAFETY: version and size are those of this build, so the whole table is there.
        let table = unsafe { &*table };
        // SAFETY: the function takes nothing and returns a static NUL-terminated string.
        let actual = unsafe { CStr::from_ptr((table.runtime_version)()) }.to_string_lossy().into_owned();
        if actual != LIBTORCH_VERSION {
            return Err(LibraryError::TorchVersion { actual });
        }
        Ok(Self { table })
    }
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
