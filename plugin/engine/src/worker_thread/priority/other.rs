//! A system whose scheduling is not known: the worker stays what it is.

use std::io;

/// None that is known.
#[derive(Clone, Copy)]
pub struct Scheduling;

impl Scheduling {
    /// Never applied.
    pub const RAISED: Self = Self;

    /// Never applied.
    pub const FIRST: Self = Self;

    /// Not known.
    pub fn of_this_thread() -> Option<Self> {
        None
    }

    /// Not known.
    pub fn or_ordinary(self) -> Self {
        self
    }

    /// Not known.
    pub fn apply(self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Nothing is raised.
pub fn may_be_restless() -> bool {
    false
}

/// Nothing is raised.
pub fn has_thread_above() -> bool {
    false
}
