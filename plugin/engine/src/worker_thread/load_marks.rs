//! Marks that stay behind when a load ends its host, so that it is not tried again by itself.
//!
//! libtorch, a graphics driver and a model are code: one that crashes takes the host along, and a session that loads it as soon as it is opened
//! would do so at every start. So while something is loaded a file lies in the user's folder, locked. However a process ends, the system
//! gives its locks free: a mark that nobody has locked is of a load that ended its host. A host that ends by itself meanwhile takes its marks
//! away.
//!
//! One that is killed meanwhile leaves them, and who is on air is not to be without masks for it: a driver, for which the processor stands in,
//! is held back after the first time, anything else after the second in a row. What was loaded well in this process is never held back here.
//!
//! A mark says how often in a row that makes it. Marks are not counted: processes that are ended together leave one each, and a process that has
//! this code twice, in binaries of two formats, leaves two.

use std::collections::BTreeSet;
use std::ffi::c_int;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

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

    /// How often in a row it may end its host before it is held back.
    fn num_allowed(&self) -> u32 {
        match self {
            Self::Cuda => 0,
            Self::Libtorch | Self::Model(_) => 1,
        }
    }
}

/// It is not even tried; the message says why and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HeldBack(String);

/// The user's folder of marks.
#[derive(Debug, Clone)]
pub struct LoadMarks {
    /// None where the environment names no such place: then nothing is marked.
    folder: Option<PathBuf>,
}

/// How often somebody wanted what is held back to be tried again, in this process. From the first time on nothing is held back in it.
static NUM_TRIES_AGAIN: AtomicU64 = AtomicU64::new(0);

/// What is held back because it ended a host is loaded, from the next assignment on, whatever instance it is of.
pub fn try_loads_again(resources: &Resources) {
    LoadMarks::of(resources).forget();
}

/// How often [`try_loads_again`] was called in this process: whoever was held back before may be built anew.
#[must_use]
pub fn num_tries_again() -> u64 {
    NUM_TRIES_AGAIN.load(Ordering::Relaxed)
}

/// What was loaded well in this process: names in their folders.
static WELL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

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

    /// Loads, while a mark says so. Where none can be written it is loaded all the same.
    pub fn load<T, E>(&self, what: Load<'_>, load: impl FnOnce() -> Result<T, E>) -> Result<Result<T, E>, HeldBack> {
        let name = what.name();
        let Some(folder) = &self.folder else { return Ok(load()) };
        let is_well = || WELL.lock().unwrap_or_else(PoisonError::into_inner).contains(&folder.join(&name));
        if is_well() {
            return Ok(load());
        }
        let num_in_a_row = self.num_crashes_in_a_row(&name);
        if num_tries_again() == 0 && num_in_a_row > what.num_allowed() {
            return Err(self.held_back(what));
        }
        let mark = LoadMark::write(folder, &name, num_in_a_row + 1, matches!(what, Load::Cuda));
        if let Err(error) = &mark {
            tracing::debug!("no mark of a load: {error}");
        }
        let loaded = load();
        drop(mark);
        if loaded.is_ok() {
            self.remove(self.crashed(&name));
            WELL.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.join(&name));
        }
        // Again, so that it comes before the ends of what was loaded, which a worker that goes on meanwhile may not survive.
        take_away_at_exit();
        Ok(loaded)
    }

    fn held_back(&self, load: Load<'_>) -> HeldBack {
        let (what, often) = match load {
            Load::Libtorch => ("libtorch".into(), "twice in a row"),
            Load::Cuda => ("its driver".into(), "the last time"),
            Load::Model(spec) => (format!("the model '{}'", spec.name), "twice in a row"),
        };
        let folder =
            self.folder.as_deref().map(|folder| format!(", or remove '{}' and restart the host", folder.display()));
        HeldBack(format!(
            "The host ended {often} while {what} was being loaded, so it is not loaded by itself. Press TRY AGAIN{}.",
            folder.unwrap_or_default()
        ))
    }

    /// Whatever crashed is to be tried again.
    pub fn forget(&self) {
        self.remove(self.crashed(""));
        NUM_TRIES_AGAIN.fetch_add(1, Ordering::Relaxed);
    }

    #[expect(clippy::unused_self, reason = "only marks of such a folder are given to it")]
    fn remove(&self, marks: impl Iterator<Item = PathBuf>) {
        for path in marks {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!("{} cannot be removed: {error}", path.display());
            }
        }
    }

    /// How often in a row, up to now, a load of this name has ended its host.
    fn num_crashes_in_a_row(&self, name: &str) -> u32 {
        self.crashed(name).map(|mark| num_in_a_row_of(&mark)).max().unwrap_or(0)
    }

    /// Marks of loads of this name, or of all, whose processes are gone.
    fn crashed(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        let entries = self.folder.as_ref().and_then(|folder| folder.read_dir().ok());
        entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(move |path| name.is_empty() || is_named(path, name))
            .filter(|path| is_of_a_crash(path).unwrap_or(false))
    }
}

