//! Frames are what the formula in the docs says: against a DFT written out in `f64`.

mod common;

use common::Hops;
use underscore_dsp::{Complex32, Grid};

/// `Σ_n w[n] · x[start + n] · e^(−2πikn/window)`, with zeros before sample 0.
fn bin(input: &[f32], start: isize, window_samples: usize, bin_idx: usize) -> (f64, f64) {
    let (mut re, mut im) = (0.0, 0.0);
    for n in 0..window_samples {
        let turn = n as f64 / window_samples as f64;
        let window = 0.5 - 0.5 * (std::f64::consts::TAU * turn).cos();
        let sample = usize::try_from(start + n.cast_signed()).map_or(0.0, |idx| f64::from(input[idx]));
        let phase = std::f64::consts::TAU * ((bin_idx * n) % window_samples) as f64 / window_samples as f64;
        re += window * sample * phase.cos();
        im -= window * sample * phase.sin();
    }
    (re, im)
}

#[test]
fn each_frame_is_the_windowed_dft_of_its_samples() {
    // Even and odd windows; a hop that divides the window and hops that do not.
    for (rate_hz, hop_s) in [(1000.0, 0.016), (1000.0, 0.015), (985.0, 0.016)] {
        let grid = Grid::new(rate_hz, 0.064, hop_s, 0.064).unwrap();
        let (window, hop) = (grid.window_samples(), grid.hop_samples());
        let input = common::noise(12 * hop, 7);
        let mut hops = Hops::new(grid);
        let mut spectrum = vec![Complex32::default(); grid.num_bins()];
        let mut largest = 0.0_f64;
        for (frame_idx, hop_in) in input.chunks_exact(hop).enumerate() {
            hops.analyse(hop_in, &mut spectrum);
            let start = ((frame_idx + 1) * hop).cast_signed() - window.cast_signed();
            for (bin_idx, actual) in spectrum.iter().enumerate() {
                let (re, im) = bin(&input, start, window, bin_idx);
                largest = common::larger(largest, (f64::from(actual.re) - re).hypot(f64::from(actual.im) - im));
            }
        }
        println!("window {window}, hop {hop}: largest error {largest:.2e}");
        assert!(largest < 1e-5, "window {window}, hop {hop}: {largest}");
    }
}

#[test]
fn a_sine_peaks_in_the_same_bin_with_the_same_scaled_magnitude_at_each_rate() {
    for rate_hz in [16e3, 22_050.0, 32e3, 44_100.0, 48e3, 88_200.0, 96e3, 176_400.0, 192e3] {
        let grid = Grid::new(rate_hz, 0.064, 0.016, 0.064).unwrap();
        let mut hops = Hops::new(grid);
        let mut spectrum = vec![Complex32::default(); grid.num_bins()];
        let sine: Vec<f32> = (0..8 * grid.hop_samples())
            .map(|n| (std::f64::consts::TAU * 3000.0 * n as f64 / rate_hz).sin() as f32)
            .collect();
        for hop in sine.chunks_exact(grid.hop_samples()) {
            hops.analyse(hop, &mut spectrum);
        }
        let (peak_idx, peak) = spectrum.iter().enumerate().max_by(|a, b| a.1.norm().total_cmp(&b.1.norm())).unwrap();
        // Half of the window's sum, at the model's window of 1024 samples.
        let magnitude = peak.norm() * 1024.0 / grid.window_samples() as f32;
        println!("{rate_hz:>8} Hz: bin {peak_idx}, magnitude {magnitude:.3}");
        assert_eq!(peak_idx, 192, "at {rate_hz} Hz");
        assert!((magnitude - 256.0).abs() < 1.0, "at {rate_hz} Hz: {magnitude}");
    }
}
