//! Which calls are left out, so that most masks come in time.
//!
//! A worker that falls behind has two ways. Run all the same, a call is late and makes those behind it late. Left out, it gives no
//! masks, and the frames that it brought get none from later calls either; but what follows may be in time again. A
//! model that cannot keep up altogether would be in time for hardly any mask the first way, where it can be for most; one that
//! stumbled for once makes up for it sooner the first way than the second costs. So both are thought through for what is to come.

use crate::latency::CallTimes;

/// Calls that are thought ahead by a worker that keeps up: until it has made up for anything that is not past.
const NUM_AHEAD: usize = 32;

/// So many calls in a row may be left out for what follows. Those that were handed over so long ago that this would not do are past.
const MOST_LEFT_OUT: usize = 4;

/// Calls from one that is left out to the next, at most, that are thought through: a worker that is so little too slow that it could run more
/// of them loses next to nothing.
const LONGEST_CYCLE: usize = 500;

/// Where a worker stands that is about to take a call up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Since it should have begun with the call: since the call was handed over. Seconds.
    pub behind_s: f64,
    /// What a call is expected to take, seconds.
    pub takes_s: f64,
}

impl Standing {
    /// Whether to leave the call out.
    #[must_use]
    pub fn is_to_be_left_out(&self, times: &CallTimes) -> bool {
        let num_in_time = self.num_in_time(self.behind_s, times);
        // What it takes is known only while calls are run: they are, where nothing is gained by leaving them out.
        if num_in_time == times.num_frames {
            false
        } else if self.takes_s > times.call_s() {
            (num_in_time as f64) < self.best_in_time_per_call(times)
        } else {
            // A gap costs more than the masks that are void: what the model remembers has a hole.
            let least_gain = times.num_frames / 2;
            let lost_if_run = self.num_lost(0, times);
            (1..=MOST_LEFT_OUT).any(|num_left_out| self.num_lost(num_left_out, times) + least_gain < lost_if_run)
        }
    }

    /// Masks that come in time of a call that is begun with `behind_s` after it was handed over.
    fn num_in_time(&self, behind_s: f64, times: &CallTimes) -> usize {
        let late_s = behind_s + self.takes_s - times.deadline_s;
        times.num_frames.saturating_sub((late_s / times.hop_s).ceil().max(0.0) as usize)
    }

    /// Of a worker that cannot keep up: masks in time, call for call, where it always leaves one out as soon as that is best, and is in time
    /// again by that. Where a deadline outlasts a call, in the largest blocks, several at once would be better still.
    fn best_in_time_per_call(&self, times: &CallTimes) -> f64 {
        let slower_s = self.takes_s - times.call_s();
        // The call that is left out, and as many masks that are void behind it.
        let num_void = times.look_ahead_frames.div_ceil(times.num_frames);
        let (mut in_time, mut best) = (0, 0.0_f64);
        for num_run in num_void..LONGEST_CYCLE {
            in_time += self.num_in_time(num_run as f64 * slower_s, times);
            best = best.max(in_time as f64 / (num_run + 2) as f64);
        }
        best
    }

    /// Of a worker that keeps up: masks of the next calls that are late or void, if so many calls are left out and then all are run.
    fn num_lost(&self, num_left_out: usize, times: &CallTimes) -> usize {
        let (mut behind_s, mut void_until, mut num_lost) = (self.behind_s, 0, 0);
        for call_idx in 0..NUM_AHEAD {
            let first_mask = call_idx * times.num_frames;
            if call_idx < num_left_out {
                // The frames of a call are those of the masks `look_ahead_frames` further on.
                void_until = first_mask + times.num_frames + times.look_ahead_frames;
            } else {
                let num_late = times.num_frames - self.num_in_time(behind_s, times);
                num_lost += num_late.max(void_until.saturating_sub(first_mask).min(times.num_frames));
                behind_s += self.takes_s;
            }
            // Nobody begins with a call before it is handed over.
            behind_s = (behind_s - times.call_s()).max(0.0);
        }
        num_lost + num_left_out * times.num_frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{ModelTiming, latency};

    fn times_of(timing: &ModelTiming) -> CallTimes {
        CallTimes::new(timing, &latency(timing, 48_000.0, 256).unwrap(), 48_000.0, 256)
    }

    /// Eight frames at once, as many ahead: calls of 128 ms, of which 70 are granted.
    const AHEAD: ModelTiming = ModelTiming { look_ahead_frames: 8, ..ModelTiming::PAPER };

    fn is_left_out(timing: &ModelTiming, behind_ms: f64, takes_ms: f64) -> bool {
        Standing { behind_s: behind_ms / 1e3, takes_s: takes_ms / 1e3 }.is_to_be_left_out(&times_of(timing))
    }

    #[test]
    fn what_comes_in_time_is_run() {
        assert!(!is_left_out(&AHEAD, 0.0, 60.0));
        assert!(!is_left_out(&AHEAD, 50.0, 20.0));
        assert!(!is_left_out(&ModelTiming::LIVE, 2.0, 20.0));
    }

    #[test]
    fn who_cannot_keep_up_leaves_a_call_out_as_soon_as_that_brings_more_in_time() {
        assert!(is_left_out(&AHEAD, 35.0, 129.0));
        assert!(is_left_out(&ModelTiming::LIVE, 6.0, 16.1));
        // Three masks of eight are in time, and none of two calls, where this one is left out.
        assert!(!is_left_out(&AHEAD, 20.0, 129.0));
    }

    #[test]
    fn who_stumbled_once_and_is_soon_in_time_again_runs_all() {
        // Of this call a mask is late, or six of them, or all eight and six of the next two.
        assert!(!is_left_out(&AHEAD, 60.0, 20.0));
        assert!(!is_left_out(&AHEAD, 140.0, 20.0));
        assert!(!is_left_out(&AHEAD, 150.0, 60.0));
        // Of one frame a call that is left out costs no more than one that is late.
        assert!(is_left_out(&ModelTiming::LIVE, 30.0, 10.0));
    }

    #[test]
    fn where_leaving_out_gains_nothing_calls_are_run() {
        // No mask could be in time, or as many as ever.
        assert!(!is_left_out(&ModelTiming::LIVE, 0.0, 40.0));
        assert!(!is_left_out(&AHEAD, 0.0, 90.0));
    }
}
