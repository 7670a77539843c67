//! Who runs a call and who waits. The library's own test binary would not find libtorch, so its file is read here, too.

#[path = "../../src/turns.rs"]
mod tested;

use crate::queue::Size;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Mutex};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};
use tested::Turns;

const SIZE: Size = Size { model: Some(1), num_channels: 1, num_frames: 1 };
const LONG: Duration = Duration::from_secs(20);

/// Calls are numbers, and what comes of one is its double.
type Calls = Turns<usize, usize, u8>;

/// A call that keeps its turn until it is told to end; it holds one when this returns.
fn occupy<'scope>(scope: &'scope Scope<'scope, '_>, turns: &'scope Calls) -> Sender<()> {
    let (is_running, runs) = channel();
    let (end, is_over): (Sender<()>, Receiver<()>) = channel();
    scope.spawn(move || {
        turns.run(0, SIZE, 0, LONG, |calls| {
            is_running.send(()).expect("somebody listens");
            // An error is the end, too.
            let _ = is_over.recv();
            calls
        })
    });
    runs.recv().expect("it runs");
    end
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A call that waits when this returns, and notes in `ran` what it is run with where it leads.
fn wait_for_a_turn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    (turns, ran): (&'scope Calls, &'scope Mutex<Vec<Vec<usize>>>),
    (call, size, urgency): (usize, Size, u8),
    patience: Duration,
) -> ScopedJoinHandle<'scope, Option<usize>> {
    let num_before = turns.num_waiting();
    let thread = scope.spawn(move || {
        turns.run(call, size, urgency, patience, |calls| {
            ran.lock().expect("nobody panicked").push(calls.clone());
            calls
        })
    });
    wait_until("it waits", || turns.num_waiting() > num_before);
    thread
}

#[test]
fn those_that_wait_are_run_together_and_each_gets_its_own() {
    let turns = Calls::new(1);
    let batches = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let end = occupy(scope, &turns);
        let threads: Vec<_> = (1..=9)
            .map(|call| {
                let (turns, batches) = (&turns, &batches);
                scope.spawn(move || {
                    turns.run(call, SIZE, 0, LONG, |calls| {
                        batches.lock().expect("nobody panicked").push(calls.len());
                        calls.into_iter().map(|call| 2 * call).collect()
                    })
                })
            })
            .collect();
        wait_until("all wait", || turns.num_waiting() == 9);
        drop(end);
        let found: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("the thread")).collect();
        assert_eq!(found, (1..=9).map(|call| Some(2 * call)).collect::<Vec<_>>());
    });
    let batches = batches.into_inner().expect("nobody panicked");
    assert_eq!(batches, [8, 1], "of nine, a size that there is, and what is left");
    assert_eq!(turns.num_taken(), 0);
}

#[test]
fn no_more_run_at_a_time_than_there_are_turns() {
    let turns = Calls::new(3);
    let (num_running, most, barrier) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(12));
    std::thread::scope(|scope| {
        for thread in 0..12 {
            let (turns, num_running, most, barrier) = (&turns, &num_running, &most, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for call in 0..200 {
                    let found = turns.run(1000 * thread + call, SIZE, (call % 2) as u8, LONG, |calls| {
                        most.fetch_max(1 + num_running.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                        std::thread::yield_now();
                        num_running.fetch_sub(1, Ordering::SeqCst);
                        calls.into_iter().map(|call| 2 * call).collect()
                    });
                    assert_eq!(found, Some(2 * (1000 * thread + call)));
                }
            });
        }
    });
    let most = most.into_inner();
    assert!((1..=3).contains(&most), "{most} at a time");
    assert_eq!((turns.num_taken(), turns.num_waiting()), (0, 0));
}

#[test]
fn the_most_urgent_of_a_batch_runs_it() {
    let turns = Calls::new(1);
    let ran = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let end = occupy(scope, &turns);
        for (call, urgency) in [(1, 0), (2, 5), (3, 1)] {
            wait_for_a_turn(scope, (&turns, &ran), (call, SIZE, urgency), LONG);
        }
        drop(end);
    });
    assert_eq!(ran.into_inner().expect("nobody panicked"), [[2, 1, 3]], "its own call first");
}

#[test]
fn who_has_waited_for_too_long_runs_its_call_by_itself() {
    let turns = Calls::new(1);
    std::thread::scope(|scope| {
        let end = occupy(scope, &turns);
        let found = turns.run(4, SIZE, 0, Duration::from_millis(20), |calls| {
            assert_eq!(calls, [4]);
            vec![8]
        });
        assert_eq!((found, turns.num_taken()), (Some(8), 1), "the turn beyond the first is over");
        drop(end);
    });
    assert_eq!(turns.num_taken(), 0);
}

#[test]
fn who_has_the_least_time_to_wait_is_next_whatever_its_model() {
    let turns = Calls::new(1);
    let ran = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let end = occupy(scope, &turns);
        for (call, model, patience) in [(1, 7, LONG), (2, 7, LONG), (3, 8, LONG / 2), (4, 8, LONG)] {
            wait_for_a_turn(scope, (&turns, &ran), (call, Size { model: Some(model), ..SIZE }, 0), patience);
        }
        drop(end);
    });
    assert_eq!(ran.into_inner().expect("nobody panicked"), [[3, 4], [1, 2]]);
}

#[test]
fn who_has_waited_for_too_long_takes_along_what_it_can_be_run_with() {
    let turns = Calls::new(1);
    let ran = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let end = occupy(scope, &turns);
        let threads = [(1, Duration::from_secs(1)), (2, LONG)]
            .map(|(call, patience)| wait_for_a_turn(scope, (&turns, &ran), (call, SIZE, 0), patience));
        assert_eq!(threads.map(|thread| thread.join().expect("the thread")), [Some(1), Some(2)]);
        drop(end);
    });
    assert_eq!(ran.into_inner().expect("nobody panicked"), [[1, 2]]);
    assert_eq!(turns.num_taken(), 0);
}

#[test]
fn a_batch_that_panics_ends_its_calls_and_no_turn() {
    let turns = Calls::new(1);
    std::thread::scope(|scope| {
        let end = occupy(scope, &turns);
        let threads: Vec<_> = (1..=3)
            .map(|call| {
                let turns = &turns;
                scope.spawn(move || {
                    catch_unwind(AssertUnwindSafe(|| turns.run(call, SIZE, 0, LONG, |_| panic!("as meant"))))
                })
            })
            .collect();
        wait_until("all wait", || turns.num_waiting() == 3);
        drop(end);
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("it was caught")).collect();
        assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1, "who ran it");
        assert_eq!(ends.iter().filter(|end| matches!(end, Ok(None))).count(), 2, "who waited for it");
    });
    assert_eq!(turns.num_taken(), 0);
    assert_eq!(turns.run(5, SIZE, 0, LONG, |calls| calls), Some(5));
}
