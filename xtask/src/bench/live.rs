//! What instances cost a host in real time.

use anyhow::{Context, Result, ensure};
use host_tests::{Bundle, Config, Instance, Processor, raise_to_real_time, signals};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RATE_HZ: f64 = 48_000.0;
const BLOCK_SAMPLES: usize = 512;
/// No host has more.
const MOST: usize = 64;
const LOADING_LIMIT: Duration = Duration::from_mins(2);

/// How many stereo instances at 48 kHz / 512 keep up for `seconds` without a late frame: doubled until one is late, then halved
/// in between.
pub fn instances(bundle: &Bundle, params: &[(&str, &str)], seconds: f64) -> Result<usize> {
    let holds = |num: usize| -> Result<bool> {
        let late = late_frames(bundle, params, num, seconds)?;
        eprintln!("  {num} instances: {late} frames late in {seconds:.0} s");
        Ok(late == 0)
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

/// Late frames of `num` instances, shared among one audio thread per processor, as a host does it.
fn late_frames(bundle: &Bundle, params: &[(&str, &str)], num: usize, seconds: f64) -> Result<u64> {
    let mut instances = Vec::with_capacity(num);
    let mut processors = Vec::with_capacity(num);
    for _ in 0..num {
        let mut instance = bundle.create(None)?;
        instance.configure(Config {
            rate_hz: RATE_HZ,
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
    let num_threads = std::thread::available_parallelism().map_or(1, usize::from).min(num);
    let mut shares: Vec<Vec<Processor>> = (0..num_threads).map(|_| Vec::new()).collect();
    for (idx, processor) in processors.into_iter().enumerate() {
        shares[idx % num_threads].push(processor);
    }
    let is_over = AtomicBool::new(false);
    let counted = std::thread::scope(|scope| -> Result<u64> {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let is_over = &is_over;
                scope.spawn(move || play(share, is_over))
            })
            .collect();
        let counted = listen(bundle, &mut instances, seconds);
        is_over.store(true, Ordering::Relaxed);
        let mut played = Vec::new();
        for thread in threads {
            played.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        // Each its own: clack panics on another's.
        for (instance, mut processor) in instances.iter_mut().zip(in_order(played, num_threads)) {
            processor.stop()?;
            instance.deactivate(processor);
        }
        counted
    })?;
    Ok(counted)
}

/// What the shares had, one share after the other, in the order in which it was dealt out: `idx` to share `idx % num_shares`.
fn in_order<T>(dealt: Vec<T>, num_shares: usize) -> Vec<T> {
    let num = dealt.len();
    let order = (0..num_shares).flat_map(|share| (share..num).step_by(num_shares));
    let mut numbered: Vec<_> = order.zip(dealt).collect();
    numbered.sort_by_key(|(idx, _)| *idx);
    numbered.into_iter().map(|(_, item)| item).collect()
}

/// Waits for the models, lets time pass, and says how many frames were late in it.
fn listen(bundle: &Bundle, instances: &mut [Instance], seconds: f64) -> Result<u64> {
    let late = || -> Result<u64> { Ok(bundle.diagnostics()?.instances.iter().map(|i| i.num_late_frames).sum()) };
    let began = Instant::now();
    let mut pump = |until: &dyn Fn() -> Result<bool>| -> Result<()> {
        while !until()? {
            for instance in &mut *instances {
                instance.pump();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    };
    pump(&|| {
        let diagnostics = bundle.diagnostics()?;
        let waiting = diagnostics.instances.iter().find(|instance| !instance.is_settled());
        let patience = began.elapsed() < LOADING_LIMIT;
        waiting.is_none_or(|_| patience).then_some(()).context("a model did not load")?;
        Ok(waiting.is_none())
    })?;
    // One without its model is never late, either.
    for instance in &bundle.diagnostics()?.instances {
        ensure!(instance.state == "running", "an instance separates nothing: {}", instance.message);
    }
    // What was late while models loaded does not count; a second lets the queues settle.
    let settled = Instant::now();
    pump(&|| Ok(settled.elapsed() > Duration::from_secs(1)))?;
    let before = late()?;
    let from = Instant::now();
    pump(&|| Ok(from.elapsed().as_secs_f64() > seconds))?;
    Ok(late()?.saturating_sub(before))
}

/// An audio thread: a block of every instance per block period, until told to stop.
fn play(mut share: Vec<Processor>, is_over: &AtomicBool) -> Result<Vec<Processor>> {
    // Where the system does not grant it, what is measured is what a host without it would have.
    let _ = raise_to_real_time();
    let noise = signals::noise(2, 64 * BLOCK_SAMPLES, 0.2, 7);
    let began = Instant::now();
    for block_idx in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let due = began + Duration::from_secs_f64((block_idx * BLOCK_SAMPLES) as f64 / RATE_HZ);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let at = block_idx % 64 * BLOCK_SAMPLES;
        for processor in &mut share {
            for bus in processor.inputs_mut(BLOCK_SAMPLES).iter_mut() {
                for channel_idx in 0..bus.num_channels() {
                    let source = &noise[channel_idx % 2][at..at + BLOCK_SAMPLES];
                    bus.channel_mut(channel_idx)[..BLOCK_SAMPLES].copy_from_slice(source);
                }
            }
            processor.process(BLOCK_SAMPLES, &[])?;
        }
    }
    Ok(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dealt_out_comes_back_in_order() {
        assert_eq!(in_order(vec![0, 3, 6, 1, 4, 2, 5], 3), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(in_order(vec!['a', 'b'], 1), ['a', 'b']);
    }
}
