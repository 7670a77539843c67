//! Frames by number: the samples of a frame are its name, the masks say whose they are, and a mask that is another frame's
//! is found at once.

use std::collections::VecDeque;

use assert_no_alloc::{assert_no_alloc, violation_count};
use underscore_backend::Batching;

use super::*;
use crate::audio_thread::random::Random;
use crate::clock::standing as clock;
use crate::handoff::handoff;
use crate::latency::latency;
use crate::query::Embedding;
use crate::worker_thread::{Model, Separate, Waker};

type Stream = crate::worker_thread::Stream<Namer>;

const TIMINGS: [(usize, usize); 6] = [(8, 0), (1, 0), (4, 8), (4, 3), (1, 5), (8, 16)];
const SILENT: f32 = 0.0;
const LOOK_BACK_FRAMES: usize = 5;

fn timing(frames_per_call: usize, look_ahead_frames: usize) -> ModelTiming {
    ModelTiming {
        sample_rate_hz: 1000.0,
        window_s: 0.004,
        hop_s: 0.001,
        synthesis_s: 0.004,
        num_bins: 3,
        frames_per_call,
        look_ahead_frames,
        look_back_frames: LOOK_BACK_FRAMES,
    }
}

/// What is special about a frame.
#[derive(Debug, Clone, Copy)]
struct Frame {
    is_silent: bool,
    /// The model fails on it.
    is_fatal: bool,
    asleep: bool,
    num_mask_channels: usize,
    /// What is asked for while it is the newest; the model adds it to its masks.
    asked: f32,
}

const SOUND: Frame = Frame { is_silent: false, is_fatal: false, asleep: false, num_mask_channels: 1, asked: 0.0 };

/// Gives each frame its name as mask, once it has heard `look_ahead_frames` more, and like a model it knows the frames by their
/// order only.
struct Namer {
    shape: CallShape,
    look_ahead_frames: usize,
    /// `[mask channel]`, the names that are not given yet, oldest first.
    pending: Vec<VecDeque<f32>>,
    /// No call succeeds, and it cannot be opened anew.
    is_broken: bool,
}

/// The name of a frame that was not heard.
const UNHEARD: f32 = -1.0;

impl Namer {
    fn begin(&mut self, num_mask_channels: usize) {
        let unheard: VecDeque<f32> = std::iter::repeat_n(UNHEARD, self.look_ahead_frames).collect();
        self.pending = vec![unheard; num_mask_channels];
    }
}

impl Separate for Namer {
    type Error = &'static str;

    fn separate(&mut self, call: &mut Call) -> Result<(), &'static str> {
        if self.is_broken {
            return Err("it is broken");
        }
        if self.pending.len() != call.num_mask_channels {
            self.begin(call.num_mask_channels);
        }
        let shape = self.shape;
        let mut is_fatal = false;
        for (channel_idx, pending) in self.pending.iter_mut().enumerate() {
            for frame_idx in 0..shape.num_frames {
                pending.push_back(call.samples[name_place(&shape, channel_idx, frame_idx)]);
                let name = pending.pop_front().expect("one was pushed");
                is_fatal |= name.is_nan();
                let offset = shape.mask_offset(call.num_mask_channels, 0, channel_idx, frame_idx);
                call.masks[offset..offset + shape.num_bins].fill(name + call.embedding[0]);
            }
        }
        if is_fatal { Err("a frame that is fatal") } else { Ok(()) }
    }

    fn reset(&mut self) {
        self.begin(self.pending.len());
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.pending.clear();
        if self.is_broken { Err("it is broken".into()) } else { Ok(()) }
    }

    fn model(&self) -> Option<&std::sync::Arc<Model>> {
        None
    }
}

/// Where the name of a frame stands in a call.
fn name_place(shape: &CallShape, channel_idx: usize, frame_idx: usize) -> usize {
    shape.samples_offset(channel_idx, frame_idx) + shape.grid.window_samples() - 1
}

/// A dispatch and the worker behind it.
struct Rig {
    dispatch: Dispatch,
    shape: CallShape,
    stream: Stream,
    status: std::sync::Arc<EngineStatus>,
    timing: ModelTiming,
    mask_delay_frames: u64,
    /// Frames since the last reset, as they went in.
    frames: Vec<Frame>,
    num_resets: usize,
    /// Where the host renders ahead of real time.
    longest_wait: Option<Duration>,
    /// What each frame since the last reset got.
    answers: Vec<Due>,
    /// First frame of the call with the mask that was used last: it is kept until the next one comes.
    in_use: Option<u64>,
}

