//! `cargo xtask render`: audio files through the built CLAP bundle, in process.

pub mod audio_file;
mod job;
mod out_dir;
mod report;
mod resample;
mod sought;
mod stem_files;

use anyhow::{Context, Result, anyhow, bail, ensure};
use host_tests::Bundle;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub use job::{Job, render_file};
pub use report::Report;

/// What to render, and how a host would set the plugin up for it.
#[derive(Debug, Clone, clap::Args)]
pub struct RenderArgs {
    /// An audio file of one or two channels (WAV, AIFF, FLAC, Ogg Vorbis, MP3), or a folder of them; all of a file has to fit into memory
    pub input: PathBuf,
    /// Where the stems, main.wav (32-bit float, 4 GB each at most) and report.json go, in place of those of an earlier render; for a
    /// folder: one folder per file in it
    pub out_dir: PathBuf,
    /// Model id, as in models/manifest.toml, or what only one of them begins with
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// Samples per block
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub block: usize,
    /// Host sample rate; the input is resampled to it [default: that of the file]
    #[arg(long, value_name = "HZ")]
    pub rate: Option<u32>,
    /// Pace the blocks by the clock and do not report offline rendering, as in a live session
    #[arg(long)]
    pub realtime: bool,
    /// Set a param by id or name, as often as needed: --set music_gain=-6 --set "Dialogue Mute=on"
    #[arg(long = "set", value_name = "PARAM=VALUE")]
    pub params: Vec<String>,
    /// Audio for the sidechain input; its last three seconds that sound are the example for a model that is asked, before the render begins
    #[arg(long, value_name = "FILE")]
    pub sidechain: Option<PathBuf>,
    /// The CLAP to host [default: the one `cargo xtask bundle` made]
    #[arg(long, value_name = "PATH")]
    pub bundle: Option<PathBuf>,
}

impl RenderArgs {
    /// Opens the bundle asked for.
    pub fn open_bundle(&self) -> Result<Bundle> {
        let path = match &self.bundle {
            Some(path) => path.canonicalize().with_context(|| format!("no bundle at {}", path.display()))?,
            None => host_tests::bundle_path()?,
        };
        Ok(Bundle::open(path)?)
    }
}

/// Renders a file or a folder. An error in one file of a folder is told at once, and all of them fail the run at its end.
pub fn run(args: &RenderArgs) -> Result<()> {
    ensure!((1..=1 << 20).contains(&args.block), "--block {}: expected 1 to 1048576 samples", args.block);
    let bundle = args.open_bundle()?;
    if !args.input.is_dir() {
        let report = render_file(&bundle, args, Job { input: &args.input, out_dir: &args.out_dir, others: &[] })?;
        println!("{}", report.summary());
        println!("written to {}", args.out_dir.display());
        return report.require_separated();
    }
    let (inputs, left_out) = inputs_of(&args.input)?;
    if !left_out.is_empty() {
        println!("left out, being no audio files: {}", left_out.join(", "));
    }
    render_all(&bundle, args, &jobs_of(inputs, &args.out_dir))
}

/// A folder's files, each into a folder of its own.
fn render_all(bundle: &Bundle, args: &RenderArgs, jobs: &[(PathBuf, PathBuf)]) -> Result<()> {
    let bar = ProgressBar::new(jobs.len() as u64)
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed_precise} {wide_msg}")?);
    let inputs: Vec<PathBuf> = jobs.iter().map(|(input, _)| input.clone()).collect();
    let mut failures = Vec::new();
    for (input, out_dir) in jobs {
        let name = file_name(input).to_string_lossy();
        bar.set_message(name.to_string());
        match contained(|| render_file(bundle, args, Job { input, out_dir, others: &inputs })) {
            Ok(report) => {
                bar.suspend(|| println!("{name}: {}", report.summary()));
                if let Err(error) = report.require_separated() {
                    bar.suspend(|| eprintln!("{name}: {error:#}"));
                    failures.push(name.to_string());
                }
            }
            Err(error) => {
                bar.suspend(|| eprintln!("{name}: skipped: {error:#}"));
                failures.push(name.to_string());
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let num_rendered = jobs.len() - failures.len();
    println!("{num_rendered} of {} files separated to {}", jobs.len(), args.out_dir.display());
    if !failures.is_empty() {
        bail!("{} of {} files could not be separated: {}", failures.len(), jobs.len(), failures.join(", "));
    }
    Ok(())
}

/// Of a file over which something stumbles, a panic is that file's failure: the others are still to be rendered.
fn contained<T>(render: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(render)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it does not say why");
        Err(anyhow!("a fault of this program, which the file brought to light: {text}"))
    })
}

