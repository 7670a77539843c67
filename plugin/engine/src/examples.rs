//! Examples on their way from the audio thread to the worker: memory that goes to and fro ([`exchange`]), as calls do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use underscore_dsp::{is_garbage, touched_zeros};

use crate::exchange::{AudioSide, WorkerSide, exchange};
use crate::query_board::Recipient;

/// Channels of an example: as many as the sidechain has.
pub const EXAMPLE_CHANNELS: usize = 2;

/// Of the sidechain, so many are being filled at a time: where one is taken every second of sound, each has heard for three when its turn comes, and
/// one that is taken besides has heard for as long.
pub const NUM_OF_SIDECHAIN: usize = 4;

/// Likewise of what was found.
pub const NUM_OF_TARGET: usize = 1;

/// In circulation: those that are being filled and one that is listened to.
const NUM_EXAMPLES: usize = NUM_OF_SIDECHAIN + NUM_OF_TARGET + 1;

/// How far the memory that an example was taken out of had heard by then.
#[allow(clippy::struct_field_names, reason = "all of them are counts")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// How often it had forgotten all.
    pub num_forgotten: u64,
    /// Portions of sound, and of all.
    pub num_kept: u64,
    pub num_portions: u64,
    /// Samples of the portion after these.
    pub num_in_portion: usize,
}

/// The last seconds of a signal.
#[derive(Debug)]
pub struct Example {
    /// Whom it is for.
    pub recipient: Recipient,
    /// Its number on that one's board: of two, the later one has the higher.
    pub ticket: u64,
    /// What was found, and no sidechain.
    pub is_from_target: bool,
    /// From where it may go on in the memory that it was taken out of; none where it is to begin anew.
    pub heard: Option<Mark>,
    /// `[channel][sample]`, written round and round.
    samples: Vec<Vec<f32>>,
    /// Of them, so many are there for what may be taken back.
    num_spare: usize,
    /// Where the next sample goes.
    next: usize,
    /// Samples that were written, up to all.
    num_written: usize,
    /// The newest samples that are the example; what was kept before them is another sound.
    newest: usize,
}

impl Example {
    fn new(num_channels: usize, num_samples: usize, num_spare: usize) -> Self {
        Self {
            recipient: Recipient::Slot(0),
            ticket: 0,
            is_from_target: false,
            heard: None,
            samples: (0..num_channels).map(|_| touched_zeros(num_samples + num_spare)).collect(),
            num_spare,
            next: 0,
            num_written: 0,
            newest: usize::MAX,
        }
    }

    /// Appends a block, `[channel][sample]`; the oldest samples go. Channels that are not given are silent, and so is what is [no sound](sound).
    pub fn push(&mut self, block: &[&[f32]]) {
        let len = self.samples.first().map_or(0, Vec::len);
        let num_samples = block.first().map_or(0, |channel| channel.len());
        if len == 0 {
            return;
        }
        for (channel_idx, own) in self.samples.iter_mut().enumerate() {
            let given = block.get(channel_idx).copied().unwrap_or_default();
            let mut at = self.next;
            for sample_idx in 0..num_samples {
                own[at] = given.get(sample_idx).copied().map_or(0.0, sound);
                at = if at + 1 == len { 0 } else { at + 1 };
            }
        }
        self.next = (self.next + num_samples) % len;
        self.num_written = (self.num_written + num_samples).min(len);
    }

    /// Takes the newest samples back, up to as many as there is spare memory for: what they were written over is gone.
    pub fn take_back(&mut self, num_samples: usize) {
        let len = self.samples.first().map_or(0, Vec::len);
        let num_taken = num_samples.min(self.num_written).min(self.num_spare);
        if num_taken > 0 {
            self.next = (self.next + len - num_taken) % len;
            self.num_written -= num_taken;
        }
    }

    /// Leaves all but the newest samples out of the example, and keeps them: what goes on in it may want them.
    pub fn limit_to_newest(&mut self, num_samples: usize) {
        self.newest = num_samples;
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        (self.next, self.num_written, self.newest, self.heard) = (0, 0, usize::MAX, None);
    }

    /// Samples of the example: of what was written the newest, up to as many as it has room for.
    pub fn num_filled(&self) -> usize {
        let len = self.samples.first().map_or(0, Vec::len);
        self.num_written.min(len - self.num_spare.min(len)).min(self.newest)
    }

    /// The samples of the example, oldest first, `[channel][sample]`. Allocates.
    pub fn in_order(&self) -> Vec<Vec<f32>> {
        let ordered = |channel: &Vec<f32>| {
            let (newer, older) = channel.split_at(self.next);
            let all = older.iter().chain(newer).copied();
            all.skip(channel.len() - self.num_filled()).collect()
        };
        self.samples.iter().map(ordered).collect()
    }
}

/// The sample, or silence where it is no sound: beside one that is wild all else would count as silence.
pub fn sound(sample: f32) -> f32 {
    if is_garbage(sample) { 0.0 } else { sample }
}

/// Tickets of what was dealt with last, by [`Recipient::idx`]; 0 before the first.
type Answered = [AtomicU64; Recipient::NUM];

/// The audio thread's end.
pub struct AudioExamples {
    side: AudioSide<Example>,
    answered: Arc<Answered>,
}

/// The worker's end.
pub struct WorkerExamples {
    side: WorkerSide<Example>,
    answered: Arc<Answered>,
}

