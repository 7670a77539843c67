//! The C boundary. Both sides are compiled apart and may be of different builds: nothing crosses here but plain C types, and
//! the table begins with its version and size.
//!
//! Axis order at this boundary, once and for all:
//! * spectrum: `[channel][frame][bin][re, im]`, `f32`, the unnormalised DFT at the *model's* window length
//! * masks: `[stem][channel][frame][bin]`, `f32`, for every stem but the residual one
//! * embedding: `f32`, as many as the metadata's `embedding_size`; what a model that is asked by example is to look for
//!
//! Ownership: a pointer handed out by the table is given back to the same table (`free_model`, `close_session`). Every function
//! may be called from any thread, but one session only from one thread at a time. No function unwinds.

use std::ffi::{CStr, c_char, c_void};

/// Version of everything in this file. A change of a signature, a layout or a meaning raises it.
pub const ABI_VERSION: u32 = 4;

/// Schema of a model's metadata that both sides read. A field that is added, left out or of another meaning raises it.
pub const SCHEMA_VERSION: u32 = 2;

/// Name of the one exported function, of type [`EntryFn`].
pub const ENTRY_SYMBOL: &str = "underscore_backend";

/// The libtorch that the backend is bound to. Another release has another ABI.
pub const LIBTORCH_VERSION: &CStr = c"2.11.0";

/// Where the backend lies in the folder of resources that is installed with the plugin.
pub const LIBRARY_FILE: &str = if cfg!(target_os = "macos") {
    "lib/libunderscore_torch.dylib"
} else if cfg!(windows) {
    "lib/underscore_torch.dll"
} else {
    "lib/libunderscore_torch.so"
};

/// Returns a table that lives as long as the process.
pub type EntryFn = unsafe extern "C" fn() -> *const BackendTable;

/// A loaded model: weights, shared by all sessions of the process. Opaque to the engine.
pub type ModelHandle = *mut c_void;

/// The running state of one stream through a model. Opaque to the engine.
pub type SessionHandle = *mut c_void;

/// What a call came to. Anything but `OK` is accompanied by a [`Message`].
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// It worked.
    pub const OK: Self = Self(0);
    /// The model file cannot be opened or read.
    pub const CANNOT_READ: Self = Self(1);
    /// The file is not TorchScript, or is torn.
    pub const NOT_A_MODEL: Self = Self(2);
    /// The metadata (`underscore.json`) is missing or cannot be parsed.
    pub const BAD_METADATA: Self = Self(3);
    /// The metadata's schema version is not the one this backend reads.
    pub const WRONG_SCHEMA: Self = Self(4);
    /// A buffer's length, or a tensor that the model returned, does not fit the metadata.
    pub const WRONG_SHAPE: Self = Self(5);
    /// The device asked for is not there.
    pub const NO_DEVICE: Self = Self(6);
    /// The inference itself failed.
    pub const RUN_FAILED: Self = Self(7);
    /// A panic was caught at the boundary.
    pub const PANICKED: Self = Self(8);
}

/// Where a model runs.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Device(pub u32);

impl Device {
    /// The processor, one intra-op thread.
    pub const CPU: Self = Self(0);
    /// The first CUDA device. All streams through a model run there together.
    pub const CUDA: Self = Self(1);
    /// The processor, used as a card is: of no use but to try that where there is none.
    pub const CPU_AS_CARD: Self = Self(2);
}

/// Whether a call may share a batch with calls of other streams.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching(pub u32);

impl Batching {
    /// It runs by itself, and gives the same bits whatever other streams do.
    pub const NEVER: Self = Self(0);
    /// It may run together with calls of other streams through the model that wait: all are done sooner, and sums are made in another order.
    pub const ALLOWED: Self = Self(1);
}

/// Bytes that a [`Message`] can hold.
pub const MESSAGE_CAPACITY: usize = 1024;

/// A message in the caller's memory: UTF-8, cut at [`MESSAGE_CAPACITY`], no terminator.
#[repr(C)]
pub struct Message {
    /// Number of bytes in use.
    pub len: u32,
    /// The text.
    pub bytes: [u8; MESSAGE_CAPACITY],
}

impl Default for Message {
    fn default() -> Self {
        Self { len: 0, bytes: [0; MESSAGE_CAPACITY] }
    }
}

impl Message {
    /// Replaces the text, cutting it at a character boundary where it is too long.
    pub fn set(&mut self, text: &str) {
        let mut len = text.len().min(MESSAGE_CAPACITY);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        self.bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len = len as u32;
    }

