//! A scanning host sees the whole plugin, at once, and nothing heavy is loaded for it.

mod common;

use common::{bundle_file, open, probe};
use host_tests::probe::Scenario;
use host_tests::{Config, HostError, Param, Port, stable_id_hash};

const MAX_SCAN_MS: f64 = 60.0;

/// The one thread that nice-plug starts with the first instance of a process: it does for hosts what is not to be done on their audio threads.
const OF_FRAMEWORK: &str = "bg-worker";

#[test]
fn opening_and_creating_takes_milliseconds_loads_neither_libtorch_nor_a_driver_and_starts_no_thread_of_ours() {
    let scenario = Scenario { duration_s: 0.0, ..Scenario::new(bundle_file()) };
    let mut scans_ms = Vec::new();
    for _ in 0..7 {
        let outcome = probe(&scenario, &[]);
        assert_eq!(outcome.libtorch_at_scan, Vec::<String>::new());
        assert_eq!(outcome.driver_at_scan, Vec::<String>::new());
        if let Some(threads) = outcome.threads_at_scan {
            assert_eq!(threads, [OF_FRAMEWORK], "threads that nobody needs yet");
        }
        scans_ms.push(outcome.opened_ms + outcome.created_ms);
    }
    scans_ms.sort_by(f64::total_cmp);
    let median_ms = scans_ms[scans_ms.len() / 2];
    println!("open and create: median {median_ms:.1} ms, {:.1} to {:.1} ms", scans_ms[0], scans_ms[scans_ms.len() - 1]);
    assert!(median_ms < MAX_SCAN_MS, "{scans_ms:?} ms");
}

#[test]
fn the_bundle_holds_one_plugin_with_its_permanent_id() {
    let plugins = open().plugins();
    assert_eq!(plugins.len(), 1);
    assert_eq!(plugins[0].id, "org.underscore-audio.underscore");
    assert_eq!(plugins[0].name, "Underscore");
    assert!(plugins[0].features.iter().any(|feature| feature == "audio-effect"), "{:?}", plugins[0].features);
}

/// Names of auxiliary ports and their channels; the main one is checked apart.
fn aux(ports: &[Port]) -> Vec<(&str, usize)> {
    ports.iter().filter(|port| !port.is_main).map(|port| (port.name.as_str(), port.num_channels)).collect()
}

#[test]
fn the_buses_are_those_that_sessions_rely_on_in_stereo_and_in_mono() {
    let bundle = open();
    for num_channels in [2, 1] {
        let mut instance = bundle.create(None).unwrap();
        let config = Config { rate_hz: 48_000.0, max_block_samples: 512, num_channels, offline: false };
        instance.configure(config).unwrap();
        let ports = instance.ports().clone();
        for main in [&ports.inputs[0], &ports.outputs[0]] {
            assert!(main.is_main && main.num_channels == num_channels, "{main:?}");
        }
        assert_eq!(aux(&ports.inputs), [("sidechain", 2)].map(|(name, n)| (ports_name(&ports.inputs, name), n)));
        let stems = [("music", 2), ("dialogue", 2), ("target", 2), ("residual", 2)];
        assert_eq!(aux(&ports.outputs), stems.map(|(name, n)| (ports_name(&ports.outputs, name), n)));
        // Of a plugin with an output of notes most hosts take all that the track has.
        assert_eq!((ports.note_inputs.len(), ports.note_outputs.len()), (0, 0));
    }
}

/// The name as the plugin writes it, when it is this one but for its case.
fn ports_name<'a>(ports: &'a [Port], name: &'a str) -> &'a str {
    ports.iter().map(|port| port.name.as_str()).find(|other| other.eq_ignore_ascii_case(name)).unwrap_or(name)
}

