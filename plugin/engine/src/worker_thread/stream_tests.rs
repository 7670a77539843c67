//! Which calls are run and which are not, by a clock of the tests' own.

use std::cell::Cell;
use std::rc::Rc;

use super::super::opener::on_best;
use super::super::worker_loop::POLL_INTERVAL;
use super::*;
use crate::clock::standing as clock;
use crate::handoff::{AudioEnd, handoff};
use crate::latency::{CallTimes, ModelTiming};

const RATE_HZ: f64 = 48_000.0;
const HOP: Duration = Duration::from_millis(16);

const LIVE: ModelTiming = ModelTiming::LIVE;

/// Eight frames at once, as many ahead.
const AHEAD: ModelTiming = ModelTiming { look_ahead_frames: 8, ..ModelTiming::PAPER };

fn shape_of(timing: &ModelTiming) -> CallShape {
    CallShape {
        grid: timing.grid(RATE_HZ).unwrap(),
        num_channels: 1,
        num_frames: timing.frames_per_call,
        num_bins: timing.num_bins,
        num_stems: 1,
        embedding_size: 0,
    }
}

/// Takes as long as is said for each call that it is given.
struct Slow<F> {
    takes: F,
}

impl<F: FnMut() -> Duration> Separate for Slow<F> {
    type Error = &'static str;

    fn separate(&mut self, _: &mut Call) -> Result<(), &'static str> {
        clock::advance((self.takes)());
        Ok(())
    }

    fn reset(&mut self) {}

    fn reopen(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn model(&self) -> Option<&Arc<Model>> {
        None
    }
}

/// An audio thread that keeps time, and a worker that looks for work as often as it does.
struct OnAir<F> {
    audio: AudioEnd,
    stream: Stream<Slow<F>>,
    status: Arc<EngineStatus>,
    times: CallTimes,
    began: Instant,
    /// Calls that were handed over.
    num_sent: u64,
    /// Frames that were due, those before the first one among them.
    num_due: u64,
    /// Masks that were there when they were due.
    num_in_time: usize,
}

impl<F: FnMut() -> Duration> OnAir<F> {
    fn new(timing: &ModelTiming, takes: F) -> Self {
        let shape = shape_of(timing);
        let status = EngineStatus::for_tests(timing, RATE_HZ, 256);
        let (audio, end) = handoff(&shape, 5);
        let stream = Stream::new(end, shape, status.clone(), Slow { takes }).with_clock(clock::now);
        let times = status.call_times();
        Self { audio, stream, status, times, began: clock::now(), num_sent: 0, num_due: 0, num_in_time: 0 }
    }

    fn passed(&self) -> Duration {
        clock::now() - self.began
    }

    fn send_time(&self) -> Duration {
        HOP * (self.num_sent as usize * self.times.num_frames) as u32
    }

    fn due_time(&self) -> Duration {
        self.needed_at(self.num_due)
    }

    /// When the mask is needed that is the `place`th of all calls.
    fn needed_at(&self, place: u64) -> Duration {
        HOP * place as u32 + self.status.deadline()
    }

    /// What the audio thread does up to now.
    fn catch_up(&mut self) {
        while self.send_time().min(self.due_time()) <= self.passed() {
            if self.due_time() < self.send_time() {
                if let Some(frame_index) = self.num_due.checked_sub(self.times.look_ahead_frames as u64) {
                    self.audio.publish_due(0, frame_index);
                }
                self.num_due += 1;
                continue;
            }
            if let Some(mut call) = self.audio.calls.take_empty() {
                call.first_frame = self.num_sent * self.times.num_frames as u64;
                call.valid_from = 0;
                call.deadline_from = Some(self.began + self.send_time());
                call.is_fresh = self.num_sent == 0;
                self.audio.send(call);
            }
            self.num_sent += 1;
        }
    }

    /// The share of the masks of the next `num_calls` that come in time and are not void.
    fn share_in_time(&mut self, num_calls: u64) -> f32 {
        let CallTimes { num_frames, look_ahead_frames, .. } = self.times;
        let (until, num_before) = (self.num_sent + num_calls, self.num_in_time);
        while self.num_sent < until {
            self.catch_up();
            if !self.stream.step() {
                clock::advance(POLL_INTERVAL);
                continue;
            }
            while let Some(call) = self.audio.calls.receive() {
                let is_there = |place: &u64| {
                    *place >= call.valid_from + look_ahead_frames as u64 && self.passed() <= self.needed_at(*place)
                };
                let places = call.first_frame..call.first_frame + num_frames as u64;
                if call.outcome == Outcome::Masked {
                    self.num_in_time += places.filter(is_there).count();
                }
                self.audio.calls.put_empty(call);
            }
        }
        (self.num_in_time - num_before) as f32 / (num_calls as usize * num_frames) as f32
    }
}

