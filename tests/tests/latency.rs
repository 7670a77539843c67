//! One latency: the reported one is the measured one, at every rate and block size.

mod common;

use common::{
    BLOCKS_SAMPLES, EXACT_DB, RATES_HZ, assert_separated, for_offline_work, offline_stereo, open, separators,
};
use host_tests::{
    Asked, Bundle, Config, Instance, Processor, Rendering, Stem, delay_samples, render, residual_db, signals::impulse,
    signals::programme,
};
use std::time::{Duration, Instant};

/// Where the impulse is put; not a multiple of any block or hop.
const AT_SAMPLES: usize = 101;

/// The sample of largest magnitude.
fn peak_at(signal: &[f32]) -> usize {
    let largest = signal.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    largest.map_or(0, |(sample_idx, _)| sample_idx)
}

#[test]
fn reported_is_measured_at_every_rate_and_block_size() {
    let bundle = open();
    let mut worst_db = f64::NEG_INFINITY;
    for rate_hz in RATES_HZ {
        let mut latencies = Vec::new();
        for block_samples in BLOCKS_SAMPLES {
            let mut instance = offline_stereo(&bundle, rate_hz, block_samples);
            instance.set("model", "identity").unwrap();
            let input = impulse(2, AT_SAMPLES + 1, AT_SAMPLES, 0.5);
            let rendered = render(&bundle, &mut instance, &Rendering::new(&input, block_samples)).unwrap();
            let case = format!("{rate_hz} Hz, blocks of {block_samples}");

            let engine = rendered.diagnostics.as_ref().and_then(|d| d.newest().cloned()).unwrap();
            assert_eq!(
                (engine.model.as_str(), engine.state.as_str()),
                ("identity", "running"),
                "{case}: {}",
                engine.message
            );
            assert_eq!(engine.latency_samples, rendered.latency_samples, "{case}");
            let sum: Vec<&[Vec<f32>]> = rendered.tape.stems.iter().map(|stem| stem.channels.as_slice()).collect();
            let sum = host_tests::sum_of(&sum);
            for (what, signal) in [("main", &rendered.tape.main), ("sum of the stems", &sum)] {
                for channel in signal {
                    let measured = peak_at(channel) - AT_SAMPLES;
                    assert_eq!(measured, rendered.latency_samples, "{case}: {what} is off");
                }
            }
            // The identity's mask is 1: the music stem is the impulse through the transforms, the dialogue what they lose of it.
            let music = rendered.aligned_stem("music").unwrap();
            for signal in [&rendered.aligned_main(), &rendered.aligned_sum(), &music] {
                worst_db = worst_db.max(residual_db(&input, signal));
            }
            latencies.push(rendered.latency_samples);
        }
        println!("{rate_hz:>8} Hz: blocks of {BLOCKS_SAMPLES:?}: {latencies:?} samples reported, 0 off");
    }
    println!("largest residual of the impulse: {worst_db:.1} dBFS");
    assert!(worst_db <= EXACT_DB, "{worst_db} dBFS");
}

/// What a broadcaster can bear, milliseconds.
const ON_AIR_MS: f64 = 64.0;

/// What a mix that is played by hand can bear, milliseconds.
const STUDIO_MS: f64 = 500.0;

/// What the paper's centred network takes, in calls of 16 frames, and the worker's time, milliseconds.
const OFFLINE_MS: f64 = 2_750.0;

/// What is measured of one model, in milliseconds, where all of it is in place.
fn latency_ms(bundle: &Bundle, model: &str, input: &[Vec<f32>], rate_hz: f64, block_samples: usize) -> f64 {
    let mut instance = offline_stereo(bundle, rate_hz, block_samples);
    instance.set("model", model).unwrap();
    let rendered = render(bundle, &mut instance, &Rendering::new(input, block_samples)).unwrap();
    let case = format!("{model}, {rate_hz} Hz, blocks of {block_samples}");
    assert_separated(&case, &rendered);
    // Of a stem with little in it the correlation says nothing.
    let energy = |stem: &&Stem| stem.channels[0].iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let louder = rendered.tape.stems.iter().max_by(|a, b| energy(a).total_cmp(&energy(b))).expect("stems");
    let measured = delay_samples(&input[0], &louder.channels[0], 2 * rendered.latency_samples);
    assert_eq!(measured, Some(rendered.latency_samples), "{case}: {} is off", louder.name);
    let sum_db = residual_db(input, &rendered.aligned_sum());
    assert!(sum_db <= EXACT_DB, "{case}: the stems sum to the input within {sum_db} dBFS");
    let latency_ms = 1e3 * rendered.latency_samples as f64 / rate_hz;
    println!("{case}: {latency_ms:.1} ms, sum within {sum_db:.1} dBFS");
    latency_ms
}

