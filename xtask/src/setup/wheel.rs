//! Takes files out of a wheel, be it remote or on disk.

use super::pins::{Package, Pins};
use super::range::{Chunks, RangeReader, Source};
use super::{http::HttpFile, index};
use crate::digest;
use crate::files::Part;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;
use zip::ZipArchive;

/// One file to take out.
#[derive(Clone)]
pub struct Member {
    /// Path inside the wheel.
    pub name: String,
    /// Where to put it.
    pub destination: PathBuf,
    /// Its pin: SHA-256, or nothing where the pin is the digest of a whole folder.
    pub sha256: Option<String>,
}

/// What is wanted of a wheel.
pub struct Order<'a> {
    /// Which files, given the names of all in it.
    pub choose: &'a dyn Fn(&[String]) -> Result<Vec<Member>>,
    /// Called when they are in their places; a [`Mismatch`] says that what came was damaged.
    pub check: &'a dyn Fn() -> Result<()>,
}

/// Takes the files that are ordered out of the wheel of a package of `pins`: by parts where the server sends parts, out of the whole wheel
/// otherwise. `downloads` keeps what is there of an interrupted attempt.
pub fn take(pins: &Pins, package: &Package, downloads: &Path, order: &Order) -> Result<()> {
    let wheel = index::resolve(pins, package)?;
    if let Some(address) = wheel.url.strip_prefix("file://") {
        let path = local_path(address, cfg!(windows)).with_context(|| format!("{} is no path here", wheel.url))?;
        return take_local(&path, order);
    }
    match HttpFile::open(&wheel.url) {
        Ok(file) => {
            let chunks = Chunks::new(file, downloads.join(&package.wheel_sha256))?;
            // Chunks that an interrupted attempt left may be damaged: once more without them.
            take_remote(package, &chunks, order).or_else(|error| {
                if error.downcast_ref::<Mismatch>().is_none() {
                    return Err(error);
                }
                eprintln!("{error:#}; fetching it again");
                chunks.forget()?;
                take_remote(package, &chunks, order)
            })
        }
        Err(error) => {
            eprintln!("{error:#}; downloading the whole wheel instead");
            let path = index::download(pins, package, &downloads.join(format!("{}.wheel", package.wheel_sha256)))?;
            let found = digest::file(&path)?;
            if found != package.wheel_sha256 {
                bail!("{} has SHA-256 {found}, expected {}", path.display(), package.wheel_sha256);
            }
            take_local(&path, order)
        }
    }
}

/// The path in a `file:` address, given what follows its `//`: a host, mostly none, and a path from its root. On Windows a root is a drive's or
/// another machine's; elsewhere no path leads to another machine.
fn local_path(address: &str, is_windows: bool) -> Option<PathBuf> {
    let address = percent_decode_str(address).decode_utf8().ok()?;
    let path = address.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(&address);
    let is_of_drive = |path: &str| matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    match path.strip_prefix('/') {
        Some(of_drive) if is_windows && is_of_drive(of_drive) => Some(of_drive.into()),
        Some(_) => Some(path.into()),
        None if is_windows => Some(format!("//{path}").into()),
        None => None,
    }
}

/// A file that is not what its pin says.
#[derive(Debug)]
pub struct Mismatch {
    /// The file and the two digests.
    pub message: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Mismatch {}

fn take_local(path: &Path, order: &Order) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).with_context(|| format!("{} is torn", path.display()))?;
    let members = (order.choose)(&names(&archive)?)?;
    extract(&mut archive, &members)?;
    (order.check)()
}

fn take_remote<S: Source>(package: &Package, chunks: &Chunks<S>, order: &Order) -> Result<()> {
    let start = Instant::now();
    let mut archive = ZipArchive::new(RangeReader::new(chunks)).map_err(|error| Mismatch {
        message: format!("the list of files in {}'s wheel is damaged: {error}", package.name),
    })?;
    let members = (order.choose)(&names(&archive)?)?;
    let ranges = spans(&archive, &members)?;
    let bar = ProgressBar::new(chunks.prefetch_bytes(&ranges));
    let style = "{prefix:24} {bar:32} {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4}";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    bar.set_prefix(format!("{} {}", package.name, package.version));
    chunks.prefetch(&ranges, &|bytes| bar.inc(bytes))?;
    bar.finish_and_clear();
    extract(&mut archive, &members)?;
    (order.check)()?;
    let (mib, seconds) = (bar.position() as f64 / f64::from(1 << 20), start.elapsed().as_secs_f64());
    eprintln!("{} {}: {} files out of {mib:.0} MiB in {seconds:.1} s", package.name, package.version, members.len());
    Ok(())
}

/// Where the wanted members lie in the wheel, headers included: each from its own header to that of the next file.
fn spans<R: Read + Seek>(archive: &ZipArchive<R>, members: &[Member]) -> Result<Vec<Range<u64>>> {
    let mut starts = vec![archive.central_directory_start()];
    for member_idx in 0..archive.len() {
        starts.push(archive.by_index_data(member_idx)?.header_start());
    }
    starts.sort_unstable();
    let span = |member: &Member| -> Result<Range<u64>> {
        let member_idx = archive.index_for_name(&member.name).with_context(|| format!("no {} in it", member.name))?;
        let start = archive.by_index_data(member_idx)?.header_start();
        let next_idx = starts.partition_point(|&other| other <= start);
        Ok(start..starts.get(next_idx).copied().unwrap_or(start + 1))
    };
    members.iter().map(span).collect()
}

