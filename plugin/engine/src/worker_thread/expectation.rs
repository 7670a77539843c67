//! How long the next call is going to take, judged by those before it.

use std::time::Duration;

/// Calls that it is judged by. The middle one of three: one that was slow for once changes nothing.
const NUM_LATEST: usize = 3;

/// What is left of the expectation with each call that it kept from being run: it is not confirmed while none is, and what it says of
/// a moment is not to hold for ever.
const KEPT: f32 = 0.9;

/// What calls took of late. Nothing, as long as too few were run.
#[derive(Debug, Default)]
pub struct Expectation {
    latest: [Duration; NUM_LATEST],
    next: usize,
    num_not_run: i32,
}

impl Expectation {
    /// A call was run.
    pub fn note_run(&mut self, taken: Duration) {
        self.latest[self.next] = taken;
        self.next = (self.next + 1) % NUM_LATEST;
        self.num_not_run = 0;
    }

    /// A call was not run, because it was expected to take too long.
    pub fn note_not_run(&mut self) {
        self.num_not_run += 1;
    }

    /// What the next call is going to take.
    pub fn get(&self) -> Duration {
        let mut sorted = self.latest;
        sorted.sort_unstable();
        sorted[NUM_LATEST / 2].mul_f32(KEPT.powi(self.num_not_run))
    }
}
