//! Where the plugin's own files lie: libtorch, the backend and the model weights.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Environment variable that names the one folder to look in, for tests and unusual installations.
const HOME_VARIABLE: &str = "UNDERSCORE_HOME";

/// The folders to look in, in order.
///
/// Each has the same layout: `lib/` with the backend, `lib/libtorch/` with libtorch, `models/` with the weights. They are
/// found from the plugin's own binary, never from the process: the process is the DAW's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    roots: Vec<PathBuf>,
    /// Where the plugin may write.
    own: Option<PathBuf>,
}

impl Resources {
    /// The folders for a plugin whose binary lies at `own_binary`:
    /// * `$UNDERSCORE_HOME` alone, where it is set and not empty;
    /// * else `underscore.resources/` beside the binary (CLAP, standalone),
    /// * `../Resources/` of a bundle (VST3; on macOS the CLAP, too),
    /// * the user's data folder.
    #[must_use]
    pub fn locate(own_binary: Option<&Path>) -> Self {
        Self::named_or_beside(std::env::var_os(HOME_VARIABLE), own_binary)
    }

    fn named_or_beside(home: Option<OsString>, own_binary: Option<&Path>) -> Self {
        // Emptied is how a variable is unset where it cannot be removed.
        if let Some(home) = home.filter(|home| !home.is_empty()).map(PathBuf::from) {
            return Self { roots: vec![home.clone()], own: Some(home) };
        }
        let mut roots = Vec::new();
        if let Some(folder) = own_binary.and_then(Path::parent) {
            roots.push(folder.join("underscore.resources"));
            if let Some(contents) = folder.parent() {
                roots.push(contents.join("Resources"));
            }
        }
        let own = user_data_folder();
        roots.extend(own.clone());
        Self { roots, own }
    }

    /// The folders for the binary that this code is linked into.
    #[must_use]
    pub fn of_this_binary() -> Self {
        Self::locate(own_binary().as_deref())
    }

    /// One folder only, in which nothing is written.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { roots: vec![root.into()], own: None }
    }

    /// Where the plugin may write: the last folder to look in. None, where the environment names no such place.
    #[must_use]
    pub fn own_folder(&self) -> Option<&Path> {
        self.own.as_deref()
    }

    /// The first folder's file of this name that is there.
    #[must_use]
    pub fn find(&self, relative: &Path) -> Option<PathBuf> {
        // Part by part, so that a message does not show one path with two kinds of slashes.
        self.roots.iter().map(|root| root.iter().chain(relative).collect::<PathBuf>()).find(|path| path.exists())
    }

    /// The folders, for a message that says where a file was looked for.
    #[must_use]
    pub fn places(&self) -> String {
        self.roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Where the user's own files of the plugin lie; none, where the environment names no such place.
#[must_use]
pub fn user_data_folder() -> Option<PathBuf> {
    user_data_folder_by(|variable| std::env::var_os(variable).map(PathBuf::from))
}

/// By the folders that variables name. Only whole paths are: code is loaded from there, and what the others lead to is the host's choice.
fn user_data_folder_by(folder_of: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let folder_of = |variable| folder_of(variable).filter(|folder| folder.is_absolute());
    if cfg!(target_os = "macos") {
        Some(folder_of("HOME")?.join("Library/Application Support/Underscore"))
    } else if cfg!(windows) {
        // Of this machine: what lies in the other one, `APPDATA`, follows the user to every machine.
        Some(folder_of("LOCALAPPDATA")?.join("underscore"))
    } else {
        let data = folder_of("XDG_DATA_HOME").or_else(|| Some(folder_of("HOME")?.join(".local/share")));
        Some(data?.join("underscore"))
    }
}

/// Keeps the binary that this code is linked into in memory for as long as the process lives, whatever its host does: for code that may be
/// in some thread when the host unloads the plugin.
pub fn keep_this_binary_loaded() {
    let program = std::env::current_exe().and_then(std::fs::canonicalize).ok();
    if program.is_some() && own_binary() == program {
        // Nobody unloads a program.
        return;
    }
    if let Err(error) = keep_loaded() {
        tracing::warn!(
            "this binary cannot be kept loaded, and a host that unloads it while something in it hangs may end: {error}"
        );
    }
}

/// By the name that it was loaded by: the file may be another one by now, or gone.
#[cfg(unix)]
fn keep_loaded() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};

    let name = loaded_name().ok_or("the system does not know its name")?;
    // SAFETY: nothing is loaded, and so nothing of it run: what is not there already is an error.
    let library =
        unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_LOCAL | libc::RTLD_NOLOAD | libc::RTLD_NODELETE) };
    std::mem::forget(library.map_err(|error| error.to_string())?);
    Ok(())
}

