//! Sessions: what is saved comes back, and what never was a state of ours does no harm.

mod common;

use common::{EXACT_DB, asked, offline_stereo, open};
use host_tests::{Instance, Rendering, render, residual_db, signals::Random, signals::programme};

/// All param values, by id.
fn values(instance: &mut Instance) -> Vec<(u32, f64)> {
    let params = instance.params().unwrap();
    params.into_iter().map(|param| (param.id, instance.value(param.id).unwrap())).collect()
}

/// The instance still does what it is for: its model runs, and its stems sum to the delayed input.
#[track_caller]
fn assert_alive(bundle: &host_tests::Bundle, instance: &mut Instance) {
    let input = programme(2, 24_000, 48_000.0, 3);
    let rendered = render(bundle, instance, &Rendering::new(&input, 512)).unwrap();
    let engine = rendered.diagnostics.as_ref().and_then(|d| d.newest().cloned()).unwrap();
    assert_eq!(engine.state, "running", "{}", engine.message);
    let residual = residual_db(&input, &rendered.aligned_sum());
    assert!(residual <= EXACT_DB, "{residual} dBFS");
}

#[test]
fn a_session_comes_back() {
    let bundle = open();
    let mut first = offline_stereo(&bundle, 48_000.0, 512);
    for (param, text) in
        [("model", "identity"), ("music_gain", "-7.5"), ("dialogue_mute", "on"), ("strength", "130"), ("bypass", "on")]
    {
        first.set(param, text).unwrap();
    }
    let state = first.save_state().unwrap();
    let mut second = offline_stereo(&bundle, 48_000.0, 512);
    assert_ne!(values(&mut first), values(&mut second));
    second.load_state(&state).unwrap();
    assert_eq!(values(&mut first), values(&mut second));
    assert_alive(&bundle, &mut second);
}

#[test]
fn garbage_is_refused_and_changes_nothing() {
    let bundle = open();
    let mut instance = offline_stereo(&bundle, 48_000.0, 512);
    instance.set("music_gain", "-7.5").unwrap();
    let before = values(&mut instance);
    let good = instance.save_state().unwrap();
    let mut random = Random::new(5);
    let mut garbage: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0; 3],
        vec![0; 4096],
        vec![0xFF; 4096],
        b"{\"params\": 5}".to_vec(),
        good[..good.len() / 2].to_vec(),
        (0..10_000).map(|_| random.next_u64() as u8).collect(),
    ];
    // A length that promises 2^62 bytes.
    garbage.push([(1_u64 << 62).to_le_bytes().as_slice(), &good[8..]].concat());
    for bytes in garbage {
        let head: Vec<u8> = bytes.iter().take(16).copied().collect();
        assert!(instance.load_state(&bytes).is_err(), "accepted {head:?}");
        assert_eq!(values(&mut instance), before, "changed by {head:?}");
    }
    assert_alive(&bundle, &mut instance);
}

#[test]
fn a_state_with_any_byte_broken_never_brings_the_host_down() {
    let bundle = open();
    let mut instance = offline_stereo(&bundle, 48_000.0, 512);
    let good = instance.save_state().unwrap();
    let mut random = Random::new(6);
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..=random.up_to(3) {
            let at = random.up_to(bytes.len() - 1);
            bytes[at] = random.next_u64() as u8;
        }
        // Refused or read: either will do, as long as every value stays a value.
        let _ = instance.load_state(&bytes);
        for (id, value) in values(&mut instance) {
            assert!(value.is_finite(), "param {id} is {value}");
        }
    }
    instance.load_state(&good).unwrap();
    assert_alive(&bundle, &mut instance);
}

/// The state with `edit` applied to its JSON, its length prefix made right.
fn edited(state: &[u8], edit: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut json: serde_json::Value =
        serde_json::from_slice(&state[8..]).expect("nice-plug writes JSON after 8 bytes of length");
    edit(&mut json);
    let json = serde_json::to_vec(&json).unwrap();
    [(json.len() as u64).to_le_bytes().as_slice(), &json].concat()
}

