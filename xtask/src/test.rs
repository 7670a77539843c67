//! `cargo xtask test`: everything that is checked before a change goes in, with the time of each step and one sum at the end.

mod commands;
mod tally;
mod vst3_host;

use crate::bundle::{self, BundleArgs};
use crate::{files, layering, licences, paths, process, setup};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tally::Tally;

/// Options of `test`.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Run only this step, as often as wanted: --only format --only "unit tests"
    #[arg(long = "only", value_name = "STEP", value_parser = STEPS.map(|step| step.name))]
    only: Vec<String>,
}

/// The backend is built as it is shipped only: compiling its binding to libtorch takes minutes, and once is enough.
const TORCH: &str = "underscore-torch";

/// One step's outcome.
struct Outcome {
    name: &'static str,
    time: Duration,
    tally: Tally,
    error: Option<anyhow::Error>,
}

/// A step: what it is called, what it does, and whether the rest makes sense without it.
struct Step {
    name: &'static str,
    action: fn() -> Result<Tally>,
    needed: bool,
}

const STEPS: [Step; 13] = [
    Step { name: "set-up", action: set_up, needed: true },
    Step { name: "format", action: format, needed: false },
    Step { name: "layers", action: layers, needed: false },
    Step { name: "licences", action: check_licences, needed: false },
    Step { name: "lints", action: lints, needed: false },
    Step { name: "other platforms", action: other_platforms, needed: false },
    Step { name: "unit tests", action: unit_tests, needed: false },
    Step { name: "backend tests", action: backend_tests, needed: false },
    Step { name: "training tests", action: training_tests, needed: false },
    Step { name: "bundle", action: make_bundle, needed: true },
    Step { name: "commands", action: commands::run, needed: false },
    Step { name: "host tests", action: host_tests, needed: false },
    Step { name: "VST3 host", action: vst3_host::run, needed: false },
];

/// Runs all steps; a failed one does not keep the others from running unless they need it.
pub fn run(args: &TestArgs) -> Result<()> {
    let start = Instant::now();
    let is_wanted = |step: &&Step| args.only.is_empty() || args.only.iter().any(|name| name == step.name);
    let steps: Vec<&Step> = STEPS.iter().filter(is_wanted).collect();
    let mut outcomes = Vec::new();
    for step in &steps {
        println!("\n== {} ==", step.name);
        let step_start = Instant::now();
        let outcome = measured(step, step_start);
        let is_end = step.needed && outcome.error.is_some();
        if let Some(error) = &outcome.error {
            eprintln!("error: {error:#}");
        }
        outcomes.push(outcome);
        if is_end {
            break;
        }
    }
    summarise(&outcomes, steps.len() - outcomes.len(), start.elapsed())
}

fn measured(step: &Step, start: Instant) -> Outcome {
    let (tally, error) = match (step.action)() {
        Ok(tally) => (tally, None),
        Err(error) => {
            // A run of tests that failed still has its counts.
            let tally = error.downcast_ref::<tally::Failed>().map_or_else(Tally::default, |failed| failed.tally);
            (tally, Some(error))
        }
    };
    Outcome { name: step.name, time: start.elapsed(), tally, error }
}

fn summarise(outcomes: &[Outcome], num_left_out: usize, time: Duration) -> Result<()> {
    println!();
    let mut total = Tally::default();
    for outcome in outcomes {
        total += outcome.tally;
        let state = if outcome.error.is_some() { "FAILED" } else { "ok" };
        let counts = if outcome.tally == Tally::default() { String::new() } else { format!("  {}", outcome.tally) };
        println!("{:16} {state:7} {:7.1} s{counts}", outcome.name, outcome.time.as_secs_f64());
    }
    println!("{:24} {:7.1} s", "", time.as_secs_f64());
    println!("{total}");
    let failed: Vec<&str> = outcomes.iter().filter(|o| o.error.is_some()).map(|o| o.name).collect();
    if !failed.is_empty() {
        bail!("failed: {} ({num_left_out} steps not run)", failed.join(", "));
    }
    Ok(())
}

fn set_up() -> Result<Tally> {
    setup::run(&setup::SetupArgs::default()).map(|()| Tally::default())
}

fn format() -> Result<Tally> {
    process::run(process::cargo().args(["fmt", "--all", "--", "--check"]))
        .context("`cargo fmt --all` puts it right")
        .map(|()| Tally::default())
}

fn layers() -> Result<Tally> {
    layering::run().map(|()| Tally::default())
}

fn check_licences() -> Result<Tally> {
    licences::run().map(|()| Tally::default())
}

/// The release of Rust whose lints the code passes. Every release brings lints of its own: with another one they are shown, and fail nothing.
const RELEASE_OF_LINTS: &str = "1.95";

/// What ends the arguments of clippy.
fn deny_warnings() -> Result<&'static [&'static str]> {
    let version = process::output(Command::new("rustc").arg("--version"))?;
    if is_of_release(&version, RELEASE_OF_LINTS) {
        return Ok(&["--", "--deny", "warnings"]);
    }
    println!(
        "note: warnings fail nothing: the lints are those of Rust {RELEASE_OF_LINTS}, and this is {}",
        version.trim()
    );
    Ok(&[])
}

