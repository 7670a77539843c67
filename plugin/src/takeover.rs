//! The engine that separates, and the one that is about to take over from it.
//!
//! When the user chooses another model or device, a new engine is built off the audio thread (see [`crate::builder`]) and sent
//! here. It gets the same input as the current one until its masks have been in for a while as far as the current
//! one's, or its model is known to be missing; then everything is crossfaded, of which only the stems change where both have one latency. Engines are
//! never freed here: the old one goes back the way the new one came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use underscore_engine::{Control, DeviceChoice, Engine, QueryBlend, Ramp, RenderMode, Settings, State};

use crate::block::{StemBlock, StemMemory};

/// Duration of the crossfade between two engines, seconds.
const CROSSFADE_S: f64 = 0.020;

/// For how long an engine is heard by nobody after its masks are in, seconds: a network that has just begun takes what sounds for something new,
/// and gives a chord that was music to the dialogue for some tenths of a second.
const WARM_UP_S: f64 = 1.0;

/// For how many of its latencies an engine whose model runs is waited for to have its masks in: in silence it may never.
const LONGEST_WAIT_LATENCIES: usize = 2;

/// Engines that can be on their way in one direction.
const NUM_ON_THE_WAY: usize = 4;

/// What decides whether an engine is the one that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineKey {
    /// Id of the model.
    pub model: &'static str,
    /// Where it runs.
    pub device: DeviceChoice,
}

/// The builder's end: new engines in, old ones out.
pub struct EngineSupply {
    new: HeapProd<Box<Engine>>,
    old: HeapCons<Box<Engine>>,
    is_withdrawn: Arc<AtomicBool>,
}

impl EngineSupply {
    /// Sends an engine to the audio thread; gives it back where too many are on their way.
    ///
    /// # Errors
    /// The engine.
    pub fn send(&mut self, engine: Box<Engine>) -> Result<(), Box<Engine>> {
        self.is_withdrawn.store(false, Ordering::Relaxed);
        self.new.try_push(engine)
    }

    /// The engine that was sent last is not wanted any more: it comes back, unless the crossfade to it has begun.
    pub fn withdraw(&self) {
        self.is_withdrawn.store(true, Ordering::Relaxed);
    }

    /// An engine that the audio thread has done with.
    pub fn take_old(&mut self) -> Option<Box<Engine>> {
        self.old.try_pop()
    }
}

/// An engine that is being made ready.
struct Next {
    engine: Box<Engine>,
    readiness: Readiness,
    /// 0 (the current engine)..=1 (this one).
    fade: Ramp,
}

impl Next {
    fn new(engine: Box<Engine>, warm_up_samples: usize) -> Self {
        let readiness = Readiness::new(engine.latency_samples(), warm_up_samples);
        Self { engine, readiness, fade: Ramp::new(0.0) }
    }

    /// Whether anything of it can be heard.
    fn is_fading(&self) -> bool {
        !(self.fade.is_settled() && self.fade.value() == 0.0)
    }
}

/// How far an engine is from taking over.
struct Readiness {
    /// Samples until it has heard as much as its latency.
    num_samples_to_fill: usize,
    /// Samples for which its masks may still be waited for, once its model runs.
    patience_samples: usize,
    /// Samples for which its masks are to have been in, or waited for in vain.
    warm_up_samples: usize,
}

impl Readiness {
    fn new(latency_samples: usize, warm_up_samples: usize) -> Self {
        Self {
            num_samples_to_fill: latency_samples,
            patience_samples: LONGEST_WAIT_LATENCIES * latency_samples,
            warm_up_samples,
        }
    }

    /// After a jump: of what it had heard nothing counts any more, and of what it is to hear neither engine has masks.
    fn after_jump(latency_samples: usize, warm_up_samples: usize) -> Self {
        Self { num_samples_to_fill: 0, ..Self::new(latency_samples, warm_up_samples) }
    }

