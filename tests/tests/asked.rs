//! Models that are asked by example: what is found and what that leaves, examples good and bad, and sessions that keep them.

mod common;

use std::time::{Duration, Instant};

use common::{EXACT_DB, asked, open};
use host_tests::signals::{noise, programme};
use host_tests::{
    Bundle, Config, Instance, ParamChange, Rendered, Rendering, capture_example, largest, peak_db, play_and_hold,
    render, residual_db, wait_until_loaded,
};

const RATE_HZ: f64 = 48_000.0;
const BLOCK_SAMPLES: usize = 512;

fn instance_of(bundle: &Bundle, model: &str, num_channels: usize) -> Instance {
    let mut instance = bundle.create(None).unwrap();
    let config = Config { rate_hz: RATE_HZ, max_block_samples: BLOCK_SAMPLES, num_channels, offline: true };
    instance.configure(config).unwrap();
    instance.set("model", model).unwrap();
    instance
}

fn input(num_channels: usize) -> Vec<Vec<f32>> {
    programme(num_channels, (3.0 * RATE_HZ) as usize, RATE_HZ, 5)
}

fn rendered(bundle: &Bundle, instance: &mut Instance, input: &[Vec<f32>]) -> Rendered {
    let rendered = render(bundle, instance, &Rendering::new(input, BLOCK_SAMPLES)).unwrap();
    let diagnostics = rendered.diagnostics.as_ref().unwrap();
    let engine = diagnostics.newest().unwrap();
    assert_eq!((engine.state.as_str(), rendered.frames.num_late), ("running", 0), "{}", engine.message);
    assert_eq!(diagnostics.alloc_violations, 0);
    rendered
}

fn target(rendered: &Rendered) -> Vec<Vec<f32>> {
    rendered.aligned_stem("Target").unwrap()
}

fn bits(signal: &[Vec<f32>]) -> Vec<u32> {
    signal.iter().flatten().map(|x| x.to_bits()).collect()
}

#[test]
fn target_and_residual_play_on_the_query_buses_and_sum_to_the_delayed_input() {
    let bundle = open();
    for model in asked(&bundle) {
        for num_channels in [1, 2] {
            let input = input(num_channels);
            let mut instance = instance_of(&bundle, &model, num_channels);
            let rendered = rendered(&bundle, &mut instance, &input);
            let [music, dialogue] = ["Music", "Dialogue"].map(|name| rendered.aligned_stem(name).unwrap());
            assert_eq!([peak_db(&music), peak_db(&dialogue)], [f64::NEG_INFINITY; 2]);
            let mut sum = rendered.aligned_sum();
            sum.truncate(num_channels);
            let residual = residual_db(&input, &sum);
            println!("{model}, {num_channels} channels: residual {residual:.1} dBFS");
            assert!(residual <= EXACT_DB);
        }
    }
}

#[test]
fn every_preset_finds_something_else() {
    let (bundle, input) = (open(), input(2));
    for model in asked(&bundle) {
        let mut instance = instance_of(&bundle, &model, 2);
        let param = instance.param("query_preset").unwrap();
        // Neither of the first two is a class: without an example they ask for the first preset, or lie between all.
        let mut presets = instance.choices(&param).unwrap().split_off(2);
        // Places that are kept free for presets to come ask for nothing.
        presets.retain(|preset| !preset.starts_with("Free "));
        assert!(presets.len() > 3, "{presets:?}");
        let mut found: Vec<(String, Vec<Vec<f32>>)> = Vec::new();
        for preset in presets {
            instance.set("query_preset", &preset).unwrap();
            let target = target(&rendered(&bundle, &mut instance, &input));
            for (other, before) in &found {
                let difference = residual_db(before, &target);
                assert!(difference > -60.0, "{other} and {preset} differ by {difference:.1} dBFS only");
            }
            found.push((preset, target));
        }
    }
}

