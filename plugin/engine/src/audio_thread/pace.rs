//! Whether the host renders ahead of real time, from clocks alone.
//!
//! Hosts report offline rendering badly or not at all. A host that plays cannot hand over more audio than time has passed (but
//! for a few blocks of jitter); one that bounces does nothing else. So: the lead of the audio clock over the wall clock grows
//! by the audio of each block and shrinks by the time that passed. While it exceeds the deadline's slack, `process` may wait for
//! the worker: the time is there. After a stall the lead is negative, so that a live host which catches up is not taken for a
//! bounce; but not far below zero, so that a bounce after a pause of an hour is soon seen.
//!
//! Four corrections. A framework splits a block where an automated value changes, and its pieces come without a pause: within a
//! block of the largest size the verdict of its first piece holds, else a host that plays would be ahead by what it has been given
//! of one block. The wait for a model that loads is not held against the host: a bounce that has waited half a second for it is no
//! less a bounce, and its next masks are due at once. Nor is any wait, while the lead is a second: models that hear seconds ahead
//! are not waited for in the first ones, and a bounce on a slow machine would be taken for playing once it had used them up. And
//! the lead fades, slowly, so that a host which only looked ahead is found out.
//!
//! A host that is not ahead need not be one that keeps time. What tells it from a slow bounce is that it falls back again and again: it may
//! hand the period of its device over in several blocks at once, but then it waits for the next one.

use std::time::Instant;

/// The most negative lead, seconds: the longest stall that a live host is expected to catch up with.
const LONGEST_STALL_S: f64 = 0.5;

/// Lead, seconds, that no host has which plays: what it waits for is not held against it.
const FAR_AHEAD_S: f64 = 1.0;

/// After so much audio in which it fell back to half the slack or less again and again, seconds, a host is taken to play. A bounce that is a
/// twentieth faster than the clock leads by more within a second.
const KEEPS_TIME_AFTER_S: f64 = 1.0;

/// Seconds in which a lead that is not renewed fades to about a third.
const FADE_S: f64 = 10.0;

/// The lead of the audio clock over the wall clock.
#[derive(Debug)]
pub struct Pace {
    slack_s: f64,
    longest_block_s: f64,
    lead_s: f64,
    /// When the last piece came, and its duration.
    last_piece: Option<(Instant, f64)>,
    /// Audio since the verdict was given, the last piece included.
    judged_s: f64,
    is_ahead: bool,
    /// Whether it leads by more than half the slack.
    is_leading: bool,
    /// Audio since the lead was half the slack or less.
    leading_s: f64,
    /// Audio since the host was ahead last, or had been leading for longer than the slack; or since the reset.
    in_time_s: f64,
}

impl Pace {
    /// `slack_s`: lead that a host in real time may reach by jitter; `longest_block_s`: of the blocks that it was activated for. Seconds.
    pub fn new(slack_s: f64, longest_block_s: f64) -> Self {
        Self {
            slack_s,
            longest_block_s,
            lead_s: 0.0,
            last_piece: None,
            judged_s: 0.0,
            is_ahead: false,
            is_leading: false,
            leading_s: 0.0,
            in_time_s: 0.0,
        }
    }

    /// Forgets the past: what comes next may be another render.
    pub fn reset(&mut self) {
        *self = Self::new(self.slack_s, self.longest_block_s);
    }

    /// To be called once per block, or piece of one, with the time it came and its duration.
    pub fn note_piece(&mut self, now: Instant, piece_s: f64) {
        let mut is_same_block = false;
        if let Some((before, before_s)) = self.last_piece {
            let passed_s = now.saturating_duration_since(before).as_secs_f64();
            self.lead_s =
                (self.lead_s + before_s - passed_s).max(-LONGEST_STALL_S) * (1.0 - passed_s / FADE_S).max(0.0);
            // Rounded, the pieces of a block may be a little longer than it.
            is_same_block = passed_s < before_s && self.judged_s + piece_s < self.longest_block_s * (1.0 + 1e-9);
        }
        self.last_piece = Some((now, piece_s));
        if is_same_block {
            self.judged_s += piece_s;
        } else {
            self.judged_s = piece_s;
            self.is_ahead = self.lead_s > self.slack_s;
            self.is_leading = self.lead_s > 0.5 * self.slack_s;
        }
        self.leading_s = if self.is_leading { self.leading_s + piece_s } else { 0.0 };
        let is_in_time = !self.is_ahead && self.leading_s <= self.slack_s;
        self.in_time_s = if is_in_time { self.in_time_s + piece_s } else { 0.0 };
    }

