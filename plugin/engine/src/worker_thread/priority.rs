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
//!
//! Among workers those with the shorter deadlines go first (rate-monotonic, Liu and Layland 1973): a call of a model for mixing may take longer than
//! one of a model on air may wait.
//!
//! So it is on Linux. Windows and macOS keep what they raise from taking the machine, and their audio threads ahead of it: there the first
//! and the third of these hold.

#[cfg_attr(target_os = "linux", path = "priority/linux.rs")]
#[cfg_attr(target_os = "macos", path = "priority/macos.rs")]
#[cfg_attr(windows, path = "priority/windows.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "macos", windows)), path = "priority/other.rs")]
mod system;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use system::Scheduling;

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

/// A shorter deadline is that of a model for use on air: calls of others take as long.
const SHORT_DEADLINE: Duration = Duration::from_millis(40);

/// How urgent is what the worker is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// As urgent as any other thread of the process: a call that the audio thread waits for, or a model to be opened.
    Ordinary,
    /// Before all ordinary threads, where they allow for it: a call with a deadline, or the pause before one, which must not be
    /// longer than it is, with what is done in it.
    RealTime,
    /// The same where the deadline is short: before other workers, too.
    Soonest,
}

impl Urgency {
    /// That of a call which has so long.
    pub fn with_deadline(deadline: Duration) -> Self {
        if deadline < SHORT_DEADLINE { Self::Soonest } else { Self::RealTime }
    }
}

/// The scheduling of the thread that made it.
pub struct Priority {
    now: Urgency,
    share: Share,
    /// None, where the system does not say, or has refused another one.
    ordinary: Option<Scheduling>,
}

impl Priority {
    /// As the thread is scheduled now; a thread that was started by an audio thread, and has its priority from there, becomes an ordinary one.
    pub fn of_this_thread() -> Self {
        let mut own = Self {
            now: Urgency::Ordinary,
            share: Share::new(),
            ordinary: Scheduling::of_this_thread().map(Scheduling::or_ordinary),
        };
        // Where this is refused, it says so.
        let _ = own.apply(Urgency::Ordinary);
        own
    }

    /// Schedules the thread for what it is to do next. Asks the system only where something changes; what it refuses once is not asked for again.
    pub fn set(&mut self, urgency: Urgency) {
        let is_small = self.share.is_small();
        let is_raised = urgency > Urgency::Ordinary && is_small && system::may_be_restless() && has_audio_thread();
        let wanted = if is_raised { urgency } else { Urgency::Ordinary };
        if wanted != self.now && self.apply(wanted) {
            self.now = wanted;
        }
    }

    /// There was no call for a while, or what ran was none: others may run as much, and what counts is what it runs from now on.
    pub fn rest(&mut self) {
        self.share.restart();
    }

    /// As if it had run for so much of the time.
    #[cfg(test)]
    pub fn pretend_to_run(&mut self, permille: u32) {
        self.share.publish(permille);
    }

    /// What counts for this worker among all, thousandths of one processor.
    #[cfg(test)]
    pub fn running_permille(&self) -> u32 {
        self.share.permille
    }

    fn apply(&mut self, wanted: Urgency) -> bool {
        let Some(ordinary) = self.ordinary else { return false };
        let scheduling = match wanted {
            Urgency::Ordinary => ordinary,
            Urgency::RealTime => Scheduling::RAISED,
            Urgency::Soonest => Scheduling::FIRST,
        };
        let Err(error) = scheduling.apply() else { return true };
        if wanted > Urgency::Ordinary {
            tracing::info!("the worker stays an ordinary thread: {error}");
            self.ordinary = None;
        } else {
            tracing::warn!("the worker stays ahead of ordinary threads: {error}");
        }
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
    let found = system::has_thread_above();
    *searched = Some((Instant::now(), found));
    FOUND.store(found, Ordering::Relaxed);
    found
}

/// Processor time of the calling thread; none, where the system does not say.
fn thread_cpu_time() -> Duration {
    ThreadTime::try_now().map_or(Duration::ZERO, |time| time.as_duration())
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
        Self { num_processors, begin: Instant::now(), cpu_at_begin: thread_cpu_time(), permille: 0 }
    }

