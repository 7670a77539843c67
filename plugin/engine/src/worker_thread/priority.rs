//! How the system schedules the worker: ahead of everything that is no audio thread, while somebody listens and it keeps up.
//!
//! Beside two busy programs on two cores an ordinary thread's calls take ten times as long. But a thread ahead of all others that
//! does not rest takes the machine from the person in front of it, and a bounce does not rest, nor does a worker that is behind.

/// How urgent the next call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// As urgent as any other thread of the process.
    Ordinary,
    /// Before all ordinary threads, behind the audio threads.
    RealTime,
}

impl Urgency {
    /// Of a call that an audio thread waits for, or not, with `num_waiting` more behind it.
    pub fn of(is_waited_for: bool, num_waiting: usize) -> Self {
        if is_waited_for || num_waiting > 0 { Self::Ordinary } else { Self::RealTime }
    }
}

/// The scheduling of the thread that made it. Asks the system only where something changes, and only once for what it refuses.
pub struct Priority {
    now: Urgency,
    #[cfg(unix)]
    ordinary: Option<unix::Scheduling>,
}

impl Priority {
    /// As the thread is scheduled now.
    pub fn of_this_thread() -> Self {
        Self {
            now: Urgency::Ordinary,
            #[cfg(unix)]
            ordinary: unix::may_be_raised().then(unix::Scheduling::of_this_thread).flatten(),
        }
    }

    /// Schedules the thread for what comes next. Where the system grants nothing, nothing changes.
    #[cfg(unix)]
    pub fn set(&mut self, urgency: Urgency) {
        let Some(ordinary) = self.ordinary.filter(|_| urgency != self.now) else { return };
        let wanted = if urgency == Urgency::RealTime { unix::Scheduling::REAL_TIME } else { ordinary };
        if let Err(error) = wanted.apply() {
            tracing::info!("the worker runs as an ordinary thread: {error}");
            self.ordinary = None;
        } else {
            self.now = urgency;
        }
    }

    /// Schedules the thread for what comes next: not on this system.
    #[cfg(not(unix))]
    pub fn set(&mut self, urgency: Urgency) {
        self.now = urgency;
    }
}

#[cfg(unix)]
mod unix {
    use std::io;

    /// A policy and its parameter, as `pthread_setschedparam` takes them.
    #[derive(Clone, Copy)]
    pub struct Scheduling {
        policy: libc::c_int,
        param: libc::sched_param,
    }

    impl Scheduling {
        /// The lowest real-time priority, turn by turn with the workers of other instances: hosts give their audio threads more.
        pub const REAL_TIME: Self = Self { policy: libc::SCHED_RR, param: libc::sched_param { sched_priority: 1 } };

        /// How the calling thread is scheduled.
        pub fn of_this_thread() -> Option<Self> {
            let mut found = Self { policy: 0, param: libc::sched_param { sched_priority: 0 } };
            // SAFETY: the calling thread exists, and both places live until the call returns.
            let status = unsafe {
                libc::pthread_getschedparam(libc::pthread_self(), &raw mut found.policy, &raw mut found.param)
            };
            (status == 0).then_some(found)
        }

        /// `SCHED_OTHER`, `SCHED_RR`, ...
        #[cfg(test)]
        pub fn policy_number(self) -> libc::c_int {
            self.policy
        }

        /// Schedules the calling thread so.
        pub fn apply(self) -> io::Result<()> {
            // SAFETY: the calling thread exists, and the parameter lives until the call returns.
            let status =
                unsafe { libc::pthread_setschedparam(libc::pthread_self(), self.policy, &raw const self.param) };
            if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) }
        }
    }

    /// Whether a thread may be raised without danger. A process whose real-time threads have only so much time at a stretch (as
    /// rtkit sets it) is killed by the system when one exceeds it, and the host with it.
    #[cfg(target_os = "linux")]
    pub fn may_be_raised() -> bool {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the place lives until the call returns.
        let status = unsafe { libc::getrlimit(libc::RLIMIT_RTTIME, &raw mut limit) };
        status == 0 && limit.rlim_cur == libc::RLIM_INFINITY
    }

    #[cfg(not(target_os = "linux"))]
    pub fn may_be_raised() -> bool {
        // The other systems' real-time threads with a deadline of their own are not what `pthread` offers.
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_waited_for_or_has_others_behind_it_is_ordinary() {
        assert_eq!(Urgency::of(false, 0), Urgency::RealTime);
        assert_eq!(Urgency::of(true, 0), Urgency::Ordinary);
        assert_eq!(Urgency::of(false, 1), Urgency::Ordinary);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_raised_thread_comes_back_to_where_it_was() {
        let policy = || unix::Scheduling::of_this_thread().map(unix::Scheduling::policy_number);
        let before = policy();
        let mut priority = Priority::of_this_thread();
        priority.set(Urgency::RealTime);
        let raised = policy();
        // Without the right to it the thread stays as it was.
        assert!(raised == Some(libc::SCHED_RR) || raised == before, "{raised:?}");
        priority.set(Urgency::Ordinary);
        assert_eq!(policy(), before);
        println!("raised: {}", raised != before);
    }
}
