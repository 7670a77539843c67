//! Marks that stay behind when a load ends its host, so that it is not tried again by itself.
//!
//! libtorch, a graphics driver and a model are code: one that crashes takes the host along, and a session that loads it as soon as it is opened
//! would do so at every start. So while something is loaded a file lies in the user's folder, locked. However a process ends, the system
//! gives its locks free: a mark that nobody has locked is of a load that ended its host. A host that ends by itself meanwhile takes its marks
//! away.

use std::ffi::c_int;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::catalogue::ModelSpec;
use crate::resources::Resources;

/// What is loaded.
#[derive(Debug, Clone, Copy)]
pub enum Load<'a> {
    /// libtorch and the backend.
    Libtorch,
    /// The graphics driver and libtorch's half for it, and a model there.
    Cuda,
    /// A model on the processor.
    Model(&'a ModelSpec),
}

impl Load<'_> {
    /// What its marks are named by. Another version of the plugin, or of the model, is another load.
    fn name(&self) -> String {
        let what = match self {
            Self::Libtorch => "libtorch".into(),
            Self::Cuda => "cuda".into(),
            Self::Model(spec) => format!("{}-{}", spec.id, spec.sha256.get(..8).unwrap_or_default()),
        };
        format!("{}-{what}", env!("CARGO_PKG_VERSION"))
    }
}

/// The user's folder of marks.
#[derive(Debug, Clone)]
pub struct LoadMarks {
    /// None where the environment names no such place: then nothing is marked.
    folder: Option<PathBuf>,
}

impl LoadMarks {
    /// Those beside the user's files.
    pub fn of(resources: &Resources) -> Self {
        Self { folder: resources.own_folder().map(|folder| folder.join("loading")) }
    }

    /// Those in `folder`.
    #[cfg(test)]
    fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// Whether this ended a host when it was loaded last.
    pub fn has_crashed(&self, load: Load<'_>) -> bool {
        self.crashed(&format!("{}@", load.name())).next().is_some()
    }

    /// It begins, and is over when the mark is dropped. Where none can be written it is loaded all the same.
    pub fn begin(&self, load: Load<'_>) -> Option<LoadMark> {
        let folder = self.folder.as_ref()?;
        LoadMark::write(folder, &load.name()).inspect_err(|error| tracing::debug!("no mark of a load: {error}")).ok()
    }

    /// What whoever is kept waiting by [`Self::has_crashed`] must know.
    pub fn why_held_back(&self, load: Load<'_>) -> String {
        let (what, without) = match load {
            Load::Libtorch => ("libtorch".into(), " The sound passes unchanged."),
            Load::Cuda => ("its driver".into(), ""),
            Load::Model(spec) => (format!("the model '{}'", spec.name), " The sound passes unchanged."),
        };
        let folder =
            self.folder.as_deref().map(|folder| format!(", or remove '{}'", folder.display())).unwrap_or_default();
        format!(
            "The host ended while {what} was being loaded the last time, so it is not loaded by itself.{without} Press TRY AGAIN{folder}."
        )
    }

    /// Whatever crashed is to be tried again.
    pub fn forget(&self) {
        for path in self.crashed("") {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!("{} cannot be removed: {error}", path.display());
            }
        }
    }

    /// Marks whose names begin so and whose processes are gone.
    fn crashed(&self, name_begins: &str) -> impl Iterator<Item = PathBuf> {
        let entries = self.folder.as_ref().and_then(|folder| folder.read_dir().ok());
        entries
            .into_iter()
            .flatten()
            .flatten()
            .filter(move |entry| entry.file_name().to_string_lossy().starts_with(name_begins))
            .map(|entry| entry.path())
            .filter(|path| is_of_a_crash(path).unwrap_or(false))
    }
}

