//! A clock that stands still until a test moves it on, for each test's thread another one.

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
