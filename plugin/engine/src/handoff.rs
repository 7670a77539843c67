//! The way between the audio thread and the worker, on which the same few calls go to and fro ([`exchange`]).
//!
//! One [`Call`] owns the memory for the sound of one inference call and, on its way back, for what is heard of its frames through
//! their masks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use underscore_backend::Batching;
use underscore_dsp::{Grid, touched_zeros};

use crate::exchange::{AudioSide, WorkerSide, exchange};

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// On its way to the worker.
    Pending,
    /// The masks are there.
    Masked,
    /// The worker did not run it: all its frames were past, or it was left out so that more of what follows comes in time.
    TooLate,
    /// The inference failed; the status says why.
    Failed,
}

/// One inference call.
pub struct Call {
    /// Number of the reset that the frames came after. Results of an earlier one are dropped.
    pub epoch: u64,
    /// `frame_index` of the first frame.
    pub first_frame: u64,
    /// Nothing that came before belongs to it: the model starts from a zero state.
    pub is_fresh: bool,
    /// First of the frames that the model has heard without a gap up to this call's last one; masks of earlier frames are void.
    /// The audio thread says what it handed over, the worker what of it was run.
    pub valid_from: u64,
    /// The host renders ahead of real time, and the audio thread waits for the masks. Set by the audio thread.
    pub is_waited_for: bool,
    /// How it may be run. Set by the audio thread.
    pub batching: Batching,
    /// When it was handed over and its deadline began. None where it has no deadline: the model was still loading then, or the
    /// audio thread waits. Set by the audio thread, and taken back by the worker where the audio thread has begun to wait since.
    pub deadline_from: Option<Instant>,
    /// Channels that get a mask of their own: 1 when linked, else the bus's. At most what was allocated.
    pub num_mask_channels: usize,
    /// What the model is asked for, as long as its embedding. Filled by the audio thread.
    pub embedding: Box<[f32]>,
    /// Mask exponent; see [`underscore_dsp::shape`]. Set by the audio thread.
    pub strength: f32,
    /// It follows on the call that was handed over before it, and the worker has its samples of before: see
    /// [`CallShape::before_samples`]. Set by the audio thread.
    pub is_continued: bool,
    /// `[channel][sample]`, of every channel of the bus: all that the call's frames are made of, oldest first. A frame's samples
    /// begin one hop after those of the frame before. Filled by the audio thread, but for those of before where it is continued.
    pub samples: Box<[f32]>,
    /// `[stem][mask channel][frame][bin]`, the residual left out, after the strength. Filled by the worker.
    pub masks: Box<[f32]>,
    /// `[stem][channel][frame][sample]`, the residual left out: what each frame that a mask is for and those before it add up to,
    /// from the frame's hop on, one synthesis window long. The hop is what is heard; later frames are added to what follows it,
    /// which is there in case none come. Filled by the worker.
    pub sums: Box<[f32]>,
    /// Set by the worker.
    pub outcome: Outcome,
}

/// Sizes of all calls of one activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallShape {
    /// Where frames lie in the samples.
    pub grid: Grid,
    /// Channels of the bus.
    pub num_channels: usize,
    /// Frames per call.
    pub num_frames: usize,
    /// Bins of the model.
    pub num_bins: usize,
    /// Stems the model estimates.
    pub num_stems: usize,
    /// Values by which it is asked; 0 where it is not.
    pub embedding_size: usize,
}

impl CallShape {
    /// The last frame of a call that begins with `first_frame`.
    pub fn last_frame(&self, first_frame: u64) -> u64 {
        first_frame + self.num_frames as u64 - 1
    }

    /// `f32` values of a spectrum `[mask channel][frame][bin][re, im]` with this many channels.
    pub fn spectrum_len(&self, num_mask_channels: usize) -> usize {
        num_mask_channels * self.num_frames * self.num_bins * 2
    }

    /// `f32` values of the masks with this many channels.
    pub fn masks_len(&self, num_mask_channels: usize) -> usize {
        self.num_stems * num_mask_channels * self.num_frames * self.num_bins
    }

    /// Samples of a channel at the beginning of a call that the call before has, too: all of the first frame's but its hop.
    pub fn before_samples(&self) -> usize {
        self.grid.window_samples() - self.grid.hop_samples()
    }

    /// Frames before one that are heard in its hop, too.
    pub fn overlap_frames(&self) -> usize {
        self.grid.synthesis_samples().div_ceil(self.grid.hop_samples()) - 1
    }

    /// Samples of a channel that the frames of a call are made of: a window, and a hop for each further frame.
    pub fn samples_per_channel(&self) -> usize {
        self.grid.window_samples() + (self.num_frames - 1) * self.grid.hop_samples()
    }

    /// Where the samples of one channel and frame, one window long, begin.
    pub fn samples_offset(&self, channel_idx: usize, frame_idx: usize) -> usize {
        channel_idx * self.samples_per_channel() + frame_idx * self.grid.hop_samples()
    }