#[cfg(not(unix))]
fn keep_loaded() -> Result<(), String> {
    let path = own_binary().ok_or("the system does not know its file")?;
    // SAFETY: this very binary is loaded: nothing of it is run once more.
    let library = unsafe { libloading::Library::new(&path) };
    std::mem::forget(library.map_err(|error| error.to_string())?);
    Ok(())
}

/// The file that holds this very function.
#[cfg(unix)]
fn own_binary() -> Option<PathBuf> {
    // The name may be a link (a plugin folder full of links is common): the files lie beside what it points to.
    std::fs::canonicalize(loaded_name()?).ok()
}

/// The name that the binary with this very function was loaded by.
#[cfg(unix)]
fn loaded_name() -> Option<&'static std::ffi::OsStr> {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;

    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: the address is that of a function of this binary and `info` is a valid place for the answer.
    let found = unsafe { libc::dladdr((loaded_name as *const ()).cast(), &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr succeeded, so the name is a NUL-terminated string that lives as long as the binary stays loaded.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(OsStr::from_bytes(name.to_bytes()))
}

/// The file that holds this very function.
#[cfg(windows)]
fn own_binary() -> Option<PathBuf> {
    use std::os::windows::ffi::OsStringExt;
    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, GetModuleFileNameW,
        GetModuleHandleExW,
    };

    let mut module = std::ptr::null_mut();
    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    // SAFETY: the address is that of a function of this binary and `module` is a valid place for the answer.
    if unsafe { GetModuleHandleExW(flags, (own_binary as *const ()).cast(), &raw mut module) } == 0 {
        return None;
    }
    let mut name = vec![0_u16; 32_768];
    // SAFETY: the buffer is as long as it is said to be.
    let len = unsafe { GetModuleFileNameW(module, name.as_mut_ptr(), name.len() as u32) } as usize;
    (len > 0).then(|| std::ffi::OsString::from_wide(&name[..len]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_from_the_first_folder_that_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("plugins/Underscore.clap");
        let beside = folder.path().join("plugins/underscore.resources/models");
        let bundle = folder.path().join("Resources/models");
        std::fs::create_dir_all(&beside).unwrap();
        std::fs::create_dir_all(&bundle).unwrap();
        std::fs::write(bundle.join("a.pt"), "in the bundle").unwrap();
        let resources = Resources::named_or_beside(None, Some(&binary));
        assert_eq!(resources.find(Path::new("models/a.pt")), Some(bundle.join("a.pt")));
        std::fs::write(beside.join("a.pt"), "beside").unwrap();
        assert_eq!(resources.find(Path::new("models/a.pt")), Some(beside.join("a.pt")));
        assert_eq!(resources.find(Path::new("models/b.pt")), None);
    }

    #[test]
    fn a_folder_that_is_named_is_the_only_one_and_an_empty_name_is_none() {
        let binary = Path::new("plugins/Underscore.clap");
        let of = |home: &str| Resources::named_or_beside(Some(home.into()), Some(binary));
        assert_eq!(of("elsewhere"), Resources { roots: vec!["elsewhere".into()], own: Some("elsewhere".into()) });
        assert_eq!(of(""), Resources::named_or_beside(None, Some(binary)));
        assert!(of("").places().contains("underscore.resources"));
    }

    #[test]
    fn the_user_s_folder_is_a_whole_path_or_none() {
        let of = |folder: &str| user_data_folder_by(|_| Some(folder.into()));
        assert_eq!([of(""), of("."), of("somewhere/else"), user_data_folder_by(|_| None)], [None, None, None, None]);
        let whole = if cfg!(windows) { "C:\\Users\\me" } else { "/home/me" };
        assert!(of(whole).is_some_and(|folder| folder.starts_with(whole)));
        if cfg!(target_os = "linux") {
            let of_home = |variable: &str| Some(if variable == "HOME" { "/home/me" } else { "" }.into());
            assert_eq!(user_data_folder_by(of_home), Some("/home/me/.local/share/underscore".into()));
        }
    }

    #[test]
    fn the_own_binary_is_found_from_its_code() {
        let own = own_binary().expect("the system knows it");
        assert_eq!(
            std::fs::canonicalize(own).unwrap(),
            std::fs::canonicalize(std::env::current_exe().unwrap()).unwrap()
        );
    }
}