/// Makes both ends, and the memory for `num_samples` samples of `num_channels` channels and for `num_spare` that may be taken back, all of it with
/// the audio thread.
pub fn examples(num_channels: usize, num_samples: usize, num_spare: usize) -> (AudioExamples, WorkerExamples) {
    let memory = (0..NUM_EXAMPLES).map(|_| Example::new(num_channels, num_samples, num_spare));
    let (audio, worker) = exchange(memory.collect());
    let answered = Arc::<Answered>::default();
    (AudioExamples { side: audio, answered: answered.clone() }, WorkerExamples { side: worker, answered })
}

impl AudioExamples {
    /// Memory for the next one, if the worker has not got it all.
    pub fn take_empty(&mut self) -> Option<Example> {
        self.side.take_empty().or_else(|| self.side.receive())
    }

    /// Keeps memory that there is no room for.
    pub fn put_empty(&mut self, example: Example) {
        self.side.put_empty(example);
    }

    /// Ticket of the last example for this one that was dealt with, 0 before the first.
    pub fn answered(&self, recipient: Recipient) -> u64 {
        self.answered[recipient.idx()].load(Ordering::Acquire)
    }

    /// Hands one over.
    pub fn send(&mut self, example: Example) {
        self.side.send(example);
    }
}

impl WorkerExamples {
    /// Whether there is one to listen to.
    pub fn is_one_waiting(&self) -> bool {
        self.side.num_waiting() > 0
    }

    /// The next one to listen to.
    pub fn receive(&mut self) -> Option<Example> {
        self.side.receive()
    }

    /// The example was dealt with. Gives the memory back, and says so only then: whoever waits for the answer has the memory, too.
    pub fn give_back(&mut self, example: Example) {
        let Example { recipient, ticket, .. } = example;
        self.side.send(example);
        self.answered[recipient.idx()].store(ticket, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_keeps_the_newest_samples_in_order_whatever_the_blocks() {
        for block in [1, 3, 7, 10, 23] {
            let mut example = Example::new(2, 10, 0);
            let signal: Vec<f32> = (0..46).map(|n| n as f32).collect();
            let mut done = 0;
            for part in signal.chunks(block) {
                example.push(&[part]);
                done += part.len();
                let expected = &signal[done.saturating_sub(10)..done];
                assert_eq!(example.in_order(), [expected.to_vec(), vec![0.0; expected.len()]], "blocks of {block}");
            }
        }
    }

    #[test]
    fn what_is_taken_back_was_never_there_and_nothing_older_is_lost() {
        let mut example = Example::new(1, 6, 3);
        let signal: Vec<f32> = (0..30).map(|n| n as f32).collect();
        example.push(&[&signal[..2]]);
        example.take_back(3);
        assert!(example.in_order()[0].is_empty(), "no more than there was");
        for (place, sample) in signal.iter().enumerate() {
            example.push(&[&[*sample]]);
            example.push(&[&[-1.0; 3]]);
            assert_eq!(example.num_filled(), (place + 4).min(6));
            example.take_back(3);
            assert_eq!(example.in_order(), [&signal[(place + 1).saturating_sub(6)..=place]]);
        }
        example.limit_to_newest(2);
        assert_eq!(example.in_order(), [[28.0, 29.0]]);
        example.limit_to_newest(usize::MAX);
        assert_eq!(example.in_order(), [&signal[24..]], "what is left out is kept");
    }

    #[test]
    fn what_is_no_number_is_silence() {
        let mut example = Example::new(1, 4, 0);
        example.push(&[&[f32::NAN, 0.5, f32::INFINITY]]);
        assert_eq!(example.in_order(), [[0.0, 0.5, 0.0]]);
        example.clear();
        assert!(example.in_order()[0].is_empty());
    }

    #[test]
    fn the_memory_goes_round() {
        let (mut audio, mut worker) = examples(1, 4, 0);
        let mut all: Vec<Example> = std::iter::from_fn(|| audio.take_empty()).collect();
        assert_eq!(all.len(), NUM_EXAMPLES);
        audio.send(all.pop().unwrap());
        let back = worker.receive().unwrap();
        worker.give_back(back);
        assert!(audio.take_empty().is_some());
    }

    #[test]
    fn what_is_no_sound_is_written_as_silence() {
        let mut example = Example::new(1, 5, 0);
        example.push(&[&[0.5, f32::NAN, 1e30, f32::NEG_INFINITY, -0.25]]);
        assert_eq!(example.in_order(), [[0.5, 0.0, 0.0, 0.0, -0.25]]);
    }

    #[test]
    fn the_memory_is_there_once_the_answer_is() {
        const NUM_ROUNDS: u64 = 100_000;
        // A tight look finds an answer that is there before the memory; but the other thread may need this very processor.
        fn found<T>(mut look: impl FnMut() -> Option<T>) -> T {
            loop {
                if let Some(found) = (0..100).find_map(|_| look()) {
                    return found;
                }
                std::thread::yield_now();
            }
        }
        let (mut audio, mut worker) = examples(1, 4, 0);
        let mut held: Vec<Example> = std::iter::from_fn(|| audio.take_empty()).collect();
        let mut example = held.pop().unwrap();
        let thread = std::thread::spawn(move || {
            for _ in 0..NUM_ROUNDS {
                let example = found(|| worker.receive());
                worker.give_back(example);
            }
        });
        for ticket in 1..=NUM_ROUNDS {
            example.ticket = ticket;
            audio.send(example);
            found(|| (audio.answered(Recipient::Slot(0)) == ticket).then_some(()));
            example = audio.take_empty().expect("the memory of what was answered");
        }
        thread.join().unwrap();
    }
}
