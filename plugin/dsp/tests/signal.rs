//! Delay, sanitising, ramps and the packing of spectra.

use underscore_dsp::{Complex32, History, Ramp, link_rms, pack, sanitise};

mod common;

/// Block lengths between 0 and `max`, the same for the same seed, until they add up to `total`.
fn random_blocks(total: usize, max: usize, seed: u64) -> Vec<usize> {
    let mut left = total;
    let mut blocks = Vec::new();
    for value in common::noise(100 * total, seed) {
        let block = ((value.abs() * (max + 1) as f32) as usize).min(max).min(left);
        left -= block;
        blocks.push(block);
        if left == 0 {
            return blocks;
        }
    }
    panic!("{left} of {total} samples left over");
}

#[test]
fn a_history_that_is_read_behind_the_newest_block_is_an_exact_delay_at_random_block_sizes() {
    for delay in [0, 1, 2, 63, 64, 65, 1000, 8191] {
        for max_block in [1, 7, 64, 480, 4096] {
            let input = common::noise(10_000, 1);
            let mut output = vec![f32::NAN; input.len()];
            let mut history = History::new(delay + max_block);
            let mut done = 0;
            for block in random_blocks(input.len(), max_block, 2) {
                history.push(&input[done..done + block]);
                history.copy(delay, &mut output[done..done + block]);
                done += block;
            }
            assert!(output[..delay].iter().all(|sample| sample.to_bits() == 0), "delay {delay}, block {max_block}");
            assert_eq!(output[delay..], input[..input.len() - delay], "delay {delay}, block {max_block}");
        }
    }
}

#[test]
fn what_is_no_number_becomes_silence_and_is_counted() {
    let mut block = [
        1.0,
        f32::NAN,
        -0.5,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::from_bits(0xffff_ffff),
        f32::MAX,
        f32::MIN_POSITIVE,
    ];
    assert_eq!(sanitise(&mut block), 5);
    assert_eq!(block, [1.0, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0, f32::MIN_POSITIVE]);
}

#[test]
fn subnormals_become_silence_and_are_not_counted() {
    let mut block = [f32::MIN_POSITIVE / 2.0, -f32::from_bits(1), f32::from_bits(0x007f_ffff), 0.0, -0.0];
    assert_eq!(sanitise(&mut block), 0);
    assert!(block.iter().all(|sample| sample.to_bits() == 0), "{block:?}");
}

#[test]
fn ordinary_blocks_of_any_length_keep_their_bits() {
    for len in [0, 1, 3, 64, 4095, 4096, 4097, 20_000] {
        let block = common::noise(len, 3);
        let mut sanitised = block.clone();
        assert_eq!(sanitise(&mut sanitised), 0);
        assert_eq!(sanitised, block);
    }
    let mut all_bad = vec![f32::NAN; 10_000];
    assert_eq!(sanitise(&mut all_bad), 10_000);
}

#[test]
fn a_ramp_is_linear_and_lands_on_its_target() {
    let mut ramp = Ramp::new(0.25);
    assert!(ramp.is_settled());
    ramp.set_target(1.0, 300);
    for n in 1..=300 {
        // Asking again for the same target does not start anew.
        ramp.set_target(1.0, 300);
        assert!(!ramp.is_settled());
        let expected = 0.25 + 0.75 * n as f32 / 300.0;
        assert!((ramp.next() - expected).abs() < 1e-4, "step {n}");
    }
    assert!(ramp.is_settled());
    assert_eq!(ramp.next().to_bits(), 1.0_f32.to_bits());
}

#[test]
fn a_ramp_can_turn_and_can_jump() {
    let mut ramp = Ramp::new(0.0);
    ramp.set_target(1.0, 100);
    for _ in 0..50 {
        ramp.next();
    }
    ramp.set_target(0.0, 50);
    assert!((ramp.value() - 0.5).abs() < 1e-5, "turning makes no step");
    let mut last = ramp.value();
    for _ in 0..50 {
        let value = ramp.next();
        assert!((last - value - 0.01).abs() < 1e-5);
        last = value;
    }
    assert_eq!((ramp.value().to_bits(), ramp.is_settled()), (0, true));
    ramp.set_target(0.75, 0);
    assert_eq!((ramp.value().to_bits(), ramp.is_settled()), (0.75_f32.to_bits(), true));
}

#[test]
fn linked_spectra_are_the_rms_of_their_channels() {
    let left = [Complex32::new(3.0, 4.0), Complex32::new(1.0, 0.0), Complex32::new(7.0, 7.0)];
    let right = [Complex32::new(-3.0, -4.0), Complex32::new(0.0, 0.0), Complex32::new(7.0, 7.0)];
    let mut out = [f32::NAN; 4];
    link_rms([&left, &right], 0.5, &mut out);
    // A downmix would have cancelled the first bin; the third is beyond the model.
    let expected = [2.5, 0.0, 0.5 * 0.5_f32.sqrt(), 0.0];
    for (actual, expected) in out.iter().zip(expected) {
        assert!((actual - expected).abs() < 1e-6, "{out:?}");
    }
}

#[test]
fn bins_that_the_host_lacks_are_zero() {
    let spectrum = [Complex32::new(3.0, 4.0)];
    let mut out = [f32::NAN; 6];
    pack(&spectrum, 2.0, &mut out);
    assert_eq!(out, [6.0, 8.0, 0.0, 0.0, 0.0, 0.0]);
    out.fill(f32::NAN);
    link_rms([&spectrum], 2.0, &mut out);
    assert_eq!(out, [10.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    out.fill(f32::NAN);
    link_rms([[]; 0], 2.0, &mut out);
    assert_eq!(out, [0.0; 6]);
}

#[test]
fn packing_leaves_out_the_bins_beyond_the_model() {
    let spectrum = [Complex32::new(1.0, 2.0), Complex32::new(3.0, 4.0), Complex32::new(5.0, 6.0)];
    let mut out = [f32::NAN; 4];
    pack(&spectrum, 0.5, &mut out);
    assert_eq!(out, [0.5, 1.0, 1.5, 2.0]);
}