    fn is_small(&mut self) -> bool {
        let passed = self.begin.elapsed();
        if passed >= WINDOW {
            let cpu = thread_cpu_time();
            let running = cpu.saturating_sub(self.cpu_at_begin).as_secs_f64() / passed.as_secs_f64();
            self.publish((1e3 * running) as u32);
            (self.begin, self.cpu_at_begin) = (Instant::now(), cpu);
        }
        self.permille <= MOST_PERMILLE
            && RUNNING_PERMILLE.load(Ordering::Relaxed) <= MOST_PERMILLE * self.num_processors
    }

    /// Nothing was run, and a window begins.
    fn restart(&mut self) {
        self.publish(0);
        (self.begin, self.cpu_at_begin) = (Instant::now(), thread_cpu_time());
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::PoisonError;

    use super::*;

    fn policy() -> Option<libc::c_int> {
        Scheduling::of_this_thread().map(Scheduling::policy_number)
    }

    /// Longer than any search takes.
    const LONGEST_SEARCH: Duration = Duration::from_secs(5);

    /// Searches until the audio thread that is there now has been found. Until then another test may be in the middle of a search that began before
    /// there was one; whoever searches from then on finds it.
    fn search() {
        let began = Instant::now();
        loop {
            // What was seen before does not count.
            *SEARCHED.lock().unwrap_or_else(PoisonError::into_inner) = None;
            has_audio_thread();
            if matches!(*SEARCHED.lock().unwrap_or_else(PoisonError::into_inner), Some((_, true))) {
                return;
            }
            assert!(began.elapsed() < LONGEST_SEARCH, "an audio thread that is there is not found");
        }
    }

    /// Runs `look` while this process has an audio thread; not where the system grants none, which is said.
    fn beside_an_audio_thread(look: impl FnOnce()) {
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
        println!("real-time threads are granted: {is_granted}");
        if is_granted {
            search();
            look();
        }
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn a_worker_is_raised_beside_an_audio_thread_and_comes_back() {
        beside_an_audio_thread(|| {
            let before = policy();
            let mut priority = Priority::of_this_thread();
            priority.set(Urgency::RealTime);
            assert_eq!(policy(), Some(libc::SCHED_RR));
            let level = || Scheduling::of_this_thread().map(Scheduling::level);
            let ordinary_call = level();
            priority.set(Urgency::with_deadline(Duration::from_millis(22)));
            assert_eq!(policy(), Some(libc::SCHED_RR));
            assert!(level() > ordinary_call, "who has little time does not go first");
            priority.set(Urgency::with_deadline(Duration::from_millis(86)));
            assert_eq!(level(), ordinary_call);
            priority.set(Urgency::Ordinary);
            assert_eq!(policy(), before);
        });
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
        let audio_thread = std::thread::spawn(move || of_worker(Scheduling::RAISED.apply().is_ok()));
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
    fn what_was_run_before_a_rest_does_not_count() {
        let mut priority = Priority::of_this_thread();
        let (begin, much) = (thread_cpu_time(), WINDOW / 20);
        while thread_cpu_time() < begin + much {
            std::hint::spin_loop();
        }
        priority.pretend_to_run(150);
        let before = Instant::now();
        priority.rest();
        assert_eq!(priority.running_permille(), 0);
        let Share { begin: window, cpu_at_begin, .. } = priority.share;
        assert!(window >= before && cpu_at_begin >= begin + much, "it is measured from before the rest on");
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

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_raised_and_comes_back() {
        let mut priority = Priority::of_this_thread();
        let before = Scheduling::of_this_thread();
        priority.set(Urgency::RealTime);
        assert_eq!(Scheduling::of_this_thread(), Some(Scheduling::RAISED));
        priority.set(Urgency::Ordinary);
        assert_eq!(Scheduling::of_this_thread(), before);
    }

    #[test]
    fn a_worker_that_an_audio_thread_started_is_an_ordinary_thread() {
        Scheduling::RAISED.apply().unwrap();
        let _priority = Priority::of_this_thread();
        assert_ne!(Scheduling::of_this_thread(), Some(Scheduling::RAISED));
    }
}
