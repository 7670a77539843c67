//! Beside a machine that is busy otherwise, for as long as it takes: time never shifts, every late frame is counted, nothing grows.

mod common;

use common::{EXACT_DB, End, open};
use host_tests::signals::{Random, programme};
use host_tests::{
    Bundle, Config, Instance, Priority, Processor, StolenTime, largest, raise_to_real_time, resident_bytes,
    wait_until_loaded,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Minutes of the soak; set it to 10 for the whole one.
const MINUTES_VARIABLE: &str = "UNDERSCORE_SOAK_MINUTES";
const DEFAULT_MINUTES: f64 = 0.5;

const RATE_HZ: f64 = 48_000.0;
const MAX_BLOCK_SAMPLES: usize = 512;
/// Four that separate, and one of the model `Identity`, of which what is separated is known to the sample.
const NUM_INSTANCES: usize = 5;
const OF_IDENTITY: usize = 4;

/// The programme comes again and again.
const LOOP_SAMPLES: usize = 480_000;
/// On top of it a sample sticks out, so often.
const IMPULSE_EVERY_SAMPLES: usize = 11_003;
const IMPULSE: f32 = 0.25;

/// Once the other work is over: a queue takes a moment to empty.
const RECOVERY_S: f64 = 2.0;
const CALM_S: f64 = 8.0;

/// Part of the time that other machines may take from a calm that is judged.
const MAX_STOLEN_SHARE: f64 = 0.002;

/// What the process may gain between the first minute (or the first third of a shorter soak) and the end.
const MAX_GROWTH_MB: f64 = 8.0;

/// Input, one channel: a function of the time alone.
fn input(loop_of: &[f32], at_samples: usize) -> f32 {
    let impulse = if at_samples.is_multiple_of(IMPULSE_EVERY_SAMPLES) { IMPULSE } else { 0.0 };
    loop_of[at_samples % LOOP_SAMPLES] + impulse
}

/// What one instance's audio thread saw.
#[derive(Debug, Default)]
struct Heard {
    /// Whether the system granted the thread an audio thread's priority.
    is_raised: bool,
    num_samples: usize,
    /// Largest difference of a sum of stems from the delayed input.
    worst: f32,
    /// Impulses that came out where they belong, of all stems together.
    num_impulses: usize,
    /// The same of the first stem alone: of `Identity`, which gives it all that there is.
    num_impulses_of_first: usize,
}

/// Plays until told to stop, in blocks of any size, and compares every sample that comes out.
fn play(
    processor: &mut Processor,
    latency_samples: usize,
    seed: u64,
    sound: &[Vec<f32>],
    is_over: &AtomicBool,
) -> Heard {
    let mut random = Random::new(seed);
    // Where the system does not grant it, blocks come late by the clock, and nothing else changes.
    let mut heard = Heard { is_raised: raise_to_real_time() == Priority::RealTime, ..Heard::default() };
    let start = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        let begin = heard.num_samples;
        let due = start + Duration::from_secs_f64(begin as f64 / RATE_HZ);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let num_samples = 1 + random.up_to(MAX_BLOCK_SAMPLES - 1);
        for bus in processor.inputs_mut(num_samples).iter_mut().filter(|bus| bus.is_main()) {
            for (channel_idx, loop_of) in sound.iter().enumerate() {
                for (idx, sample) in bus.channel_mut(channel_idx)[..num_samples].iter_mut().enumerate() {
                    *sample = input(loop_of, begin + idx);
                }
            }
        }
        processor.process(num_samples, &[]).expect("a block");
        for (channel_idx, loop_of) in sound.iter().enumerate() {
            for idx in 0..num_samples {
                let sum: f32 = processor.outputs().aux().map(|bus| bus.channel(channel_idx)[idx]).sum();
                let first = processor.outputs().aux().next().map_or(0.0, |bus| bus.channel(channel_idx)[idx]);
                let expected = (begin + idx).checked_sub(latency_samples).map_or(0.0, |at| input(loop_of, at));
                let difference = (sum - expected).abs();
                heard.worst = largest([heard.worst, difference]);
                let is_impulse = (begin + idx)
                    .checked_sub(latency_samples)
                    .is_some_and(|at| at.is_multiple_of(IMPULSE_EVERY_SAMPLES));
                heard.num_impulses += usize::from(is_impulse && channel_idx == 0 && difference < 1e-5);
                let is_in_first = (first - expected).abs() < 1e-4;
                heard.num_impulses_of_first += usize::from(is_impulse && channel_idx == 0 && is_in_first);
            }
        }
        heard.num_samples += num_samples;
    }
    heard
}

