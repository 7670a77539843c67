//! Frames out to the worker, calls back: the audio thread's side of the handoff.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hop_player::StepSettings;
use super::patience::Patience;
use crate::clock::Clock;
use crate::handoff::{AudioEnd, Call, CallShape, Outcome};
use crate::latency::ModelTiming;
use crate::status::{EngineStatus, State};

/// Fills calls frame by frame, sends them, and keeps the ones that came back until their last frame was used.
pub struct Dispatch {
    end: AudioEnd,
    patience: Patience,
    status: Arc<EngineStatus>,
    shape: CallShape,
    look_ahead_frames: usize,
    epoch: u64,
    /// The frame that was due last; calls whose masks are all for earlier ones are past.
    due_frame: u64,
    /// The call being filled.
    filling: Option<Call>,
    /// First frame of the call that was handed over last, since the last reset.
    sent_last: Option<u64>,
    /// The next call to be sent starts from a zero state.
    is_fresh: bool,
    /// First of the frames that were handed over without a gap; none where the next call to be sent comes after a gap. Silence
    /// that is left out is no gap, nor is what lies before frame 0: it is as if it had been heard.
    unbroken_from: Option<u64>,
    /// Channels with a mask of their own in the call that was handed over last; none at first.
    num_mask_channels: usize,
    silence: Silence,
    /// Calls that came back, oldest first. Never more than there are in circulation.
    returned: Vec<Call>,
    /// By call number modulo its length: what came of the attempt to hand that call over.
    sent: Vec<Sent>,
    clock: Clock,
}

/// How long the input has been silent, in frames.
///
/// After [`ModelTiming::reach_frames`] of silence every frame with sound has its mask and nothing that was heard is left in a
/// model's convolutions, so that calls of nothing but silence can be left out. What a model keeps beyond that (a running level)
/// is held as it was, and a programme that resumes finds it. The stream begins as if silence had come before it.
#[derive(Debug)]
struct Silence {
    reach_frames: usize,
    num_silent_frames: usize,
}

/// What is known of a call on the audio thread's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Not handed over, because nobody wants it.
    Asleep,
    /// Not handed over, because there is no model.
    No,
    /// Left out, because there is nothing to hear in it.
    Silent,
    /// Handed over while the model was loading: welcome if it comes, not late if it does not.
    WhileLoading,
    /// Handed over while the model was running, or to be waited for until it is.
    WhileRunning,
    /// The same, but with other channels than the call before: the model hears it as the beginning of another stream.
    Anew,
    /// To be handed over, but the worker held every call: it will never come, and nobody is to wait for it.
    Dropped,
}

/// What there is for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Its mask is in the returned call at this place, in this frame of it.
    Mask {
        /// Place among the returned calls.
        call_idx: usize,
        /// Frame in the call.
        frame_idx: usize,
    },
    /// A mask was to come and is not here.
    Late,
    /// No mask can be made, and nobody is to blame: the model began anew after this frame.
    Unheard,
    /// There is nothing to hear.
    Silence,
    /// Nobody wants a mask.
    Asleep,
    /// No mask can be had: there is no model, or it failed.
    Nothing,
}

impl Dispatch {
    /// `num_calls` calls are in circulation.
    pub fn new(
        end: AudioEnd,
        patience: Patience,
        status: Arc<EngineStatus>,
        shape: CallShape,
        timing: &ModelTiming,
        num_calls: usize,
    ) -> Self {
        let reach_frames = timing.reach_frames();
        Self {
            end,
            patience,
            status,
            shape,
            look_ahead_frames: timing.look_ahead_frames,
            epoch: 0,
            due_frame: 0,
            filling: None,
            sent_last: None,
            is_fresh: true,
            unbroken_from: Some(0),
            num_mask_channels: 0,
            silence: Silence { reach_frames, num_silent_frames: reach_frames },
            returned: Vec::with_capacity(num_calls + 1),
            sent: vec![Sent::No; num_calls + 2],
            clock: Instant::now,
        }
    }

    /// Goes by another clock.
    #[cfg(test)]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Back to frame 0. Calls on their way are dropped when they come back.
    pub fn reset(&mut self) {
        self.epoch += 1;
        self.due_frame = 0;
        self.is_fresh = true;
        self.sent_last = None;
        self.unbroken_from = Some(0);
        self.silence.num_silent_frames = self.silence.reach_frames;
        if let Some(call) = self.filling.take() {
            self.end.calls.put_empty(call);
        }
        while let Some(call) = self.returned.pop() {
            self.end.calls.put_empty(call);
        }
        self.sent.fill(Sent::No);
        self.end.publish_due(self.epoch, 0);
    }

