//! How the system schedules the worker: ahead of ordinary threads, behind the audio threads, while somebody listens.
//!
//! Beside two busy programs on two cores an ordinary thread's calls take ten times as long. But a thread ahead of others can take
//! the machine from the person in front of it, and the sound from a host whose own audio thread is an ordinary one. So the worker
//! is raised only where all of this holds:
//!
//! - nobody waits for it: a host that bounces hands over call after call, and rests no more than the worker;
//! - some thread of the process has a higher real-time priority: the host's audio thread is ahead of it;
//! - it runs for less than half of the time, and all workers together for less than half of what the processors have;
//! - the system does not end a process whose real-time threads do not rest (`RLIMIT_RTTIME`, which rtkit sets).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

/// The most that a raised worker may run, and that all workers may per processor, of the time, thousandths.
const MOST_PERMILLE: u32 = 500;

/// Over this long it is measured how much the worker runs.
const WINDOW: Duration = Duration::from_secs(1);

/// So often the process is searched for an audio thread: while there is none, and whether it is still there.
const SEARCH_EVERY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// When it was searched, and whether one was found: once for all workers.
static SEARCHED: Mutex<Option<(Instant, bool)>> = Mutex::new(None);

/// Whether one was found when it was searched last.
static FOUND: AtomicBool = AtomicBool::new(false);

/// What all workers of the process run, thousandths of one processor.
static RUNNING_PERMILLE: AtomicU32 = AtomicU32::new(0);

/// How urgent is what the worker is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// As urgent as any other thread of the process: a call that the audio thread waits for, or a model to be opened.
    Ordinary,
    /// Before all ordinary threads, where they allow for it: a call with a deadline, or the pause before one, which must not be
    /// longer than it is, with what is done in it.
    RealTime,
}

/// The scheduling of the thread that made it.
pub struct Priority {
    now: Urgency,
    share: Share,
    #[cfg(target_os = "linux")]
    ordinary: Option<system::Scheduling>,
}

impl Priority {
    /// As the thread is scheduled now; a thread that was started by an audio thread, and has its priority from there, becomes an ordinary one.
    pub fn of_this_thread() -> Self {
        let mut own = Self {
            now: Urgency::Ordinary,
            share: Share::new(),
            #[cfg(target_os = "linux")]
            ordinary: system::Scheduling::of_this_thread().map(system::Scheduling::or_ordinary),
        };
        // Where this is refused, it says so.
        let _ = own.apply(Urgency::Ordinary);
        own
    }

    /// Schedules the thread for what it is to do next. Asks the system only where something changes; what it refuses once is not asked for again.
    pub fn set(&mut self, urgency: Urgency) {
        let is_small = self.share.is_small();
        let is_raised = urgency == Urgency::RealTime && is_small && system::may_be_restless() && has_audio_thread();
        let wanted = if is_raised { Urgency::RealTime } else { Urgency::Ordinary };
        if wanted != self.now && self.apply(wanted) {
            self.now = wanted;
        }
    }

    /// There was no call for a while: what this worker ran, others may.
    pub fn rest(&mut self) {
        self.share.publish(0);
    }

    #[cfg(target_os = "linux")]
    fn apply(&mut self, wanted: Urgency) -> bool {
        let Some(ordinary) = self.ordinary else { return false };
        let scheduling = if wanted == Urgency::RealTime { system::Scheduling::REAL_TIME } else { ordinary };
        let Err(error) = scheduling.apply() else { return true };
        if wanted == Urgency::RealTime {
            tracing::info!("the worker stays an ordinary thread: {error}");
            self.ordinary = None;
        } else {
            tracing::warn!("the worker stays ahead of ordinary threads: {error}");
        }
        false
    }

    #[cfg(not(target_os = "linux"))]
    fn apply(&mut self, _: Urgency) -> bool {
        false
    }
}