    /// Whether the engine may take over, after a block of `num_samples` in which it was in `state`; `is_in`: its masks are in as far as the
    /// current one's.
    fn advance(&mut self, num_samples: usize, state: State, is_in: bool) -> bool {
        self.num_samples_to_fill = self.num_samples_to_fill.saturating_sub(num_samples);
        if self.num_samples_to_fill > 0 {
            return false;
        }
        match state {
            State::Loading => false,
            State::Unavailable => true,
            State::Running => {
                let left = if is_in || self.patience_samples == 0 {
                    &mut self.warm_up_samples
                } else {
                    &mut self.patience_samples
                };
                *left = left.saturating_sub(num_samples);
                self.warm_up_samples == 0
            }
        }
    }
}

/// The audio thread's end.
pub struct Takeover {
    current: Box<Engine>,
    next: Option<Next>,
    new: HeapCons<Box<Engine>>,
    old: HeapProd<Box<Engine>>,
    /// See [`EngineSupply::withdraw`].
    is_withdrawn: Arc<AtomicBool>,
    crossfade_samples: usize,
    warm_up_samples: usize,
    /// What the host said last of its rendering.
    render: RenderMode,
    /// Whether a block was processed since the last reset.
    has_played: bool,
    /// What lies between two engines.
    between: StemMemory,
}

impl Takeover {
    /// Starts with `engine`, for blocks of at most `max_block_samples`. The other end is for the builder.
    #[must_use]
    pub fn new(engine: Box<Engine>, rate_hz: f64, max_block_samples: usize) -> (Self, EngineSupply) {
        let (new_in, new_out) = HeapRb::new(NUM_ON_THE_WAY).split();
        let (old_in, old_out) = HeapRb::new(NUM_ON_THE_WAY).split();
        let crossfade_samples = ((rate_hz * CROSSFADE_S).round() as usize).max(1);
        let warm_up_samples = (rate_hz * WARM_UP_S).round() as usize;
        let between = StemMemory::new(max_block_samples, engine.num_channels());
        let is_withdrawn = Arc::new(AtomicBool::new(false));
        let own = Self {
            current: engine,
            next: None,
            new: new_out,
            old: old_in,
            is_withdrawn: is_withdrawn.clone(),
            crossfade_samples,
            warm_up_samples,
            render: RenderMode::RealTime,
            has_played: false,
            between,
        };
        (own, EngineSupply { new: new_in, old: old_out, is_withdrawn })
    }

    /// The delay of everything that comes out, samples.
    #[must_use]
    pub fn latency_samples(&self) -> usize {
        self.current.latency_samples()
    }

    /// Notes how long a block took, µs.
    pub fn note_process_us(&self, process_us: f32) {
        self.current.status().note_process_us(process_us);
    }

    /// A block begins that the host renders so. A bounce is the same whatever was played before it, and some hosts tell of it with its first block, after
    /// the reset. Real-time safe, as the others are.
    pub fn begin(&mut self, render: RenderMode) {
        if std::mem::replace(&mut self.render, render) == render || render != RenderMode::Offline {
            return;
        }
        self.clear_captured();
        if !self.has_played {
            self.begin_with_next();
        }
    }

    /// Forgets all audio; what examples may be taken of only before and after a bounce. An engine that waits takes over at once.
    pub fn reset(&mut self, render: RenderMode) {
        let before = std::mem::replace(&mut self.render, render);
        if [before, render].contains(&RenderMode::Offline) {
            // Another bounce, perhaps.
            self.clear_captured();
        }
        self.has_played = false;
        self.current.reset();
        self.begin_with_next();
    }

