//! The engine with a worker that does exactly what a test wants, when it wants.

use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};

use super::*;
use crate::catalogue::Catalogue;
use crate::handoff::{Call, Outcome, WorkerEnd};
use crate::worker_thread::Waker;

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const RATE_HZ: f64 = 48_000.0;

fn config(num_channels: usize, max_block_samples: usize) -> EngineConfig {
    EngineConfig {
        host_rate_hz: RATE_HZ,
        max_block_samples,
        num_channels,
        model: Catalogue::shipped().find("identity").unwrap().clone(),
        device: DeviceChoice::Cpu,
        resources: Resources::at("/nowhere"),
    }
}

/// An engine whose calls end up in the hands of the test.
fn engine_and_worker(config: &EngineConfig) -> (Engine, WorkerEnd) {
    let timing = config.model.timing;
    let latency = latency(&timing, config.host_rate_hz, config.max_block_samples).unwrap();
    let shape = CallShape {
        max_channels: config.num_channels,
        num_frames: timing.frames_per_call,
        num_bins: timing.num_bins,
        num_stems: 1,
    };
    let num_calls = num_calls(&latency, &timing);
    let (audio_end, worker_end) = handoff(&shape, num_calls);
    let status = EngineStatus::register("test", config.host_rate_hz, config.max_block_samples, latency, 8);
    status.set_running("test", 0.0);
    let dispatch = Dispatch::new(audio_end, Waker::none(), shape, &timing, num_calls);
    let mut engine = Engine::new(config, latency, dispatch, status);
    // Tests run faster than real time and must not be taken for a bounce unless they say so.
    engine.pace = Pace::new(f64::INFINITY);
    (engine, worker_end)
}

fn answer(mut call: Call, mask: f32) -> Call {
    call.masks.fill(mask);
    call.outcome = Outcome::Masked;
    call
}

/// Noise in -0.5..0.5 from a fixed seed.
fn noise(num_samples: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    (0..num_samples)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 - 0.5
        })
        .collect()
}

fn db(value: f32) -> f32 {
    20.0 * value.max(1e-12).log10()
}

struct Rendered {
    /// `[stem][sample]` of the first channel.
    stems: Vec<Vec<f32>>,
    dry: Vec<f32>,
    presence: Vec<f32>,
}

/// Feeds `input` to all channels in blocks and lets `work` play the worker after each block.
fn render(
    engine: &mut Engine,
    input: &[f32],
    block: usize,
    settings: Settings,
    mut work: impl FnMut(usize),
) -> Rendered {
    let mut out = Rendered { stems: vec![Vec::new(); 2], dry: Vec::new(), presence: Vec::new() };
    let num_channels = engine.input.len();
    for (block_idx, samples) in input.chunks(block).enumerate() {
        let channels = [samples; 2];
        let before = violation_count();
        let stems = assert_no_alloc(|| engine.process(&channels[..num_channels], settings));
        assert_eq!(violation_count(), before, "process allocated");
        for (stem_idx, stem) in out.stems.iter_mut().enumerate() {
            stem.extend_from_slice(stems.stem(stem_idx, 0));
        }
        out.dry.extend_from_slice(stems.dry(0));
        out.presence.extend_from_slice(stems.presence());
        work(block_idx);
    }
    out
}

/// Largest difference between the sum of the stems and the delayed input, dBFS.
fn residual_db(out: &Rendered, input: &[f32], latency: usize) -> f32 {
    let delayed = std::iter::repeat_n(&0.0, latency).chain(input);
    let worst = out.stems[0].iter().zip(&out.stems[1]).zip(delayed).map(|((a, b), x)| (a + b - x).abs());
    db(worst.fold(0.0, f32::max))
}

/// Largest second difference: a click shows here long before it shows in the level.
fn roughness(samples: &[f32]) -> f32 {
    samples.windows(3).map(|w| (w[0] - 2.0 * w[1] + w[2]).abs()).fold(0.0, f32::max)
}

#[test]
fn with_masks_of_one_the_first_stem_is_the_delayed_input_at_every_block_size() {
    for block in [1, 64, 127, 512, 4096] {
        let config = config(2, block);
        let (mut engine, mut worker) = engine_and_worker(&config);
        let input = noise(48_000);
        let out = render(&mut engine, &input, block, Settings::default(), |_| {
            while let Some(call) = worker.receive() {
                worker.send(answer(call, 1.0));
            }
        });
        let latency = engine.latency_samples();
        let worst = out.stems[0][latency..].iter().zip(&input).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("block {block}: latency {latency}, error {:.1} dBFS", db(worst));
        assert!(db(worst) < -120.0);
        assert!(residual_db(&out, &input, latency) < -120.0);
        assert_eq!(engine.status().snapshot().num_late_frames, 0);
    }
}

