//! Everything that can be missing, broken or beyond what was agreed: the host lives, the sound is the delayed input, and the
//! message says what is wrong.

mod common;

use common::{EXACT_DB, asked, bundle_file, open, probe, resources};
use host_tests::probe::{HostKind, Input, Outcome, Scenario};
use host_tests::{Config, Rendering, render, residual_db, signals::programme};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

#[cfg(target_os = "linux")]
const BACKEND: &str = "libunderscore_torch.so";
#[cfg(target_os = "linux")]
const TORCH_CPU: &str = "libtorch_cpu.so";

/// A resources folder like the real one, all links, in which single files can be spoiled.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for folder in ["lib", "lib/libtorch", "models"] {
            std::fs::create_dir_all(home.path(folder)).unwrap();
            for entry in resources().join(folder).read_dir().unwrap() {
                let source = entry.unwrap().path().canonicalize().unwrap();
                let name = source.file_name().unwrap().to_owned();
                // A folder of the real one is a folder here; the linker finds its neighbours by the name it opened.
                if source.is_file() {
                    symlink(&source, &home.path(folder).join(name));
                }
            }
        }
        home
    }

    fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(file)
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.path(file)).unwrap();
    }

    /// Replaces a file by other bytes, never through the link.
    fn replace(&self, file: &str, bytes: &[u8]) {
        self.remove(file);
        std::fs::write(self.path(file), bytes).unwrap();
    }

    fn cut_in_half(&self, file: &str) {
        let bytes = std::fs::read(self.path(file)).unwrap();
        self.replace(file, &bytes[..bytes.len() / 2]);
    }

    fn probe(&self, scenario: &Scenario) -> Outcome {
        probe(scenario, &[("UNDERSCORE_HOME", self.0.path().as_os_str())])
    }
}

/// The file of the default model, which is named after the model's id, as is the choice that hosts show.
fn default_model_file() -> String {
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    let choice = instance.param("model").unwrap();
    file_of(&instance.text_of(choice.id, choice.default).unwrap())
}

/// The file of a model, by the name that the plugin offers it by.
fn file_of(model: &str) -> String {
    format!("models/{}.pt", model.to_lowercase().replace(' ', "-"))
}

#[cfg(unix)]
fn symlink(source: &Path, link: &Path) {
    std::os::unix::fs::symlink(source, link).unwrap();
}

#[cfg(windows)]
fn symlink(source: &Path, link: &Path) {
    std::fs::copy(source, link).unwrap();
}

/// The delayed input on the main bus, bit for bit; in the stems, equal shares of it; and a message with all of `words`.
#[track_caller]
fn assert_dry(what: &str, outcome: &Outcome, words: &[&str]) {
    println!("{what}: {}: {}", outcome.state, outcome.message);
    assert_eq!(outcome.state, "unavailable", "{what}: {outcome:?}");
    assert!(outcome.latency_samples > 0, "{what}: {outcome:?}");
    assert!(outcome.is_finite, "{what}: {outcome:?}");
    assert_eq!(outcome.main_residual_db, -400.0, "{what}: main is not the delayed input");
    assert!(outcome.sum_residual_db <= EXACT_DB, "{what}: stems off by {} dBFS", outcome.sum_residual_db);
    assert!(outcome.separation_db <= EXACT_DB, "{what}: something was separated: {} dBFS", outcome.separation_db);
    assert_eq!(outcome.alloc_violations, 0, "{what}");
    let message = outcome.message.to_lowercase();
    for word in words {
        assert!(message.contains(&word.to_lowercase()), "{what}: `{word}` is missing in: {}", outcome.message);
    }
}

/// Offline, where the plugin waits for what will never come, and live, where it may not wait.
#[track_caller]
fn check(what: &str, home: &Home, words: &[&str]) {
    for host in [HostKind::Offline, HostKind::RealTime] {
        let scenario = Scenario { host, ..Scenario::new(bundle_file()) };
        assert_dry(&format!("{what}, {host:?}"), &home.probe(&scenario), words);
    }
}

#[test]
fn the_whole_home_works_when_nothing_is_spoiled() {
    let outcome = Home::new().probe(&Scenario::new(bundle_file()));
    assert_eq!((outcome.state.as_str(), outcome.message.as_str()), ("running", ""));
}

#[test]
fn nothing_is_installed() {
    let empty = Home(tempfile::tempdir().unwrap());
    check("nothing installed", &empty, &[empty.0.path().to_str().unwrap()]);
}

#[test]
fn the_latency_is_the_same_with_and_without_a_model() {
    let scenario = Scenario::new(bundle_file());
    let empty = Home(tempfile::tempdir().unwrap());
    assert_eq!(empty.probe(&scenario).latency_samples, Home::new().probe(&scenario).latency_samples);
}

