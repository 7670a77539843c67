//! Where the example of one slot lies, for all who ask, and what is known of it besides.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use atomic_float::AtomicF32;

use crate::query::{Embedding, MAX_EMBEDDING_SIZE, NUM_SLOTS};
use crate::thumbnail::Thumbnail;

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

/// All that is kept of an example: nothing of its sound.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptExample {
    /// Where it lies.
    pub embedding: Embedding,
    /// What it is called; empty as long as nobody gave it a name.
    pub name: String,
    /// What it looked like; none in sessions from before there were any.
    pub thumbnail: Option<Thumbnail>,
    /// Of the model that listened to it, in whose space it lies; empty where that is not known.
    pub model_id: String,
}

/// A sound from elsewhere than the sidechain, to be listened to.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// What the example is to be called.
    pub name: String,
    /// `[channel][sample]`, full scale 1.0.
    pub channels: Vec<Vec<f32>>,
    /// Of the samples, Hz; whatever the host's is.
    pub rate_hz: f64,
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
    /// Held by who writes; never locked on an audio thread.
    about: Mutex<About>,
}

/// What no audio thread needs to know.
#[derive(Debug, Default)]
struct About {
    /// The example that was written last.
    kept: Option<KeptExample>,
    /// Why the last example could not be used, if it could not.
    refusal: Option<String>,
    /// Waits for a worker of a model that is asked.
    offered: Option<Recording>,
}

impl QueryBoard {
    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This is the example now, or there is none, whatever was taken or offered before: a session was loaded. Not for the audio thread.
    pub fn load(&self, example: Option<KeptExample>) {
        let mut about = self.about();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.write(example.as_ref().map(|example| &example.embedding));
        *about = About { kept: example, ..About::default() };
    }

    /// Has the next worker that listens listen to this, instead of what was offered before. Not for the audio thread.
    pub fn offer(&self, recording: Recording) {
        self.about().offered = Some(recording);
    }

    /// Whether something was offered that nobody has listened to yet. Not for the audio thread.
    #[must_use]
    pub fn has_offer(&self) -> bool {
        self.about().offered.is_some()
    }

    /// What was offered, and the epoch to post it with. Not for the audio thread.
    pub(crate) fn take_offer(&self) -> Option<(u32, Recording)> {
        let mut about = self.about();
        about.offered.take().map(|recording| (self.epoch(), recording))
    }

    /// The example that was taken in `epoch` is this, unless that is over. Not for the audio thread.
    pub(crate) fn post(&self, epoch: u32, example: KeptExample) {
        let mut about = self.about();
        if self.epoch() == epoch {
            self.write(Some(&example.embedding));
            (about.kept, about.refusal) = (Some(example), None);
        }
    }

    /// The example that was taken in `epoch` could not be used. What was there stays. Not for the audio thread.
    pub(crate) fn refuse(&self, epoch: u32, why: String) {
        let mut about = self.about();
        if self.epoch() == epoch {
            about.refusal = Some(why);
        }
    }

    /// What was to be offered could not be read. What was there stays. Not for the audio thread.
    pub fn refuse_offer(&self, why: String) {
        self.about().refusal = Some(why);
    }

    /// Calls the example `name`. Not for the audio thread.
    pub fn rename(&self, name: &str) {
        if let Some(kept) = &mut self.about().kept {
            name.clone_into(&mut kept.name);
        }
    }

    /// Rises with every session that is loaded: what an example that is taken now is to be posted with.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Forgets the example, and what was taken up to now. Real-time safe; only where nobody but workers writes.
    pub(crate) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.has_example.store(false, Ordering::Release);
    }

    /// For who holds `about`.
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
        self.about().refusal.clone()
    }

    /// Where the example lies; none where there is none. Waits for who writes: not for the audio thread.
    #[must_use]
    pub fn settled(&self) -> Option<Embedding> {
        self.kept().map(|example| example.embedding)
    }

    /// All that is known of the example; none where there is none. Waits for who writes: not for the audio thread.
    #[must_use]
    pub fn kept(&self) -> Option<KeptExample> {
        let about = self.about();
        // It may have been forgotten since.
        matches!(self.read(), Reading::Example(_)).then(|| about.kept.clone())?
    }

    /// Where the example lies. Real-time safe.
    #[must_use]
    pub fn read(&self) -> Reading {
        let version = self.version.load(Ordering::Acquire);
        if !version.is_multiple_of(2) {
            return Reading::Busy;
        }
        let has_example = self.has_example.load(Ordering::Relaxed);
        let mut embedding = [0.0; MAX_EMBEDDING_SIZE];
        for (value, place) in embedding.iter_mut().zip(&self.values) {
            *value = place.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        if self.version.load(Ordering::Relaxed) != version {
            return Reading::Busy;
        }
        if has_example { Reading::Example(Embedding::new(&embedding)) } else { Reading::Empty }
    }
}

impl From<Embedding> for KeptExample {
    /// Without a name, unseen, and nobody knows where from.
    fn from(embedding: Embedding) -> Self {
        Self { embedding, name: String::new(), thumbnail: None, model_id: String::new() }
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
                    board.post(0, Embedding::new(&[f32::from(number) / 200.0; MAX_EMBEDDING_SIZE]).into());
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
        board.post(0, first.into());
        board.refuse(0, "it is silent".into());
        assert_eq!((board.settled(), board.refusal().as_deref()), (Some(first), Some("it is silent")));
        board.post(0, Embedding::new(&[2.0]).into());
        assert_eq!(board.refusal(), None);
        board.refuse_offer("it is no audio file".into());
        assert_eq!(board.refusal().as_deref(), Some("it is no audio file"));
    }

    #[test]
    fn what_was_taken_before_a_session_was_loaded_changes_nothing_of_it() {
        let board = QueryBoard::default();
        let (taken, loaded) = (Embedding::new(&[1.0]), Embedding::new(&[2.0]));
        let recording = Recording { name: "a file".into(), channels: Vec::new(), rate_hz: 48_000.0 };
        board.offer(recording.clone());
        let (epoch, offered) = board.take_offer().unwrap();
        assert_eq!((offered, board.has_offer()), (recording.clone(), false));
        board.offer(recording);
        board.load(Some(loaded.into()));
        board.post(epoch, taken.into());
        board.refuse(epoch, "it is silent".into());
        assert_eq!((board.settled(), board.refusal(), board.has_offer()), (Some(loaded), None, false));
        board.post(board.epoch(), taken.into());
        assert_eq!(board.settled(), Some(taken));
        board.forget();
        assert_eq!(board.settled(), None);
    }

    #[test]
    fn a_name_is_that_of_the_example_which_it_was_given_to() {
        let board = QueryBoard::default();
        board.post(0, KeptExample { name: "hum".into(), ..Embedding::new(&[1.0]).into() });
        board.rename("low hum");
        assert_eq!(board.kept().unwrap().name, "low hum");
        board.post(0, Embedding::new(&[2.0]).into());
        assert_eq!(board.kept().unwrap().name, "", "another example");
    }
}
