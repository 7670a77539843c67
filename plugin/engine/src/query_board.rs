//! Where the example of one slot lies, for all who ask, and what is known of it besides.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use atomic_float::AtomicF32;

use crate::query::{Embedding, MAX_EMBEDDING_SIZE, NUM_SLOTS, Space};
use crate::recording::Recording;
use crate::thumbnail::Thumbnail;

/// Boards of one instance, by slot.
pub type QueryBoards = [QueryBoard; NUM_SLOTS];

/// Whom an example is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipient {
    /// This slot of the question.
    Slot(usize),
    /// Who follows the sidechain: what it says is nobody's to keep.
    Followed,
}

impl Recipient {
    /// How many there are.
    pub const NUM: usize = NUM_SLOTS + 1;

    /// Its place among all, below [`Recipient::NUM`] where there is such a slot.
    pub fn idx(self) -> usize {
        match self {
            Self::Slot(slot) => slot,
            Self::Followed => NUM_SLOTS,
        }
    }

    /// All of them, by their places.
    pub fn all() -> [Self; Self::NUM] {
        std::array::from_fn(|idx| if idx < NUM_SLOTS { Self::Slot(idx) } else { Self::Followed })
    }
}

/// Where an engine's examples are written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Boards {
    /// Of the instance.
    pub slots: Arc<QueryBoards>,
    /// Of the sidechain that is followed: this engine's own.
    pub followed: Arc<QueryBoard>,
}

impl Boards {
    /// The board of whom an example is for.
    pub fn of(&self, recipient: Recipient) -> &QueryBoard {
        match recipient {
            Recipient::Slot(slot) => &self.slots[slot],
            Recipient::Followed => &self.followed,
        }
    }
}

/// Examples of before that a slot keeps.
pub const MAX_EARLIER: usize = 6;

/// As long as a worker may take that has a model to open first: who wanted an example longer ago than that wants none any more.
pub const LONGEST_WISH: Duration = Duration::from_secs(10);

/// Whose last three seconds of sound become an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// What was played to be listened to.
    Sidechain = 1,
    /// What was found.
    Target = 2,
}

/// What a look at a board shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// There is no example.
    Empty,
    /// It lies here, in this model's space.
    Example(Embedding, Space),
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

/// Where the example of one slot lies: written when one was listened to or a session is loaded, read by the audio thread
/// without a lock and by whoever saves the session. Outlives activations.
#[derive(Debug, Default)]
pub struct QueryBoard {
    /// Odd while it is written.
    version: AtomicU32,
    has_example: AtomicBool,
    values: [AtomicF32; MAX_EMBEDDING_SIZE],
    /// The number of a [`Space`].
    space: AtomicU64,
    /// Number of what was taken, offered, loaded or forgotten last.
    tickets: AtomicU64,
    /// Number of what is here: what has a lower one comes too late. Of who holds `about`.
    newest: AtomicU64,
    /// What has this number or a lower one is forgotten, though it may be here, or be written just now. A mark of its own, because who
    /// forgets cannot wait for who writes.
    forgotten: AtomicU64,
    /// Something was offered that nobody has answered yet.
    is_offered: AtomicBool,
    /// The [`Source`] of an example that a person wants and the audio thread has not taken yet, and above it when that was, ms; 0: none.
    wanted: AtomicU64,
    /// Sessions that were loaded.
    num_loads: AtomicU64,
    /// Held by who writes; never locked on an audio thread.
    about: Mutex<About>,
}

/// What no audio thread needs to know.
#[derive(Debug, Default)]
struct About {
    /// The example that was written last.
    kept: Option<KeptExample>,
    /// Those before it, the newest first.
    earlier: Vec<KeptExample>,
    /// Why the last example could not be used, if it could not.
    refusal: Option<String>,
    /// Waits for a worker of a model that is asked, with its number.
    offered: Option<(u64, Recording)>,
}

impl About {
    /// Makes `example` the present one and what it replaces an earlier one. Each sound is kept once: one that is captured again is no other.
    fn replace(&mut self, mut example: KeptExample) {
        self.refusal = None;
        let is_same = |it: &KeptExample| (&it.embedding, &it.model_id) == (&example.embedding, &example.model_id);
        if let Some(kept) = self.kept.take_if(|kept| is_same(kept))
            && example.name.is_empty()
        {
            example.name = kept.name;
        }
        self.earlier
            .retain(|earlier| (&earlier.embedding, &earlier.model_id) != (&example.embedding, &example.model_id));
        if let Some(before) = self.kept.replace(example) {
            self.earlier.insert(0, before);
            self.earlier.truncate(MAX_EARLIER);
        }
    }
}