fn names<R: Read + Seek>(archive: &ZipArchive<R>) -> Result<Vec<String>> {
    archive.file_names().map(|name| Ok(name?.into_owned())).collect()
}

/// Writes the members to their places. A file is under its own name only when it is whole and as its pin says.
fn extract<R: Read + Seek>(archive: &mut ZipArchive<R>, members: &[Member]) -> Result<()> {
    for member in members {
        let mut source =
            archive.by_name(&member.name).with_context(|| format!("the wheel holds no {}", member.name))?;
        let destination = &member.destination;
        let mut part = Part::of(destination)?;
        let found = copy(&mut source, member, part.file())?;
        if let Some(expected) = member.sha256.as_ref().filter(|expected| **expected != found) {
            let message = format!("{} has SHA-256 {found}, expected {expected}", member.name);
            return Err(Mismatch { message }.into());
        }
        part.finish()?;
    }
    Ok(())
}

/// Copies and returns the SHA-256 of what was copied. What cannot be read is a [`Mismatch`]; what cannot be written is not, for it would
/// not help to fetch it again.
fn copy(source: &mut impl Read, member: &Member, destination: &File) -> Result<String> {
    let mut file = BufWriter::with_capacity(1 << 20, destination);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let writing = || format!("cannot write {}", member.destination.display());
    loop {
        let read = source.read(&mut buffer);
        match read.map_err(|error| Mismatch { message: format!("cannot unpack {}: {error}", member.name) })? {
            0 => break,
            num_bytes => {
                hasher.update(&buffer[..num_bytes]);
                file.write_all(&buffer[..num_bytes]).with_context(writing)?;
            }
        }
    }
    file.flush().with_context(writing)?;
    Ok(digest::hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    /// A wheel on disk with two files of some size.
    fn wheel(folder: &Path) -> PathBuf {
        let path = folder.join("a.whl");
        let mut writer = ZipWriter::new(File::create(&path).expect("a file"));
        for name in ["lib/one", "lib/two"] {
            writer.start_file(name, SimpleFileOptions::default()).expect("a member");
            writer.write_all(name.repeat(1000).as_bytes()).expect("its content");
        }
        writer.finish().expect("a whole archive");
        path
    }

    fn member(folder: &Path, sha256: Option<String>) -> Member {
        Member { name: "lib/two".into(), destination: folder.join("out/two"), sha256 }
    }

    #[test]
    fn a_file_address_is_the_path_that_its_system_opens() {
        let path = |address: &str, is_windows: bool| {
            let path = local_path(address, is_windows)?;
            Some(path.to_str().expect("UTF-8").to_owned())
        };
        for (address, on_windows, elsewhere) in [
            ("/srv/a%20wheel.whl", "/srv/a wheel.whl", Some("/srv/a wheel.whl")),
            ("localhost/srv/a.whl", "/srv/a.whl", Some("/srv/a.whl")),
            ("/D:/wheels/a%2Bcpu.whl", "D:/wheels/a+cpu.whl", Some("/D:/wheels/a+cpu.whl")),
            ("localhost/D:/a.whl", "D:/a.whl", Some("/D:/a.whl")),
            // Both forms that Python writes of a share.
            ("server/wheels/a.whl", "//server/wheels/a.whl", None),
            ("//server/wheels/a.whl", "//server/wheels/a.whl", Some("//server/wheels/a.whl")),
        ] {
            assert_eq!(path(address, true).as_deref(), Some(on_windows), "{address}");
            assert_eq!(path(address, false).as_deref(), elsewhere, "{address}");
        }
    }

    #[test]
    fn a_member_with_the_right_pin_is_put_in_its_place() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pin = digest::text(&"lib/two".repeat(1000));
        let choose = |names: &[String]| {
            assert_eq!(names, ["lib/one", "lib/two"]);
            Ok(vec![member(folder.path(), Some(pin.clone()))])
        };
        let order = Order { choose: &choose, check: &|| Ok(()) };
        take_local(&wheel(folder.path()), &order).expect("the member");
        assert_eq!(digest::file(&folder.path().join("out/two")).expect("a digest"), pin);
    }

    #[test]
    fn a_member_with_another_digest_never_gets_its_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let wrong = Some("0".repeat(64));
        let order = Order { choose: &|_| Ok(vec![member(folder.path(), wrong.clone())]), check: &|| Ok(()) };
        let error = take_local(&wheel(folder.path()), &order).expect_err("the digest differs");
        assert!(error.downcast_ref::<Mismatch>().is_some(), "{error}");
        assert!(!folder.path().join("out/two").exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_no_damaged_download() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let full = File::options().write(true).open("/dev/full").expect("a file to which nothing can be written");
        let member = member(folder.path(), None);
        let error =
            copy(&mut &*"lib/two".repeat(1000).into_bytes(), &member, &full).expect_err("nothing can be written");
        assert!(error.downcast_ref::<Mismatch>().is_none() && error.to_string().contains("out/two"), "{error}");
    }

    #[test]
    fn the_span_of_a_member_reaches_from_its_header_to_the_next() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let archive = ZipArchive::new(File::open(wheel(folder.path())).expect("a file")).expect("an archive");
        let spans = spans(&archive, &[member(folder.path(), None)]).expect("a span");
        assert_eq!(spans[0].end, archive.central_directory_start());
        assert!(spans[0].start > 0 && spans[0].start < spans[0].end);
    }
}
