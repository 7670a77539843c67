//! `cargo xtask demo`: from nothing to stems on disk, and how good they are.

mod figure;
mod score;
mod spectrogram;

use crate::bundle::{self, BundleArgs};
use crate::models::{self, Entry};
use crate::render::audio_file::{self, Audio};
use crate::render::{self, Job, RenderArgs, Report};
use crate::{paths, setup};
use anyhow::{Context, Result, bail, ensure};
use host_tests::{residual_db, sum_of};
use score::Score;
use std::path::Path;

/// The stems in the order of the printed table.
const STEMS: [&str; 2] = ["music", "dialogue"];

/// What a model that is asked by example is asked for, and its stems in the same order then.
const ASKED_FOR: &str = "query_preset=voice";
const STEMS_WHEN_ASKED: [&str; 2] = ["residual", "target"];

/// What the stems may differ from the mixture in sum, dBFS.
const SUM_LIMIT_DB: f64 = -120.0;

/// What the music must gain in SDR over the mixture, dB.
const MUSIC_GAIN_BAR_DB: f64 = 6.0;

/// Samples per block.
const BLOCK_SAMPLES: usize = 256;

/// The programme in parts: what goes in, what was put together to make it, and what comes out.
struct Programme {
    mixture: Audio,
    references: Vec<Audio>,
    estimates: Vec<Audio>,
}

/// Sets up, builds, renders, draws and measures.
pub fn run() -> Result<()> {
    setup::run(&setup::SetupArgs::default())?;
    let layout = bundle::run(BundleArgs::default())?;
    let folder = paths::target().join("demo");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let references = STEMS.map(|stem| audio_file::read(&paths::programme().join(format!("{stem}.flac"))));
    let references = references.into_iter().collect::<Result<Vec<_>>>()?;
    let mixture = mix(&references)?;
    let input = folder.join("mixture.wav");
    audio_file::write(&input, &mixture.channels, mixture.rate_hz)?;

    let report = render(&input, &folder, &layout.clap, None, Pace::Offline)?;
    println!("once more at the pace of a live session, for the load");
    let live = render(&input, &folder.join("live"), &layout.clap, None, Pace::Live)?;
    let estimates = estimates_in(&folder, STEMS)?;
    let programme = Programme { mixture, references, estimates };
    let scores = scores(&programme)?;
    let residual_db = residual(&programme);

    let picture = folder.join("spectrograms.png");
    figure::draw(&picture, &panels(&programme, &scores))?;
    print_table(&programme, &scores, &report, residual_db);
    print_load(&report, &live);
    print_others(&programme, &input, &folder, &layout.clap)?;
    for name in ["mixture.wav", "music.wav", "dialogue.wav", "spectrograms.png", "report.json"] {
        println!("{}", paths::shown(&folder.join(name)));
    }
    check(&scores, &report, residual_db)
}

/// The stems that were rendered into a folder.
fn estimates_in(folder: &Path, stems: [&str; 2]) -> Result<Vec<Audio>> {
    stems.iter().map(|stem| audio_file::read(&folder.join(format!("{stem}.wav")))).collect()
}

/// The sum of the references.
fn mix(references: &[Audio]) -> Result<Audio> {
    let first = references.first().context("there is no reference")?;
    let shape = |audio: &Audio| (audio.rate_hz, audio.channels.len(), audio.num_samples());
    ensure!(references.iter().all(|other| shape(other) == shape(first)), "the references differ in rate or length");
    let channels: Vec<&[Vec<f32>]> = references.iter().map(|audio| audio.channels.as_slice()).collect();
    Ok(Audio { channels: sum_of(&channels), rate_hz: first.rate_hz })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Offline,
    Live,
}

fn render(input: &Path, folder: &Path, clap: &Path, model: Option<&Entry>, pace: Pace) -> Result<Report> {
    let is_asked = model.is_some_and(Entry::is_asked);
    let args = RenderArgs {
        input: input.to_path_buf(),
        out_dir: folder.to_path_buf(),
        model: model.map(|model| model.id.clone()),
        block: BLOCK_SAMPLES,
        rate: None,
        realtime: pace == Pace::Live,
        params: if is_asked { vec![ASKED_FOR.to_owned()] } else { Vec::new() },
        sidechain: None,
        bundle: Some(clap.to_path_buf()),
    };
    render::render_file(&args.open_bundle()?, &args, Job { input, out_dir: folder, others: &[] })
}

/// Scores of each stem, the mixture as its estimate first.
fn scores(programme: &Programme) -> Result<Vec<(Score, Score)>> {
    let both = programme.references.iter().zip(&programme.estimates);
    both.map(|(reference, estimate)| {
        let before = Score::of(&reference.channels, &programme.mixture.channels)?;
        Ok((before, Score::of(&reference.channels, &estimate.channels)?))
    })
    .collect()
}

/// Largest difference between the sum of the stems and the mixture, dBFS.
fn residual(programme: &Programme) -> f64 {
    let stems: Vec<&[Vec<f32>]> = programme.estimates.iter().map(|audio| audio.channels.as_slice()).collect();
    residual_db(&programme.mixture.channels, &sum_of(&stems))
}

fn panels<'a>(programme: &'a Programme, scores: &[(Score, Score)]) -> Vec<figure::Panel<'a>> {
    let mut panels = vec![figure::Panel { title: "mixture".into(), audio: &programme.mixture }];
    for ((stem, audio), (before, after)) in STEMS.iter().zip(&programme.estimates).zip(scores) {
        let before_db = (10.0 * before.sdr_db).round() / 10.0 + 0.0;
        let title = format!("{stem}: SDR {:.1} dB, {before_db:.1} dB in the mixture", after.sdr_db);
        panels.push(figure::Panel { title, audio });
    }
    panels
}

