//! Who runs a call, and who waits for it: of calls that come on many threads, at most so many run at a time, each on a thread that made one.
//!
//! Who finds a turn free takes it for its own call. Who does not, waits; and whoever is done hands its turn on, with a share of what waits by
//! then, to one of those, who runs them all. Whose patience is over first is next: calls are short and long, and may wait for as long.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::queue::{Size, take_batch};

/// Calls in a batch: few sizes, as a library may look for its way anew for each. oneDNN keeps what it found of a thousand shapes, and a model has
/// forty layers.
const BATCH_SIZES: [usize; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32];

/// Most channels in a batch: beyond that its memory leaves the caches, and its first call waits for the last.
const MOST_CHANNELS: usize = 32;

/// Turns of calls `C`, of which comes `F`, made by threads as urgent as `U`.
pub(crate) struct Turns<C, F, U> {
    queue: Mutex<Queue<C, F, U>>,
    num_turns: usize,
}

struct Queue<C, F, U> {
    waiting: VecDeque<Waiting<C, F, U>>,
    num_taken: usize,
    next_id: u64,
}

/// A call whose thread waits.
struct Waiting<C, F, U> {
    id: u64,
    call: C,
    size: Size,
    urgency: U,
    /// When its patience is over.
    until: Instant,
    turn: SyncSender<Turn<C, F, U>>,
}

/// What a waiting thread is told.
enum Turn<C, F, U> {
    /// Somebody ran its call.
    Done(F),
    /// It is to run its own, and these.
    Run(C, Vec<Waiting<C, F, U>>),
}

/// A call on its way in.
enum Entered<C, F, U> {
    /// The calling thread is to run it.
    Free(C),
    /// It is to wait, under this number.
    Waits(u64, Receiver<Turn<C, F, U>>),
}

impl<C, F, U: Ord + Copy> Turns<C, F, U> {
    /// At most `num_turns` at a time, but for those whose patience is over.
    pub(crate) fn new(num_turns: usize) -> Self {
        let queue = Queue { waiting: VecDeque::new(), num_taken: 0, next_id: 0 };
        Self { queue: Mutex::new(queue), num_turns: num_turns.max(1) }
    }

    /// What comes of `call`, which the calling thread or another one hands to `run`, with others or by itself. A call that has waited for
    /// `patience`, and is nobody's yet, is run beside those that have a turn, with others that it can be run with: they may be held up. None where
    /// whoever ran it gave up.
    pub(crate) fn run(
        &self,
        call: C,
        size: Size,
        urgency: U,
        patience: Duration,
        run: impl Fn(Vec<C>) -> Vec<F>,
    ) -> Option<F> {
        let (id, its_turn) = match self.enter(call, size, urgency, Instant::now() + patience) {
            Entered::Free(call) => return self.lead(call, Vec::new(), run),
            Entered::Waits(id, its_turn) => (id, its_turn),
        };
        let turn = match its_turn.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => match self.withdraw(id) {
                Some(mut batch) => {
                    let own = batch.remove(0);
                    return self.lead(own.call, batch, run);
                }
                None => its_turn.recv().ok(),
            },
            turn => turn.ok(),
        };
        match turn? {
            Turn::Done(found) => Some(found),
            Turn::Run(own, others) => self.lead(own, others, run),
        }
    }

    /// Calls that wait.
    #[allow(dead_code, reason = "the tests look in here; they lie in tests/")]
    pub(crate) fn num_waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Turns that are taken, those of whose patience is over included.
    #[allow(dead_code, reason = "the tests look in here; they lie in tests/")]
    pub(crate) fn num_taken(&self) -> usize {
        self.lock().num_taken
    }

    fn enter(&self, call: C, size: Size, urgency: U, until: Instant) -> Entered<C, F, U> {
        let mut queue = self.lock();
        if queue.num_taken < self.num_turns {
            queue.num_taken += 1;
            return Entered::Free(call);
        }
        let (turn, its_turn) = sync_channel(1);
        let id = queue.next_id;
        queue.next_id += 1;
        queue.waiting.push_back(Waiting { id, call, size, urgency, until, turn });
        Entered::Waits(id, its_turn)
    }

    /// The call of this number, first, with a turn of its own, and those that go with it, if it waits still.
    fn withdraw(&self, id: u64) -> Option<Vec<Waiting<C, F, U>>> {
        let mut queue = self.lock();
        let place = queue.waiting.iter().position(|waiting| waiting.id == id)?;
        queue.num_taken += 1;
        Some(self.take(&mut queue, place))
    }

    /// What waits at `place`, first, and what is run with it.
    fn take(&self, queue: &mut Queue<C, F, U>, place: usize) -> Vec<Waiting<C, F, U>> {
        // The others take theirs of what is left: batches become smaller, so that what follows a call is done for the first while the last
        // are run. In two equal ones 20 instances of `Music 5` on two processors had more late frames.
        let share = queue.waiting.len().div_ceil(self.num_turns);
        let most_calls = BATCH_SIZES.iter().rev().find(|size| **size <= share).map_or(1, |size| *size);
        if let Some(first) = queue.waiting.remove(place) {
            queue.waiting.push_front(first);
        }
        take_batch(&mut queue.waiting, most_calls, MOST_CHANNELS, |waiting| waiting.size)
    }

    /// Runs a call and others in the turn that the calling thread has.
    fn lead(&self, own: C, others: Vec<Waiting<C, F, U>>, run: impl Fn(Vec<C>) -> Vec<F>) -> Option<F> {
        let turn = Taken(self);
        let mut calls = vec![own];
        let mut their_turns = Vec::with_capacity(others.len());
        for Waiting { call, turn, .. } in others {
            calls.push(call);
            their_turns.push(turn);
        }
        let mut found = run(calls).into_iter();
        let of_own = found.next();
        // First of all: those that are woken below may be ahead of this thread.
        drop(turn);
        for (turn, found) in their_turns.into_iter().zip(found) {
            let _ = turn.send(Turn::Done(found));
        }
        of_own
    }

    fn lock(&self) -> MutexGuard<'_, Queue<C, F, U>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is next, and with whom; nobody where the turn is over.
    fn next(&self) -> Option<Vec<Waiting<C, F, U>>> {
        let mut queue = self.lock();
        if queue.num_taken > self.num_turns || queue.waiting.is_empty() {
            queue.num_taken -= 1;
            return None;
        }
        let has_least_time = (0..queue.waiting.len()).min_by_key(|place| queue.waiting[*place].until);
        Some(self.take(&mut queue, has_least_time.unwrap_or(0)))
    }
}

/// A turn, handed on when it is dropped.
struct Taken<'a, C, F, U: Ord + Copy>(&'a Turns<C, F, U>);

impl<C, F, U: Ord + Copy> Drop for Taken<'_, C, F, U> {
    fn drop(&mut self) {
        while let Some(mut batch) = self.0.next() {
            // Whoever runs it holds up all of them: the one that the system runs first.
            let most_urgent = (0..batch.len()).max_by_key(|place| (batch[*place].urgency, usize::MAX - place));
            let Waiting { call, turn, .. } = batch.remove(most_urgent.unwrap_or(0));
            let Err(unheard) = turn.send(Turn::Run(call, batch)) else { return };
            // Its thread is gone. The others are next.
            if let Turn::Run(_, others) = unheard.0 {
                let mut queue = self.0.lock();
                others.into_iter().rev().for_each(|waiting| queue.waiting.push_front(waiting));
            }
        }
    }
}
