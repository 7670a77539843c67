//! What this process holds, as the system sees it (Linux; elsewhere nothing is known).

use std::time::{Duration, Instant};

/// Bytes of memory resident now.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let num_kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(num_kib * 1024)
}

/// A thread that was just started has its name by then, if it gets one.
const NAMED_AFTER: Duration = Duration::from_secs(1);

/// Names of the threads of this process, as far as the system keeps them (15 bytes): all but the first one, which nobody started. One without a name is
/// called as the process is.
#[must_use]
pub fn started_threads() -> Option<Vec<String>> {
    let unnamed = std::fs::read_to_string("/proc/self/comm").ok()?;
    let began = Instant::now();
    loop {
        let names = thread_names()?;
        // It names itself, when it comes to it.
        if !names.iter().any(|name| name == unnamed.trim_end()) || began.elapsed() > NAMED_AFTER {
            return Some(names);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn thread_names() -> Option<Vec<String>> {
    let first = std::process::id().to_string();
    let tasks = std::fs::read_dir("/proc/self/task").ok()?.flatten().filter(|task| *task.file_name() != *first);
    // One that has ended meanwhile has no name.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    let mut names: Vec<String> = names.map(|name| name.trim_end().to_owned()).collect();
    names.sort();
    Some(names)
}

/// Files mapped into this process whose name contains `part`, each once, with their paths.
#[must_use]
pub fn mapped_files(part: &str) -> Option<Vec<String>> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| line[at..].to_owned()));
    let is_wanted = |path: &String| path.rsplit('/').next().is_some_and(|name| name.contains(part));
    let mut files: Vec<String> = paths.filter(is_wanted).collect();
    files.sort();
    files.dedup();
    Some(files)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_is_mapped_and_something_is_resident() {
        assert!(!mapped_files("libc.so").unwrap().is_empty());
        assert_eq!(mapped_files("lib/").unwrap(), [""; 0], "a folder is no name");
        assert!(resident_bytes().unwrap() > 1024 * 1024);
    }

    #[test]
    fn a_thread_that_was_started_is_named() {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (end, is_over) = std::sync::mpsc::channel::<()>();
        let wait = move || {
            ready.send(()).unwrap();
            // An error is the end, too.
            let _ = is_over.recv();
        };
        let is_named = || started_threads().unwrap().contains(&"a thread".into());
        assert!(!is_named());
        let thread = std::thread::Builder::new().name("a thread".into()).spawn(wait).unwrap();
        is_ready.recv().unwrap();
        assert!(is_named());
        drop(end);
        thread.join().unwrap();
    }
}