    /// Whether it is so far ahead that it has no time to keep: a bounce may be slower than the clock, and its lead used up by our own work.
    pub fn is_far_ahead(&self) -> bool {
        self.is_ahead && self.lead_s > FAR_AHEAD_S
    }

    /// To be called after a block in which something was waited for that is not the host's to be held against: the time until `now` was ours.
    pub fn forgive_until(&mut self, now: Instant) {
        if let Some((before, _)) = &mut self.last_piece {
            *before = now;
        }
    }

    /// Whether the host is so far ahead that it cannot be playing.
    pub fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    /// Whether it has been seen for so long not to be ahead that it is playing. Neither, where it began a moment ago.
    pub fn keeps_time(&self) -> bool {
        self.in_time_s >= KEEPS_TIME_AFTER_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BLOCK_S: f64 = 512.0 / 48_000.0;

    fn feed(pace: &mut Pace, start: Instant, num_blocks: usize, interval_s: impl Fn(usize) -> f64) -> (Instant, usize) {
        let (mut now, mut num_ahead) = (start, 0);
        for block_idx in 0..num_blocks {
            pace.note_piece(now, BLOCK_S);
            num_ahead += usize::from(pace.is_ahead());
            now += Duration::from_secs_f64(interval_s(block_idx));
        }
        (now, num_ahead)
    }

    #[test]
    fn a_host_in_real_time_is_never_ahead_even_in_bursts_of_four_blocks() {
        let mut pace = Pace::new(0.08, BLOCK_S);
        let burst = |block_idx: usize| if block_idx % 4 == 3 { 4.0 * BLOCK_S } else { 0.0 };
        assert_eq!(feed(&mut pace, Instant::now(), 10_000, burst).1, 0);
    }

    #[test]
    fn a_bounce_that_is_slower_than_the_clock_stays_one_where_it_was_far_ahead_at_first() {
        let bounce = |lead_at_first_s: f64| {
            let mut pace = Pace::new(0.08, BLOCK_S);
            let (mut now, _) = feed(&mut pace, Instant::now(), (lead_at_first_s / BLOCK_S) as usize, |_| 1e-3);
            let mut num_ahead = 0;
            for _ in 0..2_000 {
                pace.note_piece(now, BLOCK_S);
                num_ahead += usize::from(pace.is_ahead());
                now += Duration::from_secs_f64(1.5 * BLOCK_S);
                if pace.is_far_ahead() {
                    pace.forgive_until(now);
                }
            }
            num_ahead
        };
        assert_eq!(bounce(2.5), 2_000);
        assert!(bounce(0.5) < 200, "a host that only looked ahead is found out");
    }

    #[test]
    fn a_host_in_real_time_whose_blocks_are_split_is_never_ahead_whatever_the_slack() {
        for num_pieces in [2, 5, 512] {
            let mut pace = Pace::new(1e-3, BLOCK_S);
            let mut now = Instant::now();
            for _ in 0..1_000 {
                for _ in 0..num_pieces {
                    pace.note_piece(now, BLOCK_S / f64::from(num_pieces));
                    assert!(!pace.is_ahead());
                }
                now += Duration::from_secs_f64(BLOCK_S);
            }
        }
    }

    #[test]
    fn a_bounce_whose_blocks_are_split_is_seen_as_soon_as_one_in_whole_blocks() {
        let blocks_until_ahead = |num_pieces: i32| {
            let mut pace = Pace::new(0.08, BLOCK_S);
            let now = Instant::now();
            (0..100)
                .position(|_| {
                    (0..num_pieces).for_each(|_| pace.note_piece(now, BLOCK_S / f64::from(num_pieces)));
                    pace.is_ahead()
                })
                .expect("a bounce")
        };
        assert_eq!(blocks_until_ahead(4), blocks_until_ahead(1));
    }

    #[test]
    fn a_live_host_that_catches_up_after_a_stall_is_not_ahead() {
        let mut pace = Pace::new(0.08, BLOCK_S);
        let (now, _) = feed(&mut pace, Instant::now(), 100, |_| BLOCK_S);
        // 300 ms of nothing, then all of it at once, then in time again.
        let late = now + Duration::from_millis(300);
        let num_blocks = (0.3 / BLOCK_S) as usize;
        let (now, num_ahead) = feed(&mut pace, late, num_blocks, |_| 0.0);
        assert_eq!(num_ahead, 0);
        assert_eq!(feed(&mut pace, now, 1000, |_| BLOCK_S).1, 0);
    }

    #[test]
    fn a_bounce_after_an_hour_of_pause_is_seen_within_two_thirds_of_a_second_and_at_once_after_a_reset() {
        let mut pace = Pace::new(0.08, BLOCK_S);
        let (now, _) = feed(&mut pace, Instant::now(), 100, |_| BLOCK_S);
        let after = now + Duration::from_hours(1);
        let (now, num_ahead) = feed(&mut pace, after, 100, |_| BLOCK_S / 10.0);
        assert!(num_ahead >= 37, "{num_ahead} of 100 blocks");
        pace.reset();
        let (_, num_ahead) = feed(&mut pace, now + Duration::from_hours(1), 100, |_| BLOCK_S / 10.0);
        assert!(num_ahead >= 90, "{num_ahead} of 100 blocks");
    }

    #[test]
    fn a_bounce_stays_one_after_it_has_waited_for_the_model() {
        let mut pace = Pace::new(0.08, BLOCK_S);
        let (now, _) = feed(&mut pace, Instant::now(), 20, |_| 0.0);
        let loaded = now + Duration::from_secs(2);
        pace.forgive_until(loaded);
        pace.note_piece(loaded, BLOCK_S);
        assert!(pace.is_ahead());
        // But a host that goes on in real time from here on was none.
        let (_, num_ahead) = feed(&mut pace, loaded, 5_000, |_| BLOCK_S);
        assert!(!pace.is_ahead() && num_ahead < 2_000, "{num_ahead} blocks");
    }

    #[test]
    fn a_host_keeps_time_once_it_was_seen_to_and_a_bounce_never_does() {
        let mut pace = Pace::new(0.08, BLOCK_S);
        let (mut now, mut first) = (Instant::now(), None);
        for block_idx in 0..400_u32 {
            pace.note_piece(now, BLOCK_S);
            if pace.keeps_time() {
                first.get_or_insert(block_idx);
            }
            // Bursts of four.
            now += Duration::from_secs_f64(if block_idx % 4 == 3 { 4.0 * BLOCK_S } else { 0.0 });
        }
        let after_s = f64::from(1 + first.expect("it keeps time")) * BLOCK_S;
        assert!((1.0..1.1).contains(&after_s) && pace.keeps_time(), "{after_s} s");
        for speed in [1.05, 1.2, 2.0, 50.0] {
            pace.reset();
            for _ in 0..2_000 {
                pace.note_piece(now, BLOCK_S);
                assert!(!pace.keeps_time(), "a bounce at {speed} times the clock");
                now += Duration::from_secs_f64(BLOCK_S / speed);
            }
        }
        // Of the largest blocks, too.
        let mut pace = Pace::new(0.25, 8192.0 / 48_000.0);
        for _ in 0..200 {
            pace.note_piece(now, 8192.0 / 48_000.0);
            assert!(!pace.keeps_time());
            now += Duration::from_millis(20);
        }
    }

    #[test]
    fn pieces_of_a_block_and_blocks_that_come_at_once_keep_time_as_whole_ones_do_and_a_bounce_in_pieces_never_does() {
        // Of `Live 1` at 48 kHz, in blocks of up to 1024 and of up to 256: its slack is 800 samples in both.
        let (slack_s, piece_s) = (800.0 / 48_000.0, 256.0 / 48_000.0);
        for longest_block_s in [4.0 * piece_s, piece_s] {
            let keeps_time_after = |num_s: f64, speed: f64| {
                let mut pace = Pace::new(slack_s, longest_block_s);
                let mut now = Instant::now();
                let mut ever = false;
                for _ in 0..(num_s / (4.0 * piece_s)) as usize {
                    for _ in 0..4 {
                        pace.note_piece(now, piece_s);
                        ever |= pace.keeps_time();
                    }
                    now += Duration::from_secs_f64(4.0 * piece_s / speed);
                }
                assert_eq!(ever, pace.keeps_time(), "once it does it goes on to");
                ever
            };
            assert!(keeps_time_after(1.1, 1.0) && keeps_time_after(20.0, 1.0), "{longest_block_s}");
            for speed in [1.05, 1.2, 2.0, 50.0] {
                assert!(!keeps_time_after(20.0, speed), "{longest_block_s}, a bounce at {speed} times the clock");
            }
        }
    }

    #[test]
    fn playback_after_a_bounce_is_real_time_again() {
        let mut pace = Pace::new(0.08, BLOCK_S);
        let (now, _) = feed(&mut pace, Instant::now(), 1000, |_| 0.0);
        assert!(pace.is_ahead());
        let (_, num_ahead) = feed(&mut pace, now + Duration::from_secs(20), 1000, |_| BLOCK_S);
        assert_eq!(num_ahead, 0);
    }
}
