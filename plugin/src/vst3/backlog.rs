//! How many values the window's thread has not taken yet, at most.
//!
//! While a window is open nice-plug 0.4.2 posts each value that changes to a queue of 4096 tasks, which the host's run loop works off. Where that
//! stands still the queue fills, within seconds, and in a bounce sooner. A task that finds no place goes to the background thread,
//! which the look at the window ends. So a marker is posted ahead of the values, and no more of them follow it than there are places for
//! until its turn has come.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::QueueFence;

/// As many may lie before a marker and as many behind it, which leaves some of the 4096 places to what else is posted.
const MOST_BEHIND_MARKER: u32 = 2000;

/// Parameter changes queued for one instance. One thread at a time admits.
#[derive(Debug, Default)]
pub struct Backlog {
    /// As the marker that was posted last.
    first: QueueFence,
    /// Number of the one that was posted last; 0 before any was.
    newest: AtomicU64,
    /// Values admitted since.
    num_behind: AtomicU32,
}

impl Backlog {
    /// Whether `num_values` more find a place in the queue, to which they go then. Posts a marker ahead of them where the last one's
    /// turn has come. Real-time safe where `post` is.
    pub fn admits(&self, num_values: u32, post: impl FnOnce(QueueFence)) -> bool {
        if num_values == 0 {
            return true;
        }
        let newest = self.newest.load(Ordering::Relaxed);
        if self.first.numbered(newest).has_passed() {
            self.newest.store(newest + 1, Ordering::Relaxed);
            self.num_behind.store(0, Ordering::Relaxed);
            post(self.first.numbered(newest + 1));
        }
        let num_behind = self.num_behind.load(Ordering::Relaxed).saturating_add(num_values);
        if num_behind > MOST_BEHIND_MARKER {
            return false;
        }
        self.num_behind.store(num_behind, Ordering::Relaxed);
        true
    }

    /// Notes that the framework made a new, empty queue. Must not run while anything is admitted.
    pub fn begin_anew(&self) {
        self.first.numbered(self.newest.load(Ordering::Relaxed)).pass();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;

    const PLACES: usize = 4096;

    /// The framework's queue; a value is none.
    #[derive(Default)]
    struct Queue(RefCell<VecDeque<Option<QueueFence>>>);

    impl Queue {
        /// Returns whether the values were admitted.
        fn post(&self, backlog: &Backlog, num_values: u32) -> bool {
            let is_admitted = backlog.admits(num_values, |marker| self.0.borrow_mut().push_back(Some(marker)));
            if is_admitted {
                self.0.borrow_mut().extend((0..num_values).map(|_| None));
            }
            assert!(self.0.borrow().len() < PLACES, "a task finds no place");
            is_admitted
        }

        fn take(&self, num_tasks: usize) {
            let mut tasks = self.0.borrow_mut();
            let num_tasks = num_tasks.min(tasks.len());
            tasks.drain(..num_tasks).flatten().for_each(|marker| marker.pass());
        }
    }

    #[test]
    fn what_is_taken_at_once_is_never_held_back() {
        let (backlog, queue) = (Backlog::default(), Queue::default());
        for _ in 0..10_000 {
            assert!(queue.post(&backlog, 16));
            queue.take(usize::MAX);
        }
    }

    #[test]
    fn the_queue_does_not_overflow_whenever_it_is_taken_from_and_goes_on_when_it_was() {
        for (num_values, taken_at, num_taken) in
            [(1, 10_000, 0), (1, 1_999, 1), (1, 2_001, 1), (7, 300, 900), (300, 5, 1_000), (5_000, 1, 1)]
        {
            let (backlog, queue) = (Backlog::default(), Queue::default());
            let mut num_refused = 0;
            for block in 1..=20_000 {
                num_refused += u32::from(!queue.post(&backlog, num_values));
                if block % taken_at == 0 {
                    queue.take(num_taken);
                }
            }
            assert!(num_refused > 0, "{num_values}, {taken_at}, {num_taken}");
            queue.take(usize::MAX);
            assert_eq!(queue.post(&backlog, num_values), num_values <= MOST_BEHIND_MARKER);
        }
    }

    #[test]
    fn another_queue_is_empty_and_what_is_left_in_the_one_before_says_nothing_of_it() {
        let (backlog, before, after) = (Backlog::default(), Queue::default(), Queue::default());
        while before.post(&backlog, 100) {}
        backlog.begin_anew();
        assert!(after.post(&backlog, MOST_BEHIND_MARKER));
        before.take(usize::MAX);
        assert!(!after.post(&backlog, 1));
    }
}
