//! Captures the sidechain and the target, and hands examples of them to the worker.

use std::sync::Arc;
use std::time::Duration;

use super::capture_buffer::CaptureBuffer;
use super::following::Following;
use super::patience::Patience;
use crate::examples::{AudioExamples, Example, NUM_OF_SIDECHAIN, NUM_OF_TARGET};
use crate::query::{Embedding, NUM_SLOTS, Query, QueryBlend, Space};
use crate::query_board::{Boards, QueryBoard, Reading, Recipient};
use crate::query_map::QueryMap;
use crate::status::EngineStatus;

/// The audio thread's side of examples.
pub struct Capture {
    end: AudioExamples,
    sidechain: CaptureBuffer<NUM_OF_SIDECHAIN>,
    target: CaptureBuffer<NUM_OF_TARGET>,
    following: Following,
    boards: Boards,
    map: QueryMap,
    /// That of the model which is asked.
    space: Space,
    patience: Patience,
    status: Arc<EngineStatus>,
    /// Something was to be listened to at the last look.
    is_owed: bool,
    /// By [`Recipient::idx`]: ticket of the example handed over last, 0 before the first.
    sent: [u64; Recipient::NUM],
    /// By [`Recipient::idx`]: where the last one lies that is known.
    known: [Option<(Embedding, Space)>; Recipient::NUM],
}

/// What a slot holds for this model.
#[derive(Debug, Clone, Copy)]
enum Lookup {
    /// No example.
    Empty,
    /// An example of this model.
    Known(Embedding),
    /// An example of another model, whose embedding means nothing to this one.
    OtherModel,
}

impl Lookup {
    fn known(self) -> Option<Embedding> {
        match self {
            Self::Known(embedding) => Some(embedding),
            Self::Empty | Self::OtherModel => None,
        }
    }
}

impl Capture {
    /// At this rate, with examples in which a portion of so many samples can be taken back. Waits for who writes on `boards`: not for the audio thread.
    pub fn new(
        end: AudioExamples,
        (rate_hz, portion_samples): (f64, usize),
        boards: Boards,
        map: QueryMap,
        space: Space,
        patience: Patience,
        status: Arc<EngineStatus>,
    ) -> Self {
        let settled = |recipient| {
            let kept = boards.of(recipient).kept();
            kept.map(|example| (example.embedding, Space::of(&example.model_id)))
        };
        let known = Recipient::all().map(settled);
        let mut own = Self {
            end,
            sidechain: CaptureBuffer::new(portion_samples, rate_hz),
            target: CaptureBuffer::new(portion_samples, rate_hz),
            following: Following::new(rate_hz),
            boards,
            map,
            space,
            patience,
            status,
            is_owed: false,
            sent: [0; Recipient::NUM],
            known,
        };
        own.take_back();
        own
    }

    /// Takes in a block of the sidechain, `[channel][sample]`.
    pub fn listen(&mut self, sidechain: &[&[f32]]) {
        self.take_back();
        self.sidechain.push(sidechain);
        self.following.count(sidechain.first().map_or(0, |channel| channel.len()));
    }

    /// Takes in a block of the target, `[channel][sample]`.
    pub fn capture_target(&mut self, target: &[&[f32]]) {
        self.target.push(target);
    }

    /// What the sidechain played up to now is the example of `slot`. Nothing happens while the worker has not listened to the ones before.
    pub fn take(&mut self, slot: usize) {
        if slot < NUM_SLOTS {
            let example = self.sidechain.take_fullest();
            self.send(Recipient::Slot(slot), false, example);
        }
    }

    /// Takes the target up to now as the example of `slot`.
    pub fn take_target_example(&mut self, slot: usize) {
        if slot < NUM_SLOTS {
            let example = self.target.take_fullest();
            self.send(Recipient::Slot(slot), true, example);
        }
    }

    /// While the sidechain is followed: what it played since the last reset is what it says, where an example is due.
    pub fn follow(&mut self, is_following: bool) {
        if !is_following {
            if self.following.has_begun() {
                // What it said then is not what it says when it is followed again.
                self.boards.followed.forget();
            }
            self.following.reset();
        } else if self.following.take_due(self.sidechain.num_kept()) {
            let example = self.sidechain.take_since_reset();
            self.send(Recipient::Followed, false, example);
        }
    }

    /// Samples before which no further example is due while the sidechain is followed.
    pub fn num_samples_to_follow(&self) -> usize {
        let num_sound = self.following.num_sound_to_go(self.sidechain.num_kept());
        self.following.num_samples_to_go().max(self.sidechain.num_samples_to_keep(num_sound)).max(1)
    }

    fn send(&mut self, recipient: Recipient, is_from_target: bool, example: Option<Example>) {
        let Some(mut example) = example else { return };
        let ticket = self.boards.of(recipient).take_ticket();
        (example.recipient, example.ticket, example.is_from_target) = (recipient, ticket, is_from_target);
        self.sent[recipient.idx()] = ticket;
        self.end.send(example);
    }

    /// Examples that the worker is done with go on being filled: each where it came from, if there is room, or if it has more than what is there.
    fn take_back(&mut self) {
        while let Some(example) = self.end.take_empty() {
            let left = if example.is_from_target {
                self.target.put(example).and_then(|example| self.sidechain.put(example))
            } else {
                self.sidechain.put(example).and_then(|example| self.target.put(example))
            };
            if let Some(left) = left {
                // There is one more than are being filled.
                self.end.put_empty(left);
                break;
            }
        }
    }

