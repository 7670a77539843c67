//! The probe's side: the scenario in this process.

use super::{HostKind, Input, Outcome, Scenario};
use crate::audio_thread::buses::POISON;
use crate::{
    BlockSizes, Bundle, Config, Diagnostics, HostError, Instance, Pace, Rendered, Rendering, mapped_files, peak_db,
    render, resident_bytes, residual_db, signals, started_threads, wait_until_loaded,
};
use std::path::Path;
use std::time::Duration;

/// Bounds of the decibel figures: JSON knows no infinity.
const RANGE_DB: (f64, f64) = (-400.0, 400.0);

/// What the libraries of graphics drivers are called.
const DRIVERS: [&str; 2] = ["libcuda", "libnvidia"];

/// Plays `scenario` and looks at everything.
///
/// # Errors
/// Whatever the host or the plugin refuses.
pub fn inspect(scenario: &Scenario) -> Result<Outcome, HostError> {
    for path in &scenario.others {
        open_for_all(path)?;
    }
    let bundle = Bundle::open(&scenario.bundle)?;
    let mut instance = bundle.create(None)?;
    let mut outcome = Outcome {
        opened_ms: bundle.opened_in().as_secs_f64() * 1e3,
        created_ms: instance.created_in().as_secs_f64() * 1e3,
        libtorch_at_scan: mapped_files("torch").unwrap_or_default(),
        driver_at_scan: DRIVERS.iter().filter_map(|part| mapped_files(part)).flatten().collect(),
        threads_at_scan: started_threads(),
        libtorch_in_use: Vec::new(),
        latency_samples: 0,
        state: String::new(),
        message: String::new(),
        notice: String::new(),
        model: String::new(),
        is_finite: true,
        sum_residual_db: RANGE_DB.0,
        main_residual_db: RANGE_DB.0,
        separation_db: RANGE_DB.0,
        num_late_frames: 0,
        num_unmasked_frames: 0,
        alloc_violations: 0,
        resident_mb: Vec::new(),
    };
    if scenario.duration_s == 0.0 {
        return Ok(outcome);
    }
    set_up(&mut instance, scenario)?;
    if scenario.num_instances > 1 {
        play_instances(&mut outcome, &bundle, instance, scenario)?;
        return Ok(outcome);
    }

    let (input, clean) = input_of(scenario);
    let rendered = render(
        &bundle,
        &mut instance,
        &Rendering {
            main: &input,
            sidechain: None,
            blocks: BlockSizes::Cycle(scenario.blocks.clone()),
            pace: if scenario.host == HostKind::RealTime { Pace::RealTime } else { Pace::AsFastAsPossible },
            wait_for_model: false,
            changes: &[],
        },
    )?;
    judge(&mut outcome, &clean, &rendered);
    outcome.libtorch_in_use = mapped_files("torch").unwrap_or_default();
    outcome.resident_mb.extend(resident_bytes().map(|num_bytes| num_bytes as f64 / 1e6));
    Ok(outcome)
}

/// Opens a library as a careless plugin does, and leaves it open.
#[cfg(unix)]
fn open_for_all(path: &Path) -> Result<(), HostError> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: the scenario names libraries whose initialisers do no harm.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    library.map(std::mem::forget).map_err(|error| HostError::refused("dlopen", error))
}

/// Opens a library as any plugin does, and leaves it open: here that is for all.
#[cfg(not(unix))]
fn open_for_all(path: &Path) -> Result<(), HostError> {
    // SAFETY: the scenario names libraries whose initialisers do no harm.
    let library = unsafe { libloading::Library::new(path) };
    library.map(std::mem::forget).map_err(|error| HostError::refused("LoadLibrary", error))
}

fn set_up(instance: &mut Instance, scenario: &Scenario) -> Result<(), HostError> {
    instance.configure(Config {
        rate_hz: scenario.rate_hz,
        max_block_samples: scenario.max_block_samples,
        num_channels: scenario.num_channels,
        offline: scenario.host == HostKind::Offline,
    })?;
    for (param, text) in &scenario.params {
        instance.set(param, text)?;
    }
    Ok(())
}