    /// Takes in the frame `frame_index`, which may be silent (all zero); `fill(frame_idx, call)` puts its samples into its place in the
    /// call. All frames of a call have as many mask channels as its first one, and its strength and embedding: a change takes effect
    /// with the next call.
    pub fn push_frame(
        &mut self,
        frame_index: u64,
        num_mask_channels: usize,
        is_silent: bool,
        step: StepSettings,
        fill: impl FnOnce(usize, &mut Call),
    ) {
        self.end.publish_waits(step.longest_wait.is_some());
        let num_frames = self.shape.num_frames as u64;
        let frame_idx = (frame_index % num_frames) as usize;
        if frame_idx == 0 {
            self.begin_call(frame_index, num_mask_channels, step);
        }
        let num_silent_frames = &mut self.silence.num_silent_frames;
        *num_silent_frames = if is_silent { num_silent_frames.saturating_add(1) } else { 0 };
        let Some(call) = self.filling.as_mut() else { return };
        fill(frame_idx, call);
        if frame_idx + 1 == self.shape.num_frames {
            self.end_call();
        }
    }

    fn end_call(&mut self) {
        let Some(mut call) = self.filling.take() else { return };
        let sent_idx = self.sent_idx(call.first_frame);
        if self.silence.num_silent_frames >= self.silence.reach_frames + self.shape.num_frames {
            self.sent[sent_idx] = Sent::Silent;
            self.end.calls.put_empty(call);
            return;
        }
        call.is_fresh = std::mem::take(&mut self.is_fresh);
        if self.num_mask_channels != call.num_mask_channels {
            self.num_mask_channels = call.num_mask_channels;
            if !call.is_fresh {
                self.unbroken_from = None;
                if self.sent[sent_idx] == Sent::WhileRunning {
                    self.sent[sent_idx] = Sent::Anew;
                }
            }
        }
        let has_deadline = matches!(self.sent[sent_idx], Sent::WhileRunning | Sent::Anew) && !call.is_waited_for;
        call.deadline_from = has_deadline.then(self.clock);
        call.valid_from = *self.unbroken_from.get_or_insert(call.first_frame);
        self.sent_last = Some(call.first_frame);
        self.end.send(call);
    }

    fn begin_call(&mut self, first_frame: u64, num_mask_channels: usize, step: StepSettings) {
        let state = self.status.state();
        let sent = match state {
            _ if step.asleep => Sent::Asleep,
            State::Unavailable => Sent::No,
            // Where it is going to be waited for, what is heard must not depend on how soon the model is there.
            State::Loading if step.longest_wait.is_none() => Sent::WhileLoading,
            State::Loading | State::Running => Sent::WhileRunning,
        };
        let sent_idx = self.sent_idx(first_frame);
        self.sent[sent_idx] = sent;
        if matches!(sent, Sent::No | Sent::Asleep) {
            self.is_fresh = true;
            self.unbroken_from = None;
            return;
        }
        self.collect();
        let mut empty = self.end.calls.take_empty();
        if empty.is_none()
            && let Some(longest_wait) = step.longest_wait
        {
            // Only after a reset or an overload, while the worker still holds the calls of before.
            self.wait_until(longest_wait, |dispatch| {
                empty = dispatch.end.calls.take_empty();
                empty.is_some()
            });
        }
        let Some(mut call) = empty else {
            self.unbroken_from = None;
            self.sent[sent_idx] = if state == State::Running {
                self.status.count_dropped_call();
                Sent::Dropped
            } else {
                Sent::No
            };
            return;
        };
        call.epoch = self.epoch;
        call.first_frame = first_frame;
        call.is_continued = self.sent_last.is_some_and(|last| last + self.shape.num_frames as u64 == first_frame);
        call.is_waited_for = step.longest_wait.is_some();
        call.batching = step.batching;
        call.num_mask_channels = num_mask_channels;
        call.strength = step.strength;
        call.embedding.copy_from_slice(&step.embedding.values()[..self.shape.embedding_size]);
        self.filling = Some(call);
    }

    /// Place in `sent` of the call that takes the frame `frame_index` in.
    fn sent_idx(&self, frame_index: u64) -> usize {
        ((frame_index / self.shape.num_frames as u64) % self.sent.len() as u64) as usize
    }

    /// First frame of the call whose masks hold `frame_index`, and the place in it.
    fn call_of(&self, frame_index: u64) -> (u64, usize) {
        let mask_frame = frame_index + self.look_ahead_frames as u64;
        let frame_idx = mask_frame % self.shape.num_frames as u64;
        (mask_frame - frame_idx, frame_idx as usize)
    }

