//! The plugin behind its framework trait, without a host and without a model: what must hold when nothing can be separated,
//! and what must never happen on the audio thread.

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{Harness, noise};
use underscore::diagnostics::num_alloc_violations;
use underscore_engine::{Catalogue, ModelSpec, latency};

#[test]
fn without_libtorch_the_main_output_is_the_input_delayed_by_the_reported_latency() {
    for num_channels in [2, 1] {
        for max_block_samples in [1, 127, 512] {
            let mut harness = Harness::activated(num_channels, max_block_samples);
            let input = noise(40_000);
            let out = harness.render(&input, max_block_samples);
            let latency = harness.latency_samples();
            assert!(latency > 0 && latency < input.len());
            for channel in &out.main {
                assert!(channel[..latency].iter().all(|sample| *sample == 0.0), "silence before the first sample");
                assert_eq!(
                    channel[latency..],
                    input[..input.len() - latency],
                    "{num_channels} channels, {max_block_samples}"
                );
            }
        }
    }
}

#[test]
fn the_stem_buses_sum_to_the_delayed_input_and_the_query_buses_are_silent() {
    for num_channels in [2, 1] {
        let mut harness = Harness::activated(num_channels, 512);
        harness.set("music_mute", "on");
        harness.set("dialogue_solo", "on");
        let input = noise(40_000);
        let out = harness.render(&input, 480);
        for channel_idx in 0..2 {
            for at in 0..input.len() {
                let residual = out.aux[0][channel_idx][at] + out.aux[1][channel_idx][at] - out.main[0][at];
                assert!(residual.abs() <= 1e-6, "{num_channels} channels, at {at}: {residual}");
            }
            assert!(out.aux[2..].iter().flatten().flatten().all(|sample| *sample == 0.0));
        }
    }
}

#[test]
fn blocks_of_any_size_give_the_same_sound() {
    let input = noise(30_000);
    let mut harness = Harness::activated(2, 512);
    let expected = harness.render(&input, 512).main;
    // Larger than announced, too, and empty ones in between.
    for block_samples in [1, 63, 512, 513, 9000, 30_000] {
        harness.reset();
        assert!(harness.render(&input, block_samples).main == expected, "blocks of {block_samples}");
    }
}

#[test]
fn what_is_no_number_does_not_come_out() {
    let mut harness = Harness::activated(2, 512);
    let mut input = noise(30_000);
    for (at, bad) in [(100, f32::NAN), (101, f32::INFINITY), (5000, f32::NEG_INFINITY), (5001, 1e-40)] {
        input[at] = bad;
    }
    let out = harness.render(&input, 512);
    for signal in out.main.iter().chain(out.aux.iter().flatten()) {
        assert!(signal.iter().all(|sample| sample.is_finite()));
    }
    let latency = harness.latency_samples();
    assert_eq!(out.main[0][latency + 102..latency + 5000], input[102..5000]);
}

#[test]
fn nothing_is_allocated_or_freed_in_process_or_reset_whatever_the_mix() {
    let before = num_alloc_violations();
    let mut harness = Harness::activated(2, 512);
    let input = noise(48_000);
    for (param, value) in
        [("bypass", "on"), ("bypass", "off"), ("music_mute", "on"), ("stereo_link", "off"), ("music_solo", "on")]
    {
        harness.set(param, value);
        harness.render(&input, 480);
        harness.reset();
    }
    harness.render(&input, 9000);
    assert_eq!(num_alloc_violations() - before, 0, "allocations on the audio thread");
}

#[test]
fn without_a_model_a_bypass_leaves_the_latency_and_the_delayed_input_as_they_are() {
    let input = noise(30_000);
    let mut harness = Harness::activated(2, 512);
    let latency = harness.latency_samples();
    harness.set("bypass", "on");
    let out = harness.render(&input, 512);
    assert_eq!(harness.latency_samples(), latency);
    assert_eq!(out.main[0][latency..], input[..input.len() - latency]);
}

