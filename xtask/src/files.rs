//! Copies that never leave half a file under its own name, and never write into a file that a running host has open.

use anyhow::{Context, Result};
use same_file::Handle;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A file on its way: written under another name beside its own, which it takes when it is whole. Given up before, it is removed.
///
/// The other name is the same in every process: whoever knows a file's own name can remove what an interrupted one left. So it is locked
/// for as long as this exists, for no other process to write half of its own into it; the lock of an interrupted one is gone with it.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    destination: PathBuf,
    /// Locked. Where locks keep others from writing, they keep this process from it, too, but through this.
    file: File,
    /// What another process left there is still there.
    is_foreign: bool,
    /// It has its own name.
    is_finished: bool,
}

/// Another process writes the same file.
#[derive(Debug, thiserror::Error)]
#[error(
    "another command is writing {}: wait until it has ended and do this again, or name another place for what this one writes",
    .path.display()
)]
pub struct PartHeld {
    /// Where the file is while it is written.
    pub path: PathBuf,
}

impl Part {
    /// What is to become `destination`, whose folder is made where it is missing. Empty so far.
    ///
    /// # Errors
    /// [`PartHeld`], where another process is at it.
    pub fn of(destination: &Path) -> Result<Self> {
        let mut part = Self::hold(destination)?;
        part.empty()?;
        Ok(part)
    }

    /// The same, with what another process left there, which stays until this is emptied: given up before, it is not removed.
    ///
    /// # Errors
    /// [`PartHeld`], where another process is at it.
    pub fn hold(destination: &Path) -> Result<Self> {
        make_parent(destination)?;
        let path = part_of(destination);
        let file = open_locked(&path)?;
        let is_foreign = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
        Ok(Self { path, destination: destination.to_path_buf(), file, is_foreign, is_finished: false })
    }

    /// Removes what another process left in it.
    pub fn empty(&mut self) -> Result<()> {
        self.file.set_len(0).with_context(|| format!("cannot write {}", self.path.display()))?;
        self.is_foreign = false;
        Ok(())
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is to become.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Through which it is written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Waits until all that was written is on the disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// It is whole: gives it its name, in place of whatever file has it. It is on the disk by then: after a power cut the name must not
    /// lead to an empty file where there was a whole one.
    pub fn finish(&mut self) -> Result<()> {
        self.sync()?;
        fs::rename(&self.path, &self.destination).with_context(|| {
            // A loaded library cannot be replaced there.
            let hint = if cfg!(windows) { "; if a host has it open, close that first" } else { "" };
            format!("cannot write {}{hint}", self.destination.display())
        })?;
        self.is_finished = true;
        // Where locks keep others from reading, too. At the latest it ends with this.
        let _ = self.file.unlock();
        Ok(())
    }

    /// It is whole, and stays whether it has its name or not. Says where it is.
    pub fn keep(mut self) -> PathBuf {
        let place = if self.is_finished { &self.destination } else { &self.path };
        let place = place.clone();
        self.is_finished = true;
        place
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Once it has its name the other one is free, and may be another process's by now.
        if !self.is_finished && !self.is_foreign {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a part, whether there is one or not, for this process alone.
fn open_locked(path: &Path) -> Result<File> {
    let fail = || format!("cannot write {}", path.display());
    loop {
        if path.is_symlink() {
            // What it leads to is nobody's part.
            fs::remove_file(path).with_context(fail)?;
        }
        let file = File::options().write(true).create(true).truncate(false).open(path).with_context(fail)?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(PartHeld { path: path.to_path_buf() }.into()),
            // On such a file system nobody can tell.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => (),
            Err(TryLockError::Error(error)) => return Err(error).with_context(fail),
        }
        // Between opening and lock whoever had it may have given it its own name, or removed it.
        let locked = file.try_clone().and_then(Handle::from_file).with_context(fail)?;
        if Handle::from_path(path).is_ok_and(|there| there == locked) {
            return Ok(file);
        }
    }
}

/// Where the file `destination` is while it is written.
pub fn part_of(destination: &Path) -> PathBuf {
    let mut name = destination.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    destination.with_file_name(name)
}

/// Removes what an interrupted process left of `destination`. Whether there was anything.
///
/// # Errors
/// [`PartHeld`], where a process is still at it.
pub fn remove_part(destination: &Path) -> Result<bool> {
    let is_there = part_of(destination).symlink_metadata().is_ok();
    if is_there {
        drop(Part::of(destination)?);
    }
    Ok(is_there)
}

/// Makes sure that no other process is writing `destination`, and changes nothing.
///
/// # Errors
/// [`PartHeld`], where one is.
pub fn require_not_held(destination: &Path) -> Result<()> {
    if part_of(destination).symlink_metadata().is_ok() {
        Part::hold(destination)?;
    }
    Ok(())
}

/// The turn of one of several commands that would be in each other's way; the next one's, when it is dropped or the command ends.
#[derive(Debug)]
pub struct Turn {
    /// Locked.
    _file: File,
}

impl Turn {
    /// Waits for it, where another process has it: `told` is called first. All that want it name the same file, which stays.
    pub fn take(path: &Path, told: impl FnOnce()) -> Result<Self> {
        make_parent(path)?;
        let fail = || format!("cannot lock {}", path.display());
        let file = File::options().write(true).create(true).truncate(false).open(path).with_context(fail)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                told();
                file.lock().with_context(fail)?;
            }
            // On such a file system nobody can tell.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => (),
            other => other.with_context(fail)?,
        }
        Ok(Self { _file: file })
    }
}

/// Copies a file and its permissions; its folder is made where it is missing.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut part = Part::of(to)?;
    let fail = || format!("cannot copy {} to {}", from.display(), to.display());
    let mut source = File::open(from).with_context(fail)?;
    io::copy(&mut source, &mut part.file()).with_context(fail)?;
    source.metadata().and_then(|source| part.file().set_permissions(source.permissions())).with_context(fail)?;
    part.finish()
}