/// What the whole process saw.
struct Soaked {
    heard: Vec<Heard>,
    late_while_busy: u64,
    late_when_calm: u64,
    /// Of the processors' time in the calm, by other machines.
    stolen_share: f64,
    /// Workers that the system runs ahead of ordinary threads.
    num_raised: usize,
    growth_mb: Option<f64>,
}

/// Worker threads with a real-time policy (proc(5), fields 2 and 41 of a task's `stat`).
fn num_raised_workers() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let is_raised = |rest: &str| rest.split_whitespace().nth(38).is_some_and(|policy| policy == "1" || policy == "2");
    stats
        .filter(|stat| stat.rsplit_once(')').is_some_and(|(name, rest)| name.contains("underscore") && is_raised(rest)))
        .count()
}

/// Plays all instances beside as many busy threads as there are processors, then for a while without them.
fn soak(bundle: &Bundle, instances: &mut [Instance], processors: &mut [Processor], seconds: f64) -> Soaked {
    let sound = programme(2, LOOP_SAMPLES, RATE_HZ, 5);
    let latencies: Vec<usize> = instances.iter_mut().map(Instance::latency_samples).collect();
    let late = || bundle.diagnostics().unwrap().instances.iter().map(|engine| engine.num_late_frames).sum::<u64>();
    let mut pump = |seconds: f64| {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < until {
            for instance in &mut *instances {
                instance.pump();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let (is_over, is_calm) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Whatever fails below, the threads come to an end.
        let _ends = [End(&is_over), End(&is_calm)];
        for _ in 0..num_hogs() {
            scope.spawn(|| {
                let mut random = Random::new(9);
                while !is_calm.load(Ordering::Relaxed) {
                    std::hint::black_box(random.next_u64());
                }
            });
        }
        let players: Vec<_> = processors
            .iter_mut()
            .zip(0..)
            .zip(latencies)
            .map(|((processor, seed), latency_samples)| {
                let (sound, is_over) = (&sound, &is_over);
                scope.spawn(move || play(processor, latency_samples, seed, sound, is_over))
            })
            .collect();
        let late_before = late();
        let warm_s = (seconds / 3.0).min(60.0);
        pump(warm_s);
        let warm_bytes = resident_bytes();
        pump(seconds - warm_s);
        let (end_bytes, late_while_busy) = (resident_bytes(), late() - late_before);
        is_calm.store(true, Ordering::Relaxed);
        pump(RECOVERY_S);
        let (late_at_rest, stolen_before) = (late(), StolenTime::so_far());
        pump(CALM_S);
        let late_when_calm = late() - late_at_rest;
        let stolen_share = stolen_before.zip(StolenTime::so_far()).map_or(0.0, |(before, now)| now.share_since(before));
        let num_raised = num_raised_workers();
        is_over.store(true, Ordering::Relaxed);
        let heard = players.into_iter().map(|player| player.join().expect("an audio thread")).collect();
        let growth_mb = warm_bytes.zip(end_bytes).map(|(warm, end)| (end as f64 - warm as f64) / 1e6);
        Soaked { heard, late_while_busy, late_when_calm, stolen_share, num_raised, growth_mb }
    })
}

fn num_hogs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn instances_in_blocks_of_any_size_beside_busy_processors() {
    let minutes = std::env::var(MINUTES_VARIABLE).map_or(DEFAULT_MINUTES, |text| {
        text.parse().unwrap_or_else(|_| panic!("{MINUTES_VARIABLE}: expected minutes, got {text}"))
    });
    let bundle = open();
    let (mut instances, mut processors) = (Vec::new(), Vec::new());
    for instance_idx in 0..NUM_INSTANCES {
        let mut instance = bundle.create(None).unwrap();
        let config = Config { rate_hz: RATE_HZ, max_block_samples: MAX_BLOCK_SAMPLES, num_channels: 2, offline: false };
        instance.configure(config).unwrap();
        if instance_idx == OF_IDENTITY {
            instance.set("model", "identity").unwrap();
        }
        let mut processor = instance.activate().unwrap();
        processor.start().unwrap();
        wait_until_loaded(&bundle, &mut instance, &mut processor, Duration::from_mins(2)).unwrap();
        instances.push(instance);
        processors.push(processor);
    }
    let frames_before: Vec<u64> = bundle.diagnostics().unwrap().instances.iter().map(|e| e.num_frames).collect();
    let soaked = soak(&bundle, &mut instances, &mut processors, 60.0 * minutes);
    let diagnostics = bundle.diagnostics().unwrap();
    let latencies: Vec<usize> = instances.iter_mut().map(Instance::latency_samples).collect();
    for (instance, mut processor) in instances.iter_mut().zip(processors) {
        processor.stop().unwrap();
        instance.deactivate(processor);
    }

    let worst = largest(soaked.heard.iter().map(|heard| heard.worst));
    let worst_db = 20.0 * f64::from(largest([1e-10, worst])).log10();
    println!("{} of the workers ahead of ordinary threads", soaked.num_raised);
    println!(
        "{minutes} minutes, {NUM_INSTANCES} instances beside {} busy threads: {} frames late, {} in {CALM_S} s without them; \
         stems within {worst_db:.1} dBFS of the delayed input; memory {:+.1} MB",
        num_hogs(),
        soaked.late_while_busy,
        soaked.late_when_calm,
        soaked.growth_mb.unwrap_or(f64::NAN),
    );
    for (idx, (heard, engine)) in soaked.heard.iter().zip(&diagnostics.instances).enumerate() {
        let (latency_samples, frames_before) = (latencies[idx], frames_before[idx]);
        let num_frames = engine.num_frames - frames_before;
        println!(
            "  {}, {:.0} s: {} impulses in place, {} in the first stem, {num_frames} frames, {} late, {} calls dropped, longest call {:.1} ms of a \
             deadline of {:.0} ms",
            engine.model,
            heard.num_samples as f64 / RATE_HZ,
            heard.num_impulses,
            heard.num_impulses_of_first,
            engine.num_late_frames,
            engine.num_dropped_calls,
            engine.step_ms_max,
            1e3 * engine.deadline_samples as f64 / RATE_HZ,
        );
        assert_eq!(engine.state, "running", "{}", engine.message);
        // As many as have begun to play: those of the last window are still to end.
        let played_samples = heard.num_samples.saturating_sub(latency_samples) as u64;
        let due_frames = played_samples.div_ceil(engine.hop_samples as u64);
        assert!(
            (due_frames..due_frames + 5).contains(&num_frames),
            "expected {due_frames} frames or a window's more, got {num_frames}"
        );
        let due_impulses = heard.num_samples.saturating_sub(latency_samples).div_ceil(IMPULSE_EVERY_SAMPLES);
        assert_eq!(heard.num_impulses, due_impulses, "impulses out of place");
        assert_eq!(engine.model == "identity", idx == OF_IDENTITY);
        if idx == OF_IDENTITY && engine.num_late_frames == 0 {
            assert_eq!(
                heard.num_impulses_of_first, due_impulses,
                "impulses out of place in the stem that has all of them"
            );
        }
    }
    assert!(worst_db <= EXACT_DB, "the stems do not sum to the delayed input");
    assert_eq!(diagnostics.alloc_violations, 0);
    let is_raised = soaked.heard.iter().all(|heard| heard.is_raised);
    if soaked.stolen_share < MAX_STOLEN_SHARE && is_raised {
        assert_eq!(soaked.late_when_calm, 0, "it did not recover");
        if cfg!(target_os = "linux") {
            assert_eq!(soaked.num_raised, NUM_INSTANCES, "workers wait behind ordinary threads");
        }
    } else {
        let stolen_percent = 100.0 * soaked.stolen_share;
        println!("late frames NOT judged: real-time priority {is_raised}, {stolen_percent:.2} % of the time stolen");
    }
    if let Some(growth_mb) = soaked.growth_mb {
        assert!(growth_mb < MAX_GROWTH_MB, "{growth_mb:.1} MB more than after the beginning");
    }
}
