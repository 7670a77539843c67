//! The commands of the README that need the bundle, as they are typed there: what they write is there, and is sound.

use super::tally::Tally;
use crate::render::audio_file;
use crate::{files, paths, process};
use anyhow::{Result, ensure};
use host_tests::peak_db;
use std::path::Path;
use std::process::Command;

/// A stem that is softer holds nothing of a programme.
const SOFTEST_DB: f64 = -60.0;

/// `render` of a model that is asked, by an example and by a class.
pub fn run() -> Result<Tally> {
    let programme = paths::root().join("tests").join("fixtures").join("programme");
    let [dialogue, music] = ["dialogue.flac", "music.flac"].map(|name| programme.join(name));
    let out = paths::target().join("tmp").join("commands");
    files::remove(&out)?;
    let example = dialogue.display().to_string();
    let asked = [["--sidechain", &example], ["--set", "query_preset=drums"]];
    for (number, asked) in asked.iter().enumerate() {
        let folder = out.join(number.to_string());
        let mut render = Command::new(std::env::current_exe()?);
        // Marks of a render that was stopped must hold nobody back.
        render.env("XDG_DATA_HOME", out.join("data"));
        render.args(["render", "--model", "query"]).args(asked).arg(&music).arg(&folder);
        process::run(&mut render)?;
        check(&folder)?;
    }
    Ok(Tally { num_passed: u32::try_from(asked.len())?, ..Tally::default() })
}

/// Whether the stems of a model that is asked are there, the report beside them.
fn check(folder: &Path) -> Result<()> {
    for name in ["target.wav", "residual.wav", "main.wav"] {
        let peak = peak_db(&audio_file::read(&folder.join(name))?.channels);
        ensure!(peak > SOFTEST_DB, "{}: {peak:.1} dBFS at most", folder.join(name).display());
    }
    ensure!(folder.join("report.json").is_file(), "no report.json in {}", folder.display());
    ensure!(!folder.join("music.wav").exists(), "{} has a stem that this model has not", folder.display());
    Ok(())
}
