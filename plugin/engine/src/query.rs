//! What a model that is asked by example is to look for: a point in the space that its examples lie in.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use atomic_float::AtomicF32;
use serde::Deserialize;

/// Queries that a question is made of: A and B.
pub const NUM_SLOTS: usize = 2;

/// Values of the largest embedding that a model may be asked by.
pub const MAX_EMBEDDING_SIZE: usize = 32;

/// Below it two directions are one, or opposite.
const SMALLEST_SINE: f32 = 1e-3;

/// Below it a point has no direction.
const SMALLEST_LENGTH: f32 = 1e-6;

/// No value of an embedding is larger: those of models lie within some units, and products of these stay finite.
const LARGEST: f32 = 100.0;

/// A point in a model's space of examples. Models of fewer dimensions take the first ones. All zero: its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Embedding([f32; MAX_EMBEDDING_SIZE]);

impl Default for Embedding {
    fn default() -> Self {
        Self([0.0; MAX_EMBEDDING_SIZE])
    }
}

impl Embedding {
    /// Of these values. Those that are missing are 0, those beyond [`MAX_EMBEDDING_SIZE`] are left out, and so is what is no number; what is
    /// larger than any model's is limited.
    #[must_use]
    pub fn new(values: &[f32]) -> Self {
        let mut own = Self::default();
        for (place, value) in own.0.iter_mut().zip(values) {
            *place = if value.is_finite() { value.clamp(-LARGEST, LARGEST) } else { 0.0 };
        }
        own
    }

    /// The point `share` of the way from here (0) to `other` (1): its direction along the arc between theirs (spherical linear
    /// interpolation, Shoemake 1985), its length in between. Where there is no one arc, along the straight line.
    #[must_use]
    pub fn towards(&self, other: &Self, share: f32) -> Self {
        let dot = |a: &Self, b: &Self| a.0.iter().zip(&b.0).map(|(a, b)| a * b).sum::<f32>();
        let lengths = (dot(self, self).sqrt(), dot(other, other).sqrt());
        let cosine = dot(self, other) / (lengths.0 * lengths.1).max(f32::MIN_POSITIVE);
        let angle = cosine.clamp(-1.0, 1.0).acos();
        let sine = angle.sin();
        let (of_self, of_other) = if sine < SMALLEST_SINE || lengths.0.min(lengths.1) < SMALLEST_LENGTH {
            (1.0 - share, share)
        } else {
            let length = lengths.0 + share * (lengths.1 - lengths.0);
            (
                ((1.0 - share) * angle).sin() / sine * length / lengths.0,
                (share * angle).sin() / sine * length / lengths.1,
            )
        };
        let values: [f32; MAX_EMBEDDING_SIZE] =
            std::array::from_fn(|idx| of_self * self.0[idx] + of_other * other.0[idx]);
        Self::new(&values)
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

/// What is asked for in one slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Query {
    /// This point.
    Point(Embedding),
    /// Where the example of this slot lies that was listened to last.
    Example {
        /// As long as there is none.
        otherwise: Embedding,
    },
    /// What lies at this place of the model's map, see [`QueryMap::between`](crate::QueryMap::between).
    Map(crate::query_map::Place),
}

/// What is asked for: the point between what is asked for in either slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// A, then B.
    pub slots: [Query; NUM_SLOTS],
    /// 0 (A)..=1 (B), see [`Embedding::towards`].
    pub blend: f32,
}

impl Default for Question {
    /// The middle of the space.
    fn default() -> Self {
        Self { slots: [Query::Point(Embedding::default()); NUM_SLOTS], blend: 0.0 }
    }
}

/// Boards of one instance, by slot.
pub type QueryBoards = [QueryBoard; NUM_SLOTS];

/// What a look at a board shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// There is no example.
    Empty,
    /// It lies here.
    Example(Embedding),
    /// It is just being written: what was there before still holds.
    Busy,
}

/// Where the example of one slot lies: written when one was listened to or a session is loaded, read by the audio thread
/// without a lock and by whoever saves the session. Outlives activations.
#[derive(Debug, Default)]
pub struct QueryBoard {
    /// Odd while it is written.
    version: AtomicU32,
    has_example: AtomicBool,
    values: [AtomicF32; MAX_EMBEDDING_SIZE],
    /// Rises when something else than an example decides what is here: what was taken before then says nothing any more.
    epoch: AtomicU32,
    /// Held by who writes. Why the last example could not be used, if it could not.
    refusal: Mutex<Option<String>>,
}

impl QueryBoard {
    /// The example lies here now, or there is none, whatever was taken before: a session was loaded. Not for the audio thread.
    pub fn load(&self, example: Option<&Embedding>) {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.write(example);
        *refusal = None;
    }

    /// The example that was taken in `epoch` lies here, unless that is over. Not for the audio thread.
    pub(crate) fn post(&self, epoch: u32, embedding: &Embedding) {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch() == epoch {
            self.write(Some(embedding));
            *refusal = None;
        }
    }

    /// The example that was taken in `epoch` could not be used. What was there stays. Not for the audio thread.
    pub(crate) fn refuse(&self, epoch: u32, why: String) {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch() == epoch {
            *refusal = Some(why);
        }
    }