#[cfg(target_os = "linux")]
mod libraries {
    use super::*;
    use common::probe_or_error;
    use host_tests::probe::ProbeError;
    use std::process::{Command, ExitStatus};

    #[test]
    fn the_backend_is_missing() {
        let home = Home::new();
        home.remove(&format!("lib/{BACKEND}"));
        check("no backend", &home, &[BACKEND]);
    }

    #[test]
    fn the_backend_is_half_a_file() {
        let home = Home::new();
        home.cut_in_half(&format!("lib/{BACKEND}"));
        check("half a backend", &home, &[BACKEND]);
    }

    #[test]
    fn the_backend_is_some_other_library() {
        let home = Home::new();
        let other = std::fs::read(home.path("lib/libtorch/libc10.so")).unwrap();
        home.replace(&format!("lib/{BACKEND}"), &other);
        check("another library for a backend", &home, &[BACKEND, "underscore_backend"]);
    }

    /// Replaces a library by one that is compiled from `code`.
    fn compile(home: &Home, library: &str, code: &str, options: &[&str]) {
        home.remove(library);
        compile_to(&home.path(library), code, options);
    }

    fn compile_to(library: &Path, code: &str, options: &[&str]) {
        let source = library.with_extension("c");
        std::fs::write(&source, code).unwrap();
        let mut cc = Command::new("cc");
        let status = cc.args(["-shared", "-fPIC", "-o"]).arg(library).arg(&source).args(options).status();
        assert!(status.as_ref().is_ok_and(ExitStatus::success), "cc: {status:?}");
    }

    #[test]
    fn the_backend_is_of_another_version() {
        let home = Home::new();
        // The table's first two fields keep their place in every version: version 999, and a size of its own.
        let code = "unsigned table[64] = {999, 256}; void *underscore_backend(void) { return table; }";
        compile(&home, &format!("lib/{BACKEND}"), code, &[]);
        check("a backend of version 999", &home, &["999"]);
    }

    /// Has the backend end its host as it is opened, by `how`.
    fn spoil(home: &Home, how: &str) {
        let code = format!("#include <stdlib.h>\n__attribute__((constructor)) static void opened(void) {{ {how}; }}");
        compile(home, &format!("lib/{BACKEND}"), &code, &[]);
    }

    fn assert_ends(home: &Home) {
        let environment = [("UNDERSCORE_HOME", home.0.path().as_os_str())];
        let ended = probe_or_error(&Scenario::new(bundle_file()), &environment);
        assert!(matches!(ended, Err(ProbeError::Died { .. })), "{ended:?}");
    }

    fn repair(home: &Home) {
        let backend = format!("lib/{BACKEND}");
        home.remove(&backend);
        symlink(&resources().join(&backend).canonicalize().unwrap(), &home.path(&backend));
    }

    #[track_caller]
    fn assert_runs(home: &Home) {
        let outcome = home.probe(&Scenario::new(bundle_file()));
        assert_eq!((outcome.state.as_str(), outcome.message.as_str()), ("running", ""));
        assert_eq!(home.path("loading").read_dir().unwrap().count(), 0, "what was loaded is marked no longer");
    }

    #[test]
    fn what_ended_its_host_twice_is_not_loaded_until_somebody_wants_it() {
        let home = Home::new();
        spoil(&home, "abort()");
        assert_ends(&home);
        assert_ends(&home);
        let marks = home.path("loading");
        check("libtorch crashed", &home, &["libtorch", "TRY AGAIN", marks.to_str().unwrap()]);
        repair(&home);
        check("nobody knows that it is mended", &home, &["TRY AGAIN"]);
        std::fs::remove_dir_all(marks).unwrap();
        assert_runs(&home);
    }

    #[test]
    fn what_ended_its_host_once_may_have_been_killed_and_counts_no_more_once_it_was_loaded() {
        let home = Home::new();
        for _ in 0..2 {
            spoil(&home, "abort()");
            assert_ends(&home);
            repair(&home);
            assert_runs(&home);
        }
    }

    #[test]
    fn a_load_that_hangs_keeps_no_host_from_ending_and_is_not_tried_a_third_time() {
        let home = Home::new();
        let code = "#include <unistd.h>\nvoid *underscore_backend(void) { for (;;) sleep(1); }";
        compile(&home, &format!("lib/{BACKEND}"), code, &[]);
        let scenario = Scenario { host: HostKind::RealTime, ..Scenario::new(bundle_file()) };
        for _ in 0..2 {
            let outcome = home.probe(&scenario);
            assert_eq!((outcome.state.as_str(), outcome.main_residual_db), ("loading", -400.0), "{outcome:?}");
        }
        assert_dry("a load that hung twice", &home.probe(&scenario), &["libtorch", "twice in a row", "TRY AGAIN"]);
    }

