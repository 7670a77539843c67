//! The maker of engines: a model of the same latency takes over while the sound runs, another one waits for the host.

mod common;

use common::hide_libtorch;
use underscore::builder::{Builder, HostConfig};
use underscore::takeover::{EngineKey, Takeover};
use underscore_engine::{Catalogue, DeviceChoice, QueryBlend, RenderMode, Resources, Settings, State, try_loads_again};

const HOST: HostConfig =
    HostConfig { rate_hz: 48_000.0, max_block_samples: 512, num_channels: 1, compensates_latency: true };

/// Two models of one latency, `a` and `b`, and one of another, `c`.
fn catalogue() -> &'static Catalogue {
    let entry = |(id, frames_per_call, look_ahead_frames): (&str, usize, usize)| {
        format!(
            "[[model]]\nid = \"{id}\"\nname = \"{id}\"\nfile = \"{id}.pt\"\nsha256 = \"\"\nlicence = \"CC0-1.0\"\n\
             sample_rate_hz = 32000\nwindow_s = 0.064\nhop_s = 0.016\nsynthesis_s = 0.064\nnum_bins = 1025\n\
             frames_per_call = {frames_per_call}\nlook_ahead_frames = {look_ahead_frames}\nlook_back_frames = 9\n\
             stems = [\"music\", \"dialogue\"]\nresidual = \"dialogue\"\n"
        )
    };
    let text: String = [("a", 8, 0), ("b", 8, 0), ("c", 4, 8)].map(entry).concat();
    Box::leak(Box::new(Catalogue::parse(&text).expect("a catalogue")))
}

fn key(model: &'static str) -> EngineKey {
    EngineKey { model, device: DeviceChoice::Cpu }
}

fn model_in_use(builder: &Builder) -> String {
    builder.status().expect("an engine").snapshot().model
}

fn active() -> (Builder, Takeover) {
    hide_libtorch();
    let builder = Builder::of(catalogue());
    let takeover = builder.activate(HOST, key("a")).expect("an engine");
    (builder, takeover)
}

#[test]
fn a_model_of_another_latency_is_asked_for_once_and_leaves_the_one_in_use_alone() {
    let (builder, _separation) = active();
    for _ in 0..10 {
        builder.tend(key("c"));
        assert_eq!(model_in_use(&builder), "a");
    }
    assert!(builder.take_needs_restart());
    let waits_for_host = |model| builder.figures(key(model)).waits_for_host;
    assert!(waits_for_host("c") && !waits_for_host("a"));
    builder.tend(key("c"));
    assert!(!builder.take_needs_restart(), "a host that does not answer is not asked again and again");
    // The host does as it was asked.
    let latency_samples = builder.activate(HOST, key("c")).expect("an engine").latency_samples();
    assert_eq!(model_in_use(&builder), "c");
    assert_ne!(latency_samples, builder.activate(HOST, key("a")).expect("an engine").latency_samples());
    builder.tend(key("a"));
    assert!(!builder.take_needs_restart());
}

#[test]
fn a_wish_that_is_withdrawn_in_time_costs_no_restart_and_may_come_again() {
    let (builder, _separation) = active();
    builder.tend(key("c"));
    builder.tend(key("a"));
    assert!(!builder.take_needs_restart());
    builder.tend(key("c"));
    assert!(builder.take_needs_restart());
}

#[test]
fn a_wish_that_another_model_came_between_is_told_to_the_host_again() {
    let (builder, mut takeover) = active();
    builder.tend(key("c"));
    assert!(builder.take_needs_restart());
    choose_all(&builder, &mut takeover, &["b"]);
    let silence = vec![0.0; HOST.max_block_samples];
    let start = std::time::Instant::now();
    while !builder.take_needs_restart() {
        assert!(start.elapsed().as_secs() < 20, "the host is not asked again");
        // Where the one before is taking over still, the wish waits.
        builder.tend(key("c"));
        takeover.process(&[&silence], &Settings::default(), |_| QueryBlend::default());
    }
    builder.tend(key("a"));
    assert!(!builder.figures(key("c")).waits_for_host);
}

