//! Nothing allocates after it is made.

use assert_no_alloc::{AllocDisabler, assert_no_alloc, reset_violation_count, violation_count};
use underscore_dsp::{Complex32, Grid, MaskExtender, Ramp, apply, link_rms, pack, sanitise, shape};

mod common;

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

#[test]
fn a_hop_allocates_nothing_at_any_rate() {
    for (rate_hz, model_bins) in
        [(8e3, 1025), (16e3, 513), (22_050.0, 1025), (44_100.0, 513), (48e3, 1025), (88_200.0, 513), (192e3, 1025)]
    {
        // Both pairs of windows: half a frame is heard where the model is a full-band one.
        let grid = Grid::new(rate_hz, 0.064, 0.016, if model_bins == 513 { 0.064 } else { 0.032 }).unwrap();
        let mut hop = common::noise(grid.hop_samples(), 1);
        let mut output = vec![0.0; grid.hop_samples()];
        let mut spectrum = vec![Complex32::default(); grid.num_bins()];
        let mut masked = spectrum.clone();
        let mut features = vec![0.0; 2 * model_bins];
        let mut masks = vec![0.25; 2 * model_bins];
        let mut host_mask = vec![0.0; grid.num_bins()];
        let mut hops = common::Hops::new(grid);
        let extender = MaskExtender::new(model_bins, grid.num_bins());
        let mut ramp = Ramp::new(0.0);

        reset_violation_count();
        assert_no_alloc(|| {
            for _ in 0..3 {
                sanitise(&mut hop);
                hops.analyse(&hop, &mut spectrum);
                link_rms([&spectrum, &spectrum], 0.5, &mut features);
                pack(&spectrum, 0.5, &mut features);
                shape(&mut masks, 2, model_bins, 1.5);
                extender.extend(&masks[..model_bins], &mut host_mask);
                apply(&host_mask, &spectrum, &mut masked);
                hops.synthesise(&mut masked, &mut output);
                ramp.set_target(1.0, 10);
                ramp.next();
            }
            hops.reset();
        });
        assert_eq!(violation_count(), 0, "at {rate_hz} Hz");
    }
}

#[test]
fn the_check_itself_counts_an_allocation() {
    reset_violation_count();
    let kept = assert_no_alloc(|| vec![0_u8; 64]);
    assert_ne!(violation_count(), 0);
    drop(kept);
}
