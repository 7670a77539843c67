//! The caller's side: models and sessions that give themselves back, errors instead of statuses.

use std::ffi::CStr;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::boundary::{ABI_VERSION, BackendTable, Device, EntryFn, Message, ModelHandle, SessionHandle, Status, View};

/// A call that did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it came to.
    pub status: Status,
    /// The backend's message.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// A library whose table this build cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongTable {
    /// It returned none.
    None,
    /// It is of another version or size than this build's.
    Version {
        /// Its version.
        actual: u32,
        /// Its size, bytes.
        size: u32,
    },
}

impl fmt::Display for WrongTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "expected a table of functions, got none"),
            Self::Version { actual, size } => write!(
                f,
                "expected boundary {ABI_VERSION} of {} bytes, got {actual} of {size}",
                size_of::<BackendTable>()
            ),
        }
    }
}

impl std::error::Error for WrongTable {}

/// An opened backend. It is never closed: libtorch does not survive that.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    table: &'static BackendTable,
}

impl Backend {
    /// Asks a library for its table and compares version and size with this build's.
    ///
    /// # Safety
    ///
    /// `entry` is the function [`ENTRY_SYMBOL`](crate::ENTRY_SYMBOL) of a backend that stays open for the life of the process.
    ///
    /// # Errors
    ///
    /// [`WrongTable`] where it is of another build.
    pub unsafe fn enter(entry: EntryFn) -> Result<Self, WrongTable> {
        // SAFETY: the function takes nothing and returns a table that lives as long as the library, which is for ever.
        let table = unsafe { entry() };
        // SAFETY: the pointer is null or that table; version and size stand at the same place in every version of it.
        let Some(&[version, size]) = (unsafe { table.cast::<[u32; 2]>().as_ref() }) else {
            return Err(WrongTable::None);
        };
        if version != ABI_VERSION || size as usize != size_of::<BackendTable>() {
            return Err(WrongTable::Version { actual: version, size });
        }
        // SAFETY: version and size are those of this build, so the whole table is there.
        Ok(Self { table: unsafe { &*table } })
    }

    /// Version of the inference library in use (`"2.11.0"`).
    #[must_use]
    pub fn runtime_version(self) -> String {
        // SAFETY: the function takes nothing and returns a static NUL-terminated string.
        unsafe { CStr::from_ptr((self.table.runtime_version)()) }.to_string_lossy().into_owned()
    }

    /// What `device` is called.
    ///
    /// # Errors
    ///
    /// Why it cannot be used now.
    pub fn probe(self, device: Device) -> Result<String, Failure> {
        let mut message = Message::default();
        // SAFETY: the place for the message lives until the call returns.
        let status = unsafe { (self.table.probe_device)(device, &raw mut message) };
        outcome(status, &message).map(|()| message.text())
    }

    /// Reads the file at `path` onto `device`. Runs no inference.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no model of this schema, or the device is not there.
    pub fn load(self, path: &Path, device: Device) -> Result<Model, Failure> {
        let Some(name) = path.to_str() else {
            let text = format!("{}: expected a path in UTF-8; move it to a folder with another name", path.display());
            return Err(Failure { status: Status::CANNOT_READ, text });
        };
        let (mut handle, mut message) = (std::ptr::null_mut(), Message::default());
        // SAFETY: the path is given with its length, and both places for answers live until the call returns.
        let status =
            unsafe { (self.table.load_model)(name.as_ptr(), name.len(), device, &raw mut handle, &raw mut message) };
        outcome(status, &message).map(|()| Model { backend: self, handle })
    }

    /// A model that was not read from a file.
    ///
    /// # Safety
    ///
    /// `handle` is a model of this table, which nobody else gives back.
    #[must_use]
    pub unsafe fn adopt(self, handle: ModelHandle) -> Model {
        Model { backend: self, handle }
    }
}

/// A loaded model. Its weights are shared by all sessions; dropping the last `Arc` frees them.
#[derive(Debug)]
pub struct Model {
    backend: Backend,
    handle: ModelHandle,
}

// SAFETY: the boundary lets every function be called from any thread; the handle is an address that only the table uses.
unsafe impl Send for Model {}
// SAFETY: see above; the model is read-only once it is loaded.
unsafe impl Sync for Model {}

impl Model {
    /// The bytes of `underscore.json`.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        // SAFETY: the handle is a loaded model of this table, and the view lives as long as the model, which is borrowed.
        unsafe { slice((self.backend.table.metadata)(self.handle)) }
    }

    /// See [`BackendTable::test_vector`].
    #[must_use]
    pub fn test_vector(&self) -> &[f32] {
        // SAFETY: the handle is a loaded model of this table, and the view lives as long as the model, which is borrowed.
        unsafe { slice((self.backend.table.test_vector)(self.handle)) }
    }

    /// Opens a stream of `num_channels` channels from a zero state.
    ///
    /// # Errors
    ///
    /// The model has no state of that many channels.
    pub fn session(self: &Arc<Self>, num_channels: usize) -> Result<Session, Failure> {
        let (mut handle, mut message) = (std::ptr::null_mut(), Message::default());
        // More channels than a `u32` holds are refused like any other number that is too large.
        let asked = u32::try_from(num_channels).unwrap_or(u32::MAX);
        // SAFETY: the handle is a loaded model of this table; both places for answers live until the call returns.
        let status =
            unsafe { (self.backend.table.open_session)(self.handle, asked, &raw mut handle, &raw mut message) };
        outcome(status, &message).map(|()| Session { model: self.clone(), handle })
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle is a loaded model of this table, and its sessions, which hold an `Arc` of it, are gone.
        unsafe { (self.backend.table.free_model)(self.handle) }
    }
}

/// The running state of one stream.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    handle: SessionHandle,
}

// SAFETY: the boundary lets any thread use a session, one at a time, which `&mut` sees to.
unsafe impl Send for Session {}

impl Session {
    /// One call, or several that follow one another: see [`BackendTable::run`].
    ///
    /// # Errors
    ///
    /// A length does not fit the model, or the inference failed.
    pub fn run(&mut self, spectrum: &[f32], masks: &mut [f32]) -> Result<(), Failure> {
        let mut message = Message::default();
        // SAFETY: the handle is an open session used by this thread alone; both slices are given with their lengths, and the
        // backend compares those with what it needs.
        let status = unsafe {
            (self.model.backend.table.run)(
                self.handle,
                spectrum.as_ptr(),
                spectrum.len(),
                masks.as_mut_ptr(),
                masks.len(),
                &raw mut message,
            )
        };
        outcome(status, &message)
    }

    /// Back to a zero state.
    pub fn reset(&mut self) {
        // SAFETY: the handle is an open session of this table, used by this thread alone.
        unsafe { (self.model.backend.table.reset_session)(self.handle) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the handle is an open session of this table, and nobody uses it any more.
        unsafe { (self.model.backend.table.close_session)(self.handle) }
    }
}

fn outcome(status: Status, message: &Message) -> Result<(), Failure> {
    if status == Status::OK { Ok(()) } else { Err(Failure { status, text: message.text() }) }
}

/// # Safety
///
/// The view is null or that many elements, which live for `'a`.
unsafe fn slice<'a, T: Copy>(view: View<T>) -> &'a [T] {
    if view.ptr.is_null() || view.len == 0 {
        return &[];
    }
    // SAFETY: see above.
    unsafe { std::slice::from_raw_parts(view.ptr, view.len) }
}
