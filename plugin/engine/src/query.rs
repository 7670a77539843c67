//! What a model that is asked by example is to look for: a point in the space that its examples lie in.

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use atomic_float::AtomicF32;
use serde::Deserialize;

/// Values of the largest embedding that a model may be asked by.
pub const MAX_EMBEDDING_SIZE: usize = 32;

/// A point in a model's space of examples. Models of fewer dimensions take the first ones. All zero: its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Embedding([f32; MAX_EMBEDDING_SIZE]);

impl Default for Embedding {
    fn default() -> Self {
        Self([0.0; MAX_EMBEDDING_SIZE])
    }
}

impl Embedding {
    /// Of these values. Those that are missing are 0, those beyond [`MAX_EMBEDDING_SIZE`] are left out, and so is what is no number.
    #[must_use]
    pub fn new(values: &[f32]) -> Self {
        let mut own = Self::default();
        for (place, value) in own.0.iter_mut().zip(values) {
            *place = if value.is_finite() { *value } else { 0.0 };
        }
        own
    }

    /// The values, [`MAX_EMBEDDING_SIZE`] of them.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

/// A class of sounds that can be asked for without an example: the mean of its training examples.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct QueryPreset {
    /// Permanent id, saved in sessions: one word.
    pub id: String,
    /// As long as the model's embedding.
    pub embedding: Vec<f32>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Query {
    /// This point.
    Point(Embedding),
    /// Where the example lies that was listened to last.
    Example,
}

/// Where the example of one instance lies: written when one was listened to or a session is loaded, read by the audio thread
/// without a lock and by whoever saves the session. Outlives activations.
#[derive(Debug, Default)]
pub struct QueryBoard {
    /// Odd while it is written; 0 before anything was.
    version: AtomicU32,
    values: [AtomicF32; MAX_EMBEDDING_SIZE],
    /// Number of the last example that was dealt with.
    answered: AtomicU32,
    /// Held by who writes. Why the last example could not be used, if it could not.
    refusal: Mutex<Option<String>>,
}

impl QueryBoard {
    /// The example lies here now. Not for the audio thread.
    pub fn post(&self, embedding: &Embedding) {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.version.load(Ordering::Relaxed);
        self.version.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (place, value) in self.values.iter().zip(embedding.values()) {
            place.store(*value, Ordering::Relaxed);
        }
        // Never 0 again.
        self.version.store(before.wrapping_add(2).max(2), Ordering::Release);
        *refusal = None;
    }

    /// The example that was given could not be used. What was there stays. Not for the audio thread.
    pub fn refuse(&self, why: String) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Why the last example could not be used, if it could not. Not for the audio thread.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the example lies; none where there never was one. Waits for who writes: not for the audio thread.
    #[must_use]
    pub fn settled(&self) -> Option<Embedding> {
        let _nobody_writes = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        self.read()
    }

    /// Where the example lies; none where there never was one, or it is just being written. Real-time safe.
    #[must_use]
    pub fn read(&self) -> Option<Embedding> {
        let version = self.version.load(Ordering::Acquire);
        if version == 0 || !version.is_multiple_of(2) {
            return None;
        }
        let mut embedding = Embedding::default();
        for (value, place) in embedding.0.iter_mut().zip(&self.values) {
            *value = place.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        (self.version.load(Ordering::Relaxed) == version).then_some(embedding)
    }

    /// The example of this number was dealt with.
    pub(crate) fn answer(&self, number: u32) {
        self.answered.store(number, Ordering::Release);
    }

    /// Number of the last example that was dealt with, 0 before the first.
    pub(crate) fn answered(&self) -> u32 {
        self.answered.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_shows_what_was_posted_last_and_never_half_of_it() {
        let board = std::sync::Arc::new(QueryBoard::default());
        assert_eq!(board.read(), None);
        let writer = {
            let board = board.clone();
            std::thread::spawn(move || {
                for number in 0..20_000_u16 {
                    board.post(&Embedding::new(&[f32::from(number); MAX_EMBEDDING_SIZE]));
                }
            })
        };
        let mut last = 0.0;
        while !writer.is_finished() {
            let settled = board.settled();
            assert!(settled.is_some() || last == 0.0, "one that waits finds something");
            if let Some(embedding) = board.read() {
                let values = embedding.values();
                assert!(values.iter().all(|value| *value == values[0]), "torn: {values:?}");
                assert!(values[0] >= last);
                last = values[0];
            }
        }
        assert_eq!(board.read(), Some(Embedding::new(&[19_999.0; MAX_EMBEDDING_SIZE])));
    }

    #[test]
    fn a_refused_example_leaves_the_one_before_and_says_why_until_another_comes() {
        let board = QueryBoard::default();
        let first = Embedding::new(&[1.0]);
        board.post(&first);
        board.refuse("it is silent".into());
        assert_eq!((board.read(), board.refusal().as_deref()), (Some(first), Some("it is silent")));
        board.post(&Embedding::new(&[2.0]));
        assert_eq!(board.refusal(), None);
    }

    #[test]
    fn an_embedding_holds_numbers_only_and_as_many_as_there_is_room_for() {
        let asked = Embedding::new(&[0.5, f32::NAN, f32::INFINITY, -1.0]);
        assert_eq!(asked.values()[..5], [0.5, 0.0, 0.0, -1.0, 0.0]);
        assert_eq!(Embedding::new(&[1.0; 2 * MAX_EMBEDDING_SIZE]).values(), [1.0; MAX_EMBEDDING_SIZE]);
    }
}