/// Writes a text; its folder is made where it is missing.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let mut part = Part::of(path)?;
    part.file().write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    part.finish()
}

/// Whether [`link_folder`] makes links, and no copies.
pub const HAS_LINKS: bool = cfg!(unix);

/// Makes `link` lead to `to`, in place of whatever link or folder is there; copies where the system has no links.
pub fn link_folder(to: &Path, link: &Path) -> Result<()> {
    make_parent(link)?;
    remove(link)?;
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(to, link);
    #[cfg(not(unix))]
    let linked = copy_folder(&link.parent().unwrap_or(Path::new("")).join(to), link);
    linked.with_context(|| format!("cannot link {} to {}", link.display(), to.display()))
}

#[cfg(not(unix))]
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir()? {
        let entry = entry?;
        let destination = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &destination)?;
        } else {
            fs::copy(entry.path(), destination)?;
        }
    }
    Ok(())
}

/// Has the folder `to` hold copies of those files of `from` that `wanted` accepts, and no others. A link in its place is replaced: what it leads
/// to is not written to.
pub fn mirror(from: &Path, to: &Path, wanted: impl Fn(&Path) -> bool) -> Result<()> {
    if to.is_symlink() {
        remove(to)?;
    }
    let files = list(from, wanted)?;
    for file in &files {
        copy(file, &to.join(file.file_name().context("a file has a name")?))?;
    }
    let is_copy = |path: &Path| files.iter().any(|file| file.file_name() == path.file_name());
    list(to, |path| !is_copy(path))?.iter().try_for_each(|other| remove(other))
}

/// Removes a file, a link or a whole folder; nothing there is fine.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

/// The files of a folder that `wanted` accepts, sorted.
pub fn list(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        if entry.path().is_file() && wanted(&entry.path()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file is a TorchScript model, by its name.
pub fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pt")
}

/// Whether a file is a library that the backend opens, by its name. The linker script and what an interrupted set-up left are of no use
/// at run time.
pub fn is_run_time_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_library = name.contains(std::env::consts::DLL_SUFFIX) && !name.contains(".part");
    is_library && name != "libtorch.so"
}

