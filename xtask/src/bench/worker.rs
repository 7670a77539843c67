//! What a model costs the worker thread: its calls one by one, all at once, and over again from the start.

use super::backend::Model;
use anyhow::Result;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;
use underscore_backend::{Backend, Batching, Device, Session};

/// Different spectra in turn, so that none is answered out of a cache.
const NUM_SPECTRA: usize = 16;
/// The clip of the offline pass, seconds.
const OFFLINE_S: f64 = 12.0;
/// Of repeated passes the fastest counts: what makes one slower is the machine.
const NUM_PASSES: usize = 12;
/// Streams whose memory is measured, after as many that fill what the system's allocator had left over.
const NUM_STREAMS: usize = 32;

/// What was measured of one model, one channel on one thread.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Worker {
    /// Time per time of audio, call by call.
    pub rtf: f64,
    /// Half the calls took less, milliseconds.
    pub step_ms_p50: f64,
    /// 99 % of the calls took less.
    pub step_ms_p99: f64,
    /// The longest.
    pub step_ms_max: f64,
    /// 12 s call by call, relative to 12 s in one pass of the same file: the fastest of each, taken in turn.
    pub offline_ratio: f64,
    /// 12 s in one pass, milliseconds: from spectra in memory to masks in memory.
    pub offline_ms: f64,
    /// A window of look-back and look-ahead computed anew for every call, relative to the stream.
    pub naive_ratio: f64,
    /// 10⁹ multiply-accumulates per second of time in the fastest pass call by call, where the model says how many there are.
    pub gmac_per_s: Option<f64>,
}

/// Has the allocator keep what is freed, for as long as this process lives. Memory that goes back to the system comes anew page by page:
/// that took an eighth of a pass over a clip, which calls are compared with. What a plugin's worker takes is kept by the
/// backend, whose largest block is smaller than what a pass takes. What is
/// measured in a host comes after it, in the same process.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for threshold in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        const KEPT_BYTES: libc::c_int = 1 << 30;
        // SAFETY: it sets a number in the allocator, under the allocator's lock.
        if unsafe { libc::mallopt(threshold, KEPT_BYTES) } == 0 {
            eprintln!(
                "note: this system's allocator gives memory back all the time; a pass over a clip is charged with it"
            );
            return;
        }
    }
}

/// Measures `seconds` of audio.
pub fn measure(model: &Model, seconds: f64) -> Result<Worker> {
    keep_freed_memory();
    let about = &model.about;
    let num_calls = (seconds / about.call_s()).ceil() as usize;
    let spectra: Vec<Vec<f32>> = (0..NUM_SPECTRA as u64).map(|seed| spectrum(about.spectrum_len(), seed)).collect();
    let mut masks = vec![0.0; about.masks_len()];
    let mut session = model.session()?;
    for spectrum in &spectra {
        session.run(Batching::NEVER, spectrum, &mut masks)?;
    }
    let mut took_s = Vec::with_capacity(num_calls);
    for call_idx in 0..num_calls {
        let began = Instant::now();
        session.run(Batching::NEVER, &spectra[call_idx % NUM_SPECTRA], &mut masks)?;
        took_s.push(began.elapsed().as_secs_f64());
    }
    let step_s = took_s.iter().sum::<f64>() / num_calls as f64;
    took_s.sort_by(f64::total_cmp);
    let rank_ms = |share: f64| 1e3 * took_s[((share * num_calls as f64).ceil() as usize).clamp(1, num_calls) - 1];

    let offline_calls = (OFFLINE_S / about.call_s()).round() as usize;
    let window_calls = (about.look_back_frames + about.look_ahead_frames).div_ceil(about.frames_per_call) + 1;
    let (mut stream_s, mut offline_s, mut window_s) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..NUM_PASSES {
        stream_s = stream_s.min(pass_s(&mut session, &spectra, offline_calls, 1, &mut masks)?);
        offline_s = offline_s.min(pass_s(&mut session, &spectra, 1, offline_calls, &mut masks)?);
        window_s = window_s.min(pass_s(&mut session, &spectra, 1, window_calls, &mut masks)?);
    }
    let best_step_s = stream_s / offline_calls as f64;
    let rtf = step_s / about.call_s();
    Ok(Worker {
        rtf,
        step_ms_p50: rank_ms(0.5),
        step_ms_p99: rank_ms(0.99),
        step_ms_max: rank_ms(1.0),
        offline_ratio: stream_s / offline_s,
        offline_ms: 1e3 * offline_s,
        naive_ratio: window_s / best_step_s,
        gmac_per_s: (about.gmac_per_s > 0.0).then(|| about.gmac_per_s * about.call_s() / best_step_s),
    })
}

/// The most multiply-accumulates per second, 10⁹, that matrix products reach here on one thread.
pub fn peak_gmac_per_s(backend: Backend, products: &Path, device: Device) -> Result<f64> {
    let model = Model::load(backend, products, device)?;
    let mut session = model.session()?;
    let spectrum = vec![0.0; model.about.spectrum_len()];
    let mut masks = vec![0.0; model.about.masks_len()];
    let mut best_s = f64::INFINITY;
    for _ in 0..20 {
        let began = Instant::now();
        session.run(Batching::NEVER, &spectrum, &mut masks)?;
        best_s = best_s.min(began.elapsed().as_secs_f64());
    }
    Ok(model.about.gmac_per_s * model.about.call_s() / best_s)
}

/// Time of `num_runs` runs of `calls_per_run` calls made as one, from a zero state; `masks` are those of one call.
fn pass_s(
    session: &mut Session,
    spectra: &[Vec<f32>],
    num_runs: usize,
    calls_per_run: usize,
    masks: &mut Vec<f32>,
) -> Result<f64> {
    let masks_len = masks.len();
    let clips: Vec<Vec<f32>> = (0..num_runs.min(spectra.len()))
        .map(|first| spectra.iter().cycle().skip(first).take(calls_per_run).flatten().copied().collect())
        .collect();
    masks.resize(calls_per_run * masks_len, 0.0);
    session.reset();
    let began = Instant::now();
    for run_idx in 0..num_runs {
        session.run(Batching::NEVER, &clips[run_idx % clips.len()], masks)?;
    }
    let took_s = began.elapsed().as_secs_f64();
    session.reset();
    masks.truncate(masks_len);
    Ok(took_s)
}

/// Memory of one stream beside the weights. Its streams go to `kept`: while those of one model live, what the next one's take is new
/// memory, and not what the allocator was given back.
pub fn memory_mb(model: &Model, kept: &mut Vec<Session>) -> Result<Option<f64>> {
    let spectrum = vec![0.0; model.about.spectrum_len()];
    let mut masks = vec![0.0; model.about.masks_len()];
    model.session()?.run(Batching::NEVER, &spectrum, &mut masks)?;
    let mut resident = Vec::with_capacity(2);
    for _ in 0..2 {
        for _ in 0..NUM_STREAMS {
            let mut session = model.session()?;
            session.run(Batching::NEVER, &spectrum, &mut masks)?;
            kept.push(session);
        }
        resident.push(host_tests::resident_bytes());
    }
    let [Some(before), Some(after)] = resident[..] else { return Ok(None) };
    Ok(Some(after.saturating_sub(before) as f64 / 1e6 / NUM_STREAMS as f64))
}

/// White noise, as loud as a programme.
fn spectrum(len: usize, seed: u64) -> Vec<f32> {
    host_tests::signals::noise(1, len, 10.0, seed).remove(0)
}
