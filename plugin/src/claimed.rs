//! What one call of the host at a time has for itself. Hosts are to call one after the other; there are some that set up while they process.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whoever may wait does so for so many pauses: longer than a block takes, unless that waits for a mask itself.
const MOST_PAUSES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(1);

/// A value that is lent to one caller at a time.
pub struct Claimed<T> {
    value: UnsafeCell<T>,
    is_lent: AtomicBool,
}

// SAFETY: whoever has set the mark has the value, and nobody else till it is taken back.
unsafe impl<T: Send> Sync for Claimed<T> {}

impl<T> Claimed<T> {
    /// Lent to nobody.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), is_lent: AtomicBool::new(false) }
    }

    /// What `work` makes of it; none while another call has it. Real-time safe.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        struct Lent<'a>(&'a AtomicBool);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        self.is_lent.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let _lent = Lent(&self.is_lent);
        // SAFETY: the mark was not set before this call set it.
        Some(work(unsafe { &mut *self.value.get() }))
    }

    /// The same after the call that has it, which is waited for, but not for one that does not end. Not for the audio thread.
    pub fn with_soon<R>(&self, mut work: impl FnMut(&mut T) -> R) -> Option<R> {
        (0..MOST_PAUSES).find_map(|number| {
            if number > 0 {
                std::thread::sleep(PAUSE);
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
                    std::thread::sleep(20 * PAUSE);
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
