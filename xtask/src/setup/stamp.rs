//! What the last set-up left, so that the next one sees in milliseconds that nothing changed.

use super::pins::Pins;
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
            pins_sha256: pins.sha256.clone(),
            libraries: pins.libraries().filter_map(|(_, library)| trace(library.file_name())).collect(),
            include: digest::census(&target_include(libtorch)),
        }
    }

    /// Whether everything that `pins` ask for is as the last set-up left it. It may have left more (CUDA).
    pub fn holds(pins: &Pins, libtorch: &Path) -> bool {
        let Some(stamp) = Self::read(libtorch) else { return false };
        let now = Self::observe(pins, libtorch);
        stamp.pins_sha256 == now.pins_sha256
            && stamp.include == now.include
            && pins.libraries().all(|(_, library)| {
                let name = library.file_name();
                now.libraries.get(name).is_some_and(|trace| stamp.libraries.get(name) == Some(trace))
            })
    }

    /// Whether a set-up by other pins was the last: what lies there that `pins` do not ask for may be of another libtorch.
    pub fn is_of_others(pins: &Pins, libtorch: &Path) -> bool {
        file(libtorch).exists() && Self::read(libtorch).is_none_or(|stamp| stamp.pins_sha256 != pins.sha256)
    }

    fn read(libtorch: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file(libtorch)).ok()?).ok()
    }

    /// Writes down what `pins` ask for and is there now: to be called only after each of these files was checked against its pin. What an
    /// earlier set-up by the same pins found beside it (CUDA) and nobody has written to since stays written down.
    pub fn write(pins: &Pins, libtorch: &Path) -> Result<()> {
        let mut stamp = Self::observe(pins, libtorch);
        let earlier = Self::read(libtorch).filter(|earlier| earlier.pins_sha256 == stamp.pins_sha256);
        for (name, trace) in earlier.map(|earlier| earlier.libraries).unwrap_or_default() {
            if Trace::of(&libraries(libtorch).join(&name)) == Some(trace) {
                stamp.libraries.entry(name).or_insert(trace);
            }
        }
        let text = serde_json::to_string_pretty(&stamp)?;
        fs::write(file(libtorch), text).with_context(|| format!("cannot write {}", file(libtorch).display()))
    }
}

fn file(libtorch: &Path) -> PathBuf {
    libtorch.join("setup.json")
}

#[cfg(test)]
mod tests {
    use super::super::pins::Platform;
    use super::*;

    #[test]
    fn only_what_was_checked_counts_as_right() {
        let folder = tempfile::tempdir().unwrap();
        let libtorch = folder.path();
        fs::create_dir_all(libraries(libtorch)).unwrap();
        let all = || Pins::of(Platform::LinuxX86_64).unwrap();
        let (processor, all) = (|| all().select(|_| false), all());
        for (_, library) in all.libraries() {
            fs::write(libraries(libtorch).join(library.file_name()), library.file_name()).unwrap();
        }
        Stamp::write(&processor(), libtorch).unwrap();
        assert!(Stamp::holds(&processor(), libtorch));
        assert!(!Stamp::holds(&all, libtorch), "nobody has looked at what only CUDA needs");

        Stamp::write(&all, libtorch).unwrap();
        Stamp::write(&processor(), libtorch).unwrap();
        assert!(Stamp::holds(&all, libtorch), "an earlier set-up has, and nobody has written to it since");
        let (_, of_cuda) = all.libraries().find(|(_, library)| library.cuda).unwrap();
        fs::write(libraries(libtorch).join(of_cuda.file_name()), "damaged").unwrap();
        Stamp::write(&processor(), libtorch).unwrap();
        assert!(!Stamp::holds(&all, libtorch));
    }

    #[test]
    fn what_lies_there_is_of_other_pins_only_where_a_stamp_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let [pins, others] = [Platform::LinuxX86_64, Platform::MacosArm64].map(|platform| Pins::of(platform).unwrap());
        assert!(!Stamp::is_of_others(&pins, folder.path()), "nothing was ever set up");
        Stamp::write(&others, folder.path()).unwrap();
        assert!(Stamp::is_of_others(&pins, folder.path()));
        Stamp::write(&pins, folder.path()).unwrap();
        assert!(!Stamp::is_of_others(&pins, folder.path()));
        fs::write(file(folder.path()), "of a version that wrote something else").unwrap();
        assert!(Stamp::is_of_others(&pins, folder.path()));
    }
}