#[test]
fn a_model_that_takes_a_little_longer_than_its_frames_last_is_not_late_for_good() {
    // Half a call's time is granted: of eight frames at once some are late in any case where a call takes longer than that.
    let cases = [
        ("frame by frame", LIVE, [(0.6, 1.0), (0.99, 1.0), (1.006, 0.97), (1.06, 0.75), (1.19, 0.45)]),
        ("eight at once, as many ahead", AHEAD, [(0.5, 0.99), (0.99, 0.45), (1.006, 0.3), (1.06, 0.15), (1.19, 0.03)]),
    ];
    for (name, timing, expected) in cases {
        for (rtf, expected_share) in expected {
            let mut on_air = OnAir::new(&timing, || HOP.mul_f64(rtf * timing.frames_per_call as f64));
            let share = on_air.share_in_time(5_000);
            let headroom = on_air.status.snapshot().headroom;
            println!("{name}, {rtf} of real time: {:.1} % in time, headroom {headroom:.2}", 100.0 * share);
            assert!(share >= expected_share, "{name}, {rtf}: {share}");
            assert!(rtf < 1.0 || headroom < 0.02, "what was not run is too late");
        }
    }
}

#[test]
fn a_call_of_a_machine_that_stood_still_is_run_as_long_as_the_audio_thread_has_the_frames_to_go() {
    for (due_frame, expected) in [(0, Outcome::Masked), (11, Outcome::Masked), (12, Outcome::TooLate)] {
        let timing = ModelTiming { frames_per_call: 8, ..LIVE };
        let shape = shape_of(&timing);
        let status = EngineStatus::for_tests(&timing, RATE_HZ, 256);
        let (mut audio, end) = handoff(&shape, 5);
        let slow = Slow { takes: || Duration::from_millis(60) };
        let mut stream = Stream::new(end, shape, status, slow).with_clock(clock::now);
        let mut answer = |first_frame: u64, due_frame: u64, passed: Duration| {
            let mut call = audio.calls.take_empty().unwrap();
            (call.first_frame, call.is_fresh) = (first_frame, first_frame == 0);
            call.deadline_from = Some(clock::now());
            audio.send(call);
            audio.publish_due(0, due_frame);
            clock::advance(passed);
            stream.step();
            let call = audio.calls.receive().unwrap();
            let outcome = call.outcome;
            audio.calls.put_empty(call);
            outcome
        };
        for _ in 0..3 {
            assert_eq!(answer(0, 0, Duration::ZERO), Outcome::Masked);
        }
        // Due last was a frame so long before its masks, or after the first of them, that run it makes twelve of these and the next
        // ones late, or fourteen; left out, it costs eight and a gap, and one of the next.
        assert_eq!(answer(8, due_frame, Duration::from_secs(1)), expected, "with frame {due_frame} due");
    }
}

#[test]
fn one_slow_call_costs_what_is_due_meanwhile_and_a_slow_minute_no_more_than_the_minute() {
    let takes = std::cell::Cell::new(Duration::from_millis(10));
    let mut on_air = OnAir::new(&LIVE, || takes.get());
    assert!(on_air.share_in_time(100) >= 1.0);
    takes.set(Duration::from_millis(200));
    on_air.share_in_time(1);
    takes.set(Duration::from_millis(10));
    // Of two seconds the 200 ms, what was granted for them less.
    let share = on_air.share_in_time(125);
    assert!(share >= 1.0 - 0.2 / 2.0, "{share}");
    for slow_us in [18_000, 21_300, 21_900, 21_990, 22_010, 40_000] {
        takes.set(Duration::from_micros(slow_us));
        on_air.share_in_time(3_750);
        takes.set(Duration::from_millis(10));
        let (at_first, share) = (on_air.share_in_time(10), on_air.share_in_time(1_000));
        assert!(at_first >= 0.85 && share >= 1.0, "after calls of {slow_us} µs: {at_first}, {share}");
    }
}

/// Answers every call of a card until it is gone, and every one of a processor.
struct OnDevice {
    is_card: bool,
    has_card: Rc<Cell<bool>>,
    status: Arc<EngineStatus>,
}

impl Separate for OnDevice {
    type Error = &'static str;

    fn separate(&mut self, _: &mut Call) -> Result<(), &'static str> {
        clock::advance(HOP);
        if self.is_card && !self.has_card.get() { Err("the card is gone") } else { Ok(()) }
    }

    fn reset(&mut self) {}

    fn reopen(&mut self) -> Result<(), String> {
        let on_card = || if self.has_card.get() { Ok(Some(true)) } else { Err("there is none any more".to_owned()) };
        self.is_card = on_best(&self.status, on_card, || Ok(false))?;
        Ok(())
    }

    fn model(&self) -> Option<&Arc<Model>> {
        None
    }
}

