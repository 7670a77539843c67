//! The stems sum to the delayed input, in every state that an engine can be in.

mod common;

use common::{APART_DB, EXACT_DB, End, RATES_HZ, asked, bundle_file, fail_as_late, offline_stereo, open, probe};
use host_tests::probe::{HostKind, Outcome, Scenario};
use host_tests::signals::programme;
use host_tests::{
    Bundle, Buses, Config, Instance, InstanceDiagnostics, Pace, ParamChange, Rendering, forbid_restless_threads,
    largest, peak_db, raise_to_real_time, render, residual_db, wait_until_loaded,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn check(what: &str, scenario: &Scenario) -> Outcome {
    let outcome = probe(scenario, &[]);
    println!("{what}: {} ({}), residual {:.1} dBFS", outcome.state, outcome.model, outcome.sum_residual_db);
    assert!(outcome.is_finite, "{what}: samples that are not finite, or not written");
    assert!(outcome.sum_residual_db <= EXACT_DB, "{what}: {} dBFS", outcome.sum_residual_db);
    assert_eq!(outcome.alloc_violations, 0, "{what}");
    outcome
}

/// The same where a model has all the time that it takes: of equal shares the sum is right, too, and nothing was tested.
fn check_with_masks(what: &str, scenario: &Scenario) -> Outcome {
    let outcome = check(what, scenario);
    assert_eq!(outcome.state, "running", "{what}: {}", outcome.message);
    assert_eq!(
        [outcome.num_late_frames, outcome.num_unmasked_frames],
        [0, 0],
        "{what}: frames late, and without masks"
    );
    outcome
}

/// The same where the masks are of use.
fn check_separated(what: &str, scenario: &Scenario) -> Outcome {
    let outcome = check_with_masks(what, scenario);
    assert!(outcome.separation_db > APART_DB, "{what}: nothing was separated: {outcome:?}");
    outcome
}

fn with(params: &[(&str, &str)]) -> Scenario {
    let params = params.iter().map(|(param, text)| ((*param).to_owned(), (*text).to_owned())).collect();
    Scenario { params, ..Scenario::new(bundle_file()) }
}

#[test]
fn while_it_separates_at_every_rate() {
    for rate_hz in RATES_HZ {
        check_separated(&format!("running at {rate_hz} Hz"), &Scenario { rate_hz, ..with(&[]) });
    }
}

#[test]
fn in_mono_and_with_every_setting() {
    check_separated("mono", &Scenario { num_channels: 1, ..with(&[]) });
    check_separated("unlinked", &with(&[("stereo_link", "off")]));
    check_with_masks("strength 0 %", &with(&[("strength", "0")]));
    check_separated("strength 200 %", &with(&[("strength", "200")]));
    // Stem buses are pre-fader: what the main mix does is no matter to them.
    check_separated("music muted", &with(&[("music_mute", "on")]));
}

#[test]
fn bypassed_and_dry_the_main_output_is_the_delayed_input() {
    for (what, params) in [("bypassed", ("bypass", "on")), ("dry", ("dry_wet", "0"))] {
        let outcome = check_separated(what, &with(&[params]));
        assert_eq!(outcome.main_residual_db, -400.0, "{what}: main differs from the delayed input");
    }
    let outcome = check_separated("faders at 0 dB", &with(&[]));
    assert!(outcome.main_residual_db <= EXACT_DB, "main at 0 dB: {} dBFS", outcome.main_residual_db);
}

#[test]
fn while_the_model_is_loading() {
    // Paced by the clock from the first block on: the beginning is heard before anything is loaded.
    let scenario = Scenario { host: HostKind::RealTime, duration_s: 3.0, ..with(&[]) };
    let outcome = check("loading, then running", &scenario);
    assert_eq!(outcome.state, "running", "{}", outcome.message);
    assert!(outcome.main_residual_db <= EXACT_DB);
}

#[test]
fn while_bypass_and_faders_move() {
    const BLOCK_SAMPLES: usize = 480;
    const NUM_SAMPLES: usize = 192_000;
    let bundle = open();
    let mut instance = offline_stereo(&bundle, 48_000.0, BLOCK_SAMPLES);
    // Of a steady tone the second difference is as small as the tone is slow; a step would stand out of it.
    let tone = (0..NUM_SAMPLES).map(|n| 0.5 * (std::f64::consts::TAU * 220.0 * n as f64 / 48_000.0).sin() as f32);
    let tone: Vec<f32> = tone.collect();
    let moves = [("music_gain", "-12", 96_100), ("dialogue_gain", "-12", 96_100), ("bypass", "on", 144_100)];
    let moves = moves.map(|(param, text, at)| (instance.change(param, text).unwrap(), at));
    let mut processor = instance.activate().unwrap();
    processor.start().unwrap();
    let (mut main, mut sum) = (Vec::new(), Vec::new());
    for start in (0..NUM_SAMPLES).step_by(BLOCK_SAMPLES) {
        let block = start..start + BLOCK_SAMPLES;
        let changes = moves.iter().filter(|(_, at)| block.contains(at));
        let changes = changes.map(|(change, at)| ParamChange { offset_samples: at - start, ..*change });
        let changes: Vec<ParamChange> = changes.collect();
        let bus = processor.inputs_mut(BLOCK_SAMPLES).main_mut().unwrap();
        (0..2).for_each(|channel| bus.channel_mut(channel)[..BLOCK_SAMPLES].copy_from_slice(&tone[block.clone()]));
        processor.process(BLOCK_SAMPLES, &changes).unwrap();
        let outputs = processor.outputs();
        main.extend_from_slice(&outputs.main().unwrap().channel(1)[..BLOCK_SAMPLES]);
        let at = |n: usize| outputs.aux().map(|bus| bus.channel(1)[n]).sum::<f32>();
        sum.extend((0..BLOCK_SAMPLES).map(at));
    }
    instance.deactivate(processor);
    let latency_samples = sum.iter().position(|x| *x != 0.0).unwrap() - 1;
    let residual = residual_db(&[tone[..NUM_SAMPLES - latency_samples].to_vec()], &[sum[latency_samples..].to_vec()]);
    assert!(residual <= EXACT_DB, "the stems, which are before the faders: {residual} dBFS");

    let begin = latency_samples + 4_800;
    let peak = |range: std::ops::Range<usize>| largest(main[range].iter().map(|x| x.abs()));
    let levels = [begin..96_000, 120_000..144_000, 168_000..NUM_SAMPLES].map(peak);
    println!("before, with the faders down, bypassed: peaks of {levels:.3?}");
    assert!((levels[0] - 0.5).abs() < 1e-3 && (levels[1] - 0.1256).abs() < 1e-2 && (levels[2] - 0.5).abs() < 1e-3);
    let bend = largest(main[begin..].windows(3).map(|x| (x[0] - 2.0 * x[1] + x[2]).abs()));
    let of_tone = 0.5 * (std::f32::consts::TAU * 220.0 / 48_000.0).powi(2);
    println!("second difference {bend:.2e}, of the tone {of_tone:.2e}");
    assert!(bend < 1.5 * of_tone + 1e-3, "a step of {:.1} dBFS", 20.0 * bend.log10());
}

/// A live instance at 48 kHz in blocks of 256, its model loaded.
fn live(bundle: &Bundle) -> Instance {
    let mut instance = bundle.create(None).unwrap();
    let config = Config { rate_hz: 48_000.0, max_block_samples: 256, num_channels: 2, offline: false };
    instance.configure(config).unwrap();
    instance
}

#[test]
fn while_the_worker_is_late() {
    // Ahead of all others it would not be late. For the rest of this process, which has no other test of it.
    forbid_restless_threads();
    let bundle = open();
    let input = programme(2, 4 * 48_000, 48_000.0, 5);
    let num_processors = std::thread::available_parallelism().map_or(1, usize::from);
    // More work than the machine has processors for: the worker gets a share of one, then next to nothing. Not every user may have more
    // threads.
    for num_rivals in [2 * num_processors, (64 * num_processors).min(256)] {
        let mut instance = live(&bundle);
        let rendering = Rendering { pace: Pace::RealTime, wait_for_model: true, ..Rendering::new(&input, 256) };
        let is_over = AtomicBool::new(false);
        let rendered = std::thread::scope(|scope| {
            let _end = End(&is_over);
            for _ in 0..num_rivals {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            render(&bundle, &mut instance, &rendering).unwrap()
        });
        let residual = residual_db(&input, &rendered.aligned_sum());
        let (num, num_late) = (rendered.frames.num, rendered.frames.num_late);
        println!("beside {num_rivals} busy threads: {num_late} of {num} frames late, residual {residual:.1} dBFS");
        // Beside fewer it may keep up.
        assert!(num_rivals < 64 * num_processors || num_late > 0, "the worker kept up: nothing was tested");
        assert!(residual <= EXACT_DB, "{residual} dBFS");
        assert!(residual_db(&input, &rendered.aligned_main()) <= EXACT_DB);
        assert_eq!(rendered.diagnostics.unwrap().alloc_violations, 0);
    }
}

#[test]
fn while_the_model_or_the_device_is_changed() {
    let bundle = open();
    let input = programme(2, 4 * 48_000, 48_000.0, 6);
    for (param, text) in [("model", "identity"), ("device", "cpu")] {
        let mut instance = live(&bundle);
        let changes = [instance.change(param, text).unwrap()];
        let rendering =
            Rendering { pace: Pace::RealTime, wait_for_model: true, changes: &changes, ..Rendering::new(&input, 256) };
        let newest_id = || bundle.diagnostics().unwrap().newest().map_or(0, |engine| engine.id);
        let id_before = newest_id();
        let rendered = render(&bundle, &mut instance, &rendering).unwrap();
        let residual = residual_db(&input, &rendered.aligned_sum());
        let diagnostics = rendered.diagnostics.clone().unwrap();
        let engine = diagnostics.newest().unwrap();
        let asked = rendered.restart_requested;
        println!("{param}: now {}: residual {residual:.1} dBFS; restart requested: {asked}", engine.model);
        assert!(residual <= EXACT_DB, "{residual} dBFS");
        assert!(residual_db(&input, &rendered.aligned_main()) <= EXACT_DB);
        // Either the model has changed already, or the host was asked for the restart in which it will, because the latency is
        // another one; that of another device is the same.
        assert!(if param == "model" { asked || engine.model == "identity" } else { !asked }, "{engine:?}");
        // The first one of this activation, and the one that took its place.
        assert!(param == "model" || engine.id >= id_before + 2, "no engine for the other device: {engine:?}");
        assert_eq!(diagnostics.alloc_violations, 0);
    }
}

/// Blocks of a host that plays, samples, at its rate.
const LIVE_BLOCK_SAMPLES: usize = 256;
const LIVE_RATE_HZ: f64 = 48_000.0;

/// Plays `sound`, by the number of its sample, to both channels of `live` as it is set, by the clock, once its model is loaded; `change_at` says what
/// changes with a block, and `heard` is given what came out of each.
fn play_by_the_clock(
    bundle: &Bundle,
    instance: &mut Instance,
    num_blocks: usize,
    sound: impl Fn(usize) -> f32,
    change_at: impl Fn(usize) -> Option<ParamChange>,
    mut heard: impl FnMut(usize, &Buses),
) {
    // As a DAW's audio thread: the worker goes ahead of other programs then, too, and is not late beside them.
    let _ = raise_to_real_time();
    let mut processor = instance.activate().unwrap();
    processor.start().unwrap();
    wait_until_loaded(bundle, instance, &mut processor, Duration::from_mins(1)).unwrap();
    let start = Instant::now();
    for block_idx in 0..num_blocks {
        let begin = block_idx * LIVE_BLOCK_SAMPLES;
        let due = start + Duration::from_secs_f64(begin as f64 / LIVE_RATE_HZ);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        instance.pump();
        let bus = processor.inputs_mut(LIVE_BLOCK_SAMPLES).main_mut().unwrap();
        for channel in 0..2 {
            let samples = bus.channel_mut(channel)[..LIVE_BLOCK_SAMPLES].iter_mut().enumerate();
            samples.for_each(|(n, x)| *x = sound(begin + n));
        }
        processor.process(LIVE_BLOCK_SAMPLES, change_at(block_idx).as_slice()).unwrap();
        heard(block_idx, processor.outputs());
    }
    processor.stop().unwrap();
    instance.deactivate(processor);
}

/// A sine.
fn tone(hz: f64, n: usize) -> f64 {
    (std::f64::consts::TAU * hz * n as f64 / LIVE_RATE_HZ).sin()
}

/// Of `live`, its model `live-1`, in whose sound one stem is mute: how loud each tenth of a second is, dBFS, while the device is chosen anew
/// after two seconds, and the largest second difference from the second on; none where frames of either engine were late for another reason, or its
/// model did not run.
fn heard_around_a_change_of_device(bundle: &Bundle, muted: &str) -> Option<(Vec<f64>, f32)> {
    let mut instance = live(bundle);
    instance.set("model", "live-1").unwrap();
    instance.set(muted, "on").unwrap();
    let change = instance.change("device", "cpu").unwrap();
    let num_blocks = (4.0 * LIVE_RATE_HZ) as usize / LIVE_BLOCK_SAMPLES;
    let chord = |n: usize| 0.15 * [220.0, 277.2, 329.6].map(|hz| tone(hz, n)).iter().sum::<f64>() as f32;
    let mut main = Vec::new();
    let (mut first, mut newest) = (None::<InstanceDiagnostics>, None::<InstanceDiagnostics>);
    play_by_the_clock(
        bundle,
        &mut instance,
        num_blocks,
        chord,
        |block_idx| (block_idx == num_blocks / 2).then_some(change),
        |block_idx, outputs| {
            main.extend_from_slice(&outputs.main().unwrap().channel(0)[..LIVE_BLOCK_SAMPLES]);
            if block_idx + 1 < num_blocks / 2 {
                return;
            }
            let diagnostics = bundle.diagnostics().unwrap();
            // The first engine before the device is chosen anew, and after that for as long as there is one.
            let first_id = first.get_or_insert_with(|| diagnostics.newest().cloned().unwrap()).id;
            first = diagnostics.instances.iter().find(|engine| engine.id == first_id).cloned().or(first.take());
            newest = diagnostics.newest().cloned();
        },
    );
    let engines = [first, newest].map(|engine| engine.expect("an engine"));
    for engine in &engines {
        let InstanceDiagnostics { id, num_frames, num_late_frames, state, message, .. } = engine;
        println!("{muted}: {num_frames} frames of engine {id}, {num_late_frames} late; {state} {message}");
    }
    assert!(engines[1].id > engines[0].id, "no engine for the other device");
    let is_in_time = engines.iter().all(|engine| engine.state == "running" && engine.num_late_frames == 0);
    let levels = main.chunks(4_800).map(|tenth| peak_db(&[tenth.to_vec()])).collect();
    let steps = main[48_000..].windows(3).map(|x| (x[0] - 2.0 * x[1] + x[2]).abs());
    is_in_time.then(|| (levels, largest(steps)))
}

#[test]
fn another_device_lets_nothing_through_that_is_mute() {
    let bundle = open();
    for attempt in 1..=4 {
        // What a chord that never ends is, the model says.
        let Some((levels, step)) = heard_around_a_change_of_device(&bundle, "music_mute") else { continue };
        // Of the chord as loud as it is played, by its highest note.
        let chord = 0.45 * (std::f64::consts::TAU * 329.6 / LIVE_RATE_HZ).powi(2) as f32;
        println!("attempt {attempt}: {levels:.1?}, second difference {step:.2e}, of the whole chord {chord:.2e}");
        assert!(step < chord + 1e-3, "a step of {:.1} dBFS", 20.0 * step.log10());
        let loudest = |tenths: std::ops::Range<usize>| levels[tenths].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (before, after) = (loudest(10..20), loudest(20..40));
        assert!(before < -20.0, "a chord that never ends is music: {before:.1} dBFS of it are left");
        // Below -60 dBFS nobody hears which engine it is that leaves something.
        assert!(after < before.max(-60.0) + 6.0, "{after:.1} dBFS while an engine takes over, {before:.1} dBFS before");
        return;
    }
    fail_as_late("in every attempt frames were late or a model did not run: nothing was tested");
}

/// What all stem buses carried, `[bus][sample]`, while a tone was played and a model of the same latency took over and gave way again; and
/// whose the newest engine was before each change and at the end.
fn stems_around_changes_of_model(bundle: &Bundle, models: [&str; 2]) -> (Vec<Vec<f32>>, Vec<String>) {
    const CHANGE_EVERY: usize = 1_200;
    let mut instance = live(bundle);
    instance.set("model", models[0]).unwrap();
    let changes = [models[1], models[0]].map(|model| instance.change("model", model).unwrap());
    let mut stems: Vec<Vec<f32>> = Vec::new();
    let mut newest = Vec::new();
    play_by_the_clock(
        bundle,
        &mut instance,
        3 * CHANGE_EVERY,
        |n| 0.5 * tone(220.0, n) as f32,
        |block_idx| {
            let is_time = block_idx > 0 && block_idx.is_multiple_of(CHANGE_EVERY);
            is_time.then(|| changes[block_idx / CHANGE_EVERY - 1])
        },
        |block_idx, outputs| {
            stems.resize(outputs.aux().count(), Vec::new());
            for (track, bus) in stems.iter_mut().zip(outputs.aux()) {
                track.extend_from_slice(&bus.channel(0)[..LIVE_BLOCK_SAMPLES]);
            }
            if (block_idx + 1).is_multiple_of(CHANGE_EVERY) {
                newest.push(bundle.diagnostics().unwrap().newest().unwrap().model.clone());
            }
        },
    );
    (stems, newest)
}

#[test]
fn another_model_of_the_same_latency_takes_over_without_a_step_on_any_bus() {
    let bundle = open();
    let asked = asked(&bundle).swap_remove(0).to_lowercase().replace(' ', "-");
    for attempt in 1..=4 {
        let (stems, newest) = stems_around_changes_of_model(&bundle, ["music-5", &asked]);
        assert_eq!(newest, ["music-5", &asked, "music-5"], "the models did not take over while it played");
        for (bus_idx, stem) in stems.iter().enumerate() {
            // Of a steady tone the second difference is as small as the tone is slow; a step would stand out of it. A second is left to the start.
            let worst = largest(stem[48_000..].windows(3).map(|x| (x[0] - 2.0 * x[1] + x[2]).abs()));
            let tone = 0.5 * (std::f64::consts::TAU * 220.0 / 48_000.0).powi(2) as f32;
            println!("bus {bus_idx}: second difference {worst:.2e}, of the whole tone {tone:.2e}");
            assert!(worst < 1.5 * tone + 1e-3, "bus {bus_idx}: a step of {:.1} dBFS", 20.0 * worst.log10());
        }
        let peak = |bus: usize, at: usize| peak_db(&[stems[bus][at..at + 48_000].to_vec()]);
        // Just before either change. How soon a model is loaded, and its masks in time, is the machine's.
        let (of_first, of_second) = (250_000, 560_000);
        let silent = [(2, of_first), (3, of_first), (0, of_second), (1, of_second)].map(|(bus, at)| peak(bus, at));
        let loud = [peak(0, of_first).max(peak(1, of_first)), peak(2, of_second).max(peak(3, of_second))];
        println!("attempt {attempt}: {silent:.1?} dBFS for the other model, {loud:.1?} dBFS for its own");
        if silent == [f64::NEG_INFINITY; 4] && loud.iter().all(|peak| *peak > -12.5) {
            return;
        }
    }
    fail_as_late("a model played on the other's buses in every attempt");
}