    /// What an example that is taken now is to be posted with.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Forgets the example, and what was taken up to now. Real-time safe; only where nobody but workers writes.
    pub(crate) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.has_example.store(false, Ordering::Release);
    }

    /// For who holds `refusal`.
    fn write(&self, example: Option<&Embedding>) {
        let before = self.version.load(Ordering::Relaxed);
        self.version.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.has_example.store(example.is_some(), Ordering::Relaxed);
        for (place, value) in self.values.iter().zip(example.copied().unwrap_or_default().values()) {
            place.store(*value, Ordering::Relaxed);
        }
        self.version.store(before.wrapping_add(2), Ordering::Release);
    }

    /// Why the last example could not be used, if it could not. Not for the audio thread.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the example lies; none where there is none. Waits for who writes: not for the audio thread.
    #[must_use]
    pub fn settled(&self) -> Option<Embedding> {
        let _nobody_writes = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        match self.read() {
            Reading::Example(embedding) => Some(embedding),
            Reading::Empty | Reading::Busy => None,
        }
    }

    /// Where the example lies. Real-time safe.
    #[must_use]
    pub fn read(&self) -> Reading {
        let version = self.version.load(Ordering::Acquire);
        if !version.is_multiple_of(2) {
            return Reading::Busy;
        }
        let has_example = self.has_example.load(Ordering::Relaxed);
        let mut embedding = Embedding::default();
        for (value, place) in embedding.0.iter_mut().zip(&self.values) {
            *value = place.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        if self.version.load(Ordering::Relaxed) != version {
            return Reading::Busy;
        }
        if has_example { Reading::Example(embedding) } else { Reading::Empty }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_shows_what_was_posted_last_and_never_half_of_it() {
        let board = std::sync::Arc::new(QueryBoard::default());
        assert_eq!(board.read(), Reading::Empty);
        let writer = {
            let board = board.clone();
            std::thread::spawn(move || {
                for number in 0..20_000_u16 {
                    board.post(0, &Embedding::new(&[f32::from(number) / 200.0; MAX_EMBEDDING_SIZE]));
                }
            })
        };
        let mut last = 0.0;
        while !writer.is_finished() {
            let settled = board.settled();
            assert!(settled.is_some() || last == 0.0, "one that waits finds something");
            if let Reading::Example(embedding) = board.read() {
                let values = embedding.values();
                assert!(values.iter().all(|value| *value == values[0]), "torn: {values:?}");
                assert!(values[0] >= last);
                last = values[0];
            }
        }
        assert_eq!(board.read(), Reading::Example(Embedding::new(&[19_999.0 / 200.0; MAX_EMBEDDING_SIZE])));
        board.load(None);
        assert_eq!((board.read(), board.settled()), (Reading::Empty, None));
    }

    #[test]
    fn a_refused_example_leaves_the_one_before_and_says_why_until_another_comes() {
        let board = QueryBoard::default();
        let first = Embedding::new(&[1.0]);
        board.post(0, &first);
        board.refuse(0, "it is silent".into());
        assert_eq!((board.settled(), board.refusal().as_deref()), (Some(first), Some("it is silent")));
        board.post(0, &Embedding::new(&[2.0]));
        assert_eq!(board.refusal(), None);
    }

    #[test]
    fn what_was_taken_before_a_session_was_loaded_changes_nothing_of_it() {
        let board = QueryBoard::default();
        let (taken, loaded) = (Embedding::new(&[1.0]), Embedding::new(&[2.0]));
        let epoch = board.epoch();
        board.load(Some(&loaded));
        board.post(epoch, &taken);
        board.refuse(epoch, "it is silent".into());
        assert_eq!((board.settled(), board.refusal()), (Some(loaded), None));
        board.post(board.epoch(), &taken);
        assert_eq!(board.settled(), Some(taken));
        board.forget();
        assert_eq!(board.settled(), None);
    }

    #[test]
    fn an_embedding_holds_numbers_only_and_as_many_as_there_is_room_for() {
        let asked = Embedding::new(&[0.5, f32::NAN, f32::INFINITY, -1.0]);
        assert_eq!(asked.values()[..5], [0.5, 0.0, 0.0, -1.0, 0.0]);
        assert_eq!(Embedding::new(&[1e30, -1e30]).values()[..2], [LARGEST, -LARGEST]);
        assert!(asked.towards(&Embedding::new(&[1.0]), f32::NAN).values().iter().all(|value| value.is_finite()));
        assert_eq!(Embedding::new(&[1.0; 2 * MAX_EMBEDDING_SIZE]).values(), [1.0; MAX_EMBEDDING_SIZE]);
    }

    #[test]
    fn between_two_points_lies_the_arc_and_no_hole() {
        let (a, b) = (Embedding::new(&[2.0, 0.0]), Embedding::new(&[0.0, 1.0]));
        let close = |a: &Embedding, b: &[f32]| {
            a.values().iter().zip(Embedding::new(b).values()).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        assert!(close(&a.towards(&b, 0.0), &[2.0, 0.0]) && close(&a.towards(&b, 1.0), &[0.0, 1.0]));
        let half = 1.5 / 2.0_f32.sqrt();
        assert!(close(&a.towards(&b, 0.5), &[half, half]), "{:?}", a.towards(&b, 0.5));
        assert!(close(&a.towards(&a, 0.3), &[2.0, 0.0]));
        // No direction at all, and the opposite one: the straight line.
        assert!(close(&Embedding::default().towards(&a, 0.25), &[0.5, 0.0]));
        assert!(close(&a.towards(&Embedding::new(&[-2.0]), 0.25), &[1.0, 0.0]));
    }
}