    /// Forgets what the sidechain said while it was followed, what the worker is listening to now included. What was taken stays, and so does what may
    /// be taken: a host resets when it is stopped, and who captures then means what was played.
    pub fn reset(&mut self) {
        self.sidechain.reset();
        self.target.reset();
        self.following.reset();
        self.boards.followed.forget();
    }

    /// Forgets what was captured and not taken, and the embedding of the sidechain that is followed.
    pub fn clear_captured(&mut self) {
        self.following.reset();
        self.boards.followed.forget();
        self.sidechain.forget();
        self.target.forget();
    }

    /// Where what is asked for lies; slot A asks for what the sidechain says where that is followed. While the host renders ahead of real
    /// time examples that were taken or offered are waited for, asked for or not: the render may end before anybody asks. None where an
    /// example is asked for that another model listened to.
    pub fn embedding(
        &mut self,
        query_blend: &QueryBlend,
        is_following: bool,
        longest_wait: Option<Duration>,
    ) -> Option<Embedding> {
        if let Some(longest_wait) = longest_wait {
            self.wait(longest_wait);
            // Examples that were encoded meanwhile go on being filled from this very sample.
            self.take_back();
        }
        let said = if is_following { self.example(Recipient::Followed).known() } else { None };
        self.status.set_has_followed(said.is_some());
        let mut of_slot = |slot: usize| {
            if slot == 0
                && let Some(said) = said
            {
                return Some(said);
            }
            match query_blend.slots[slot] {
                Query::Point(embedding) => Some(embedding),
                Query::Example { otherwise } => match self.example(Recipient::Slot(slot)) {
                    Lookup::Known(embedding) => Some(embedding),
                    Lookup::Empty => Some(otherwise),
                    Lookup::OtherModel => None,
                },
                Query::Map(at) => {
                    let examples = std::array::from_fn(|slot| self.example(Recipient::Slot(slot)).known());
                    Some(self.map.between(at, examples))
                }
            }
        };
        // The ends as they are, to the bit.
        match query_blend.blend {
            blend if blend <= 0.0 => of_slot(0),
            blend if blend >= 1.0 => of_slot(1),
            blend => of_slot(0).zip(of_slot(1)).map(|(a, b)| a.towards(&b, blend)),
        }
    }

    fn wait(&mut self, longest_wait: Duration) {
        let patience = self.patience.clone();
        patience.wait(longest_wait, || {
            let is_owed = !self.is_dealt_with();
            if self.is_owed && !is_owed {
                self.patience.renew();
            }
            self.is_owed = is_owed;
            !self.is_owed
        });
    }

    /// Whether nothing that was taken or offered is still to be listened to.
    fn is_dealt_with(&self) -> bool {
        // The worker takes them in order.
        Recipient::all().into_iter().all(|recipient| self.end.answered(recipient) >= self.sent[recipient.idx()])
            && !self.boards.slots.iter().any(QueryBoard::has_offer)
    }

    /// Where the example that is for this one lies.
    fn example(&mut self, recipient: Recipient) -> Lookup {
        let known = &mut self.known[recipient.idx()];
        match self.boards.of(recipient).read() {
            Reading::Example(embedding, space) => *known = Some((embedding, space)),
            Reading::Empty => *known = None,
            Reading::Busy => {}
        }
        match *known {
            None => Lookup::Empty,
            Some((embedding, space)) if space.may_be(self.space) => Lookup::Known(embedding),
            Some(_) => Lookup::OtherModel,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::examples::examples;
    use crate::latency::ModelTiming;
    use crate::query_map::Projection;
    use crate::worker_thread::Waker;

    #[test]
    fn a_worker_that_never_answers_is_waited_for_once_and_again_after_a_sign_of_life() {
        let status = EngineStatus::for_tests(&ModelTiming::PAPER, 48_000.0, 512);
        let (audio, mut worker) = examples(1, 16, 4);
        let map = QueryMap::new(&Projection { origin: vec![0.0], axes: [vec![1.0], vec![0.0]] }, &[]);
        let patience = Patience::with(Waker::none(), status.clone());
        let mut capture =
            Capture::new(audio, (48_000.0, 4), Boards::default(), map, Space::default(), patience.clone(), status);
        let longest_wait = Duration::from_millis(500);
        let num_waits = |capture: &mut Capture| {
            let began = Instant::now();
            for _ in 0..10 {
                capture.embedding(&QueryBlend::default(), false, Some(longest_wait));
            }
            began.elapsed().div_duration_f32(longest_wait) as usize
        };
        assert_eq!(num_waits(&mut capture), 0, "there is nothing to wait for");
        capture.take(0);
        assert_eq!(num_waits(&mut capture), 1);
        let began = Instant::now();
        patience.wait(longest_wait, || false);
        assert!(began.elapsed() < longest_wait, "nobody else waits for it either");
        let example = worker.receive().expect("the example");
        worker.give_back(example);
        assert_eq!(num_waits(&mut capture), 0, "it was dealt with");
        capture.take(0);
        assert_eq!(num_waits(&mut capture), 1, "the worker was seen to live");
    }
}
