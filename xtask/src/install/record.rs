//! What was installed, so that just that can be removed: one path per line in `installed.txt` of the data folder.

use crate::files;
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Name of the record in the data folder.
const FILE: &str = "installed.txt";

/// The record of one data folder.
pub struct Record {
    file: PathBuf,
    paths: Vec<PathBuf>,
}

impl Record {
    /// Whether `data` is the data folder of an installation, by whatever path it is given.
    pub fn is_in(data: &Path) -> bool {
        data.join(FILE).is_file()
    }

    /// Reads the record; one that is not there is empty.
    pub fn read(data: &Path) -> Result<Self> {
        let file = data.join(FILE);
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Self { file, paths: text.lines().map(PathBuf::from).collect() }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self { file, paths: Vec::new() }),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Adds a path, once, and saves the record.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        if !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_path_buf());
        }
        self.save()
    }

    /// Drops a path and saves the record.
    pub fn forget(&mut self, path: &Path) -> Result<()> {
        self.paths.retain(|known| known != path);
        self.save()
    }

    fn save(&self) -> Result<()> {
        let lines: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
        files::write(&self.file, &(lines.join("\n") + "\n"))
    }

    /// The paths, in the order they were added.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether nothing is installed.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Removes the record itself, and what an interrupted installation left of its next version.
    pub fn remove(self) -> Result<()> {
        files::remove_part(&self.file)?;
        files::remove(&self.file)
    }
}
