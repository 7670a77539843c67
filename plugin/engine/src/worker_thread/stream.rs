//! The worker's side of one engine: which calls are run, in what order, and what is said of them.

use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use underscore_backend::{Backend, Device};

use super::expectation::Expectation;
use super::listener::Listener;
use super::load_marks::{Load, LoadMarks};
use super::model::Model;
use super::past::Past;
use super::priority::Urgency;
use super::separation::{Separate, Separation};
use super::session::{Session, SessionError};
use super::triage::Standing;
use super::trouble::{self, Trouble};
use super::{Assignment, DeviceChoice, library, store};
use crate::catalogue::ModelSpec;
use crate::clock::Clock;
use crate::handoff::{Call, CallShape, Outcome, WorkerEnd};
use crate::resources::Resources;
use crate::status::EngineStatus;

/// An engine with what separates its calls.
pub struct Stream<S = Separation> {
    end: WorkerEnd,
    shape: CallShape,
    status: Arc<EngineStatus>,
    separation: S,
    past: Past,
    listener: Option<Listener>,
    /// Channels with a mask of their own in the call that was run last; none at first.
    num_mask_channels: usize,
    /// First of the frames that the model has heard without a gap. After a gap it goes on with what it knows and takes what
    /// comes for the continuation, so that its masks fit the frames from the gap on and none before.
    heard_from: u64,
    /// Of the last call.
    last_urgency: Urgency,
    expectation: Expectation,
    /// None while calls succeed.
    trouble: Option<Trouble>,
    clock: Clock,
}

impl Stream {
    /// Opens libtorch, the model and a session. On failure the status says why and what to do.
    pub fn open(assignment: Assignment) -> Option<Self> {
        let began = Instant::now();
        let status = assignment.status.clone();
        match Self::try_open(assignment) {
            Ok(mut stream) => {
                let load_ms = began.elapsed().as_secs_f32() * 1e3;
                // What came in meanwhile first: until the past calls are given back the audio thread has none to fill, and it
                // would count as late what only waited for the model. But for the newest one where a host waits for its masks: it is to
                // find the model running when they are there.
                for num_left in (1..=stream.end.num_waiting()).rev() {
                    if num_left == 1 && stream.end.next().is_some_and(|call| call.is_waited_for) {
                        break;
                    }
                    stream.step();
                }
                status.note_load_ms(load_ms);
                if stream.has_prospects() {
                    status.set_running(stream.device());
                }
                Some(stream)
            }
            Err(message) => {
                status.set_unavailable(message);
                None
            }
        }
    }

    fn try_open(assignment: Assignment) -> Result<Self, String> {
        let Assignment { end, shape, status, listener, model: spec, device, resources } = assignment;
        let marks = LoadMarks::of(&resources);
        let backend = match library::opened() {
            Some(backend) => backend,
            None => marked(&marks, Load::Libtorch, &status, || library::backend(&resources))?,
        };
        let timing = spec.timing;
        let its_status = status.clone();
        let opener = move || -> Result<(Arc<Model>, Session), String> {
            let status = &its_status;
            status.set_held_back(false);
            let load = |device| load(backend, &spec, device, &resources, shape);
            on_best(
                status,
                || match device {
                    DeviceChoice::Auto => {
                        marked(&marks, Load::Cuda, status, || has_cuda(backend).then(|| load(Device::CUDA)).transpose())
                    }
                    DeviceChoice::Cpu => Ok(None),
                },
                || marked(&marks, Load::Model(&spec), status, || load(Device::CPU)),
            )
        };
        let separation = Separation::open(Box::new(opener), shape, &timing)?;
        let stream = Self::new(end, shape, status, separation).with_listener(listener);
        stream.warm_listener_up();
        Ok(stream)
    }

    /// Ends the stream and keeps the weights.
    pub fn into_model(self) -> Arc<Model> {
        self.separation.into_model()
    }
}

/// What there is `on_card`, else what there is on the processor; the status says why, where there is a card. Asked anew each time that
/// inference failed for long: a card may have gone since.
fn on_best<T>(
    status: &EngineStatus,
    on_card: impl FnOnce() -> Result<Option<T>, String>,
    on_processor: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let why_not = match on_card() {
        Ok(Some(loaded)) => {
            status.set_notice(String::new());
            return Ok(loaded);
        }
        Ok(None) => None,
        Err(message) => Some(message),
    };
    let loaded = on_processor()?;
    status.set_notice(
        why_not.map_or_else(String::new, |message| {
            format!("The graphics card cannot be used, the processor is: {message}")
        }),
    );
    Ok(loaded)
}

