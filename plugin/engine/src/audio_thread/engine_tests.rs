//! The engine with a worker that does exactly what a test wants, when it wants.

use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};
use underscore_dsp::{Complex32, History, Stft, linking};

use super::*;
use crate::handoff::{Call, Outcome, WorkerEnd};
use crate::worker_thread::{Past, Spectra, Stream, Waker, double};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const RATE_HZ: f64 = 48_000.0;

/// Of the paper: causal, eight frames at a time.
const PAPER: ModelTiming = ModelTiming {
    sample_rate_hz: 16_000.0,
    window_s: 0.064,
    hop_s: 0.016,
    synthesis_s: 0.064,
    num_bins: 513,
    frames_per_call: 8,
    look_ahead_frames: 0,
    look_back_frames: 0,
};

/// Of more bins than some hosts have, with look-ahead.
const FULL_BAND: ModelTiming =
    ModelTiming { sample_rate_hz: 32_000.0, num_bins: 1025, frames_per_call: 4, look_ahead_frames: 8, ..PAPER };

/// For whoever is on air: frame by frame, half of each heard.
const LIVE: ModelTiming = ModelTiming { frames_per_call: 1, synthesis_s: 0.032, ..PAPER };

/// What a model may be like; the last one looks ahead by no whole number of calls.
const TIMINGS: [ModelTiming; 5] = [
    PAPER,
    FULL_BAND,
    LIVE,
    ModelTiming { frames_per_call: 1, ..PAPER },
    ModelTiming { frames_per_call: 4, look_ahead_frames: 3, ..PAPER },
];

fn config_of(timing: ModelTiming, num_channels: usize, max_block_samples: usize) -> EngineConfig {
    let stems = ["music", "dialogue"].map(String::from);
    EngineConfig {
        host_rate_hz: RATE_HZ,
        max_block_samples,
        num_channels,
        model: ModelSpec {
            id: "test".into(),
            name: "Test".into(),
            file: "test.pt".into(),
            sha256: String::new(),
            licence: "CC0-1.0".into(),
            timing,
            residual: stems[1].clone(),
            stems: stems.into(),
            embedding_size: 0,
            query_frames: 0,
            map: None,
            presets: Vec::new(),
        },
        device: DeviceChoice::Cpu,
        resources: Resources::at("/nowhere"),
        boards: Arc::default(),
    }
}

fn config(num_channels: usize, max_block_samples: usize) -> EngineConfig {
    config_of(PAPER, num_channels, max_block_samples)
}

/// Sizes of the calls of an engine.
fn shape_of(config: &EngineConfig) -> CallShape {
    let latency = latency(&config.model.timing, config.host_rate_hz, config.max_block_samples).unwrap();
    call_shape(&config.model, &latency, config.num_channels)
}

/// An engine whose calls end up in the hands of the test.
fn engine_and_worker(config: &EngineConfig) -> (Engine, WorkerEnd) {
    let timing = config.model.timing;
    let latency = latency(&timing, config.host_rate_hz, config.max_block_samples).unwrap();
    let shape = shape_of(config);
    let num_calls = num_calls(&latency, &timing);
    let (audio_end, worker_end) = handoff(&shape, num_calls);
    let frames_per_call = timing.frames_per_call;
    let status =
        EngineStatus::register("test", config.host_rate_hz, config.max_block_samples, latency, frames_per_call);
    status.set_running("test", 0.0);
    let dispatch = Dispatch::new(audio_end, Waker::none(), shape, &timing, num_calls);
    let mut engine = Engine::new(config, latency, shape, dispatch, None, status);
    // Tests run faster than real time and must not be taken for a bounce unless they say so.
    engine.pace = Pace::new(f64::INFINITY);
    (engine, worker_end)
}

/// The real worker for an engine, with a model that makes its masks by `mask_of` and looks ahead as `config` says.
fn stream_for(worker: WorkerEnd, config: &EngineConfig, engine: &Engine, mask_of: double::MaskOf) -> Stream {
    double::stream(worker, shape_of(config), &config.model.timing, engine.status(), mask_of)
}

/// Seconds of a call.
fn call_s(timing: &ModelTiming) -> f64 {
    timing.frames_per_call as f64 * timing.hop_s
}

/// Answers calls without a model: with a mask of one everywhere.
struct Answers(Spectra, Past);

impl Answers {
    fn of(config: &EngineConfig) -> Self {
        let (timing, shape) = (&config.model.timing, shape_of(config));
        Self(Spectra::new(shape, timing.look_ahead_frames, timing.scale(shape.grid)), Past::new(shape))
    }

