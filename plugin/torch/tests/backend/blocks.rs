//! Memory that calls compute with is kept for the next ones. The library's own test binary would not find libtorch, so its file is read
//! here, too.

#[path = "../../src/inference.rs"]
mod tested;

use std::sync::PoisonError;
use std::thread;

use crate::common::MEMORY;
use tch::{Device, Kind, Tensor};
use tested::Inference;

unsafe extern "C" {
    // Of `blocks.cpp`.
    safe fn underscore_keep_blocks();
    safe fn underscore_idle_bytes() -> usize;
}

/// Of sizes that no model asks for, so that tests beside these do not take what they give back: blocks of 21 MB, and of 29.
const LARGE: i64 = 4_600_000;
const LARGER: i64 = 6_600_000;

fn zeros(num_values: i64) -> Tensor {
    Tensor::zeros([num_values], (Kind::Float, Device::Cpu))
}

/// Whether a block that ended on another thread is the next one of its size here.
fn comes_back() -> bool {
    let first = {
        let _inference = Inference::begin();
        zeros(LARGE)
    };
    let place = first.data_ptr() as usize;
    thread::spawn(move || drop(first)).join().expect("a thread that ends");
    let _inference = Inference::begin();
    let second = zeros(LARGE);
    let beside = zeros(LARGE);
    assert_ne!(beside.data_ptr(), second.data_ptr(), "two tensors in one block");
    assert!(second.sum(Kind::Float).double_value(&[]) == 0.0, "what lay there before");
    second.data_ptr() as usize == place
}

#[test]
fn what_a_call_gave_back_is_taken_by_the_next_on_whatever_thread_it_ended() {
    underscore_keep_blocks();
    // Tests beside this one may fill what may lie idle, and then this size gives way.
    assert!((0..20).any(|_| comes_back()), "never");
}

#[test]
fn blocks_hold_what_was_asked_for_and_are_aligned() {
    underscore_keep_blocks();
    let _inference = Inference::begin();
    let mut sizes: Vec<i64> = (0..22).flat_map(|power| [-1, 0, 1].map(|more| ((1 << power) + more).max(1))).collect();
    sizes.extend([3, 5, 7, 9, 13, 19, 100, 1000, 10_000, 100_000]);
    let kept: Vec<Tensor> =
        sizes.iter().map(|&size| Tensor::full([size], size as f64, (Kind::Float, Device::Cpu))).collect();
    for (tensor, size) in kept.iter().zip(sizes) {
        assert_eq!(tensor.data_ptr() as usize % 64, 0, "{size} values");
        let (least, most) = (tensor.min().double_value(&[]), tensor.max().double_value(&[]));
        assert!(least == size as f64 && most == size as f64, "{size} values share memory with others");
    }
}

#[test]
fn what_lies_idle_is_bounded() {
    const MOST_BYTES: usize = 256 << 20;
    let _memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    underscore_keep_blocks();
    let _inference = Inference::begin();
    // 870 MB.
    drop((0..30).map(|_| zeros(LARGER)).collect::<Vec<_>>());
    let idle = underscore_idle_bytes();
    println!("{} MB idle", idle / 1_000_000);
    // Tests beside this one may have taken some of what gave way.
    assert!((MOST_BYTES / 2..=MOST_BYTES).contains(&idle), "{idle} bytes idle");
}