    #[test]
    fn a_driver_that_ended_its_host_is_left_to_itself_and_the_processor_separates() {
        let home = Home::new();
        std::fs::create_dir(home.path("loading")).unwrap();
        let mark = home.path(format!("loading/{}-cuda@1-0", env!("CARGO_PKG_VERSION")));
        std::fs::write(&mark, "of a process that is gone").unwrap();
        let outcome = home.probe(&Scenario::new(bundle_file()));
        assert_eq!((outcome.state.as_str(), outcome.message.as_str()), ("running", ""));
        let notice = outcome.notice;
        assert!(["graphics card", "processor", "TRY AGAIN"].iter().all(|word| notice.contains(word)), "{notice}");
        assert!(mark.exists(), "it is not forgotten by itself");
        let params = vec![("device".to_owned(), "CPU".to_owned())];
        let on_processor = home.probe(&Scenario { params, ..Scenario::new(bundle_file()) });
        assert_eq!((on_processor.state.as_str(), on_processor.notice.as_str()), ("running", ""));
    }

    #[test]
    fn a_host_that_leaves_while_libtorch_is_opened_did_not_crash() {
        let home = Home::new();
        spoil(&home, "exit(7)");
        assert_ends(&home);
        assert_ends(&home);
        repair(&home);
        assert_runs(&home);
    }

    #[test]
    fn libtorch_is_missing() {
        let home = Home::new();
        std::fs::remove_dir_all(home.path("lib/libtorch")).unwrap();
        check("no libtorch", &home, &["libtorch"]);
    }

    #[test]
    fn libtorch_is_half_a_file() {
        let home = Home::new();
        home.cut_in_half(&format!("lib/libtorch/{TORCH_CPU}"));
        check("half a libtorch_cpu", &home, &[TORCH_CPU]);
        let home = Home::new();
        home.cut_in_half("lib/libtorch/libc10.so");
        check("half a libc10", &home, &["libc10.so"]);
    }

    #[test]
    fn libtorch_is_an_empty_file() {
        let home = Home::new();
        home.replace(&format!("lib/libtorch/{TORCH_CPU}"), b"");
        check("an empty libtorch_cpu", &home, &[TORCH_CPU]);
    }

    #[test]
    fn libtorch_is_of_another_version() {
        // A library of the right name without the symbols that the backend was linked against.
        let home = Home::new();
        let soname = format!("-Wl,-soname,{TORCH_CPU}");
        compile(&home, &format!("lib/libtorch/{TORCH_CPU}"), "int nothing_of_torch = 1;", &[&soname]);
        check("another libtorch", &home, &["libtorch"]);
    }

    #[test]
    fn another_plugin_has_opened_a_libtorch_of_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join(TORCH_CPU);
        compile_to(&theirs, "int nothing_of_torch = 1;", &[&format!("-Wl,-soname,{TORCH_CPU}")]);
        let home = Home::new();
        for host in [HostKind::Offline, HostKind::RealTime] {
            let scenario = Scenario { host, others: vec![theirs.clone()], ..Scenario::new(bundle_file()) };
            let outcome = home.probe(&scenario);
            let words = ["libtorch that the host or another plugin opened before", "Remove the other plugin"];
            assert_dry(&format!("another plugin's libtorch, {host:?}"), &outcome, &words);
            assert_eq!(outcome.libtorch_at_scan, [theirs.to_str().unwrap()], "theirs was open before");
        }
    }
}