    /// Where the spectrum of one channel and frame begins, in `f32`.
    pub fn spectrum_offset(&self, mask_channel_idx: usize, frame_idx: usize) -> usize {
        (mask_channel_idx * self.num_frames + frame_idx) * self.num_bins * 2
    }

    /// Where the mask of one stem, channel and frame begins.
    pub fn mask_offset(
        &self,
        num_mask_channels: usize,
        stem_idx: usize,
        channel_idx: usize,
        frame_idx: usize,
    ) -> usize {
        ((stem_idx * num_mask_channels + channel_idx) * self.num_frames + frame_idx) * self.num_bins
    }

    /// Where the sums of one stem, channel and frame begin, one synthesis window long.
    pub fn sums_offset(&self, stem_idx: usize, channel_idx: usize, frame_idx: usize) -> usize {
        ((stem_idx * self.num_channels + channel_idx) * self.num_frames + frame_idx) * self.grid.synthesis_samples()
    }

    /// One of these sizes, in which nothing is.
    pub fn new_call(&self) -> Call {
        Call {
            epoch: 0,
            first_frame: 0,
            is_fresh: true,
            valid_from: 0,
            is_waited_for: false,
            batching: Batching::NEVER,
            deadline_from: None,
            num_mask_channels: self.num_channels,
            embedding: vec![0.0; self.embedding_size].into(),
            strength: 1.0,
            is_continued: false,
            samples: touched_zeros(self.samples_offset(self.num_channels, 0)).into_boxed_slice(),
            masks: touched_zeros(self.masks_len(self.num_channels)).into_boxed_slice(),
            sums: touched_zeros(self.sums_offset(self.num_stems, 0, 0)).into_boxed_slice(),
            outcome: Outcome::Pending,
        }
    }
}

/// The audio thread's end: its side of the calls, and what it tells the worker besides.
pub struct AudioEnd {
    pub calls: AudioSide<Call>,
    needed: Arc<Needed>,
}

/// What the audio thread needs next. A hint for the worker: it may be stale, never ahead.
#[derive(Debug, Default)]
struct Needed {
    epoch: AtomicU64,
    frame_index: AtomicU64,
    /// Whether it waits for what is not there when it is due.
    waits: AtomicBool,
}

/// The worker's end: its side of the calls, and what it knows of the audio thread besides.
pub struct WorkerEnd {
    pub calls: WorkerSide<Call>,
    needed: Arc<Needed>,
}

/// Makes both ends and `num_calls` calls, all of them empty and with the audio thread.
pub fn handoff(shape: &CallShape, num_calls: usize) -> (AudioEnd, WorkerEnd) {
    let (audio, worker) = exchange((0..num_calls).map(|_| shape.new_call()).collect());
    let needed = Arc::new(Needed::default());
    (AudioEnd { calls: audio, needed: needed.clone() }, WorkerEnd { calls: worker, needed })
}

impl AudioEnd {
    /// Hands a filled call over, which nothing has become of yet.
    pub fn send(&mut self, mut call: Call) {
        call.outcome = Outcome::Pending;
        self.calls.send(call);
    }

    /// Tells the worker which frame is needed next, so that it can skip what is past.
    pub fn publish_due(&self, epoch: u64, frame_index: u64) {
        // Frame first: between the two stores the worker sees the new frame number with the old epoch, and skips too little.
        self.needed.frame_index.store(frame_index, Ordering::Relaxed);
        self.needed.epoch.store(epoch, Ordering::Release);
    }

    /// Tells the worker whether what is due is waited for from now on. A host's lead over real time may show only after calls were
    /// handed over with a deadline.
    pub fn publish_waits(&self, waits: bool) {
        self.needed.waits.store(waits, Ordering::Relaxed);
    }
}

impl WorkerEnd {
    /// Whether `frame_index`, counted like the frames of `call`, is past: later ones are due.
    pub fn is_past(&self, call: &Call, frame_index: u64) -> bool {
        match self.needed.epoch.load(Ordering::Acquire).cmp(&call.epoch) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.needed.frame_index.load(Ordering::Relaxed) > frame_index,
        }
    }

    /// Whether the audio thread waits for what is not there when it is due, whatever it said when it handed a call over.
    pub fn is_waited_for(&self) -> bool {
        self.needed.waits.load(Ordering::Relaxed)
    }

    /// How many frames the audio thread has to go from the one that it was seen to need to `frame_index`, counted like the frames of
    /// `call`, negative where it is past; none where it has not begun with them.
    pub fn num_frames_to_go(&self, call: &Call, frame_index: i64) -> Option<i64> {
        (self.needed.epoch.load(Ordering::Acquire) == call.epoch)
            .then(|| frame_index - self.needed.frame_index.load(Ordering::Relaxed).cast_signed())
    }
}
