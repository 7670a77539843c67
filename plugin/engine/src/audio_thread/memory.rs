//! The last seconds of sound of a signal. Silence is left out, so that what was played can be taken once it is over, too.

use crate::examples::{EXAMPLE_CHANNELS, Example, sound};
use crate::loudness::{Loudness, SILENCE_POWER};

/// Of a pause no more than this is kept, seconds: what is played after it is the same sound still.
const LONGEST_PAUSE_S: f64 = 0.5;

/// Of one signal, in `N` examples that are being filled at a time. Whether there is sound is decided of portions that are counted from the last reset
/// on, so that nothing depends on where blocks end.
pub struct Memory<const N: usize> {
    /// All hear the same; those that came back from the worker last, less of it.
    examples: [Option<Example>; N],
    portion_samples: usize,
    /// Of the portion that is just heard, `[channel]`.
    loudness: [Loudness; EXAMPLE_CHANNELS],
    /// Samples of it.
    num_in_portion: usize,
    /// Portions of a pause that are kept.
    longest_pause: usize,
    /// Portions that were silent in a row, up to one more than are kept.
    num_silent: usize,
    /// Samples of whole portions that were kept since the last reset.
    num_kept: usize,
}

impl<const N: usize> Memory<N> {
    /// Of a signal of this rate. The examples have room for a portion to be taken back.
    pub fn new(portion_samples: usize, rate_hz: f64) -> Self {
        let longest_pause = (LONGEST_PAUSE_S * rate_hz / portion_samples as f64).ceil() as usize;
        Self {
            examples: std::array::from_fn(|_| None),
            portion_samples,
            loudness: Default::default(),
            num_in_portion: 0,
            longest_pause,
            num_silent: longest_pause,
            num_kept: 0,
        }
    }

    /// Takes in a block, `[channel][sample]`. Channels that are not given are silent.
    pub fn push(&mut self, block: &[&[f32]]) {
        let num_samples = block.first().map_or(0, |channel| channel.len());
        let mut done = 0;
        while done < num_samples {
            let end = num_samples.min(done + self.portion_samples - self.num_in_portion);
            let part = std::array::from_fn::<&[f32], EXAMPLE_CHANNELS, _>(|channel_idx| {
                let channel = block.get(channel_idx).copied().unwrap_or_default();
                &channel[done.min(channel.len())..end.min(channel.len())]
            });
            // It is kept at once, and taken back where the portion turns out to be silence: what is taken ends with this very sample.
            self.examples.iter_mut().flatten().for_each(|example| example.push(&part));
            for (loudness, channel) in self.loudness.iter_mut().zip(part) {
                let silence = std::iter::repeat_n(0.0, end - done - channel.len());
                channel.iter().map(|sample| sound(*sample)).chain(silence).for_each(|sample| loudness.add(sample));
            }
            self.num_in_portion += end - done;
            if self.num_in_portion == self.portion_samples {
                self.end_portion();
            }
            done = end;
        }
    }

    fn end_portion(&mut self) {
        let num_samples = std::mem::take(&mut self.num_in_portion);
        let loudness = std::mem::take(&mut self.loudness);
        let power = loudness.iter().map(Loudness::power).sum::<f64>() / EXAMPLE_CHANNELS as f64;
        self.num_silent = if power > SILENCE_POWER { 0 } else { self.longest_pause.min(self.num_silent) + 1 };
        if self.num_silent > self.longest_pause {
            self.examples.iter_mut().flatten().for_each(|example| example.take_back(num_samples));
        } else {
            self.num_kept += num_samples;
        }
    }

    /// What comes does not follow on what came: it is counted anew, from a pause on. What was kept stays.
    pub fn reset(&mut self) {
        self.end_portion();
        (self.num_silent, self.num_kept) = (self.longest_pause, 0);
    }

    /// Forgets what was kept.
    pub fn forget(&mut self) {
        self.reset();
        self.examples.iter_mut().flatten().for_each(Example::clear);
    }

    /// Samples of whole portions that were kept since the last reset.
    pub fn num_kept(&self) -> usize {
        self.num_kept
    }

    /// After how many samples at the earliest so many more of whole portions are kept.
    pub fn num_samples_to_keep(&self, num_samples: usize) -> usize {
        let num_portions = num_samples.div_ceil(self.portion_samples);
        (num_portions * self.portion_samples).saturating_sub(self.num_in_portion)
    }

