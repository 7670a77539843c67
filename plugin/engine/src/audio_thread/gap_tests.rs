//! What is heard where masks are missing: of late frames, asleep, in silence and after it, and where a model begins anew.

use super::*;
use crate::audio_thread::fallback_synthesis::num_made;
use crate::audio_thread::random::Random;

#[test]
fn a_worker_that_stops_is_counted_heard_as_dry_and_never_as_a_click_or_a_shift() {
    for timing in TIMINGS {
        let block = 256;
        let config = config_of(timing, 1, block);
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.9);
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
            let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.7);
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
fn a_change_of_the_stereo_link_is_bridged_by_the_last_masks() {
    for timing in TIMINGS {
        let config = config_of(timing, 2, 512);
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.9);
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
fn what_the_last_masks_do_not_bridge_of_a_change_of_the_stereo_link_counts_as_not_separated() {
    let looks_far = ModelTiming { frames_per_call: 16, look_ahead_frames: 142, ..PAPER };
    for timing in TIMINGS.into_iter().chain([looks_far]) {
        let config = config_of(timing, 2, 512);
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.9);
        let mut play = |stereo_link: bool| {
            let settings = Settings { stereo_link, ..Settings::default() };
            render(&mut engine, &noise(6 * 48_000), 512, &settings, |_| while stream.step() {})
        };
        let num_open = [true, false].map(|link| play(link).presence.iter().filter(|&&presence| presence < 1.0).count());
        let snapshot = engine.status().snapshot();
        let hop_samples = (timing.hop_s * RATE_HZ) as usize;
        println!("{timing:?}: {} frames in {} samples", snapshot.num_unmasked_frames, num_open[1]);
        // Over four hops the masks come in again.
        let expected = (num_open[1] / hop_samples).saturating_sub(4) as u64;
        assert!(snapshot.num_unmasked_frames.abs_diff(expected) <= 1, "{timing:?}: expected {expected}");
        assert_eq!(snapshot.num_unmasked_frames > 100, timing == looks_far, "{timing:?}");
        assert_eq!(snapshot.num_late_frames, 0);
    }
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
            while let Some(call) = worker.calls.receive() {
                num_calls += 1;
                worker.calls.send(answers.answer(call));
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
                while let Some(call) = worker.calls.receive() {
                    *num_calls += 1;
                    worker.calls.send(answers.answer(call));
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
        let (mut engine, mut stream) = engine_and_stream(&config, mask_by_spectrum);
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
fn masks_that_come_back_cost_no_block_more_than_one_frame_s_transforms_where_a_call_holds_a_window() {
    let hears_far = ModelTiming { frames_per_call: 16, look_ahead_frames: 142, ..PAPER };
    for timing in TIMINGS.into_iter().chain([hears_far]) {
        let config = config_of(timing, 2, 256);
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.9);
        let mut play = |seconds: usize, asleep: bool, is_stuck: bool| {
            let settings = Settings { asleep, ..Settings::default() };
            let mut most = 0;
            let out = render(&mut engine, &noise(seconds * 48_000), 256, &settings, |_| {
                most = most.max(num_made());
                while !is_stuck && stream.step() {}
            });
            (out.presence.last().copied(), most)
        };
        let overlap_frames = shape_of(&config).overlap_frames();
        let expected = if timing.frames_per_call > overlap_frames { 1 } else { overlap_frames + 1 };
        for (what, asleep, is_stuck) in [("a bypass", true, false), ("an overload", false, true)] {
            play(4, false, false);
            assert_eq!(play(8, asleep, is_stuck).0, Some(0.0), "{timing:?}: they have faded out");
            let (presence, most) = play(4, false, false);
            assert_eq!(presence, Some(1.0), "{timing:?}: they have come back");
            assert!(most <= expected, "{timing:?}, after {what}: {most} frames in a block");
        }
    }
}

#[test]
fn whatever_is_missing_a_mask_of_one_gives_the_input_as_far_as_masks_are_in() {
    for timing in TIMINGS {
        let block = 256;
        let config = config_of(timing, 2, block);
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 1.0);
        let mut random = Random(5);
        let mut settings = Settings::default();
        let (mut is_silent, mut is_stuck, mut fed) = (false, false, Vec::new());
        let (mut worst, mut num_partly, mut num_wholly) = (0.0_f32, 0, 0);
        let latency = engine.latency_samples();
        let sound = noise(1 << 16);
        for block_idx in 0..6_000 {
            is_silent = if random.below(40) == 0 { random.below(3) == 0 } else { is_silent };
            is_stuck = if random.below(60) == 0 { random.below(3) == 0 } else { is_stuck };
            settings.stereo_link = if random.below(150) == 0 { random.below(2) == 0 } else { settings.stereo_link };
            settings.asleep = if random.below(300) == 0 { random.below(3) == 0 } else { settings.asleep };
            let start = (block_idx * block) % (sound.len() - block);
            let input = if is_silent { vec![0.0; block] } else { sound[start..start + block].to_vec() };
            fed.extend_from_slice(&input);
            let stems = engine.process(&[&input, &input], &settings);
            for sample_idx in 0..block {
                let dry = (block_idx * block + sample_idx).checked_sub(latency).map_or(0.0, |at| fed[at]);
                assert_eq!(stems.dry(1)[sample_idx], dry);
                let presence = stems.presence().at(sample_idx);
                num_partly += usize::from(presence > 0.0 && presence < 1.0);
                num_wholly += usize::from(presence == 1.0);
                let expected = (presence + 0.5 * (1.0 - presence)) * dry;
                worst = larger(worst, (stems.stem(0, 1)[sample_idx] - expected).abs());
            }
            if !is_stuck {
                for _ in 0..random.below(4) {
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
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 1.0);
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
        let error = after.stems[0][sounds_from..].iter().zip(sound).map(|(a, x)| (a - x).abs()).fold(0.0, larger);
        assert!(db(error) < -110.0, "{timing:?}: {} dBFS", db(error));
    }
}

#[test]
fn masks_that_come_again_and_are_others_are_gone_over_to_without_a_click() {
    for timing in TIMINGS {
        let block = 256;
        let config = config_of(timing, 1, block);
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.3);
        let input: Vec<f32> = (0..4 * 48_000)
            .map(|n| (0.5 * (f64::from(n) * 220.0 * std::f64::consts::TAU / RATE_HZ).sin()) as f32)
            .collect();
        let (first, rest) = input.split_at(2 * 48_000);
        // Without strength every mask is a half; the frames that are late come with masks of 0.155.
        let settings = |strength| Settings { strength, ..Settings::default() };
        let before = render(&mut engine, first, block, &settings(0.0), |_| while stream.step() {});
        let held = (timing.frames_per_call + timing.look_ahead_frames) * 768;
        let num_stuck = (engine.latency.deadline_samples + 768 + held / 2).div_ceil(block);
        let after = render(
            &mut engine,
            rest,
            block,
            &settings(2.0),
            |block_idx| {
                while block_idx >= num_stuck && stream.step() {}
            },
        );
        assert!(engine.status().snapshot().num_late_frames > 0, "{timing:?}: nothing was tested");
        let stem = [&before.stems[0][48_000..], &after.stems[0]].concat();
        let (steady, whole) = (roughness(&stem[..40_000]), roughness(&stem));
        assert!(whole < 1.1 * steady, "{timing:?}: {:.1} dB, {:.1} dB where steady", db(whole), db(steady));
        let loudest = |samples: &[f32]| samples.iter().fold(0.0, |most, sample| larger(most, sample.abs()));
        let (first, last) = (loudest(&stem[..40_000]), loudest(&after.stems[0][80_000..]));
        assert!((first - 0.25).abs() < 1e-3 && (last - 0.0776).abs() < 1e-3, "masks of {first} and {last} of a half");
    }
}

/// Loud sounds get another mask than soft ones.
fn mask_by_level(spectrum: &[f32]) -> f32 {
    let level = spectrum.iter().map(|value| value.abs()).sum::<f32>() / spectrum.len() as f32;
    if level > 0.3 { 0.9 } else { 0.2 }
}

#[test]
fn what_comes_after_silence_is_heard_through_its_own_mask_and_not_through_one_of_before() {
    for timing in TIMINGS {
        let block = 256;
        let config = config_of(timing, 2, block);
        let (mut engine, mut stream) = engine_and_stream(&config, mask_by_level);
        let loud = [noise(2 * 48_000), vec![0.0; 2 * 48_000]].concat();
        let soft: Vec<f32> = noise(48_000).iter().map(|sample| 0.01 * sample).collect();
        let before = render(&mut engine, &loud, block, &Settings::default(), |_| while stream.step() {});
        let latency = engine.latency_samples();
        let loudly = before.stems[0][latency + 48_000..].iter().zip(&loud[48_000..]);
        let worst = loudly.take(24_000).map(|(a, x)| (a - 0.9 * x).abs()).fold(0.0, larger);
        assert!(db(worst) < -110.0, "{timing:?}: what is loud has a mask of its own");
        // In silence the model begins another stream.
        let settings = Settings { stereo_link: false, ..Settings::default() };
        let input = [vec![0.0; 48_000], soft].concat();
        let out = render(&mut engine, &input, block, &settings, |_| while stream.step() {});
        let worst = out.stems[0][latency..].iter().zip(&input).map(|(a, x)| (a - 0.2 * x).abs()).fold(0.0, larger);
        assert!(db(worst) < -110.0, "{timing:?}: {} dBFS", db(worst));
    }
}

/// Plays noise with masks of one, of which the calls come in time, counted from 1, for which `is_in_time` holds. Gives back what went in,
/// what came out, and the latency.
fn played_where(timing: ModelTiming, is_in_time: impl Fn(usize) -> bool) -> (Vec<f32>, Rendered, usize) {
    let block = 256;
    let config = config_of(timing, 1, block);
    let (mut engine, mut worker) = engine_and_worker(&config);
    let mut answers = Answers::of(&config);
    let input = noise(4 * 48_000);
    let (mut num_calls, mut valid_from) = (0, 0);
    let out = render(&mut engine, &input, block, &Settings::default(), |_| {
        while let Some(mut call) = worker.calls.receive() {
            num_calls += 1;
            // As the worker says of what it did not run, and of the first call after it.
            let last_frame = call.first_frame;
            if is_in_time(num_calls) {
                call = answers.answer(call);
                call.valid_from = call.valid_from.max(valid_from);
            } else {
                answers.past.complete(&mut call);
                call.outcome = Outcome::TooLate;
                valid_from = last_frame + 1;
            }
            worker.calls.send(call);
        }
    });
    assert!(engine.status().snapshot().num_late_frames > 70, "nothing was tested");
    (input, out, engine.latency_samples())
}

#[test]
fn where_every_second_call_comes_too_late_the_others_are_heard() {
    for timing in [LIVE, LIVE_ROUNDED_UP] {
        let (input, out, latency) = played_where(timing, |call| call <= 50 || call % 2 == 1);
        assert!(
            out.presence[latency..].iter().all(|&presence| presence == 1.0),
            "a mask is held for longer than a call"
        );
        let error_db = error_db(&out, &input, latency);
        assert!(error_db < -110.0, "{timing:?}: {error_db} dBFS");
    }
}

#[test]
fn masks_that_have_faded_out_come_back_where_every_second_call_is_in_time() {
    for timing in [LIVE, LIVE_ROUNDED_UP] {
        let (input, out, latency) = played_where(timing, |call| call <= 50 || (call > 100 && call % 2 == 1));
        let at = |call: usize| latency + call * 768;
        assert_eq!(out.presence[at(90)], 0.0, "they have faded out");
        // Four steps, each a call that is in time and one that is not.
        assert!(out.presence[at(112)..].iter().all(|&presence| presence == 1.0), "they have come back");
        for (sample_idx, (made, dry)) in out.stems[0][latency..].iter().zip(&input).enumerate() {
            let presence = out.presence[latency + sample_idx];
            let expected = (presence + 0.5 * (1.0 - presence)) * dry;
            assert!(db((made - expected).abs()) < -110.0, "sample {sample_idx}: {made}, expected {expected}");
        }
    }
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
            while let Some(call) = worker.calls.receive() {
                assert_eq!(call.is_fresh, num_calls == 0, "silence keeps the state");
                assert!(call.valid_from <= call.first_frame);
                num_calls += 1;
                worker.calls.send(answers.answer(call));
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
        while !worker.calls.is_abandoned() {
            if let Some(call) = worker.calls.receive() {
                worker.calls.send(answers.answer(call));
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

#[test]
fn who_hears_nothing_separated_for_half_a_second_is_told_and_the_headroom_is_none_while_calls_are_late() {
    for timing in TIMINGS {
        let block = 256;
        let config = config_of(timing, 1, block);
        let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.9);
        let status = engine.status();
        let told = || status.snapshot().is_unseparated;
        let mut play = |seconds: usize, asleep: bool, is_stuck: bool| {
            let settings = Settings { asleep, ..Settings::default() };
            render(&mut engine, &noise(seconds * 48_000), block, &settings, |_| {
                assert!(is_stuck || asleep || !told(), "{timing:?}: while masks come, or the first are on their way");
                while !is_stuck && stream.step() {}
            });
        };
        play(2, false, false);
        play(3, false, true);
        assert!(told(), "{timing:?}: no call was answered");
        assert!(status.snapshot().headroom < 0.01, "{timing:?}: {}", status.snapshot().headroom);
        play(4, true, false);
        assert!(told(), "{timing:?}: it sleeps");
    }
}

#[test]
fn a_mask_that_comes_in_time_every_now_and_then_is_no_separation() {
    let block = 256;
    let config = config_of(ModelTiming::LIVE, 1, block);
    let (mut engine, mut stream) = engine_and_stream(&config, |_| 0.9);
    let status = engine.status();
    let mut play = |seconds: usize, blocks_between_steps: usize| {
        let (mut num_blocks, mut num_separated) = (0_usize, 0);
        render(&mut engine, &noise(seconds * 48_000), block, &Settings::default(), |_| {
            num_blocks += 1;
            while num_blocks.is_multiple_of(blocks_between_steps) && stream.step() {}
            num_separated += usize::from(!status.snapshot().is_unseparated);
        });
        (num_blocks, num_separated)
    };
    let (num_blocks, num_separated) = play(3, 1);
    assert_eq!(num_separated, num_blocks);
    play(2, 60);
    let (num_blocks, num_separated) = play(5, 60);
    println!("{num_separated} of {num_blocks} blocks as if it separated");
    assert!(num_separated < num_blocks / 10);
    play(1, 1);
    assert!(!status.snapshot().is_unseparated, "it has caught up");
}

#[test]
fn without_a_worker_the_dry_signal_is_exact_and_every_stem_has_its_share() {
    let config = config(2, 480);
    let (mut engine, _worker) = engine_and_worker(&config);
    engine.status().set_unavailable("none");
    let input = noise(48_000);
    let out = render(&mut engine, &input, 480, &Settings::default(), |_| ());
    let latency = engine.latency_samples();
    assert_eq!(out.dry[latency..], input[..input.len() - latency]);
    assert!(out.presence.iter().all(|&presence| presence == 0.0));
    assert!(residual_db(&out, &input, latency) < -120.0);
    let half = out.stems[0][latency..].iter().zip(&input).map(|(a, b)| (a - 0.5 * b).abs()).fold(0.0, larger);
    assert!(db(half) < -120.0, "{} dBFS", db(half));
}
