//! The caller's side: models and sessions that give themselves back, errors instead of statuses.

use std::ffi::CStr;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::boundary::{
    ABI_VERSION, BackendTable, Batching, Device, EntryFn, LIBTORCH_VERSION, Message, ModelHandle, SessionHandle,
    Status, View,
};

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

/// A library that this build cannot use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrongBuild {
    /// It returned no table.
    NoTable,
    /// It is of another version or size than this build's.
    Version {
        /// Its version.
        actual: u32,
        /// Its size, bytes.
        size: u32,
    },
    /// It found another libtorch.
    Libtorch {
        /// Version of the one in this process.
        actual: String,
    },
}

impl fmt::Display for WrongBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => write!(f, "expected a table of functions, got none"),
            Self::Version { actual, size } => write!(
                f,
                "expected boundary {ABI_VERSION} of {} bytes, got {actual} of {size}",
                size_of::<BackendTable>()
            ),
            Self::Libtorch { actual } => write!(
                f,
                "expected libtorch {}, got {actual}, which the host or another plugin may have opened before",
                LIBTORCH_VERSION.to_string_lossy()
            ),
        }
    }
}

impl std::error::Error for WrongBuild {}

/// An opened backend. It is never closed: libtorch does not survive that.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    table: &'static BackendTable,
}

