//! What `setup` fetches: the table in `libtorch.toml`, every file pinned by size and SHA-256.

use anyhow::{Context, Result};
use serde::Deserialize;

/// The table as it stands in the repository; its digest is part of the stamp, so that a changed table is noticed.
pub const TEXT: &str = include_str!("libtorch.toml");

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Version of libtorch.
    pub version: String,
    /// The C++ headers.
    pub include: Include,
    /// The wheels to take files from.
    pub package: Vec<Package>,
}

/// The headers: too many to pin one by one, so the tree has one digest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Include {
    /// Name of the package that holds them.
    pub package: String,
    /// Folder inside the wheel, with the slash at its end.
    pub member_prefix: String,
    /// Number of files.
    pub num_files: usize,
    /// Their sizes summed, in bytes.
    pub size_bytes: u64,
    /// See `digest::tree`.
    pub tree_sha256: String,
}

/// One wheel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name on the package index.
    pub name: String,
    /// Exact version: the one that this torch asks for.
    pub version: String,
    /// SHA-256 of the whole wheel, as the package index reports it.
    pub wheel_sha256: String,
    /// The shared libraries to take.
    pub library: Vec<Library>,
}

/// One shared library in a wheel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Path inside the wheel.
    pub member: String,
    /// Size, in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the library itself.
    pub sha256: String,
    /// Needed for `--cuda` only.
    #[serde(default)]
    pub cuda: bool,
}

impl Library {
    /// The file's name, without the folders it has in the wheel.
    pub fn file_name(&self) -> &str {
        self.member.rsplit('/').next().unwrap_or(&self.member)
    }
}

impl Pins {
    /// Reads the table that is built into this program.
    pub fn built_in() -> Result<Self> {
        toml::from_str(TEXT).context("xtask/src/setup/libtorch.toml does not parse")
    }

    /// Drops what only CUDA needs, unless `cuda` is asked for.
    pub fn select(mut self, cuda: bool) -> Self {
        for package in &mut self.package {
            package.library.retain(|library| cuda || !library.cuda);
        }
        self.package.retain(|package| !package.library.is_empty() || package.name == self.include.package);
        self
    }

    /// All libraries, each with its package.
    pub fn libraries(&self) -> impl Iterator<Item = (&Package, &Library)> {
        self.package.iter().flat_map(|package| package.library.iter().map(move |library| (package, library)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_parses_and_every_pin_is_a_sha256() {
        let pins = Pins::built_in().expect("the built-in table");
        let digests = pins.libraries().map(|(package, library)| [&package.wheel_sha256, &library.sha256]);
        for digest in digests.flatten().chain([&pins.include.tree_sha256]) {
            assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
        }
    }

    #[test]
    fn no_two_libraries_share_a_file_name() {
        let pins = Pins::built_in().expect("the built-in table");
        let names: HashSet<_> = pins.libraries().map(|(_, library)| library.file_name().to_owned()).collect();
        assert_eq!(names.len(), pins.libraries().count());
    }

    #[test]
    fn the_cpu_set_is_the_five_libraries_the_backend_opens() {
        let pins = Pins::built_in().expect("the built-in table").select(false);
        let mut names: Vec<_> = pins.libraries().map(|(_, library)| library.file_name()).collect();
        names.sort_unstable();
        assert_eq!(names, ["libc10.so", "libcudart.so.13", "libcupti.so.13", "libgomp.so.1", "libtorch_cpu.so"]);
    }
}