#[test]
fn a_card_that_goes_while_it_plays_is_left_for_the_processor_and_the_status_says_so() {
    let shape = shape_of(&LIVE);
    let status = EngineStatus::for_tests(&LIVE, RATE_HZ, 256);
    let (mut audio, worker) = handoff(&shape, 4);
    let has_card = Rc::new(Cell::new(true));
    let on_card = OnDevice { is_card: true, has_card: has_card.clone(), status: status.clone() };
    let mut stream = Stream::new(worker, shape, status.clone(), on_card).with_clock(clock::now);
    status.set_running("cuda");
    let mut outcomes = Vec::new();
    for number in 0..1_000 {
        if number == 10 {
            has_card.set(false);
        }
        if status.state() == State::Running
            && let Some(mut call) = audio.calls.take_empty()
        {
            call.first_frame = number * shape.num_frames as u64;
            audio.send(call);
        }
        // Nobody sends any more once it was given up: time goes on all the same.
        if !stream.step() {
            clock::advance(HOP);
        }
        while let Some(call) = audio.calls.receive() {
            outcomes.push(call.outcome);
            audio.calls.put_empty(call);
        }
    }
    let num = |outcome| outcomes.iter().filter(|it| **it == outcome).count();
    println!("{} calls masked, {} failed", num(Outcome::Masked), num(Outcome::Failed));
    assert_eq!(outcomes[..10], [Outcome::Masked; 10]);
    assert!(num(Outcome::Failed) > 100, "a driver that stumbles may come back");
    assert!(outcomes.iter().rev().take(500).all(|outcome| *outcome == Outcome::Masked), "the processor took over");
    let snapshot = status.snapshot();
    assert_eq!(snapshot.state, State::Running);
    assert!(
        snapshot.notice.contains("graphics card") && snapshot.notice.contains("there is none any more"),
        "{}",
        snapshot.notice
    );
}

#[test]
fn a_card_that_goes_during_a_bounce_is_left_for_the_processor_within_the_call_that_it_fails() {
    let shape = shape_of(&AHEAD);
    let status = EngineStatus::for_tests(&AHEAD, RATE_HZ, 256);
    let (mut audio, worker) = handoff(&shape, 4);
    let has_card = Rc::new(Cell::new(true));
    let on_card = OnDevice { is_card: true, has_card: has_card.clone(), status: status.clone() };
    let mut stream = Stream::new(worker, shape, status.clone(), on_card).with_clock(clock::now);
    status.set_running("cuda");
    audio.publish_waits(true);
    for number in 0..100 {
        has_card.set(number < 10);
        let mut call = audio.calls.take_empty().expect("an empty call");
        call.first_frame = number * shape.num_frames as u64;
        (call.is_fresh, call.is_waited_for, call.valid_from) = (number == 0, true, 0);
        audio.send(call);
        assert!(stream.step());
        let call = audio.calls.receive().expect("an answer");
        assert_eq!(call.outcome, Outcome::Masked, "call {number}");
        // What the card had heard is gone with it.
        let valid_from = if number < 10 { 0 } else { 10 * shape.num_frames as u64 };
        assert_eq!(call.valid_from, valid_from, "call {number}");
        assert_eq!(stream.take_was_reopened(), number == 10, "once, at call {number}");
        audio.calls.put_empty(call);
    }
    let snapshot = status.snapshot();
    assert_eq!((snapshot.state, snapshot.device.as_str(), snapshot.message.as_str()), (State::Running, "cpu", ""));
    assert!(snapshot.notice.contains("there is none any more"), "{}", snapshot.notice);
}

/// Can be opened anew as often as one likes, and fails every call.
struct Failing {
    num_reopened: usize,
}

impl Separate for Failing {
    type Error = &'static str;

    fn separate(&mut self, _: &mut Call) -> Result<(), &'static str> {
        clock::advance(HOP);
        Err("it never works")
    }

    fn reset(&mut self) {}

    fn reopen(&mut self) -> Result<(), String> {
        self.num_reopened += 1;
        Ok(())
    }

    fn model(&self) -> Option<&Arc<Model>> {
        None
    }
}

#[test]
fn a_bounce_whose_calls_fail_whatever_they_run_on_is_not_opened_anew_for_each_of_them() {
    let shape = shape_of(&LIVE);
    let status = EngineStatus::for_tests(&LIVE, RATE_HZ, 256);
    let (mut audio, worker) = handoff(&shape, 4);
    let mut stream = Stream::new(worker, shape, status.clone(), Failing { num_reopened: 0 }).with_clock(clock::now);
    audio.publish_waits(true);
    for number in 0..50 {
        let mut call = audio.calls.take_empty().expect("an empty call");
        (call.first_frame, call.is_waited_for) = (number, true);
        audio.send(call);
        stream.step();
        let call = audio.calls.receive().expect("an answer");
        assert_eq!(call.outcome, Outcome::Failed);
        audio.calls.put_empty(call);
    }
    assert_eq!(stream.separation().num_reopened, 1);
    assert!(status.snapshot().message.contains("An inference failed"));
}
