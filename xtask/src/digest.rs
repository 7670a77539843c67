//! SHA-256 of files and of folders.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Lower-case hexadecimal.
pub fn hex(digest: &[u8]) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::with_capacity(2 * digest.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

/// SHA-256 of a text.
pub fn text(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// SHA-256 of a file.
pub fn file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))? {
            0 => return Ok(hex(&hasher.finalize())),
            num_bytes => hasher.update(&buffer[..num_bytes]),
        }
    }
}

/// SHA-256 of a folder: of the lines `<sha256 of the file>  <path with slashes>`, sorted by path; what `sha256sum` over the
/// sorted list of files prints, hashed once more.
pub fn tree(folder: &Path) -> Result<String> {
    let mut named = Vec::new();
    for path in files(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let relative = path.strip_prefix(folder).expect("a file found in the folder");
        let with_slashes: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        named.push((with_slashes.join("/"), path));
    }
    // Not by the paths themselves: what stands between folders sorts elsewhere on Windows.
    named.sort_unstable();
    let mut hasher = Sha256::new();
    for (name, path) in named {
        hasher.update(format!("{}  {name}\n", file(&path)?));
    }
    Ok(hex(&hasher.finalize()))
}

/// Number and summed size in bytes of the files of a folder; (0, 0) where there is none.
pub fn census(folder: &Path) -> (usize, u64) {
    let paths = files(folder).unwrap_or_default();
    let size_bytes = paths.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum();
    (paths.len(), size_bytes)
}

/// Every file below a folder, in no order.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_has_the_digest_that_sha256sum_prints() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("abc");
        fs::write(&path, "abc").expect("a file");
        assert_eq!(file(&path).expect("a digest"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_tree_changes_its_digest_with_a_name_or_a_byte() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("sub")).expect("a folder");
        fs::write(folder.path().join("sub/a"), "1").expect("a file");
        let before = tree(folder.path()).expect("a digest");
        fs::write(folder.path().join("sub/a"), "2").expect("a file");
        let other_byte = tree(folder.path()).expect("a digest");
        fs::write(folder.path().join("sub/a"), "1").expect("a file");
        fs::rename(folder.path().join("sub/a"), folder.path().join("sub/b")).expect("a new name");
        let other_name = tree(folder.path()).expect("a digest");
        assert!(before != other_byte && before != other_name);
        assert_eq!(census(folder.path()), (1, 1));
    }
}