fn has_audio_thread() -> bool {
    let mut searched = match SEARCHED.try_lock() {
        Ok(searched) => searched,
        Err(TryLockError::Poisoned(searched)) => searched.into_inner(),
        // Another worker is looking just now: a call is not to wait for what it finds.
        Err(TryLockError::WouldBlock) => return FOUND.load(Ordering::Relaxed),
    };
    if let Some((when, found)) = *searched
        && when.elapsed() < SEARCH_EVERY[usize::from(found)]
    {
        return found;
    }
    let found = system::has_thread_above(system::REAL_TIME_PRIORITY);
    *searched = Some((Instant::now(), found));
    FOUND.store(found, Ordering::Relaxed);
    found
}

/// How much of the time this thread runs.
struct Share {
    num_processors: u32,
    begin: Instant,
    cpu_at_begin: Duration,
    permille: u32,
}

impl Share {
    fn new() -> Self {
        let num_processors = std::thread::available_parallelism().map_or(1, |num| num.get() as u32);
        Self { num_processors, begin: Instant::now(), cpu_at_begin: system::thread_cpu_time(), permille: 0 }
    }

    fn is_small(&mut self) -> bool {
        let passed = self.begin.elapsed();
        if passed >= WINDOW {
            let cpu = system::thread_cpu_time();
            let running = cpu.saturating_sub(self.cpu_at_begin).as_secs_f64() / passed.as_secs_f64();
            self.publish((1e3 * running) as u32);
            (self.begin, self.cpu_at_begin) = (Instant::now(), cpu);
        }
        self.permille <= MOST_PERMILLE
            && RUNNING_PERMILLE.load(Ordering::Relaxed) <= MOST_PERMILLE * self.num_processors
    }

    /// Wrapping sums come out right, whatever the order of the workers.
    fn publish(&mut self, permille: u32) {
        RUNNING_PERMILLE.fetch_add(permille.wrapping_sub(self.permille), Ordering::Relaxed);
        self.permille = permille;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.publish(0);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::time::Duration;

    /// The lowest one: hosts give their audio threads more.
    pub const REAL_TIME_PRIORITY: libc::c_int = 1;

    /// A policy and its parameter, as `pthread_setschedparam` takes them.
    #[derive(Clone, Copy)]
    pub struct Scheduling {
        policy: libc::c_int,
        param: libc::sched_param,
    }

    impl Scheduling {
        /// Turn by turn with the workers of other instances.
        pub const REAL_TIME: Self =
            Self { policy: libc::SCHED_RR, param: libc::sched_param { sched_priority: REAL_TIME_PRIORITY } };

        /// How the calling thread is scheduled.
        pub fn of_this_thread() -> Option<Self> {
            let mut found = Self { policy: 0, param: libc::sched_param { sched_priority: 0 } };
            // SAFETY: the calling thread exists, and both places live until the call returns.
            let status = unsafe {
                libc::pthread_getschedparam(libc::pthread_self(), &raw mut found.policy, &raw mut found.param)
            };
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

        /// Schedules the calling thread so.
        pub fn apply(self) -> io::Result<()> {
            // SAFETY: the calling thread exists, and the parameter lives until the call returns.
            let status =
                unsafe { libc::pthread_setschedparam(libc::pthread_self(), self.policy, &raw const self.param) };
            if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) }
        }
    }

    /// Processor time of the calling thread.
    pub fn thread_cpu_time() -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the clock writes one timespec to a valid place.
        let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        if status == 0 { Duration::new(time.tv_sec as u64, time.tv_nsec as u32) } else { Duration::ZERO }
    }

    /// Whether real-time threads of this process may run for as long as they like. It may change when a host opens its device.
    pub fn may_be_restless() -> bool {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the place lives until the call returns.
        let status = unsafe { libc::getrlimit(libc::RLIMIT_RTTIME, &raw mut limit) };
        status == 0 && limit.rlim_cur == libc::RLIM_INFINITY
    }

    /// Whether a thread of this process has a higher real-time priority (proc(5), /proc/pid/stat, field 40).
    pub fn has_thread_above(priority: libc::c_int) -> bool {
        let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return false };
        let priority_of = |stat: String| -> Option<libc::c_int> {
            // The second field, the name, may hold spaces and brackets.
            stat.rsplit_once(')')?.1.split_whitespace().nth(37)?.parse().ok()
        };
        tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
            .any(|stat| priority_of(stat).is_some_and(|other| other > priority))
    }
}