/// Whether a compiler that says so of itself (`rustc 1.95.0 (59807616e 2026-04-14)`) is the stable one of a release.
fn is_of_release(version: &str, release: &str) -> bool {
    let number = version.split_whitespace().nth(1).unwrap_or_default();
    let patch = number.strip_prefix(release).and_then(|rest| rest.strip_prefix('.'));
    patch.is_some_and(|patch| patch.parse::<u32>().is_ok())
}

fn lints() -> Result<Tally> {
    let deny = deny_warnings()?;
    let all = ["--all-targets", "--locked"];
    process::run(process::cargo().args(["clippy", "--workspace", "--exclude", TORCH]).args(all).args(deny))?;
    process::run(process::cargo().args(["clippy", "--release", "--package", TORCH]).args(all).args(deny))?;
    Ok(Tally::default())
}

/// What hosts load, as it is compiled for the platforms that `setup` knows beside this one, by rustc's names. Libraries only: what tests and xtask
/// bring along wants a C compiler for each.
const OTHER_PLATFORMS: [&str; 2] = ["x86_64-pc-windows-msvc", "aarch64-apple-darwin"];

/// The same lints for them, where their standard libraries are installed.
fn other_platforms() -> Result<Tally> {
    let deny = deny_warnings()?;
    for platform in OTHER_PLATFORMS {
        let folder = process::output(Command::new("rustc").args(["--print", "target-libdir", "--target", platform]))?;
        if !Path::new(folder.trim()).is_dir() {
            println!("left out: {platform}; `rustup target add {platform}` brings what it needs");
            continue;
        }
        let mut clippy = process::cargo();
        clippy.args(["clippy", "--workspace", "--exclude", TORCH, "--exclude", "xtask"]);
        process::run(clippy.args(["--lib", "--locked", "--target", platform]).args(deny))?;
    }
    Ok(Tally::default())
}

/// Empties a folder for the plugin to use in place of the user's: what is installed there is not what is tested, and a mark that a test left which
/// was stopped must hold nobody back.
fn empty_data_folder() -> Result<PathBuf> {
    let data = paths::target().join("tmp").join("data");
    files::remove(&data)?;
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make the folder {}", data.display()))?;
    Ok(data)
}

/// Without libtorch and without models, wherever they run.
fn unit_tests() -> Result<Tally> {
    let mut cargo = process::cargo();
    cargo.env(crate::HOME_VARIABLE, empty_data_folder()?);
    cargo.args(["test", "--workspace", "--exclude", "host-tests", "--exclude", TORCH, "--locked", "--no-fail-fast"]);
    tally::counted(&mut cargo)
}

fn backend_tests() -> Result<Tally> {
    tally::counted(process::cargo().args(["test", "--release", "--package", TORCH, "--locked", "--no-fail-fast"]))
}

/// The training package's tests need PyTorch, whose environment is 5.4 GB: they run where it is, and `PYTHON` may say where.
fn training_tests() -> Result<Tally> {
    let training = paths::root().join("models").join("training");
    let Some(python) = process::python() else {
        println!("left out: there is no Python 3");
        return Ok(Tally::default());
    };
    let modules = "import numpy, pytest, scipy, soundfile, torch, tqdm";
    if process::output(Command::new(&python).args(["-c", modules])).is_err() {
        println!(
            "left out: `{modules}` fails in {}; set PYTHON to the bin/python of an environment made as models/training/README.md says",
            python.display()
        );
        return Ok(Tally::default());
    }
    let mut pytest = Command::new(python);
    pytest.args(["-m", "pytest", "-q", "tests"]).current_dir(&training).env("PYTHONPATH", &training);
    tally::counted(&mut pytest)
}

fn make_bundle() -> Result<Tally> {
    bundle::run(BundleArgs::default()).map(|_| Tally::default())
}

/// One at a time: they measure time, memory and what the process has opened; what they measured is shown.
fn host_tests() -> Result<Tally> {
    let mut cargo = process::cargo();
    cargo.env("XDG_DATA_HOME", empty_data_folder()?);
    cargo.args([
        "test",
        "--package",
        "host-tests",
        "--locked",
        "--no-fail-fast",
        "--",
        "--test-threads=1",
        "--show-output",
    ]);
    tally::counted(&mut cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_errors_with_the_stable_compiler_of_the_release_alone() {
        assert!(
            is_of_release("rustc 1.95.0 (59807616e 2026-04-14)\n", "1.95") && is_of_release("rustc 1.95.1", "1.95")
        );
        for other in
            ["rustc 1.96.0 (abc 2026-05-28)", "rustc 1.95.0-nightly (abc 2026-02-01)", "rustc 1.950.0", "rustc", ""]
        {
            assert!(!is_of_release(other, "1.95"), "{other}");
        }
    }
}
