//! Keeps the last seconds of sound of a signal. Silence is left out, so that a sound can be taken after it is over, too.

use crate::examples::{EXAMPLE_CHANNELS, Example, Mark, sound};
use crate::loudness::{Loudness, SILENCE_POWER};

/// The longest part of a pause that is kept, seconds: what is played after it belongs to the same sound still.
const LONGEST_PAUSE_S: f64 = 0.5;

/// A sound that follows on so long a pause, seconds, is another one: what was played before the pause is no part of its example.
const SHORTEST_BREAK_S: f64 = 2.0;

/// What is shorter, seconds, is a click and not yet another sound.
const SHORTEST_SOUND_S: f64 = 0.03;

/// Fills `N` examples with one signal at the same time. Sound is told from silence by portions that are counted from the last reset, so that nothing
/// depends on where blocks end.
pub struct CaptureBuffer<const N: usize> {
    /// All are given the same sound; one that came back from the worker lacks what was played meanwhile.
    fillings: [Option<Filling>; N],
    portion_samples: usize,
    /// Loudness of the present portion, `[channel]`.
    loudness: [Loudness; EXAMPLE_CHANNELS],
    /// Portions of a pause that are kept.
    longest_pause: usize,
    /// Portions that were silent in a row, up to one more than are kept.
    num_silent: usize,
    /// Samples that were silent in a row. A reset does not end a pause.
    pause_samples: usize,
    shortest_break_samples: usize,
    /// Samples that were kept since the last break, and those of them that are in portions with sound.
    num_since_break: usize,
    num_sound_since_break: usize,
    shortest_sound_samples: usize,
    position: Mark,
    /// Samples of whole portions that were kept since the last reset.
    num_kept: usize,
}

/// An example that is being filled.
struct Filling {
    example: Example,
    /// Samples of the present portion that it lacks, because it was with the worker.
    num_missed: usize,
}

impl<const N: usize> CaptureBuffer<N> {
    /// A buffer for a signal of this rate. The examples have room for a portion to be taken back.
    pub fn new(portion_samples: usize, rate_hz: f64) -> Self {
        let longest_pause = (LONGEST_PAUSE_S * rate_hz / portion_samples as f64).ceil() as usize;
        Self {
            fillings: std::array::from_fn(|_| None),
            portion_samples,
            loudness: Default::default(),
            longest_pause,
            num_silent: longest_pause,
            pause_samples: 0,
            shortest_break_samples: (SHORTEST_BREAK_S * rate_hz) as usize,
            num_since_break: 0,
            num_sound_since_break: 0,
            shortest_sound_samples: (SHORTEST_SOUND_S * rate_hz) as usize,
            position: Mark { num_forgotten: 0, num_kept: 0, num_portions: 0, num_in_portion: 0 },
            num_kept: 0,
        }
    }

    /// Takes in a block, `[channel][sample]`. Channels that are not given are silent.
    pub fn push(&mut self, block: &[&[f32]]) {
        let num_samples = block.first().map_or(0, |channel| channel.len());
        let mut done = 0;
        while done < num_samples {
            let end = num_samples.min(done + self.portion_samples - self.position.num_in_portion);
            let part = std::array::from_fn::<&[f32], EXAMPLE_CHANNELS, _>(|channel_idx| {
                let channel = block.get(channel_idx).copied().unwrap_or_default();
                &channel[done.min(channel.len())..end.min(channel.len())]
            });
            // It is kept at once, and taken back where the portion turns out to be silence: what is taken ends with this very sample.
            self.fillings.iter_mut().flatten().for_each(|filling| filling.example.push(&part));
            for (loudness, channel) in self.loudness.iter_mut().zip(part) {
                let silence = std::iter::repeat_n(0.0, end - done - channel.len());
                channel.iter().map(|sample| sound(*sample)).chain(silence).for_each(|sample| loudness.add(sample));
            }
            self.position.num_in_portion += end - done;
            if self.position.num_in_portion == self.portion_samples {
                self.end_portion();
            }
            done = end;
        }
    }

