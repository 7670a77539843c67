//! What makes a thread an audio thread, as far as the system allows it.

use std::time::Duration;

/// How the system schedules a thread after [`raise_to_real_time`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// As an audio thread of a DAW.
    RealTime,
    /// As any other thread: the system did not grant more.
    Normal,
}

/// Asks for the scheduling of an audio thread (`SCHED_FIFO` at a low real-time priority, as `rtkit` grants it).
#[cfg(target_os = "linux")]
#[must_use]
pub fn raise_to_real_time() -> Priority {
    let param = libc::sched_param { sched_priority: 10 };
    // SAFETY: thread 0 is the calling one, and the structure outlives the call. RESET_ON_FORK keeps the priority from threads
    // that a plugin starts here.
    let status = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const param) };
    if status == 0 { Priority::RealTime } else { Priority::Normal }
}

/// Asks for the scheduling of an audio thread: not on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn raise_to_real_time() -> Priority {
    Priority::Normal
}

/// Makes this process one whose real-time threads may not run for long without a rest, as `rtkit` does: where the plugin's workers
/// are ordinary threads, because the system would kill the process for one that is not.
///
/// # Panics
/// Where the system refuses.
#[cfg(target_os = "linux")]
pub fn forbid_restless_threads() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives both calls. A minute is more than any audio thread here takes.
    let status = unsafe {
        libc::getrlimit(libc::RLIMIT_RTTIME, &raw mut limit);
        limit.rlim_cur = limit.rlim_max.min(60_000_000);
        libc::setrlimit(libc::RLIMIT_RTTIME, &raw const limit)
    };
    assert_eq!(status, 0, "the limit is not granted");
}

/// Makes this process one whose real-time threads may not run for long without a rest: not on this system.
#[cfg(not(target_os = "linux"))]
pub fn forbid_restless_threads() {}

/// Time that the calling thread has run on a processor, where the system tells.
#[cfg(target_os = "linux")]
pub(crate) fn thread_cpu_time() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock writes one timespec to a valid place.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    (status == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Time that the calling thread has run on a processor: not on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_cpu_time() -> Option<Duration> {
    None
}

/// How often the calling thread has given up its processor of its own accord, to wait for something, and how often it waited for a page
/// from a disk, which counts as that, too.
#[cfg(target_os = "linux")]
pub(crate) fn thread_waits() -> Option<[u64; 2]> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the system writes one `rusage` to a valid place, and zeros are one, too.
    let (status, usage) = unsafe { (libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()), usage.assume_init()) };
    (status == 0).then_some([usage.ru_nvcsw as u64, usage.ru_majflt as u64])
}

/// How often the calling thread has waited: not on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_waits() -> Option<[u64; 2]> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_waits_and_one_that_computes_does_not() {
        let waits_of = |work: &dyn Fn()| {
            let [before, _] = thread_waits().unwrap();
            work();
            thread_waits().unwrap()[0] - before
        };
        assert_eq!(waits_of(&|| std::thread::sleep(Duration::from_millis(1))), 1);
        assert_eq!(waits_of(&|| _ = std::hint::black_box((0..1_000_000_u64).sum::<u64>())), 0);
    }
}
