//! The bundle's own inference library, called without the plugin around it.

use anyhow::{Context, Result, bail};
use std::path::Path;
use underscore_backend::{
    ABI_VERSION, BackendTable, Device, ENTRY_SYMBOL, EntryFn, Message, ModelHandle, SessionHandle, Status,
};

const FILE: &str = if cfg!(target_os = "macos") {
    "libunderscore_torch.dylib"
} else if cfg!(windows) {
    "underscore_torch.dll"
} else {
    "libunderscore_torch.so"
};

/// The library, open until the process ends: libtorch does not survive its closing.
#[derive(Clone, Copy)]
pub struct Backend {
    table: &'static BackendTable,
}

impl Backend {
    /// Opens the one in the folder of resources beside a bundle.
    pub fn open(resources: &Path) -> Result<Self> {
        let path = resources.join("lib").join(FILE);
        // SAFETY: opening a library runs its initialisers; this one and libtorch beside it are what `bundle` put there.
        let library = unsafe { libloading::Library::new(&path) }
            .with_context(|| format!("{} cannot be opened: run cargo xtask bundle", path.display()))?;
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        // SAFETY: by the boundary's contract the symbol is a function of this type.
        let entry = unsafe { library.get::<EntryFn>(ENTRY_SYMBOL) }
            .with_context(|| format!("{} is no Underscore backend", path.display()))?;
        // SAFETY: the function takes nothing and returns a table that lives as long as the library.
        let table = unsafe { entry() };
        // SAFETY: the pointer is null or that table; version and size stand at the same place in every version of it.
        match unsafe { table.cast::<[u32; 2]>().as_ref() } {
            Some(&[ABI_VERSION, size]) if size as usize == size_of::<BackendTable>() => {
                // SAFETY: version and size are those of this build, so the whole table is there.
                Ok(Self { table: unsafe { &*table } })
            }
            other => {
                bail!("{}: expected boundary {ABI_VERSION}, got {other:?}: run cargo xtask bundle", path.display())
            }
        }
    }

    /// Loads the model at `path`.
    pub fn load(self, path: &Path, device: Device) -> Result<Model> {
        let text = path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))?;
        let (mut handle, mut message) = (std::ptr::null_mut(), Message::default());
        // SAFETY: the path's bytes and both places live until the call returns.
        let status =
            unsafe { (self.table.load_model)(text.as_ptr(), text.len(), device, &raw mut handle, &raw mut message) };
        check(status, &message)?;
        let mut model = Model { backend: self, handle, about: About::default() };
        // SAFETY: the handle is that of a loaded model, whose metadata lives as long as it.
        let json = unsafe {
            let view = (self.table.metadata)(model.handle);
            std::slice::from_raw_parts(view.ptr, view.len)
        };
        model.about = serde_json::from_slice(json).with_context(|| format!("metadata of {}", path.display()))?;
        Ok(model)
    }
}

/// What a model says of itself, as far as it is measured.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct About {
    /// Bins per frame.
    pub num_bins: usize,
    /// Frames per call.
    pub frames_per_call: usize,
    /// Frames that a mask waits for.
    pub look_ahead_frames: usize,
    /// Frames before its own that a mask depends on.
    pub look_back_frames: usize,
    /// Distance of frames, seconds.
    pub hop_s: f64,
    /// 10⁹ multiply-accumulates per second of one channel's audio; 0 where the file does not say.
    pub gmac_per_s: f64,
    /// All stems; one of them is the residual and has no mask.
    pub stems: Vec<String>,
}

impl About {
    /// Audio per call, seconds.
    pub fn call_s(&self) -> f64 {
        self.frames_per_call as f64 * self.hop_s
    }

    /// `f32` in the spectrum of one call of one channel.
    pub fn spectrum_len(&self) -> usize {
        self.frames_per_call * self.num_bins * 2
    }

    /// `f32` in its masks.
    pub fn masks_len(&self) -> usize {
        (self.stems.len() - 1) * self.frames_per_call * self.num_bins
    }
}

/// A loaded model.
pub struct Model {
    backend: Backend,
    handle: ModelHandle,
    /// Its metadata.
    pub about: About,
}

impl Model {
    /// Opens a stream of one channel.
    pub fn session(&self) -> Result<Session<'_>> {
        let (mut handle, mut message) = (std::ptr::null_mut(), Message::default());
        // SAFETY: the model is loaded, and both places live until the call returns.
        let status = unsafe { (self.backend.table.open_session)(self.handle, 1, &raw mut handle, &raw mut message) };
        check(status, &message)?;
        Ok(Session { model: self, handle })
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle is given back once, and sessions borrow the model: none is open any more.
        unsafe { (self.backend.table.free_model)(self.handle) }
    }
}

/// One stream, used by the thread that opened it.
pub struct Session<'a> {
    model: &'a Model,
    handle: SessionHandle,
}

impl Session<'_> {
    /// One call, or several at once.
    pub fn run(&mut self, spectrum: &[f32], masks: &mut [f32]) -> Result<()> {
        let mut message = Message::default();
        // SAFETY: the session is open and used by this thread; pointers and lengths are those of the slices.
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
        check(status, &message)
    }

    /// Back to a zero state.
    pub fn reset(&mut self) {
        // SAFETY: the session is open and used by this thread.
        unsafe { (self.model.backend.table.reset_session)(self.handle) }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is given back once.
        unsafe { (self.model.backend.table.close_session)(self.handle) }
    }
}

fn check(status: Status, message: &Message) -> Result<()> {
    if status == Status::OK { Ok(()) } else { bail!("{}", message.text()) }
}