impl Rig {
    fn new(timing: ModelTiming) -> Self {
        let rig = Self::loading(timing);
        rig.status.set_running("test");
        rig
    }

    /// Its model is still to come.
    fn loading(timing: ModelTiming) -> Self {
        let latency = latency(&timing, timing.sample_rate_hz, 3).unwrap();
        let shape = CallShape {
            grid: latency.grid,
            num_channels: 2,
            num_frames: timing.frames_per_call,
            num_bins: 3,
            num_stems: 1,
            embedding_size: 1,
        };
        let status = EngineStatus::register("test", &timing, timing.sample_rate_hz, 3, latency);
        let num_calls = super::super::engine::activation::num_calls(&latency, &timing);
        let (audio_end, worker_end) = handoff(&shape, num_calls);
        let namer = Namer { shape, look_ahead_frames: timing.look_ahead_frames, pending: Vec::new(), is_broken: false };
        let stream = Stream::new(worker_end, shape, status.clone(), namer).with_clock(clock::now);
        let patience = Patience::with(Waker::none(), status.clone());
        Self {
            dispatch: Dispatch::new(audio_end, patience, status.clone(), shape, &timing, num_calls)
                .with_clock(clock::now),
            shape,
            stream,
            status,
            timing,
            mask_delay_frames: latency.mask_delay_frames as u64,
            frames: Vec::new(),
            num_resets: 0,
            longest_wait: None,
            answers: Vec::new(),
            in_use: None,
        }
    }

    /// The name of a frame; a whole number, so that the second channel's is another one.
    fn name(&self, frame_index: u64, channel_idx: usize) -> f32 {
        match self.frames[frame_index as usize] {
            Frame { is_silent: true, .. } => return SILENT,
            Frame { is_fatal: true, .. } => return f32::NAN,
            _ => (),
        }
        (1 + frame_index as usize + 100_000 * self.num_resets) as f32 + 0.5 * channel_idx as f32
    }

    /// One hop: takes `frame` in, lets the worker do `work`, and looks at what the frame that is due gets.
    fn step(&mut self, frame: Frame, work: impl FnOnce(&mut Stream)) {
        let newest = self.frames.len() as u64;
        self.frames.push(frame);
        self.answers.reserve(1);
        let step = StepSettings {
            strength: 1.0,
            stereo_link: true,
            asleep: frame.asleep,
            embedding: Embedding::new(&[frame.asked]),
            longest_wait: self.longest_wait,
            batching: Batching::NEVER,
        };
        let names = [self.name(newest, 0), self.name(newest, 1)];
        let shape = self.shape;
        let before = violation_count();
        assert_no_alloc(|| {
            self.dispatch.push_frame(newest, frame.num_mask_channels, frame.is_silent, step, |frame_idx, call| {
                for (channel_idx, name) in names.into_iter().enumerate() {
                    call.samples[name_place(&shape, channel_idx, frame_idx)] = name;
                }
            });
        });
        work(&mut self.stream);
        if let Some(due_frame) = newest.checked_sub(self.mask_delay_frames) {
            let due = assert_no_alloc(|| self.dispatch.due(due_frame, step.longest_wait));
            self.check(due_frame, due);
            self.answers.push(due);
            if let Due::Mask { call_idx, .. } = due {
                self.in_use = Some(self.dispatch.returned(call_idx).first_frame);
            }
            assert_no_alloc(|| self.dispatch.release(due_frame, self.in_use));
            assert!(
                self.in_use.is_none_or(|first_frame| self.dispatch.kept(first_frame).is_some()),
                "the call that was used last is gone"
            );
        }
        assert_eq!(violation_count(), before, "something was allocated");
    }