/// A system whose threads all are ordinary: real-time threads of others have deadlines of their own, which `pthread` does not offer.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::time::Duration;

    pub const REAL_TIME_PRIORITY: i32 = 1;

    pub fn thread_cpu_time() -> Duration {
        Duration::ZERO
    }

    pub fn may_be_restless() -> bool {
        false
    }

    pub fn has_thread_above(_: i32) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn policy() -> Option<libc::c_int> {
        system::Scheduling::of_this_thread().map(system::Scheduling::policy_number)
    }

    /// Runs `look` while this process has an audio thread; `false` where the system grants none.
    fn beside_an_audio_thread(look: impl FnOnce()) -> bool {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (end, is_over) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let param = libc::sched_param { sched_priority: 10 };
            // SAFETY: the calling thread exists, and the parameter lives until the call returns.
            let status =
                unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_FIFO, &raw const param) };
            ready.send(status == 0).unwrap();
            // An error is the end, too.
            let _ = is_over.recv();
        });
        let is_granted = is_ready.recv().unwrap();
        if is_granted {
            // What was seen before it was there does not count.
            *SEARCHED.lock().unwrap() = None;
            look();
        }
        drop(end);
        thread.join().unwrap();
        is_granted
    }

    #[test]
    fn a_worker_is_raised_beside_an_audio_thread_and_comes_back() {
        let is_granted = beside_an_audio_thread(|| {
            let before = policy();
            let mut priority = Priority::of_this_thread();
            priority.set(Urgency::RealTime);
            assert_eq!(policy(), Some(libc::SCHED_RR));
            priority.set(Urgency::Ordinary);
            assert_eq!(policy(), before);
        });
        println!("real-time threads are granted: {is_granted}");
    }

    #[test]
    fn a_worker_that_an_audio_thread_started_is_an_ordinary_thread() {
        let of_worker = |is_granted: bool| {
            std::thread::spawn(|| {
                let before = policy();
                let _priority = Priority::of_this_thread();
                (before, policy())
            })
            .join()
            .map(|found| (is_granted, found))
        };
        let audio_thread = std::thread::spawn(move || of_worker(system::Scheduling::REAL_TIME.apply().is_ok()));
        let (is_granted, (before, after)) = audio_thread.join().unwrap().unwrap();
        println!("real-time threads are granted: {is_granted}");
        assert_eq!(before == Some(libc::SCHED_RR), is_granted, "a thread is scheduled as the one that started it");
        assert_eq!(after, Some(libc::SCHED_OTHER));
    }

    #[test]
    fn a_worker_that_hardly_rests_is_an_ordinary_thread() {
        beside_an_audio_thread(|| {
            let mut priority = Priority::of_this_thread();
            priority.set(Urgency::RealTime);
            priority.share.publish(MOST_PERMILLE + 1);
            priority.set(Urgency::RealTime);
            assert_ne!(policy(), Some(libc::SCHED_RR));
            priority.share.publish(10);
            priority.set(Urgency::RealTime);
            assert_eq!(policy(), Some(libc::SCHED_RR));
            priority.set(Urgency::Ordinary);
        });
    }

    #[test]
    fn the_share_is_that_of_the_time_that_passed() {
        let mut share = Share::new();
        let start = Instant::now();
        while start.elapsed() < WINDOW / 5 {
            std::hint::spin_loop();
        }
        std::thread::sleep((WINDOW + Duration::from_millis(20)).saturating_sub(start.elapsed()));
        assert!(share.is_small());
        println!("ran for {} thousandths", share.permille);
        assert!((20..=230).contains(&share.permille), "{}", share.permille);
    }
}
