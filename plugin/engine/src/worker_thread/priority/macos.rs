//! macOS: the class of what a person waits for, which runs on the fast cores. Nobody has to grant it.

use std::io;

use libc::qos_class_t;

/// A thread's quality of service.
#[derive(Clone, Copy)]
pub struct Scheduling(qos_class_t);

impl Scheduling {
    /// Below audio threads, whose deadlines (`THREAD_TIME_CONSTRAINT_POLICY`) come before any class.
    pub const RAISED: Self = Self(qos_class_t::QOS_CLASS_USER_INTERACTIVE);

    /// There is no class above it.
    pub const FIRST: Self = Self::RAISED;

    /// How the calling thread is scheduled.
    pub fn of_this_thread() -> Option<Self> {
        let mut class = qos_class_t::QOS_CLASS_UNSPECIFIED;
        let mut relative_priority = 0;
        // SAFETY: the calling thread exists, and both places live until the call returns.
        let status =
            unsafe { libc::pthread_get_qos_class_np(libc::pthread_self(), &raw mut class, &raw mut relative_priority) };
        (status == 0).then_some(Self(class))
    }

    /// No thread can be put back into no class: that of threads that ask for nothing is the default one.
    pub fn or_ordinary(self) -> Self {
        match self.0 {
            qos_class_t::QOS_CLASS_UNSPECIFIED | qos_class_t::QOS_CLASS_USER_INTERACTIVE => {
                Self(qos_class_t::QOS_CLASS_DEFAULT)
            }
            class => Self(class),
        }
    }

    /// Schedules the calling thread so.
    pub fn apply(self) -> io::Result<()> {
        // SAFETY: a thread may always choose its own class.
        let status = unsafe { libc::pthread_set_qos_class_self_np(self.0, 0) };
        if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) }
    }
}

/// No limit is known.
pub fn may_be_restless() -> bool {
    true
}

/// Taken for granted: a host's audio thread comes from the system's audio units, and has a deadline.
pub fn has_thread_above() -> bool {
    true
}
