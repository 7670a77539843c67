//! What one frame or hop of one channel costs. `cargo bench -p underscore-dsp`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use underscore_dsp::{Complex32, Grid, History, Istft, MaskExtender, OverlapAdd, Stft, apply, link_rms, shape};

fn hop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hop");
    for rate_hz in [44_100_u32, 48_000, 96_000, 192_000] {
        let grid = Grid::new(f64::from(rate_hz), 0.064, 0.016, 0.064).expect("a common rate");
        let (mut stft, mut istft) = (Stft::new(grid), Istft::new(grid));
        let (mut history, mut overlap) = (History::new(grid.window_samples()), OverlapAdd::new(grid, 1));
        let frame: Vec<f32> = (0..grid.window_samples()).map(|n| (n as f32 * 0.37).sin()).collect();
        let mut spectrum = vec![Complex32::default(); grid.num_bins()];
        let (mut masked, mut segment) = (spectrum.clone(), vec![0.0; grid.synthesis_samples()]);
        let mask = vec![0.5; grid.num_bins()];
        let (hop, mut hop_out) = (&frame[..grid.hop_samples()], vec![0.0; grid.hop_samples()]);
        let mut sums = segment.clone();

        group.bench_function(BenchmarkId::new("analyse", rate_hz), |bencher| {
            bencher.iter(|| stft.analyse(black_box(&frame), &mut spectrum));
        });
        group.bench_function(BenchmarkId::new("apply", rate_hz), |bencher| {
            bencher.iter(|| apply(black_box(&mask), &spectrum, &mut masked));
        });
        group.bench_function(BenchmarkId::new("synthesise", rate_hz), |bencher| {
            bencher.iter(|| {
                masked.copy_from_slice(&spectrum);
                istft.synthesise(black_box(&mut masked), &mut segment);
            });
        });
        group.bench_function(BenchmarkId::new("add up", rate_hz), |bencher| {
            bencher.iter(|| {
                overlap.add(0, black_box(&segment));
                overlap.copy_sums(0, &mut sums);
                overlap.drop_hop(0);
            });
        });
        group.bench_function(BenchmarkId::new("on the audio thread", rate_hz), |bencher| {
            bencher.iter(|| {
                history.push(black_box(hop));
                hop_out.copy_from_slice(black_box(&sums[..grid.hop_samples()]));
            });
        });
    }
    group.finish();
}

fn masks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("masks");
    for model_bins in [513, 1025] {
        let masks: Vec<f32> = (0..model_bins).map(|n| (n as f32 * 0.61).sin().abs()).collect();
        let mut shaped = masks.clone();
        group.bench_function(BenchmarkId::new("shape", model_bins), |bencher| {
            bencher.iter(|| {
                shaped.copy_from_slice(&masks);
                shape(black_box(&mut shaped), 1, model_bins, 1.5);
            });
        });
        let extender = MaskExtender::new(model_bins, 1537);
        let mut host_mask = vec![0.0; 1537];
        group.bench_function(BenchmarkId::new("extend to 1537 bins", model_bins), |bencher| {
            bencher.iter(|| extender.extend(black_box(&masks), &mut host_mask));
        });
        let spectrum = vec![Complex32::new(0.3, -0.4); 1537];
        let mut features = vec![0.0; 2 * model_bins];
        group.bench_function(BenchmarkId::new("link_rms of two channels", model_bins), |bencher| {
            bencher.iter(|| link_rms(black_box([&spectrum, &spectrum]), 1.0 / 3.0, &mut features));
        });
    }
    group.finish();
}

/// What an audio thread pays: it comes back after a pause and finds its caches cold.
fn after_a_pause(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("after a pause of 5 ms");
    group.sample_size(10);
    let grid = Grid::new(48_000.0, 0.064, 0.016, 0.064).expect("a common rate");
    let frame: Vec<f32> = (0..grid.window_samples()).map(|n| (n as f32 * 0.37).sin()).collect();
    let hop = &frame[..grid.hop_samples()];
    let (mut spectrum, mut hop_out) = (vec![Complex32::default(); grid.num_bins()], vec![0.0; grid.hop_samples()]);
    let mut stft = Stft::new(grid);
    let mut history = History::new(grid.window_samples());
    let mut after_pauses = |name: &str, work: &mut dyn FnMut()| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|num_times| {
                let mut spent = Duration::ZERO;
                for _ in 0..num_times {
                    std::thread::sleep(Duration::from_millis(5));
                    let start = Instant::now();
                    work();
                    spent += start.elapsed();
                }
                spent
            });
        });
    };
    after_pauses("analyse", &mut || stft.analyse(black_box(&frame), &mut spectrum));
    after_pauses("a hop in and a hop out", &mut || {
        history.push(black_box(hop));
        hop_out.copy_from_slice(black_box(&frame[..grid.hop_samples()]));
    });
    group.finish();
}

criterion_group!(benches, hop, masks, after_a_pause);
criterion_main!(benches);