    fn answer(&mut self, mut call: Call) -> Call {
        self.1.complete(&mut call);
        if call.is_fresh {
            self.0.reset();
        }
        self.0.analyse(&call);
        call.masks.fill(1.0);
        self.0.synthesise(&mut call);
        call.outcome = Outcome::Masked;
        call
    }
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
    settings: &Settings,
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

/// Largest difference between the first stem and the delayed input, dBFS.
fn error_db(out: &Rendered, input: &[f32], latency: usize) -> f32 {
    db(out.stems[0][latency..].iter().zip(input).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
}

#[test]
fn with_masks_of_one_the_first_stem_is_the_delayed_input_at_every_block_size() {
    for timing in TIMINGS {
        for block in [1, 64, 127, 512, 4096] {
            let config = config_of(timing, 2, block);
            let (mut engine, worker) = engine_and_worker(&config);
            let mut stream = stream_for(worker, &config, &engine, |_| 1.0);
            let input = noise(48_000);
            let out = render(&mut engine, &input, block, &Settings::default(), |_| while stream.step() {});
            let latency = engine.latency_samples();
            let error_db = error_db(&out, &input, latency);
            println!("block {block}: latency {latency}, error {error_db:.1} dBFS");
            assert!(error_db < -120.0);
            assert!(residual_db(&out, &input, latency) < -120.0);
            assert_eq!(engine.status().snapshot().num_late_frames, 0);
        }
    }
}

/// Host rates from the lowest up: of fewer, as many and more bins than a model's, with odd windows, too.
const RATES_HZ: [f64; 8] = [8_000.0, 11_025.0, 16_000.0, 22_050.0, 32_000.0, 44_100.0, 48_000.0, 96_000.0];

#[test]
fn at_every_rate_the_whole_spectrum_passes_a_mask_of_one() {
    for timing in [PAPER, FULL_BAND] {
        for rate_hz in RATES_HZ {
            for stereo_link in [true, false] {
                let config = EngineConfig { host_rate_hz: rate_hz, ..config_of(timing, 2, 480) };
                let (mut engine, worker) = engine_and_worker(&config);
                let mut stream = stream_for(worker, &config, &engine, |_| 1.0);
                let input = noise(rate_hz as usize);
                let settings = Settings { stereo_link, ..Settings::default() };
                let out = render(&mut engine, &input, 480, &settings, |_| while stream.step() {});
                let latency = engine.latency_samples();
                let error_db = error_db(&out, &input, latency);
                assert!(error_db < -120.0, "{rate_hz} Hz, {} bins: {error_db} dBFS", timing.num_bins);
                assert!(residual_db(&out, &input, latency) < -120.0);
            }
        }
    }
}

#[test]
fn at_every_rate_the_model_hears_the_host_s_bins_and_zeros_above_them() {
    for timing in [PAPER, FULL_BAND] {
        for rate_hz in RATES_HZ {
            for stereo_link in [true, false] {
                let config = EngineConfig { host_rate_hz: rate_hz, ..config_of(timing, 2, 480) };
                let (mut engine, mut worker) = engine_and_worker(&config);
                let (grid, shape) = (engine.latency.grid, shape_of(&config));
                let input = noise(rate_hz as usize);
                let scale = timing.window_samples() as f32 / grid.window_samples() as f32;
                let (mut history, mut stft) = (History::new(grid.window_samples()), Stft::new(grid));
                let mut samples = vec![0.0; grid.window_samples()];
                let mut spectrum = vec![Complex32::default(); grid.num_bins()];
                let expected: Vec<Vec<f32>> = input
                    .chunks_exact(grid.hop_samples())
                    .map(|hop| {
                        history.push(hop);
                        history.copy(0, &mut samples);
                        stft.analyse(&samples, &mut spectrum);
                        let mut frame = vec![f32::NAN; timing.num_bins * 2];
                        if stereo_link {
                            linking::link_rms([&spectrum, &spectrum], scale, &mut frame);
                        } else {
                            linking::pack(&spectrum, scale, &mut frame);
                        }
                        frame
                    })
                    .collect();
                let num_host_bins = grid.num_bins().min(timing.num_bins);
                let mut num_frames = 0;
                let settings = Settings { stereo_link, ..Settings::default() };
                let mut spectra = Spectra::new(shape, timing.look_ahead_frames, timing.scale(grid));
                let mut past = Past::new(shape);
                render(&mut engine, &input, 480, &settings, |_| {
                    while let Some(mut call) = worker.receive() {
                        let num_mask_channels = call.num_mask_channels;
                        assert_eq!(num_mask_channels, if stereo_link { 1 } else { 2 });
                        past.complete(&mut call);
                        let heard = spectra.analyse(&call);
                        for channel_idx in 0..num_mask_channels {
                            for frame_idx in 0..shape.num_frames {
                                let offset = shape.spectrum_offset(channel_idx, frame_idx);
                                let frame = &heard[offset..offset + timing.num_bins * 2];
                                assert!(frame == expected[call.first_frame as usize + frame_idx], "{rate_hz} Hz");
                                assert!(frame[num_host_bins * 2..].iter().all(|value| value.to_bits() == 0));
                                num_frames += 1;
                            }
                        }
                        // The call comes back to be filled again: nothing of this may be left in it.
                        call.samples.fill(f32::NAN);
                        call.outcome = Outcome::Failed;
                        worker.send(call);
                    }
                });
                assert!(num_frames > 50, "{num_frames} frames in a second");
            }
        }
    }
}

#[test]
fn a_rate_that_is_too_low_is_told_with_what_to_do_and_the_lowest_one_is_not() {
    assert_eq!(check_host_rate(LOWEST_HOST_RATE_HZ), Ok(()));
    let config = EngineConfig { host_rate_hz: 7_350.0, ..config(1, 512) };
    let engine = Engine::activate(config, &Worker::default()).expect("an engine that passes the sound");
    assert_eq!(engine.status().state(), State::Unavailable);
    let message = engine.status().snapshot().message;
    for words in ["7350 Hz", "8000 Hz", "The sound passes unchanged", "higher sample rate"] {
        assert!(message.contains(words), "'{words}' is missing in: {message}");
    }
}

/// A mask that is another one for nearly every spectrum, between 0 and 1.
fn mask_by_spectrum(spectrum: &[f32]) -> f32 {
    (spectrum.iter().map(|value| value.abs()).sum::<f32>() * 0.37).fract()
}

/// What comes out at `block` samples where every frame has the mask that was made for it: from a model that neither looks ahead nor
/// takes more than a frame at a time.
fn expected_of(timing: ModelTiming, input: &[f32], block: usize) -> Vec<f32> {
    let config = config_of(ModelTiming { frames_per_call: 1, look_ahead_frames: 0, ..timing }, 1, block);
    let (mut engine, worker) = engine_and_worker(&config);
    let mut stream = stream_for(worker, &config, &engine, mask_by_spectrum);
    let out = render(&mut engine, input, block, &Settings::default(), |_| while stream.step() {});
    out.stems[0][engine.latency_samples()..].to_vec()
}

/// Sound and silence by turns, some of them shorter than any look-ahead.
fn sound_and_silence() -> Vec<f32> {
    let mut input = noise(4 * 48_000);
    for (start, end) in [(0, 20_000), (60_000, 61_000), (80_000, 90_000), (110_000, 150_000)] {
        input[start..end].fill(0.0);
    }
    input
}

#[test]
fn every_frame_gets_the_mask_that_was_made_for_it_before_and_after_silence_too() {
    let input = sound_and_silence();
    for timing in TIMINGS {
        let expected = expected_of(timing, &input, 512);
        for block in [100, 512, 2048] {
            let config = config_of(timing, 1, block);
            let (mut engine, worker) = engine_and_worker(&config);
            let mut stream = stream_for(worker, &config, &engine, mask_by_spectrum);
            let out = render(&mut engine, &input, block, &Settings::default(), |_| while stream.step() {});
            let actual = &out.stems[0][engine.latency_samples()..];
            let first = actual.iter().zip(&expected).position(|(a, e)| a != e);
            assert_eq!(first, None, "{timing:?}, blocks of {block}: the first sample that differs");
            assert_eq!(engine.status().snapshot().num_late_frames, 0);
        }
    }
}

#[test]
fn an_offline_render_has_the_same_bits_at_any_block_size_and_whenever_the_worker_works() {
    let input = sound_and_silence();
    for timing in TIMINGS {
        let expected = expected_of(timing, &input, 512);
        for block in [64, 500, 8192] {
            let config = config_of(timing, 1, block);
            let (mut engine, worker) = engine_and_worker(&config);
            let (status, shape) = (engine.status(), shape_of(&config));
            let thread = std::thread::spawn(move || {
                let mut stream = double::stream(worker, shape, &timing, status, mask_by_spectrum);
                let mut num_steps = 0_u64;
                while !stream.is_abandoned() {
                    if stream.step() {
                        num_steps += 1;
                        // Now and then longer than several calls last at this pace.
                        std::thread::sleep(Duration::from_millis(if num_steps.is_multiple_of(17) { 20 } else { 0 }));
                    }
                }
            });
            let settings = Settings { render: RenderMode::Offline, ..Settings::default() };
            let out = render(&mut engine, &input, block, &settings, |_| ());
            let actual = &out.stems[0][engine.latency_samples()..];
            let first = actual.iter().zip(&expected).position(|(a, e)| a != e);
            assert_eq!(first, None, "{timing:?}, blocks of {block}: the first sample that differs");
            assert_eq!(engine.status().snapshot().num_late_frames, 0);
            drop(engine);
            thread.join().unwrap();
        }
    }
}

#[test]
fn without_a_worker_the_dry_signal_is_exact_and_every_stem_has_its_share() {
    let config = config(2, 480);
    let (mut engine, _worker) = engine_and_worker(&config);
    engine.status().set_unavailable("none".into());
    let input = noise(48_000);
    let out = render(&mut engine, &input, 480, &Settings::default(), |_| ());
    let latency = engine.latency_samples();
    assert_eq!(out.dry[latency..], input[..input.len() - latency]);
    assert!(out.presence.iter().all(|&presence| presence == 0.0));
    assert!(residual_db(&out, &input, latency) < -120.0);
    let half = out.stems[0][latency..].iter().zip(&input).map(|(a, b)| (a - 0.5 * b).abs()).fold(0.0, f32::max);
    assert!(db(half) < -120.0, "{} dBFS", db(half));
}

#[test]
fn a_worker_that_stops_is_counted_heard_as_dry_and_never_as_a_click_or_a_shift() {
    for timing in TIMINGS {
        let block = 256;
        let config = config_of(timing, 1, block);
        let (mut engine, worker) = engine_and_worker(&config);
        let mut stream = stream_for(worker, &config, &engine, |_| 0.9);
        let latency = engine.latency_samples();
        let input: Vec<f32> = (0..8 * 48_000)
            .map(|n| (0.5 * (f64::from(n) * 220.0 * std::f64::consts::TAU / RATE_HZ).sin()) as f32)
            .collect();
        // Masks for two seconds, none for three, masks again.
        let (stop, go) = (2 * 48_000 / block, 5 * 48_000 / block);
        let out = render(&mut engine, &input, block, &Settings::default(), |block_idx| {
            while !(stop..go).contains(&block_idx) && stream.step() {}
        });
        let snapshot = engine.status().snapshot();
        println!("late {} of {} frames", snapshot.num_late_frames, snapshot.num_frames);
        // Less what was made ahead, and more what the gap costs: both no more than a call and its look-ahead, to a call.
        let missing_frames = (3.0 / timing.hop_s) as u64;
        let most_off = 2 * timing.frames_per_call + timing.look_ahead_frames;
        assert!(snapshot.num_late_frames.abs_diff(missing_frames) <= most_off as u64);
        assert!(residual_db(&out, &input, latency) < -120.0);
        let (steady, whole) = (roughness(&out.stems[0][48_000..90_000]), roughness(&out.stems[0][48_000..]));
        println!("roughness steady {:.2} dB, whole {:.2} dB", db(steady), db(whole));
        assert!(whole < 1.05 * steady, "no click where masks stop or come again");
        let gap = out.presence[4 * 48_000..5 * 48_000].iter().all(|&presence| presence == 0.0);
        assert!(gap, "without masks the output is dry");
        assert_eq!(out.presence.last(), Some(&1.0), "it recovers by itself");
    }
}

#[test]
fn frames_that_are_late_for_a_moment_are_heard_through_the_last_mask_as_the_worker_would_have_made_them() {
    for timing in TIMINGS {
        let block = 256;
        let config = config_of(timing, 2, block);
        let input = noise(3 * 48_000);
        let played = |stuck: std::ops::Range<usize>| {
            let (mut engine, worker) = engine_and_worker(&config);
            let mut stream = stream_for(worker, &config, &engine, |_| 0.7);
            let out = render(&mut engine, &input, block, &Settings::default(), |block_idx| {
                while !stuck.contains(&block_idx) && stream.step() {}
            });
            (out, engine.status().snapshot().num_late_frames)
        };
        let (whole, none_late) = played(0..0);
        // From a hand-over on, as long as what was granted and half of what is held.
        let deadline = latency(&timing, RATE_HZ, block).unwrap().deadline_samples;
        let held = (timing.frames_per_call + timing.look_ahead_frames) * 768;
        let (patched, num_late) = played(302..302 + (deadline + held / 2).div_ceil(block));
        assert_eq!(none_late, 0);
        assert!(num_late > 0, "{timing:?}: nothing was tested");
        assert!(patched.presence == whole.presence, "{timing:?}: held, not faded");
        assert!(patched.stems == whole.stems, "{timing:?}: {num_late} late frames differ");
    }
}

#[test]
fn the_strength_changes_what_is_heard_and_the_sum_stays() {
    let config = config_of(FULL_BAND, 2, 512);
    for (strength, expected) in [(0.0, 0.5), (0.5, 0.604), (1.0, 0.7), (2.0, 0.845)] {
        let (mut engine, worker) = engine_and_worker(&config);
        let mut stream = stream_for(worker, &config, &engine, |_| 0.7);
        let input = noise(48_000);
        let settings = Settings { strength, ..Settings::default() };
        let out = render(&mut engine, &input, 512, &settings, |_| while stream.step() {});
        let latency = engine.latency_samples();
        let worst = out.stems[0][latency..].iter().zip(&input).map(|(a, x)| (a - expected * x).abs());
        let worst = worst.fold(0.0, f32::max);
        assert!(worst < 5e-4, "strength {strength}: {worst}");
        assert!(residual_db(&out, &input, latency) < -120.0);
    }
}

#[test]
fn a_change_of_the_stereo_link_is_bridged_by_the_last_masks() {
    for timing in TIMINGS {
        let config = config_of(timing, 2, 512);
        let (mut engine, worker) = engine_and_worker(&config);
        let mut stream = stream_for(worker, &config, &engine, |_| 0.9);
        let input = noise(6 * 48_000);
        let mut is_linked = false;
        for part in input.chunks(2 * 48_000) {
            is_linked = !is_linked;
            let settings = Settings { stereo_link: is_linked, ..Settings::default() };
            let out = render(&mut engine, part, 512, &settings, |_| while stream.step() {});
            let from = if part.as_ptr() == input.as_ptr() { engine.latency_samples() } else { 0 };
            assert!(out.presence[from..].iter().all(|&presence| presence == 1.0), "{timing:?}");
        }
        assert_eq!(engine.status().snapshot().num_late_frames, 0);
    }
}

#[test]
fn a_result_of_before_a_reset_is_never_used_after_it() {
    let block = 768;
    let config = config(1, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    render(&mut engine, &noise(8 * 768), block, &Settings::default(), |_| ());
    engine.reset();
    // The old call comes back with a mask of 1 for frame 0, the new one for the same frame is never answered.
    let old = worker.receive().expect("a call of before the reset");
    worker.send(Answers::of(&config).answer(old));
    let input = noise(48_000);
    let out = render(&mut engine, &input, block, &Settings::default(), |_| ());
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
    let out = render(&mut engine, &input, 512, &Settings::default(), |_| ());
    assert!(out.stems.iter().flatten().all(|sample| sample.is_finite()));
    assert_eq!(engine.status().snapshot().num_replaced_samples, 6, "three in each channel");
}

#[test]
fn an_offline_host_waits_for_the_worker_and_loses_no_frame() {
    let block = 8192;
    let config = config(2, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    let mut answers = Answers::of(&config);
    let thread = std::thread::spawn(move || {
        while !worker.is_abandoned() {
            if let Some(call) = worker.receive() {
                std::thread::sleep(Duration::from_millis(5));
                worker.send(answers.answer(call));
            }
        }
    });
    let settings = Settings { render: RenderMode::Offline, ..Settings::default() };
    let input = noise(5 * 48_000);
    for pass in 0..3 {
        let out = render(&mut engine, &input, block, &settings, |_| ());
        let error_db = error_db(&out, &input, engine.latency_samples());
        assert!(error_db < -120.0, "pass {pass}: {error_db} dBFS");
        engine.reset();
    }
    assert_eq!(engine.status().snapshot().num_late_frames, 0);
    drop(engine);
    thread.join().unwrap();
}

#[test]
fn bypass_sleeps_after_a_while_and_is_not_late() {
    for timing in TIMINGS {
        let block = 512;
        let config = config_of(timing, 1, block);
        let (mut engine, mut worker) = engine_and_worker(&config);
        let (mut num_calls, mut answers) = (0, Answers::of(&config));
        let settings = Settings { asleep: true, ..Settings::default() };
        let out = render(&mut engine, &noise(6 * 48_000), block, &settings, |_| {
            while let Some(call) = worker.receive() {
                num_calls += 1;
                worker.send(answers.answer(call));
            }
        });
        println!("{num_calls} calls in 6 s asleep");
        assert!(num_calls <= (SLEEP_AFTER_S / call_s(&timing)) as usize + 1, "no more than until it slept");
        assert_eq!(engine.status().snapshot().num_late_frames, 0);
        assert_eq!(out.presence.last(), Some(&0.0));
    }
}

#[test]
fn sleep_begins_at_the_same_sample_in_any_block_size_and_anew_after_a_reset() {
    let num_awake = 48_000;
    // A little longer than it takes to fall asleep, by less than the largest block.
    let num_asleep = (SLEEP_AFTER_S * RATE_HZ) as usize + 4_000;
    let input = noise(num_awake + num_asleep);
    let calls_of = |block: usize, is_used: bool| {
        let config = config(1, 8192);
        let (mut engine, mut worker) = engine_and_worker(&config);
        let (mut num_calls, mut answers) = (0, Answers::of(&config));
        let mut play = |engine: &mut Engine, part: &[f32], asleep: bool, num_calls: &mut usize| {
            render(engine, part, block, &Settings { asleep, ..Settings::default() }, |_| {
                while let Some(call) = worker.receive() {
                    *num_calls += 1;
                    worker.send(answers.answer(call));
                }
            });
        };
        if is_used {
            play(&mut engine, &input, true, &mut 0);
            engine.reset();
        }
        play(&mut engine, &input[..num_awake], false, &mut num_calls);
        play(&mut engine, &input[num_awake..], true, &mut num_calls);
        num_calls
    };
    let expected = calls_of(64, false);
    for (block, is_used) in [(64, true), (1000, false), (8192, false), (8192, true)] {
        assert_eq!(calls_of(block, is_used), expected, "blocks of {block}, used before: {is_used}");
    }
}

#[test]
fn after_sleep_the_masks_fade_in_and_are_the_right_ones() {
    let input = noise(8 * 48_000);
    for timing in TIMINGS {
        let expected = expected_of(timing, &input, 512);
        let config = config_of(timing, 1, 512);
        let (mut engine, worker) = engine_and_worker(&config);
        let mut stream = stream_for(worker, &config, &engine, mask_by_spectrum);
        let (bypassed, back) = input.split_at(5 * 48_000 / 512 * 512);
        let asleep = Settings { asleep: true, ..Settings::default() };
        let mut out = render(&mut engine, bypassed, 512, &asleep, |_| while stream.step() {});
        let rest = render(&mut engine, back, 512, &Settings::default(), |_| while stream.step() {});
        out.stems[0].extend(rest.stems[0].iter());
        out.presence.extend(rest.presence.iter());
        assert_eq!(engine.status().snapshot().num_late_frames, 0);
        // Where all frames that a sample is made of had their whole mask.
        let reach = engine.latency.grid.window_samples();
        let latency = engine.latency_samples();
        let mut num_whole = 0;
        for at in latency..out.presence.len() - reach {
            num_whole = if out.presence[at] == 1.0 { num_whole + 1 } else { 0 };
            assert!(num_whole <= reach || out.stems[0][at] == expected[at - latency], "{timing:?}: sample {at}");
        }
        assert!(out.presence[5 * 48_000] == 0.0 && num_whole > 48_000, "{timing:?}: {num_whole}");
    }
}

#[test]
fn a_host_that_bounces_without_saying_so_is_waited_for_too() {
    for timing in [PAPER, FULL_BAND] {
        let block = 512;
        let config = config_of(timing, 2, block);
        let (mut engine, mut worker) = engine_and_worker(&config);
        let mut answers = Answers::of(&config);
        let slack_s = engine.latency.deadline_samples as f64 / RATE_HZ;
        engine.pace = Pace::new(slack_s);
        let thread = std::thread::spawn(move || {
            while !worker.is_abandoned() {
                if let Some(call) = worker.receive() {
                    std::thread::sleep(Duration::from_millis(20));
                    worker.send(answers.answer(call));
                }
            }
        });
        let input = noise(5 * 48_000);
        let out = render(&mut engine, &input, block, &Settings::default(), |_| ());
        let error_db = error_db(&out, &input, engine.latency_samples());
        println!("error {error_db:.1} dBFS");
        assert!(error_db < -120.0);
        assert_eq!(engine.status().snapshot().num_late_frames, 0);
        drop(engine);
        thread.join().unwrap();
    }
}

#[test]
fn whatever_is_missing_a_mask_of_one_gives_the_input_as_far_as_masks_are_in() {
    for timing in [PAPER, TIMINGS[TIMINGS.len() - 1], ModelTiming { frames_per_call: 1, synthesis_s: 0.032, ..PAPER }] {
        let block = 256;
        let config = config_of(timing, 2, block);
        let (mut engine, worker) = engine_and_worker(&config);
        let mut stream = stream_for(worker, &config, &engine, |_| 1.0);
        let mut state = 5_u64;
        let mut below = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        let mut settings = Settings::default();
        let (mut is_silent, mut is_stuck, mut fed) = (false, false, Vec::new());
        let (mut worst, mut num_partly, mut num_wholly) = (0.0_f32, 0, 0);
        let latency = engine.latency_samples();
        let sound = noise(1 << 16);
        for block_idx in 0..6_000 {
            is_silent = if below(40) == 0 { below(3) == 0 } else { is_silent };
            is_stuck = if below(60) == 0 { below(3) == 0 } else { is_stuck };
            settings.stereo_link = if below(150) == 0 { below(2) == 0 } else { settings.stereo_link };
            settings.asleep = if below(300) == 0 { below(3) == 0 } else { settings.asleep };
            let start = (block_idx * block) % (sound.len() - block);
            let input = if is_silent { vec![0.0; block] } else { sound[start..start + block].to_vec() };
            fed.extend_from_slice(&input);
            let stems = engine.process(&[&input, &input], &settings);
            for sample_idx in 0..block {
                let dry = (block_idx * block + sample_idx).checked_sub(latency).map_or(0.0, |at| fed[at]);
                assert_eq!(stems.dry(1)[sample_idx], dry);
                let presence = stems.presence()[sample_idx];
                num_partly += usize::from(presence > 0.0 && presence < 1.0);
                num_wholly += usize::from(presence == 1.0);
                let expected = (presence + 0.5 * (1.0 - presence)) * dry;
                worst = worst.max((stems.stem(0, 1)[sample_idx] - expected).abs());
            }
            if !is_stuck {
                for _ in 0..below(4) {
                    stream.step();
                }
            }
        }
        println!(
            "{timing:?}: {:.1} dBFS; masks wholly in for {num_wholly} samples, partly for {num_partly}",
            db(worst)
        );
        assert!(num_wholly > 200_000 && num_partly > 50_000, "hardly anything was tested");
        assert!(db(worst) < -110.0, "{timing:?}: {} dBFS", db(worst));
    }
}

#[test]
fn sound_after_silence_is_separated_at_once_though_the_model_was_woken_in_it() {
    for timing in TIMINGS {
        let block = 256;
        let config = config_of(timing, 2, block);
        let (mut engine, worker) = engine_and_worker(&config);
        let mut stream = stream_for(worker, &config, &engine, |_| 1.0);
        let input = [noise(4 * 48_000), vec![0.0; 4 * 48_000], noise(48_000)].concat();
        // Bypassed while it sounds; woken two seconds before it sounds again.
        let asleep_samples = 6 * 48_000;
        let mut settings = Settings { asleep: true, ..Settings::default() };
        let before = render(&mut engine, &input[..asleep_samples], block, &settings, |_| while stream.step() {});
        settings.asleep = false;
        let after = render(&mut engine, &input[asleep_samples..], block, &settings, |_| while stream.step() {});
        let latency = engine.latency_samples();
        let sounds_from = 2 * 48_000 + latency;
        assert_eq!(before.presence.last(), Some(&0.0), "it slept");
        assert!(after.presence[sounds_from..].iter().all(|&presence| presence == 1.0), "{timing:?}");
        let sound = &input[8 * 48_000..];
        let error = after.stems[0][sounds_from..].iter().zip(sound).map(|(a, x)| (a - x).abs()).fold(0.0, f32::max);
        assert!(db(error) < -110.0, "{timing:?}: {} dBFS", db(error));
    }
}

#[test]
fn what_comes_after_silence_is_heard_through_its_own_mask_and_not_through_one_of_before() {
    for timing in TIMINGS {
        let block = 256;
        let config = config_of(timing, 2, block);
        let (mut engine, worker) = engine_and_worker(&config);
        // Loud sounds get another mask than soft ones.
        let mask_of = |frame: &[f32]| {
            let level = frame.iter().map(|value| value.abs()).sum::<f32>() / frame.len() as f32;
            if level > 0.3 { 0.9 } else { 0.2 }
        };
        let mut stream = stream_for(worker, &config, &engine, mask_of);
        let loud = [noise(2 * 48_000), vec![0.0; 2 * 48_000]].concat();
        let soft: Vec<f32> = noise(48_000).iter().map(|sample| 0.01 * sample).collect();
        render(&mut engine, &loud, block, &Settings::default(), |_| while stream.step() {});
        // In silence the model begins another stream.
        let settings = Settings { stereo_link: false, ..Settings::default() };
        let input = [vec![0.0; 48_000], soft].concat();
        let out = render(&mut engine, &input, block, &settings, |_| while stream.step() {});
        let latency = engine.latency_samples();
        let worst = out.stems[0][latency..].iter().zip(&input).map(|(a, x)| (a - 0.2 * x).abs()).fold(0.0, f32::max);
        assert!(db(worst) < -110.0, "{timing:?}: {} dBFS", db(worst));
    }
}

#[test]
fn where_every_second_call_comes_too_late_the_others_are_heard() {
    let block = 256;
    let config = config_of(ModelTiming { frames_per_call: 1, synthesis_s: 0.032, ..PAPER }, 1, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    let mut answers = Answers::of(&config);
    let input = noise(4 * 48_000);
    let (mut num_calls, mut heard_from) = (0, 0);
    let out = render(&mut engine, &input, block, &Settings::default(), |_| {
        while let Some(mut call) = worker.receive() {
            num_calls += 1;
            // As the worker says of what it did not run, and of the first call after it.
            let last_frame = call.first_frame;
            if num_calls > 50 && num_calls % 2 == 0 {
                answers.1.complete(&mut call);
                call.outcome = Outcome::TooLate;
                heard_from = last_frame + 1;
            } else {
                call = answers.answer(call);
                call.heard_from = call.heard_from.max(heard_from);
            }
            worker.send(call);
        }
    });
    assert!(engine.status().snapshot().num_late_frames > 70, "nothing was tested");
    let latency = engine.latency_samples();
    assert!(out.presence[latency..].iter().all(|&presence| presence == 1.0), "a mask is held for longer than a call");
    let error_db = error_db(&out, &input, latency);
    assert!(error_db < -110.0, "{error_db} dBFS");
}

#[test]
fn silence_costs_no_call_and_sound_after_it_is_separated_from_the_first_sample() {
    for timing in TIMINGS {
        let block = 512;
        let config = config_of(ModelTiming { look_back_frames: 50, ..timing }, 2, block);
        let (mut engine, mut worker) = engine_and_worker(&config);
        let (sound, silence) = (noise(48_000), vec![0.0; 10 * 48_000]);
        let input = [&silence[..], &sound, &silence, &sound].concat();
        let (mut num_calls, mut answers) = (0, Answers::of(&config));
        let out = render(&mut engine, &input, block, &Settings::default(), |_| {
            while let Some(call) = worker.receive() {
                assert_eq!(call.is_fresh, num_calls == 0, "silence keeps the state");
                assert!(call.heard_from <= call.first_frame);
                num_calls += 1;
                worker.send(answers.answer(call));
            }
        });
        let latency = engine.latency_samples();
        let error_db = error_db(&out, &input, latency);
        println!("{num_calls} calls for 22 s of which 2 s sound, error {error_db:.1} dBFS");
        // Two seconds of sound, what the model reaches over after the first of them, and at each edge a call that is begun.
        let frames = 2.0 / timing.hop_s + (50 + timing.look_ahead_frames) as f64;
        let least = (frames / timing.frames_per_call as f64) as usize;
        assert!((least - 1..=least + 6).contains(&num_calls), "{num_calls} calls, expected about {least}");
        assert!(error_db < -120.0);
        assert_eq!(engine.status().snapshot().num_late_frames, 0);
    }
}

#[test]
fn a_bounce_after_an_overload_does_not_wait_for_calls_that_were_never_sent() {
    let block = 768;
    let config = config(1, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    // A worker that takes nothing: every call is with it, and further ones are dropped.
    let mut answers = Answers::of(&config);
    render(&mut engine, &noise(200 * 768), block, &Settings::default(), |_| ());
    assert!(engine.status().snapshot().num_dropped_calls > 0);
    let thread = std::thread::spawn(move || {
        while !worker.is_abandoned() {
            if let Some(call) = worker.receive() {
                worker.send(answers.answer(call));
            }
        }
    });
    let began = Instant::now();
    let settings = Settings { render: RenderMode::Offline, ..Settings::default() };
    let out = render(&mut engine, &noise(200 * 768), block, &settings, |_| ());
    println!("200 frames in {:.1} s", began.elapsed().as_secs_f64());
    assert!(began.elapsed().as_secs() < 10);
    assert_eq!(out.presence.last(), Some(&1.0));
    drop(engine);
    thread.join().unwrap();
}

#[path = "listening_tests.rs"]
mod listening;
