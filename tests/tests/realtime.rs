//! Beside the clock: nothing late, nothing slow, nothing allocated, and little memory.

mod common;

use common::{asked, bundle_file, open, probe, separators};
use host_tests::probe::{HostKind, Scenario};
use host_tests::{BlockSizes, Config, Pace, Priority, Rendering, StolenTime, render, signals::programme, yardstick};
use std::time::Duration;

const MAX_RESIDENT_MB: f64 = 400.0;

/// Of the default model a further instance takes 7 to 12 MB, with weights of its own 25; of one that is asked, whose file is 7 MB, 18, and 56.
const MAX_FURTHER_INSTANCE_MB: f64 = 16.0;
const MAX_FURTHER_ASKED_INSTANCE_MB: f64 = 30.0;

/// Of the block period, at the 99.9th percentile, in a minute that was the machine's own.
const MAX_PROCESS_SHARE: f64 = 0.03;

/// A third of these blocks do no hop's work and only move samples: the 10th percentile tells how fast the machine's caches and memory are.
/// It is at most this where nothing else runs; on cores whose caches other machines use, though they steal no time, a build took 80,
/// 117, 158 and 173 us at the 99.9th percentile as its median rose from 22 to 67 us. The limit grows with it, up to `MAX_CPU_SHARE`.
const QUIET_P10_US: f64 = 9.0;

/// At the 99th percentile by the clock, in any minute whose time was not stolen: what lies above it is mostly interrupts.
const MAX_P99_SHARE: f64 = 0.025;

/// Where the 99.9th percentile is beyond its limit, the limit grows by so many times what a loop in the plugin's place loses there to the
/// machine's interrupts and its hypervisor's work, which count as no stolen time. A thread that only spins was interrupted for more
/// than 35 us a hundred times a second; the loop lost 28 to 72 us, and what it loses changes from minute to minute.
const MACHINE_ALLOWANCE: f64 = 2.0;
const WORK: Duration = Duration::from_micros(16);
const PERIOD: Duration = Duration::from_nanos(5_333_333);

/// Of the worker, seconds per second of sound by the clock, in such a minute: of a model for mixing, of one for use on air, whose calls are of one frame, and
/// of one that is asked: half as much again as the aim of 0.1, because what else runs on the machine counts, too.
const MAX_RTF: f64 = 0.15;
const MAX_RTF_ON_AIR: f64 = 0.25;
const MAX_RTF_ASKED: f64 = 0.15;

/// The same at the 99th percentile of the thread's processor time, in any minute.
const MAX_CPU_SHARE: f64 = 0.06;

/// Part of the processors' time that may be stolen by other virtual machines in a minute that is judged by the clock. While 1 % was
/// stolen 3 frames of 3754 were late, at 4 % 150 were, and blocks took up to 28 ms: what is measured then is the neighbour.
const MAX_STOLEN_SHARE: f64 = 0.002;

/// Of the frames, in such a minute, too: half of them were late in the worst one that was seen, with the shortest deadline.
const MAX_LATE_SHARE_WHEN_STOLEN: f64 = 0.8;

/// Minutes that are tried; each is printed, and one without fault will do. A single bad minute of the machine's own may be the work of
/// another program on it, a second one is ours.
const MAX_MINUTES: usize = 3;
const MAX_OWN_FAULTS: usize = 1;

#[test]
fn a_minute_at_48_khz_in_blocks_of_256_is_never_late_with_any_model() {
    let bundle = open();
    for model in separators(&bundle) {
        let max_rtf = if model.starts_with("Live") { MAX_RTF_ON_AIR } else { MAX_RTF };
        a_minute_is_never_late(&model, max_rtf);
    }
    for model in asked(&bundle) {
        a_minute_is_never_late(&model, MAX_RTF_ASKED);
    }
    // Printed to tell the plugin's part of the slowest blocks from the machine's.
    lost_to_the_machine_us();
}

/// What one in a thousand turns of a loop in the plugin's place loses, µs.
fn lost_to_the_machine_us() -> f64 {
    let machine = yardstick(WORK, PERIOD, 30.0).wall();
    println!(
        "the machine itself, where nothing but a loop of 16 us runs in the plugin's place: median {:.0} us, p99 {:.0} us, p99.9 {:.0} us, \
         max {:.0} us",
        machine.p50_us, machine.p99_us, machine.p999_us, machine.max_us
    );
    machine.p999_us - machine.p50_us
}

