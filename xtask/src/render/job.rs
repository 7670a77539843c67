//! One file through the plugin.

use super::audio_file::{self, Audio};
use super::out_dir::OutDir;
use super::report::Report;
use super::sought::Sought;
use super::stem_files::{self, StemFiles, Written};
use super::{RenderArgs, resample};
use crate::models;
use anyhow::{Context, Result, ensure};
use host_tests::{BlockSizes, Bundle, Config, Instance, Pace, Priority, Rendered, Rendering, peak_db, resident_bytes};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One file to render.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The file.
    pub input: &'a Path,
    /// Where its stems go.
    pub out_dir: &'a Path,
    /// Other files that are still to be read.
    pub others: &'a [PathBuf],
}

/// Renders a job's input and writes `<stem>.wav`, `main.wav` and `report.json` to its folder, all aligned with the input.
pub fn render_file(bundle: &Bundle, args: &RenderArgs, job: Job<'_>) -> Result<Report> {
    let prepared = OutDir::prepare(job.out_dir)?;
    let (audio, sidechain) = read(args, job.input)?;
    let mut instance = bundle.create(None)?;
    let config = Config {
        rate_hz: f64::from(audio.rate_hz),
        max_block_samples: args.block,
        num_channels: audio.channels.len(),
        offline: true,
    };
    instance.configure(config)?;
    let outputs = instance.ports().outputs.clone();
    let others = job.others.iter().map(PathBuf::as_path);
    let sources = [job.input].into_iter().chain(args.sidechain.as_deref()).chain(others);
    prepared.claim(&stem_files::file_names(&outputs), &sources.collect::<Vec<_>>())?;
    let params = set_params(&mut instance, args)?;
    // Another plugin's sidechain is no example of anything.
    if let Some(sidechain) = &sidechain
        && instance.param("query_capture").is_ok()
    {
        show(&mut instance, sidechain)?;
    }
    instance.configure(Config { offline: !args.realtime, ..config })?;
    let rendering = Rendering {
        main: &audio.channels,
        sidechain: sidechain.as_ref().map(|audio| audio.channels.as_slice()),
        blocks: BlockSizes::Fixed(args.block),
        pace: if args.realtime { Pace::RealTime } else { Pace::AsFastAsPossible },
        // An offline render waits for it by itself only where there is sound to separate: a silent one may end before it is there.
        wait_for_model: true,
        changes: &[],
    };
    let sought = Sought::loudest_of(&audio);
    let files = StemFiles::new(job.out_dir, &outputs, audio.channels.len(), audio.rate_hz, sought.clone());
    let rendered = host_tests::render_onto(bundle, &mut instance, &rendering, files)?;
    let (rendered, written) = written(rendered)?;
    let report = report_of(args, &audio, &rendered);
    // Of a plugin that is not this version's, what sounds has to tell it.
    let is_query_model = models::is_query_model(&report.model).unwrap_or_else(|| written.seems_asked());
    note_on_example(&mut instance, args, is_query_model)?;

    let latency_samples = rendered.latency_samples;
    let latency_samples_measured = sought.and_then(|sought| sought.found_in(&written.heard, &audio, latency_samples));
    let parts = written.into_parts(is_query_model)?;
    let files = parts.iter().filter_map(|part| part.destination().file_name());
    let files = files.map(|name| name.to_string_lossy().into_owned()).collect();
    let report = Report { latency_samples_measured, params, files, ..report };
    prepared.publish(parts, &report)?;
    Ok(report)
}

/// What is rendered and the sidechain, at the host's rate.
fn read(args: &RenderArgs, input: &Path) -> Result<(Audio, Option<Audio>)> {
    let audio = audio_file::read(input)?;
    let host_rate_hz = args.rate.unwrap_or(audio.rate_hz);
    let audio = resample::to_rate(audio, host_rate_hz)?;
    let sidechain = args.sidechain.as_ref().map(|path| {
        let sidechain = audio_file::read(path).context("sidechain")?;
        resample::to_rate(sidechain, host_rate_hz).context("sidechain")
    });
    Ok((audio, sidechain.transpose()?))
}