    /// Nothing was played yet that would have to go on without a step: the next engine takes over at once. But where the host plays, one whose model is
    /// still loading is no better than the current one.
    fn begin_with_next(&mut self) {
        // A host that runs nothing while it stands still has taken none in.
        self.take_new();
        if let Some(next) = &mut self.next {
            next.engine.reset();
            next.readiness = Readiness::after_jump(next.engine.latency_samples(), self.warm_up_samples);
            let takes_over = self.render == RenderMode::Offline || next.engine.status().state() != State::Loading;
            next.fade = Ramp::new(if takes_over { 1.0 } else { 0.0 });
        }
        self.finish_crossfade();
    }

    /// Forgets what examples may be taken of.
    fn clear_captured(&mut self) {
        self.current.clear_captured();
        if let Some(next) = &mut self.next {
            next.engine.clear_captured();
        }
    }

    /// Takes in a block of the sidechain, `[channel][sample]`.
    pub fn listen(&mut self, sidechain: &[&[f32]]) {
        self.current.listen(sidechain);
        if let Some(next) = &mut self.next {
            next.engine.listen(sidechain);
        }
    }

    /// The last seconds of sound in the sidechain are the example of `slot`.
    pub fn take_sidechain_example(&mut self, slot: usize) {
        self.query_engine().take_sidechain_example(slot);
    }

    /// The last seconds of sound in the target are the example of `slot`.
    pub fn take_target_example(&mut self, slot: usize) {
        self.query_engine().take_target_example(slot);
    }

    /// Before a block is listened to: takes an example where one is due of a sidechain that is followed.
    /// Both engines do: what they hear is their own, and the next one is to know it when it takes over.
    pub fn follow(&mut self, is_following: bool) {
        self.current.follow(is_following);
        if let Some(next) = &mut self.next {
            next.engine.follow(is_following);
        }
    }

    /// Samples before which no further example of a sidechain that is followed is due in either engine, at least one; none where no model is asked.
    #[must_use]
    pub fn num_samples_to_follow(&self) -> Option<usize> {
        let next = self.next.as_ref().and_then(|next| next.engine.num_samples_to_follow());
        self.current.num_samples_to_follow().into_iter().chain(next).min()
    }

    /// The one engine that takes examples to keep: what two find would be written over each other.
    fn query_engine(&mut self) -> &mut Engine {
        self.finish_crossfade();
        match &mut self.next {
            Some(next) if !self.current.is_query_model() => &mut next.engine,
            _ => &mut self.current,
        }
    }

    /// Separates one block, `[channel][sample]`, of any length up to the largest. `query_blend_of` says what a model that is asked, by its
    /// id, is asked for: engines may have different ones.
    pub fn process(
        &mut self,
        input: &[&[f32]],
        settings: &Settings,
        query_blend_of: impl Fn(&str) -> QueryBlend,
    ) -> StemBlock<'_> {
        self.finish_crossfade();
        self.take_new();
        self.has_played = true;
        let Self { current, next, between, crossfade_samples, .. } = self;
        let block = separated(current, input, settings, &query_blend_of);
        let Some(next) = next else { return block };
        // Until its masks are in nothing of it is heard.
        let is_fading = next.is_fading();
        let other = separated(&mut next.engine, input, settings, &query_blend_of);
        if is_fading {
            crossfade(&block, &other, &mut next.fade, between);
        }
        let last = block.num_samples.checked_sub(1);
        let is_in = last.is_some_and(|last| other.presence.at(last) >= block.presence.at(last));
        if next.readiness.advance(block.num_samples, next.engine.status().state(), is_in) {
            next.fade.set_target(1.0, *crossfade_samples);
        }
        if is_fading { between.block() } else { block }
    }

    /// The newest engine that has arrived becomes the next one, unless it was withdrawn meanwhile. Only as many are taken as can be given back.
    fn take_new(&mut self) {
        while self.old.vacant_len() >= 2 {
            let Some(engine) = self.new.try_pop() else { break };
            let before = self.next.replace(Next::new(engine, self.warm_up_samples));
            if let Some(before) = before {
                self.give_back(before.engine);
            }
        }
        if self.is_withdrawn.swap(false, Ordering::Relaxed)
            && let Some(withdrawn) = self.next.take_if(|next| !next.is_fading())
        {
            self.give_back(withdrawn.engine);
        }
    }

    /// Promotes the next engine once the fade is over. One block late: the block just returned may borrow from either engine.
    fn finish_crossfade(&mut self) {
        let is_over = self.next.as_ref().is_some_and(|next| next.fade.is_settled() && next.fade.value() >= 1.0);
        if !is_over || self.old.is_full() {
            return;
        }
        if let Some(next) = self.next.take() {
            let before = std::mem::replace(&mut self.current, next.engine);
            self.give_back(before);
        }
    }

    fn give_back(&mut self, engine: Box<Engine>) {
        if let Err(engine) = self.old.try_push(engine) {
            // Never: there was room before the engine was taken. To leak it would still be better than to free it here.
            std::mem::forget(engine);
        }
    }
}

