//! Frames agree with `torch.stft`, which the models are trained on.
//!
//! The fixtures come from `python -m underscore_training.golden`: per rate and pair of windows a signal and its frames with
//! `center=False`, computed in double precision.

mod common;

use std::path::{Path, PathBuf};

use common::Hops;
use serde_json::Value;
use underscore_dsp::{Complex32, Grid};

/// Error of a frame over its RMS, decibels: what single precision leaves where the window has large prime factors.
const TOLERANCE_DB: f64 = -125.0;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/stft")
}

/// A case of `index.json`: its lengths and what its file holds.
struct Case {
    rate_hz: usize,
    grid: Grid,
    num_frames: usize,
    /// `[sample]`
    signal: Vec<f32>,
    /// `[frame][bin]`
    frames: Vec<Complex32>,
}

fn read_case(case: &Value) -> Case {
    let number = |key: &str| {
        let value =
            case[key].as_u64().unwrap_or_else(|| panic!("index.json: {key} is {:?}, expected a count", case[key]));
        usize::try_from(value).unwrap()
    };
    let rate_hz = number("sample_rate_hz");
    let synthesis_samples = number("synthesis_samples");
    let grid = Grid::new(rate_hz as f64, 0.064, 0.016, synthesis_samples as f64 / rate_hz as f64).unwrap();
    assert_eq!(
        (grid.window_samples(), grid.hop_samples(), grid.num_bins()),
        (number("window_samples"), number("hop_samples"), number("num_bins")),
        "both sides place the same grid at {rate_hz} Hz"
    );
    let bytes = std::fs::read(fixtures().join(case["file"].as_str().unwrap())).unwrap();
    let (values, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "{} is no whole number of floats", case["file"]);
    let values: Vec<f32> = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
    let (signal, frames) = values.split_at(number("num_samples"));
    assert_eq!(frames.len(), 2 * number("num_frames") * grid.num_bins(), "{} has another length", case["file"]);
    let frames = frames.as_chunks::<2>().0.iter().map(|&[re, im]| Complex32::new(re, im)).collect();
    Case { rate_hz, grid, num_frames: number("num_frames"), signal: signal.to_vec(), frames }
}

#[test]
fn frames_equal_those_of_torch_stft() {
    let index: Value = serde_json::from_slice(&std::fs::read(fixtures().join("index.json")).unwrap()).unwrap();
    let cases = index["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases.iter().map(read_case) {
        let (window, hop) = (case.grid.window_samples(), case.grid.hop_samples());
        // Frames of torch begin at multiples of the hop, ours end there: silence in front brings them together.
        let num_hops_per_window = window.div_ceil(hop);
        let mut input = vec![0.0; num_hops_per_window * hop - window];
        input.extend(&case.signal);

        let mut hops = Hops::new(case.grid);
        let mut spectrum = vec![Complex32::default(); case.grid.num_bins()];
        let mut num_compared = 0;
        let mut worst_db = f64::NEG_INFINITY;
        for (hop_idx, hop_in) in input.chunks_exact(hop).enumerate() {
            hops.analyse(hop_in, &mut spectrum);
            let Some(frame_idx) = (hop_idx + 1).checked_sub(num_hops_per_window) else { continue };
            let expected = &case.frames[frame_idx * case.grid.num_bins()..][..case.grid.num_bins()];
            let power =
                |bins: &mut dyn Iterator<Item = Complex32>| bins.map(|bin| f64::from(bin.norm_sqr())).sum::<f64>();
            let error = power(&mut spectrum.iter().zip(expected).map(|(a, e)| a - e));
            worst_db = common::larger(worst_db, 10.0 * (error / power(&mut expected.iter().copied())).log10());
            num_compared += 1;
        }
        println!(
            "{:>6} Hz, {} samples heard: {num_compared} frames, worst error {worst_db:.1} dB",
            case.rate_hz,
            case.grid.synthesis_samples()
        );
        assert_eq!(num_compared, case.num_frames);
        assert!(worst_db < TOLERANCE_DB, "at {} Hz: {worst_db} dB", case.rate_hz);
    }
}