#[test]
fn without_a_worker_the_dry_signal_is_exact_and_every_stem_has_its_share() {
    let config = config(2, 480);
    let (mut engine, _worker) = engine_and_worker(&config);
    engine.status().set_unavailable("none".into());
    let input = noise(48_000);
    let out = render(&mut engine, &input, 480, Settings::default(), |_| ());
    let latency = engine.latency_samples();
    assert_eq!(out.dry[latency..], input[..input.len() - latency]);
    assert!(out.presence.iter().all(|&presence| presence == 0.0));
    assert!(residual_db(&out, &input, latency) < -120.0);
    let half = out.stems[0][latency..].iter().zip(&input).map(|(a, b)| (a - 0.5 * b).abs()).fold(0.0, f32::max);
    assert!(db(half) < -120.0, "{} dBFS", db(half));
}

#[test]
fn a_worker_that_stops_is_counted_heard_as_dry_and_never_as_a_click_or_a_shift() {
    let block = 256;
    let config = config(1, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    let latency = engine.latency_samples();
    let input: Vec<f32> = (0..8 * 48_000)
        .map(|n| (0.5 * (f64::from(n) * 220.0 * std::f64::consts::TAU / RATE_HZ).sin()) as f32)
        .collect();
    // Masks for two seconds, none for three, masks again; what is sent meanwhile is skipped as the worker would.
    let (stop, go) = (2 * 48_000 / block, 5 * 48_000 / block);
    let out = render(&mut engine, &input, block, Settings::default(), |block_idx| {
        if (stop..go).contains(&block_idx) {
            return;
        }
        while let Some(mut call) = worker.receive() {
            if worker.is_past(&call, call.first_frame + 7) {
                call.outcome = Outcome::TooLate;
                worker.send(call);
            } else {
                worker.send(answer(call, 0.9));
            }
        }
    });
    let snapshot = engine.status().snapshot();
    println!("late {} of {} frames", snapshot.num_late_frames, snapshot.num_frames);
    let missing_frames = 3 * 48_000 / 768;
    assert!(snapshot.num_late_frames.abs_diff(missing_frames) <= 16);
    assert!(residual_db(&out, &input, latency) < -120.0);
    let (steady, whole) = (roughness(&out.stems[0][48_000..90_000]), roughness(&out.stems[0][48_000..]));
    println!("roughness steady {:.2} dB, whole {:.2} dB", db(steady), db(whole));
    assert!(whole < 1.05 * steady, "no click where masks stop or come again");
    let gap = out.presence[4 * 48_000..5 * 48_000].iter().all(|&presence| presence == 0.0);
    assert!(gap, "without masks the output is dry");
    assert_eq!(out.presence.last(), Some(&1.0), "it recovers by itself");
}

#[test]
fn a_result_of_before_a_reset_is_never_used_after_it() {
    let block = 768;
    let config = config(1, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    render(&mut engine, &noise(8 * 768), block, Settings::default(), |_| ());
    engine.reset();
    // The old call comes back with a mask of 1 for frame 0, the new one for the same frame is never answered.
    let old = worker.receive().expect("a call of before the reset");
    worker.send(answer(old, 1.0));
    let input = noise(48_000);
    let out = render(&mut engine, &input, block, Settings::default(), |_| ());
    assert!(out.presence.iter().all(|&presence| presence == 0.0));
}

#[test]
fn numbers_that_are_none_are_replaced_and_counted() {
    let config = config(2, 512);
    let (mut engine, _worker) = engine_and_worker(&config);
    engine.status().set_unavailable("none".into());
    let mut input = noise(48_000);
    input[100] = f32::NAN;
    input[200] = f32::INFINITY;
    input[250] = 1e30;
    input[300] = f32::from_bits(1);
    let out = render(&mut engine, &input, 512, Settings::default(), |_| ());
    assert!(out.stems.iter().flatten().all(|sample| sample.is_finite()));
    assert_eq!(engine.status().snapshot().num_replaced_samples, 6, "three in each channel");
}

#[test]
fn an_offline_host_waits_for_the_worker_and_loses_no_frame() {
    let block = 8192;
    let config = config(2, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    let thread = std::thread::spawn(move || {
        while !worker.is_abandoned() {
            if let Some(call) = worker.receive() {
                std::thread::sleep(std::time::Duration::from_millis(5));
                worker.send(answer(call, 1.0));
            }
        }
    });
    let settings = Settings { render: RenderMode::Offline, ..Settings::default() };
    let input = noise(5 * 48_000);
    for pass in 0..3 {
        let out = render(&mut engine, &input, block, settings, |_| ());
        let latency = engine.latency_samples();
        let worst = out.stems[0][latency..].iter().zip(&input).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(db(worst) < -120.0, "pass {pass}: {} dBFS", db(worst));
        engine.reset();
    }
    assert_eq!(engine.status().snapshot().num_late_frames, 0);
    drop(engine);
    thread.join().unwrap();
}

#[test]
fn bypass_sleeps_after_a_while_and_is_not_late() {
    let block = 512;
    let config = config(1, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    let mut num_calls = 0;
    let settings = Settings { asleep: true, ..Settings::default() };
    let out = render(&mut engine, &noise(6 * 48_000), block, settings, |_| {
        while let Some(call) = worker.receive() {
            num_calls += 1;
            worker.send(answer(call, 1.0));
        }
    });
    println!("{num_calls} calls in 6 s asleep");
    assert!(num_calls <= 17, "2 s are 16 calls");
    assert_eq!(engine.status().snapshot().num_late_frames, 0);
    assert_eq!(out.presence.last(), Some(&0.0));
}

#[test]
fn a_host_that_bounces_without_saying_so_is_waited_for_too() {
    let block = 512;
    let config = config(2, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    let slack_s = (engine.latency.deadline_frames * engine.latency.grid.hop_samples()) as f64 / RATE_HZ;
    engine.pace = Pace::new(slack_s);
    let thread = std::thread::spawn(move || {
        while !worker.is_abandoned() {
            if let Some(call) = worker.receive() {
                std::thread::sleep(std::time::Duration::from_millis(20));
                worker.send(answer(call, 1.0));
            }
        }
    });
    let input = noise(5 * 48_000);
    let out = render(&mut engine, &input, block, Settings::default(), |_| ());
    let latency = engine.latency_samples();
    let worst = out.stems[0][latency..].iter().zip(&input).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("error {:.1} dBFS", db(worst));
    assert!(db(worst) < -120.0);
    assert_eq!(engine.status().snapshot().num_late_frames, 0);
    drop(engine);
    thread.join().unwrap();
}

#[test]
fn silence_costs_no_call_and_sound_after_it_is_separated_from_the_first_sample() {
    let block = 512;
    let mut config = config(2, block);
    config.model.timing.look_back_frames = 50;
    let (mut engine, mut worker) = engine_and_worker(&config);
    let (sound, silence) = (noise(48_000), vec![0.0; 10 * 48_000]);
    let input = [&silence[..], &sound, &silence, &sound].concat();
    let mut num_calls = 0;
    let out = render(&mut engine, &input, block, Settings::default(), |_| {
        while let Some(call) = worker.receive() {
            assert_eq!(call.is_fresh, num_calls == 0, "silence keeps the state");
            num_calls += 1;
            worker.send(answer(call, 1.0));
        }
    });
    let latency = engine.latency_samples();
    let worst = out.stems[0][latency..].iter().zip(&input).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{num_calls} calls for 22 s of which 2 s sound, error {:.1} dBFS", db(worst));
    // Two seconds of sound are 16 calls, the look-back after the first of them 7, and each edge may begin one.
    assert!((20..=28).contains(&num_calls));
    assert!(db(worst) < -120.0);
    assert_eq!(engine.status().snapshot().num_late_frames, 0);
}

#[test]
fn a_bounce_after_an_overload_does_not_wait_for_calls_that_were_never_sent() {
    let block = 768;
    let config = config(1, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    // A worker that takes nothing: every call is with it, and further ones are dropped.
    render(&mut engine, &noise(200 * 768), block, Settings::default(), |_| ());
    assert!(engine.status().snapshot().num_dropped_calls > 0);
    let thread = std::thread::spawn(move || {
        while !worker.is_abandoned() {
            if let Some(call) = worker.receive() {
                worker.send(answer(call, 1.0));
            }
        }
    });
    let began = Instant::now();
    let settings = Settings { render: RenderMode::Offline, ..Settings::default() };
    let out = render(&mut engine, &noise(200 * 768), block, settings, |_| ());
    println!("200 frames in {:.1} s", began.elapsed().as_secs_f64());
    assert!(began.elapsed().as_secs() < 10);
    assert_eq!(out.presence.last(), Some(&1.0));
    drop(engine);
    thread.join().unwrap();
}
