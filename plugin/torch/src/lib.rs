//! libtorch behind the C boundary of `underscore-backend`: the only crate that names `tch`.
//!
//! Built as a shared library that exports one function, [`underscore_backend`]; the engine opens it when a model is first
//! needed. This file is the boundary: it turns pointers into references, errors into a status and a message, and lets no panic
//! through. The work is in `model` (a file on its device), `network` (what goes in and comes
//! out), `session` (one stream), `pool` and `batcher` (streams that share the processors, or
//! a card), `card` (whether that answers) and `query` (examples).

#![allow(
    clippy::cast_possible_wrap,
    reason = "libtorch counts in i64; every size here is checked against a small limit first"
)]

mod archive;
mod arena;
mod batch_limit;
mod batcher;
mod card;
mod convolutions;
mod device;
mod error;
mod inference;
mod line;
mod metadata;
mod model;
mod network;
mod own_states;
mod pool;
mod query;
mod queue;
mod recurrent;
mod session;
mod turns;
mod urgency;

use std::any::Any;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use underscore_backend::{
    ABI_VERSION, BackendTable, Batching, Device, Message, ModelHandle, SessionHandle, Status, View,
};

use error::BackendError;
use model::Model;
use session::Session;

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

/// The backend's table of functions; see `underscore-backend` for their meaning.
// SAFETY: no other library in this process exports a function of this name for another purpose.
#[unsafe(no_mangle)]
pub extern "C" fn underscore_backend() -> *const BackendTable {
    &raw const TABLE
}

unsafe extern "C" fn runtime_version() -> *const c_char {
    device::runtime_version().as_ptr()
}

unsafe extern "C" fn probe_device(device: Device, message: *mut Message) -> Status {
    // SAFETY: `message` is null or the caller's for this call.
    let message = unsafe { message.as_mut() };
    match catch_unwind(|| device::probe(device)) {
        Ok(Ok(name)) => {
            if let Some(message) = message {
                message.set(name);
            }
            Status::OK
        }
        Ok(Err(error)) => report(&error, message),
        Err(panic) => report_panic(panic.as_ref(), message),
    }
}

unsafe extern "C" fn load_model(
    path: *const u8,
    path_len: usize,
    device: Device,
    model: *mut ModelHandle,
    message: *mut Message,
) -> Status {
    // SAFETY: `message` is null or the caller's for this call.
    guard(unsafe { message.as_mut() }, || {
        // SAFETY: the caller hands over `path_len` bytes, alive for this call.
        let path = unsafe { slice(path, path_len) };
        let path = std::str::from_utf8(path).map_err(|error| BackendError::CannotRead {
            path: String::from_utf8_lossy(path).into_owned().into(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, error),
        })?;
        let loaded = Arc::new(Model::load(Path::new(path), device)?);
        // SAFETY: `model` is where the caller wants the handle.
        unsafe { model.write(Arc::into_raw(loaded).cast_mut().cast()) };
        Ok(())
    })
}

unsafe extern "C" fn metadata(model: ModelHandle) -> View<u8> {
    // SAFETY: null, or a handle from `load_model` that was not given back.
    let model = unsafe { model.cast::<Model>().as_ref() };
    view(model.map_or(&[], |model| &model.metadata_json))
}

unsafe extern "C" fn test_vector(model: ModelHandle) -> View<f32> {
    // SAFETY: null, or a handle from `load_model` that was not given back.
    let model = unsafe { model.cast::<Model>().as_ref() };
    view(model.map_or(&[], |model| &model.test_vector))
}

unsafe extern "C" fn encode(
    model: ModelHandle,
    spectrum: *const f32,
    spectrum_len: usize,
    embedding: *mut f32,
    embedding_len: usize,
    message: *mut Message,
) -> Status {
    // SAFETY: `message` is null or the caller's for this call.
    guard(unsafe { message.as_mut() }, || {
        // SAFETY: null, or a handle from `load_model` that was not given back.
        let model = unsafe { model.cast::<Model>().as_ref() }.ok_or_else(|| null_handle("model"))?;
        // SAFETY: the caller's `spectrum_len` values, alive for this call.
        let spectrum = unsafe { slice(spectrum, spectrum_len) };
        // SAFETY: the caller's `embedding_len` values, alive for this call and not those of `spectrum`.
        let embedding = unsafe { slice_mut(embedding, embedding_len) };
        query::encode(model, spectrum, embedding)
    })
}

unsafe extern "C" fn free_model(model: ModelHandle) {
    if model.is_null() {
        return;
    }
    // SAFETY: a handle from `load_model`, given back once.
    let model = unsafe { Arc::from_raw(model.cast::<Model>()) };
    guard(None, || {
        drop(model);
        Ok(())
    });
}

