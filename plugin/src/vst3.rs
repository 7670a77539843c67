//! The VST3 side of the binary: the factory and the module's entry points.
//!
//! They stand in for the framework's export macro, which gives no way to reach an instance between its making and the host.
//! That is needed because of what its wrapper does with inactive buses, see [`processor_shim`], and, on Linux, while a window opens, see
//! `editor_shim`.

#[cfg(target_os = "linux")]
mod backlog;
#[cfg(target_os = "linux")]
mod editor_shim;
mod processor_shim;
#[cfg(target_os = "linux")]
mod run_loop;
#[cfg(test)]
mod test_instance;

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nice_plug::wrapper::vst3::vst3::Steinberg::{
    FIDString, FUnknown, IPluginFactory, IPluginFactory2, IPluginFactory2Trait, IPluginFactory3, IPluginFactory3Trait,
    IPluginFactoryTrait, PClassInfo, PClassInfo2, PClassInfoW, PFactoryInfo, TUID, int32, kInvalidArgument, kResultOk,
    tresult,
};
use nice_plug::wrapper::vst3::vst3::{Class, ComWrapper};
use nice_plug::wrapper::vst3::{PluginInfo, Wrapper};

pub use processor_shim::ProcessorShim;

use crate::Underscore;

/// A task of the framework's that does nothing but say that its turn has come. Of those that are numbered the later ones say it for the earlier
/// ones, too: what is posted first is worked off first.
#[derive(Debug, Clone)]
pub struct QueueFence {
    number: u64,
    newest_passed: Arc<AtomicU64>,
}

impl Default for QueueFence {
    fn default() -> Self {
        Self { number: 1, newest_passed: Arc::default() }
    }
}

impl QueueFence {
    /// Another one of the same row. Allocates nothing.
    #[must_use]
    pub fn numbered(&self, number: u64) -> Self {
        Self { number, newest_passed: self.newest_passed.clone() }
    }

    /// Its turn has come.
    pub fn pass(&self) {
        self.newest_passed.fetch_max(self.number, Ordering::Release);
    }

    /// Whether it has.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.newest_passed.load(Ordering::Acquire) >= self.number
    }
}

/// Makes instances of the one plugin there is.
struct Factory {
    info: PluginInfo,
}

impl Class for Factory {
    type Interfaces = (IPluginFactory, IPluginFactory2, IPluginFactory3);
}

impl Factory {
    /// Writes what `make` gives for the class at `index` to `info`.
    ///
    /// # Safety
    /// `info` is null or a valid place.
    unsafe fn describe<T>(&self, index: int32, info: *mut T, make: impl FnOnce(&PluginInfo) -> T) -> tresult {
        if index != 0 || info.is_null() {
            return kInvalidArgument;
        }
        // SAFETY: not null, hence valid by the caller's word.
        unsafe { info.write(make(&self.info)) };
        kResultOk
    }
}

impl IPluginFactoryTrait for Factory {
    unsafe fn getFactoryInfo(&self, info: *mut PFactoryInfo) -> tresult {
        // SAFETY: the host gives null or a valid place.
        unsafe { self.describe(0, info, PluginInfo::create_factory_info) }
    }

    unsafe fn countClasses(&self) -> int32 {
        1
    }

    unsafe fn getClassInfo(&self, index: int32, info: *mut PClassInfo) -> tresult {
        // SAFETY: the host gives null or a valid place.
        unsafe { self.describe(index, info, PluginInfo::create_class_info) }
    }

    unsafe fn createInstance(&self, cid: FIDString, iid: FIDString, obj: *mut *mut c_void) -> tresult {
        if cid.is_null() || iid.is_null() || obj.is_null() {
            return kInvalidArgument;
        }
        // SAFETY: not null, and by the interface's contract the 16 bytes of a class id.
        if unsafe { &*cid.cast::<[u8; 16]>() } != self.info.cid {
            return kInvalidArgument;
        }
        let shim = ProcessorShim::offer();
        let instance = ComWrapper::new(Wrapper::<Underscore>::new());
        shim.install(&instance);
        let Some(unknown) = instance.as_com_ref::<FUnknown>() else { return kInvalidArgument };
        let unknown = unknown.as_ptr();
        // SAFETY: the object lives, its vtable is that of its class, and `iid` and `obj` are valid by the interface's contract.
        // The host's reference is the one that this call adds.
        unsafe { ((*(*unknown).vtbl).queryInterface)(unknown, iid.cast::<TUID>(), obj) }
    }
}

impl IPluginFactory2Trait for Factory {
    unsafe fn getClassInfo2(&self, index: int32, info: *mut PClassInfo2) -> tresult {
        // SAFETY: the host gives null or a valid place.
        unsafe { self.describe(index, info, PluginInfo::create_class_info_2) }
    }
}

impl IPluginFactory3Trait for Factory {
    unsafe fn getClassInfoUnicode(&self, index: int32, info: *mut PClassInfoW) -> tresult {
        // SAFETY: the host gives null or a valid place.
        unsafe { self.describe(index, info, PluginInfo::create_class_info_unicode) }
    }

    unsafe fn setHostContext(&self, _context: *mut FUnknown) -> tresult {
        kResultOk
    }
}

/// The VST3 entry point: a factory with one reference, the host's.
#[unsafe(no_mangle)]
pub extern "system" fn GetPluginFactory() -> *mut c_void {
    let factory = ComWrapper::new(Factory { info: PluginInfo::for_plugin::<Underscore>() });
    factory.to_com_ptr::<IPluginFactory>().map_or(std::ptr::null_mut(), |factory| factory.into_raw().cast())
}

fn module_entry() -> bool {
    nice_plug::wrapper::setup_logger::<Underscore>();
    true
}

/// Called by the host when the module is loaded (Linux).
#[cfg(all(target_family = "unix", not(target_os = "macos")))]
#[unsafe(no_mangle)]
pub extern "C" fn ModuleEntry(_library: *mut c_void) -> bool {
    module_entry()
}

/// Called by the host before the module is unloaded (Linux).
#[cfg(all(target_family = "unix", not(target_os = "macos")))]
#[unsafe(no_mangle)]
pub extern "C" fn ModuleExit() -> bool {
    true
}

/// Called by the host when the module is loaded (macOS).
#[cfg(target_os = "macos")]
#[unsafe(no_mangle)]
pub extern "C" fn bundleEntry(_bundle: *mut c_void) -> bool {
    module_entry()
}

/// Called by the host before the module is unloaded (macOS).
#[cfg(target_os = "macos")]
#[unsafe(no_mangle)]
pub extern "C" fn bundleExit() -> bool {
    true
}

/// Called by the host when the module is loaded (Windows).
#[cfg(target_os = "windows")]
#[unsafe(no_mangle)]
pub extern "system" fn InitDll() -> bool {
    module_entry()
}

/// Called by the host before the module is unloaded (Windows).
#[cfg(target_os = "windows")]
#[unsafe(no_mangle)]
pub extern "system" fn ExitDll() -> bool {
    true
}