    /// A mask is the frame's own, and only what is silent is called so.
    fn check(&self, frame_index: u64, due: Due) {
        let is_silent = self.frames[frame_index as usize].is_silent;
        // A call asks for what was wanted when it began.
        let with_mask = frame_index as usize + self.timing.look_ahead_frames;
        let asked = self.frames[with_mask - with_mask % self.timing.frames_per_call].asked;
        match due {
            Due::Mask { call_idx, frame_idx } => {
                let call = self.dispatch.returned(call_idx);
                for channel_idx in 0..call.num_mask_channels {
                    let offset = self.shape.mask_offset(call.num_mask_channels, 0, channel_idx, frame_idx);
                    let mask = &call.masks[offset..offset + self.shape.num_bins];
                    let name = self.name(frame_index, channel_idx) + asked;
                    assert!(
                        is_silent || mask.iter().all(|value| *value == name),
                        "frame {frame_index}, channel {channel_idx}: expected the mask {name}, got {mask:?}"
                    );
                }
            }
            Due::Silence => assert!(is_silent, "frame {frame_index} is not silent"),
            Due::Late | Due::Unheard | Due::Asleep | Due::Nothing => (),
        }
    }

    fn reset(&mut self) {
        self.dispatch.reset();
        self.frames.clear();
        self.answers.clear();
        self.in_use = None;
        self.num_resets += 1;
    }

    fn has_mask(&self, frame_index: usize) -> bool {
        matches!(self.answers[frame_index], Due::Mask { .. })
    }

    fn num_late(&self) -> usize {
        self.answers.iter().filter(|due| **due == Due::Late).count()
    }
}

fn work_all(stream: &mut Stream) {
    while stream.step() {}
}

#[test]
fn a_worker_that_uses_its_whole_deadline_misses_no_frame_and_drops_no_call() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        let mut num_run = 0;
        for newest in 0..400 {
            // Up to the call with the mask that is due in this very hop, and no further.
            let num_needed = (newest as u64)
                .checked_sub(rig.mask_delay_frames)
                .map_or(0, |due_frame| (due_frame as usize + look_ahead_frames) / frames_per_call + 1);
            rig.step(SOUND, |stream| {
                while num_run < num_needed {
                    assert!(stream.step(), "call {num_run} is not complete when its first mask is due");
                    num_run += 1;
                }
            });
        }
        assert!(rig.answers.len() > 300);
        assert!((0..rig.answers.len()).all(|frame| rig.has_mask(frame)), "{:?}", rig.timing);
        assert_eq!(rig.status.snapshot().num_dropped_calls, 0);
    }
}

#[test]
fn what_is_asked_for_is_found_from_the_next_call_on() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        for newest in 0..200 {
            // Compared in `Rig::check`.
            rig.step(Frame { asked: f32::from((newest / 13 % 2) as u8) * 0.25, ..SOUND }, work_all);
        }
        assert!((0..rig.answers.len()).all(|frame| rig.has_mask(frame)), "{:?}", rig.timing);
    }
}

#[test]
fn every_frame_with_sound_gets_its_mask_whatever_silence_is_around_it() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let reach_frames = look_ahead_frames + LOOK_BACK_FRAMES;
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        let mut random = Random(7);
        let mut num_calls = 0;
        while rig.frames.len() < 3000 {
            // From shorter than the look-ahead to many calls long.
            let run_frames = 1 + random.below(3 * (reach_frames + frames_per_call) as u64);
            let is_silent = random.below(2) == 0;
            for _ in 0..run_frames {
                rig.step(Frame { is_silent, ..SOUND }, |stream| num_calls += usize::from(stream.step()));
            }
        }
        for frame_index in 0..rig.answers.len() {
            assert!(
                rig.frames[frame_index].is_silent || rig.has_mask(frame_index),
                "{:?}: frame {frame_index}: {:?}",
                rig.timing,
                rig.answers[frame_index]
            );
        }
        assert!(num_calls < rig.frames.len() / frames_per_call, "no call was left out");
        assert_eq!(rig.num_late(), 0);
    }
}

#[test]
fn the_last_frames_before_a_long_silence_get_their_masks_and_silence_then_costs_nothing() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        for num_sounding in 1..=2 * frames_per_call {
            let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
            let mut num_calls = 0;
            for newest in 0..200 {
                let frame = Frame { is_silent: newest >= num_sounding, ..SOUND };
                rig.step(frame, |stream| num_calls += usize::from(stream.step()));
            }
            assert!((0..num_sounding).all(|frame| rig.has_mask(frame)), "{:?}", rig.timing);
            // The sound, what the model reaches over, and no more than the call that is begun then.
            let most_frames = num_sounding + look_ahead_frames + LOOK_BACK_FRAMES + frames_per_call;
            assert!(num_calls <= most_frames.div_ceil(frames_per_call), "{:?}: {num_calls} calls", rig.timing);
            assert_eq!(rig.answers.last(), Some(&Due::Silence));
        }
    }
}