#[test]
fn a_state_from_the_future_is_read_as_far_as_it_is_understood() {
    let bundle = open();
    let mut instance = offline_stereo(&bundle, 48_000.0, 512);
    instance.set("music_gain", "-7.5").unwrap();
    let expected = values(&mut instance);
    let state = edited(&instance.save_state().unwrap(), |json| {
        json["version"] = "99.0.0".into();
        json["params"]["a_param_of_tomorrow"] = serde_json::json!({ "f32": 0.3 });
        json["fields"]["a_field_of_tomorrow"] = "\"something\"".into();
        json["something_else"] = serde_json::json!([1, 2, 3]);
        if let Some(version) = json["fields"].get_mut("state_version") {
            *version = "999".into();
        }
    });
    let mut other = offline_stereo(&bundle, 48_000.0, 512);
    other.load_state(&state).unwrap();
    assert_eq!(values(&mut other), expected);
    assert_alive(&bundle, &mut other);
}

/// The example of slot A, as sessions hold it.
const EXAMPLE: &str = "{\"embedding\":[0.5,-0.25],\"name\":\"a low hum\"}";

#[test]
fn a_model_of_tomorrow_or_of_yesterday_is_not_a_reason_to_lose_the_rest() {
    let bundle = open();
    let mut instance = offline_stereo(&bundle, 48_000.0, 512);
    for (param, text) in [("music_gain", "-7.5"), ("dialogue_mute", "on"), ("strength", "130"), ("device", "cpu")] {
        instance.set(param, text).unwrap();
    }
    // The model is the default one; so it is to be where the one asked for is not there.
    let expected = values(&mut instance);
    for model in ["music-99", "music-0", ""] {
        let state = edited(&instance.save_state().unwrap(), |json| {
            json["params"]["model"] = serde_json::json!({ "string": model });
            json["fields"]["query"] = serde_json::json!(EXAMPLE);
        });
        let mut other = offline_stereo(&bundle, 48_000.0, 512);
        other.set("model", "identity").unwrap();
        other.load_state(&state).unwrap();
        assert_eq!(values(&mut other), expected, "{model}");
        assert_alive(&bundle, &mut other);
        edited(&other.save_state().unwrap(), |json| {
            let kept = json["fields"]["query"].as_str().unwrap();
            assert!(kept.contains("[0.5,-0.25,") && kept.contains("a low hum"), "{model}: the example is gone: {kept}");
        });
    }
}

#[test]
fn by_an_example_of_a_model_that_is_gone_nothing_is_separated_and_it_is_kept() {
    let bundle = open();
    let input = programme(2, 96_000, 48_000.0, 3);
    let half: Vec<Vec<f32>> = input.iter().map(|channel| channel.iter().map(|x| 0.5 * x).collect()).collect();
    let name = asked(&bundle).swap_remove(0);
    let own_id = name.to_lowercase().replace(' ', "-");
    for (listened_by, is_own) in [("query-0", false), (own_id.as_str(), true)] {
        let state = edited(&offline_stereo(&bundle, 48_000.0, 512).save_state().unwrap(), |json| {
            // Gone, too: the newest of its family stands in.
            json["params"]["model"] = serde_json::json!({ "string": "query-0" });
            json["fields"]["query"] = serde_json::json!(format!(
                "{{\"embedding\":[0.5,-0.25],\"name\":\"a low hum\",\"model\":\"{listened_by}\"}}"
            ));
        });
        let mut instance = offline_stereo(&bundle, 48_000.0, 512);
        instance.load_state(&state).unwrap();
        let rendered = render(&bundle, &mut instance, &Rendering::new(&input, 512)).unwrap();
        let engine = rendered.diagnostics.as_ref().and_then(|d| d.newest().cloned()).unwrap();
        // Where nothing is asked nobody waits for the model either.
        assert!(engine.state == "running" || !is_own, "{}", engine.message);
        assert_eq!(engine.model, own_id);
        let from_half_db = residual_db(&half, &rendered.aligned_stem("Target").unwrap());
        println!("listened to by {listened_by}: the target is {from_half_db:.1} dBFS from half of the input");
        assert_eq!(from_half_db <= EXACT_DB, !is_own);
        assert!(residual_db(&input, &rendered.aligned_main()) <= EXACT_DB);
        edited(&instance.save_state().unwrap(), |json| {
            let kept = json["fields"]["query"].as_str().unwrap();
            assert!(kept.contains("[0.5,-0.25,") && kept.contains(listened_by), "the example is gone: {kept}");
        });
    }
}
