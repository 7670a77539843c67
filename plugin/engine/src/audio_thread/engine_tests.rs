//! The engine with a worker that does exactly what a test wants, when it wants.

use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};
use underscore_dsp::{Complex32, History, Stft, linking};

use super::activation::{EngineConfig, LOWEST_HOST_RATE_HZ, call_shape, check_host_rate, num_calls, pace_of};
use super::*;
use crate::audio_thread::dispatch::Dispatch;
use crate::audio_thread::patience::Patience;
use crate::catalogue::ModelSpec;
use crate::handoff::{Call, CallShape, Outcome, WorkerEnd, handoff};
use crate::latency::{ModelTiming, latency};
use crate::resources::Resources;
use crate::worker_thread::{
    CarriedSamples, DeviceChoice, ExampleEncoder, Spectra, Stream, Waker, Worker, fake_backend,
};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const RATE_HZ: f64 = 48_000.0;

const PAPER: ModelTiming = ModelTiming::PAPER;
const FULL_BAND: ModelTiming = ModelTiming::FULL_BAND;
const LIVE: ModelTiming = ModelTiming::LIVE;

/// As `LIVE` is rounded at 11.025 and 176.4 kHz: three of its frames are heard at once, not two.
const LIVE_ROUNDED_UP: ModelTiming = ModelTiming { synthesis_s: LIVE.synthesis_s + 1.0 / RATE_HZ, ..LIVE };

/// What a model may be like; the last one looks ahead by no whole number of calls.
const TIMINGS: [ModelTiming; 6] = [
    PAPER,
    FULL_BAND,
    LIVE,
    LIVE_ROUNDED_UP,
    ModelTiming { frames_per_call: 1, ..PAPER },
    ModelTiming { frames_per_call: 4, look_ahead_frames: 3, ..PAPER },
];