fn a_minute_is_never_late(model: &str, max_rtf: f64) {
    let mut num_own_faults = 0;
    for _ in 0..MAX_MINUTES {
        match minute_at_48_khz_in_blocks_of_256(model, max_rtf) {
            Ok(()) => return,
            Err(Fault::Foreign(fault)) => println!("{fault}, while others had the processor"),
            Err(Fault::Own(fault)) => {
                println!("{fault}");
                num_own_faults += 1;
                assert!(
                    num_own_faults <= MAX_OWN_FAULTS,
                    "{num_own_faults} minutes were faulty; each is printed above"
                );
            }
        }
    }
    assert_eq!(num_own_faults, 0, "the only minute that was the machine's own was faulty; it is printed above");
    println!(
        "{model} NOT judged by the clock: other machines took the processor all the time, or other programs, for want of real-time \
         priority. Run this on a machine of your own, as a user who may have it"
    );
}

/// What was late or slow in a minute.
enum Fault {
    /// While the processor was another machine's, or that of programs which the worker may not go ahead of.
    Foreign(String),
    Own(String),
}

/// What is wrong with the clock is a fault of this minute. Anything else fails at once.
fn minute_at_48_khz_in_blocks_of_256(model: &str, max_rtf: f64) -> Result<(), Fault> {
    const RATE_HZ: f64 = 48_000.0;
    const BLOCK_SAMPLES: usize = 256;
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    let config = Config { rate_hz: RATE_HZ, max_block_samples: BLOCK_SAMPLES, num_channels: 2, offline: false };
    instance.configure(config).unwrap();
    instance.set("model", model).unwrap();
    let input = programme(2, (60.0 * RATE_HZ) as usize, RATE_HZ, 4);
    let rendering = Rendering {
        pace: Pace::RealTime,
        wait_for_model: true,
        blocks: BlockSizes::Fixed(BLOCK_SAMPLES),
        ..Rendering::new(&input, BLOCK_SAMPLES)
    };
    let before = StolenTime::so_far();
    let rendered = render(&bundle, &mut instance, &rendering).unwrap();
    let stolen_share = before.zip(StolenTime::so_far()).map_or(0.0, |(before, after)| after.share_since(before));
    let diagnostics = rendered.diagnostics.clone().unwrap();
    let engine = diagnostics.newest().unwrap();
    let (wall, cpu) = (rendered.timings.wall(), rendered.timings.cpu());
    let block_us = 1e6 * BLOCK_SAMPLES as f64 / RATE_HZ;
    println!(
        "{model}: {} blocks, {:?} priority: {} of {} frames late, {} calls dropped; model RTF {:.3}, longest call {:.1} ms; {:.2} % of the \
         processors' time stolen",
        rendered.timings.num_blocks(),
        rendered.priority,
        rendered.frames.num_late,
        rendered.frames.num,
        engine.num_dropped_calls,
        engine.rtf,
        engine.step_ms_max,
        100.0 * stolen_share,
    );
    println!(
        "process by the clock: p10 {:.0} us, median {:.0} us, p99 {:.0} us, p99.9 {:.0} us ({:.2} % of the block), max {:.0} us; \
         by processor time: p99 {:.0} us, p99.9 {:.0} us, max {:.0} us",
        wall.p10_us,
        wall.p50_us,
        wall.p99_us,
        wall.p999_us,
        100.0 * wall.p999_us / block_us,
        wall.max_us,
        cpu.p99_us,
        cpu.p999_us,
        cpu.max_us,
    );
    assert_eq!(engine.state, "running", "{}", engine.message);
    assert!(engine.num_steps > 0, "no call was counted");
    let num_frames = (input[0].len() / engine.hop_samples) as u64;
    assert!(rendered.frames.num >= num_frames, "60 s are {num_frames} frames, got {}", rendered.frames.num);
    assert_eq!(diagnostics.alloc_violations, 0);
    // Not even for a lock: what waits for another thread may wait for as long as that is not run.
    assert_eq!(rendered.timings.num_waits(), 0, "process waited for something");
    if cfg!(target_os = "linux") {
        let (num_watched, num_blocks) = (rendered.timings.num_watched_blocks(), rendered.timings.num_blocks());
        assert!(num_watched > num_blocks / 2, "of {num_blocks} blocks {num_watched} were watched");
    }
    let max_cpu_us = MAX_CPU_SHARE * block_us;
    assert!(cpu.p99_us < max_cpu_us, "expected p99 of process below {max_cpu_us:.0} us, got {:.0} us", cpu.p99_us);
    let is_raised = rendered.priority == Priority::RealTime;
    let is_stolen = stolen_share > MAX_STOLEN_SHARE;
    let of_worker = if is_stolen || !is_raised { Fault::Foreign } else { Fault::Own };
    let late_share = rendered.frames.num_late as f64 / rendered.frames.num as f64;
    assert!(late_share < MAX_LATE_SHARE_WHEN_STOLEN, "{:.0} % of all frames were late", 100.0 * late_share);
    if rendered.frames.num_late > 0 {
        return Err(of_worker(format!("expected no late frame, got {}", rendered.frames.num_late)));
    }
    if engine.rtf > max_rtf {
        return Err(of_worker(format!("expected an RTF of at most {max_rtf}, got {:.3}", engine.rtf)));
    }
    let fault = if is_stolen { Fault::Foreign } else { Fault::Own };
    // Without an audio thread's priority the clock also counts whatever else ran on the machine.
    let p999_us = if is_raised { wall.p999_us } else { cpu.p999_us };
    let max_us = (MAX_PROCESS_SHARE * block_us * (wall.p10_us / QUIET_P10_US).max(1.0)).min(max_cpu_us);
    let often_us = if is_raised { wall.p99_us } else { cpu.p99_us };
    let max_often_us = MAX_P99_SHARE * block_us;
    if often_us >= max_often_us {
        return Err(fault(format!("expected p99 of process below {max_often_us:.0} us, got {often_us:.0} us")));
    }
    if p999_us >= max_us {
        let max_us = max_us + MACHINE_ALLOWANCE * lost_to_the_machine_us();
        if p999_us >= max_us {
            return Err(fault(format!("expected p99.9 of process below {max_us:.0} us, got {p999_us:.0} us")));
        }
    }
    Ok(())
}

