//! Devices, threads and the version of the libtorch that is really loaded.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::sync::{Once, OnceLock};

use tch::{Kind, Tensor};
use underscore_backend::Device;

use crate::card;
use crate::error::{BackendError, cause};

unsafe extern "C" {
    // Part of libtorch's stable C interface: major, minor and patch in the top three bytes.
    safe fn aoti_torch_abi_version() -> u64;
    // Of `unbound.cpp`.
    safe fn underscore_multiply_exactly();
    // Of `blocks.cpp`; only its first call does anything.
    safe fn underscore_keep_blocks();
}

/// The version of the libtorch in this process. It is not the one that tch is bound to where the host had opened another of the same
/// name before: callers compare it first of all.
pub(crate) fn runtime_version() -> &'static CStr {
    static VERSION: OnceLock<CString> = OnceLock::new();
    VERSION.get_or_init(|| {
        let [major, minor, patch, ..] = aoti_torch_abi_version().to_be_bytes();
        CString::new(format!("{major}.{minor}.{patch}")).unwrap_or_default()
    })
}

/// Sets libtorch up on the calling thread: one thread for every operation, as the audio of a host wants the other cores, and
/// TorchScript run as it was exported.
///
/// A shipped model is frozen already, and the optimising executor finds nothing more in it (measured: the same time per call, but
/// two slow calls at the start instead of one, and 8 MB more). Without it a stream's first call gives the same bits as its last.
/// Both settings are the thread's own, so every thread that runs inference passes here; only its first call does anything.
pub(crate) fn prepare_thread() {
    static INTER_OP: Once = Once::new();
    thread_local! {
        static PREPARED: Cell<bool> = const { Cell::new(false) };
    }
    underscore_keep_blocks();
    INTER_OP.call_once(|| {
        // Settable once per process: a host with libtorch of its own may have been there first.
        if tch::get_num_interop_threads() != 1 {
            let _ = std::panic::catch_unwind(|| tch::set_num_interop_threads(1));
        }
    });
    PREPARED.with(|prepared| {
        if !prepared.replace(true) {
            tch::set_num_threads(1);
            tch::jit::set_graph_executor_optimize(false);
        }
    });
}

/// The libtorch device, on which something was done: a card may have gone since it was found, or hang in this. See [`card::open`].
pub(crate) fn open(device: Device) -> Result<tch::Device, BackendError> {
    let device = find(device)?;
    if device.is_cuda() {
        let there_and_back =
            Tensor::f_zeros([1], (Kind::Float, device)).and_then(|zero| zero.f_to_device(tch::Device::Cpu));
        let failed = |error| BackendError::NoDevice { reason: format!("the graphics card fails: {}", cause(&error)) };
        drop(there_and_back.map_err(failed)?);
    }
    Ok(device)
}

/// The name of a device that is there. Of a card that hangs by now it is told, too: whoever opens it is told why not.
pub(crate) fn probe(device: Device) -> Result<&'static str, BackendError> {
    if device == Device::CUDA && FOUND_CUDA.get().is_none() {
        card::open(move || find(device))?;
    }
    find(device).map(|device| if device.is_cuda() { "first CUDA device" } else { "processor, one thread" })
}

fn find(device: Device) -> Result<tch::Device, BackendError> {
    match device {
        Device::CPU | Device::CPU_AS_CARD => Ok(tch::Device::Cpu),
        Device::CUDA => {
            cuda().clone().map(|()| tch::Device::Cuda(0)).map_err(|reason| BackendError::NoDevice { reason })
        }
        Device(number) => Err(BackendError::NoDevice { reason: format!("device number {number} is not known") }),
    }
}

/// Whether there is CUDA; nothing while nobody has looked for it.
static FOUND_CUDA: OnceLock<Result<(), String>> = OnceLock::new();

/// Opens the NVIDIA driver and libtorch's CUDA half, once per process; afterwards libtorch knows CUDA devices.
fn cuda() -> &'static Result<(), String> {
    FOUND_CUDA.get_or_init(|| {
        open_cuda_libraries()?;
        underscore_multiply_exactly();
        if tch::Cuda::is_available() {
            Ok(())
        } else {
            Err("the NVIDIA driver is there, but finds no usable device".to_owned())
        }
    })
}

#[cfg(unix)]
fn open_cuda_libraries() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    // The driver first: without it the 1.5 GB of libtorch_cuda would be mapped for nothing.
    for (name, meaning) in
        [("libcuda.so.1", "no NVIDIA driver"), ("libtorch_cuda.so", "no CUDA libraries for libtorch")]
    {
        // SAFETY: both are libraries whose initialisers are meant to run when they are opened; the flags are valid for dlopen.
        let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) }
            .map_err(|error| format!("{meaning}: {error}"))?;
        // Registered with libtorch for the life of the process: never closed.
        std::mem::forget(library);
    }
    Ok(())
}

#[cfg(windows)]
fn open_cuda_libraries() -> Result<(), String> {
    use libloading::os::windows::{LOAD_LIBRARY_SEARCH_SYSTEM32, LOAD_LIBRARY_SEARCH_USER_DIRS, Library};

    let places = LOAD_LIBRARY_SEARCH_USER_DIRS | LOAD_LIBRARY_SEARCH_SYSTEM32;

    for (name, meaning) in [("nvcuda.dll", "no NVIDIA driver"), ("torch_cuda.dll", "no CUDA libraries for libtorch")] {
        // In the system's folder the one, in that of libtorch the other, which the engine named to the loader.
        // SAFETY: both are libraries whose initialisers are meant to run when they are opened.
        let library =
            unsafe { Library::load_with_flags(name, places) }.map_err(|error| format!("{meaning}: {error}"))?;
        // Registered with libtorch for the life of the process: never closed.
        std::mem::forget(library);
    }
    Ok(())
}