fn config_of(timing: ModelTiming, num_channels: usize, max_block_samples: usize) -> EngineConfig {
    EngineConfig {
        host_rate_hz: RATE_HZ,
        max_block_samples,
        num_channels,
        model: ModelSpec::for_tests(timing),
        device: DeviceChoice::Cpu,
        resources: Resources::at("/nowhere"),
        boards: Arc::default(),
        may_render_ahead: true,
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
    let status = EngineStatus::register("test", &timing, config.host_rate_hz, config.max_block_samples, latency);
    status.set_running("test");
    let patience = Patience::with(Waker::none(), status.clone());
    let dispatch = Dispatch::new(audio_end, patience, status.clone(), shape, &timing, num_calls);
    let mut engine = Engine::new(config, latency, shape, dispatch, None, status);
    // Tests run faster than real time and must not be taken for a bounce unless they say so.
    engine.pace = Pace::new(f64::INFINITY, 0.0);
    (engine, worker_end)
}

/// The real worker for an engine, with a model that makes its masks by `mask_of` and looks ahead as `config` says.
fn stream_for(worker: WorkerEnd, config: &EngineConfig, engine: &Engine, mask_of: fake_backend::MaskOf) -> Stream {
    fake_backend::stream(worker, shape_of(config), &config.model.timing, engine.status(), mask_of)
}

/// An engine and its real worker, with a model that makes its masks by `mask_of`.
fn engine_and_stream(config: &EngineConfig, mask_of: fake_backend::MaskOf) -> (Engine, Stream) {
    let (engine, worker) = engine_and_worker(config);
    let stream = stream_for(worker, config, &engine, mask_of);
    (engine, stream)
}

/// Seconds of a call.
fn call_s(timing: &ModelTiming) -> f64 {
    timing.frames_per_call as f64 * timing.hop_s
}

/// Answers calls without a model: with a mask of one everywhere.
struct Answers {
    spectra: Spectra,
    past: CarriedSamples,
}

impl Answers {
    fn of(config: &EngineConfig) -> Self {
        let (timing, shape) = (&config.model.timing, shape_of(config));
        let spectra = Spectra::new(shape, timing.look_ahead_frames, timing.scale(shape.grid));
        Self { spectra, past: CarriedSamples::new(shape) }
    }

    fn answer(&mut self, mut call: Call) -> Call {
        self.past.complete(&mut call);
        if call.is_fresh {
            self.spectra.reset();
        }
        self.spectra.analyse(&call);
        call.masks.fill(1.0);
        self.spectra.synthesise(&mut call);
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

/// The larger of two, and no number where either is none: `max` would leave it out, and nothing but NaN would pass for silence.
fn larger(a: f32, b: f32) -> f32 {
    if a.is_nan() || b <= a { a } else { b }
}

fn db(value: f32) -> f32 {
    20.0 * larger(1e-12, value).log10()
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
    let num_channels = engine.dry.len();
    for (block_idx, samples) in input.chunks(block).enumerate() {
        let channels = [samples; 2];
        let before = violation_count();
        let stems = assert_no_alloc(|| engine.process(&channels[..num_channels], settings));
        assert_eq!(violation_count(), before, "process allocated");
        for (stem_idx, stem) in out.stems.iter_mut().enumerate() {
            stem.extend_from_slice(stems.stem(stem_idx, 0));
        }
        out.dry.extend_from_slice(stems.dry(0));
        out.presence.extend((0..stems.num_samples()).map(|sample_idx| stems.presence().at(sample_idx)));
        work(block_idx);
    }
    out
}

/// Largest difference between the sum of the stems and the delayed input, dBFS.
fn residual_db(out: &Rendered, input: &[f32], latency: usize) -> f32 {
    let delayed = std::iter::repeat_n(&0.0, latency).chain(input);
    let worst = out.stems[0].iter().zip(&out.stems[1]).zip(delayed).map(|((a, b), x)| (a + b - x).abs());
    db(worst.fold(0.0, larger))
}

/// Largest second difference: a click shows here long before it shows in the level.
fn roughness(samples: &[f32]) -> f32 {
    samples.windows(3).map(|w| (w[0] - 2.0 * w[1] + w[2]).abs()).fold(0.0, larger)
}

/// Largest difference between the first stem and the delayed input, dBFS.
fn error_db(out: &Rendered, input: &[f32], latency: usize) -> f32 {
    db(out.stems[0][latency..].iter().zip(input).map(|(a, b)| (a - b).abs()).fold(0.0, larger))
}

#[test]
fn with_masks_of_one_the_first_stem_is_the_delayed_input_at_every_block_size() {
    for timing in TIMINGS {
        for block in [1, 64, 127, 512, 4096] {
            let config = config_of(timing, 2, block);
            let (mut engine, mut stream) = engine_and_stream(&config, |_| 1.0);
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
                let (mut engine, mut stream) = engine_and_stream(&config, |_| 1.0);
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
                let mut past = CarriedSamples::new(shape);
                render(&mut engine, &input, 480, &settings, |_| {
                    while let Some(mut call) = worker.calls.receive() {
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
                        worker.calls.send(call);
                    }
                });
                assert!(num_frames > 50, "{num_frames} frames in a second");
            }
        }
    }
}

#[test]
fn a_frame_whose_call_fails_is_counted_as_one_without_a_mask_and_one_that_nobody_wants_is_not() {
    let num_unmasked = |asleep: bool, outcome: Outcome| {
        let config = config(1, 512);
        let (mut engine, mut worker) = engine_and_worker(&config);
        // Bypass asks for masks for two seconds more.
        render(&mut engine, &noise(4 * RATE_HZ as usize), 512, &Settings { asleep, ..Settings::default() }, |_| {
            while let Some(mut call) = worker.calls.receive() {
                call.masks.fill(1.0);
                call.outcome = outcome;
                worker.calls.send(call);
            }
        });
        let status = engine.status().snapshot();
        assert_eq!(status.num_late_frames, 0);
        (status.num_unmasked_frames, status.num_frames)
    };
    let (num_failed, num_frames) = num_unmasked(false, Outcome::Failed);
    println!("{num_failed} of {num_frames} frames without a mask");
    assert!(num_failed > num_frames - 20);
    assert_eq!(num_unmasked(true, Outcome::Masked).0, 0);
    assert_eq!(num_unmasked(false, Outcome::Masked).0, 0);
}

#[test]
fn a_rate_that_is_too_low_is_told_with_what_to_do_and_the_lowest_one_is_not() {
    assert_eq!(check_host_rate(LOWEST_HOST_RATE_HZ), Ok(()));
    let config = EngineConfig { host_rate_hz: 7_350.0, ..config(1, 512) };
    let engine = Engine::activate(config, &Worker::default()).expect("an engine that passes the sound");
    assert_eq!(engine.status().state(), State::Unavailable);
    let message = engine.status().snapshot().message;
    for words in ["7350 Hz", "8000 Hz", "Nothing is separated: each stem's output carries half", "higher sample rate"] {
        assert!(message.contains(words), "'{words}' is missing in: {message}");
    }
}

#[test]
fn a_host_that_plays_on_after_a_bounce_that_it_told_of_is_not_taken_for_one_that_still_bounces() {
    let config = config(1, 512);
    let (mut engine, _worker) = engine_and_worker(&config);
    engine.pace = Pace::new(0.08, 512.0 / RATE_HZ);
    let silence = [0.0; 512];
    let is_ahead_after = |engine: &mut Engine, render: RenderMode| {
        // Digital silence: no mask is waited for.
        engine.process(&[&silence], &Settings { render, ..Settings::default() });
        engine.pace.is_ahead()
    };
    for _ in 0..100 {
        is_ahead_after(&mut engine, RenderMode::Offline);
    }
    assert!(engine.pace.is_ahead(), "a second of sound in no time");
    assert!(!is_ahead_after(&mut engine, RenderMode::RealTime));
}

/// A mask that is another one for nearly every spectrum, between 0 and 1.
fn mask_by_spectrum(spectrum: &[f32]) -> f32 {
    (spectrum.iter().map(|value| value.abs()).sum::<f32>() * 0.37).fract()
}

/// What comes out at `block` samples where every frame has the mask that was made for it: from a model that neither looks ahead nor
/// takes more than a frame at a time.
fn expected_of(timing: ModelTiming, input: &[f32], block: usize) -> Vec<f32> {
    let config = config_of(ModelTiming { frames_per_call: 1, look_ahead_frames: 0, ..timing }, 1, block);
    let (mut engine, mut stream) = engine_and_stream(&config, mask_by_spectrum);
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
            let (mut engine, mut stream) = engine_and_stream(&config, mask_by_spectrum);
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
                let mut stream = fake_backend::stream(worker, shape, &timing, status, mask_by_spectrum);
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
fn the_strength_changes_where_it_was_set_however_far_the_model_hears_ahead() {
    for look_ahead_frames in [0, 8, 142] {
        let timing = ModelTiming { look_ahead_frames, ..FULL_BAND };
        let config = config_of(timing, 1, 512);
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.7);
        let (latency, grid) = (engine.latency_samples(), engine.latency.grid);
        let call_samples = timing.frames_per_call * grid.hop_samples();
        let num_before = 10 * call_samples;
        let input = noise(num_before + latency + 10 * call_samples);
        let mut heard = Vec::new();
        for (strength, part) in [(1.0, &input[..num_before]), (0.0, &input[num_before..])] {
            let settings = Settings { strength, ..Settings::default() };
            let out = render(&mut engine, part, 512, &settings, |_| while stream.step() {});
            heard.extend_from_slice(&out.stems[0]);
        }
        // It is one for all frames of a call, and a frame is heard for a window.
        let margin = call_samples + grid.window_samples();
        for (expected, range) in [(0.7, 0..num_before - margin), (0.5, num_before + margin..input.len() - latency)] {
            let pairs = heard[latency..][range.clone()].iter().zip(&input[range]);
            let worst = pairs.map(|(a, x)| (a - expected * x).abs()).fold(0.0, larger);
            assert!(worst < 5e-4, "{look_ahead_frames} frames ahead, share {expected}: {worst}");
        }
    }
}

#[test]
fn the_strength_changes_what_is_heard_and_the_sum_stays() {
    let config = config_of(FULL_BAND, 2, 512);
    for (strength, expected) in [(0.0, 0.5), (0.5, 0.604), (1.0, 0.7), (2.0, 0.845)] {
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.7);
        let input = noise(48_000);
        let settings = Settings { strength, ..Settings::default() };
        let out = render(&mut engine, &input, 512, &settings, |_| while stream.step() {});
        let latency = engine.latency_samples();
        let worst = out.stems[0][latency..].iter().zip(&input).map(|(a, x)| (a - expected * x).abs());
        let worst = worst.fold(0.0, larger);
        assert!(worst < 5e-4, "strength {strength}: {worst}");
        assert!(residual_db(&out, &input, latency) < -120.0);
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
    let old = worker.calls.receive().expect("a call of before the reset");
    worker.calls.send(Answers::of(&config).answer(old));
    let input = noise(48_000);
    let out = render(&mut engine, &input, block, &Settings::default(), |_| ());
    assert!(out.presence.iter().all(|&presence| presence == 0.0));
}

#[test]
fn numbers_that_are_none_are_replaced_and_counted() {
    let config = config(2, 512);
    let (mut engine, _worker) = engine_and_worker(&config);
    engine.status().set_unavailable("none");
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
        while !worker.calls.is_abandoned() {
            if let Some(call) = worker.calls.receive() {
                std::thread::sleep(Duration::from_millis(5));
                worker.calls.send(answers.answer(call));
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
fn a_host_that_bounces_without_saying_so_is_waited_for_too() {
    for timing in [PAPER, FULL_BAND] {
        let block = 512;
        let config = config_of(timing, 2, block);
        let (mut engine, mut worker) = engine_and_worker(&config);
        engine.pace = pace_of(&engine.latency, &config);
        let shape = shape_of(&config);
        let hang_frame = (5.0 / timing.hop_s) as u64;
        let mut answers = Answers::of(&config);
        let thread = std::thread::spawn(move || {
            while !worker.calls.is_abandoned() {
                if let Some(call) = worker.calls.receive() {
                    // One of them takes as long as it takes to replace a card that hangs.
                    let hangs = call.first_frame <= hang_frame && hang_frame <= shape.last_frame(call.first_frame);
                    let while_it_hangs = LONGEST_WAIT_AHEAD + Duration::from_millis(500);
                    std::thread::sleep(if hangs { while_it_hangs } else { Duration::from_millis(20) });
                    worker.calls.send(answers.answer(call));
                }
            }
        });
        let input = noise(8 * 48_000);
        let latency = engine.latency_samples();
        // For longer than it takes to fall asleep it is bypassed.
        let mut done = 0;
        for (seconds, asleep) in [(2, false), (4, true), (2, false)] {
            let part = &input[done..done + seconds * 48_000];
            let out = render(&mut engine, part, block, &Settings { asleep, ..Settings::default() }, |_| ());
            let from = if done == 0 { latency } else { 0 };
            let heard = &input[(done + from) - latency..];
            let error_db = db(out.stems[0][from..].iter().zip(heard).map(|(a, b)| (a - b).abs()).fold(0.0, larger));
            println!("error {error_db:.1} dBFS");
            assert!(error_db < -120.0, "{timing:?}, bypassed: {asleep}");
            assert!(out.presence[from..].iter().all(|&presence| presence == 1.0), "{timing:?}, bypassed: {asleep}");
            done += part.len();
        }
        assert_eq!(engine.status().snapshot().num_late_frames, 0);
        drop(engine);
        thread.join().unwrap();
    }
}

#[test]
fn a_bounce_that_is_not_declared_is_waited_for_like_one_that_is_once_no_host_that_plays_leads_by_as_much() {
    let config = config(1, 480);
    let (mut engine, _worker) = engine_and_worker(&config);
    let mut waits_s = |lead_s: f64, render: RenderMode| {
        engine.pace = pace_of(&engine.latency, &config);
        let now = Instant::now();
        (0..=(lead_s / 0.01) as usize).for_each(|_| engine.pace.note_piece(now, 0.01));
        [false, true].map(|is_loading| engine.longest_wait(render, is_loading).map(|longest| longest.as_secs()))
    };
    assert_eq!(waits_s(0.0, RenderMode::RealTime), [None, None]);
    assert_eq!(waits_s(0.8, RenderMode::RealTime), [Some(1), Some(5)], "it may only look like a bounce");
    assert_eq!(waits_s(1.2, RenderMode::RealTime), [Some(60), Some(60)]);
    assert_eq!(waits_s(0.0, RenderMode::Offline), [Some(60), Some(60)]);
}

#[test]
fn calls_run_by_themselves_until_the_host_was_seen_to_keep_time_for_a_second_and_with_others_from_then_on() {
    for timing in TIMINGS {
        let config = config_of(timing, 1, 256);
        // By its pace every host keeps time, whatever the clock says.
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 1.0);
        fake_backend::batchings();
        render(&mut engine, &noise(5 * 48_000), 256, &Settings::default(), |_| while stream.step() {});
        let batchings = fake_backend::batchings();
        let num_alone = batchings.iter().take_while(|&&batching| batching == Batching::NEVER).count();
        let alone_s = num_alone as f64 * call_s(&timing);
        assert!((alone_s - 1.0).abs() <= call_s(&timing), "{timing:?}: {alone_s} s by themselves");
        let together = &batchings[num_alone..];
        assert!(together.iter().all(|&batching| batching == Batching::ALLOWED), "{timing:?}: {together:?}");
        assert!(together.len() as f64 * call_s(&timing) > 3.5, "{timing:?}: {} calls", batchings.len());
    }
}

#[test]
fn every_call_of_a_bounce_runs_by_itself_whatever_the_clocks_say() {
    // One that says so while it seems to keep time, and one that does not say so and is ahead from the first block on.
    let bounces = [(RenderMode::Offline, f64::INFINITY), (RenderMode::RealTime, f64::NEG_INFINITY)];
    for timing in TIMINGS {
        for (mode, slack_s) in bounces {
            let config = config_of(timing, 1, 256);
            let (mut engine, mut stream) = engine_and_stream(&config, |_| 1.0);
            engine.pace = Pace::new(slack_s, 0.0);
            fake_backend::batchings();
            let settings = Settings { render: mode, ..Settings::default() };
            render(&mut engine, &noise(4 * 48_000), 256, &settings, |_| while stream.step() {});
            assert_eq!(engine.pace.keeps_time(), mode == RenderMode::Offline);
            let batchings = fake_backend::batchings();
            assert!(batchings.len() as f64 * call_s(&timing) > 3.5, "{timing:?}: {} calls", batchings.len());
            let first = batchings.iter().position(|&batching| batching != Batching::NEVER);
            assert_eq!(first, None, "{timing:?}, {mode:?}: the first call of {} that others may join", batchings.len());
        }
    }
}

#[test]
fn a_call_of_a_host_that_played_runs_by_itself_where_a_bounce_waits_for_it() {
    let config = config_of(FULL_BAND, 1, 256);
    let (mut engine, mut stream) = engine_and_stream(&config, |_| 1.0);
    let (playing, bouncing) = (Settings::default(), Settings { render: RenderMode::Offline, ..Settings::default() });
    render(&mut engine, &noise(2 * 48_000), 256, &playing, |_| while stream.step() {});
    let mut input = noise(48_000).into_iter();
    let mut play_hop = |engine: &mut Engine, settings: &Settings| {
        let hop: Vec<f32> = input.by_ref().take(768).collect();
        render(engine, &hop, 256, settings, |_| ());
    };
    while stream.num_waiting() == 0 {
        play_hop(&mut engine, &playing);
    }
    fake_backend::batchings();
    play_hop(&mut engine, &bouncing);
    assert!(stream.step() && fake_backend::batchings() == [Batching::NEVER]);
    // The same, where it plays on.
    render(&mut engine, &noise(2 * 48_000), 256, &playing, |_| while stream.step() {});
    while stream.num_waiting() == 0 {
        play_hop(&mut engine, &playing);
    }
    fake_backend::batchings();
    play_hop(&mut engine, &playing);
    assert!(stream.step() && fake_backend::batchings() == [Batching::ALLOWED]);
}

#[test]
fn a_program_that_cannot_render_ahead_waits_for_nobody_however_fast_it_is_given_sound() {
    let took = |may_render_ahead: bool| {
        let config = EngineConfig { may_render_ahead, ..config(1, 512) };
        let (mut engine, _worker) = engine_and_worker(&config);
        engine.pace = pace_of(&engine.latency, &config);
        let began = Instant::now();
        let tone = [0.1; 512];
        for _ in 0..200 {
            engine.process(&[&tone], &Settings::default());
        }
        began.elapsed()
    };
    assert!(took(true) >= LONGEST_WAIT_AHEAD, "a host that is ahead of time is a bounce");
    let took = took(false);
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[path = "listening_tests.rs"]
mod listening;

#[path = "gap_tests.rs"]
mod gaps;