impl QueryBoard {
    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of an example that is taken now. Real-time safe.
    pub(crate) fn take_ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// This is the example now, or there is none, whatever was taken or offered before: a session was loaded. Not for the audio thread.
    pub fn load(&self, example: Option<KeptExample>) {
        self.load_all(example, Vec::new());
    }

    /// The same, with the examples of before, the newest first.
    pub fn load_all(&self, example: Option<KeptExample>, mut earlier: Vec<KeptExample>) {
        earlier.truncate(MAX_EARLIER);
        let mut about = self.about();
        self.is_offered.store(false, Ordering::Release);
        self.want_no_more();
        self.num_loads.fetch_add(1, Ordering::Relaxed);
        self.write(self.take_ticket(), example.as_ref());
        *about = About { kept: example, earlier, ..About::default() };
    }

    /// Those that were the example before this one, the newest first. Not for the audio thread.
    #[must_use]
    pub fn earlier(&self) -> Vec<KeptExample> {
        self.about().earlier.clone()
    }

    /// The example and those before it, as they are at one moment. Not for the audio thread.
    #[must_use]
    pub fn all(&self) -> (Option<KeptExample>, Vec<KeptExample>) {
        let about = self.about();
        (self.kept_of(&about), about.earlier.clone())
    }

    /// Makes an earlier example, by its place, the example again, and this one an earlier one. Not for the audio thread.
    pub fn recall(&self, place: usize) {
        let mut about = self.about();
        if place < about.earlier.len() {
            let example = about.earlier.remove(place);
            self.write(self.take_ticket(), Some(&example));
            about.replace(example);
        }
    }

    /// Has the next worker that listens listen to this, instead of what was offered before. Not for the audio thread.
    pub fn offer(&self, recording: Recording) {
        self.offer_to(self.about(), recording);
    }

    fn offer_to(&self, mut about: MutexGuard<'_, About>, recording: Recording) {
        (about.offered, about.refusal) = (Some((self.take_ticket(), recording)), None);
        self.is_offered.store(true, Ordering::Release);
    }

    /// Offers the recording, or says why it could not be read, unless a session was loaded since `num_loads` were: what was chosen before is not to
    /// change that one. Returns whether it was offered. Not for the audio thread.
    pub fn offer_unless_loaded(&self, num_loads: u64, recording: Result<Recording, String>) -> bool {
        let mut about = self.about();
        if self.num_loads() != num_loads {
            return false;
        }
        match recording {
            Ok(recording) => {
                self.offer_to(about, recording);
                true
            }
            Err(why) => {
                about.refusal = Some(why);
                false
            }
        }
    }

    /// Has the audio thread take an example with its next block. Not a param, as the switches are: a host would record it, and take another example
    /// whenever it plays the recording. Real-time safe, as the next three are.
    pub fn want(&self, source: Source) {
        self.want_at(source, now_ms());
    }

    fn want_at(&self, source: Source, at_ms: u64) {
        self.wanted.store(at_ms << SOURCE_BITS | source as u64, Ordering::Relaxed);
    }

    /// What is wanted and was not taken yet is wanted since now.
    pub fn want_still(&self) {
        self.want_still_at(now_ms());
    }