/// The input, and what the plugin should take it for: not-finite samples are silence.
fn input_of(scenario: &Scenario) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let num_samples = (scenario.duration_s * scenario.rate_hz) as usize;
    let mut input = match scenario.input {
        Input::Silence => vec![vec![0.0; num_samples]; scenario.num_channels],
        Input::Programme | Input::Broken => signals::programme(scenario.num_channels, num_samples, scenario.rate_hz, 1),
    };
    if scenario.input == Input::Broken {
        for channel in &mut input {
            let piece = num_samples / 16;
            channel[4 * piece] = f32::NAN;
            channel[5 * piece..5 * piece + 100].fill(f32::INFINITY);
            channel[6 * piece] = f32::NEG_INFINITY;
            channel[7 * piece..8 * piece].fill(1.0e-41);
            channel[9 * piece..9 * piece + 700].fill(f32::NAN);
        }
    }
    let clean = input.iter().map(|c| c.iter().map(|x| if x.is_finite() { *x } else { 0.0 }).collect()).collect();
    (input, clean)
}

fn judge(outcome: &mut Outcome, clean: &[Vec<f32>], rendered: &Rendered) {
    let clamp = |db: f64| db.clamp(RANGE_DB.0, RANGE_DB.1);
    let is_good = |signal: &[Vec<f32>]| signal.iter().flatten().all(|x| x.is_finite() && *x != POISON);
    outcome.latency_samples = rendered.latency_samples;
    outcome.is_finite = is_good(&rendered.tape.main) && rendered.tape.stems.iter().all(|stem| is_good(&stem.channels));
    outcome.main_residual_db = clamp(residual_db(clean, &rendered.aligned_main()));
    // The stem buses are stereo in a mono layout, too.
    let sum = rendered.aligned_sum();
    let expected: Vec<Vec<f32>> = (0..sum.len()).map(|idx| clean[idx.min(clean.len() - 1)].clone()).collect();
    outcome.sum_residual_db = clamp(residual_db(&expected, &sum));
    if let (Some(music), Some(dialogue)) = (rendered.aligned_stem("music"), rendered.aligned_stem("dialogue")) {
        let difference =
            music.iter().zip(&dialogue).map(|(m, d)| m.iter().zip(d).map(|(m, d)| m - d).collect()).collect();
        let difference: Vec<Vec<f32>> = difference;
        outcome.separation_db = clamp(peak_db(&difference));
    }
    note_diagnostics(outcome, &rendered.diagnostics.clone().unwrap_or_default());
}

fn note_diagnostics(outcome: &mut Outcome, diagnostics: &Diagnostics) {
    outcome.alloc_violations = diagnostics.alloc_violations;
    if let Some(engine) = diagnostics.newest() {
        outcome.state.clone_from(&engine.state);
        outcome.message.clone_from(&engine.message);
        outcome.notice.clone_from(&engine.notice);
        outcome.model.clone_from(&engine.model);
        outcome.num_late_frames = engine.num_late_frames;
        outcome.num_unmasked_frames = engine.num_unmasked_frames;
    }
}

/// Notes the resident memory after each instance is loaded and has processed the input, and what the last one says of itself.
fn play_instances(
    outcome: &mut Outcome,
    bundle: &Bundle,
    first: Instance,
    scenario: &Scenario,
) -> Result<(), HostError> {
    let mut alive = Vec::new();
    let mut next = Some(first);
    let (input, _) = input_of(scenario);
    for _ in 0..scenario.num_instances {
        let mut instance = match next.take() {
            Some(instance) => instance,
            None => bundle.create(None)?,
        };
        set_up(&mut instance, scenario)?;
        let mut processor = instance.activate()?;
        processor.start()?;
        wait_until_loaded(bundle, &mut instance, &mut processor, Duration::from_mins(1))?;
        let num_samples = scenario.max_block_samples;
        for start in (0..input[0].len().saturating_sub(num_samples)).step_by(num_samples) {
            if let Some(bus) = processor.inputs_mut(num_samples).main_mut() {
                for (channel_idx, channel) in input.iter().enumerate() {
                    bus.channel_mut(channel_idx).copy_from_slice(&channel[start..start + num_samples]);
                }
            }
            processor.process(num_samples, &[])?;
        }
        outcome.resident_mb.extend(resident_bytes().map(|num_bytes| num_bytes as f64 / 1e6));
        alive.push((instance, processor));
    }
    note_diagnostics(outcome, &bundle.diagnostics()?);
    for (mut instance, processor) in alive {
        instance.deactivate(processor);
    }
    Ok(())
}
