//! `cargo xtask setup`: libtorch, out of the wheels of the Python package index, into `target/libtorch`.
//!
//! Only the files that the backend needs are fetched (about 135 of the wheel's 531 MB), each is checked against its pin, and what
//! is there and right is left alone, so that nothing is rebuilt and no running build sees a file change.

mod http;
mod index;
mod pins;
mod range;
mod stamp;
mod wheel;

use crate::digest;
use crate::files::Turn;
use anyhow::{Context, Result, bail};
use pins::{Include, Package, Pins, Platform};
use stamp::Stamp;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wheel::{Member, Mismatch, Order};

/// Lets `-ltorch` find the libraries: the wheel's own libtorch.so would pull the CUDA ones in.
const LINKER_SCRIPT: &str = "INPUT(-ltorch_cpu -lc10)\n";

/// Options of `setup`.
#[derive(Debug, Default, clap::Args)]
pub struct SetupArgs {
    /// Fetch the CUDA libraries too (2.2 GB more to fetch, 2.9 GB more on disk; for an NVIDIA driver of CUDA 13)
    #[arg(long)]
    pub cuda: bool,
    /// Check every file against its SHA-256, even if nothing seems to have changed
    #[arg(long)]
    pub verify: bool,
    /// Another platform's libtorch, into target/libtorch-PLATFORM: to see that what is pinned for it can be had
    #[arg(long)]
    pub platform: Option<Platform>,
}

/// Brings `target/libtorch` to what the pins say.
pub fn run(args: &SetupArgs) -> Result<()> {
    let is_foreign = args.platform.is_some() && args.platform != Platform::OWN;
    let libtorch = match args.platform.filter(|_| is_foreign) {
        Some(platform) => crate::paths::target().join(format!("libtorch-{}", platform.name())),
        None => crate::paths::libtorch(),
    };
    if !is_foreign {
        check_compiler()?;
    }
    let Some(platform) = args.platform.or(Platform::OWN) else { return check_unpacked(args, &libtorch) };
    let pins = Pins::of(platform)?;
    if args.cuda && !pins.know_cuda() {
        bail!("the package index has no libtorch with CUDA for {}", platform.name());
    }
    let pins = pins.select(args.cuda);
    let is_there = || !args.verify && Stamp::holds(&pins, &libtorch);
    if !is_there() {
        // Two at once would write the same files; the second finds them there.
        let lock = crate::paths::target().join("setup.lock");
        let _turn = Turn::take(&lock, || println!("waiting for another setup to end"))?;
        if !is_there() {
            return fetch(platform, &pins, &libtorch, !args.verify);
        }
    }
    println!("libtorch {} is in {}", pins.version, crate::paths::shown(&libtorch));
    Ok(())
}

/// Fetches what is missing or wrong. Whether libraries that `pins` do not ask for count as they were found last, is `others_are_trusted`.
fn fetch(platform: Platform, pins: &Pins, libtorch: &Path, others_are_trusted: bool) -> Result<()> {
    let start = Instant::now();
    let downloads = crate::paths::target().join("download");
    if platform == Platform::LinuxX86_64 {
        write_if_changed(&libraries(libtorch).join("libtorch.so"), LINKER_SCRIPT)?;
    }
    for package in &pins.package {
        fetch_package(pins, package, libtorch, &downloads)?;
    }
    Stamp::write(pins, libtorch, others_are_trusted)?;
    if downloads.exists() {
        fs::remove_dir_all(&downloads).with_context(|| format!("cannot remove {}", downloads.display()))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("libtorch {} is in {} ({seconds:.1} s)", pins.version, crate::paths::shown(libtorch));
    Ok(())
}

/// Folder of the libraries.
fn libraries(libtorch: &Path) -> PathBuf {
    libtorch.join("lib")
}

/// Folder of the headers.
fn target_include(libtorch: &Path) -> PathBuf {
    libtorch.join("include")
}

/// Fetches what is missing or wrong of one package.
fn fetch_package(pins: &Pins, package: &Package, libtorch: &Path, downloads: &Path) -> Result<()> {
    let mut members = Vec::new();
    for library in &package.library {
        let destination = libraries(libtorch).join(library.file_name());
        if !is_right(&destination, library.size_bytes, &library.sha256)? {
            members.push(Member { name: library.member.clone(), destination, sha256: Some(library.sha256.clone()) });
        }
    }
    let include = Some(&pins.include).filter(|include| include.package == package.name);
    let include = match include {
        Some(include) if !include_is_right(include, &target_include(libtorch))? => Some(include),
        _ => None,
    };
    if members.is_empty() && include.is_none() {
        return Ok(());
    }
    let staged = libtorch.join("include.part");
    let choose = |names: &[String]| {
        let mut wanted = members.clone();
        if let Some(include) = include {
            remove_if_there(&staged)?;
            wanted.extend(headers(include, names, &staged));
        }
        Ok(wanted)
    };
    let check = || match include {
        Some(include) => replace_include(include, &staged, &target_include(libtorch)),
        None => Ok(()),
    };
    wheel::take(pins, package, downloads, &Order { choose: &choose, check: &check })
}

/// The headers among the names of a wheel's files.
fn headers<'a>(include: &'a Include, names: &'a [String], folder: &'a Path) -> impl Iterator<Item = Member> + 'a {
    names.iter().filter(|name| !name.ends_with('/')).filter_map(move |name| {
        let relative = name.strip_prefix(&include.member_prefix)?;
        let safe = relative.split('/').all(|part| !matches!(part, "" | "." | ".."));
        safe.then(|| Member { name: name.clone(), destination: folder.join(relative), sha256: None })
    })
}