/// The block as one engine makes it.
fn separated<'a>(
    engine: &'a mut Engine,
    input: &[&[f32]],
    settings: &Settings,
    query_blend_of: impl Fn(&str) -> QueryBlend,
) -> StemBlock<'a> {
    let is_query_model = engine.is_query_model();
    let query_blend = if is_query_model { query_blend_of(engine.model_id()) } else { QueryBlend::default() };
    StemBlock::of(&engine.process(input, &Settings { query_blend, ..*settings }), is_query_model)
}

/// Moves from one block to another, into memory. Each sums to its own delayed input, and every mix of them to the same mix of these: where
/// both have one latency, the delayed input stays as it is to the bit.
fn crossfade(from: &StemBlock<'_>, to: &StemBlock<'_>, fade: &mut Ramp, between: &mut StemMemory) {
    let num_samples = from.num_samples.min(to.num_samples);
    between.begin(num_samples);
    let fade_before = *fade;
    let mixed = |from: f32, to: f32, share: f32| from + share * (to - from);
    for channel_idx in 0..from.num_channels.min(to.num_channels) {
        let stems = between.stems.iter_mut().zip(from.stems.iter().zip(&to.stems));
        let dry = (&mut between.dry, (&from.dry, &to.dry));
        for (own, (from, to)) in stems.chain(std::iter::once(dry)) {
            *fade = fade_before;
            let own = &mut own[channel_idx][..num_samples];
            for ((own, from), to) in own.iter_mut().zip(from[channel_idx]).zip(to[channel_idx]) {
                *own = mixed(*from, *to, fade.next());
            }
        }
    }
    for (own, from, to) in [
        (&mut between.presence, from.presence, to.presence),
        (&mut between.query_share, from.query_share, to.query_share),
    ] {
        if let (Control::Constant(value), true) = (from, from == to) {
            own.push_constant(value, num_samples);
            continue;
        }
        let mut fade = fade_before;
        own.push((0..num_samples).map(|sample_idx| mixed(from.at(sample_idx), to.at(sample_idx), fade.next())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::NUM_STEMS;

    const NUM_SAMPLES: usize = 8;

    fn memory(stems: [f32; NUM_STEMS], presence: f32, query_share: f32) -> StemMemory {
        let mut memory = StemMemory::new(NUM_SAMPLES, 2);
        memory.begin(NUM_SAMPLES);
        for channel_idx in 0..2 {
            memory.dry[channel_idx].fill(1.0);
            for (stem, value) in memory.stems.iter_mut().zip(stems) {
                stem[channel_idx].fill(value);
            }
        }
        memory.presence.push_constant(presence, NUM_SAMPLES);
        memory.query_share.push_constant(query_share, NUM_SAMPLES);
        memory
    }

    #[test]
    fn an_engine_takes_over_when_its_masks_are_in_and_in_silence_when_they_were_waited_for() {
        let advance = |readiness: &mut Readiness, state, is_in| readiness.advance(50, state, is_in);
        let mut readiness = Readiness::new(100, 150);
        assert!(!advance(&mut readiness, State::Running, true), "it has heard too little");
        assert!(!advance(&mut readiness, State::Loading, true));
        assert!(!advance(&mut readiness, State::Running, false), "what it would play is the sound as it came");
        assert!(
            !advance(&mut readiness, State::Running, true) && !advance(&mut readiness, State::Running, true),
            "it has just begun"
        );
        assert!(advance(&mut readiness, State::Running, true));
        let mut in_silence = Readiness::new(100, 150);
        let blocks = (0..100).take_while(|_| !advance(&mut in_silence, State::Running, false)).count();
        assert_eq!(blocks, 1 + 2 * LONGEST_WAIT_LATENCIES + 2);
        // A jump while it loads: its masks are waited for all the same.
        let mut jumped = Readiness::after_jump(100, 150);
        let blocks = (0..100).take_while(|_| !advance(&mut jumped, State::Running, false)).count();
        assert_eq!(blocks, 2 * LONGEST_WAIT_LATENCIES + 2);
        let mut without_model = Readiness::new(50, 150);
        assert!(advance(&mut without_model, State::Unavailable, false));
    }

    #[test]
    fn the_sum_stays_that_of_the_stems_where_the_latency_changes_and_the_same_bits_where_it_does_not() {
        let (from, mut to) = (memory([0.25, 0.75], 1.0, 0.0), memory([0.1, 0.3], 1.0, 0.0));
        to.dry.iter_mut().for_each(|channel| channel.fill(0.4));
        for (to, is_same) in [(&to, false), (&from, true)] {
            let mut between = StemMemory::new(NUM_SAMPLES, 2);
            let mut fade = Ramp::new(0.0);
            fade.set_target(1.0, NUM_SAMPLES);
            crossfade(&from.block(), &to.block(), &mut fade, &mut between);
            let block = between.block();
            for sample_idx in 0..NUM_SAMPLES {
                let stems = block.stems.map(|stem| stem[1][sample_idx]);
                assert!((stems[0] + stems[1] - block.dry[1][sample_idx]).abs() < 1e-6);
                assert!(!is_same || block.dry[1][sample_idx].to_bits() == 1.0_f32.to_bits());
            }
            assert!((block.dry[1][NUM_SAMPLES - 1] - to.dry[1][0]).abs() < 1e-6);
        }
    }

    #[test]
    fn everything_of_a_crossfade_moves_by_the_same_share_from_block_to_block() {
        let (from, to) = (memory([0.25, 0.75], 0.5, 0.0), memory([1.0, 0.0], 1.0, 0.0));
        let mut between = StemMemory::new(NUM_SAMPLES, 2);
        let mut fade = Ramp::new(0.0);
        fade.set_target(1.0, 2 * NUM_SAMPLES);
        for block_idx in 0..2 {
            crossfade(&from.block(), &to.block(), &mut fade, &mut between);
            let block = between.block();
            for sample_idx in 0..NUM_SAMPLES {
                let share = (block_idx * NUM_SAMPLES + sample_idx + 1) as f32 / (2 * NUM_SAMPLES) as f32;
                for channel_idx in 0..2 {
                    let stems = block.stems.map(|stem| stem[channel_idx][sample_idx]);
                    assert!((stems[0] - (0.25 + 0.75 * share)).abs() < 1e-6, "{stems:?} at {share}");
                    assert!((stems[0] + stems[1] - block.dry[channel_idx][sample_idx]).abs() < 1e-6);
                }
                assert!((block.presence.at(sample_idx) - (0.5 + 0.5 * share)).abs() < 1e-6);
            }
            assert_eq!(block.query_share, Control::Constant(0.0), "a bus without a share is not written");
        }
        assert!(fade.is_settled() && fade.value() >= 1.0);
    }
}
