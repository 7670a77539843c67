//! The backend as the engine uses it: through the C table only.

use std::path::{Path, PathBuf};
use std::ptr;

use underscore_backend::{BackendTable, Device, Message, ModelHandle, SessionHandle, Status};

/// A failed call: its status and message.
#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    pub text: String,
}

/// The table of the linked backend.
pub fn table() -> &'static BackendTable {
    // SAFETY: the table is static.
    unsafe { &*underscore_torch::underscore_backend() }
}

/// The model with a mask of 1 everywhere.
pub const IDENTITY: &str = "identity.pt";

fn weights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/weights")
}

/// A file of `models/weights`.
pub fn shipped(name: &str) -> PathBuf {
    weights().join(name)
}

/// The names of all models in `models/weights`.
pub fn all_shipped() -> Vec<String> {
    let files = weights().read_dir().expect("the folder of models");
    let paths =
        files.map(|file| file.expect("a file").path()).filter(|path| path.extension().is_some_and(|e| e == "pt"));
    let mut names: Vec<String> =
        paths.filter_map(|path| Some(path.file_name()?.to_str().expect("a UTF-8 name").to_owned())).collect();
    names.sort();
    names
}

/// The name of a shipped model that separates.
pub fn separator() -> String {
    all_shipped().into_iter().find(|name| name != IDENTITY).expect("a model that separates")
}

fn outcome(status: Status, message: &Message) -> Result<(), Failure> {
    if status == Status::OK { Ok(()) } else { Err(Failure { status, text: message.text() }) }
}

/// A model of the table, given back when dropped.
pub struct Model(ModelHandle);

impl Model {
    pub fn load(path: &Path) -> Result<Self, Failure> {
        Self::load_on(path, Device::CPU)
    }

    pub fn load_on(path: &Path, device: Device) -> Result<Self, Failure> {
        let path = path.to_str().expect("a UTF-8 path");
        let mut handle = ptr::null_mut();
        let mut message = Message::default();
        // SAFETY: all pointers are to live values of this frame.
        let status =
            unsafe { (table().load_model)(path.as_ptr(), path.len(), device, &raw mut handle, &raw mut message) };
        outcome(status, &message).map(|()| Self(handle))
    }

    pub fn metadata(&self) -> &str {
        // SAFETY: the handle is live, and so is the view as long as `self`.
        let bytes = unsafe {
            let view = (table().metadata)(self.0);
            std::slice::from_raw_parts(view.ptr, view.len)
        };
        std::str::from_utf8(bytes).expect("UTF-8 metadata")
    }

    /// The field `pointer` of the metadata.
    pub fn count(&self, pointer: &str) -> usize {
        let metadata: serde_json::Value = serde_json::from_str(self.metadata()).expect("JSON");
        metadata.pointer(pointer).and_then(serde_json::Value::as_u64).expect("a count") as usize
    }

    /// Values of one channel's masks in one call: frames times bins.
    pub fn masks_len(&self) -> usize {
        self.count("/frames_per_call") * self.count("/num_bins")
    }

    /// A deterministic spectrum of one call, different for every `seed`, values in ±20.
    pub fn spectrum(&self, num_channels: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..num_channels * self.masks_len() * 2)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 40.0
            })
            .collect()
    }

    pub fn test_vector(&self) -> &[f32] {
        // SAFETY: the handle is live, and so is the view as long as `self`.
        unsafe {
            let view = (table().test_vector)(self.0);
            std::slice::from_raw_parts(view.ptr, view.len)
        }
    }

    pub fn session(&self, num_channels: usize) -> Result<Session, Failure> {
        let mut handle = ptr::null_mut();
        let mut message = Message::default();
        // SAFETY: the handle is live, the pointers are to values of this frame.
        let status = unsafe { (table().open_session)(self.0, num_channels as u32, &raw mut handle, &raw mut message) };
        outcome(status, &message).map(|()| Session(handle))
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle is given back once.
        unsafe { (table().free_model)(self.0) }
    }
}

/// A session of the table, closed when dropped.
pub struct Session(SessionHandle);

// SAFETY: the table lets any thread use a session, one at a time.
unsafe impl Send for Session {}

impl Session {
    pub fn run_into(&mut self, spectrum: &[f32], masks: &mut [f32]) -> Result<(), Failure> {
        let mut message = Message::default();
        // SAFETY: the handle is live and used by one thread; pointers and lengths are those of the slices.
        let status = unsafe {
            (table().run)(self.0, spectrum.as_ptr(), spectrum.len(), masks.as_mut_ptr(), masks.len(), &raw mut message)
        };
        outcome(status, &message)
    }

    /// One call of a model with one masked stem.
    pub fn run(&mut self, spectrum: &[f32]) -> Vec<f32> {
        let mut masks = vec![f32::NAN; spectrum.len() / 2];
        self.run_into(spectrum, &mut masks).expect("a run");
        masks
    }

    pub fn reset(&mut self) {
        // SAFETY: the handle is live and used by one thread.
        unsafe { (table().reset_session)(self.0) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the handle is given back once.
        unsafe { (table().close_session)(self.0) }
    }
}
