//! The music goes down by itself while the dialogue is heard.

mod common;

use common::{offline_stereo, open};
use host_tests::signals::programme;
use host_tests::{ParamChange, Rendered, Rendering, peak_db, render, residual_db};

const RATE_HZ: f64 = 48_000.0;
const BLOCK_SAMPLES: usize = 480;
const MAX_BLOCK_SAMPLES: usize = 4096;
const NUM_SAMPLES: usize = 240_000;
/// From here on what glides has settled.
const SETTLED: usize = 96_000;

/// The programme, ducked by these params.
fn ducked(params: &[(&str, &str)], block_samples: usize) -> Rendered {
    let bundle = open();
    let mut instance = offline_stereo(&bundle, RATE_HZ, block_samples);
    for (param, text) in params {
        instance.set(param, text).unwrap();
    }
    let input = programme(2, NUM_SAMPLES, RATE_HZ, 5);
    render(&bundle, &mut instance, &Rendering::new(&input, block_samples)).unwrap()
}

/// The main output of the programme where the ducker is switched at these samples, left channel. The latency is that of the largest block, so that
/// the switches are at the same place of the sound.
fn switched(params: &[(&str, &str)], switches: &[(&str, usize)], block_samples: usize) -> Vec<f32> {
    let bundle = open();
    let mut instance = offline_stereo(&bundle, RATE_HZ, MAX_BLOCK_SAMPLES);
    for (param, text) in params {
        instance.set(param, text).unwrap();
    }
    let input = programme(2, NUM_SAMPLES, RATE_HZ, 5);
    let switches: Vec<_> = switches.iter().map(|(to, at)| (instance.change("duck", to).unwrap(), *at)).collect();
    let mut processor = instance.activate().unwrap();
    processor.start().unwrap();
    let mut main = Vec::new();
    for start in (0..NUM_SAMPLES).step_by(block_samples) {
        let block = start..(start + block_samples).min(NUM_SAMPLES);
        let changes = switches.iter().filter(|(_, at)| block.contains(at));
        let changes: Vec<_> =
            changes.map(|(change, at)| ParamChange { offset_samples: at - start, ..*change }).collect();
        let bus = processor.inputs_mut(block.len()).main_mut().unwrap();
        for (channel_idx, channel) in input.iter().enumerate() {
            bus.channel_mut(channel_idx)[..block.len()].copy_from_slice(&channel[block.clone()]);
        }
        processor.process(block.len(), &changes).unwrap();
        main.extend_from_slice(&processor.outputs().main().unwrap().channel(0)[..block.len()]);
    }
    instance.deactivate(processor);
    main
}

fn settled(signal: &[Vec<f32>]) -> Vec<Vec<f32>> {
    signal.iter().map(|channel| channel[SETTLED..].to_vec()).collect()
}

/// `gain · music + dialogue`.
fn mix_of(rendered: &Rendered, gain: f32) -> Vec<Vec<f32>> {
    let [music, dialogue] = ["Music", "Dialogue"].map(|name| rendered.aligned_stem(name).expect("its bus"));
    let sum = |(music, dialogue): (&Vec<f32>, &Vec<f32>)| {
        music.iter().zip(dialogue).map(|(music, dialogue)| gain * music + dialogue).collect()
    };
    music.iter().zip(&dialogue).map(sum).collect()
}

#[test]
fn the_music_in_the_main_output_goes_down_by_the_depth_and_its_bus_stays_as_it_is() {
    // So low that whatever is in the dialogue is a key, and so long that no pause is one.
    let params = [("duck", "on"), ("duck_depth", "12"), ("duck_threshold", "-60"), ("duck_hold", "3000")];
    let (plain, rendered) = (ducked(&[], BLOCK_SAMPLES), ducked(&params, BLOCK_SAMPLES));
    let expected = mix_of(&rendered, 10.0_f32.powf(-12.0 / 20.0));
    let residual = residual_db(&settled(&expected), &settled(&rendered.aligned_main()));
    let music = rendered.aligned_stem("Music").unwrap();
    println!("music of {:.1} dBFS, main off the formula by {residual:.1} dBFS", peak_db(&music));
    assert!(peak_db(&music) > -30.0, "there is music to be ducked");
    assert!(residual < -90.0, "{residual} dBFS");
    assert!(music == plain.aligned_stem("Music").unwrap(), "the bus is before the ducker");
}

#[test]
fn what_does_not_reach_the_threshold_ducks_nothing_bit_for_bit() {
    let rendered = ducked(&[("duck", "on"), ("duck_depth", "24"), ("duck_threshold", "0")], BLOCK_SAMPLES);
    assert!(rendered.aligned_main() == ducked(&[], BLOCK_SAMPLES).aligned_main());
}

#[test]
fn a_bounce_that_ducks_is_the_same_at_any_block_size_automated_or_not() {
    let params =
        [("duck", "on"), ("duck_depth", "9"), ("duck_threshold", "-30"), ("duck_hold", "50"), ("duck_release", "100")];
    let switches = [("off", 70_001), ("on", 110_003), ("off", 150_007), ("on", 190_011)];
    let plain = switched(&[], &[], BLOCK_SAMPLES);
    for switches in [&[][..], &switches] {
        let at_480 = switched(&params, switches, BLOCK_SAMPLES);
        let change_db = residual_db(std::slice::from_ref(&plain), std::slice::from_ref(&at_480));
        assert!(change_db > -40.0, "something is ducked");
        for block_samples in [64, 127, MAX_BLOCK_SAMPLES] {
            assert!(switched(&params, switches, block_samples) == at_480, "blocks of {block_samples}, {switches:?}");
        }
    }
}