#[test]
fn a_worker_that_wakes_up_late_after_silence_is_late_for_what_is_heard_only() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let sound_from = 200_usize.next_multiple_of(frames_per_call);
        for first_heard in sound_from - look_ahead_frames..=sound_from + 2 {
            let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
            for newest in 0..400 {
                let due_frame = (newest as u64).checked_sub(rig.mask_delay_frames);
                let is_awake = due_frame.is_some_and(|due_frame| due_frame as usize >= first_heard);
                rig.step(
                    Frame { is_silent: newest < sound_from, ..SOUND },
                    |stream| {
                        while is_awake && stream.step() {}
                    },
                );
            }
            let num_heard_late = first_heard.saturating_sub(sound_from);
            assert_eq!(rig.num_late(), num_heard_late, "{:?}", rig.timing);
        }
    }
}

#[test]
fn after_sleep_no_frame_gets_a_mask_that_was_made_without_it() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        for num_asleep in [1, 2, 3] {
            let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
            let asleep = 40..40 + num_asleep * frames_per_call;
            for newest in 0..200 {
                rig.step(Frame { asleep: asleep.contains(&newest), ..SOUND }, work_all);
            }
            for frame_index in 0..rig.answers.len() {
                // What was heard, and all that it looks ahead to.
                let call_ends = (frame_index + look_ahead_frames) / frames_per_call * frames_per_call;
                let is_heard = frame_index >= asleep.end || call_ends + frames_per_call <= asleep.start;
                assert_eq!(rig.has_mask(frame_index), is_heard, "{:?}: frame {frame_index}", rig.timing);
            }
            assert_eq!(rig.num_late(), 0, "asleep is not late");
        }
    }
}

#[test]
fn a_call_that_comes_late_costs_its_late_frames_and_no_more() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let late_call = 24 / frames_per_call;
        // The masks of the call are for the frames from here on.
        let first_masked = late_call * frames_per_call - look_ahead_frames;
        for num_late in 0..=frames_per_call + look_ahead_frames {
            let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
            let mut num_run = 0;
            for newest in 0..200 {
                let due_frame = (newest as u64).checked_sub(rig.mask_delay_frames);
                // The frame after the last late one is the first that the worker is ready for.
                let is_stuck = due_frame.is_none_or(|due_frame| (due_frame as usize) < first_masked + num_late);
                rig.step(SOUND, |stream| {
                    while (num_run < late_call || !is_stuck) && stream.step() {
                        num_run += 1;
                    }
                });
            }
            assert_eq!(rig.num_late(), num_late, "{:?}", rig.timing);
            let rest = (0..rig.answers.len()).filter(|frame| !(first_masked..first_masked + num_late).contains(frame));
            assert!(rest.into_iter().all(|frame| rig.has_mask(frame)), "{:?}, {num_late} late", rig.timing);
        }
    }
}

#[test]
fn other_channels_begin_another_stream_which_is_nobody_s_fault() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        let change = 40_usize.next_multiple_of(frames_per_call);
        for newest in 0..200 {
            rig.step(Frame { num_mask_channels: if newest < change { 1 } else { 2 }, ..SOUND }, work_all);
        }
        for frame_index in 0..rig.answers.len() {
            // The frames whose masks come with calls of the new stream, and that were heard in the old one.
            let expected = (change - look_ahead_frames..change).contains(&frame_index);
            assert_eq!(rig.answers[frame_index] == Due::Unheard, expected, "{:?}: {frame_index}", rig.timing);
            assert_eq!(rig.has_mask(frame_index), !expected, "{:?}: {frame_index}", rig.timing);
        }
    }
}

#[test]
fn what_a_bounce_gets_does_not_depend_on_how_soon_the_model_is_there() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let bounce = |num_loading: usize| {
            let timing = timing(frames_per_call, look_ahead_frames);
            let mut rig = if num_loading == 0 { Rig::new(timing) } else { Rig::loading(timing) };
            rig.longest_wait = Some(Duration::from_mins(1));
            for newest in 0..200 {
                // The channels change with the second call, when nothing is due yet.
                let num_mask_channels = if newest < frames_per_call { 1 } else { 2 };
                let status = rig.status.clone();
                rig.step(Frame { num_mask_channels, ..SOUND }, |stream| {
                    if newest >= num_loading {
                        work_all(stream);
                        status.set_running("test");
                    }
                });
            }
            let is_masked = |due| matches!(due, Due::Mask { .. });
            rig.answers.into_iter().map(|due| if is_masked(due) { None } else { Some(due) }).collect::<Vec<_>>()
        };
        // Up to the frame with which the first one is due.
        let longest = Rig::new(timing(frames_per_call, look_ahead_frames)).mask_delay_frames as usize;
        assert_eq!(bounce(longest), bounce(0), "{frames_per_call}, {look_ahead_frames}");
    }
}