/// Says where an example is missing, and where one was not needed.
fn note_on_example(instance: &mut Instance, args: &RenderArgs, is_query_model: bool) -> Result<()> {
    match &args.sidechain {
        None if is_query_model && asks_for_example(instance)? => eprintln!(
            "note: Query A asks for an example, and there is none: the model's first preset stands for it, as far as A is what is asked \
             for. Pass --sidechain FILE, or --set query_preset=drums"
        ),
        Some(path) if !is_query_model => {
            eprintln!(
                "note: this model is not asked for anything, and {} was not needed: pass --model query",
                path.display()
            );
        }
        _ => {}
    }
    Ok(())
}

/// Waits for the files; what else came of the render, apart.
fn written(rendered: Rendered<StemFiles>) -> Result<(Rendered<()>, Written)> {
    let Rendered { tape, latency_samples, timings, wall, priority, diagnostics, frames, restart_requested } = rendered;
    let rest = Rendered { tape: (), latency_samples, timings, wall, priority, diagnostics, frames, restart_requested };
    Ok((rest, tape.finish()?))
}

/// Captures what sounds last in the sidechain as the example.
fn show(instance: &mut Instance, sidechain: &Audio) -> Result<()> {
    let end = end_of_sound(&sidechain.channels);
    ensure!(end > 0, "the sidechain is silent: there is nothing in it to look for");
    let heard: Vec<Vec<f32>> =
        sidechain.channels.iter().map(|channel| channel[..end.min(channel.len())].to_vec()).collect();
    host_tests::capture_example(instance, &heard)?;
    if !asks_for_example(instance)? {
        let param = instance.param("query_preset")?;
        let value = instance.value(param.id)?;
        let asked = instance.text_of(param.id, value)?;
        eprintln!("note: {} is {asked}: the example was captured, but it is not what is asked for", param.name);
    }
    Ok(())
}

/// Whether slot A asks for its example, and for no preset.
fn asks_for_example(instance: &mut Instance) -> Result<bool> {
    let param = instance.param("query_preset")?;
    Ok(instance.value(param.id)? == param.default)
}

/// Samples up to the last one that is heard: what a file ends with is often silence, and the plugin captures what it heard last.
fn end_of_sound(channels: &[Vec<f32>]) -> usize {
    const SILENCE_DB: f64 = -100.0;
    const TRIM_DB: f64 = -50.0;
    let peak_db = peak_db(channels);
    if peak_db.is_nan() || peak_db < SILENCE_DB {
        return 0;
    }
    let floor = 10.0_f64.powf((peak_db + TRIM_DB) / 20.0) as f32;
    let ends = channels.iter().map(|channel| channel.iter().rposition(|x| x.abs() > floor).map_or(0, |last| last + 1));
    ends.max().unwrap_or(0)
}

/// Sets what was asked for and tells it as the plugin shows it, by name.
fn set_params(instance: &mut Instance, args: &RenderArgs) -> Result<BTreeMap<String, String>> {
    let mut assignments: Vec<(&str, &str)> = args.model.iter().map(|model| ("model", model.as_str())).collect();
    for assignment in &args.params {
        let (param, value) = assignment
            .split_once('=')
            .with_context(|| format!("--set {assignment}: expected PARAM=VALUE, like music_gain=-6"))?;
        assignments.push((param.trim(), value.trim()));
    }
    let mut shown = BTreeMap::new();
    for (name, text) in assignments {
        instance.set(name, text)?;
        let param = instance.param(name)?;
        let value = instance.value(param.id)?;
        let taken = instance.text_of(param.id, value)?;
        let (least, most) = (instance.text_of(param.id, param.min)?, instance.text_of(param.id, param.max)?);
        let is_at_an_end = value <= param.min || value >= param.max;
        ensure!(
            param.is_stepped || !is_at_an_end || !is_another_number(text, &taken),
            "--set {name}={text}: {} takes {least} to {most}",
            param.name
        );
        shown.insert(param.name, taken);
    }
    Ok(shown)
}