#[test]
fn another_engine_takes_over_while_the_sound_runs_and_the_sound_does_not_notice() {
    let mut harness = Harness::activated(2, 512);
    let input = noise(120_000);
    let latency = harness.latency_samples();
    let first = harness.render(&input[..30_000], 512);
    let before = harness.status();
    harness.set("device", "CPU");
    harness.wait_for_engine_after(&before);
    let rest = harness.render(&input[30_000..], 512);
    let main: Vec<f32> = first.main[0].iter().chain(&rest.main[0]).copied().collect();
    assert_eq!(main[latency..], input[..input.len() - latency]);
    for at in 0..rest.main[0].len() {
        let residual = rest.aux[0][0][at] + rest.aux[1][0][at] - rest.main[0][at];
        assert!(residual.abs() <= 1e-6, "at {at}: {residual}");
    }
    assert_eq!(harness.asked().num_restarts.load(Ordering::Relaxed), 0);
}

#[test]
fn a_change_of_mind_within_the_takeover_is_kept_until_it_can_be_made() {
    let mut harness = Harness::activated(2, 512);
    harness.render(&noise(30_000), 512);
    let first = harness.status();
    harness.set("device", "CPU");
    harness.wait_for_engine_after(&first);
    harness.render(&noise(512), 512);
    let second = harness.status();
    harness.set("device", "Auto");
    harness.render(&noise(60_000), 512);
    harness.wait_for_engine_after(&second);
}

#[test]
fn another_model_takes_over_or_the_host_is_asked_for_the_restart_that_brings_it() {
    let default = Catalogue::shipped().default_model().expect("a model that separates");
    let identity = Catalogue::shipped().find("identity").expect("the identity");
    let latency_of = |model: &ModelSpec| latency(&model.timing, 48_000.0, 512).expect("a latency").latency_samples;
    let mut harness = Harness::activated(2, 512);
    let before = harness.status();
    assert_eq!(before.model, default.id);
    assert_eq!(harness.latency_samples(), latency_of(default));
    harness.set("model", "Identity");
    let input = noise(30_000);
    if latency_of(identity) == latency_of(default) {
        harness.wait_for_engine_after(&before);
        harness.render(&input, 512);
        assert_eq!(harness.asked().num_restarts.load(Ordering::Relaxed), 0);
    } else {
        let start = Instant::now();
        while harness.asked().num_restarts.load(Ordering::Relaxed) == 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "no restart was asked for");
            harness.reset();
            let out = harness.render(&input, 512);
            // Until then nothing changes.
            let latency = harness.latency_samples();
            assert_eq!(latency, latency_of(default));
            assert_eq!(out.main[0][latency..], input[..input.len() - latency]);
        }
        harness.activate(512);
    }
    assert_eq!(harness.status().model, identity.id);
    assert_eq!(harness.latency_samples(), latency_of(identity));
}

#[test]
fn activating_again_and_again_needs_no_deactivation() {
    let mut harness = Harness::activated(2, 512);
    for max_block_samples in [64, 512, 8192, 64] {
        harness.activate(max_block_samples);
        let input = noise(100_000);
        let out = harness.render(&input, max_block_samples);
        let latency = harness.latency_samples();
        assert_eq!(out.main[0][latency..], input[..input.len() - latency]);
    }
    harness.deactivate();
}

#[test]
fn a_rate_that_is_none_is_refused_and_the_plugin_lives_on() {
    let mut harness = Harness::new(2);
    for rate_hz in [0.0, f32::NAN, -48_000.0] {
        assert!(!harness.try_activate(rate_hz, 512), "{rate_hz} Hz");
    }
    assert!(harness.try_activate(48_000.0, 512));
}

#[test]
fn a_rate_that_is_too_low_passes_the_input_delayed_and_says_so() {
    let mut harness = Harness::new(2);
    assert!(harness.try_activate(6_000.0, 512));
    let input = noise(20_000);
    let out = harness.render(&input, 512);
    let latency = harness.latency_samples();
    assert_eq!(out.main[0][latency..], input[..input.len() - latency]);
    let message = harness.wait_for_message();
    assert!(message.contains("6000 Hz") && message.contains("higher sample rate"), "{message}");
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    let harness = Harness::activated(2, 512);
    let message = harness.wait_for_message();
    assert!(message.contains("is not installed") && message.contains("Install Underscore again"), "{message}");
}