/// What was loaded; the message, where it failed or was held back.
fn marked<T, E: ToString>(
    marks: &LoadMarks,
    what: Load<'_>,
    status: &EngineStatus,
    load: impl FnOnce() -> Result<T, E>,
) -> Result<T, String> {
    let loaded = marks.load(what, load).map_err(|held_back| {
        status.set_held_back(true);
        held_back.to_string()
    })?;
    loaded.map_err(|error| error.to_string())
}

/// The model on `device`, and a session of it that was seen to work.
fn load(
    backend: Backend,
    spec: &ModelSpec,
    device: Device,
    resources: &Resources,
    shape: CallShape,
) -> Result<(Arc<Model>, Session), String> {
    let model = store::get(backend, spec, device, resources).map_err(|error| error.to_string())?;
    let in_model =
        |error: SessionError| format!("The model '{}' cannot be used: {error}. The sound passes unchanged.", spec.name);
    // One channel first: it is what a linked bus uses, and what the test vector is for.
    let mut session = Session::open(model.clone(), 1).map_err(in_model)?;
    let check = |session: &mut Session, num_channels: usize| {
        session
            .check(shape.spectrum_len(num_channels), shape.masks_len(num_channels), shape.embedding_size)
            .map_err(in_model)
    };
    check(&mut session, 1)?;
    if shape.num_channels > 1 {
        // What a bus that is not linked runs: its first calls are slow, too.
        let mut unlinked = Session::open(model.clone(), shape.num_channels).map_err(in_model)?;
        check(&mut unlinked, shape.num_channels)?;
    }
    Ok((model, session))
}

impl<S: Separate> Stream<S> {
    /// Joins an engine's end of the handoff and what separates its calls.
    pub(crate) fn new(end: WorkerEnd, shape: CallShape, status: Arc<EngineStatus>, separation: S) -> Self {
        Self {
            end,
            shape,
            status,
            separation,
            past: Past::new(shape),
            listener: None,
            num_mask_channels: 0,
            heard_from: 0,
            last_urgency: Urgency::Ordinary,
            expectation: Expectation::default(),
            trouble: None,
            clock: Instant::now,
        }
    }

    /// Listens to examples, too.
    pub(crate) fn with_listener(self, listener: Option<Listener>) -> Self {
        Self { listener, ..self }
    }

    /// Goes by another clock.
    #[cfg(test)]
    pub(crate) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// What separates.
    #[cfg(test)]
    pub(crate) fn separation(&mut self) -> &mut S {
        &mut self.separation
    }

    /// Calls that wait.
    #[cfg(test)]
    pub(crate) fn num_waiting(&self) -> usize {
        self.end.num_waiting()
    }

    fn warm_listener_up(&self) {
        if let (Some(listener), Some(model)) = (&self.listener, self.separation.model()) {
            listener.warm_up(model);
        }
    }

