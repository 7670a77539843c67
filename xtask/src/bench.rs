//! `cargo xtask bench`: what a block costs the audio thread, and a second of audio the worker, at several block sizes.

use crate::paths;
use crate::render::{self, RenderArgs, Report};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Audio to render [default: the music of the demo's programme]
    pub input: Option<PathBuf>,
    /// Samples per block, as often as wanted
    #[arg(long = "block", value_name = "N", default_values_t = [64, 256, 1024])]
    pub blocks: Vec<usize>,
    /// As fast as possible instead of paced by the clock: quicker, but the costs are not those of a live session
    #[arg(long)]
    pub offline: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// One row of the result.
#[derive(Debug, Serialize)]
struct Row {
    /// Samples per block.
    block: usize,
    /// Duration of a block.
    period_us: f64,
    /// 99.9 % of the blocks took less of the thread's processor time.
    process_cpu_us_p999: f64,
    /// The same by the clock.
    process_us_p999: f64,
    /// Longest block by the clock.
    process_us_max: f64,
    /// `process_cpu_us_p999` as part of the period, percent.
    load_percent: f64,
    /// Time in the model per time of audio.
    rtf: f64,
    /// Frames whose mask came late.
    late_frames: u64,
    /// Frames processed.
    frames: u64,
}

impl Row {
    fn of(report: &Report) -> Self {
        let period_us = 1e6 * report.block as f64 / f64::from(report.host_rate);
        Self {
            block: report.block,
            period_us,
            process_cpu_us_p999: report.process_cpu_us_p999,
            process_us_p999: report.process_us_p999,
            process_us_max: report.max_process_us,
            load_percent: 100.0 * report.process_cpu_us_p999 / period_us,
            rtf: report.rtf,
            late_frames: report.late_frames,
            frames: report.frames,
        }
    }
}

/// Renders the input once per block size.
pub fn run(args: &BenchArgs) -> Result<()> {
    ensure!(!args.blocks.contains(&0), "a block has at least one sample");
    let input = args.input.clone().unwrap_or_else(|| paths::programme().join("music.flac"));
    let mut rows = Vec::new();
    for &block in &args.blocks {
        let render = RenderArgs {
            input: input.clone(),
            out_dir: paths::target().join("bench").join(block.to_string()),
            model: None,
            block,
            rate: None,
            realtime: !args.offline,
            params: Vec::new(),
            sidechain: None,
            bundle: None,
        };
        let bundle = render.open_bundle()?;
        rows.push(Row::of(&render::render_file(&bundle, &render, &render.input, &render.out_dir)?));
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("block  period us  p99.9 cpu us  p99.9 us   max us   load %    RTF  late/frames");
    for row in rows {
        println!(
            "{:5}  {:9.0}  {:12.1}  {:8.1}  {:7.0}  {:7.2}  {:5.3}  {}/{}",
            row.block,
            row.period_us,
            row.process_cpu_us_p999,
            row.process_us_p999,
            row.process_us_max,
            row.load_percent,
            row.rtf,
            row.late_frames,
            row.frames
        );
    }
    Ok(())
}
