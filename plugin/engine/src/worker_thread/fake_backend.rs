//! A fake backend and a fake model with look-ahead: it gives each frame a mask by which the frame can be known again, once it has heard
//! `look_ahead_frames` more, and like a real one it knows the frames by their order only.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::c_char;
use std::sync::Arc;

use underscore_backend::{
    ABI_VERSION, Backend, BackendTable, Batching, Device, LIBTORCH_VERSION, Message, ModelHandle, SessionHandle,
    Status as BackendStatus, View,
};

use super::Stream;
use super::model::Model;
use super::separation::Separation;
use super::session::Session;
use crate::handoff::{CallShape, WorkerEnd};
use crate::latency::ModelTiming;
use crate::status::EngineStatus;

/// The mask of a frame that the model has not heard.
pub const UNHEARD: f32 = -1.0;

/// Where every example lies, in each dimension.
pub const EXAMPLE: f32 = 0.25;

/// The mask, all bins alike, of a frame's spectrum `[bin][re, im]`.
pub type MaskOf = fn(&[f32]) -> f32;

thread_local! {
    static BATCHINGS: RefCell<Vec<Batching>> = const { RefCell::new(Vec::new()) };
}

/// How each call was to be run that this thread has run since it asked last.
pub fn batchings() -> Vec<Batching> {
    BATCHINGS.take()
}

/// The worker's side of an engine, to be stepped by a test.
pub fn stream(
    end: WorkerEnd,
    shape: CallShape,
    timing: &ModelTiming,
    status: Arc<EngineStatus>,
    mask_of: MaskOf,
) -> Stream {
    Stream::new(end, shape, status, separation(shape, timing, mask_of))
}

/// A separation by the fake model.
pub fn separation(shape: CallShape, timing: &ModelTiming, mask_of: MaskOf) -> Separation {
    let model = Arc::new(model(shape, timing, mask_of, Vec::new()));
    let opener = move || {
        let session = Session::open(model.clone(), 1).expect("the double refuses nothing");
        Ok((model.clone(), session))
    };
    Separation::open(Box::new(opener), shape, timing).expect("the double refuses nothing")
}

/// The fake model by itself, with the values of its test vector.
pub fn model(shape: CallShape, timing: &ModelTiming, mask_of: MaskOf, test_vector: Vec<f32>) -> Model {
    let double = Box::new(FakeModel { shape, look_ahead_frames: timing.look_ahead_frames, mask_of, test_vector });
    // SAFETY: the table is static, and the handle is that of a box which nobody else has.
    let loaded = unsafe { Backend::enter(entry).expect("a table").adopt(Box::into_raw(double).cast()) };
    Model::of(loaded)
}

struct FakeModel {
    shape: CallShape,
    look_ahead_frames: usize,
    mask_of: MaskOf,
    test_vector: Vec<f32>,
}

struct DoubleSession {
    model: *const FakeModel,
    /// `[channel]`, the masks that are not given yet, oldest first.
    pending: Vec<VecDeque<f32>>,
    /// What is asked for. Its first value, where there is one, is added to every mask that is given.
    asked: Vec<f32>,
}

impl DoubleSession {
    fn model(&self) -> &FakeModel {
        // SAFETY: a session holds an `Arc` of its model, which frees the double when it is dropped.
        unsafe { &*self.model }
    }

    fn reset(&mut self) {
        let look_ahead_frames = self.model().look_ahead_frames;
        for pending in &mut self.pending {
            *pending = std::iter::repeat_n(UNHEARD, look_ahead_frames).collect();
        }
    }

    fn run(&mut self, spectrum: &[f32], masks: &mut [f32]) {
        let (shape, mask_of, num_channels) = (self.model().shape, self.model().mask_of, self.pending.len());
        assert_eq!(spectrum.len(), shape.spectrum_len(num_channels));
        assert_eq!(masks.len(), shape.masks_len(num_channels));
        let asked = self.asked.first().copied().unwrap_or(0.0);
        for (channel_idx, pending) in self.pending.iter_mut().enumerate() {
            for frame_idx in 0..shape.num_frames {
                let frame = &spectrum[shape.spectrum_offset(channel_idx, frame_idx)..][..shape.num_bins * 2];
                pending.push_back(mask_of(frame));
                let mask = pending.pop_front().expect("one was pushed");
                for stem_idx in 0..shape.num_stems {
                    let offset = shape.mask_offset(num_channels, stem_idx, channel_idx, frame_idx);
                    masks[offset..offset + shape.num_bins].fill(mask + asked);
                }
            }
        }
    }
}