#[test]
fn a_session_keeps_its_example_and_sounds_the_same_without_the_sidechain() {
    let (bundle, input) = (open(), input(2));
    for model in asked(&bundle) {
        let mut instance = instance_of(&bundle, &model, 2);
        let before = target(&rendered(&bundle, &mut instance, &input));
        capture_example(&mut instance, &noise(2, 200_000, 0.3, 8)).unwrap();
        let captured = target(&rendered(&bundle, &mut instance, &input));
        assert!(residual_db(&before, &captured) > -60.0, "the example changes nothing");
        let session = instance.save_state().unwrap();

        let mut reloaded = instance_of(&bundle, &model, 2);
        reloaded.load_state(&session).unwrap();
        let same = target(&rendered(&bundle, &mut reloaded, &input));
        assert!(bits(&captured) == bits(&same), "{model}: the session sounds different");
        assert_eq!(reloaded.save_state().unwrap(), session);

        // How loud it was plays no part, nor does the silence around it.
        let mut quiet = vec![vec![0.0; 7_000]; 2];
        for (padded, channel) in quiet.iter_mut().zip(&noise(2, 60_000, 0.003, 8)) {
            padded.extend(channel);
            padded.resize(padded.len() + 9_000, 0.0);
        }
        capture_example(&mut reloaded, &quiet).unwrap();
        let difference = residual_db(&captured, &target(&rendered(&bundle, &mut reloaded, &input)));
        println!("{model}: the same noise, 40 dB softer and shorter: {difference:.1} dBFS");
        assert!(difference < -30.0);
    }
}

#[test]
fn an_example_that_is_none_leaves_what_was_there_and_a_bad_one_does_no_harm() {
    let (bundle, input) = (open(), input(2));
    for model in asked(&bundle) {
        let mut instance = instance_of(&bundle, &model, 2);
        capture_example(&mut instance, &noise(2, 150_000, 0.3, 8)).unwrap();
        let session = instance.save_state().unwrap();
        for silence in [vec![vec![0.0; 150_000]; 2], vec![vec![f32::NAN; 150_000]; 2], Vec::new()] {
            capture_example(&mut instance, &silence).unwrap();
            assert_eq!(instance.save_state().unwrap(), session, "{model}: silence is an example");
        }
        let with_holes = vec![[0.5, f32::NAN, -0.5, f32::INFINITY].repeat(30_000); 2];
        let clipped =
            noise(2, 150_000, 30.0, 2).iter().map(|it| it.iter().map(|x| x.clamp(-1.0, 1.0)).collect()).collect();
        let bad: [(&str, Vec<Vec<f32>>); 6] = [
            ("50 ms", noise(2, 2_400, 0.5, 1)),
            ("clipped", clipped),
            ("30 dB over full scale", noise(2, 150_000, 30.0, 2)),
            ("numbers that are none", with_holes),
            ("10 minutes", vec![noise(1, 28_800_000, 0.5, 3).swap_remove(0)]),
            ("the left channel alone", vec![noise(1, 150_000, 0.5, 4).swap_remove(0), vec![0.0; 150_000]]),
        ];
        let (mut last, mut last_session) = (target(&rendered(&bundle, &mut instance, &input)), session);
        for (what, example) in bad {
            capture_example(&mut instance, &example).unwrap();
            let session = instance.save_state().unwrap();
            assert_ne!(session, last_session, "{model}: {what} was not listened to");
            let rendered = rendered(&bundle, &mut instance, &input);
            let found = target(&rendered);
            assert!(found.iter().flatten().all(|sample| sample.is_finite()), "{model}: {what}");
            let difference = residual_db(&last, &found);
            println!("{model}: {what}: {difference:.1} dB from what the one before found");
            assert!(difference > -90.0, "{model}: {what} asks for nothing else than the one before");
            assert!(residual_db(&input, &rendered.aligned_sum()) <= EXACT_DB, "{model}: {what}");
            (last, last_session) = (found, session);
        }
    }
}

