//! Copies that never leave half a file under its own name, and never write into a file that a running host has open.

use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Copies a file; its folder is made where it is missing.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let part = beside(to, "part");
    make_parent(to)?;
    fs::copy(from, &part)
        .and_then(|_| fs::rename(&part, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Writes a text; its folder is made where it is missing.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let part = beside(path, "part");
    make_parent(path)?;
    fs::write(&part, text)
        .and_then(|()| fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
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

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{extension}-{}", std::process::id()));
    path.with_file_name(name)
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