#[test]
fn a_channel_count_that_is_not_offered_is_refused_and_changes_nothing() {
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    let before = instance.ports().clone();
    let config = Config { rate_hz: 48_000.0, max_block_samples: 512, num_channels: 6, offline: false };
    match instance.configure(config) {
        Err(HostError::NoLayout { asked: 6, mut offered }) => {
            offered.sort_unstable();
            assert_eq!(offered, [1, 1, 2]);
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    assert_eq!(instance.ports(), &before);
    instance.configure(Config { num_channels: 2, ..config }).unwrap();
    let processor = instance.activate().unwrap();
    instance.deactivate(processor);
}

#[test]
fn the_params_have_their_permanent_ids() {
    const IDS: [&str; 28] = [
        "model",
        "music_gain",
        "dialogue_gain",
        "music_solo",
        "music_mute",
        "dialogue_solo",
        "dialogue_mute",
        "strength",
        "stereo_link",
        "dry_wet",
        "bypass",
        "device",
        "query_preset",
        "query_capture",
        "query_preset_b",
        "query_capture_b",
        "query_blend",
        "query_x",
        "query_y",
        "query_refine",
        "query_follow",
        "query_revision",
        "duck",
        "duck_depth",
        "duck_threshold",
        "duck_attack",
        "duck_hold",
        "duck_release",
    ];
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    let params = instance.params().unwrap();
    for id in IDS {
        assert!(params.iter().any(|param| param.id == stable_id_hash(id)), "no param `{id}` among {params:?}");
    }
    let is_listed = |param: &&Param| IDS.iter().any(|id| param.id == stable_id_hash(id));
    let others: Vec<_> = params.iter().filter(|param| !is_listed(param)).collect();
    assert!(others.is_empty(), "params that no session was promised: {others:?}");
    // It moves by itself, to tell the host that an example changed: nobody should meet it.
    let hidden: Vec<_> = params.iter().filter(|param| param.is_hidden).map(|param| param.id).collect();
    assert!(
        hidden.is_empty(),
        "what is hidden is only to be read: hosts need not heed its edits, and it is edited where an example changes"
    );
    let bypass = instance.param("bypass").unwrap();
    assert!(bypass.is_bypass && bypass.is_stepped);
    // What changes the latency or loads files must not be automated.
    for id in ["model", "device"] {
        assert!(!instance.param(id).unwrap().is_automatable, "{id}");
    }
}

#[test]
fn the_params_say_what_they_mean() {
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    for (id, text) in [("music_gain", "-inf dB"), ("music_gain", "+12.0 dB"), ("strength", "200 %"), ("dry_wet", "0 %")]
    {
        let param = instance.param(id).unwrap();
        let value = if text.starts_with('+') || text.starts_with('2') { param.max } else { param.min };
        let shown = instance.text_of(param.id, value).unwrap();
        assert_eq!(shown.trim_start_matches('+'), text.trim_start_matches('+'), "{id}");
    }
    for (id, text) in [("music_gain", "-6.0 dB"), ("strength", "50 %"), ("dry_wet", "25 %"), ("model", "identity")] {
        instance.set(id, text).unwrap();
        let param = instance.param(id).unwrap();
        let value = instance.value(param.id).unwrap();
        let shown = instance.text_of(param.id, value).unwrap();
        assert!(shown.eq_ignore_ascii_case(text), "{id}: set to {text}, shows {shown}");
    }
}

#[test]
fn instances_and_bundles_come_and_go() {
    for _ in 0..10 {
        let bundle = open();
        let mut instances: Vec<_> = (0..3).map(|_| bundle.create(None).unwrap()).collect();
        for instance in &mut instances {
            instance
                .configure(Config { rate_hz: 44_100.0, max_block_samples: 64, num_channels: 2, offline: false })
                .unwrap();
        }
        // Hosts activate again and again before the first sound.
        for _ in 0..3 {
            let mut processor = instances[0].activate().unwrap();
            processor.start().unwrap();
            processor.process(64, &[]).unwrap();
            instances[0].deactivate(processor);
        }
    }
}
