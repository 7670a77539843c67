//! Windows: one step or two above ordinary threads. Nobody has to grant it.

use std::io;

use windows_sys::Win32::System::Threading::{
    GetCurrentThread, GetThreadPriority, SetThreadPriority, THREAD_PRIORITY_ABOVE_NORMAL, THREAD_PRIORITY_HIGHEST,
    THREAD_PRIORITY_NORMAL,
};

/// What `GetThreadPriority` returns where it fails (`THREAD_PRIORITY_ERROR_RETURN`).
const FAILED: i32 = i32::MAX;

/// A thread's priority among those of its process' class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduling(i32);

impl Scheduling {
    /// Far below audio threads: those of the system's multimedia class have 23 and more where this is 9.
    pub const RAISED: Self = Self(THREAD_PRIORITY_ABOVE_NORMAL);

    /// Before those, too.
    pub const FIRST: Self = Self(THREAD_PRIORITY_HIGHEST);

    /// How the calling thread is scheduled.
    pub fn of_this_thread() -> Option<Self> {
        // SAFETY: the handle is the calling thread's own.
        let found = unsafe { GetThreadPriority(GetCurrentThread()) };
        (found != FAILED).then_some(Self(found))
    }

    /// Threads do not have the priority of the one that started them: what is above the ordinary one is not meant for the worker.
    pub fn or_ordinary(self) -> Self {
        Self(self.0.min(THREAD_PRIORITY_NORMAL))
    }

    /// Schedules the calling thread so.
    pub fn apply(self) -> io::Result<()> {
        // SAFETY: the handle is the calling thread's own.
        if unsafe { SetThreadPriority(GetCurrentThread(), self.0) } == 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

/// No limit is known.
pub fn may_be_restless() -> bool {
    true
}

/// Taken for granted: the multimedia class raises threads without it being seen in their priority.
pub fn has_thread_above() -> bool {
    true
}
