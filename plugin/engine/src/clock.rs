//! Injectable clock.

use std::time::Instant;

/// Returns the time.
pub type Clock = fn() -> Instant;

/// A clock that stands still until a test moves it on, for each test's thread another one.
#[cfg(test)]
pub mod standing {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    thread_local! {
        static NOW: Cell<Instant> = Cell::new(Instant::now());
    }

    /// What it shows.
    pub fn now() -> Instant {
        NOW.get()
    }

    /// Moves it on.
    pub fn advance(by: Duration) {
        NOW.set(NOW.get() + by);
    }
}
