//! Calls that nothing is ever derived from.

use std::ffi::c_void;
use std::marker::PhantomData;

unsafe extern "C" {
    // Of `unbound.cpp`.
    safe fn underscore_begin_inference() -> *mut c_void;
    fn underscore_end_inference(guard: *mut c_void);
}

/// While it lives libtorch keeps no account, on this thread, of which tensor is a view of which: of a call of 8 frames, four hundred of
/// whose eight hundred operations make views, that is a thirtieth of the time, and of a call of one frame a twelfth (`tch::no_grad_guard`
/// leaves that account on). What is made meanwhile may be written to only while one lives.
pub(crate) struct Inference {
    guard: *mut c_void,
    /// It is the thread's own: neither sent nor shared.
    _of_this_thread: PhantomData<*mut ()>,
}

impl Inference {
    pub(crate) fn begin() -> Self {
        Self { guard: underscore_begin_inference(), _of_this_thread: PhantomData }
    }
}

impl Drop for Inference {
    fn drop(&mut self) {
        // SAFETY: `guard` came from `underscore_begin_inference` on this thread, which `Self` cannot leave, and is given back once. Guards end
        // in the reverse of the order in which they began, as the scopes that hold them do.
        unsafe { underscore_end_inference(self.guard) }
    }
}
