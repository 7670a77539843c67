//! `cargo xtask bench`: what each model costs, in one table from one run.

mod backend;
mod live;
mod plot;
mod worker;

use crate::render::{self, Job, RenderArgs, Report};
use crate::{models, paths};
use anyhow::{Result, ensure};
use backend::Model;
use host_tests::{Bundle, StolenTime};
use live::{Live, Load};
use serde::Serialize;
use std::path::PathBuf;
use underscore_backend::Device;
use worker::Worker;

/// The block of the audio thread's figure in the table.
const BLOCK_SAMPLES: usize = 256;
const RATE_HZ: u32 = 48_000;

/// What the growth is shown for: instances at 48 kHz, and one instance at host rates, Hz.
const GROWTH_INSTANCES: [usize; 5] = [1, 2, 4, 8, 16];
const GROWTH_RATES_HZ: [u32; 4] = [16_000, 44_100, 96_000, 192_000];

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Model id, or what only one of them begins with, as often as wanted [default: every model that separates, or none where a file is named]
    #[arg(long = "model", value_name = "ID")]
    pub models: Vec<String>,
    /// An exported file that does not ship, as often as wanted: its calls alone are measured, no host plays it
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where models run: cpu, cuda
    #[arg(long, default_value = "cpu", value_parser = ["cpu", "cuda"])]
    pub device: String,
    /// Seconds instead of minutes: figures to look at, not to keep
    #[arg(long)]
    pub quick: bool,
    /// Only let so many instances of each model play at once, for a minute, and say what was late
    #[arg(long, value_name = "INSTANCES")]
    pub hold: Option<usize>,
    /// With `--hold`: beside so many programs that never rest
    #[arg(long, value_name = "PROGRAMS", default_value_t = 0, requires = "hold")]
    pub busy: usize,
    /// With `--hold`: all models at once, so many instances in all
    #[arg(long, requires = "hold")]
    pub together: bool,
    /// Audio for the audio thread's part [default: the music of the demo's programme]
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Draw how it grows with instances and rates into this PNG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// One row of the result: one model on one device.
#[derive(Debug, Default, Serialize)]
struct Row {
    /// Id of the model.
    model: String,
    /// Where it ran.
    device: String,
    /// Of its weights and sums.
    dtype: &'static str,
    /// Threads of one call.
    threads: u32,
    /// Its calls one by one.
    #[serde(flatten)]
    worker: Worker,
    /// Its arithmetic as part of what matrix products reach on this thread.
    gemm_peak_percent: Option<f64>,
    /// Memory of one stream through the model, beside the weights.
    memory_mb: Option<f64>,
    /// Part of the processors' time that other machines on the same hardware took while this row was measured: above some tenths
    /// the figures are those of a busy machine.
    stolen_percent: Option<f64>,
    /// In a host.
    #[serde(flatten)]
    hosted: Hosted,
}

/// What a model does to a host; none of it is known of a file that does not ship.
#[derive(Debug, Default, Serialize)]
struct Hosted {
    /// What its latency makes it fit for: `live` up to 64 ms, `studio` up to 500, else `exact`.
    mode: Option<&'static str>,
    /// Reported latency at 48 kHz in blocks of 256.
    latency_ms: Option<f64>,
    /// 99.9 % of the blocks took less of their period, stereo at 48 kHz / 256, paced by the clock.
    audio_thread_percent_p999: Option<f64>,
    /// Stereo instances at 48 kHz / 512 that keep up on all processors.
    instances: Option<usize>,
    /// In blocks of 512: with more instances, at other rates, and beside programs that never rest.
    growth: Vec<Live>,
}