/// Chooses one after the other, and processes until each is in use.
fn choose_all(builder: &Builder, takeover: &mut Takeover, models: &[&'static str]) {
    let silence = vec![0.0; HOST.max_block_samples];
    for next in models {
        let start = std::time::Instant::now();
        while model_in_use(builder) != *next {
            assert!(start.elapsed().as_secs() < 20, "no engine for {next} after 20 s");
            builder.tend(key(next));
            takeover.process(&[&silence], &Settings::default(), |_| QueryBlend::default());
        }
    }
    assert!(!builder.take_needs_restart());
}

#[test]
fn a_model_of_the_same_latency_takes_over_by_itself_and_makes_way_for_the_next() {
    let (builder, mut takeover) = active();
    choose_all(&builder, &mut takeover, &["b", "a", "b"]);
}

#[test]
fn the_one_that_is_heard_is_seen_until_the_next_one_has_taken_over() {
    let (builder, mut takeover) = active();
    let seen = || {
        let figures = builder.figures(key("b"));
        [figures.current, figures.next].map(|status| status.map(|status| status.model))
    };
    let [a, b] = ["a", "b"].map(|model| Some(model.to_owned()));
    assert_eq!(seen(), [a.clone(), None]);
    builder.tend(key("b"));
    assert_eq!(seen(), [a.clone(), b.clone()]);
    let silence = vec![0.0; HOST.max_block_samples];
    let start = std::time::Instant::now();
    while seen() != [b.clone(), None] {
        assert!(start.elapsed().as_secs() < 20, "it has not taken over after 20 s");
        assert_eq!(seen(), [a.clone(), b.clone()]);
        takeover.process(&[&silence], &Settings::default(), |_| QueryBlend::default());
        builder.tend(key("b"));
    }
    builder.deactivate();
    assert_eq!(seen(), [None, None]);
}

#[test]
fn what_is_held_back_is_built_anew_as_soon_as_somebody_wants_it() {
    hide_libtorch();
    let resources = Resources::of_this_binary();
    let marks = resources.own_folder().expect("a folder").join("loading");
    std::fs::create_dir_all(&marks).expect("a folder for marks");
    for number in 0..2 {
        let mark = format!("{}-libtorch@1-{number}", env!("CARGO_PKG_VERSION"));
        std::fs::write(marks.join(mark), format!("In a row: {}", number + 1)).expect("a mark");
    }
    let settled = |builder: &Builder| {
        let status = builder.status().expect("an engine");
        let start = std::time::Instant::now();
        while status.state() == State::Loading {
            assert!(start.elapsed().as_secs() < 20, "still loading after 20 s");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        status.snapshot()
    };
    let held_back = [active(), active()];
    let before = held_back.each_ref().map(|(builder, _)| settled(builder));
    for ((builder, _), before) in held_back.iter().zip(&before) {
        assert!(before.is_held_back && before.message.contains("TRY AGAIN"), "{}", before.message);
        builder.tend(key("a"));
        assert_eq!(settled(builder).id, before.id, "nobody wants it");
    }
    try_loads_again(&resources);
    for ((builder, _), before) in held_back.iter().zip(&before) {
        builder.tend(key("a"));
        let after = settled(builder);
        assert!(after.id != before.id && !after.is_held_back && after.message.contains("not installed"), "{after:?}");
        builder.tend(key("a"));
        assert_eq!(settled(builder).id, after.id, "it was tried again");
        assert!(!builder.take_needs_restart());
    }
}

#[test]
fn where_nothing_is_lined_up_a_model_of_another_latency_takes_over_by_itself_too() {
    hide_libtorch();
    let builder = Builder::of(catalogue());
    let host = HostConfig { compensates_latency: false, ..HOST };
    let mut takeover = builder.activate(host, key("a")).expect("an engine");
    let before_samples = takeover.latency_samples();
    choose_all(&builder, &mut takeover, &["c", "a", "c", "b", "c"]);
    let silence = vec![0.0; HOST.max_block_samples];
    // Nobody waits for a worker here: it takes over once that has said how it stands.
    let start = std::time::Instant::now();
    while takeover.latency_samples() == before_samples {
        assert!(start.elapsed().as_secs() < 20, "the one chosen last is not heard");
        takeover.process(&[&silence], &Settings::default(), |_| QueryBlend::default());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(!builder.figures(key("c")).waits_for_host);
}

#[test]
fn a_model_that_is_not_in_the_catalogue_changes_nothing() {
    let (builder, _separation) = active();
    builder.tend(key("nobody"));
    assert!(!builder.take_needs_restart(), "an activation would not bring it either");
    assert_eq!(model_in_use(&builder), "a");
    assert!(builder.activate(HOST, key("nobody")).is_none());
}

#[test]
fn an_audio_server_with_a_clock_of_its_own_is_told_of_where_nobody_lines_up() {
    hide_libtorch();
    for (compensates_latency, rate_hz, num_samples, is_told) in [
        (false, 48_000.0, 512, false),
        (false, 44_100.0, 512, true),
        (false, 48_000.0, 1024, true),
        (true, 44_100.0, 1024, false),
    ] {
        let builder = Builder::of(catalogue());
        let _separation = builder.activate(HostConfig { compensates_latency, ..HOST }, key("a")).expect("an engine");
        let told = || builder.figures(key("a")).clock_notice;
        assert_eq!(told(), None, "nothing was played yet");
        builder.note_played(rate_hz, num_samples);
        let told = told();
        assert_eq!(told.is_some(), is_told, "{compensates_latency}, {rate_hz} Hz, {num_samples}: {told:?}");
        if let Some(told) = told {
            assert!(told.contains(&format!("--sample-rate {rate_hz} --period-size {num_samples}")), "{told}");
        }
    }
}

#[test]
fn what_was_chosen_while_the_host_ran_nothing_is_heard_from_the_first_block_after_a_reset() {
    hide_libtorch();
    let builder = Builder::of(catalogue());
    let mut takeover =
        builder.activate(HostConfig { compensates_latency: false, ..HOST }, key("a")).expect("an engine");
    let of_a = takeover.latency_samples();
    builder.tend(key("c"));
    let start = std::time::Instant::now();
    while builder.status().is_none_or(|status| status.state() == State::Loading) {
        assert!(start.elapsed().as_secs() < 20, "still loading after 20 s");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(model_in_use(&builder), "c");
    assert_eq!(takeover.latency_samples(), of_a, "no block was played, so nothing was taken in");
    takeover.reset(RenderMode::RealTime);
    assert_ne!(takeover.latency_samples(), of_a);
}

#[test]
fn blocks_are_played_until_none_has_come_for_half_a_second_or_the_plugin_is_not_active() {
    let (builder, _separation) = active();
    assert!(!builder.plays() && !builder.figures(key("a")).plays);
    builder.note_played(48_000.0, 512);
    assert!(builder.plays() && builder.figures(key("a")).plays);
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert!(!builder.plays());
    builder.note_played(48_000.0, 512);
    assert!(builder.plays());
    builder.deactivate();
    assert!(!builder.plays());
}

#[test]
fn a_bounce_that_begins_takes_what_was_chosen_though_it_is_still_loading_and_what_plays_on_does_not() {
    hide_libtorch();
    for (render, is_taken) in [(RenderMode::Offline, true), (RenderMode::RealTime, false)] {
        // A load that is over before it is seen says nothing.
        let taken = (0..100).find_map(|_| {
            let builder = Builder::of(catalogue());
            let mut takeover =
                builder.activate(HostConfig { compensates_latency: false, ..HOST }, key("a")).expect("an engine");
            let of_a = takeover.latency_samples();
            builder.tend(key("c"));
            takeover.reset(render);
            let is_loading = builder.status().is_some_and(|status| status.state() == State::Loading);
            is_loading.then(|| takeover.latency_samples() != of_a)
        });
        assert_eq!(taken, Some(is_taken), "{render:?}");
    }
}

#[test]
fn a_host_that_tells_of_its_bounce_with_the_first_block_hears_what_was_chosen_from_that_block_on() {
    hide_libtorch();
    let silence = vec![0.0; HOST.max_block_samples];
    for (has_played, is_taken) in [(false, true), (true, false)] {
        // A load that is over before it is seen says nothing.
        let taken = (0..100).find_map(|_| {
            let builder = Builder::of(catalogue());
            let mut takeover =
                builder.activate(HostConfig { compensates_latency: false, ..HOST }, key("a")).expect("an engine");
            let of_a = takeover.latency_samples();
            takeover.reset(RenderMode::RealTime);
            if has_played {
                takeover.process(&[&silence], &Settings::default(), |_| QueryBlend::default());
            }
            builder.tend(key("c"));
            takeover.begin(RenderMode::Offline);
            let is_loading = builder.status().is_some_and(|status| status.state() == State::Loading);
            is_loading.then(|| takeover.latency_samples() != of_a)
        });
        assert_eq!(taken, Some(is_taken), "has played: {has_played}");
    }
}

#[test]
fn a_model_that_was_chosen_and_taken_back_is_never_heard() {
    let silence = vec![0.0; HOST.max_block_samples];
    for render in [None, Some(RenderMode::RealTime), Some(RenderMode::Offline)] {
        let (builder, mut takeover) = active();
        builder.tend(key("b"));
        takeover.process(&[&silence], &Settings::default(), |_| QueryBlend::default());
        builder.tend(key("a"));
        if let Some(render) = render {
            takeover.reset(render);
        }
        for _ in 0..200 {
            takeover.process(&[&silence], &Settings::default(), |_| QueryBlend::default());
            builder.tend(key("a"));
            let figures = builder.figures(key("a"));
            assert_eq!(figures.current.map(|status| status.model).as_deref(), Some("a"), "{render:?}");
        }
        assert!(builder.figures(key("a")).next.is_none(), "it has come back");
        assert_eq!(model_in_use(&builder), "a");
        choose_all(&builder, &mut takeover, &["b", "a"]);
    }
}

#[test]
fn a_model_of_another_latency_is_asked_for_though_one_is_taking_over() {
    let (builder, _takeover) = active();
    builder.tend(key("b"));
    builder.tend(key("c"));
    assert!(builder.take_needs_restart());
}

#[test]
fn a_bounce_is_over_when_no_block_has_come_for_half_a_second_but_not_within_one() {
    let (builder, _takeover) = active();
    builder.tend(key("c"));
    let pause = || std::thread::sleep(std::time::Duration::from_millis(600));
    builder.note_render(RenderMode::Offline);
    pause();
    assert!(!builder.take_needs_restart(), "the block waits for its model");
    builder.note_played(48_000.0, 512);
    assert!(!builder.take_needs_restart(), "the next block is on its way");
    pause();
    assert!(builder.take_needs_restart());
}

#[test]
fn nobody_is_asked_to_begin_anew_within_a_bounce_and_the_wish_is_kept_for_after_it() {
    let (builder, _separation) = active();
    builder.note_render(RenderMode::Offline);
    builder.tend(key("c"));
    assert!(!builder.take_needs_restart());
    builder.note_render(RenderMode::RealTime);
    assert!(builder.take_needs_restart());
    builder.tend(key("a"));
    builder.note_render(RenderMode::Offline);
    builder.tend(key("c"));
    builder.deactivate();
    assert!(builder.activate(HOST, key("c")).is_some() && !builder.take_needs_restart(), "it was granted");
}
