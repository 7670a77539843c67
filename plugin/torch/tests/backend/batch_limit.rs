//! How large a batch may be. The library's own test binary would not find libtorch, so its file is read here, too.

#[path = "../../src/batch_limit.rs"]
mod tested;

use std::time::{Duration, Instant};

use tested::BatchLimit;

const MOST: usize = 512;

#[test]
fn a_batch_may_be_half_as_large_as_one_that_was_too_large_and_is_tried_larger_more_and_more_seldom() {
    let mut limit = BatchLimit::new(MOST);
    let began = Instant::now();
    let mut now = began;
    assert_eq!(limit.num_channels(now), MOST);
    // The card takes 100. Batches come as large as they may, each 16 ms after the one before.
    let mut tried_after_s = Vec::new();
    while now.duration_since(began) < Duration::from_hours(8) {
        let num_channels = limit.num_channels(now);
        assert!(num_channels <= MOST);
        if num_channels > 100 {
            // Halves of halves are seen to fit before the whole is known to be too large.
            let mut parts = num_channels;
            while parts / 2 > 100 {
                parts /= 2;
            }
            while parts <= num_channels {
                limit.note_too_large(parts, now);
                parts *= 2;
            }
            tried_after_s.push(now.duration_since(began).as_secs());
            assert!((50..=100).contains(&limit.num_channels(now)), "{}", limit.num_channels(now));
        }
        now += Duration::from_millis(16);
    }
    println!("tried after {tried_after_s:?} s");
    assert_eq!(tried_after_s[..4], [0, 60, 180, 420], "twice as long each time");
    assert!(tried_after_s.len() < 16, "an hour at most: {tried_after_s:?}");
}

#[test]
fn a_batch_that_was_too_large_long_ago_makes_the_next_pause_no_longer() {
    let mut limit = BatchLimit::new(MOST);
    let began = Instant::now();
    for day in 0..7 {
        let event = began + day * Duration::from_hours(24);
        assert_eq!(limit.num_channels(event), MOST, "day {day}");
        limit.note_too_large(MOST, event);
        let after = |minutes: u64| event + Duration::from_mins(minutes);
        // Batches come on until the evening.
        let back_after = (0..600).find(|minutes| limit.num_channels(after(*minutes)) == MOST);
        assert_eq!(back_after, Some(1), "day {day}: minutes until the limit is back");
        (1..600).for_each(|minutes| assert_eq!(limit.num_channels(after(minutes)), MOST));
    }
}

#[test]
fn once_there_is_room_again_batches_are_as_large_as_before() {
    let mut limit = BatchLimit::new(MOST);
    let began = Instant::now();
    limit.note_too_large(64, began);
    let after = |limit: &mut BatchLimit, num_s: u64| limit.num_channels(began + Duration::from_secs(num_s));
    assert_eq!(after(&mut limit, 59), 32);
    let reached = (60..1_000).step_by(10).find(|num_s| after(&mut limit, *num_s) == MOST);
    assert_eq!(reached, Some(60 + 3 * 120), "twice as large every two minutes");
    limit.note_too_large(1, began);
    assert_eq!(limit.num_channels(began), 1, "one at least");
}