    /// Takes out the example that has heard most.
    pub fn take_fullest(&mut self) -> Option<Example> {
        let heard = |place: &&mut Option<Example>| place.as_ref().map(Example::num_filled);
        self.examples.iter_mut().max_by_key(heard)?.take()
    }

    /// The same, of what was heard since the last reset.
    pub fn take_since_reset(&mut self) -> Option<Example> {
        let mut example = self.take_fullest()?;
        example.keep_newest(self.num_kept + self.num_in_portion);
        Some(example)
    }

    /// Fills empty places with what `supply` has, which hears on from now.
    pub fn refill(&mut self, mut supply: impl FnMut() -> Option<Example>) {
        for place in self.examples.iter_mut().filter(|place| place.is_none()) {
            let Some(mut example) = supply() else { return };
            example.clear();
            *place = Some(example);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::examples;

    const RATE_HZ: f64 = 1_000.0;
    const PORTION: usize = 16;
    /// Samples of an example.
    const ROOM: usize = 1_000;

    fn memory() -> Memory<2> {
        let (mut audio, _) = examples(EXAMPLE_CHANNELS, ROOM, PORTION);
        let mut memory = Memory::new(PORTION, RATE_HZ);
        memory.refill(|| audio.take_empty());
        memory
    }

    fn tone(num_samples: usize) -> Vec<f32> {
        (0..num_samples).map(|n| 0.5 * (n as f32 * 0.3).sin()).collect()
    }

    /// What is kept of `signal`, heard in blocks of this length.
    fn kept(memory: &mut Memory<2>, signal: &[f32], block: usize) -> Vec<f32> {
        signal.chunks(block).for_each(|block| memory.push(&[block, block]));
        memory.take_fullest().expect("an example").in_order().swap_remove(0)
    }

    #[test]
    fn of_a_pause_half_a_second_is_kept_and_what_was_played_before_it_for_as_long_as_it_lasts() {
        let played = tone(25 * PORTION);
        let silence = vec![1e-5; 10_000];
        // 0.5 s are 31.25 portions.
        let pause = vec![1e-5; 32 * PORTION];
        for block in [1, 7, 16, 333, 100_000] {
            let all = [&played[..], &silence, &played[..80], &silence[..99]].concat();
            let found = kept(&mut memory(), &all, block);
            let expected = [&played[..], &pause, &played[..80], &silence[..99]].concat();
            assert_eq!(found, expected[expected.len() - ROOM.min(expected.len())..], "blocks of {block}");
        }
        assert!(kept(&mut memory(), &silence[..PORTION * 100], 7).is_empty(), "it begins in a pause");
        assert_eq!(kept(&mut memory(), &silence[..5], 7).len(), 5, "nobody knows yet what becomes of it");
    }

    #[test]
    fn an_offset_is_a_pause() {
        assert!(kept(&mut memory(), &vec![0.25; 100 * PORTION], 100).is_empty());
    }

    #[test]
    fn after_a_reset_it_is_counted_anew_and_what_was_kept_stays_until_it_is_forgotten() {
        let mut memory = memory();
        let played = tone(100);
        memory.push(&[&played]);
        assert_eq!((memory.num_kept(), memory.num_samples_to_keep(20)), (96, 28));
        memory.reset();
        assert_eq!((memory.num_kept(), memory.num_samples_to_keep(20)), (0, 32));
        memory.push(&[&played[..40]]);
        assert_eq!(memory.take_since_reset().expect("an example").in_order()[0], played[..40]);
        assert_eq!(memory.take_fullest().expect("another").in_order()[0], [&played[..], &played[..40]].concat());
        let mut memory = self::memory();
        memory.push(&[&played]);
        memory.forget();
        assert_eq!(memory.take_fullest().expect("an example").num_filled(), 0);
    }

    #[test]
    fn what_comes_back_from_the_worker_within_a_portion_loses_no_more_of_it_than_it_has_heard() {
        let (mut audio, mut worker) = examples(EXAMPLE_CHANNELS, ROOM, PORTION);
        let mut memory = Memory::<1>::new(PORTION, RATE_HZ);
        memory.refill(|| audio.take_empty());
        memory.push(&[&tone(5)]);
        audio.send(memory.take_fullest().expect("an example"));
        let example = worker.receive().expect("the example");
        worker.give_back(example);
        memory.push(&[&tone(5)]);
        memory.refill(|| audio.take_empty());
        memory.push(&[&[0.0; 6]]);
        memory.push(&[&[0.0; 40 * PORTION]]);
        assert_eq!(memory.take_fullest().expect("the example").num_filled(), 6 + 32 * PORTION);
    }
}