fn make_parent(path: &Path) -> Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_replaces_the_file_and_leaves_no_part() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("sub/to"));
        for text in ["one", "two"] {
            fs::write(&from, text).expect("a file");
            copy(&from, &to).expect("a copy");
            assert_eq!(fs::read_to_string(&to).expect("the copy"), text);
        }
        assert_eq!(list(to.parent().expect("a folder"), |_| true).expect("a list").len(), 1);
    }

    #[test]
    fn a_file_that_is_given_up_leaves_neither_a_part_nor_its_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let part = Part::of(&folder.path().join("a.wav")).expect("a part");
        part.file().write_all(b"half").expect("a file");
        assert_eq!(list(folder.path(), |_| true).expect("a list"), [folder.path().join("a.wav.part")]);
        drop(part);
        assert!(copy(&folder.path().join("nothing"), &folder.path().join("b")).is_err());
        assert_eq!(list(folder.path(), |_| true).expect("a list").len(), 0);
    }

    #[test]
    fn what_another_command_writes_is_left_to_it_until_it_has_ended() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        write(&from, "this one's").expect("a file");
        let mut part = Part::of(&to).expect("a part");
        part.file().write_all(b"the oth").expect("half a file");
        let attempts: [&dyn Fn() -> Result<()>; 3] =
            [&|| copy(&from, &to), &|| write(&to, "text"), &|| remove_part(&to).map(drop)];
        for attempt in attempts {
            let error = attempt().expect_err("another one is at it");
            assert_eq!(error.downcast_ref::<PartHeld>().expect("the reason").path, part_of(&to));
            assert!(error.to_string().contains("wait until it has ended"), "{error}");
        }
        part.file().write_all(b"er's").expect("the other half");
        part.finish().expect("a whole file");
        assert_eq!(fs::read_to_string(&to).expect("the file"), "the other's");
        // It is still there, but its other name is free.
        copy(&from, &to).expect("a copy");
        let next = Part::of(&to).expect("a part");
        drop(part);
        assert!(next.path().exists(), "it is not the first one's any more");
        assert_eq!(fs::read_to_string(&to).expect("the copy"), "this one's");
    }

    #[test]
    fn what_an_interrupted_command_left_is_no_hindrance_and_nothing_of_it_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let to = folder.path().join("to");
        for text in ["short", ""] {
            fs::write(part_of(&to), "left half written").expect("half a file");
            write(&to, text).expect("a file");
            assert_eq!(fs::read_to_string(&to).expect("the file"), text);
        }
        assert!(!remove_part(&to).expect("nothing to remove"));
        fs::write(part_of(&to), "left half written").expect("half a file");
        assert!(remove_part(&to).expect("it is removed"));
        assert_eq!(list(folder.path(), |_| true).expect("a list"), [to]);
    }

    #[test]
    fn a_part_that_is_only_held_keeps_what_another_command_left_in_it_and_an_empty_one_does_not_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let to = folder.path().join("to");
        require_not_held(&to).expect("nobody has it");
        drop(Part::hold(&to).expect("a part"));
        assert_eq!(list(folder.path(), |_| true).expect("a list").len(), 0);
        fs::write(part_of(&to), "whole").expect("a file");
        let held = Part::hold(&to).expect("a part");
        assert!(require_not_held(&to).expect_err("somebody has it").is::<PartHeld>());
        drop(held);
        require_not_held(&to).expect("nobody has it");
        assert_eq!(fs::read_to_string(part_of(&to)).expect("the part"), "whole");
        let mut emptied = Part::hold(&to).expect("a part");
        emptied.empty().expect("an empty part");
        drop(emptied);
        assert_eq!(list(folder.path(), |_| true).expect("a list").len(), 0);
    }

    #[test]
    fn of_many_that_write_one_file_at_once_each_writes_all_of_it_or_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let to = folder.path().join("to");
        let texts = ["a", "b", "c", "d"].map(|letter| letter.repeat(100_000));
        write(&to, &texts[0]).expect("a file");
        std::thread::scope(|scope| {
            for text in &texts {
                let to = &to;
                scope.spawn(move || {
                    for _ in 0..200 {
                        if let Err(error) = write(to, text) {
                            assert!(error.is::<PartHeld>(), "{error:#}");
                        }
                        let found = fs::read_to_string(to).expect("the file");
                        assert!(found.len() == text.len() && found.bytes().all(|byte| byte == found.as_bytes()[0]));
                    }
                });
            }
        });
        assert_eq!(list(folder.path(), |_| true).expect("a list"), [to]);
    }

    #[test]
    fn who_has_to_wait_for_a_turn_is_told_and_gets_it_when_the_other_is_done() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("sub/turn");
        let first = Turn::take(&path, || panic!("nobody else wants it")).expect("a turn");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Turn::take(&path, move || tell.send(()).expect("a listener")).map(drop));
            told.recv().expect("it waits");
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!second.is_finished());
            drop(first);
            second.join().expect("no panic").expect("a turn");
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_copy_may_be_run_where_the_file_may() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        write(&from, "").expect("a file");
        for mode in [0o755, 0o444] {
            fs::set_permissions(&from, fs::Permissions::from_mode(mode)).expect("its permissions");
            copy(&from, &to).expect("a copy");
            assert_eq!(to.metadata().expect("the copy").permissions().mode() & 0o777, mode);
        }
    }

    #[cfg(unix)]
    #[test]
    fn removing_a_link_leaves_what_it_led_to() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (kept, link) = (folder.path().join("kept"), folder.path().join("link"));
        fs::create_dir(&kept).expect("a folder");
        fs::write(kept.join("file"), "").expect("a file");
        link_folder(Path::new("kept"), &link).expect("a link");
        assert!(link.join("file").exists());
        link_folder(Path::new("kept"), &link).expect("the link again");
        remove(&link).expect("no link");
        assert!(!link.exists() && kept.join("file").exists());
    }
}
