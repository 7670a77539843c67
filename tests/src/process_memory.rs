//! What this process holds, as the system sees it (Linux; elsewhere nothing is known).

/// Bytes of memory resident now.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let num_kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(num_kib * 1024)
}

/// Files mapped into this process whose path contains `part`, each once.
#[must_use]
pub fn mapped_files(part: &str) -> Option<Vec<String>> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mut files: Vec<String> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| line[at..].to_owned()))
        .filter(|file| file.contains(part))
        .collect();
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
        assert!(resident_bytes().unwrap() > 1024 * 1024);
    }
}
