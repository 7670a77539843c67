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

use crate::files::{self, Turn};
use crate::{digest, paths};
use anyhow::{Context, Result, bail};
use pins::{Include, Library, Package, Pins, Platform};
use stamp::Stamp;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;
use wheel::{Member, Mismatch, Order};

/// File name of the linker script.
const LINKER_SCRIPT_FILE: &str = "libtorch.so";

/// Lets `-ltorch` find the libraries: the wheel's own libtorch.so would pull the CUDA ones in.
const LINKER_SCRIPT: &str = "INPUT(-ltorch_cpu -lc10)\n";

/// Options of `setup`.
#[derive(Debug, Default, clap::Args)]
pub struct SetupArgs {
    /// Fetch the CUDA libraries too (2.2 GB more to fetch, 3.0 GB more on disk; for an NVIDIA driver of CUDA 13)
    #[arg(long)]
    pub cuda: bool,
    /// Check every file against its SHA-256, even if nothing seems to have changed; CUDA libraries, too, where they are there
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
        Some(platform) => paths::target().join(format!("libtorch-{}", platform.name())),
        None => paths::libtorch(),
    };
    if !is_foreign {
        check_compiler()?;
    }
    let Some(platform) = args.platform.or(Platform::OWN) else { return check_unpacked(args, &libtorch) };
    let pins = Pins::of(platform)?;
    if args.cuda && !pins.know_cuda() {
        bail!("the package index has no libtorch with CUDA for {}", platform.name());
    }
    let pins = asked_for(pins, args, &libtorch);
    let is_there = || !args.verify && Stamp::holds(&pins, &libtorch);
    if !is_there() {
        // Two at once would write the same files; the second finds them there.
        let lock = paths::target().join("setup.lock");
        let _turn = Turn::take(&lock, || println!("waiting for another setup to end"))?;
        if !is_there() {
            return fetch(platform, &pins, &libtorch);
        }
    }
    println!("libtorch {} is in {}", pins.version, paths::shown(&libtorch));
    Ok(())
}

/// What is to be there and right. CUDA libraries that an earlier set-up left are opened whether or not this one asks for them; those of another
/// libtorch go.
fn asked_for(pins: Pins, args: &SetupArgs, libtorch: &Path) -> Pins {
    let verifies = args.verify && !Stamp::is_of_others(&pins, libtorch);
    let is_there = |library: &Library| libraries(libtorch).join(library.file_name()).exists();
    pins.select(|library| args.cuda || (verifies && is_there(library)))
}

/// Fetches what is missing or wrong.
fn fetch(platform: Platform, pins: &Pins, libtorch: &Path) -> Result<()> {
    let start = Instant::now();
    let downloads = paths::target().join("download");
    if platform == Platform::LinuxX86_64 {
        write_if_changed(&libraries(libtorch).join(LINKER_SCRIPT_FILE), LINKER_SCRIPT)?;
    }
    for package in &pins.package {
        fetch_package(pins, package, libtorch, &downloads)?;
    }
    if Stamp::is_of_others(pins, libtorch) {
        remove_others(&Pins::of(platform)?, pins, libtorch)?;
    }
    Stamp::write(pins, libtorch)?;
    if downloads.exists() {
        fs::remove_dir_all(&downloads).with_context(|| format!("cannot remove {}", downloads.display()))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("libtorch {} is in {} ({seconds:.1} s)", pins.version, paths::shown(libtorch));
    Ok(())
}

/// Removes what a set-up by other pins left: CUDA libraries of another libtorch would be opened beside this one. What `checked` has is right by
/// now; of the rest stays what is as one of `all` pins says.
fn remove_others(all: &Pins, checked: &Pins, libtorch: &Path) -> Result<()> {
    for path in files::list(&libraries(libtorch), |_| true)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_right = match all.library(&name) {
            Some(library) => checked.library(&name).is_some() || fault(&path, library)?.is_none(),
            None => name == LINKER_SCRIPT_FILE,
        };
        if !is_right {
            files::remove(&path)?;
            println!("removed {}, which is not of this libtorch", paths::shown(&path));
        }
    }
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
        if !is_right(&destination, library)? {
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

/// The headers among the names of a wheel's files. A name that any system would take for a place outside the folder is none of them.
fn headers<'a>(include: &'a Include, names: &'a [String], folder: &'a Path) -> impl Iterator<Item = Member> + 'a {
    names.iter().filter(|name| !name.ends_with('/')).filter_map(move |name| {
        let relative = name.strip_prefix(&include.member_prefix)?;
        is_below(relative).then(|| Member { name: name.clone(), destination: folder.join(relative), sha256: None })
    })
}