/// Checks the staged headers and puts them in the place of the old ones.
fn replace_include(include: &Include, staged: &Path, destination: &Path) -> Result<()> {
    let found = digest::tree(staged)?;
    if found != include.tree_sha256 {
        let message = format!("the headers have the digest {found}, expected {}", include.tree_sha256);
        return Err(Mismatch { message }.into());
    }
    remove_if_there(destination)?;
    fs::rename(staged, destination).with_context(|| format!("cannot write {}", destination.display()))
}

fn include_is_right(include: &Include, folder: &Path) -> Result<bool> {
    let (num_files, size_bytes) = digest::census(folder);
    Ok((num_files, size_bytes) == (include.num_files, include.size_bytes)
        && digest::tree(folder)? == include.tree_sha256)
}

/// Whether a file is there, whole, and as its pin says; says so where it is there and is not.
fn is_right(path: &Path, size_bytes: u64, sha256: &str) -> Result<bool> {
    let Ok(metadata) = path.metadata() else { return Ok(false) };
    if metadata.len() != size_bytes {
        eprintln!("{} has {} bytes, expected {size_bytes}: fetching it again", path.display(), metadata.len());
        return Ok(false);
    }
    let found = digest::file(path)?;
    if found != sha256 {
        eprintln!("{} has SHA-256 {found}, expected {sha256}: fetching it again", path.display());
    }
    Ok(found == sha256)
}

fn remove_if_there(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Where there are no pins, whoever builds has unpacked libtorch, and there is nothing to fetch or to check it against.
fn check_unpacked(args: &SetupArgs, libtorch: &Path) -> Result<()> {
    let missing: Vec<_> = [libraries(libtorch), target_include(libtorch)].into_iter().filter(|f| !f.is_dir()).collect();
    if let Some(folder) = missing.first() {
        bail!(
            "{} is missing: setup does not know where to fetch libtorch for this platform; unpack libtorch {} into {}, with its \
             folders include and lib",
            folder.display(),
            Pins::of(Platform::LinuxX86_64)?.version,
            libtorch.display()
        );
    }
    if args.cuda || args.verify {
        bail!("--cuda and --verify need files that setup fetches, and it fetches none for this platform");
    }
    println!("libtorch is in {}, as you unpacked it", crate::paths::shown(libtorch));
    Ok(())
}

/// The binding to libtorch is compiled from C++. Microsoft's compiler is not on `PATH`; its installer tells the build where it is.
fn check_compiler() -> Result<()> {
    let named = std::env::var_os("CXX").is_some() || cfg!(target_env = "msvc");
    if named || crate::process::find_program(&["c++", "g++", "clang++"]).is_some() {
        return Ok(());
    }
    bail!("a C++ compiler is missing; on Debian: sudo apt install g++")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_fetched_an_unpacked_libtorch_will_do_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let check = |args: &SetupArgs| check_unpacked(args, folder.path()).map_err(|error| error.to_string());
        for part in ["lib", "include"] {
            let error = check(&SetupArgs::default()).expect_err("it is not there yet");
            assert!(
                error.contains(&format!("{part} is missing")) && error.contains("unpack libtorch 2.11.0"),
                "{error}"
            );
            fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        assert_eq!(check(&SetupArgs::default()), Ok(()));
        for (cuda, verify) in [(true, false), (false, true)] {
            check(&SetupArgs { cuda, verify, platform: None }).expect_err("nothing to fetch, nothing to check against");
        }
    }
}