    fn device(&self) -> &'static str {
        match self.separation.model().map(|model| model.device()) {
            Some(Device::CUDA) => "cuda",
            _ => "cpu",
        }
    }

    /// Whether calls are tried.
    fn has_prospects(&self) -> bool {
        !self.trouble.as_ref().is_some_and(Trouble::has_given_up)
    }

    /// Where the engine's figures are written.
    pub fn status(&self) -> Arc<EngineStatus> {
        self.status.clone()
    }

    /// Time granted between handing a call over and the need of its first mask.
    pub fn deadline(&self) -> Duration {
        self.status.deadline()
    }

    /// Whether the engine is gone, and nobody will ever send or receive again.
    pub fn is_abandoned(&self) -> bool {
        self.end.is_abandoned()
    }

    /// How urgent the next step is: where there is nothing to do, the pause before the next call, which is going to be like the last. So is
    /// listening to an example: a call that comes meanwhile waits for it.
    pub fn urgency(&self) -> Urgency {
        match self.end.next() {
            Some(call) => urgency_of(call),
            None if self.is_retry_due() => Urgency::Ordinary,
            None => self.last_urgency,
        }
    }

    /// Works one call off. `false`: there was none.
    pub fn step(&mut self) -> bool {
        let Some(mut call) = self.end.receive() else {
            // Sound first: it has a deadline.
            return self.retry_where_due() || self.listen();
        };
        self.last_urgency = urgency_of(&call);
        self.past.complete(&mut call);
        if self.end.is_waited_for() {
            // It may have been handed over with a deadline, before the audio thread saw that there is time to wait.
            call.deadline_from = None;
        }
        if call.is_fresh {
            self.separation.reset();
            self.heard_from = call.heard_from;
        }
        // Its masks are those of the frames `look_ahead_frames` earlier, and may be past already. But its own frames get none
        // unless the model hears them, so it is worth running until they are past, too.
        let last_frame = self.shape.last_frame(call.first_frame);
        let expected = self.expectation.get();
        call.outcome = if self.end.is_past(&call, last_frame) {
            Outcome::TooLate
        } else if self.is_to_be_left_out(&call, expected) {
            self.expectation.note_not_run();
            Outcome::TooLate
        } else if self.has_prospects() {
            self.run(&mut call)
        } else {
            Outcome::Failed
        };
        if call.outcome == Outcome::Masked {
            call.heard_from = call.heard_from.max(self.heard_from);
        } else {
            self.heard_from = last_frame + 1;
        }
        if let Some(from) = call.deadline_from
            && matches!(call.outcome, Outcome::Masked | Outcome::TooLate)
        {
            // One that was not run would have come later still.
            let to_come = if call.outcome == Outcome::TooLate { expected } else { Duration::ZERO };
            self.status.count_delivery((self.clock)().saturating_duration_since(from) + to_come);
        }
        self.end.send(call);
        true
    }

    /// Whether more of what is to come is in time without `call`. Never, where somebody waits for it.
    fn is_to_be_left_out(&self, call: &Call, expected: Duration) -> bool {
        let Some(from) = call.deadline_from else { return false };
        let times = self.status.call_times();
        let first_mask = call.first_frame.cast_signed() - times.look_ahead_frames.cast_signed() as i64;
        let mut behind_s = (self.clock)().saturating_duration_since(from).as_secs_f64();
        // By the clock alone a machine that stood still would be late for all that was on its way, though its audio thread stood still,
        // too: it is no later than that has come.
        if let Some(num_to_go) = self.end.num_frames_to_go(call, first_mask) {
            let least_to_go_s = num_to_go as f64 * times.hop_s - times.stride_s;
            behind_s = behind_s.min(times.deadline_s - least_to_go_s).max(0.0);
        }
        Standing { behind_s, takes_s: expected.as_secs_f64() }.is_to_be_left_out(&times)
    }

    fn run(&mut self, call: &mut Call) -> Outcome {
        let began = (self.clock)();
        if call.num_mask_channels != self.num_mask_channels {
            self.num_mask_channels = call.num_mask_channels;
            if !call.is_fresh {
                // The model begins anew.
                self.heard_from = call.first_frame;
            }
        }
        let result = self.separation.separate(call);
        let now = (self.clock)();
        match result {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    self.status.clear_message();
                }
                let taken = now.saturating_duration_since(began);
                self.expectation.note_run(taken);
                self.status.count_step(taken.as_secs_f32() * 1e3);
                Outcome::Masked
            }
            Err(error) => {
                self.note_failure(began, now, &error.to_string());
                Outcome::Failed
            }
        }
    }

    /// A call that was begun at `began` had failed by `now`.
    fn note_failure(&mut self, began: Instant, now: Instant, error: &str) {
        self.separation.reset();
        self.trouble.take_if(|trouble| trouble.is_past(began));
        let Some(trouble) = &mut self.trouble else {
            self.trouble = Some(Trouble::begin(now));
            self.status.set_message(format!("An inference failed: {error}"));
            return;
        };
        if trouble.goes_on(now) {
            self.status.set_unavailable(format!(
                "The inference has been failing for {} seconds: {error}. The sound passes unchanged until it works again, which \
                 is tried from time to time.",
                trouble::LONGEST.as_secs()
            ));
        }
    }

    /// After it was given up the audio thread sends nothing more, so nothing can show that calls would succeed again but an
    /// attempt. `false`: none was due, or it was in vain.
    fn retry_where_due(&mut self) -> bool {
        if !self.is_retry_due() {
            return false;
        }
        match self.separation.reopen() {
            Ok(()) => {
                self.trouble = None;
                self.warm_listener_up();
                self.status.clear_message();
                self.status.set_running(self.device());
                true
            }
            Err(message) => {
                // The status has told why, unless it is another reason; this may go on for days.
                if self.status.is_held_back() {
                    self.status.set_message(message);
                } else {
                    tracing::debug!("in vain: {message}");
                }
                if let Some(trouble) = &mut self.trouble {
                    trouble.note_retry((self.clock)());
                }
                false
            }
        }
    }

    fn is_retry_due(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.is_retry_due((self.clock)()))
    }

    /// Listens to one example. `false`: there was none.
    fn listen(&mut self) -> bool {
        match (&mut self.listener, self.separation.model()) {
            (Some(listener), Some(model)) => listener.step(model),
            _ => false,
        }
    }
}

