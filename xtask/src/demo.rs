//! `cargo xtask demo`: from nothing to stems on disk, and how good they are.

mod figure;
mod score;
mod spectrogram;

use crate::bundle::{self, BundleArgs};
use crate::models::{self, Entry};
use crate::render::audio_file::{self, Audio};
use crate::render::{self, Job, RenderArgs, Report};
use crate::{paths, setup};
use anyhow::{Context, Result, ensure};
use host_tests::{residual_db, sum_of};
use score::Score;
use std::path::{Path, PathBuf};

/// The stems in the order of the printed table.
const STEMS: [&str; 2] = ["music", "dialogue"];

/// What a model that is asked by example is asked for, and its stems in the same order then.
const ASKED_FOR: &str = "query_preset=voice";
const STEMS_WHEN_ASKED: [&str; 2] = ["residual", "target"];

/// What the stems may differ from the mixture in sum, dBFS.
const SUM_LIMIT_DB: f64 = -120.0;

/// What the music must gain in SDR over the mixture, dB, by the model's family: a tenth less than what the README and docs/query.md say.
const LEAST_GAIN_DB: [(&str, f64); 4] = [("music", 9.1), ("live", 9.0), ("query", 7.9), ("exact", 6.5)];

/// Samples per block.
const BLOCK_SAMPLES: usize = 256;

/// The programme in parts: what goes in, and what was put together to make it.
struct Programme {
    mixture: Audio,
    references: Vec<Audio>,
    /// The mixture, on disk.
    input: PathBuf,
}

impl Programme {
    /// Puts it together, and writes the mixture into `folder`.
    fn make(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let references = STEMS.map(|stem| audio_file::read(&paths::programme().join(format!("{stem}.flac"))));
        let references = references.into_iter().collect::<Result<Vec<_>>>()?;
        let mixture = mix(&references)?;
        let input = folder.join("mixture.wav");
        audio_file::write(&input, &mixture.channels, mixture.rate_hz)?;
        Ok(Self { mixture, references, input })
    }
}

/// What a model made of the programme.
struct Separated {
    report: Report,
    /// In the order of [`STEMS`], as the scores are.
    estimates: Vec<Audio>,
    /// Of each stem, the mixture as its estimate first.
    scores: Vec<(Score, Score)>,
}

impl Separated {
    /// Renders the programme into `folder`, by the default model where `model` is none.
    fn render(programme: &Programme, folder: &Path, clap: &Path, model: Option<&Entry>) -> Result<Self> {
        let report = render(&programme.input, folder, clap, model, Pace::Offline)?;
        let stems = if model.is_some_and(Entry::is_query_model) { STEMS_WHEN_ASKED } else { STEMS };
        let estimates = stems.iter().map(|stem| audio_file::read(&folder.join(format!("{stem}.wav"))));
        let estimates = estimates.collect::<Result<Vec<_>>>()?;
        let both = programme.references.iter().zip(&estimates);
        let scores = both.map(|(reference, estimate)| {
            let before = Score::of(&reference.channels, &programme.mixture.channels)?;
            Ok((before, Score::of(&reference.channels, &estimate.channels)?))
        });
        let scores = scores.collect::<Result<Vec<_>>>()?;
        Ok(Self { report, estimates, scores })
    }

    /// Largest difference between the sum of the stems and the mixture, dBFS.
    fn residual_db(&self, mixture: &Audio) -> f64 {
        let stems: Vec<&[Vec<f32>]> = self.estimates.iter().map(|audio| audio.channels.as_slice()).collect();
        residual_db(&mixture.channels, &sum_of(&stems))
    }

    /// What is wrong where the music gains less than a model of this id is to.
    fn too_little(&self, model_id: &str) -> Option<String> {
        let least_db = least_gain_db(model_id)?;
        let (before, after) = self.scores.first()?;
        let gain_db = after.sdr_db - before.sdr_db;
        (gain_db.is_nan() || gain_db < least_db)
            .then(|| format!("{model_id}: the music gains {gain_db:.2} dB of SDR, at least {least_db} dB expected"))
    }
}

fn least_gain_db(model_id: &str) -> Option<f64> {
    let family = model_id.split('-').next();
    LEAST_GAIN_DB.iter().find(|(name, _)| family == Some(name)).map(|(_, least_db)| *least_db)
}

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Where the stems go instead of target/demo
    #[arg(long, hide = true)]
    out_dir: Option<PathBuf>,
}