#[test]
fn a_bounce_that_shows_only_after_calls_were_handed_over_waits_for_them_and_the_worker_runs_them() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        // The lead shows before the first frame is due, and the worker wakes up when the call's time has long been over.
        let num_frames = rig.mask_delay_frames as usize;
        for newest in 0..num_frames + 100 {
            rig.longest_wait = (newest + 1 >= num_frames).then_some(Duration::from_mins(1));
            rig.step(SOUND, |stream| {
                if newest + 1 >= num_frames {
                    clock::advance(Duration::from_secs(10));
                    work_all(stream);
                }
            });
        }
        assert!((0..rig.answers.len()).all(|frame| rig.has_mask(frame)), "{:?}", rig.timing);
    }
}

#[test]
fn a_call_whose_time_is_over_is_run_where_the_audio_thread_waits_for_it() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        for _ in 0..rig.mask_delay_frames {
            rig.step(SOUND, |_| ());
        }
        let Rig { dispatch, stream, status, .. } = &mut rig;
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                // Until it is waited for.
                std::thread::park();
                clock::advance(Duration::from_secs(10));
                work_all(stream);
            });
            dispatch.patience = Patience::with(Waker::of(worker.thread().clone()), status.clone());
            let due = dispatch.due(0, Some(Duration::from_mins(1)));
            assert!(matches!(due, Due::Mask { .. }), "{frames_per_call}, {look_ahead_frames}: {due:?}");
        });
    }
}

#[test]
fn after_a_stall_the_masks_come_back_with_the_first_call_that_is_begun() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        for stall_frames in [50_usize, 100, 101, 150] {
            let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
            let stall = 100..100 + stall_frames;
            for newest in 0..500 {
                rig.step(SOUND, |stream| {
                    if !stall.contains(&newest) {
                        work_all(stream);
                    }
                });
            }
            // The worker comes back after the frame was taken in, and a call may have been dropped that began with it.
            let whole_again = (stall.end + 1).next_multiple_of(frames_per_call);
            assert!((whole_again..rig.answers.len()).all(|frame| rig.has_mask(frame)), "{:?}", rig.timing);
            assert!(rig.num_late() > 0, "nothing was tested");
        }
    }
}

#[test]
fn after_a_reset_every_frame_has_its_mask_whatever_was_on_its_way() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        for num_before in 0..100 {
            let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
            for newest in 0..num_before {
                // Two calls are still with the worker when the reset comes.
                rig.step(SOUND, |stream| {
                    if newest + 2 * frames_per_call < num_before {
                        work_all(stream);
                    }
                });
            }
            rig.reset();
            for _ in 0..100 {
                rig.step(SOUND, work_all);
            }
            let masked = (0..rig.answers.len()).filter(|frame| rig.has_mask(*frame)).count();
            assert!(masked > 0 && masked == rig.answers.len(), "{:?}, {num_before} before", rig.timing);
        }
    }
}

#[test]
fn a_call_that_fails_is_told_until_the_next_one_that_does_not() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        let calls = |rig: &mut Rig, is_fatal| {
            for _ in 0..frames_per_call {
                rig.step(Frame { is_fatal, ..SOUND }, work_all);
            }
            rig.status.snapshot().message
        };
        assert_eq!(calls(&mut rig, false), "");
        // A model that looks ahead comes to the frame later.
        let told = (0..=look_ahead_frames).map(|_| calls(&mut rig, true)).find(|message| !message.is_empty());
        assert!(told.is_some_and(|message| message.contains("a frame that is fatal")));
        assert_eq!(calls(&mut rig, false), "", "{:?}", rig.timing);
    }
}