#[test]
fn a_further_instance_shares_everything_that_is_large() {
    let asked = asked(&open()).swap_remove(0);
    for (model, max_further_mb) in [(None, MAX_FURTHER_INSTANCE_MB), (Some(asked), MAX_FURTHER_ASKED_INSTANCE_MB)] {
        let scenario = Scenario {
            num_instances: 3,
            host: HostKind::RealTime,
            max_block_samples: 256,
            blocks: vec![256],
            params: model.map(|model| ("model".to_owned(), model)).into_iter().collect(),
            ..Scenario::new(bundle_file())
        };
        let outcome = probe(&scenario, &[]);
        let resident_mb = &outcome.resident_mb;
        println!("{}: resident with 1, 2, 3 instances: {resident_mb:.0?} MB", outcome.model);
        assert_eq!(outcome.state, "running", "{}", outcome.message);
        assert_eq!(outcome.alloc_violations, 0);
        if cfg!(target_os = "linux") {
            assert_eq!(resident_mb.len(), 3);
            assert!(resident_mb[0] < MAX_RESIDENT_MB, "{resident_mb:?} MB");
            for pair in resident_mb.windows(2) {
                assert!(pair[1] - pair[0] < max_further_mb, "{}: {resident_mb:?} MB", outcome.model);
            }
        }
    }
}

#[test]
fn an_instance_that_hears_silence_costs_no_inference() {
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    let config = Config { rate_hz: 48_000.0, max_block_samples: 256, num_channels: 2, offline: false };
    instance.configure(config).unwrap();
    let silence = vec![vec![0.0; 3 * 48_000]; 2];
    let rendering = Rendering { pace: Pace::RealTime, wait_for_model: true, ..Rendering::new(&silence, 256) };
    let rendered = render(&bundle, &mut instance, &rendering).unwrap();
    let engine = rendered.diagnostics.as_ref().and_then(|d| d.newest().cloned()).unwrap();
    assert_eq!(engine.state, "running", "{}", engine.message);
    assert!(rendered.tape.main.iter().flatten().all(|x| *x == 0.0), "silence in, something out");
    assert_eq!(engine.num_steps, 0, "calls on silence");
    assert_eq!(rendered.frames.num_late, 0);
}