#[test]
fn the_model_is_missing() {
    let home = Home::new();
    let model = default_model_file();
    home.remove(&model);
    check("no model", &home, &[Path::new(&model).file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn the_model_that_is_asked_is_missing() {
    let home = Home::new();
    let model = &asked(&open())[0];
    let file = file_of(model);
    home.remove(&file);
    let params = vec![("model".to_owned(), model.clone())];
    let scenario = Scenario { params, ..Scenario::new(bundle_file()) };
    assert_dry("no model to ask", &home.probe(&scenario), &[Path::new(&file).file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn the_model_is_cut_off() {
    let home = Home::new();
    let model = default_model_file();
    home.cut_in_half(&model);
    check("half a model", &home, &[Path::new(&model).file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn the_model_has_another_hash() {
    let home = Home::new();
    let model = default_model_file();
    let mut bytes = std::fs::read(home.path(&model)).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    home.replace(&model, &bytes);
    check("one bit of the model flipped", &home, &["sha"]);
}

#[test]
fn the_model_is_a_folder() {
    let home = Home::new();
    let model = default_model_file();
    home.remove(&model);
    std::fs::create_dir(home.path(&model)).unwrap();
    check("a folder for a model", &home, &[Path::new(&model).file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn nothing_can_be_written() {
    // No user can make a file there, not even root.
    let nowhere = OsStr::new("/proc/self/nowhere");
    let home = Home::new();
    let variables = ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "TMPDIR"];
    let mut environment: Vec<(&str, &OsStr)> = variables.iter().map(|variable| (*variable, nowhere)).collect();
    environment.push(("UNDERSCORE_HOME", home.0.path().as_os_str()));
    let outcome = probe(&Scenario::new(bundle_file()), &environment);
    assert_eq!(outcome.state, "running", "{}", outcome.message);
    assert!(outcome.sum_residual_db <= EXACT_DB);
    // And neither there nor elsewhere is anything to be found.
    let environment: Vec<_> = environment.into_iter().map(|(variable, _)| (variable, nowhere)).collect();
    assert_dry("a home that is nowhere", &probe(&Scenario::new(bundle_file()), &environment), &[]);
}

#[test]
fn the_sample_rate_is_too_low() {
    for rate_hz in [4_000.0, 7_350.0] {
        let scenario = Scenario { rate_hz, ..Scenario::new(bundle_file()) };
        let asked = format!("{rate_hz} Hz");
        assert_dry(&asked, &probe(&scenario, &[]), &[&asked, "8000 Hz", "higher sample rate"]);
    }
}

#[test]
fn the_sample_rate_is_absurd() {
    for rate_hz in [100.0, 768_000.0] {
        let scenario = Scenario { rate_hz, duration_s: 4_000.0 / rate_hz, ..Scenario::new(bundle_file()) };
        let outcome = probe(&scenario, &[]);
        println!("{rate_hz} Hz: {}: {}", outcome.state, outcome.message);
        assert!(outcome.is_finite && outcome.sum_residual_db <= EXACT_DB, "{rate_hz} Hz: {outcome:?}");
    }
    // Here a window has no samples at all: the plugin may refuse, and must live on.
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    let config = Config { rate_hz: 1.0, max_block_samples: 512, num_channels: 2, offline: true };
    instance.configure(config).unwrap();
    if let Ok(processor) = instance.activate() {
        instance.deactivate(processor);
    }
    instance.configure(Config { rate_hz: 48_000.0, ..config }).unwrap();
    let input = programme(2, 4_800, 48_000.0, 1);
    let rendered = render(&bundle, &mut instance, &Rendering::new(&input, 512)).unwrap();
    let engine = rendered.diagnostics.as_ref().and_then(|d| d.newest().cloned()).unwrap();
    assert_eq!(engine.state, "running", "{}", engine.message);
    assert!(residual_db(&input, &rendered.aligned_sum()) <= EXACT_DB);
}

#[test]
fn blocks_are_empty_or_larger_than_announced() {
    for (max_block_samples, blocks) in [
        (512, vec![0, 512, 0, 0, 1]),
        (8192, vec![8192]),
        (16_384, vec![16_384, 0, 3]),
        (512, vec![513]),
        (64, vec![4096, 64, 10_000]),
        (1, vec![1024]),
    ] {
        for host in [HostKind::Offline, HostKind::RealTime] {
            // Live, so long that the model is loaded meanwhile.
            let duration_s = if host == HostKind::RealTime { 3.0 } else { 2.0 };
            let blocks = blocks.clone();
            let scenario = Scenario { max_block_samples, blocks, host, duration_s, ..Scenario::new(bundle_file()) };
            let outcome = probe(&scenario, &[]);
            let case = format!("{max_block_samples} announced, {:?} given, {host:?}", scenario.blocks);
            println!("{case}: {}, residual {:.1} dBFS", outcome.state, outcome.sum_residual_db);
            assert_eq!(outcome.state, "running", "{case}: {}", outcome.message);
            assert!(outcome.is_finite, "{case}: {outcome:?}");
            assert!(outcome.sum_residual_db <= EXACT_DB, "{case}: {} dBFS", outcome.sum_residual_db);
        }
    }
}

#[test]
fn the_audio_is_not_a_number() {
    for host in [HostKind::Offline, HostKind::RealTime] {
        for num_channels in [1, 2] {
            let scenario =
                Scenario { input: Input::Broken, duration_s: 4.0, host, num_channels, ..Scenario::new(bundle_file()) };
            let outcome = probe(&scenario, &[]);
            let case = format!("{num_channels} channels, {host:?}");
            println!("NaN, infinities and denormals, {case}: residual {:.1} dBFS", outcome.sum_residual_db);
            assert!(outcome.is_finite, "{case}: {outcome:?}");
            // What is no number counts as silence; everything else arrives, then and afterwards.
            assert!(outcome.sum_residual_db <= EXACT_DB, "{case}: {} dBFS", outcome.sum_residual_db);
            assert_eq!(outcome.state, "running", "{case}: {}", outcome.message);
            assert_eq!(outcome.alloc_violations, 0, "{case}");
        }
    }
}