/// Sets up, builds, renders, draws and measures.
pub fn run(args: &DemoArgs) -> Result<()> {
    setup::run(&setup::SetupArgs::default())?;
    let layout = bundle::run(BundleArgs::default())?;
    let folder = args.out_dir.clone().unwrap_or_else(|| paths::target().join("demo"));
    let programme = Programme::make(&folder)?;

    let separated = Separated::render(&programme, &folder, &layout.clap, None)?;
    println!("once more at the pace of a live session, for the load");
    let live = render(&programme.input, &folder.join("live"), &layout.clap, None, Pace::Live)?;

    let picture = folder.join("spectrograms.png");
    figure::draw(&picture, &panels(&programme.mixture, &separated))?;
    print_table(&programme.mixture, &separated);
    print_load(&separated.report, &live);
    let mut wrong = faults(&separated, &programme.mixture);
    for model in models::chosen(&[])?.iter().skip(1) {
        let other = Separated::render(&programme, &folder.join(&model.id), &layout.clap, Some(model))?;
        other.report.require_separated()?;
        print_scores(model, &other);
        wrong.extend(other.too_little(&model.id));
    }
    for name in ["mixture.wav", "music.wav", "dialogue.wav", "spectrograms.png", "report.json"] {
        println!("{}", paths::shown(&folder.join(name)));
    }
    ensure!(wrong.is_empty(), "the demo is not as it should be:\n  {}", wrong.join("\n  "));
    Ok(())
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
    let is_query_model = model.is_some_and(Entry::is_query_model);
    let args = RenderArgs {
        input: input.to_path_buf(),
        out_dir: folder.to_path_buf(),
        model: model.map(|model| model.id.clone()),
        block: BLOCK_SAMPLES,
        rate: None,
        realtime: pace == Pace::Live,
        params: if is_query_model { vec![ASKED_FOR.to_owned()] } else { Vec::new() },
        sidechain: None,
        bundle: Some(clap.to_path_buf()),
    };
    render::render_file(&args.open_bundle()?, &args, Job { input, out_dir: folder, others: &[] })
}

fn panels<'a>(mixture: &'a Audio, separated: &'a Separated) -> Vec<figure::Panel<'a>> {
    let mut panels = vec![figure::Panel { title: "mixture".into(), audio: mixture }];
    for ((stem, audio), (before, after)) in STEMS.iter().zip(&separated.estimates).zip(&separated.scores) {
        let before_db = (10.0 * before.sdr_db).round() / 10.0 + 0.0;
        let title = format!("{stem}: SDR {:.1} dB, {before_db:.1} dB in the mixture", after.sdr_db);
        panels.push(figure::Panel { title, audio });
    }
    panels
}

fn print_table(mixture: &Audio, separated: &Separated) {
    let Separated { report, scores, .. } = separated;
    let seconds = mixture.num_samples() as f64 / f64::from(mixture.rate_hz);
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
    println!("stems sum to the mixture within {:.1} dBFS", separated.residual_db(mixture));
}

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

/// How well a model separates that is not the default one.
fn print_scores(model: &Entry, separated: &Separated) {
    let Separated { report, scores, .. } = separated;
    let sdr_db: Vec<String> =
        STEMS.iter().zip(scores).map(|(stem, (_, after))| format!("{:.2} dB ({stem})", after.sdr_db)).collect();
    println!(
        "with {}{}, {:.0} ms: SDR {}, {:.2} s per second of audio\n",
        model.id,
        if model.is_query_model() { format!(", {ASKED_FOR}") } else { String::new() },
        1e3 * report.latency_samples_reported as f64 / f64::from(report.host_rate),
        sdr_db.join(", "),
        report.rtf
    );
}

/// What is not as it must be of every demo.
fn faults(separated: &Separated, mixture: &Audio) -> Vec<String> {
    let report = &separated.report;
    let mut wrong = Vec::new();
    // What the plugin says beside that (of a card that is taken, say) is no fault of the sound.
    wrong.extend(report.require_separated().err().map(|error| error.to_string()));
    let residual_db = separated.residual_db(mixture);
    if residual_db > SUM_LIMIT_DB {
        wrong.push(format!(
            "the stems differ from the mixture by {residual_db:.1} dBFS, at most {SUM_LIMIT_DB} expected"
        ));
    }
    if report.latency_samples_measured != Some(report.latency_samples_reported) {
        let (reported, measured) = (report.latency_samples_reported, report.latency_samples_measured);
        wrong.push(format!("the latency is {measured:?} samples, {reported} reported"));
    }
    wrong.extend(separated.too_little(&report.model));
    wrong
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
    fn every_model_that_ships_has_to_gain_something() {
        for model in models::chosen(&[]).expect("the manifest") {
            assert!(least_gain_db(&model.id).is_some_and(|least_db| least_db > 6.0), "{}", model.id);
        }
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
