//! A mutex that never blocks, for state of host calls. Hosts should not make two calls at once, but some set up while they process.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Retries before [`Claimed::with_soon`] gives up: together longer than any block takes, unless that block waits for a mask.
const MAX_RETRIES: u32 = 200;
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// A value that one caller at a time has for itself.
pub struct Claimed<T> {
    value: UnsafeCell<T>,
    is_lent: AtomicBool,
}

// SAFETY: only the caller that has set `is_lent` accesses the value, until it clears the flag.
unsafe impl<T: Send> Sync for Claimed<T> {}

impl<T> Claimed<T> {
    /// A value that nobody has claimed.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), is_lent: AtomicBool::new(false) }
    }

    /// Runs `work` on the value. `None` while another call has it. Real-time safe.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        struct Lent<'a>(&'a AtomicBool);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        self.is_lent.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let _lent = Lent(&self.is_lent);
        // SAFETY: the flag was clear before this call set it, so no other reference exists.
        Some(work(unsafe { &mut *self.value.get() }))
    }

    /// Like [`with`](Self::with), but waits for a while for the call that has the value. Not for the audio thread.
    pub fn with_soon<R>(&self, mut work: impl FnMut(&mut T) -> R) -> Option<R> {
        (0..MAX_RETRIES).find_map(|number| {
            if number > 0 {
                std::thread::sleep(RETRY_INTERVAL);
            }
            self.with(&mut work)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_at_a_time_has_it_and_who_may_wait_has_it_next() {
        let claimed = Claimed::new(1);
        let within = claimed.with(|value| {
            *value = 2;
            claimed.with(|_| ())
        });
        assert_eq!(within, Some(None), "it is lent");
        assert_eq!(claimed.with(|value| *value), Some(2));
        std::thread::scope(|scope| {
            let (is_in, tell) = std::sync::mpsc::channel();
            let claimed = &claimed;
            scope.spawn(move || {
                claimed.with(|value| {
                    is_in.send(()).expect("somebody listens");
                    std::thread::sleep(20 * RETRY_INTERVAL);
                    *value = 3;
                })
            });
            tell.recv().expect("it is lent");
            assert_eq!(claimed.with_soon(|value| *value), Some(3));
        });
    }

    #[test]
    fn a_call_that_ends_in_a_fault_gives_it_back() {
        let claimed = Claimed::new(0);
        let fault = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| claimed.with(|_| panic!("a fault"))));
        assert!(fault.is_err() && claimed.with(|_| ()).is_some());
    }
}