unsafe extern "C" fn open_session(
    model: ModelHandle,
    num_channels: u32,
    session: *mut SessionHandle,
    message: *mut Message,
) -> Status {
    // SAFETY: `message` is null or the caller's for this call.
    guard(unsafe { message.as_mut() }, || {
        if model.is_null() {
            return Err(null_handle("model"));
        }
        let model = model.cast::<Model>().cast_const();
        // SAFETY: a handle from `load_model` that was not given back: it holds one count, the session takes another.
        let model = unsafe {
            Arc::increment_strong_count(model);
            Arc::from_raw(model)
        };
        let opened = Box::new(Session::open(model, num_channels as usize)?);
        // SAFETY: `session` is where the caller wants the handle.
        unsafe { session.write(Box::into_raw(opened).cast()) };
        Ok(())
    })
}

unsafe extern "C" fn ask(
    session: SessionHandle,
    embedding: *const f32,
    embedding_len: usize,
    message: *mut Message,
) -> Status {
    // SAFETY: `message` is null or the caller's for this call.
    guard(unsafe { message.as_mut() }, || {
        // SAFETY: null, or a handle from `open_session` that only this thread uses now.
        let session = unsafe { session.cast::<Session>().as_mut() }.ok_or_else(|| null_handle("session"))?;
        // SAFETY: the caller's `embedding_len` values, alive for this call.
        session.ask(unsafe { slice(embedding, embedding_len) })
    })
}

unsafe extern "C" fn run(
    session: SessionHandle,
    batching: Batching,
    spectrum: *const f32,
    spectrum_len: usize,
    masks: *mut f32,
    masks_len: usize,
    message: *mut Message,
) -> Status {
    // SAFETY: `message` is null or the caller's for this call.
    guard(unsafe { message.as_mut() }, || {
        // SAFETY: null, or a handle from `open_session` that only this thread uses now.
        let session = unsafe { session.cast::<Session>().as_mut() }.ok_or_else(|| null_handle("session"))?;
        // SAFETY: the caller's `spectrum_len` values, alive for this call.
        let spectrum = unsafe { slice(spectrum, spectrum_len) };
        // SAFETY: the caller's `masks_len` values, alive for this call and not those of `spectrum`.
        let masks = unsafe { slice_mut(masks, masks_len) };
        session.run(batching, spectrum, masks)
    })
}

unsafe extern "C" fn reset_session(session: SessionHandle) {
    guard(None, || {
        // SAFETY: null, or a handle from `open_session` that only this thread uses now.
        unsafe { session.cast::<Session>().as_mut() }.map_or(Ok(()), Session::reset)
    });
}

unsafe extern "C" fn close_session(session: SessionHandle) {
    if session.is_null() {
        return;
    }
    // SAFETY: a handle from `open_session`, given back once.
    let session = unsafe { Box::from_raw(session.cast::<Session>()) };
    guard(None, || {
        drop(session);
        Ok(())
    });
}

/// Runs `work` and turns what it comes to into a status and a message.
fn guard(message: Option<&mut Message>, work: impl FnOnce() -> Result<(), BackendError>) -> Status {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Status::OK,
        Ok(Err(error)) => report(&error, message),
        Err(panic) => report_panic(panic.as_ref(), message),
    }
}

fn report(error: &BackendError, message: Option<&mut Message>) -> Status {
    if let Some(message) = message {
        message.set(&error.to_string());
    }
    error.status()
}

fn report_panic(panic: &(dyn Any + Send), message: Option<&mut Message>) -> Status {
    if let Some(message) = message {
        let reason = panic.downcast_ref::<&str>().copied();
        let reason = reason.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given");
        message.set(&format!("the libtorch backend failed unexpectedly: {reason}; please report this"));
    }
    Status::PANICKED
}

fn null_handle(what: &'static str) -> BackendError {
    BackendError::WrongShape { what, expected: "a handle".to_owned(), actual: "null".to_owned() }
}

fn view<T>(values: &[T]) -> View<T> {
    View { ptr: values.as_ptr(), len: values.len() }
}

/// The caller's values; none where `ptr` is null.
///
/// # Safety
/// `ptr` is null or points to `len` values that live and stay unchanged for `'a`.
unsafe fn slice<'a, T>(ptr: *const T, len: usize) -> &'a [T] {
    if ptr.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(ptr, len) }
}

/// The caller's values, to be written; none where `ptr` is null.
///
/// # Safety
/// `ptr` is null or points to `len` values that live for `'a` and are nobody else's.
unsafe fn slice_mut<'a, T>(ptr: *mut T, len: usize) -> &'a mut [T] {
    if ptr.is_null() {
        return &mut [];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(ptr, len) }
}
