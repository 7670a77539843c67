//! Weights of convolutions in the order that oneDNN works in on a processor. They stand in a module's code, and are found there
//! (`convolutions.cpp`), where `recurrent` is handed those of recurrent layers.

use std::ffi::c_void;
use std::ptr;

use tch::CModule;

unsafe extern "C" {
    // Of `convolutions.cpp`.
    fn underscore_pack_convolutions(module: *mut c_void) -> i64;
}

/// Packs the weights of the convolutions in `module`'s `forward`, those that are constants whose features are the last axis, and gives how many
/// there were; without oneDNN none. The module is on the processor and has not run: it would go on with the code that it ran.
///
/// What it gives is the same to a few bits: a convolution of few values, which libtorch would have done by itself, is oneDNN's then.
pub(crate) fn pack(module: &mut CModule) -> usize {
    // tch keeps libtorch's pointer to itself. In the release that `Cargo.toml` pins a `CModule` is that pointer and nothing else: to be looked at
    // again with another one.
    const { assert!(size_of::<CModule>() == size_of::<*mut c_void>()) };
    // SAFETY: a `CModule` holds a pointer to a `torch::jit::Module` and is no larger than one, so that it lies at its beginning. The module lives
    // as long as `module`, which is borrowed mutably: nobody else has it meanwhile. No exception leaves the function.
    let num_packed = unsafe { underscore_pack_convolutions(ptr::from_mut(module).cast::<*mut c_void>().read()) };
    usize::try_from(num_packed).unwrap_or(0)
}
