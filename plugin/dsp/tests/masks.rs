//! Masks: strength and the bins above the model's range.

use underscore_dsp::{Complex32, MaskExtender, apply, shape};

mod common;

/// Random masks `[stem][bin]` whose stems add up to less than 1 in each bin.
fn random_masks(num_stems: usize, num_bins: usize, seed: u64) -> Vec<f32> {
    let scale = 0.999 / num_stems as f32;
    common::noise(num_stems * num_bins, seed).iter().map(|value| value.abs() * scale).collect()
}

#[test]
fn an_exponent_of_one_changes_no_bit() {
    let masks = random_masks(2, 513, 1);
    let mut shaped = masks.clone();
    shape(&mut shaped, 2, 513, 1.0);
    assert_eq!(shaped, masks);
}

#[test]
fn an_exponent_near_one_changes_little() {
    let masks = random_masks(3, 513, 2);
    for exponent in [0.9999, 1.0001] {
        let mut shaped = masks.clone();
        shape(&mut shaped, 3, 513, exponent);
        let largest = shaped.iter().zip(&masks).map(|(s, m)| (s - m).abs()).fold(0.0, f32::max);
        println!("exponent {exponent}: largest change {largest:.2e}");
        assert!(largest < 1e-3);
    }
}

#[test]
fn an_exponent_of_zero_shares_equally_with_the_residual() {
    for num_stems in 1..=3 {
        let mut masks = random_masks(num_stems, 513, 3);
        masks[0] = 0.0;
        masks[1] = 1.0;
        shape(&mut masks, num_stems, 513, 0.0);
        let share = 1.0 / (num_stems + 1) as f32;
        assert!(masks.iter().all(|mask| (mask - share).abs() < 1e-7), "{num_stems} stems");
    }
}

#[test]
fn shares_follow_the_formula() {
    let (num_stems, num_bins) = (2, 257);
    let masks = random_masks(num_stems, num_bins, 4);
    for exponent in [0.3_f32, 0.5, 1.3, 2.0] {
        let mut shaped = masks.clone();
        shape(&mut shaped, num_stems, num_bins, exponent);
        for bin_idx in 0..num_bins {
            let shares = [f64::from(masks[bin_idx]), f64::from(masks[num_bins + bin_idx])];
            let residual = 1.0 - shares[0] - shares[1];
            let power = |share: f64| share.powf(f64::from(exponent));
            let norm = power(shares[0]) + power(shares[1]) + power(residual);
            for (stem_idx, share) in shares.into_iter().enumerate() {
                let error = f64::from(shaped[stem_idx * num_bins + bin_idx]) - power(share) / norm;
                assert!(error.abs() < 1e-6, "exponent {exponent}, stem {stem_idx}, bin {bin_idx}: {error}");
            }
        }
    }
}

#[test]
fn above_one_the_strongest_gains_and_below_one_it_loses() {
    for (exponent, expected) in [(2.0, true), (1.5, true), (0.5, false), (0.1, false)] {
        let mut strong = [0.7];
        let mut weak = [0.3];
        shape(&mut strong, 1, 1, exponent);
        shape(&mut weak, 1, 1, exponent);
        assert_eq!(strong[0] > 0.7, expected, "exponent {exponent}: {strong:?}");
        assert_eq!(weak[0] < 0.3, expected, "exponent {exponent}: {weak:?}");
        assert!((strong[0] + weak[0] - 1.0).abs() < 1e-6, "a stem and its residual share the whole");
    }
}

#[test]
fn no_mask_value_and_no_exponent_makes_a_nan_or_leaves_the_range() {
    let values = [0.0, 1.0, 0.5, 1e-30, f32::MIN_POSITIVE, 1.0 - f32::EPSILON, 1.2, -0.1, f32::NAN];
    for exponent in [-1.0, 0.0, 1e-6, 0.01, 0.5, 0.999, 1.001, 1.5, 2.0, f32::NAN] {
        for first in values {
            for second in values {
                let mut masks = [first, second];
                shape(&mut masks, 2, 1, exponent);
                let in_range = |mask: &f32| (0.0..=1.0 + 1e-6).contains(mask);
                assert!(masks.iter().all(in_range), "({first}, {second}) ^ {exponent}: {masks:?}");
            }
        }
    }
}

#[test]
fn a_stem_that_has_nothing_or_all_keeps_it() {
    for exponent in [0.01, 0.5, 1.5, 2.0] {
        let mut masks = [0.0, 1.0];
        shape(&mut masks, 2, 1, exponent);
        assert_eq!(masks[0].to_bits(), 0.0_f32.to_bits());
        assert!((masks[1] - 1.0).abs() < 1e-6);
    }
}

#[test]
fn a_host_with_fewer_bins_cuts_and_one_with_as_many_copies() {
    for model_bins in [513, 1025] {
        let mask = random_masks(1, model_bins, 5);
        for host_bins in [1, 300, 512, 513, 706, 1025] {
            let host_bins = host_bins.min(model_bins);
            let mut host = vec![f32::NAN; host_bins];
            MaskExtender::new(model_bins, host_bins).extend(&mask, &mut host);
            assert_eq!(host, mask[..host_bins], "{host_bins} of {model_bins} bins");
        }
    }
}

#[test]
fn above_the_range_stands_the_mean_of_the_top_kilohertz() {
    let mut mask = vec![0.9; 513];
    // 64 bins of 15.625 Hz are 1 kHz.
    for (n, value) in mask[513 - 64..].iter_mut().enumerate() {
        *value = if n % 2 == 0 { 0.1 } else { 0.3 };
    }
    let mut host = vec![f32::NAN; 1537];
    MaskExtender::new(513, 1537).extend(&mask, &mut host);
    assert_eq!(host[..513], mask);
    assert!(host[513 + 32..].iter().all(|value| (value - 0.2).abs() < 1e-6));
}

#[test]
fn the_edge_has_no_step() {
    let mut mask = vec![0.0; 513];
    mask[512] = 1.0;
    for host_bins in [514, 520, 545, 706, 1537, 6145] {
        let mut host = vec![f32::NAN; host_bins];
        MaskExtender::new(513, host_bins).extend(&mask, &mut host);
        let steepest = host[512..].windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.031, "{host_bins} bins: a step of {steepest}");
        assert!(host.iter().all(|value| (0.0..=1.0).contains(value)));
    }
}

#[test]
fn a_constant_mask_stays_constant_and_tiny_models_work() {
    for (model_bins, host_bins) in [(513, 1537), (1, 9), (2, 9), (8, 8), (17, 64)] {
        let mut host = vec![f32::NAN; host_bins];
        MaskExtender::new(model_bins, host_bins).extend(&vec![0.4; model_bins], &mut host);
        assert!(host.iter().all(|value| (value - 0.4).abs() < 1e-6), "{model_bins} to {host_bins}");
    }
    let mut host = [f32::NAN; 4];
    MaskExtender::new(0, 4).extend(&[], &mut host);
    assert!(host.iter().all(|value| value.abs() < 1e-9), "a model without bins masks everything");
}

#[test]
fn applying_a_mask_multiplies_both_parts() {
    let spectrum = [Complex32::new(1.0, -2.0), Complex32::new(4.0, 8.0)];
    let mut out = [Complex32::default(); 2];
    apply(&[0.5, 0.25], &spectrum, &mut out);
    assert_eq!(out, [Complex32::new(0.5, -1.0), Complex32::new(1.0, 2.0)]);
}
