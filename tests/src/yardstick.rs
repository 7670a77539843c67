//! What the machine itself makes of an audio thread's times: interrupts, and a hypervisor's work that counts as no stolen time.

use crate::Timings;
use crate::audio_thread::priority::{raise_to_real_time, thread_cpu_time};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Runs of the loop of which the fastest tells how long a turn takes.
const NUM_CALIBRATIONS: usize = 500;
const TURNS_PER_CALIBRATION: u64 = 10_000;

/// Times of a loop in a plugin's place: every `period` for `seconds` an audio thread computes what takes `work` where nothing disturbs it,
/// and touches no memory. No plugin that takes as long does better there.
///
/// # Panics
/// If the thread does.
#[must_use]
pub fn yardstick(work: Duration, period: Duration, seconds: f64) -> Timings {
    let audio_thread = std::thread::spawn(move || {
        let _ = raise_to_real_time();
        let fastest = (0..NUM_CALIBRATIONS).map(|_| time_of(TURNS_PER_CALIBRATION)).min().unwrap_or_default();
        let turns_per_s = TURNS_PER_CALIBRATION as f64 / fastest.as_secs_f64().max(1e-9);
        let num_turns = (work.as_secs_f64() * turns_per_s) as u64;
        let num_blocks = (seconds / period.as_secs_f64()) as u32;
        let mut timings = Timings::with_capacity(num_blocks as usize);
        let start = Instant::now();
        for block_idx in 0..num_blocks {
            std::thread::sleep((start + block_idx * period).saturating_duration_since(Instant::now()));
            let cpu_before = thread_cpu_time();
            let wall = time_of(num_turns);
            timings.push(wall, thread_cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before)));
        }
        timings
    });
    audio_thread.join().expect("the loop does not panic")
}

/// How long so many turns take.
fn time_of(num_turns: u64) -> Duration {
    let began = Instant::now();
    let mut value = 1.0_f64;
    for _ in 0..num_turns {
        value = black_box(value * 1.000_000_1);
    }
    black_box(value);
    began.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_blocks_take_about_what_they_are_to() {
        let found = yardstick(Duration::from_micros(200), Duration::from_millis(2), 0.5).wall();
        println!("{found:?}");
        // Less where the processor's clock rises after the calibration, more where it falls.
        assert!((50.0..2_000.0).contains(&found.p50_us), "{found:?}");
    }
}