fn urgency_of(call: &Call) -> Urgency {
    if call.is_waited_for { Urgency::Ordinary } else { Urgency::RealTime }
}

fn has_cuda(backend: Backend) -> bool {
    // Once is enough: every activation asks.
    static TOLD: Once = Once::new();
    let probed = backend.probe(Device::CUDA);
    TOLD.call_once(|| match &probed {
        Ok(name) => tracing::info!("CUDA: {name}"),
        Err(reason) => tracing::info!("CUDA: {reason}"),
    });
    probed.is_ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::super::POLL_INTERVAL;
    use super::*;
    use crate::clock::standing as clock;
    use crate::handoff::{AudioEnd, handoff};
    use crate::latency::{CallTimes, ModelTiming, latency};
    use crate::status::State;

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
            let latency = latency(timing, RATE_HZ, 256).unwrap();
            let shape = shape_of(timing);
            let status = EngineStatus::register("test", timing, RATE_HZ, 256, latency);
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
                if let Some(mut call) = self.audio.take_empty() {
                    call.first_frame = self.num_sent * self.times.num_frames as u64;
                    call.heard_from = 0;
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
                while let Some(call) = self.audio.receive() {
                    let is_there = |place: &u64| {
                        *place >= call.heard_from + look_ahead_frames as u64 && self.passed() <= self.needed_at(*place)
                    };
                    let places = call.first_frame..call.first_frame + num_frames as u64;
                    if call.outcome == Outcome::Masked {
                        self.num_in_time += places.filter(is_there).count();
                    }
                    self.audio.put_empty(call);
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
            (
                "eight at once, as many ahead",
                AHEAD,
                [(0.5, 0.99), (0.99, 0.45), (1.006, 0.3), (1.06, 0.15), (1.19, 0.03)],
            ),
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
            let latency = latency(&timing, RATE_HZ, 256).unwrap();
            let shape = shape_of(&timing);
            let status = EngineStatus::register("test", &timing, RATE_HZ, 256, latency);
            let (mut audio, end) = handoff(&shape, 5);
            let slow = Slow { takes: || Duration::from_millis(60) };
            let mut stream = Stream::new(end, shape, status, slow).with_clock(clock::now);
            let mut answer = |first_frame: u64, due_frame: u64, passed: Duration| {
                let mut call = audio.take_empty().unwrap();
                (call.first_frame, call.is_fresh) = (first_frame, first_frame == 0);
                call.deadline_from = Some(clock::now());
                audio.send(call);
                audio.publish_due(0, due_frame);
                clock::advance(passed);
                stream.step();
                let call = audio.receive().unwrap();
                let outcome = call.outcome;
                audio.put_empty(call);
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
            let on_card =
                || if self.has_card.get() { Ok(Some(true)) } else { Err("there is none any more".to_owned()) };
            self.is_card = on_best(&self.status, on_card, || Ok(false))?;
            Ok(())
        }

        fn model(&self) -> Option<&Arc<Model>> {
            None
        }
    }

    #[test]
    fn a_card_that_goes_while_it_plays_is_left_for_the_processor_and_the_status_says_so() {
        let latency = latency(&LIVE, RATE_HZ, 256).unwrap();
        let shape = shape_of(&LIVE);
        let status = EngineStatus::register("test", &LIVE, RATE_HZ, 256, latency);
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
                && let Some(mut call) = audio.take_empty()
            {
                call.first_frame = number * shape.num_frames as u64;
                audio.send(call);
            }
            // Nobody sends any more once it was given up: time goes on all the same.
            if !stream.step() {
                clock::advance(HOP);
            }
            while let Some(call) = audio.receive() {
                outcomes.push(call.outcome);
                audio.put_empty(call);
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
    fn the_processor_is_taken_where_there_is_no_card_and_nothing_is_said_of_it() {
        let latency = latency(&LIVE, RATE_HZ, 256).unwrap();
        let status = EngineStatus::register("test", &LIVE, RATE_HZ, 256, latency);
        assert_eq!(on_best(&status, || Ok(None), || Ok("processor")), Ok("processor"));
        assert_eq!(status.snapshot().notice, "");
        assert_eq!(on_best(&status, || Err("too old".into()), || Ok("processor")), Ok("processor"));
        assert!(status.snapshot().notice.contains("too old"));
        assert_eq!(on_best(&status, || Ok(Some("card")), || panic!("nobody asks the processor")), Ok("card"));
        assert_eq!(status.snapshot().notice, "", "what was said of the card is over");
        assert_eq!(on_best::<&str>(&status, || Ok(None), || Err("torn".into())), Err("torn".into()));
    }
}