fn print_table(programme: &Programme, scores: &[(Score, Score)], report: &Report, residual_db: f64) {
    let seconds = programme.mixture.num_samples() as f64 / f64::from(programme.mixture.rate_hz);
    println!("\n{seconds:.1} s of speech over music at {} Hz, model {}\n", report.host_rate, report.model);
    println!("            SDR in   SDR out      gain   SI-SDR in  SI-SDR out      gain");
    // Adding zero turns −0 into 0.
    let rounded = |db: f64| (100.0 * db).round() / 100.0 + 0.0;
    for (stem, (before, after)) in STEMS.iter().zip(scores) {
        let sdr = [before.sdr_db, after.sdr_db, after.sdr_db - before.sdr_db].map(rounded);
        let si_sdr = [before.si_sdr_db, after.si_sdr_db, after.si_sdr_db - before.si_sdr_db].map(rounded);
        println!(
            "{stem:9} {:6.2} dB {:6.2} dB {:6.2} dB   {:6.2} dB   {:6.2} dB {:6.2} dB",
            sdr[0], sdr[1], sdr[2], si_sdr[0], si_sdr[1], si_sdr[2]
        );
    }
    let measured = report.latency_samples_measured.map_or("none".into(), |samples| samples.to_string());
    let latency_ms = 1e3 * report.latency_samples_reported as f64 / f64::from(report.host_rate);
    println!();
    println!("latency reported   {} samples ({latency_ms:.0} ms)", report.latency_samples_reported);
    println!("latency measured   {measured} samples");
    println!("late frames        {} of {}", report.late_frames, report.frames);
    println!("stems sum to the mixture within {residual_db:.1} dBFS");
}

/// What it costs: loading, the worker, and the audio thread of a live session.
fn print_load(report: &Report, live: &Report) {
    let period_us = 1e6 * live.block as f64 / f64::from(live.host_rate);
    let load_percent = 100.0 * live.process_cpu_us_p999 / period_us;
    println!("libtorch and model loaded in {:.0} ms", report.load_ms);
    println!("worker             {:.2} s per second of audio (RTF) on {}", live.rtf, live.device);
    println!(
        "audio thread       {:.0} us per block of {} samples at the 99.9th percentile, {load_percent:.1} % of its time",
        live.process_cpu_us_p999, live.block
    );
    println!("late when live     {} of {} frames\n", live.late_frames, live.frames);
}

/// The programme through the models that are not the default one.
fn print_others(programme: &Programme, input: &Path, folder: &Path, clap: &Path) -> Result<()> {
    for model in models::chosen(&[])?.iter().skip(1) {
        let folder = folder.join(&model.id);
        let report = render(input, &folder, clap, Some(model), Pace::Offline)?;
        report.require_separated()?;
        let stems = if model.is_asked() { STEMS_WHEN_ASKED } else { STEMS };
        let scores = programme.references.iter().zip(estimates_in(&folder, stems)?);
        let scores = scores.map(|(reference, estimate)| Score::of(&reference.channels, &estimate.channels));
        let sdr_db = scores.map(|score| Ok(format!("{:.2} dB", score?.sdr_db))).collect::<Result<Vec<_>>>()?;
        let latency_ms = 1e3 * report.latency_samples_reported as f64 / f64::from(report.host_rate);
        println!(
            "with {}{}, {latency_ms:.0} ms: SDR {} (music), {} (dialogue), {:.2} s per second of audio\n",
            model.id,
            if model.is_asked() { format!(", {ASKED_FOR}") } else { String::new() },
            sdr_db[0],
            sdr_db[1],
            report.rtf
        );
    }
    Ok(())
}

/// What must hold of every demo.
fn check(scores: &[(Score, Score)], report: &Report, residual_db: f64) -> Result<()> {
    let mut wrong = Vec::new();
    if !report.message.is_empty() {
        wrong.push(format!("the plugin says: {}", report.message));
    }
    if residual_db > SUM_LIMIT_DB {
        wrong.push(format!(
            "the stems differ from the mixture by {residual_db:.1} dBFS, at most {SUM_LIMIT_DB} expected"
        ));
    }
    if report.latency_samples_measured != Some(report.latency_samples_reported) {
        let (reported, measured) = (report.latency_samples_reported, report.latency_samples_measured);
        wrong.push(format!("the latency is {measured:?} samples, {reported} reported"));
    }
    if report.late_frames > 0 {
        wrong.push(format!("{} frames came late in an offline render", report.late_frames));
    }
    if let Some((before, after)) = scores.first() {
        let gain_db = after.sdr_db - before.sdr_db;
        if gain_db.is_nan() || gain_db < MUSIC_GAIN_BAR_DB {
            wrong.push(format!("the music gains {gain_db:.2} dB of SDR, at least {MUSIC_GAIN_BAR_DB} dB expected"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("the demo is not as it should be:\n  {}", wrong.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixture_is_the_sum_and_references_must_match() {
        let audio = |samples: &[f32]| Audio { channels: vec![samples.to_vec()], rate_hz: 48_000 };
        let mixture = mix(&[audio(&[0.5, 0.25]), audio(&[0.25, -0.25])]).expect("a mixture");
        assert_eq!(mixture.channels, [[0.75, 0.0]]);
        assert!(mix(&[audio(&[0.5]), audio(&[0.5, 0.5])]).is_err());
    }

    #[test]
    fn the_programme_is_twelve_seconds_of_stereo() {
        for stem in STEMS {
            let audio = audio_file::read(&paths::programme().join(format!("{stem}.flac"))).expect("the fixture");
            assert_eq!((audio.rate_hz, audio.channels.len()), (48_000, 2));
            assert_eq!(audio.num_samples(), 12 * 48_000);
        }
    }
}