/// Whether a mark is of a load of this name.
fn is_named(mark: &Path, name: &str) -> bool {
    mark.file_name()
        .and_then(|own| own.to_str())
        .and_then(|own| own.split_once('@'))
        .is_some_and(|(own, _)| own == name)
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

/// What a mark begins with; then comes the number.
const IN_A_ROW: &str = "In a row: ";

/// How often in a row its load had ended a host once it had ended this one.
fn num_in_a_row_of(mark: &Path) -> u32 {
    let text = std::fs::read_to_string(mark).unwrap_or_default();
    // One that does not say it is a mark all the same.
    text.lines().find_map(|line| line.strip_prefix(IN_A_ROW)?.parse().ok()).unwrap_or(1)
}

/// The file of one load that is under way.
#[derive(Debug)]
struct LoadMark {
    path: PathBuf,
    /// Keeps the lock.
    _locked: File,
}

/// A mark of this process.
struct Own {
    path: PathBuf,
    /// Taken away when the process ends as it should; see [`leave_behind`].
    goes_with_process: bool,
}

/// All of them.
static OWN: Mutex<Vec<Own>> = Mutex::new(Vec::new());

/// The process ends: nothing is marked any more.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Of one process: more than it ever has at a time, those of a process of the same number elsewhere included.
const MOST_MARKS: u32 = 256;

fn own() -> MutexGuard<'static, Vec<Own>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LoadMark {
    /// `num_in_a_row`: so often in a row the load will have ended its host, if it ends this one. `is_for_good`: to be there even if the whole
    /// machine goes.
    fn write(folder: &Path, name: &str, num_in_a_row: u32, is_for_good: bool) -> io::Result<Self> {
        static ONCE: Once = Once::new();
        ONCE.call_once(take_away_at_exit);
        std::fs::create_dir_all(folder)?;
        let mut own = own();
        if IS_ENDING.load(Ordering::SeqCst) {
            return Err(io::Error::other("the process ends"));
        }
        // One for all instances, which load at once as a session is opened.
        if own.iter().any(|mark| mark.path.parent() == Some(folder) && is_named(&mark.path, name)) {
            return Err(io::Error::other("this process has marked it"));
        }
        let (path, mut file) = Self::create(folder, name)?;
        own.push(Own { path: path.clone(), goes_with_process: true });
        drop(own);
        // From here on it is removed where something fails.
        let mark = |file: &mut File| {
            file.lock()?;
            writeln!(
                file,
                "Underscore is loading this. While this file lies here and nothing does, that has ended its host: where it did so too often in a \
                 row, this is not loaded again by itself.\n{IN_A_ROW}{num_in_a_row}"
            )?;
            if is_for_good { file.sync_all() } else { Ok(()) }
        };
        let marked = mark(&mut file);
        let mark = Self { path, _locked: file };
        marked.map(|()| mark)
    }

    /// A file that nobody else has: the same process may have this code twice, in binaries of two formats.
    fn create(folder: &Path, name: &str) -> io::Result<(PathBuf, File)> {
        for number in 0..MOST_MARKS {
            let path = folder.join(format!("{name}@{}-{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many marks"))
    }
}

impl Drop for LoadMark {
    fn drop(&mut self) {
        let mut own = own();
        // Before it is unlocked.
        let _ = std::fs::remove_file(&self.path);
        own.retain(|mark| mark.path != self.path);
    }
}

/// What is being loaded in this process hangs: if it never ends, its marks are to stay behind even of a host that ends as it should.
pub fn leave_behind() {
    own().iter_mut().for_each(|mark| mark.goes_with_process = false);
}

// Of the C library. Each is called once for every time that it was registered, the one that was last first.
unsafe extern "C" {
    safe fn atexit(callback: extern "C" fn()) -> c_int;
}

fn take_away_at_exit() {
    let _ = atexit(take_away);
}

/// A host may end while its worker still loads: that is no crash.
extern "C" fn take_away() {
    IS_ENDING.store(true, Ordering::SeqCst);
    // Whoever has it has it for a moment only, unless the system ended that thread before.
    for _ in 0..100 {
        if let Ok(own) = OWN.try_lock() {
            for mark in own.iter().filter(|mark| mark.goes_with_process) {
                let _ = std::fs::remove_file(&mark.path);
            }
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::ModelTiming;

    const LOADS: [Load<'static>; 2] = [Load::Libtorch, Load::Cuda];

    /// What a process leaves behind that ends at once.
    fn crash_while_loading(marks: &LoadMarks, load: Load<'_>) {
        leave_behind_of(&begin_load(marks, load));
    }

    /// The mark of a load that begins, and its text.
    fn begin_load(marks: &LoadMarks, load: Load<'_>) -> (PathBuf, String) {
        let num_in_a_row = marks.num_crashes_in_a_row(&load.name()) + 1;
        let folder = marks.folder.as_ref().expect("a folder");
        let mark = LoadMark::write(folder, &load.name(), num_in_a_row, true).expect("a mark");
        (mark.path.clone(), std::fs::read_to_string(&mark.path).unwrap())
    }

    /// What is left of a load that began when its process ends.
    fn leave_behind_of((path, text): &(PathBuf, String)) {
        let (name, _) = path.file_name().unwrap().to_str().unwrap().split_once('@').unwrap();
        let number = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        std::fs::write(path.with_file_name(format!("{name}@1-{number}")), text).unwrap();
    }

    fn is_held_back(marks: &LoadMarks, load: Load<'_>) -> bool {
        marks.load(load, || Ok::<_, ()>(())).is_err()
    }

    fn num_files(marks: &LoadMarks) -> usize {
        marks.folder.as_ref().unwrap().read_dir().unwrap().count()
    }

    fn folder() -> (tempfile::TempDir, LoadMarks) {
        let folder = tempfile::tempdir().unwrap();
        let marks = LoadMarks::at(&folder.path().join("loading"));
        (folder, marks)
    }

    #[test]
    fn what_is_being_loaded_has_not_crashed_and_leaves_nothing_behind() {
        for load in LOADS {
            let (_folder, marks) = folder();
            marks
                .load(load, || {
                    assert_eq!(num_files(&marks), 1);
                    // Other instances of this process, or other processes.
                    assert_eq!(marks.crashed("").count(), 0);
                    marks.load(load, || if num_files(&marks) == 1 { Err("it fails") } else { Ok(()) })
                })
                .expect("the first time")
                .expect("another instance's")
                .expect_err("with the mark of the first");
            assert_eq!(num_files(&marks), 0);
        }
    }

    #[test]
    fn a_driver_is_held_back_after_its_first_crash_and_all_else_after_the_second_in_a_row() {
        let (_folder, marks) = folder();
        let (one, mut other) = (ModelSpec::for_tests(ModelTiming::LIVE), ModelSpec::for_tests(ModelTiming::LIVE));
        other.sha256 = "ffffffff".repeat(8);
        crash_while_loading(&marks, Load::Cuda);
        assert!(is_held_back(&marks, Load::Cuda));
        crash_while_loading(&marks, Load::Model(&one));
        crash_while_loading(&marks, Load::Model(&one));
        assert!(is_held_back(&marks, Load::Model(&one)));
        assert!(!is_held_back(&marks, Load::Model(&other)), "another version of the model");

        crash_while_loading(&marks, Load::Libtorch);
        assert!(!is_held_back(&marks, Load::Libtorch), "it was killed, perhaps");
        let elsewhere = LoadMarks::at(&marks.folder.clone().unwrap().join("../loading"));
        crash_while_loading(&elsewhere, Load::Libtorch);
        assert!(!is_held_back(&elsewhere, Load::Libtorch), "in between it was loaded");
    }

    #[test]
    fn processes_that_are_ended_together_are_one_crash_and_the_one_that_loads_after_them_is_the_second() {
        let (_folder, marks) = folder();
        let (one, load) = (ModelSpec::for_tests(ModelTiming::LIVE), Load::Libtorch);
        for load in [load, Load::Model(&one)] {
            let together = [(); 5].map(|()| begin_load(&marks, load));
            together.iter().for_each(leave_behind_of);
            assert_eq!(marks.crashed(&load.name()).count(), 5);
            assert_eq!(marks.num_crashes_in_a_row(&load.name()), 1, "{load:?}");
            crash_while_loading(&marks, load);
            assert!(is_held_back(&marks, load), "{load:?}: it has ended two hosts, one after the other");
        }
        let (_folder, marks) = folder();
        let together = [(); 5].map(|()| begin_load(&marks, load));
        together.iter().for_each(leave_behind_of);
        assert!(!is_held_back(&marks, load), "somebody has ended them");
        assert_eq!(num_files(&marks), 0, "it was loaded");
    }

    #[test]
    fn what_was_loaded_well_in_this_process_is_not_held_back_for_what_others_come_to() {
        let (_folder, marks) = folder();
        assert!(!is_held_back(&marks, Load::Cuda));
        crash_while_loading(&marks, Load::Cuda);
        assert!(!is_held_back(&marks, Load::Cuda));
        assert_eq!(num_files(&marks), 1, "it is another process' business");
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_held_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        std::fs::write(&file, "in the way").unwrap();
        for marks in [LoadMarks::at(&file), LoadMarks::at(&file.join("loading")), LoadMarks { folder: None }] {
            assert!(LOADS.iter().all(|load| !is_held_back(&marks, *load)));
        }
    }
}
