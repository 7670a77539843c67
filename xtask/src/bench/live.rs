//! What instances cost a host in real time.

use anyhow::{Result, ensure};
use cpu_time::ProcessTime;
use host_tests::{Bundle, Config, Instance, Processor, StolenTime, Timings, raise_to_real_time, signals};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BLOCK_SAMPLES: usize = 512;
/// Far more than any host has.
const MOST: usize = 1024;
const LOADING_LIMIT: Duration = Duration::from_mins(2);
/// After all have loaded: the queues settle.
const SETTLING: Duration = Duration::from_secs(1);

/// Who plays.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// Stereo instances, shared among one audio thread per processor, as a host does it.
    pub num_instances: usize,
    /// The host's rate, Hz, in blocks of 512.
    pub host_rate_hz: u32,
    /// Programs beside them that never rest.
    pub num_busy_threads: usize,
}

impl Load {
    /// At 48 kHz on a machine that does nothing else.
    pub fn of(num_instances: usize) -> Self {
        Self { num_instances, host_rate_hz: 48_000, num_busy_threads: 0 }
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Live {
    /// Who played.
    #[serde(flatten)]
    pub load: Load,
    /// Where all of them ran; `mixed` where not all on one.
    pub device: String,
    /// Latency that each reported; the longest, where they have several.
    pub latency_ms: f64,
    /// Frames in all.
    pub num_frames: u64,
    /// Those of them whose mask came too late.
    pub num_late_frames: u64,
    /// Seconds of a processor per second of one instance's audio, its audio thread, its worker and its share of this program's rest; none beside busy
    /// programs, whose time cannot be told from it.
    pub rtf: Option<f64>,
    /// Mean time of a call on the worker threads.
    pub step_ms_mean: f64,
    /// Part of the deadline that the slowest call of about the last ten seconds left over, of any instance.
    pub headroom_percent: f64,
    /// Part of its deadline in which 99 % of the calls had their masks, from being handed over, of all instances, in steps of 2.5; none without calls.
    pub deadline_percent_p99: Option<f64>,
    /// One instance's `process`: 99.9 % of the blocks took less of their period.
    pub audio_thread_percent_p999: f64,
    /// Part of the processors' time that other machines on the same hardware took meanwhile; none where the system does not say.
    pub stolen_percent: Option<f64>,
}

/// A play in which more than this was stolen says nothing about the plugin if frames were late in it, percent.
const STOLEN_LIMIT_PERCENT: f64 = 0.2;
/// Such a play is repeated; the last one counts as it is.
const NUM_TRIES: usize = 3;

/// How many instances at 48 kHz keep up for `seconds` without a late frame: doubled until one is late, then halved in between.
pub fn instances(bundle: &Bundle, params: Params<'_>, seconds: f64) -> Result<usize> {
    let holds = |num: usize| -> Result<bool> {
        for _ in 0..NUM_TRIES {
            let live = play_all(bundle, &[params], Load::of(num), seconds)?;
            let stolen_percent = live.stolen_percent.unwrap_or(0.0);
            let late = live.num_late_frames;
            eprintln!(
                "  {num} instances: {late} frames late in {seconds:.0} s, {stolen_percent:.1} % of the time stolen"
            );
            if late == 0 {
                return Ok(true);
            }
            if stolen_percent <= STOLEN_LIMIT_PERCENT {
                break;
            }
        }
        Ok(false)
    };
    let (mut good, mut bad) = (0, 1);
    while bad <= MOST && holds(bad)? {
        (good, bad) = (bad, 2 * bad);
    }
    while bad - good > 1 && bad <= MOST {
        let middle = good.midpoint(bad);
        if holds(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(good)
}

/// What an instance is set to: ids of params, and texts.
pub type Params<'a> = [(&'a str, &'a str); 2];

/// Lets them play for `seconds`, set to each of `kinds` in turn.
pub fn play_all(bundle: &Bundle, kinds: &[Params<'_>], load: Load, seconds: f64) -> Result<Live> {
    let mut instances = Vec::with_capacity(load.num_instances);
    let mut processors = Vec::with_capacity(load.num_instances);
    for (_, params) in (0..load.num_instances).zip(kinds.iter().cycle()) {
        let mut instance = bundle.create(None)?;
        instance.configure(Config {
            rate_hz: f64::from(load.host_rate_hz),
            max_block_samples: BLOCK_SAMPLES,
            num_channels: 2,
            offline: false,
        })?;
        for (param, value) in params {
            instance.set(param, value)?;
        }
        let mut processor = instance.activate()?;
        processor.start()?;
        instances.push(instance);
        processors.push(processor);
    }
    let num_threads = num_processors().min(load.num_instances);
    let mut shares: Vec<Vec<Processor>> = (0..num_threads).map(|_| Vec::new()).collect();
    for (idx, processor) in processors.into_iter().enumerate() {
        shares[idx % num_threads].push(processor);
    }
    let stage = AtomicStage::default();
    std::thread::scope(|scope| -> Result<Live> {
        for _ in 0..load.num_busy_threads {
            scope.spawn(|| {
                while !stage.is_over() {
                    std::hint::spin_loop();
                }
            });
        }
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let stage = &stage;
                scope.spawn(move || play(share, load.host_rate_hz, seconds, stage))
            })
            .collect();
        let counted = listen(bundle, &mut instances, load, seconds, &stage);
        stage.end();
        let (mut played, mut timings) = (Vec::new(), Timings::default());
        for thread in threads {
            let (share, its_timings) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            played.extend(share);
            timings.append(&its_timings);
        }
        // Each its own: clack panics on another's.
        for (instance, mut processor) in instances.iter_mut().zip(in_order(played, num_threads)) {
            processor.stop()?;
            instance.deactivate(processor);
        }
        let period_us = 1e6 * BLOCK_SAMPLES as f64 / f64::from(load.host_rate_hz);
        Ok(Live { audio_thread_percent_p999: 100.0 * timings.wall().p999_us / period_us, ..counted? })
    })
}

/// Processors of this machine.
pub fn num_processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How far the play is: models load, then what happens counts, then it is over.
#[derive(Default)]
struct AtomicStage {
    counts: AtomicBool,
    is_over: AtomicBool,
}

impl AtomicStage {
    fn begin(&self) {
        self.counts.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn counts(&self) -> bool {
        self.counts.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// What the shares had, one share after the other, in the order in which it was dealt out: `idx` to share `idx % num_shares`.
fn in_order<T>(dealt: Vec<T>, num_shares: usize) -> Vec<T> {
    let num = dealt.len();
    let order = (0..num_shares).flat_map(|share| (share..num).step_by(num_shares));
    let mut numbered: Vec<_> = order.zip(dealt).collect();
    numbered.sort_by_key(|(idx, _)| *idx);
    numbered.into_iter().map(|(_, item)| item).collect()
}

/// Waits for the models, lets time pass, and says what was counted in it; the audio threads' times are not known here.
fn listen(bundle: &Bundle, instances: &mut [Instance], load: Load, seconds: f64, stage: &AtomicStage) -> Result<Live> {
    let mut pump = |until: &dyn Fn() -> Result<bool>| -> Result<()> {
        while !until()? {
            for instance in &mut *instances {
                instance.pump();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    };
    let asked = Instant::now();
    pump(&|| {
        let is_settled = bundle.diagnostics()?.instances.iter().all(host_tests::InstanceDiagnostics::is_settled);
        ensure!(is_settled || asked.elapsed() < LOADING_LIMIT, "a model did not load");
        Ok(is_settled)
    })?;
    // One without its model is never late, either.
    for instance in &bundle.diagnostics()?.instances {
        ensure!(instance.state == "running", "an instance separates nothing: {}", instance.message);
    }
    // What was late while models loaded does not count.
    let settled = Instant::now();
    pump(&|| Ok(settled.elapsed() > SETTLING))?;
    let before = bundle.diagnostics()?.instances;
    stage.begin();
    let stolen_before = StolenTime::so_far();
    let (from, computing) = (Instant::now(), ProcessTime::now());
    pump(&|| Ok(from.elapsed().as_secs_f64() > seconds))?;
    let of_processors = computing.elapsed().as_secs_f64() / from.elapsed().as_secs_f64();
    let stolen_percent = super::stolen_percent_since(stolen_before);
    let after = bundle.diagnostics()?.instances;
    ensure!(!after.is_empty(), "no instance is alive");
    let latency_ms =
        |instance: &host_tests::InstanceDiagnostics| 1e3 * instance.latency_samples as f64 / instance.host_rate_hz;
    let gained = |count: fn(&host_tests::InstanceDiagnostics) -> u64| {
        after.iter().map(count).sum::<u64>().saturating_sub(before.iter().map(count).sum())
    };
    Ok(Live {
        load,
        device: common_device(&after),
        latency_ms: after.iter().map(latency_ms).fold(0.0, f64::max),
        num_frames: gained(|instance| instance.num_frames),
        num_late_frames: gained(|instance| instance.num_late_frames),
        rtf: (load.num_busy_threads == 0).then(|| of_processors / after.len() as f64),
        step_ms_mean: after.iter().map(|instance| instance.step_ms_mean).sum::<f64>() / after.len() as f64,
        deadline_percent_p99: deadline_percent(&before, &after, 0.99),
        headroom_percent: 100.0 * after.iter().map(|instance| instance.headroom).fold(1.0, f64::min),
        audio_thread_percent_p999: f64::NAN,
        stolen_percent,
    })
}

/// Part of its deadline, percent, in which `share` of the calls between two looks had their masks; above 100 where they were too late.
fn deadline_percent(
    before: &[host_tests::InstanceDiagnostics],
    after: &[host_tests::InstanceDiagnostics],
    share: f64,
) -> Option<f64> {
    let num_steps = after.iter().map(|instance| instance.num_deliveries.len()).max()?;
    let sum = |instances: &[host_tests::InstanceDiagnostics], step: usize| -> u64 {
        instances.iter().filter_map(|instance| instance.num_deliveries.get(step)).sum()
    };
    let counts: Vec<u64> = (0..num_steps).map(|step| sum(after, step).saturating_sub(sum(before, step))).collect();
    let wanted = (share * counts.iter().sum::<u64>() as f64).ceil() as u64;
    let mut so_far = 0;
    let step = counts.iter().position(|count| {
        so_far += count;
        so_far >= wanted.max(1)
    })?;
    Some(100.0 * (step + 1) as f64 / (num_steps - 1) as f64)
}

fn common_device(instances: &[host_tests::InstanceDiagnostics]) -> String {
    let first = instances.first().map(|instance| instance.device.as_str()).unwrap_or_default();
    let is_common = instances.iter().all(|instance| instance.device == first);
    if is_common { first } else { "mixed" }.to_owned()
}

/// An audio thread: a block of every instance per block period, until told to stop.
fn play(
    mut share: Vec<Processor>,
    rate_hz: u32,
    seconds: f64,
    stage: &AtomicStage,
) -> Result<(Vec<Processor>, Timings)> {
    // Where the system does not grant it, what is measured is what a host without it would have.
    let _ = raise_to_real_time();
    let noise = signals::noise(2, 64 * BLOCK_SAMPLES, 0.2, 7);
    let block_s = BLOCK_SAMPLES as f64 / f64::from(rate_hz);
    let mut timings = Timings::with_capacity(((seconds + 10.0) / block_s) as usize * share.len());
    let began = Instant::now();
    for block_idx in 0.. {
        if stage.is_over() {
            break;
        }
        let due = began + Duration::from_secs_f64(f64::from(block_idx) * block_s);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let at = (block_idx % 64) as usize * BLOCK_SAMPLES;
        for processor in &mut share {
            for bus in processor.inputs_mut(BLOCK_SAMPLES).iter_mut() {
                for channel_idx in 0..bus.num_channels() {
                    let source = &noise[channel_idx % 2][at..at + BLOCK_SAMPLES];
                    bus.channel_mut(channel_idx)[..BLOCK_SAMPLES].copy_from_slice(source);
                }
            }
            processor.process(BLOCK_SAMPLES, &[])?;
            if stage.counts() {
                timings.push(processor.last_wall(), processor.last_cpu());
            }
        }
    }
    Ok((share, timings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_the_deadline_is_that_of_the_calls_between_two_looks() {
        let of = |num_deliveries: &[u64]| host_tests::InstanceDiagnostics {
            num_deliveries: num_deliveries.into(),
            ..Default::default()
        };
        // In quarters: all of before were late.
        let before = [of(&[0, 0, 0, 0, 50]), of(&[0; 5])];
        let after = [of(&[90, 0, 5, 0, 50]), of(&[0, 0, 4, 1, 0])];
        assert_eq!(deadline_percent(&before, &after, 0.9), Some(25.0));
        assert_eq!(deadline_percent(&before, &after, 0.99), Some(75.0));
        assert_eq!(deadline_percent(&before, &after, 1.0), Some(100.0));
        assert_eq!(deadline_percent(&before, &before, 0.99), None);
    }

    #[test]
    fn what_was_dealt_out_comes_back_in_order() {
        assert_eq!(in_order(vec![0, 3, 6, 1, 4, 2, 5], 3), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(in_order(vec!['a', 'b'], 1), ['a', 'b']);
    }
}