#[test]
fn calls_that_fail_for_a_moment_cost_their_own_frames_however_many_they_are() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        let fatal = 40..40 + 50 * frames_per_call;
        for newest in 0..1000 {
            rig.step(Frame { is_fatal: fatal.contains(&newest), ..SOUND }, work_all);
        }
        // The model begins anew after the last one.
        let whole_again = (fatal.end + look_ahead_frames).next_multiple_of(frames_per_call);
        assert!((whole_again..rig.answers.len()).all(|frame| rig.has_mask(frame)), "{:?}", rig.timing);
    }
}

#[test]
fn what_fails_for_long_is_given_up_and_tried_anew_until_it_works() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        let num_frames = rig.mask_delay_frames as usize + 10 * frames_per_call;
        let play = |rig: &mut Rig, is_broken, hop: Duration| {
            rig.stream.separation().is_broken = is_broken;
            let mut num_calls = 0;
            for _ in 0..num_frames {
                clock::advance(hop);
                rig.step(SOUND, |stream| {
                    num_calls += stream.num_waiting();
                    work_all(stream);
                });
            }
            num_calls
        };
        let hop = Duration::from_millis(1);
        play(&mut rig, false, hop);
        assert!(matches!(rig.answers.last(), Some(Due::Mask { .. })));
        // Calls that follow on one another.
        play(&mut rig, true, Duration::from_millis(900) / frames_per_call as u32);
        let given_up = rig.status.snapshot();
        assert_eq!(given_up.state, State::Unavailable);
        assert!(given_up.message.contains("it is broken"), "{}", given_up.message);
        let num_calls = play(&mut rig, true, hop);
        assert_eq!((num_calls, rig.status.state()), (0, State::Unavailable), "{:?}", rig.timing);
        assert_eq!(rig.answers.last(), Some(&Due::Nothing));
        clock::advance(Duration::from_mins(3));
        play(&mut rig, false, hop);
        let mended = rig.status.snapshot();
        assert_eq!((mended.state, mended.message.as_str()), (State::Running, ""), "{:?}", rig.timing);
        assert!(matches!(rig.answers.last(), Some(Due::Mask { .. })));
        assert_eq!(rig.num_late(), 0, "nobody is late where nothing was sent");
    }
}

#[test]
fn single_calls_that_fail_far_apart_are_no_failing_for_seconds() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        let play = |rig: &mut Rig, frame: Frame, num_frames: usize| {
            for _ in 0..num_frames {
                rig.step(frame, work_all);
            }
        };
        for _ in 0..5 {
            // All that the model is given between two failures is silence, and of that it is given no more than it reaches over.
            rig.stream.separation().is_broken = true;
            play(&mut rig, SOUND, frames_per_call);
            assert!(rig.status.snapshot().message.contains("it is broken"));
            let silence = Frame { is_silent: true, ..SOUND };
            play(&mut rig, silence, 4 * frames_per_call + look_ahead_frames + LOOK_BACK_FRAMES);
            assert_eq!(rig.status.state(), State::Running, "{:?}", rig.timing);
            clock::advance(Duration::from_mins(1));
        }
    }
}

#[test]
fn whatever_happens_no_frame_gets_another_one_s_mask() {
    for (frames_per_call, look_ahead_frames) in TIMINGS {
        let mut rig = Rig::new(timing(frames_per_call, look_ahead_frames));
        let mut random = Random(1);
        let (mut frame, mut is_stuck, mut num_masked) = (SOUND, false, 0);
        for _ in 0..100_000 {
            if random.below(20) == 0 {
                frame.is_silent = random.below(2) == 0;
            }
            if random.below(50) == 0 {
                frame.asleep = random.below(3) == 0;
            }
            if random.below(60) == 0 {
                frame.num_mask_channels = 1 + random.below(2) as usize;
            }
            if random.below(40) == 0 {
                is_stuck = random.below(3) == 0;
            }
            if random.below(500) == 0 {
                rig.reset();
            }
            frame.is_fatal = random.below(300) == 0;
            let num_steps = if is_stuck { 0 } else { random.below(3) };
            rig.step(frame, |stream| {
                for _ in 0..num_steps {
                    stream.step();
                }
            });
            num_masked += usize::from(rig.answers.last().is_some_and(|due| matches!(due, Due::Mask { .. })));
        }
        println!("{frames_per_call} frames a call, {look_ahead_frames} ahead: {num_masked} of 100000 frames masked");
        // Frame by frame the least: a worker that was stuck has every call in circulation to work off, all of them past.
        let least = if frames_per_call == 1 { 5_000 } else { 10_000 };
        assert!(num_masked > least, "hardly anything was tested");
    }
}