#[test]
fn another_query_while_it_plays_makes_no_step() {
    const NUM_SAMPLES: usize = 144_000;
    let bundle = open();
    // Of a steady tone the second difference is as small as the tone is slow; a step would stand out of it.
    let tone: Vec<f32> =
        (0..NUM_SAMPLES).map(|n| 0.5 * (std::f64::consts::TAU * 220.0 * n as f64 / RATE_HZ).sin() as f32).collect();
    // Pipes are close to a plain tone, drums are not.
    let queries = [["Drums", "Pipe"], ["Pipe", "Drums"]];
    for (model, [from, to]) in asked(&bundle).into_iter().flat_map(|model| queries.map(|query| (model.clone(), query)))
    {
        let mut instance = bundle.create(None).unwrap();
        let config = Config { rate_hz: RATE_HZ, max_block_samples: NUM_SAMPLES, num_channels: 1, offline: true };
        instance.configure(config).unwrap();
        instance.set("model", &model).unwrap();
        instance.set("query_preset", from).unwrap();
        let change = instance.change("query_preset", to).unwrap();
        let changes = [host_tests::ParamChange { offset_samples: NUM_SAMPLES / 2 + 100, ..change }];
        let input = [tone.clone()];
        let rendering = Rendering { changes: &changes, ..Rendering::new(&input, NUM_SAMPLES) };
        let target = target(&render(&bundle, &mut instance, &rendering).unwrap());
        let second = |range: std::ops::Range<usize>| {
            largest(target[0][range].windows(3).map(|x| (x[0] - 2.0 * x[1] + x[2]).abs()))
        };
        let level_db = |range: std::ops::Range<usize>| peak_db(&[target[0][range].to_vec()]);
        let change_db = level_db(110_000..140_000) - level_db(40_000..65_000);
        println!("{model}: {to} after {from} changes the tone's level by {change_db:.1} dB");
        assert!(change_db.abs() > 20.0, "the two queries find the same");
        let (before, around) = (second(40_000..70_000), second(70_000..100_000));
        let after = second(100_000..NUM_SAMPLES - 2);
        let steady = largest([before, after]);
        println!("{model}: second difference {steady:.2e} before and after, {around:.2e} on the way");
        assert!(around < 1.5 * steady + 1e-3, "a step of {:.1} dBFS", 20.0 * around.log10());
    }
}

#[test]
fn from_a_to_b_the_ends_are_what_either_slot_asks_for() {
    let (bundle, input) = (open(), input(2));
    for model in asked(&bundle) {
        let mut instance = instance_of(&bundle, &model, 2);
        let mut found = |a: &str, b: &str, blend: &str| {
            instance.set("query_preset", a).unwrap();
            instance.set("query_preset_b", b).unwrap();
            instance.set("query_blend", blend).unwrap();
            target(&rendered(&bundle, &mut instance, &input))
        };
        let (drums, bass) = (found("Drums", "Voice", "0"), found("Bass", "Voice", "0"));
        assert!(bits(&found("Drums", "Bass", "0")) == bits(&drums));
        assert!(bits(&found("Drums", "Bass", "100")) == bits(&bass));
        let between = found("Drums", "Bass", "50");
        let (from_drums, from_bass) = (residual_db(&drums, &between), residual_db(&bass, &between));
        println!("{model}: half way, {from_drums:.1} dB from A and {from_bass:.1} dB from B");
        assert!(from_drums > -60.0 && from_bass > -60.0, "half way is an end");
    }
}

#[test]
fn two_places_on_the_map_ask_for_different_things() {
    let (bundle, input) = (open(), input(2));
    for model in asked(&bundle) {
        let mut instance = instance_of(&bundle, &model, 2);
        instance.set("query_preset", "Map").unwrap();
        let mut at = |x: &str, y: &str| {
            instance.set("query_x", x).unwrap();
            instance.set("query_y", y).unwrap();
            target(&rendered(&bundle, &mut instance, &input))
        };
        let (left, right) = (at("-0.9", "0"), at("0.9", "0"));
        let difference = residual_db(&left, &right);
        println!("{model}: from left to right {difference:.1} dBFS");
        assert!(difference > -40.0, "the map is the same everywhere");
    }
}

