//! What a block costs the audio thread where its caches are warm, and where they hold nothing of it any more: what a host finds that does
//! other work, or nothing, between two blocks. Medians, which a machine's interrupts do not move as they move percentiles of a paced run.
//!
//! `cargo bench -p host-tests --bench block [-- BUNDLE.clap...]`: several in turn, so that two builds are compared in the same minutes.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use host_tests::{Bundle, Config, HostError, Timings, bundle_path, signals::programme, wait_until_loaded};

const RATE_HZ: f64 = 48_000.0;
const BLOCK_SAMPLES: usize = 256;
const NUM_BLOCKS: usize = 1500;
/// Until masks are in.
const NUM_BLOCKS_BEFORE: usize = 150;
const NUM_ROUNDS: usize = 3;
/// More than any cache: written between two blocks.
const OTHER_BYTES: usize = 64 << 20;

fn main() -> Result<(), HostError> {
    // Cargo adds an option of its own.
    let given: Vec<PathBuf> = std::env::args_os().skip(1).filter(|arg| arg != "--bench").map(PathBuf::from).collect();
    let bundles = if given.is_empty() { vec![bundle_path()?] } else { given };
    for _ in 0..NUM_ROUNDS {
        for path in &bundles {
            let [warm, cold] = timings(path)?.map(|timings| timings.wall());
            println!(
                "{}: blocks of {BLOCK_SAMPLES}, stereo, two stems: {:.1} us in the median with warm caches, {:.1} us with cold ones (p10 {:.1} us, \
                 p99 {:.1} us)",
                path.display(),
                warm.p50_us,
                cold.p50_us,
                cold.p10_us,
                cold.p99_us
            );
        }
    }
    Ok(())
}

/// With warm caches, and with cold ones.
fn timings(path: &std::path::Path) -> Result<[Timings; 2], HostError> {
    let bundle = Bundle::open(path)?;
    let mut instance = bundle.create(None)?;
    instance.configure(Config {
        rate_hz: RATE_HZ,
        max_block_samples: BLOCK_SAMPLES,
        num_channels: 2,
        offline: false,
    })?;
    let input = programme(2, NUM_BLOCKS * BLOCK_SAMPLES, RATE_HZ, 4);
    let mut processor = instance.activate()?;
    processor.start()?;
    wait_until_loaded(&bundle, &mut instance, &mut processor, Duration::from_mins(2))?;
    let mut other = vec![1.0_f32; OTHER_BYTES / size_of::<f32>()];
    let mut found = [Timings::default(), Timings::default()];
    for (is_cold, timings) in found.iter_mut().enumerate() {
        for block_idx in 0..NUM_BLOCKS {
            for bus in processor.inputs_mut(BLOCK_SAMPLES).iter_mut().filter(|bus| bus.is_main()) {
                for (channel_idx, channel) in input.iter().enumerate() {
                    let block = &channel[block_idx * BLOCK_SAMPLES..][..BLOCK_SAMPLES];
                    bus.channel_mut(channel_idx)[..BLOCK_SAMPLES].copy_from_slice(block);
                }
            }
            if is_cold == 1 {
                for value in &mut other {
                    *value += 1.0;
                }
                black_box(&mut other);
            }
            processor.process(BLOCK_SAMPLES, &[])?;
            if block_idx >= NUM_BLOCKS_BEFORE {
                timings.push(processor.last_wall(), processor.last_cpu());
            }
        }
    }
    processor.stop()?;
    instance.deactivate(processor);
    Ok(found)
}
