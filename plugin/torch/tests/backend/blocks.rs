//! Memory that calls compute with is kept for the next ones. The library's own test binary would not find libtorch, so its file is read
//! here, too.

#[path = "../../src/inference.rs"]
mod tested;

use std::thread;

use tch::{Device, Kind, Tensor};
use tested::Inference;

unsafe extern "C" {
    // Of `blocks.cpp`.
    safe fn underscore_keep_blocks();
}

/// Of a size that no model asks for, so that tests beside this one do not take it.
fn large() -> Tensor {
    const NUM_VALUES: i64 = 4_600_000;
    Tensor::zeros([NUM_VALUES], (Kind::Float, Device::Cpu))
}

#[test]
fn what_a_call_gave_back_is_taken_by_the_next_on_whatever_thread_it_ended() {
    underscore_keep_blocks();
    let first = {
        let _inference = Inference::begin();
        large()
    };
    let place = first.data_ptr() as usize;
    thread::spawn(move || drop(first)).join().expect("a thread that ends");
    let _inference = Inference::begin();
    let second = large();
    assert_eq!(second.data_ptr() as usize, place);
    let beside = large();
    assert_ne!(beside.data_ptr() as usize, place, "two tensors in one block");
    assert!(second.sum(Kind::Float).double_value(&[]) == 0.0, "what lay there before");
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

#[cfg(target_os = "linux")]
#[test]
fn what_lies_idle_is_bounded() {
    fn resident_mb() -> f64 {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("this process");
        statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).expect("pages") * 4096.0 / 1e6
    }
    underscore_keep_blocks();
    let before = resident_mb();
    let _inference = Inference::begin();
    let taken: Vec<Tensor> = (0..60).map(|_| large()).collect();
    let at_most = resident_mb() - before;
    drop(taken);
    let kept = resident_mb() - before;
    println!("{at_most:.0} MB taken, {kept:.0} MB kept");
    // 60 blocks of 21 MB, of which 256 MB may lie idle; tests beside this one take some, too.
    assert!(at_most > 900.0 && kept < 600.0, "{at_most:.0} MB taken, {kept:.0} MB kept");
}
