//! What the last set-up left, so that the next one sees in milliseconds that nothing changed.

use super::pins::{self, Pins};
use super::{libraries, target_include};
use crate::digest;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Written to `target/libtorch/setup.json` when everything is in place.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// SHA-256 of the table of pins.
    pins_sha256: String,
    /// The libraries by file name.
    libraries: BTreeMap<String, Trace>,
    /// Number and summed size in bytes of the headers.
    include: (usize, u64),
}

/// What changes when a file is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Trace {
    size_bytes: u64,
    modified_ns: u128,
}

impl Trace {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { size_bytes: metadata.len(), modified_ns: modified.as_nanos() })
    }
}

impl Stamp {
    /// What lies in `libtorch` now of what `pins` ask for.
    fn observe(pins: &Pins, libtorch: &Path) -> Self {
        let trace = |name: &str| Some((name.to_owned(), Trace::of(&libraries(libtorch).join(name))?));
        Self {
            pins_sha256: digest::text(pins::TEXT),
            libraries: pins.libraries().filter_map(|(_, library)| trace(library.file_name())).collect(),
            include: digest::census(&target_include(libtorch)),
        }
    }

    /// Whether everything that `pins` ask for is as the last set-up left it. It may have left more (CUDA).
    pub fn holds(pins: &Pins, libtorch: &Path) -> bool {
        let read = || -> Option<Self> { serde_json::from_slice(&fs::read(file(libtorch)).ok()?).ok() };
        let Some(stamp) = read() else { return false };
        let now = Self::observe(pins, libtorch);
        stamp.pins_sha256 == now.pins_sha256
            && stamp.include == now.include
            && pins.libraries().all(|(_, library)| {
                let name = library.file_name();
                now.libraries.get(name).is_some_and(|trace| stamp.libraries.get(name) == Some(trace))
            })
    }

    /// Writes down what is there now. To be called only after every file was checked against its pin. `pins` must be the
    /// whole table for the libraries that only CUDA needs not to be forgotten.
    pub fn write(pins: &Pins, libtorch: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&Self::observe(pins, libtorch))?;
        fs::write(file(libtorch), text).with_context(|| format!("cannot write {}", file(libtorch).display()))
    }
}

fn file(libtorch: &Path) -> PathBuf {
    libtorch.join("setup.json")
}