    fn end_portion(&mut self) {
        let num_samples = std::mem::take(&mut self.position.num_in_portion);
        let loudness = std::mem::take(&mut self.loudness);
        let power = loudness.iter().map(Loudness::power).sum::<f64>() / EXAMPLE_CHANNELS as f64;
        let is_sound = power > SILENCE_POWER;
        self.num_silent = if is_sound { 0 } else { self.longest_pause.min(self.num_silent) + 1 };
        let pause_samples = std::mem::take(&mut self.pause_samples);
        if !is_sound {
            self.pause_samples = pause_samples.saturating_add(num_samples);
        } else if pause_samples >= self.shortest_break_samples {
            (self.num_since_break, self.num_sound_since_break) = (0, 0);
        }
        let is_kept = self.num_silent <= self.longest_pause;
        for filling in self.fillings.iter_mut().flatten() {
            let num_missed = std::mem::take(&mut filling.num_missed);
            if !is_kept {
                filling.example.take_back(num_samples - num_missed);
            }
        }
        self.position.num_portions += 1;
        if is_kept {
            self.position.num_kept += 1;
            self.num_kept += num_samples;
            self.num_since_break = self.num_since_break.saturating_add(num_samples);
            if is_sound {
                self.num_sound_since_break = self.num_sound_since_break.saturating_add(num_samples);
            }
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
        self.position.num_forgotten += 1;
        self.fillings.iter_mut().flatten().for_each(|filling| filling.example.clear());
    }

    /// Samples of whole portions that were kept since the last reset.
    pub fn num_kept(&self) -> usize {
        self.num_kept
    }

    /// After how many samples at the earliest so many more of whole portions are kept.
    pub fn num_samples_to_keep(&self, num_samples: usize) -> usize {
        let num_portions = num_samples.div_ceil(self.portion_samples);
        (num_portions * self.portion_samples).saturating_sub(self.position.num_in_portion)
    }

    /// The newest samples that belong to the sound that was played last, the present portion included.
    fn num_of_last_sound(&self) -> usize {
        let is_whole = self.num_sound_since_break < self.shortest_sound_samples;
        if is_whole { usize::MAX } else { self.num_since_break + self.position.num_in_portion }
    }

    /// Takes out the example that has heard most, limited to the sound that was played last.
    pub fn take_fullest(&mut self) -> Option<Example> {
        let num_filled = |filling: &&mut Option<Filling>| filling.as_ref().map(|filling| filling.example.num_filled());
        let Filling { mut example, num_missed } = self.fillings.iter_mut().max_by_key(num_filled)?.take()?;
        example.heard = (num_missed == 0).then_some(self.position);
        example.limit_to_newest(self.num_of_last_sound());
        Some(example)
    }

    /// The same, of what was heard since the last reset.
    pub fn take_since_reset(&mut self) -> Option<Example> {
        let mut example = self.take_fullest()?;
        let num_since_reset = self.num_kept + self.position.num_in_portion;
        example.limit_to_newest(num_since_reset.min(self.num_of_last_sound()));
        Some(example)
    }

    /// Takes one in, to be filled from now on. One of its own goes on where it was, if nothing was heard since but silence. Gives back what there is
    /// no room for: this one, or one that has heard less.
    pub fn put(&mut self, mut example: Example) -> Option<Example> {
        let before = example.heard.take();
        let num_missed = before.and_then(|before| self.num_missed_since(before, &mut example));
        if num_missed.is_none() {
            example.clear();
        }
        example.limit_to_newest(usize::MAX);
        let filling = Filling { example, num_missed: num_missed.unwrap_or(self.position.num_in_portion) };
        let num_filled = |filling: &Option<Filling>| filling.as_ref().map(|filling| filling.example.num_filled());
        let Some(emptiest) = self.fillings.iter_mut().min_by_key(|filling| num_filled(filling)) else {
            return Some(filling.example);
        };
        match emptiest {
            Some(there) if there.example.num_filled() >= filling.example.num_filled() => Some(filling.example),
            _ => emptiest.replace(filling).map(|filling| filling.example),
        }
    }

    /// How much of the portion that is just heard an example misses that was taken out at `before`; none where it misses more than that and silence.
    fn num_missed_since(&self, before: Mark, example: &mut Example) -> Option<usize> {
        let now = self.position;
        if (before.num_forgotten, before.num_kept) != (now.num_forgotten, now.num_kept) {
            return None;
        }
        if before.num_portions == now.num_portions {
            return now.num_in_portion.checked_sub(before.num_in_portion);
        }
        // What it had of its last portion was silence, or that would have been kept.
        example.take_back(before.num_in_portion);
        Some(now.num_in_portion)
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

    fn memory() -> CaptureBuffer<2> {
        let (mut audio, _) = examples(EXAMPLE_CHANNELS, ROOM, PORTION);
        let mut memory = CaptureBuffer::new(PORTION, RATE_HZ);
        (0..2).for_each(|_| assert!(memory.put(audio.take_empty().expect("memory")).is_none()));
        memory
    }

    fn samples(example: &Example) -> Vec<f32> {
        example.in_order().swap_remove(0)
    }

    fn tone(num_samples: usize) -> Vec<f32> {
        (0..num_samples).map(|n| 0.5 * (n as f32 * 0.3).sin()).collect()
    }

    /// What is kept of `signal`, heard in blocks of this length.
    fn kept(memory: &mut CaptureBuffer<2>, signal: &[f32], block: usize) -> Vec<f32> {
        signal.chunks(block).for_each(|block| memory.push(&[block, block]));
        samples(&memory.take_fullest().expect("an example"))
    }

    #[test]
    fn of_a_pause_half_a_second_is_kept_and_what_was_played_before_it_for_as_long_as_it_lasts() {
        let played = tone(25 * PORTION);
        let silence = vec![1e-5; 100 * PORTION];
        // 0.5 s are 31.25 portions.
        let pause = vec![1e-5; 32 * PORTION];
        for block in [1, 7, 16, 333, 100_000] {
            let all = [&played[..], &silence, &played[..80], &silence[..99]].concat();
            let found = kept(&mut memory(), &all, block);
            let expected = [&played[..], &pause, &played[..80], &silence[..99]].concat();
            assert_eq!(found, expected[expected.len() - ROOM.min(expected.len())..], "blocks of {block}");
        }
        assert!(kept(&mut memory(), &silence, 7).is_empty(), "it begins in a pause");
        assert_eq!(kept(&mut memory(), &silence[..5], 7).len(), 5, "nobody knows yet what becomes of it");
    }

    #[test]
    fn what_was_played_before_a_long_pause_is_another_sound_and_comes_back_where_only_a_click_follows() {
        let (kick, snare) = (tone(400), tone(400).iter().map(|sample| -sample).collect::<Vec<_>>());
        let after = |pause: usize, played: &[f32], block: usize| {
            kept(&mut memory(), &[&kick[..], &vec![0.0; pause], played].concat(), block)
        };
        for block in [1, 7, 16, 333, 100_000] {
            let alone = after(10_000, &snare, block);
            assert_eq!(&alone[alone.len() - 400..], snare);
            assert!(alone.len() < 400 + PORTION, "{} samples, blocks of {block}", alone.len());
            let together = after(600, &snare, block);
            assert_eq!(&together[together.len() - 400..], snare);
            assert!(together.len() > 900, "{} samples, blocks of {block}", together.len());
            assert!(after(10_000, &snare[..20], block).len() > 400, "a click");
        }
        let mut memory = memory();
        memory.push(&[&[&kick[..], &vec![0.0; 10_000], &snare].concat()]);
        let first = memory.take_fullest().expect("an example");
        assert!(first.num_filled() < 400 + PORTION);
        let followed = memory.take_since_reset().expect("another");
        assert_eq!(followed.num_filled(), first.num_filled(), "likewise of a sidechain that is followed");
        assert!(memory.put(first).is_none());
        let again = memory.take_fullest().expect("it goes on in the silence that follows");
        assert!((400..400 + PORTION).contains(&again.num_filled()));
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
    fn what_comes_back_from_the_worker_in_the_silence_that_follows_goes_on_and_can_be_taken_again() {
        let played = tone(300);
        let expected = [&played[..], &[0.0; 32 * PORTION]].concat();
        let expected = &expected[..expected.len().min(ROOM)];
        for block in [1, 5, 16, 100] {
            let mut memory = memory();
            let silence = |memory: &mut CaptureBuffer<2>, num_samples: usize| {
                vec![0.0; num_samples].chunks(block).for_each(|block| memory.push(&[block]));
            };
            played.chunks(block).for_each(|block| memory.push(&[block]));
            silence(&mut memory, 2_000);
            for num_silent in [0, 3, 700] {
                let example = memory.take_fullest().expect("an example");
                let kept = samples(&example);
                assert_eq!(kept[..expected.len() - 12], expected[..expected.len() - 12], "blocks of {block}");
                silence(&mut memory, num_silent);
                assert!(memory.put(example).is_none());
                silence(&mut memory, 50);
            }
        }
    }

    #[test]
    fn what_was_with_the_worker_while_something_was_played_begins_anew() {
        let mut memory = memory();
        memory.push(&[&tone(300)]);
        let example = memory.take_fullest().expect("an example");
        memory.push(&[&tone(100)]);
        assert!(memory.put(example).is_none());
        memory.push(&[&tone(100)]);
        let mut filled =
            [memory.take_fullest(), memory.take_fullest()].map(|example| example.map(|it| it.num_filled()));
        filled.sort();
        assert_eq!(filled, [Some(100), Some(500)]);
    }

    #[test]
    fn of_more_memory_than_there_is_room_for_that_stays_which_has_heard_most() {
        let (mut audio, _) = examples(EXAMPLE_CHANNELS, ROOM, PORTION);
        let mut memory = CaptureBuffer::<1>::new(PORTION, RATE_HZ);
        assert!(memory.put(audio.take_empty().expect("memory")).is_none());
        memory.push(&[&tone(96)]);
        let full = memory.take_fullest().expect("the example");
        assert!(memory.put(audio.take_empty().expect("memory")).is_none());
        let left = memory.put(full).expect("there is room for one");
        assert_eq!(left.num_filled(), 0);
        assert_eq!(memory.take_fullest().expect("the example").num_filled(), 96);
        memory.forget();
        assert_eq!(memory.put(left).map(|left| left.num_filled()), None);
    }

    #[test]
    fn what_was_taken_before_all_was_forgotten_begins_anew() {
        let mut memory = memory();
        memory.push(&[&tone(96)]);
        let example = memory.take_fullest().expect("an example");
        memory.forget();
        assert!(memory.put(example).is_none());
        assert_eq!([memory.take_fullest(), memory.take_fullest()].map(|it| it.map(|it| it.num_filled())), [Some(0); 2]);
    }

    #[test]
    fn what_begins_anew_within_a_portion_loses_no_more_of_it_than_it_has_heard() {
        let (mut audio, _) = examples(EXAMPLE_CHANNELS, ROOM, PORTION);
        let mut memory = CaptureBuffer::<1>::new(PORTION, RATE_HZ);
        memory.push(&[&tone(10)]);
        assert!(memory.put(audio.take_empty().expect("memory")).is_none());
        memory.push(&[&[0.0; 6]]);
        memory.push(&[&[0.0; 40 * PORTION]]);
        assert_eq!(memory.take_fullest().expect("the example").num_filled(), 6 + 32 * PORTION);
    }
}