    fn want_still_at(&self, at_ms: u64) {
        let since_then = |wanted| (wanted != 0).then_some(at_ms << SOURCE_BITS | wanted & ((1 << SOURCE_BITS) - 1));
        // Where it was taken meanwhile nothing is wanted.
        let _ = self.wanted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, since_then);
    }

    /// Nobody waits for it any more, if it was not taken yet.
    pub fn want_no_more(&self) {
        self.wanted.store(0, Ordering::Relaxed);
    }

    /// What is wanted since the last look, unless that is longer ago than [`LONGEST_WISH`]: nobody may be there any more who would say that it is over.
    #[must_use]
    pub fn take_wanted(&self) -> Option<Source> {
        // A look at the clock is for who wants something.
        if self.wanted.load(Ordering::Relaxed) == 0 { None } else { self.take_wanted_at(now_ms()) }
    }

    fn take_wanted_at(&self, now_ms: u64) -> Option<Source> {
        let wanted = self.wanted.swap(0, Ordering::Relaxed);
        let (at_ms, source) = (wanted >> SOURCE_BITS, wanted & ((1 << SOURCE_BITS) - 1));
        let is_over = u128::from(now_ms.saturating_sub(at_ms)) > LONGEST_WISH.as_millis();
        [Source::Sidechain, Source::Target].into_iter().find(|known| *known as u64 == source).filter(|_| !is_over)
    }

    /// What was to be offered could not be read. What was there stays. Not for the audio thread.
    pub fn refuse_offer(&self, why: String) {
        self.about().refusal = Some(why);
    }

    /// What was said of the last example is over: somebody wants another. Not for the audio thread.
    pub fn clear_refusal(&self) {
        self.about().refusal = None;
    }

    /// Whether something was offered that nobody has answered yet. Real-time safe.
    #[must_use]
    pub fn has_offer(&self) -> bool {
        self.is_offered.load(Ordering::Acquire)
    }

    /// What was offered, and the number to answer it with. Not for the audio thread.
    pub(crate) fn take_offer(&self) -> Option<(u64, Recording)> {
        if self.has_offer() { self.about().offered.take() } else { None }
    }

    /// What was taken or offered with this number is this example, or cannot be used, and why: then what was there stays. Nothing happens where
    /// something newer is here. Not for the audio thread.
    pub(crate) fn answer(&self, ticket: u64, answer: Result<KeptExample, String>) {
        let mut about = self.about();
        let newest = self.newest.load(Ordering::Relaxed).max(self.forgotten.load(Ordering::Acquire));
        if ticket > newest {
            match answer {
                Ok(example) => {
                    self.write(ticket, Some(&example));
                    about.replace(example);
                }
                Err(why) => about.refusal = Some(why),
            }
        }
        self.is_offered.store(about.offered.is_some(), Ordering::Release);
    }

    /// Calls the example `name`. Not for the audio thread.
    pub fn rename(&self, name: &str) {
        if let Some(kept) = &mut self.about().kept {
            name.clone_into(&mut kept.name);
        }
    }

    /// Sessions that were loaded. Real-time safe.
    #[must_use]
    pub fn num_loads(&self) -> u64 {
        self.num_loads.load(Ordering::Relaxed)
    }

    /// Forgets the example, and what was taken up to now. Real-time safe.
    pub(crate) fn forget(&self) {
        self.forgotten.fetch_max(self.take_ticket(), Ordering::AcqRel);
    }

    /// For who holds `about`.
    fn write(&self, ticket: u64, example: Option<&KeptExample>) {
        let before = self.version.load(Ordering::Relaxed);
        self.version.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.newest.store(ticket, Ordering::Relaxed);
        self.has_example.store(example.is_some(), Ordering::Relaxed);
        let (embedding, space) =
            example.map_or_else(Default::default, |example| (example.embedding, Space::of(&example.model_id)));
        for (place, value) in self.values.iter().zip(embedding.values()) {
            place.store(*value, Ordering::Relaxed);
        }
        self.space.store(space.0, Ordering::Relaxed);
        self.version.store(before.wrapping_add(2), Ordering::Release);
    }

    /// Why the last example could not be used, if it could not. Not for the audio thread.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.about().refusal.clone()
    }

    /// Where the example lies; none where there is none. Waits for who writes.
    #[cfg(test)]
    pub(crate) fn settled(&self) -> Option<Embedding> {
        self.kept().map(|example| example.embedding)
    }

    /// Number of what is here: whatever comes after it has a higher one. Real-time safe.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// All that is known of the example; none where there is none. Waits for who writes: not for the audio thread.
    #[must_use]
    pub fn kept(&self) -> Option<KeptExample> {
        self.kept_of(&self.about())
    }

    /// For who holds `about`.
    fn kept_of(&self, about: &About) -> Option<KeptExample> {
        // It may have been forgotten since.
        matches!(self.read(), Reading::Example(..)).then(|| about.kept.clone())?
    }

    /// Where the example lies. Real-time safe.
    #[must_use]
    pub fn read(&self) -> Reading {
        let version = self.version.load(Ordering::Acquire);
        if !version.is_multiple_of(2) {
            return Reading::Busy;
        }
        let newest = self.newest.load(Ordering::Relaxed);
        let has_example = self.has_example.load(Ordering::Relaxed);
        let mut embedding = [0.0; MAX_EMBEDDING_SIZE];
        for (value, place) in embedding.iter_mut().zip(&self.values) {
            *value = place.load(Ordering::Relaxed);
        }
        let space = Space(self.space.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if self.version.load(Ordering::Relaxed) != version {
            return Reading::Busy;
        }
        let is_forgotten = newest <= self.forgotten.load(Ordering::Acquire);
        if has_example && !is_forgotten { Reading::Example(Embedding::new(&embedding), space) } else { Reading::Empty }
    }
}