/// Nobody has it locked, and it is there still: one that was done with meanwhile is gone. An empty one was not locked yet.
fn is_of_a_crash(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(path.exists() && file.metadata()?.len() > 0),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The file of one load that is under way.
#[derive(Debug)]
pub struct LoadMark {
    path: PathBuf,
    /// Keeps the lock.
    _locked: File,
}

/// Marks of this process.
static OWN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

impl LoadMark {
    fn write(folder: &Path, name: &str) -> io::Result<Self> {
        static NUM_WRITTEN: AtomicU32 = AtomicU32::new(0);
        std::fs::create_dir_all(folder)?;
        let number = NUM_WRITTEN.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{name}@{}-{number}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let mark = |file: &mut File| {
            file.try_lock()?;
            file.write_all(b"Underscore is loading this. It is not loaded again by itself while this file lies here and nothing does.\n")
        };
        if let Err(error) = mark(&mut file) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        take_away_at_exit();
        OWN.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        Ok(Self { path, _locked: file })
    }
}

impl Drop for LoadMark {
    fn drop(&mut self) {
        OWN.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.path);
        // Before it is unlocked.
        let _ = std::fs::remove_file(&self.path);
    }
}

// Of the C library, which calls it when this binary is unloaded if that comes first.
unsafe extern "C" {
    safe fn atexit(callback: extern "C" fn()) -> c_int;
}

/// A host may end while its worker still loads: that is no crash.
fn take_away_at_exit() {
    extern "C" fn take_away() {
        // Nobody is to be waited for any more.
        if let Ok(own) = OWN.try_lock() {
            for path in own.iter() {
                let _ = std::fs::remove_file(path);
            }
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = atexit(take_away);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::ModelTiming;

    /// What a process leaves behind that ends at once.
    fn crash_while_loading(marks: &LoadMarks, load: Load<'_>) {
        let mark = marks.begin(load).expect("a mark");
        let copy = std::fs::read(&mark.path).unwrap();
        let path = mark.path.clone();
        drop(mark);
        std::fs::write(path, copy).unwrap();
    }

    fn folder() -> (tempfile::TempDir, LoadMarks) {
        let folder = tempfile::tempdir().unwrap();
        let marks = LoadMarks::at(&folder.path().join("loading"));
        (folder, marks)
    }

    #[test]
    fn what_is_being_loaded_has_not_crashed_and_leaves_nothing_behind() {
        let (folder, marks) = folder();
        let mark = marks.begin(Load::Cuda).expect("a mark");
        let beside = marks.begin(Load::Cuda).expect("another instance's");
        assert!(!marks.has_crashed(Load::Cuda));
        drop(mark);
        assert!(!marks.has_crashed(Load::Cuda));
        drop(beside);
        assert!(!marks.has_crashed(Load::Cuda));
        assert_eq!(folder.path().join("loading").read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_ended_its_host_is_known_until_it_is_forgotten_and_nothing_else_is_taken_for_it() {
        let (_folder, marks) = folder();
        let (one, mut other) = (ModelSpec::for_tests(ModelTiming::LIVE), ModelSpec::for_tests(ModelTiming::LIVE));
        other.sha256 = "ffffffff".repeat(8);
        assert_ne!(one.sha256, other.sha256);
        crash_while_loading(&marks, Load::Model(&one));
        assert!(marks.has_crashed(Load::Model(&one)));
        assert!(!marks.has_crashed(Load::Model(&other)), "another version of the model");
        assert!(!marks.has_crashed(Load::Libtorch) && !marks.has_crashed(Load::Cuda));
        let running = marks.begin(Load::Libtorch).expect("a mark");
        marks.forget();
        assert!(!marks.has_crashed(Load::Model(&one)));
        assert!(running.path.exists(), "it is under way");
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_held_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        std::fs::write(&file, "in the way").unwrap();
        for marks in [LoadMarks::at(&file), LoadMarks::at(&file.join("loading")), LoadMarks { folder: None }] {
            assert!(marks.begin(Load::Libtorch).is_none());
            assert!(!marks.has_crashed(Load::Libtorch));
            marks.forget();
        }
    }
}