/// Whether the numbers that two texts begin with differ by more than the second one's last digit: what showing it loses. Seconds may be shown as
/// milliseconds, and where there is one side of zero alone a number may be written without its sign.
fn is_another_number(given: &str, shown: &str) -> bool {
    let parts = |text: &str| {
        let text = text.trim().trim_start_matches('+').replace('\u{2212}', "-").replace(',', ".");
        let end = text.find(|c: char| !(c.is_ascii_digit() || "-.".contains(c))).unwrap_or(text.len());
        (text[..end].to_owned(), text[end..].trim().to_lowercase())
    };
    let ((given, given_unit), (shown, shown_unit)) = (parts(given), parts(shown));
    let num_decimals = shown.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let lost = 0.1_f64.powf(num_decimals as f64);
    let scale = if given_unit == "s" && shown_unit == "ms" { 1e3 } else { 1.0 };
    let numbers = given.parse::<f64>().ok().zip(shown.parse::<f64>().ok());
    numbers.is_some_and(|(given, shown)| ((scale * given).abs() - shown.abs()).abs() > lost)
}

fn report_of(args: &RenderArgs, audio: &Audio, rendered: &Rendered<()>) -> Report {
    let diagnostics = rendered.diagnostics.clone().unwrap_or_default();
    let engine = diagnostics.newest().cloned().unwrap_or_default();
    let (wall, cpu) = (rendered.timings.wall(), rendered.timings.cpu());
    Report {
        model: engine.model,
        device: engine.device,
        host_rate: audio.rate_hz,
        block: args.block,
        latency_samples_reported: rendered.latency_samples,
        latency_samples_measured: None,
        late_frames: rendered.frames.num_late,
        unmasked_frames: rendered.frames.num_unmasked,
        frames: rendered.frames.num,
        rtf: engine.rtf,
        max_process_us: wall.max_us,
        load_ms: engine.load_ms,
        process_us_p999: wall.p999_us,
        process_cpu_us_p999: cpu.p999_us,
        render_rtf: rendered.wall.as_secs_f64() * f64::from(audio.rate_hz) / audio.num_samples() as f64,
        realtime: args.realtime,
        realtime_priority: rendered.priority == Priority::RealTime,
        rss_mb: resident_bytes().map(|num_bytes| num_bytes as f64 / 1e6),
        alloc_violations: diagnostics.alloc_violations,
        sidechain: args.sidechain.clone(),
        params: BTreeMap::new(),
        files: Vec::new(),
        state: engine.state,
        message: if engine.message.is_empty() { engine.notice } else { engine.message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_cut_to_the_range_is_noticed_and_one_that_was_rounded_is_not() {
        assert!(
            is_another_number("40", "+12.0 dB") && is_another_number("250 %", "200%") && is_another_number("-5", "0%")
        );
        assert!(is_another_number("1.3", "1.00") && is_another_number("12.2", "+12.0 dB"));
        assert!(!is_another_number("12", "+12.0 dB") && !is_another_number("99.7", "100%"));
        assert!(!is_another_number("-inf", "-inf dB") && !is_another_number("drums", "Drums"));
        assert!(
            !is_another_number("5s", "5000 ms")
                && !is_another_number("0,5 s", "500 ms")
                && is_another_number("6 s", "5000 ms")
        );
        assert!(
            !is_another_number("-24 dB", "24.0 dB")
                && is_another_number("-30", "24.0 dB")
                && !is_another_number("60", "-60.0 dB")
        );
    }

    #[test]
    fn an_example_ends_with_its_last_sound_and_silence_is_none() {
        let sound = [0.0, 0.5, -0.4, 0.3];
        let padded = [&sound[..], &[0.0; 100], &[1e-4; 50]].concat();
        assert_eq!(end_of_sound(std::slice::from_ref(&padded)), sound.len());
        assert_eq!(end_of_sound(&[vec![0.0; 10], padded]), sound.len());
        for silence in [vec![], vec![vec![]], vec![vec![0.0; 10]], vec![vec![1e-6; 10]]] {
            assert_eq!(end_of_sound(&silence), 0);
        }
    }
}
