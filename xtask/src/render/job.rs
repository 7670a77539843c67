//! One file through the plugin.

use super::audio_file::{self, Audio};
use super::report::Report;
use super::{RenderArgs, resample};
use anyhow::{Context, Result, ensure};
use host_tests::{
    BlockSizes, Bundle, Config, Instance, Pace, Priority, Rendered, Rendering, Stem, delay_samples, peak_db,
    resident_bytes,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Buses that are written even where they are silent, unless what was asked for plays; others only when they carry something.
const STEMS: [&str; 2] = ["Music", "Dialogue"];

/// Buses of a model that is asked, and what plays there.
const ASKED: [(&str, &str); 2] = [("Query A", "target"), ("Query B", "residual")];

/// Renders `input` and writes `<stem>.wav`, `main.wav` and `report.json` to `out_dir`, all aligned with the input.
pub fn render_file(bundle: &Bundle, args: &RenderArgs, input: &Path, out_dir: &Path) -> Result<Report> {
    let audio = audio_file::read(input)?;
    let host_rate_hz = args.rate.unwrap_or(audio.rate_hz);
    let audio = resample::to_rate(audio, host_rate_hz)?;
    ensure!(
        audio.channels.len() <= 2,
        "{} channels: the plugin takes mono or stereo; split the file first",
        audio.channels.len()
    );
    let sidechain = match &args.sidechain {
        None => None,
        Some(path) => Some(resample::to_rate(audio_file::read(path).context("sidechain")?, host_rate_hz)?),
    };

    let mut instance = bundle.create(None)?;
    let config = Config {
        rate_hz: f64::from(host_rate_hz),
        max_block_samples: args.block,
        num_channels: audio.channels.len(),
        offline: true,
    };
    instance.configure(config)?;
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
        wait_for_model: args.realtime,
        changes: &[],
    };
    let rendered = host_tests::render(bundle, &mut instance, &rendering)?;
    if sidechain.is_none() && is_asked(&rendered) && asks_for_example(&mut instance)? {
        eprintln!(
            "note: Query A asks for an example, and there is none: the model's first preset stands for it, as far as A is what is asked \
             for. Pass --sidechain FILE, or --set query_preset=drums"
        );
    }

    let report = Report { params, ..report_of(args, &audio, &rendered) };
    write_all(out_dir, &audio, &rendered, &report)?;
    Ok(report)
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

/// Whether the numbers that two texts begin with differ by more than the second one's last digit: what showing it loses.
fn is_another_number(given: &str, shown: &str) -> bool {
    let digits = |text: &str| {
        let digits = text.trim().trim_start_matches('+');
        let end = digits.find(|c: char| !(c.is_ascii_digit() || "-.".contains(c))).unwrap_or(digits.len());
        digits[..end].to_owned()
    };
    let (given, shown) = (digits(given), digits(shown));
    let num_decimals = shown.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let lost = 0.1_f64.powf(num_decimals as f64);
    given.parse::<f64>().ok().zip(shown.parse::<f64>().ok()).is_some_and(|(given, shown)| (given - shown).abs() > lost)
}

fn report_of(args: &RenderArgs, audio: &Audio, rendered: &Rendered) -> Report {
    let diagnostics = rendered.diagnostics.clone().unwrap_or_default();
    let engine = diagnostics.newest().cloned().unwrap_or_default();
    let (wall, cpu) = (rendered.timings.wall(), rendered.timings.cpu());
    Report {
        model: engine.model,
        device: engine.device,
        host_rate: audio.rate_hz,
        block: args.block,
        latency_samples_reported: rendered.latency_samples,
        latency_samples_measured: measured_latency_samples(audio, rendered),
        late_frames: rendered.frames.num_late,
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
        state: engine.state,
        message: engine.message,
    }
}

/// Delay of the summed stems (of the main output, for a plugin without stems) behind the input, over the loudest stretch.
fn measured_latency_samples(audio: &Audio, rendered: &Rendered) -> Option<usize> {
    const STRETCH_S: usize = 20;
    let max_delay_samples = 2 * rendered.latency_samples + audio.rate_hz as usize;
    let energy = |samples: &[f32]| samples.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let loudest = audio.channels.iter().enumerate().max_by(|a, b| energy(a.1).total_cmp(&energy(b.1)))?;
    let (channel_idx, input) = loudest;
    let stretch = (STRETCH_S * audio.rate_hz as usize).min(input.len());
    let start = (0..=input.len() - stretch)
        .step_by(audio.rate_hz as usize)
        .max_by(|a, b| energy(&input[*a..*a + stretch]).total_cmp(&energy(&input[*b..*b + stretch])))?;
    let stems: Vec<&[Vec<f32>]> = rendered.stems.iter().map(|stem| stem.channels.as_slice()).collect();
    let sum = host_tests::sum_of(&stems);
    let output = sum.get(channel_idx).or_else(|| rendered.main.get(channel_idx))?;
    let end = (start + stretch + max_delay_samples).min(output.len());
    delay_samples(&input[start..start + stretch], &output[start..end], max_delay_samples)
}

fn is_silent(stem: &Stem) -> bool {
    peak_db(&stem.channels) == f64::NEG_INFINITY
}

/// The file's name of a bus on which what was asked for plays, or what that leaves.
fn name_of_asked(stem: &Stem) -> Option<&'static str> {
    ASKED.iter().find(|(bus, _)| stem.name == *bus).map(|(_, name)| *name)
}

fn is_asked(rendered: &Rendered) -> bool {
    rendered.stems.iter().any(|stem| name_of_asked(stem).is_some() && !is_silent(stem))
}

fn write_all(out_dir: &Path, audio: &Audio, rendered: &Rendered, report: &Report) -> Result<()> {
    std::fs::create_dir_all(out_dir).with_context(|| format!("cannot make the folder {}", out_dir.display()))?;
    audio_file::write(&out_dir.join("main.wav"), &rendered.aligned_main(), audio.rate_hz)?;
    let is_asked = is_asked(rendered);
    for stem in &rendered.stems {
        let is_expected = if is_asked { name_of_asked(stem).is_some() } else { STEMS.contains(&stem.name.as_str()) };
        if !is_expected && is_silent(stem) {
            continue;
        }
        let Some(mut aligned) = rendered.aligned_stem(&stem.name) else { continue };
        // Stem buses are always stereo; with a mono input both channels are the same.
        aligned.truncate(audio.channels.len());
        let name = name_of_asked(stem).map_or_else(|| stem.name.to_lowercase().replace(' ', "-"), str::to_owned);
        audio_file::write(&out_dir.join(format!("{name}.wav")), &aligned, audio.rate_hz)?;
    }
    let path = out_dir.join("report.json");
    let json = serde_json::to_string_pretty(report)?;
    std::fs::write(&path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
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
