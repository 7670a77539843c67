//! Linux: a real-time policy, which a user may be granted.

use std::io;

/// The lowest ones: hosts give their audio threads more.
const REAL_TIME_PRIORITY: libc::c_int = 1;
const FIRST_PRIORITY: libc::c_int = 2;

/// A policy and its parameter, as `pthread_setschedparam` takes them.
#[derive(Clone, Copy)]
pub struct Scheduling {
    policy: libc::c_int,
    param: libc::sched_param,
}

impl Scheduling {
    /// Turn by turn with the workers of other instances.
    pub const RAISED: Self = Self::in_turn(REAL_TIME_PRIORITY);

    /// Before those, too.
    pub const FIRST: Self = Self::in_turn(FIRST_PRIORITY);

    const fn in_turn(sched_priority: libc::c_int) -> Self {
        Self { policy: libc::SCHED_RR, param: libc::sched_param { sched_priority } }
    }

    /// How the calling thread is scheduled.
    pub fn of_this_thread() -> Option<Self> {
        let mut found = Self { policy: 0, param: libc::sched_param { sched_priority: 0 } };
        // SAFETY: the calling thread exists, and both places live until the call returns.
        let status =
            unsafe { libc::pthread_getschedparam(libc::pthread_self(), &raw mut found.policy, &raw mut found.param) };
        (status == 0).then_some(found)
    }

    /// A thread that was started by an audio thread has its priority: the ordinary one is another.
    pub fn or_ordinary(self) -> Self {
        if matches!(self.policy, libc::SCHED_FIFO | libc::SCHED_RR) {
            Self { policy: libc::SCHED_OTHER, param: libc::sched_param { sched_priority: 0 } }
        } else {
            self
        }
    }

    /// `SCHED_OTHER`, `SCHED_RR`, ...
    #[cfg(test)]
    pub fn policy_number(self) -> libc::c_int {
        self.policy
    }

    /// Its real-time priority.
    #[cfg(test)]
    pub fn level(self) -> libc::c_int {
        self.param.sched_priority
    }

    /// Schedules the calling thread so.
    pub fn apply(self) -> io::Result<()> {
        // SAFETY: the calling thread exists, and the parameter lives until the call returns.
        let status = unsafe { libc::pthread_setschedparam(libc::pthread_self(), self.policy, &raw const self.param) };
        if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) }
    }
}

/// Whether raised threads of this process may run for as long as they like. It may change when a host opens its device.
pub fn may_be_restless() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the place lives until the call returns.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_RTTIME, &raw mut limit) };
    status == 0 && limit.rlim_cur == libc::RLIM_INFINITY
}

/// Whether a thread of this process has a higher real-time priority than a raised worker (proc(5), /proc/pid/stat, field 40).
pub fn has_thread_above() -> bool {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return false };
    let priority_of = |stat: String| -> Option<libc::c_int> {
        // The second field, the name, may hold spaces and brackets.
        stat.rsplit_once(')')?.1.split_whitespace().nth(37)?.parse().ok()
    };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
        .any(|stat| priority_of(stat).is_some_and(|other| other > FIRST_PRIORITY))
}
