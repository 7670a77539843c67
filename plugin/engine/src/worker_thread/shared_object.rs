//! A look at a shared library before it is opened, and the opening.
//!
//! `dlopen` maps what the file's headers say without asking whether the file is that long: with half a file it dies by a bus
//! error and takes the host along. An interrupted copy is common enough to look first.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// What is wrong with a file that cannot be opened as a library.
#[derive(Debug, thiserror::Error)]
pub enum SharedObjectError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Its headers promise more than there is.
    #[error("is torn: expected at least {expected_bytes} bytes, got {actual_bytes}")]
    Torn {
        /// End of the last segment or table.
        expected_bytes: u64,
        /// Length of the file.
        actual_bytes: u64,
    },
    /// It is something else.
    #[error("is not a shared library of this system")]
    NotOne,
}

/// Checks that the file is as long as its headers say. On systems without ELF the loader does this itself.
pub fn check_whole(path: &Path) -> Result<(), SharedObjectError> {
    let mut file = File::open(path)?;
    let actual_bytes = file.metadata()?.len();
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let mut header = [0_u8; 64];
    file.read_exact(&mut header).map_err(|_| SharedObjectError::NotOne)?;
    // ELF-64, little endian (gABI, "ELF header"): magic, class 2, encoding 1.
    if header[..6] != *b"\x7fELF\x02\x01" {
        return Err(SharedObjectError::NotOne);
    }
    let (phoff, shoff) = (u64_at(&header, 32), u64_at(&header, 40));
    let (phentsize, phnum) = (u64::from(u16_at(&header, 54)), u64::from(u16_at(&header, 56)));
    let (shentsize, shnum) = (u64::from(u16_at(&header, 58)), u64::from(u16_at(&header, 60)));
    let mut expected_bytes = phoff.saturating_add(phentsize * phnum).max(shoff.saturating_add(shentsize * shnum));
    if expected_bytes <= actual_bytes && phentsize >= 56 {
        file.seek(SeekFrom::Start(phoff))?;
        let mut segment = vec![0_u8; phentsize as usize];
        for _ in 0..phnum {
            file.read_exact(&mut segment)?;
            let (offset, file_size) = (u64_at(&segment, 8), u64_at(&segment, 32));
            expected_bytes = expected_bytes.max(offset.saturating_add(file_size));
        }
    }
    if expected_bytes > actual_bytes {
        return Err(SharedObjectError::Torn { expected_bytes, actual_bytes });
    }
    Ok(())
}

/// Whether this process has a library of this file's name, whoever opened it and from wherever. Not known on macOS where it was opened by a
/// whole path: no then.
#[cfg(unix)]
pub fn is_loaded(path: &Path) -> bool {
    use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};

    // SAFETY: nothing is loaded, and so nothing of it run: what is not there already is an error.
    path.file_name()
        .is_some_and(|name| unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_LOCAL | libc::RTLD_NOLOAD) }.is_ok())
}

/// Whether this process has a library of this file's name, whoever opened it and from wherever.
#[cfg(windows)]
pub fn is_loaded(path: &Path) -> bool {
    path.file_name().is_some_and(|name| libloading::os::windows::Library::open_already_loaded(name).is_ok())
}

/// Opens a library whose own libraries lie in its folder or in `libraries`.
///
/// # Safety
/// Its initialisers run, and those of the libraries that it brings along.
#[cfg(unix)]
pub unsafe fn open(path: &Path, _libraries: &Path) -> Result<libloading::Library, libloading::Error> {
    // Its run path says where they are.
    // SAFETY: the caller's.
    unsafe { libloading::Library::new(path) }
}

/// Opens a library whose own libraries lie in its folder or in `libraries`.
///
/// # Safety
/// Its initialisers run, and those of the libraries that it brings along.
#[cfg(windows)]
pub unsafe fn open(path: &Path, libraries: &Path) -> Result<libloading::Library, libloading::Error> {
    use std::os::windows::ffi::OsStrExt;

    use libloading::os::windows::{
        LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR, LOAD_LIBRARY_SEARCH_SYSTEM32, LOAD_LIBRARY_SEARCH_USER_DIRS, Library,
    };
    use windows_sys::Win32::System::LibraryLoader::AddDllDirectory;

    // There are no run paths here: unless it is told, the system looks in the host's own folder and along PATH, where other libraries of
    // these names may lie (OpenMP's is common). Both calls want
    // whole paths with backslashes; where there is none to be had, the second says what is wrong.
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let libraries: Vec<u16> = whole(libraries).as_os_str().encode_wide().chain([0]).collect();
    // Never taken back: libtorch opens more of its own libraries when a card is asked for.
    // SAFETY: the path ends with a zero.
    unsafe { AddDllDirectory(libraries.as_ptr()) };
    // SAFETY: the caller's.
    unsafe {
        Library::load_with_flags(
            whole(path),
            LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_USER_DIRS | LOAD_LIBRARY_SEARCH_SYSTEM32,
        )
    }
    .map(Into::into)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_has_is_known_by_its_name() {
        assert!(is_loaded(Path::new("anywhere/libc.so.6")));
        assert!(!is_loaded(Path::new("lib/libtorch/libtorch_cpu.so")));
    }

    #[test]
    fn a_whole_file_passes_and_any_torn_one_is_refused() {
        let whole = std::env::current_exe().unwrap();
        check_whole(&whole).unwrap();
        let bytes = std::fs::read(&whole).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let torn = folder.path().join("torn.so");
        for len in [bytes.len() - 1, bytes.len() / 2, 4096, 64] {
            std::fs::write(&torn, &bytes[..len]).unwrap();
            assert!(matches!(check_whole(&torn), Err(SharedObjectError::Torn { .. })), "{len} bytes");
        }
        std::fs::write(&torn, &bytes[..10]).unwrap();
        assert!(matches!(check_whole(&torn), Err(SharedObjectError::NotOne)));
        std::fs::write(&torn, "INPUT(-ltorch_cpu)".repeat(10)).unwrap();
        assert!(matches!(check_whole(&torn), Err(SharedObjectError::NotOne)));
    }
}