    /// What there is for `frame_index`, which is due now. Where a wait is allowed, waits for it if it is on its way.
    pub fn due(&mut self, frame_index: u64, longest_wait: Option<Duration>) -> Due {
        self.due_frame = frame_index;
        self.end.publish_waits(longest_wait.is_some());
        self.end.publish_due(self.epoch, frame_index);
        self.collect();
        if self.sent[self.sent_idx(frame_index)] == Sent::Silent {
            // Its mask, if it gets one, comes with a call that looks back to it from sound: it is not worth waiting for.
            return Due::Silence;
        }
        let (first_frame, frame_idx) = self.call_of(frame_index);
        let sent = self.sent[self.sent_idx(first_frame)];
        match sent {
            Sent::Asleep => return Due::Asleep,
            Sent::No => return Due::Nothing,
            Sent::Silent => return Due::Silence,
            Sent::Dropped => return Due::Late,
            Sent::WhileLoading | Sent::WhileRunning | Sent::Anew => (),
        }
        if let Some(longest_wait) = longest_wait {
            self.wait_until(longest_wait, |dispatch| {
                dispatch.returned.iter().any(|call| call.first_frame == first_frame)
            });
        }
        let call_idx = self.returned.iter().position(|call| call.first_frame == first_frame);
        match call_idx.map(|call_idx| (call_idx, &self.returned[call_idx])) {
            Some((call_idx, call)) if call.outcome == Outcome::Masked => {
                if frame_index >= call.valid_from {
                    Due::Mask { call_idx, frame_idx }
                } else {
                    self.due_unheard(frame_index, first_frame)
                }
            }
            Some((_, call)) if call.outcome == Outcome::Failed => Due::Nothing,
            _ => self.due_missing(sent),
        }
    }

    /// What there is for a frame with sound whose mask is void, because the model has not heard all from this frame on to the call that
    /// begins with `first_frame`.
    fn due_unheard(&self, frame_index: u64, first_frame: u64) -> Due {
        // From the call that took the frame in to the one with its mask.
        let frames = frame_index..first_frame + self.shape.num_frames as u64;
        let calls = || frames.clone().step_by(self.shape.num_frames).map(|frame| self.sent[self.sent_idx(frame)]);
        if calls().any(|sent| sent == Sent::Asleep) {
            return Due::Asleep;
        }
        if calls().any(|sent| matches!(sent, Sent::No | Sent::WhileLoading)) {
            return Due::Nothing;
        }
        if calls().skip(1).any(|sent| sent == Sent::Anew) && !calls().any(|sent| sent == Sent::Dropped) {
            return Due::Unheard;
        }
        self.due_missing(Sent::WhileRunning)
    }

    /// What there is for a frame that got nothing from a call which should have served it, by what became of that call.
    fn due_missing(&self, sent: Sent) -> Due {
        let is_expected = match self.status.state() {
            State::Running => true,
            // A bounce waited for the model, in vain: that is to be told.
            State::Loading => self.patience.has_given_up(),
            State::Unavailable => false,
        };
        match sent {
            Sent::WhileRunning | Sent::Anew if is_expected => Due::Late,
            _ => Due::Nothing,
        }
    }

    /// A call that came back, by the place that [`Due::Mask`] names.
    pub fn returned(&self, call_idx: usize) -> &Call {
        &self.returned[call_idx]
    }

    /// The call that begins with `first_frame`, if it is here.
    pub fn kept(&self, first_frame: u64) -> Option<&Call> {
        self.returned.iter().find(|call| call.first_frame == first_frame)
    }

    /// Gives back the calls whose last mask is that of `frame_index` or earlier, but for the one that begins with `in_use`.
    pub fn release(&mut self, frame_index: u64, in_use: Option<u64>) {
        let last_mask_frame = frame_index + self.look_ahead_frames as u64;
        let mut call_idx = 0;
        while let Some(call) = self.returned.get(call_idx) {
            if self.shape.last_frame(call.first_frame) > last_mask_frame || in_use == Some(call.first_frame) {
                call_idx += 1;
            } else {
                let call = self.returned.remove(call_idx);
                self.end.calls.put_empty(call);
            }
        }
    }

    /// Takes in what the worker is done with; what belongs to before a reset, or has past masks only, is empty at once.
    fn collect(&mut self) {
        while let Some(call) = self.end.calls.receive() {
            self.patience.renew();
            let is_past = self.shape.last_frame(call.first_frame) < self.due_frame + self.look_ahead_frames as u64;
            if call.epoch == self.epoch && !is_past {
                self.returned.push(call);
            } else {
                self.end.calls.put_empty(call);
            }
        }
    }

    /// Waits for the worker, and takes in what it is done with. Only for a host that renders ahead of real time.
    fn wait_until(&mut self, longest_wait: Duration, mut is_met: impl FnMut(&mut Self) -> bool) {
        let patience = self.patience.clone();
        patience.wait(longest_wait, || {
            self.collect();
            is_met(self)
        });
    }
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