impl Backend {
    /// Asks a library for its table, and compares its version and size, and that of libtorch, with this build's.
    ///
    /// # Safety
    ///
    /// `entry` is the function [`ENTRY_SYMBOL`](crate::ENTRY_SYMBOL) of a backend that stays open for the life of the process.
    ///
    /// # Errors
    ///
    /// [`WrongBuild`] where one differs. Nothing else was called then.
    pub unsafe fn enter(entry: EntryFn) -> Result<Self, WrongBuild> {
        // SAFETY: the function takes nothing and returns a table that lives as long as the library, which is for ever.
        let table = unsafe { entry() };
        // SAFETY: the pointer is null or that table; version and size stand at the same place in every version of it.
        let Some(&[version, size]) = (unsafe { table.cast::<[u32; 2]>().as_ref() }) else {
            return Err(WrongBuild::NoTable);
        };
        if version != ABI_VERSION || size as usize != size_of::<BackendTable>() {
            return Err(WrongBuild::Version { actual: version, size });
        }
        // SAFETY: version and size are those of this build, so the whole table is there.
        let table = unsafe { &*table };
        // SAFETY: the function takes nothing and returns a static NUL-terminated string.
        let libtorch = unsafe { CStr::from_ptr((table.runtime_version)()) };
        if libtorch != LIBTORCH_VERSION {
            return Err(WrongBuild::Libtorch { actual: libtorch.to_string_lossy().into_owned() });
        }
        Ok(Self { table })
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

    /// The embedding of an example; see [`BackendTable::encode`].
    ///
    /// # Errors
    ///
    /// A length does not fit the model, which may be none that is asked; or the inference failed.
    pub fn encode(&self, spectrum: &[f32], embedding: &mut [f32]) -> Result<(), Failure> {
        let mut message = Message::default();
        // SAFETY: the handle is a loaded model of this table; both slices are given with their lengths, and the backend compares
        // those with what it needs.
        let status = unsafe {
            (self.backend.table.encode)(
                self.handle,
                spectrum.as_ptr(),
                spectrum.len(),
                embedding.as_mut_ptr(),
                embedding.len(),
                &raw mut message,
            )
        };
        outcome(status, &message)
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
    /// What the following calls are to look for; see [`BackendTable::ask`].
    ///
    /// # Errors
    ///
    /// The length does not fit the model, which may be none that is asked.
    pub fn ask(&mut self, embedding: &[f32]) -> Result<(), Failure> {
        let mut message = Message::default();
        // SAFETY: the handle is an open session used by this thread alone; the slice is given with its length, and the backend
        // compares that with what it needs.
        let status = unsafe {
            (self.model.backend.table.ask)(self.handle, embedding.as_ptr(), embedding.len(), &raw mut message)
        };
        outcome(status, &message)
    }

    /// One call, or several that follow one another: see [`BackendTable::run`].
    ///
    /// # Errors
    ///
    /// A length does not fit the model, or the inference failed.
    pub fn run(&mut self, batching: Batching, spectrum: &[f32], masks: &mut [f32]) -> Result<(), Failure> {
        let mut message = Message::default();
        // SAFETY: the handle is an open session used by this thread alone; both slices are given with their lengths, and the
        // backend compares those with what it needs.
        let status = unsafe {
            (self.model.backend.table.run)(
                self.handle,
                batching,
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

#[cfg(test)]
mod tests {
    use std::ffi::c_char;

    use super::*;

    unsafe extern "C" fn none() -> *const BackendTable {
        std::ptr::null()
    }

    unsafe extern "C" fn of_the_past() -> *const BackendTable {
        // Shorter than the table is now: no more than the head may be read.
        static HEAD: [u32; 2] = [ABI_VERSION - 1, 8];
        HEAD.as_ptr().cast()
    }

    unsafe extern "C" fn beside_another_libtorch() -> *const BackendTable {
        unsafe extern "C" fn runtime_version() -> *const c_char {
            c"2.4.1".as_ptr()
        }
        static TABLE: BackendTable = BackendTable { runtime_version, ..NOTHING };
        &raw const TABLE
    }

    unsafe extern "C" fn right() -> *const BackendTable {
        static TABLE: BackendTable = NOTHING;
        &raw const TABLE
    }

    /// A table whose functions do nothing.
    const NOTHING: BackendTable = {
        unsafe extern "C" fn runtime_version() -> *const c_char {
            LIBTORCH_VERSION.as_ptr()
        }
        unsafe extern "C" fn probe_device(_: Device, _: *mut Message) -> Status {
            Status::NO_DEVICE
        }
        unsafe extern "C" fn load_model(
            _: *const u8,
            _: usize,
            _: Device,
            _: *mut ModelHandle,
            _: *mut Message,
        ) -> Status {
            Status::CANNOT_READ
        }
        unsafe extern "C" fn view<T>(_: ModelHandle) -> View<T> {
            View { ptr: std::ptr::null(), len: 0 }
        }
        unsafe extern "C" fn open_session(_: ModelHandle, _: u32, _: *mut SessionHandle, _: *mut Message) -> Status {
            Status::WRONG_SHAPE
        }
        unsafe extern "C" fn encode(
            _: ModelHandle,
            _: *const f32,
            _: usize,
            _: *mut f32,
            _: usize,
            _: *mut Message,
        ) -> Status {
            Status::RUN_FAILED
        }
        unsafe extern "C" fn ask(_: SessionHandle, _: *const f32, _: usize, _: *mut Message) -> Status {
            Status::WRONG_SHAPE
        }
        unsafe extern "C" fn run(
            _: SessionHandle,
            _: Batching,
            _: *const f32,
            _: usize,
            _: *mut f32,
            _: usize,
            _: *mut Message,
        ) -> Status {
            Status::RUN_FAILED
        }
        unsafe extern "C" fn give_back(_: ModelHandle) {}
        BackendTable {
            abi_version: ABI_VERSION,
            table_size: size_of::<BackendTable>() as u32,
            runtime_version,
            probe_device,
            load_model,
            metadata: view,
            test_vector: view,
            encode,
            free_model: give_back,
            open_session,
            ask,
            run,
            reset_session: give_back,
            close_session: give_back,
        }
    };

    fn enter(entry: EntryFn) -> Result<Backend, WrongBuild> {
        // SAFETY: the tables above are static.
        unsafe { Backend::enter(entry) }
    }

    #[test]
    fn a_backend_of_another_build_or_beside_another_libtorch_is_refused_by_name() {
        assert_eq!(enter(none).err(), Some(WrongBuild::NoTable));
        assert_eq!(enter(of_the_past).err(), Some(WrongBuild::Version { actual: ABI_VERSION - 1, size: 8 }));
        let message = enter(beside_another_libtorch).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("expected libtorch 2.11.0, got 2.4.1"), "{message}");
    }

    #[test]
    fn a_refusal_is_a_failure_with_its_status() {
        let backend = enter(right).expect("a table of this build");
        let failure = backend.load(Path::new("absent.pt"), Device::CPU).expect_err("nothing is there");
        assert_eq!(failure.status, Status::CANNOT_READ);
        assert_eq!(backend.probe(Device::CUDA).expect_err("no card").status, Status::NO_DEVICE);
    }
}