/// Measures every model and prints the table.
pub fn run(args: &BenchArgs) -> Result<()> {
    let device = if args.device == "cuda" { Device::CUDA } else { Device::CPU };
    // The resources of the very bundle that is measured.
    let bundle_path = host_tests::bundle_path()?;
    if let Some(num_instances) = args.hold {
        ensure!(num_instances > 0, "--hold 0: expected 1 instance or more");
        ensure!(
            args.files.is_empty() && args.plot.is_none() && args.input.is_none(),
            "--hold plays models that ship, with a sound of its own, and draws nothing: leave --file, --plot and --input away"
        );
        return hold(args, &Bundle::open(&bundle_path)?, num_instances);
    }
    let shipped =
        if args.models.is_empty() && !args.files.is_empty() { Vec::new() } else { models::chosen(&args.models)? };
    ensure!(
        args.plot.is_none() || !shipped.is_empty(),
        "--plot draws what a host played: name a --model beside --file"
    );
    let resources = bundle_path.with_file_name("underscore.resources");
    let backend = backend::open(&resources)?;
    let products = paths::root().join("tests/fixtures/models/products.pt");
    let peak_gmac_per_s = worker::peak_gmac_per_s(backend, &products, device)?;
    let (mut loaded, mut kept) = (Vec::new(), Vec::new());
    let paths = shipped.iter().map(|entry| resources.join("models").join(&entry.file)).chain(args.files.clone());
    for path in paths {
        let model = Model::load(backend, &path, device)?;
        // Of all models first: what long passes leave behind, the allocator hands out again unseen.
        let memory_mb = if device == Device::CPU { worker::memory_mb(&model, &mut kept)? } else { None };
        loaded.push((model, memory_mb));
    }
    drop(kept);
    let bundle = Bundle::open(&bundle_path)?;
    let mut rows = Vec::new();
    for (idx, (model, memory_mb)) in loaded.into_iter().enumerate() {
        let stolen_before = StolenTime::so_far();
        let worker = worker::measure(&model, if args.quick { 10.0 } else { 60.0 })?;
        let hosted =
            shipped.get(idx).map_or_else(|| Ok(Hosted::default()), |entry| hosted(args, &bundle, &entry.id))?;
        rows.push(Row {
            model: model.about.id.clone(),
            device: args.device.clone(),
            dtype: "float32",
            threads: 1,
            worker,
            gemm_peak_percent: worker.gmac_per_s.map(|gmac_per_s| 100.0 * gmac_per_s / peak_gmac_per_s),
            memory_mb,
            stolen_percent: stolen_percent_since(stolen_before),
            hosted,
        });
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print(&rows, peak_gmac_per_s);
    }
    if let Some(path) = &args.plot {
        plot::draw(path, &rows)?;
        eprintln!("{}", path.display());
    }
    Ok(())
}

/// Plays the model `id` in a host.
fn hosted(args: &BenchArgs, bundle: &Bundle, id: &str) -> Result<Hosted> {
    let params = params(args, id);
    let live = audio_thread(args, &params)?;
    ensure!(live.device == args.device, "--device {}: the plugin ran on {}", args.device, live.device);
    let instances = live::instances(bundle, params, if args.quick { 4.0 } else { 60.0 })?;
    let growth_s = if args.quick { 3.0 } else { 12.0 };
    let growth = loads().map(|load| live::play_all(bundle, &[params], load, growth_s)).collect::<Result<_>>()?;
    let latency_ms = 1e3 * live.latency_samples_reported as f64 / f64::from(RATE_HZ);
    Ok(Hosted {
        mode: Some(mode_of(latency_ms)),
        latency_ms: Some(latency_ms),
        audio_thread_percent_p999: Some(1e-4 * live.process_us_p999 * f64::from(RATE_HZ) / BLOCK_SAMPLES as f64),
        instances: Some(instances),
        growth,
    })
}

/// What an instance is set to. Where there is a card the plugin takes it unless it is told not to.
fn params<'a>(args: &BenchArgs, id: &'a str) -> live::Params<'a> {
    [("model", id), ("device", if args.device == "cuda" { "auto" } else { "cpu" })]
}

/// Lets `num_instances` of each model play, or of all together.
fn hold(args: &BenchArgs, bundle: &Bundle, num_instances: usize) -> Result<()> {
    let mut rows = Vec::new();
    let load = Load { num_busy_threads: args.busy, ..Load::of(num_instances) };
    let ids: Vec<String> = models::chosen(&args.models)?.into_iter().map(|entry| entry.id).collect();
    ensure!(
        !args.together || num_instances >= ids.len(),
        "--hold {num_instances} --together: expected {} instances or more, one of each model",
        ids.len()
    );
    let plays: Vec<Vec<String>> = if args.together { vec![ids] } else { ids.into_iter().map(|id| vec![id]).collect() };
    for ids in plays {
        let seconds = if args.quick { 10.0 } else { 60.0 };
        let kinds: Vec<live::Params<'_>> = ids.iter().map(|id| params(args, id)).collect();
        let live = live::play_all(bundle, &kinds, load, seconds)?;
        ensure!(live.device == args.device, "--device {}: the plugin ran on {}", args.device, live.device);
        rows.push(Held { model: ids.join("+"), seconds, live });
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    print_lives(rows.iter().map(|held| (held.model.as_str(), &held.live)));
    Ok(())
}

/// Instances of one model that played together.
#[derive(Serialize)]
struct Held {
    model: String,
    /// For how long.
    seconds: f64,
    #[serde(flatten)]
    live: Live,
}

fn stolen_percent_since(before: Option<StolenTime>) -> Option<f64> {
    StolenTime::so_far().zip(before).map(|(now, before)| 100.0 * now.share_since(before))
}

/// What is played for the growth.
fn loads() -> impl Iterator<Item = Load> {
    let more_instances = GROWTH_INSTANCES.into_iter().map(Load::of);
    let other_rates = GROWTH_RATES_HZ.into_iter().map(|host_rate_hz| Load { host_rate_hz, ..Load::of(1) });
    // One processor is left to the plugin and the host.
    let num_busy_threads = (live::num_processors() - 1).max(1);
    more_instances.chain(other_rates).chain([Load { num_busy_threads, ..Load::of(1) }])
}

fn mode_of(latency_ms: f64) -> &'static str {
    if latency_ms <= 64.0 {
        "live"
    } else if latency_ms <= 500.0 {
        "studio"
    } else {
        "exact"
    }
}