/// Bits of a [`Source`] beside its time.
const SOURCE_BITS: u32 = 8;

/// Time since somebody first wanted something, ms. Real-time safe from then on.
fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
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
                    let example = Embedding::new(&[f32::from(number) / 200.0; MAX_EMBEDDING_SIZE]).into();
                    board.answer(board.take_ticket(), Ok(example));
                }
            })
        };
        let mut last = 0.0;
        while !writer.is_finished() {
            let settled = board.settled();
            assert!(settled.is_some() || last == 0.0, "one that waits finds something");
            if let Reading::Example(embedding, _) = board.read() {
                let values = embedding.values();
                assert!(values.iter().all(|value| *value == values[0]), "torn: {values:?}");
                assert!(values[0] >= last);
                last = values[0];
            }
        }
        let last = Embedding::new(&[19_999.0 / 200.0; MAX_EMBEDDING_SIZE]);
        assert_eq!(board.read(), Reading::Example(last, Space::default()));
        board.load(None);
        assert_eq!((board.read(), board.settled()), (Reading::Empty, None));
    }

    fn post(board: &QueryBoard, value: f32) {
        board.answer(board.take_ticket(), Ok(Embedding::new(&[value]).into()));
    }

    fn value(board: &QueryBoard) -> Option<f32> {
        board.settled().map(|embedding| embedding.values()[0])
    }

    fn hum() -> Recording {
        Recording::new("hum".into(), vec![vec![0.5; 4_800]], 48_000.0)
    }

    #[test]
    fn a_sound_that_is_captured_again_takes_no_earlier_example_s_place() {
        let board = QueryBoard::default();
        let example = |value: f32, name: &str| KeptExample { name: name.into(), ..Embedding::new(&[value]).into() };
        for number in 1..=7_u8 {
            board.answer(board.take_ticket(), Ok(example(number.into(), &number.to_string())));
        }
        let names = |board: &QueryBoard| {
            let (kept, earlier) = board.all();
            kept.into_iter().chain(earlier).map(|example| example.name).collect::<Vec<_>>()
        };
        let before = names(&board);
        assert_eq!(before, ["7", "6", "5", "4", "3", "2", "1"]);
        for _ in 0..7 {
            post(&board, 7.0);
        }
        assert_eq!((names(&board), value(&board)), (before, Some(7.0)));
        post(&board, 3.0);
        assert_eq!(names(&board), ["", "7", "6", "5", "4", "2", "1"], "an earlier one is the example again");
    }

    #[test]
    fn what_was_chosen_before_a_session_was_loaded_does_not_change_it() {
        let board = QueryBoard::default();
        let num_loads = board.num_loads();
        board.load(Some(Embedding::new(&[2.0]).into()));
        for chosen in [Ok(hum()), Err("it is no audio file".into())] {
            assert!(!board.offer_unless_loaded(num_loads, chosen) && !board.has_offer());
            assert_eq!((value(&board), board.refusal()), (Some(2.0), None));
        }
        let num_loads = board.num_loads();
        assert!(!board.offer_unless_loaded(num_loads, Err("it is no audio file".into())));
        assert_eq!(board.refusal().as_deref(), Some("it is no audio file"));
        assert!(board.offer_unless_loaded(num_loads, Ok(hum())) && board.has_offer());
        assert_eq!(board.refusal(), None);
    }

    #[test]
    fn a_refused_example_leaves_the_one_before_and_says_why_until_another_comes() {
        let board = QueryBoard::default();
        post(&board, 1.0);
        board.answer(board.take_ticket(), Err("it is silent".into()));
        assert_eq!((value(&board), board.refusal().as_deref()), (Some(1.0), Some("it is silent")));
        post(&board, 2.0);
        assert_eq!((value(&board), board.refusal()), (Some(2.0), None));
        board.refuse_offer("it is no audio file".into());
        assert_eq!(board.refusal().as_deref(), Some("it is no audio file"));
        board.offer(hum());
        assert_eq!(board.refusal(), None);
        board.refuse_offer("it is no audio file".into());
        board.clear_refusal();
        assert_eq!((value(&board), board.refusal()), (Some(2.0), None));
    }

    #[test]
    fn what_was_wanted_long_ago_is_wanted_no_more() {
        let board = QueryBoard::default();
        board.want(Source::Target);
        assert_eq!([board.take_wanted(), board.take_wanted()], [Some(Source::Target), None]);
        for (waited_ms, taken) in [(0, Some(Source::Sidechain)), (10_000, Some(Source::Sidechain)), (10_001, None)] {
            board.want_at(Source::Sidechain, 500);
            assert_eq!(board.take_wanted_at(500 + waited_ms), taken, "after {waited_ms} ms");
            assert_eq!(board.take_wanted_at(500), None);
            board.want_still_at(700);
            assert_eq!(board.take_wanted_at(700), None, "what was taken is not wanted still");
        }
    }

    #[test]
    fn what_was_taken_before_a_session_was_loaded_changes_nothing_of_it() {
        let board = QueryBoard::default();
        let taken = board.take_ticket();
        board.offer(hum());
        let (offered, _) = board.take_offer().unwrap();
        board.offer(hum());
        board.load(Some(Embedding::new(&[2.0]).into()));
        assert!(!board.has_offer() && board.take_offer().is_none());
        board.answer(taken, Ok(Embedding::new(&[1.0]).into()));
        board.answer(offered, Err("it is silent".into()));
        assert_eq!((value(&board), board.refusal(), board.num_loads()), (Some(2.0), None, 1));
        post(&board, 3.0);
        assert_eq!(value(&board), Some(3.0));
        board.forget();
        assert_eq!(value(&board), None);
    }

    #[test]
    fn what_was_taken_before_all_was_forgotten_stays_forgotten_though_it_is_written_just_then() {
        let board = QueryBoard::default();
        let (taken, late) = (board.take_ticket(), board.take_ticket());
        board.forget();
        board.answer(late, Ok(Embedding::new(&[1.0]).into()));
        assert_eq!(value(&board), None);
        // Of an answer that had begun.
        board.write(taken, Some(&Embedding::new(&[2.0]).into()));
        assert_eq!((board.read(), value(&board)), (Reading::Empty, None));
        post(&board, 3.0);
        assert_eq!(value(&board), Some(3.0));
    }

    #[test]
    fn of_what_was_taken_and_offered_the_newest_stays_in_whatever_order_it_is_answered() {
        let board = QueryBoard::default();
        board.offer(hum());
        let captured = board.take_ticket();
        board.answer(captured, Ok(Embedding::new(&[2.0]).into()));
        assert!(board.has_offer(), "it waits still");
        let (offered, _) = board.take_offer().unwrap();
        assert!(board.has_offer(), "and is not answered yet");
        board.answer(offered, Ok(Embedding::new(&[1.0]).into()));
        assert_eq!((value(&board), board.has_offer()), (Some(2.0), false));
    }

    #[test]
    fn what_was_the_example_before_is_kept_for_a_while_and_can_be_it_again() {
        let board = QueryBoard::default();
        let earlier = || board.earlier().iter().map(|example| example.embedding.values()[0]).collect::<Vec<_>>();
        board.recall(0);
        assert_eq!((value(&board), earlier()), (None, vec![]), "there is none to be recalled");
        for number in 0..9_u8 {
            post(&board, f32::from(number));
        }
        assert_eq!((value(&board), earlier()), (Some(8.0), vec![7.0, 6.0, 5.0, 4.0, 3.0, 2.0]));
        board.answer(board.take_ticket(), Err("it is silent".into()));
        let late = board.take_ticket();
        board.recall(2);
        assert_eq!((value(&board), earlier()), (Some(5.0), vec![8.0, 7.0, 6.0, 4.0, 3.0, 2.0]));
        assert_eq!(board.refusal(), None);
        board.answer(late, Ok(Embedding::new(&[9.0]).into()));
        assert_eq!(value(&board), Some(5.0), "what was taken before comes too late");
        board.load_all(Some(Embedding::new(&[1.0]).into()), vec![Embedding::new(&[0.5]).into(); 9]);
        assert_eq!((value(&board), earlier()), (Some(1.0), vec![0.5; MAX_EARLIER]));
        board.load(None);
        assert_eq!((value(&board), earlier()), (None, vec![]), "another session knows nothing of them");
    }

    #[test]
    fn a_name_is_that_of_the_example_which_it_was_given_to() {
        let board = QueryBoard::default();
        let hum = KeptExample { name: "hum".into(), ..Embedding::new(&[1.0]).into() };
        board.answer(board.take_ticket(), Ok(hum));
        board.rename("low hum");
        assert_eq!(board.kept().unwrap().name, "low hum");
        post(&board, 2.0);
        assert_eq!(board.kept().unwrap().name, "", "another example");
    }
}