#[test]
fn what_was_found_is_the_next_example_where_it_is_refined() {
    let (bundle, input) = (open(), input(2));
    for model in asked(&bundle) {
        let mut instance = instance_of(&bundle, &model, 2);
        instance.set("query_preset", "Voice").unwrap();
        let before = instance.save_state().unwrap();
        play_and_hold(&mut instance, Some(&input), None, "query_refine").unwrap();
        assert!(instance.save_state().unwrap() != before, "{model}: nothing was kept of what was found");
        let first = target(&rendered(&bundle, &mut instance, &input));
        instance.set("query_preset", "Example").unwrap();
        let refined = target(&rendered(&bundle, &mut instance, &input));
        let difference = residual_db(&first, &refined);
        println!("{model}: refined, {difference:.1} dB from what the preset found");
        assert!(difference > -80.0, "{model}: the example is the preset");
    }
}

#[test]
fn a_sidechain_that_is_followed_asks_by_itself_and_a_bounce_does_not_depend_on_the_block() {
    let (bundle, input) = (open(), input(2));
    let sidechain = noise(2, input[0].len(), 0.3, 8);
    for model in asked(&bundle) {
        let mut instance = instance_of(&bundle, &model, 2);
        let before = target(&rendered(&bundle, &mut instance, &input));
        instance.set("query_follow", "on").unwrap();
        let session = instance.save_state().unwrap();
        let mut followed = |block: usize| {
            let rendering = Rendering { sidechain: Some(&sidechain), ..Rendering::new(&input, block) };
            let rendered = render(&bundle, &mut instance, &rendering).unwrap();
            assert_eq!(rendered.diagnostics.as_ref().unwrap().alloc_violations, 0);
            target(&rendered)
        };
        let found = followed(BLOCK_SAMPLES);
        assert!(residual_db(&before, &found) > -60.0, "{model}: nobody listened");
        assert!(bits(&found) == bits(&followed(300)), "{model}: in blocks of 300 it sounds different");
        assert!(instance.save_state().unwrap() == session, "{model}: the session has changed");
    }
}

#[test]
fn what_was_played_can_be_captured_after_the_host_was_stopped_and_a_bounce_begins_without_it() {
    let bundle = open();
    for model in asked(&bundle) {
        for offline in [false, true] {
            let mut instance = instance_of(&bundle, &model, 2);
            instance
                .configure(Config { rate_hz: RATE_HZ, max_block_samples: BLOCK_SAMPLES, num_channels: 2, offline })
                .unwrap();
            let session = instance.save_state().unwrap();
            let [hold, release] = ["on", "off"].map(|state| instance.change("query_capture", state).unwrap());
            let mut processor = instance.activate().unwrap();
            processor.start().unwrap();
            wait_until_loaded(&bundle, &mut instance, &mut processor, Duration::from_mins(1)).unwrap();
            let played = noise(1, BLOCK_SAMPLES, 0.3, 8).swap_remove(0);
            let mut block = |level: f32, changes: &[ParamChange]| {
                for bus in processor.inputs_mut(BLOCK_SAMPLES).iter_mut() {
                    let level = if bus.is_main() { 0.0 } else { level };
                    for channel_idx in 0..bus.num_channels() {
                        let channel = &mut bus.channel_mut(channel_idx)[..BLOCK_SAMPLES];
                        channel.iter_mut().zip(&played).for_each(|(sample, played)| *sample = level * played);
                    }
                }
                processor.process(BLOCK_SAMPLES, changes).unwrap();
            };
            (0..100).for_each(|_| block(1.0, &[]));
            (0..200).for_each(|_| block(0.0, &[]));
            processor.stop().unwrap();
            processor.start().unwrap();
            let mut block = |changes: &[ParamChange]| {
                for bus in processor.inputs_mut(BLOCK_SAMPLES).iter_mut() {
                    (0..bus.num_channels()).for_each(|idx| bus.channel_mut(idx)[..BLOCK_SAMPLES].fill(0.0));
                }
                processor.process(BLOCK_SAMPLES, changes).unwrap();
            };
            block(&[hold]);
            block(&[release]);
            let began = Instant::now();
            while !offline && instance.save_state().unwrap() == session && began.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let is_captured = instance.save_state().unwrap() != session;
            assert_eq!(is_captured, !offline, "{model}, offline: {offline}");
            processor.stop().unwrap();
            instance.deactivate(processor);
        }
    }
}