/// The plugin around the model, paced by the clock.
fn audio_thread(args: &BenchArgs, params: &[(&str, &str)]) -> Result<Report> {
    let input = args.input.clone().unwrap_or_else(|| paths::programme().join("music.flac"));
    let render = RenderArgs {
        input,
        out_dir: paths::target().join("bench"),
        model: None,
        block: BLOCK_SAMPLES,
        rate: Some(RATE_HZ),
        realtime: true,
        params: params.iter().map(|(param, value)| format!("{param}={value}")).collect(),
        sidechain: None,
        bundle: None,
    };
    let job = Job { input: &render.input, out_dir: &render.out_dir, others: &[] };
    let report = render::render_file(&render.open_bundle()?, &render, job)?;
    report.require_separated()?;
    Ok(report)
}

fn print(rows: &[Row], peak_gmac_per_s: f64) {
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    println!(
        "model            device  latency    RTF  step p50    p99    max  /offline  12 s at once  naive  GMAC/s  of peak  MB each  audio p99.9  \
         instances  stolen"
    );
    for row in rows {
        let (worker, hosted) = (&row.worker, &row.hosted);
        println!(
            "{:15}  {:6}  {:>4} ms  {:5.3}  {:5.2} ms  {:5.2}  {:5.2}  {:8.2}  {:8.1} ms  {:5.1}  {:>6}  {:>5} %  {:>7}  {:>9} %  {:>9}  {:>4} %",
            row.model,
            row.device,
            hosted.latency_ms.map_or_else(|| "-".to_owned(), |latency_ms| format!("{latency_ms:.0}")),
            worker.rtf,
            worker.step_ms_p50,
            worker.step_ms_p99,
            worker.step_ms_max,
            worker.offline_ratio,
            worker.offline_ms,
            worker.naive_ratio,
            shown(worker.gmac_per_s),
            shown(row.gemm_peak_percent),
            shown(row.memory_mb),
            hosted.audio_thread_percent_p999.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.2}")),
            hosted.instances.map_or_else(|| "-".to_owned(), |instances| instances.to_string()),
            shown(row.stolen_percent)
        );
    }
    println!("matrix products of 1024 x 1024 reach {peak_gmac_per_s:.0} GMAC/s on one thread");
    if rows.iter().all(|row| row.hosted.growth.is_empty()) {
        return;
    }
    println!();
    print_lives(rows.iter().flat_map(|row| row.hosted.growth.iter().map(move |live| (row.model.as_str(), live))));
}

/// What was played, by model.
fn print_lives<'a>(lives: impl Iterator<Item = (&'a str, &'a Live)>) {
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    println!(
        "model     instances  rate Hz  busy threads  latency    RTF  step mean  p99 of deadline  headroom  audio p99.9    late  of frames  stolen"
    );
    for (model, live) in lives {
        println!(
            "{model:8}  {:9}  {:7}  {:12}  {:4.0} ms  {:>5}  {:6.2} ms  {:>13} %  {:6.0} %  {:9.2} %  {:6}  {:9}  {:>4} %",
            live.load.num_instances,
            live.load.host_rate_hz,
            live.load.num_busy_threads,
            live.latency_ms,
            live.rtf.map_or_else(|| "-".to_owned(), |rtf| format!("{rtf:.3}")),
            live.step_ms_mean,
            shown(live.deadline_percent_p99),
            live.headroom_percent,
            live.audio_thread_percent_p999,
            live.num_late_frames,
            live.num_frames,
            shown(live.stolen_percent),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_every_figure_under_its_own_name() {
        // One of a file that does not ship, too.
        let json = serde_json::to_value([Row::default()]).unwrap();
        let names = [
            "model",
            "mode",
            "device",
            "dtype",
            "threads",
            "latency_ms",
            "rtf",
            "step_ms_p50",
            "step_ms_p99",
            "step_ms_max",
            "offline_ratio",
            "offline_ms",
            "naive_ratio",
            "gmac_per_s",
            "gemm_peak_percent",
            "audio_thread_percent_p999",
            "instances",
            "memory_mb",
        ];
        for name in names {
            assert!(json[0].get(name).is_some(), "no {name} in {json}");
        }
    }

    #[test]
    fn a_mode_is_what_the_latency_is_fit_for() {
        assert_eq!([32.0, 64.0, 64.1, 500.0, 2450.0].map(mode_of), ["live", "live", "studio", "studio", "exact"]);
    }
}
