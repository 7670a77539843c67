//! Beside the clock: nothing late, nothing slow, nothing allocated, and little memory.

mod common;

use common::{bundle_file, open, probe};
use host_tests::probe::{HostKind, Scenario};
use host_tests::{BlockSizes, Config, Pace, Priority, Rendering, render, signals::programme};

const MAX_PROCESS_SHARE: f64 = 0.03;
const MAX_RESIDENT_MB: f64 = 400.0;
const MAX_SECOND_INSTANCE_MB: f64 = 30.0;

/// The median block only moves samples and makes no hop: it is the yardstick of the machine itself. On the two kinds of machine
/// that it was measured on it takes 10 to 14 us when nothing else runs, and on one whose cores are shared with other machines
/// 15 to 24 us, when the same build's p99.9 went from 138 to 190 and 270 us. A minute with a slower median is judged by the ratio
/// of both, which was 10 to 16 throughout, and by its late frames. A median that is slow by our own fault meets the last limit.
const QUIET_MEDIAN_US: f64 = 14.0;
const MAX_RATIO_WHEN_SLOWED: f64 = 20.0;
const MAX_MEDIAN_US: f64 = 40.0;

/// Minutes that another program of the machine may spoil. Every one is printed; one that is not spoilt must be without fault.
const MAX_MINUTES: usize = 3;

#[test]
fn a_minute_at_48_khz_in_blocks_of_256_is_never_late() {
    let mut had_slowed_one_without_fault = false;
    for _ in 0..MAX_MINUTES {
        match minute_at_48_khz_in_blocks_of_256() {
            Ok(Judged::Whole) => return,
            Ok(Judged::RatioOnly) => had_slowed_one_without_fault = true,
            Err(fault) => println!("{fault}"),
        }
    }
    assert!(had_slowed_one_without_fault, "no minute of {MAX_MINUTES} was without fault; each is printed above");
}

/// How much of a minute without fault could be judged.
enum Judged {
    Whole,
    /// The machine was slowed from outside: see `QUIET_MEDIAN_US`.
    RatioOnly,
}

/// What was late or slow. Anything else that is wrong fails at once.
fn minute_at_48_khz_in_blocks_of_256() -> Result<Judged, String> {
    const RATE_HZ: f64 = 48_000.0;
    const BLOCK_SAMPLES: usize = 256;
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    let config = Config { rate_hz: RATE_HZ, max_block_samples: BLOCK_SAMPLES, num_channels: 2, offline: false };
    instance.configure(config).unwrap();
    let input = programme(2, (60.0 * RATE_HZ) as usize, RATE_HZ, 4);
    let rendering = Rendering {
        pace: Pace::RealTime,
        wait_for_model: true,
        blocks: BlockSizes::Fixed(BLOCK_SAMPLES),
        ..Rendering::new(&input, BLOCK_SAMPLES)
    };
    let rendered = render(&bundle, &mut instance, &rendering).unwrap();
    let diagnostics = rendered.diagnostics.clone().unwrap();
    let engine = diagnostics.newest().unwrap();
    let (wall, cpu) = (rendered.timings.wall(), rendered.timings.cpu());
    let block_us = 1e6 * BLOCK_SAMPLES as f64 / RATE_HZ;
    println!(
        "{} blocks, {:?} priority: {} of {} frames late, {} calls dropped; model RTF {:.3}, longest call {:.1} ms",
        rendered.timings.num_blocks(),
        rendered.priority,
        rendered.frames.num_late,
        rendered.frames.num,
        engine.num_dropped_calls,
        engine.rtf,
        engine.step_ms_max,
    );
    println!(
        "process by the clock: median {:.0} us, p99 {:.0} us, p99.9 {:.0} us ({:.2} % of the block), max {:.0} us; \
         by processor time: p99.9 {:.0} us, max {:.0} us",
        wall.p50_us,
        wall.p99_us,
        wall.p999_us,
        100.0 * wall.p999_us / block_us,
        wall.max_us,
        cpu.p999_us,
        cpu.max_us,
    );
    assert_eq!(engine.state, "running", "{}", engine.message);
    let num_frames = (input[0].len() / engine.hop_samples) as u64;
    assert!(rendered.frames.num >= num_frames, "60 s are {num_frames} frames, got {}", rendered.frames.num);
    assert_eq!(diagnostics.alloc_violations, 0);
    if rendered.frames.num_late > 0 {
        return Err(format!("expected no late frame, got {}", rendered.frames.num_late));
    }
    // Without an audio thread's priority the clock also counts whatever else ran on the machine.
    let p999_us = if rendered.priority == Priority::RealTime { wall.p999_us } else { cpu.p999_us };
    assert!(
        wall.p50_us < MAX_MEDIAN_US,
        "the median block takes {:.0} us, expected below {MAX_MEDIAN_US} us",
        wall.p50_us
    );
    if wall.p50_us > QUIET_MEDIAN_US {
        println!(
            "the machine is slowed from outside: p99.9 is judged by its ratio to the median, {:.1}",
            p999_us / wall.p50_us
        );
        return if p999_us < MAX_RATIO_WHEN_SLOWED * wall.p50_us {
            Ok(Judged::RatioOnly)
        } else {
            Err(format!("expected p99.9 of process below {MAX_RATIO_WHEN_SLOWED} medians, got {p999_us:.0} us"))
        };
    }
    if p999_us >= MAX_PROCESS_SHARE * block_us {
        return Err(format!(
            "expected p99.9 of process below {:.0} us, got {p999_us:.0} us",
            MAX_PROCESS_SHARE * block_us
        ));
    }
    Ok(Judged::Whole)
}

#[test]
fn a_second_instance_shares_everything_that_is_large() {
    let scenario = Scenario {
        num_instances: 3,
        host: HostKind::RealTime,
        max_block_samples: 256,
        blocks: vec![256],
        ..Scenario::new(bundle_file())
    };
    let outcome = probe(&scenario, &[]);
    let resident_mb = &outcome.resident_mb;
    println!("resident with 1, 2, 3 instances: {resident_mb:.0?} MB");
    assert_eq!(outcome.alloc_violations, 0);
    if cfg!(target_os = "linux") {
        assert_eq!(resident_mb.len(), 3);
        assert!(resident_mb[0] < MAX_RESIDENT_MB, "{resident_mb:?} MB");
        for pair in resident_mb.windows(2) {
            assert!(pair[1] - pair[0] < MAX_SECOND_INSTANCE_MB, "{resident_mb:?} MB");
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
    println!("silence: model RTF {:.4}, state {}", engine.rtf, engine.state);
    assert!(rendered.main.iter().flatten().all(|x| *x == 0.0), "silence in, something out");
    assert!(engine.rtf < 0.02, "RTF {} on silence", engine.rtf);
    assert_eq!(rendered.frames.num_late, 0);
}
