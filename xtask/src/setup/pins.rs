//! What `setup` fetches: a table per platform in `libtorch/`, every file pinned by size and SHA-256.

use crate::digest;
use anyhow::{Context, Result};
use serde::Deserialize;

/// What there is a table for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Platform {
    /// glibc 2.28 or later.
    #[value(name = "linux-x86-64")]
    LinuxX86_64,
    /// Microsoft's compiler and run-time library.
    #[value(name = "windows-x86-64")]
    WindowsX86_64,
    /// Apple's own processors; for Intel's there is no such release of torch.
    #[value(name = "macos-arm64")]
    MacosArm64,
}

impl Platform {
    /// The one that this program was built for.
    pub const OWN: Option<Self> = if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        Some(Self::LinuxX86_64)
    } else if cfg!(all(windows, target_arch = "x86_64")) {
        Some(Self::WindowsX86_64)
    } else if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
        Some(Self::MacosArm64)
    } else {
        None
    };

    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LinuxX86_64 => "linux-x86-64",
            Self::WindowsX86_64 => "windows-x86-64",
            Self::MacosArm64 => "macos-arm64",
        }
    }

    /// Its table as it stands in the repository.
    fn table(self) -> &'static str {
        match self {
            Self::LinuxX86_64 => include_str!("libtorch/linux-x86-64.toml"),
            Self::WindowsX86_64 => include_str!("libtorch/windows-x86-64.toml"),
            Self::MacosArm64 => include_str!("libtorch/macos-arm64.toml"),
        }
    }
}

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// SHA-256 of the table itself; part of the stamp, so that a changed table is noticed.
    #[serde(skip)]
    pub sha256: String,
    /// Version of libtorch.
    pub version: String,
    /// The platforms whose wheels will do, by pip's names.
    pub wheel_platforms: Vec<String>,
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
    /// Reads the table of a platform, which is built into this program.
    pub fn of(platform: Platform) -> Result<Self> {
        let table = platform.table();
        let pins: Self = toml::from_str(table)
            .with_context(|| format!("xtask/src/setup/libtorch/{}.toml does not parse", platform.name()))?;
        Ok(Self { sha256: digest::text(table), ..pins })
    }

    /// Whether there is anything that only CUDA needs.
    pub fn know_cuda(&self) -> bool {
        self.libraries().any(|(_, library)| library.cuda)
    }

    /// Drops what only CUDA needs, but for what of it `is_wanted`.
    pub fn select(mut self, is_wanted: impl Fn(&Library) -> bool) -> Self {
        for package in &mut self.package {
            package.library.retain(|library| !library.cuda || is_wanted(library));
        }
        self.package.retain(|package| !package.library.is_empty() || package.name == self.include.package);
        self
    }

    /// The library of this file name.
    pub fn library(&self, file_name: &str) -> Option<&Library> {
        self.libraries().map(|(_, library)| library).find(|library| library.file_name() == file_name)
    }

    /// All libraries, each with its package.
    pub fn libraries(&self) -> impl Iterator<Item = (&Package, &Library)> {
        self.package.iter().flat_map(|package| package.library.iter().map(move |library| (package, library)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use std::collections::HashSet;

    fn all() -> impl Iterator<Item = (Platform, Pins)> {
        Platform::value_variants().iter().map(|&platform| (platform, Pins::of(platform).expect("a built-in table")))
    }

    #[test]
    fn every_table_parses_and_every_pin_is_a_sha256() {
        for (_, pins) in all() {
            let digests = pins.libraries().map(|(package, library)| [&package.wheel_sha256, &library.sha256]);
            for digest in digests.flatten().chain([&pins.include.tree_sha256]) {
                assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
            }
        }
    }

    #[test]
    fn the_tables_are_of_one_version_and_no_two_are_of_the_same_files() {
        let tables: Vec<_> = all().collect();
        let numbers = |of: fn(&Pins) -> &str| tables.iter().map(|(_, pins)| of(pins)).collect::<HashSet<_>>().len();
        assert_eq!(numbers(|pins| &pins.version), 1);
        assert_eq!(numbers(|pins| &pins.package[0].wheel_sha256), tables.len());
        assert_eq!(numbers(|pins| &pins.sha256), tables.len());
    }

    #[test]
    fn a_platform_is_asked_for_by_its_name() {
        for &platform in Platform::value_variants() {
            assert_eq!(Platform::from_str(platform.name(), false), Ok(platform));
        }
    }

    #[test]
    fn no_two_libraries_share_a_file_name() {
        for (_, pins) in all() {
            let names: HashSet<_> = pins.libraries().map(|(_, library)| library.file_name().to_owned()).collect();
            assert_eq!(names.len(), pins.libraries().count());
        }
    }

    #[test]
    fn the_cpu_set_is_the_libraries_that_the_backend_opens_and_what_the_linker_reads_in_their_place() {
        for (platform, pins) in all() {
            let pins = pins.select(|_| false);
            let mut names: Vec<_> = pins.libraries().map(|(_, library)| library.file_name()).collect();
            names.sort_unstable();
            let expected: &[&str] = match platform {
                Platform::LinuxX86_64 => {
                    &["libc10.so", "libcudart.so.13", "libcupti.so.13", "libgomp.so.1", "libtorch_cpu.so"]
                }
                Platform::WindowsX86_64 => &[
                    "c10.dll",
                    "c10.lib",
                    "libiomp5md.dll",
                    "torch.dll",
                    "torch.lib",
                    "torch_cpu.dll",
                    "torch_cpu.lib",
                    "uv.dll",
                ],
                Platform::MacosArm64 => &["libc10.dylib", "libomp.dylib", "libtorch.dylib", "libtorch_cpu.dylib"],
            };
            assert_eq!(names, expected);
            assert!(!pins.know_cuda());
        }
    }
}