#[test]
fn what_every_model_separates_lies_where_its_latency_says_which_is_short_enough_and_in_one_for_use_on_air() {
    let bundle = open();
    for (rate_hz, block_samples) in
        [(44_100.0, 128), (44_100.0, 256), (48_000.0, 128), (48_000.0, 256), (96_000.0, 512)]
    {
        let input = programme(2, (2.0 * rate_hz) as usize, rate_hz, 5);
        let mut shortest_ms = f64::INFINITY;
        for model in separators(&bundle) {
            let latency_ms = latency_ms(&bundle, &model, &input, rate_hz, block_samples);
            assert!(latency_ms <= STUDIO_MS, "{model}, {rate_hz} Hz, blocks of {block_samples}: {latency_ms:.1} ms");
            shortest_ms = shortest_ms.min(latency_ms);
        }
        assert!(shortest_ms <= ON_AIR_MS, "{rate_hz} Hz, blocks of {block_samples}: {shortest_ms} ms at best");
    }
}

#[test]
fn what_a_model_for_offline_work_separates_lies_where_its_latency_says_and_no_more_than_seconds_later() {
    let bundle = open();
    for (rate_hz, block_samples) in [(44_100.0, 256), (48_000.0, 512), (192_000.0, 64)] {
        let input = programme(2, (4.0 * rate_hz) as usize, rate_hz, 5);
        for model in for_offline_work(&bundle) {
            let latency_ms = latency_ms(&bundle, &model, &input, rate_hz, block_samples);
            assert!(latency_ms <= OFFLINE_MS, "{model}, {rate_hz} Hz, blocks of {block_samples}: {latency_ms:.1} ms");
        }
    }
}

#[test]
fn the_latency_does_not_depend_on_params_that_may_change_while_playing() {
    let bundle = open();
    let mut instance = offline_stereo(&bundle, 48_000.0, 512);
    let mut latency_samples = |param: &str, text: &str| {
        instance.set(param, text).unwrap();
        let processor = instance.activate().unwrap();
        let latency_samples = instance.latency_samples();
        instance.deactivate(processor);
        latency_samples
    };
    let reported = latency_samples("bypass", "off");
    assert!(reported > 0);
    for (param, text) in
        [("bypass", "on"), ("dry_wet", "0"), ("strength", "0"), ("stereo_link", "off"), ("music_mute", "on")]
    {
        assert_eq!(latency_samples(param, text), reported, "{param} = {text}");
    }
}

#[test]
fn an_instance_is_activated_once_and_once_more_for_a_model_of_another_latency() {
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    instance.configure(Config { rate_hz: 48_000.0, max_block_samples: 256, num_channels: 2, offline: false }).unwrap();
    assert_eq!(instance.latency_samples(), 0, "asked before there is one");
    let asked = |num_restarts: usize, num_latency_changes: usize| Asked { num_restarts, num_latency_changes };

    let mut processor = instance.activate().unwrap();
    let first = instance.latency_samples();
    assert!(first > 0);
    processor.start().unwrap();
    let mut changes = vec![instance.change("model", "identity").unwrap()];
    let mut play = |instance: &mut Instance, processor: &mut Processor| {
        // Longer than the plugin takes to see what is wanted.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            processor.process(256, &std::mem::take(&mut changes)).unwrap();
            instance.pump();
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert_eq!(instance.asked(), asked(0, 1), "the first activation");
    play(&mut instance, &mut processor);
    assert_eq!(instance.asked(), asked(1, 1), "another model was chosen");

    processor.stop().unwrap();
    instance.deactivate(processor);
    let mut processor = instance.activate().unwrap();
    assert_ne!(instance.latency_samples(), first);
    processor.start().unwrap();
    play(&mut instance, &mut processor);
    assert_eq!(instance.asked(), asked(1, 2), "the activation that brings it");
    processor.stop().unwrap();
    instance.deactivate(processor);
    let processor = instance.activate().unwrap();
    assert_eq!(instance.asked(), asked(1, 2), "an activation that changes nothing");
    instance.deactivate(processor);
}
