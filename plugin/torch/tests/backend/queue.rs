//! Which calls are run at once. The library's own test binary would not find libtorch, so its file is read here, too.

#[path = "../../src/queue.rs"]
mod tested;

use std::collections::VecDeque;
pub(crate) use tested::{Size, take_batch};

/// A call of so many channels and frames, named by its place.
type Call = (usize, Size);

fn calls(sizes: &[(usize, usize)]) -> VecDeque<Call> {
    let size = |&(num_channels, num_frames)| Size { model: Some(1), num_channels, num_frames };
    sizes.iter().map(size).enumerate().collect()
}

/// The places of the calls of each batch, until none waits.
fn batches(sizes: &[(usize, usize)], most_calls: usize, most_channels: usize) -> Vec<Vec<usize>> {
    let mut waiting = calls(sizes);
    let mut found = Vec::new();
    while !waiting.is_empty() {
        let batch = take_batch(&mut waiting, most_calls, most_channels, |(_, size)| *size);
        found.push(batch.into_iter().map(|(place, _)| place).collect());
    }
    found
}

#[test]
fn what_waits_is_one_batch_in_the_order_in_which_it_came() {
    assert_eq!(batches(&[(1, 8), (2, 8), (1, 8)], 9, 9), [[0, 1, 2]]);
    assert!(batches(&[], 9, 9).is_empty());
}

#[test]
fn calls_of_other_models_and_those_that_run_by_themselves_are_batches_of_their_own_in_turn() {
    let of = |model| Size { model, num_channels: 1, num_frames: 8 };
    let models = [Some(1), Some(2), None, Some(1), None, Some(2)];
    let mut waiting: VecDeque<Call> = models.into_iter().map(of).enumerate().collect();
    let mut found = Vec::new();
    while !waiting.is_empty() {
        let batch = take_batch(&mut waiting, 9, 9, |(_, size)| *size);
        found.push(batch.into_iter().map(|(place, _)| place).collect::<Vec<_>>());
    }
    assert_eq!(found, [vec![0, 3], vec![1, 5], vec![2], vec![4]]);
}

#[test]
fn calls_of_other_lengths_wait_for_each_other_and_nobody_for_ever() {
    let sizes = [(1, 8), (1, 16), (1, 8), (1, 16), (1, 8)];
    assert_eq!(batches(&sizes, 9, 9), [vec![0, 2, 4], vec![1, 3]]);
}

#[test]
fn a_batch_has_at_most_so_many_calls_and_channels_but_one_call() {
    assert_eq!(batches(&[(1, 8); 5], 2, 9), [vec![0, 1], vec![2, 3], vec![4]]);
    assert_eq!(batches(&[(2, 8), (2, 8), (1, 8), (9, 8)], 9, 3), [vec![0, 2], vec![1], vec![3]]);
    assert_eq!(batches(&[(1, 8); 2], 0, 9), [[0], [1]], "who is next is never left out");
}
