//! Copies that never leave half a file under its own name, and never write into a file that a running host has open.

use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A file on its way: written under another name beside its own, which it takes when it is whole. Given up before, it is removed.
///
/// The other name is the same in every process: whoever knows a file's own name can remove what an interrupted one left.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    destination: PathBuf,
}

impl Part {
    /// What is to become `destination`, whose folder is made where it is missing. Nothing is written yet.
    pub fn of(destination: &Path) -> Result<Self> {
        let folder = destination.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self { path: part_of(destination), destination: destination.to_path_buf() })
    }

    /// Where it is to be written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is to become.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// It is whole: gives it its name, in place of whatever file has it.
    pub fn finish(self) -> Result<()> {
        fs::rename(&self.path, &self.destination)
            .with_context(|| format!("cannot write {}", self.destination.display()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is not there once it has its name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the file `destination` is while it is written.
pub fn part_of(destination: &Path) -> PathBuf {
    let mut name = destination.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    destination.with_file_name(name)
}

/// Copies a file; its folder is made where it is missing.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let part = Part::of(to)?;
    fs::copy(from, part.path())
        .map_err(anyhow::Error::from)
        .and_then(|_| part.finish())
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Writes a text; its folder is made where it is missing.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let part = Part::of(path)?;
    fs::write(part.path(), text).with_context(|| format!("cannot write {}", path.display()))?;
    part.finish()
}

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
        fs::write(part.path(), "half").expect("a file");
        assert_eq!(list(folder.path(), |_| true).expect("a list"), [folder.path().join("a.wav.part")]);
        drop(part);
        assert!(copy(&folder.path().join("nothing"), &folder.path().join("b")).is_err());
        assert_eq!(list(folder.path(), |_| true).expect("a list").len(), 0);
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
