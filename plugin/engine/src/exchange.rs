//! Two lock-free rings that carry the same few items to and fro between the audio thread and the worker.
//!
//! All items are made in `activate`. Whoever holds one owns it, so nothing is shared, copied or freed on the way. The audio thread keeps
//! those that are empty.

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// The audio thread's side.
pub struct AudioSide<T> {
    to_worker: HeapProd<T>,
    from_worker: HeapCons<T>,
    empty: Vec<T>,
}

/// The worker's side.
pub struct WorkerSide<T> {
    from_audio: HeapCons<T>,
    to_audio: HeapProd<T>,
}

/// Makes both sides; `items` are all there is, empty and with the audio thread.
pub fn exchange<T>(items: Vec<T>) -> (AudioSide<T>, WorkerSide<T>) {
    let (to_worker, from_audio) = HeapRb::new(items.len()).split();
    let (to_audio, from_worker) = HeapRb::new(items.len()).split();
    (AudioSide { to_worker, from_worker, empty: items }, WorkerSide { from_audio, to_audio })
}

impl<T> AudioSide<T> {
    /// Takes an empty item, if there is one.
    pub fn take_empty(&mut self) -> Option<T> {
        self.empty.pop()
    }

    /// Puts an item back among the empty ones. Never grows: there are no more than at the start.
    pub fn put_empty(&mut self, item: T) {
        self.empty.push(item);
    }

    /// Sends a filled item to the worker.
    pub fn send(&mut self, item: T) {
        // The ring has room for all there are, so this cannot fail; if it did, the item would go back among the empty.
        if let Err(item) = self.to_worker.try_push(item) {
            self.empty.push(item);
        }
    }

    /// Takes the next item that the worker is done with.
    pub fn receive(&mut self) -> Option<T> {
        self.from_worker.try_pop()
    }
}

impl<T> WorkerSide<T> {
    /// The oldest filled one, left where it is.
    pub fn next(&self) -> Option<&T> {
        self.from_audio.try_peek()
    }

    /// The oldest filled one.
    pub fn receive(&mut self) -> Option<T> {
        self.from_audio.try_pop()
    }

    /// Filled ones that wait.
    pub fn num_waiting(&self) -> usize {
        self.from_audio.occupied_len()
    }

    /// Hands one back.
    pub fn send(&mut self, item: T) {
        // The ring has room for all there are, so this cannot fail; if it did, the item would be freed here, which a worker may do.
        let _ = self.to_audio.try_push(item);
    }

    /// Whether the audio thread's side is gone.
    pub fn is_abandoned(&self) -> bool {
        !self.to_audio.read_is_held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_round_stays_in_order_and_nothing_is_lost() {
        let (mut audio, mut worker) = exchange(vec![(0_u64, 0_u64); 3]);
        let thread = std::thread::spawn(move || {
            let mut seen = 0;
            while seen < 1000 {
                if let Some((number, _)) = worker.receive() {
                    assert_eq!(number, seen);
                    worker.send((number, 2 * number));
                    seen += 1;
                }
            }
        });
        let (mut sent, mut received) = (0, 0);
        while received < 1000 {
            if sent < 1000
                && let Some((number, _)) = &mut audio.take_empty()
            {
                *number = sent;
                audio.send((*number, 0));
                sent += 1;
            }
            if let Some(item) = audio.receive() {
                assert_eq!(item, (received, 2 * received));
                audio.put_empty(item);
                received += 1;
            }
        }
        thread.join().unwrap();
        assert_eq!(audio.empty.len(), 3);
    }
}