/// The audio files of a folder, by name, and what else is in it, which is not rendered.
fn inputs_of(folder: &Path) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let fail = || format!("cannot list {}", folder.display());
    let (mut inputs, mut left_out) = (Vec::new(), Vec::new());
    for entry in folder.read_dir().with_context(fail)? {
        let path = entry.with_context(fail)?.path();
        // Beside a file, and with its extension, macOS puts what other disks have no room for.
        if file_name(&path).as_encoded_bytes().starts_with(b"._") {
            continue;
        }
        if path.is_file() && audio_file::has_audio_extension(&path) {
            inputs.push(path);
        } else {
            let kind = match path.metadata() {
                Ok(metadata) if metadata.is_dir() => " (a folder)",
                Ok(_) => "",
                Err(_) => " (leads nowhere)",
            };
            left_out.push(format!("{}{kind}", file_name(&path).display()));
        }
    }
    ensure!(
        !inputs.is_empty(),
        "no audio files in {}: expected {}",
        folder.display(),
        audio_file::EXTENSIONS.join(", ")
    );
    inputs.sort();
    left_out.sort();
    Ok((inputs, left_out))
}

/// Each input with a folder of its own under `out_dir`.
fn jobs_of(inputs: Vec<PathBuf>, out_dir: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut taken = BTreeSet::new();
    let jobs = inputs.into_iter().map(|input| {
        // To some disks `A` and `a` are one folder.
        let as_taken = |name: &OsStr| name.to_string_lossy().to_lowercase();
        let (stem, whole) = (input.file_stem().unwrap_or_default(), file_name(&input));
        // `a.wav` and `a.flac` beside each other: the second keeps its extension. So does `...wav`: its stem is the folder above.
        let is_no_name = stem == "." || stem == "..";
        let mut folder = if is_no_name || taken.contains(&as_taken(stem)) { whole } else { stem }.to_owned();
        while !taken.insert(as_taken(&folder)) {
            folder.push("-");
        }
        (input, out_dir.join(folder))
    });
    jobs.collect()
}

fn file_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_do_not_overwrite_each_other_and_texts_are_no_audio() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.wav", "a.flac", "a.wav.flac", "A.ogg", "b.MP3", "..wav", "...wav", "notes.txt", "._a.wav"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let (inputs, left_out) = inputs_of(folder.path()).unwrap();
        assert_eq!(left_out, ["notes.txt"]);
        let jobs = jobs_of(inputs, Path::new("out"));
        let folders: BTreeSet<_> = jobs.iter().map(|(_, out_dir)| out_dir.to_string_lossy().to_lowercase()).collect();
        assert_eq!((jobs.len(), folders.len()), (7, 7), "{folders:?}");
        for (input, out_dir) in &jobs {
            // Of `out/..` there is none.
            assert!(out_dir.file_name().is_some() && out_dir.parent() == Some(Path::new("out")), "{}", input.display());
            assert!(!input.ends_with("._a.wav"));
        }
    }

    #[test]
    fn what_of_a_folder_is_not_rendered_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.wav", "b.m4a", "._a.wav"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        std::fs::create_dir(folder.path().join("reel.wav")).unwrap();
        let mut expected = vec!["b.m4a", "reel.wav (a folder)"];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("unplugged/c.wav", folder.path().join("c.wav")).unwrap();
            expected.insert(1, "c.wav (leads nowhere)");
        }
        let (inputs, left_out) = inputs_of(folder.path()).unwrap();
        assert_eq!(
            (inputs, left_out),
            (vec![folder.path().join("a.wav")], expected.iter().map(|it| (*it).to_owned()).collect())
        );
    }

    #[test]
    fn a_file_over_which_something_stumbles_is_a_failure_and_not_the_end_of_the_run() {
        assert_eq!(contained(|| Ok(1)).unwrap(), 1);
        assert_eq!(contained::<()>(|| bail!("as meant")).unwrap_err().to_string(), "as meant");
        let number = 7;
        for (text, error) in [
            ("by a word", contained::<()>(|| panic!("by a word"))),
            ("by number 7", contained(|| panic!("by number {number}"))),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("a fault of this program") && error.contains(text), "{error}");
        }
    }
}