/// Whether a name of a wheel's file lies below the folder that it is joined to, on Windows, too, to which more characters mean something.
fn is_below(name: &str) -> bool {
    let is_plain = |part: &str| Path::new(part).components().eq([Component::Normal(part.as_ref())]);
    !name.contains(['\\', ':']) && name.split('/').all(is_plain)
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

/// Whether a library is there, whole, and as its pin says; says so where it is there and is not.
fn is_right(path: &Path, library: &Library) -> Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    let fault = fault(path, library)?;
    if let Some(fault) = &fault {
        eprintln!("{} {fault}: fetching it again", path.display());
    }
    Ok(fault.is_none())
}

/// In what a library that is there differs from its pin.
fn fault(path: &Path, library: &Library) -> Result<Option<String>> {
    let Library { size_bytes, sha256, .. } = library;
    let num_bytes = path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
    if num_bytes != *size_bytes {
        return Ok(Some(format!("has {num_bytes} bytes, expected {size_bytes}")));
    }
    let found = digest::file(path)?;
    Ok((found != *sha256).then(|| format!("has SHA-256 {found}, expected {sha256}")))
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
    println!("libtorch is in {}, as you unpacked it", paths::shown(libtorch));
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

    /// Pins of one library that is always wanted and two for CUDA, each of which holds its own file name, and the folder in which they lie.
    fn example() -> (Pins, tempfile::TempDir) {
        let library = |name: &str, cuda: bool| {
            let (size_bytes, sha256) = (name.len(), digest::text(name));
            format!(
                "[[package.library]]\nmember = 'lib/{name}'\nsize_bytes = {size_bytes}\nsha256 = '{sha256}'\ncuda = {cuda}\n"
            )
        };
        let table = format!(
            "version = '1'\nwheel_platforms = []\n\
             [include]\npackage = 'torch'\nmember_prefix = ''\nnum_files = 0\nsize_bytes = 0\ntree_sha256 = ''\n\
             [[package]]\nname = 'torch'\nversion = '1'\nwheel_sha256 = ''\n{}{}{}",
            library("cpu.so", false),
            library("cuda.so", true),
            library("linalg.so", true),
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(libraries(folder.path())).expect("a folder");
        (toml::from_str(&table).expect("a table"), folder)
    }

    fn write_library(folder: &tempfile::TempDir, name: &str, text: &str) {
        fs::write(libraries(folder.path()).join(name), text).expect("a library");
    }

    #[test]
    fn of_what_other_pins_left_only_what_these_pin_stays() {
        let (pins, folder) = example();
        let (checked, _) = example();
        for name in ["cpu.so", "cuda.so", "libtorch.so"] {
            write_library(&folder, name, name);
        }
        write_library(&folder, "linalg.so", "of the libtorch before");
        write_library(&folder, "nvrtc.so.12", "that no pin knows");
        remove_others(&pins, &checked.select(|_| false), folder.path()).expect("what is right");
        let left = files::list(&libraries(folder.path()), |_| true).expect("a list");
        assert_eq!(left, ["cpu.so", "cuda.so", "libtorch.so"].map(|name| libraries(folder.path()).join(name)));
    }

    #[test]
    fn verifying_is_of_the_cuda_libraries_that_are_there_and_asks_for_no_others() {
        let (_, folder) = example();
        write_library(&folder, "cuda.so", "damaged or not");
        let names = |args: SetupArgs| {
            let pins = asked_for(example().0, &args, folder.path());
            pins.libraries().map(|(_, library)| library.file_name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(SetupArgs::default()), ["cpu.so"]);
        assert_eq!(names(SetupArgs { verify: true, ..SetupArgs::default() }), ["cpu.so", "cuda.so"]);
        assert_eq!(names(SetupArgs { cuda: true, ..SetupArgs::default() }), ["cpu.so", "cuda.so", "linalg.so"]);
    }

    #[test]
    fn a_header_lies_below_its_folder_on_every_system_or_is_none() {
        for name in ["a.h", "ATen/ops/add.h", "c10/..h"] {
            assert!(is_below(name), "{name}");
        }
        for name in
            ["", "..", "../a.h", "a/../../b.h", "/a.h", "a//b.h", "./a.h", "C:a.h", "a/C:/b.h", "..\\a.h", "a\\b.h"]
        {
            assert!(!is_below(name), "{name}");
        }
    }

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