    /// The text. Bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        let len = (self.len as usize).min(MESSAGE_CAPACITY);
        String::from_utf8_lossy(&self.bytes[..len]).into_owned()
    }
}

/// A read-only view of memory that belongs to a model and lives as long as it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct View<T> {
    /// First element; may be null when `len` is 0.
    pub ptr: *const T,
    /// Number of elements.
    pub len: usize,
}

/// The functions of a backend. `abi_version` and `table_size` keep their place in every version.
#[repr(C)]
#[derive(Debug)]
pub struct BackendTable {
    /// [`ABI_VERSION`] of the backend's build.
    pub abi_version: u32,
    /// `size_of::<BackendTable>()` of the backend's build, bytes.
    pub table_size: u32,
    /// Version of the libtorch in this process, NUL-terminated, static; it is another than [`LIBTORCH_VERSION`] where somebody else
    /// had opened one of the same name before.
    pub runtime_version: unsafe extern "C" fn() -> *const c_char,
    /// Whether `device` can be used now; the message says why not, or names the device. Opens the driver on first use.
    pub probe_device: unsafe extern "C" fn(device: Device, message: *mut Message) -> Status,
    /// Reads the file at `path` (UTF-8, `path_len` bytes) onto `device` and writes the model to `model`. No inference is run.
    pub load_model: unsafe extern "C" fn(
        path: *const u8,
        path_len: usize,
        device: Device,
        model: *mut ModelHandle,
        message: *mut Message,
    ) -> Status,
    /// The model's metadata: the bytes of `underscore.json`.
    pub metadata: unsafe extern "C" fn(model: ModelHandle) -> View<u8>,
    /// The model's test vector, `f32`: the embedding that it is asked by, where it is; then for `num_calls` consecutive calls from
    /// a zero state all input spectra `[call][channel][frame][bin][re, im]`, and all masks `[call][stem][channel][frame][bin]`.
    pub test_vector: unsafe extern "C" fn(model: ModelHandle) -> View<f32>,
    /// Writes the embedding of an example: `spectrum` is `[frame][bin][re, im]`, of the metadata's `query_frames` frames. Lengths
    /// are in `f32`. Costs as much as some calls.
    pub encode: unsafe extern "C" fn(
        model: ModelHandle,
        spectrum: *const f32,
        spectrum_len: usize,
        embedding: *mut f32,
        embedding_len: usize,
        message: *mut Message,
    ) -> Status,
    /// Gives the model back. Its sessions must be closed first.
    pub free_model: unsafe extern "C" fn(model: ModelHandle),
    /// Opens a stream of `num_channels` channels from a zero state.
    pub open_session: unsafe extern "C" fn(
        model: ModelHandle,
        num_channels: u32,
        session: *mut SessionHandle,
        message: *mut Message,
    ) -> Status,
    /// What the following calls are to look for, until it is said again; zeros at first, and not changed by a reset.
    pub ask: unsafe extern "C" fn(
        session: SessionHandle,
        embedding: *const f32,
        embedding_len: usize,
        message: *mut Message,
    ) -> Status,
    /// One call of the model, or several that follow one another, made as one: a multiple of `frames_per_call` frames in, as
    /// many masks out, the state carried along. `spectrum` and `masks` belong to the caller; their lengths are in `f32` and
    /// must be the same multiple of those of the metadata times the channels.
    pub run: unsafe extern "C" fn(
        session: SessionHandle,
        batching: Batching,
        spectrum: *const f32,
        spectrum_len: usize,
        masks: *mut f32,
        masks_len: usize,
        message: *mut Message,
    ) -> Status,
    /// Back to a zero state.
    pub reset_session: unsafe extern "C" fn(session: SessionHandle),
    /// Closes the stream.
    pub close_session: unsafe extern "C" fn(session: SessionHandle),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_long_is_cut_at_a_character() {
        let mut message = Message::default();
        let text = format!("{}é", "x".repeat(MESSAGE_CAPACITY - 1));
        message.set(&text);
        assert_eq!(message.text(), "x".repeat(MESSAGE_CAPACITY - 1));
    }

    #[test]
    fn the_version_and_size_come_first_in_the_table() {
        assert_eq!(std::mem::offset_of!(BackendTable, abi_version), 0);
        assert_eq!(std::mem::offset_of!(BackendTable, table_size), 4);
    }
}