unsafe extern "C" fn entry() -> *const BackendTable {
    &raw const TABLE
}

static TABLE: BackendTable = BackendTable {
    abi_version: ABI_VERSION,
    table_size: size_of::<BackendTable>() as u32,
    runtime_version,
    probe_device,
    load_model,
    metadata,
    test_vector,
    encode,
    free_model,
    open_session,
    ask,
    run,
    reset_session,
    close_session,
};

unsafe extern "C" fn runtime_version() -> *const c_char {
    LIBTORCH_VERSION.as_ptr()
}

unsafe extern "C" fn probe_device(_: Device, _: *mut Message) -> BackendStatus {
    BackendStatus::OK
}

unsafe extern "C" fn load_model(
    _: *const u8,
    _: usize,
    _: Device,
    _: *mut ModelHandle,
    _: *mut Message,
) -> BackendStatus {
    BackendStatus::CANNOT_READ
}

unsafe extern "C" fn metadata(_: ModelHandle) -> View<u8> {
    View { ptr: std::ptr::null(), len: 0 }
}

unsafe extern "C" fn test_vector(model: ModelHandle) -> View<f32> {
    // SAFETY: the handle is the box that `model` made, which is not given back yet.
    let values = unsafe { &(*model.cast::<FakeModel>()).test_vector };
    View { ptr: values.as_ptr(), len: values.len() }
}

/// Every example lies at [`EXAMPLE`].
unsafe extern "C" fn encode(
    _: ModelHandle,
    _: *const f32,
    _: usize,
    embedding: *mut f32,
    embedding_len: usize,
    _: *mut Message,
) -> BackendStatus {
    // SAFETY: pointer and length are those of the caller's slice.
    unsafe { std::slice::from_raw_parts_mut(embedding, embedding_len).fill(EXAMPLE) };
    BackendStatus::OK
}

unsafe extern "C" fn free_model(model: ModelHandle) {
    // SAFETY: the handle is the box that `model` made, given back once.
    drop(unsafe { Box::from_raw(model.cast::<FakeModel>()) });
}

unsafe extern "C" fn open_session(
    model: ModelHandle,
    num_channels: u32,
    session: *mut SessionHandle,
    _: *mut Message,
) -> BackendStatus {
    let mut opened = Box::new(DoubleSession {
        model: model.cast(),
        pending: vec![VecDeque::new(); num_channels as usize],
        asked: Vec::new(),
    });
    opened.reset();
    // SAFETY: the caller gives a place for the answer.
    unsafe { *session = Box::into_raw(opened).cast() };
    BackendStatus::OK
}

unsafe extern "C" fn ask(
    session: SessionHandle,
    embedding: *const f32,
    embedding_len: usize,
    _: *mut Message,
) -> BackendStatus {
    // SAFETY: the session is open and used by this thread alone; pointer and length are those of the caller's slice.
    unsafe { (*session.cast::<DoubleSession>()).asked = std::slice::from_raw_parts(embedding, embedding_len).to_vec() };
    BackendStatus::OK
}

unsafe extern "C" fn run(
    session: SessionHandle,
    batching: Batching,
    spectrum: *const f32,
    spectrum_len: usize,
    masks: *mut f32,
    masks_len: usize,
    _: *mut Message,
) -> BackendStatus {
    BATCHINGS.with_borrow_mut(|batchings| batchings.push(batching));
    // SAFETY: the session is open and used by this thread alone; pointers and lengths are those of the caller's slices.
    unsafe {
        let spectrum = std::slice::from_raw_parts(spectrum, spectrum_len);
        let masks = std::slice::from_raw_parts_mut(masks, masks_len);
        (*session.cast::<DoubleSession>()).run(spectrum, masks);
    }
    BackendStatus::OK
}

unsafe extern "C" fn reset_session(session: SessionHandle) {
    // SAFETY: the session is open and used by this thread alone.
    unsafe { (*session.cast::<DoubleSession>()).reset() }
}

unsafe extern "C" fn close_session(session: SessionHandle) {
    // SAFETY: the handle is the box that `open_session` made, given back once.
    drop(unsafe { Box::from_raw(session.cast::<DoubleSession>()) });
}
