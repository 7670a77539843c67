//! The commands of the README that need the bundle, as they are typed there: what they write is there, and is sound.

use super::tally::Tally;
use crate::render::audio_file;
use crate::{files, paths, process};
use anyhow::{Result, ensure};
use host_tests::{peak_db, residual_db};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A stem that is softer holds nothing of a programme.
const SOFTEST_DB: f64 = -60.0;

/// What two questions find differs by more.
const ALIKE_DB: f64 = -40.0;

/// `demo`, which judges how well each model separates, and `render` of a model that is asked, by an example and by a class, where nothing
/// sounds, and where there is no model any more.
pub fn run() -> Result<Tally> {
    let programme = paths::root().join("tests").join("fixtures").join("programme");
    let [dialogue, music] = ["dialogue.flac", "music.flac"].map(|name| programme.join(name));
    let out = paths::target().join("tmp").join("commands");
    files::remove(&out)?;
    process::run(xtask(&out)?.args(["demo", "--out-dir"]).arg(out.join("demo")))?;
    let example = dialogue.display().to_string();
    let asked = [["--sidechain", &example], ["--set", "query_preset=drums"], ["--set", "query_preset=piano"]];
    let presets = [None, Some("Drums"), Some("Piano")];
    let mut targets: Vec<Vec<Vec<f32>>> = Vec::new();
    for (number, (asked, preset)) in asked.iter().zip(presets).enumerate() {
        let folder = out.join(number.to_string());
        process::run(render(&out)?.args(asked).arg(&music).arg(&folder))?;
        check(&folder, preset)?;
        let target = audio_file::read(&folder.join("target.wav"))?.channels;
        for (other, before) in presets.iter().zip(&targets) {
            let difference = residual_db(before, &target);
            ensure!(difference > ALIKE_DB, "{other:?} and {preset:?} find the same, within {difference:.1} dBFS");
        }
        targets.push(target);
    }
    check_silence(&out)?;
    check_without_model(&out, &music)?;
    Ok(Tally { num_passed: u32::try_from(asked.len() + 3)?, ..Tally::default() })
}

/// `cargo xtask`, without a command.
fn xtask(out: &Path) -> Result<Command> {
    let mut xtask = Command::new(std::env::current_exe()?);
    // Marks of a render that was stopped must hold nobody back.
    xtask.env("XDG_DATA_HOME", out.join("data"));
    Ok(xtask)
}

/// `render` of a model that is asked, without what it is to render.
fn render(out: &Path) -> Result<Command> {
    let mut render = xtask(out)?;
    render.args(["render", "--model", "query"]);
    Ok(render)
}

/// Whether a file that is silent, and over before a model can be loaded, has the stems of its model, and is no failure.
fn check_silence(out: &Path) -> Result<()> {
    let (input, folder) = (out.join("silence.wav"), out.join("silence"));
    audio_file::write(&input, &[vec![0.0; 4_800]], 48_000)?;
    process::run(render(out)?.arg(&input).arg(&folder))?;
    for name in ["target.wav", "residual.wav", "main.wav"] {
        let peak = peak_db(&audio_file::read(&folder.join(name))?.channels);
        ensure!(peak == f64::NEG_INFINITY, "{}: {peak:.1} dBFS, expected silence", folder.join(name).display());
    }
    ensure!(!folder.join("music.wav").exists(), "{} has a stem that this model has not", folder.display());
    Ok(())
}

/// Whether a render without a model is refused, and leaves what an earlier one left as it was.
fn check_without_model(out: &Path, input: &Path) -> Result<()> {
    let (home, folder) = (out.join("empty"), out.join("0"));
    std::fs::create_dir(&home)?;
    let contents = || -> Result<Vec<_>> {
        let files = files::list(&folder, |_| true)?;
        files.into_iter().map(|path| Ok((std::fs::read(&path)?, path))).collect()
    };
    let before = contents()?;
    let output = render(out)?.arg(input).arg(&folder).env("UNDERSCORE_HOME", home).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && told.contains("nothing can be separated"), "{}: {told}", output.status);
    ensure!(contents()? == before, "{} is not what the earlier render left", folder.display());
    Ok(())
}

/// Whether the stems of a model that is asked are there, and the report beside them, which says what was asked for.
fn check(folder: &Path, preset: Option<&str>) -> Result<()> {
    for name in ["target.wav", "residual.wav", "main.wav"] {
        let peak = peak_db(&audio_file::read(&folder.join(name))?.channels);
        ensure!(peak > SOFTEST_DB, "{}: {peak:.1} dBFS at most", folder.join(name).display());
    }
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json"))?)?;
    let asked = report["params"]["Query A"].as_str();
    ensure!(asked == preset, "{}: Query A is {asked:?}, expected {preset:?}", folder.display());
    ensure!(!folder.join("music.wav").exists(), "{} has a stem that this model has not", folder.display());
    Ok(())
}
