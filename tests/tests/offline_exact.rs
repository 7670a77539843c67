//! An offline render is exact: the same bits at any block size, on any thread, whether or not the host says that it is offline.

mod common;

use common::{BLOCKS_SAMPLES, asked, for_offline_work, open, separators};
use host_tests::{
    BlockSizes, Bundle, Config, Rendered, Rendering, Transport, render, residual_db, signals::programme,
    wait_until_loaded,
};
use std::time::Duration;

/// Its hop is no whole number of samples.
const RATE_HZ: f64 = 44_100.0;

/// Before the input of bounces that nobody told of: silence costs no inference, so that each is far ahead of the clock when the first call is due.
const SILENCE_S: f64 = 30.0;

const LOADING_LIMIT: Duration = Duration::from_mins(2);

fn input() -> Vec<Vec<f32>> {
    programme(2, (3.0 * RATE_HZ) as usize, RATE_HZ, 7)
}

fn run(bundle: &Bundle, input: &[Vec<f32>], max_block_samples: usize, blocks: BlockSizes, offline: bool) -> Rendered {
    let default = &separators(bundle)[0];
    run_model(bundle, default, input, max_block_samples, blocks, offline)
}

fn run_model(
    bundle: &Bundle,
    model: &str,
    input: &[Vec<f32>],
    max_block_samples: usize,
    blocks: BlockSizes,
    offline: bool,
) -> Rendered {
    let mut instance = bundle.create(None).unwrap();
    instance.set("model", model).unwrap();
    instance.configure(Config { rate_hz: RATE_HZ, max_block_samples, num_channels: 2, offline }).unwrap();
    let rendered = render(bundle, &mut instance, &Rendering { blocks, ..Rendering::new(input, 1) }).unwrap();
    assert_separated(&rendered);
    rendered
}

/// What was rendered is not what is heard where nothing is separated, which is exact, too.
#[track_caller]
fn assert_separated(rendered: &Rendered) {
    let engine = rendered.diagnostics.as_ref().and_then(|d| d.newest().cloned()).unwrap();
    let found = (engine.state.as_str(), rendered.frames.num_late, rendered.frames.num_unmasked);
    assert_eq!(found, ("running", 0, 0), "{}", engine.message);
}

/// Bits, so that −0.0 and 0.0 differ, too.
fn bits(signal: &[Vec<f32>]) -> Vec<u32> {
    signal.iter().flatten().map(|x| x.to_bits()).collect()
}

#[track_caller]
fn assert_same(what: &str, expected: &Rendered, actual: &Rendered) {
    let compare = |bus: &str, expected: &[Vec<f32>], actual: &[Vec<f32>]| {
        let (expected, actual) = (bits(expected), bits(actual));
        assert_eq!(expected.len(), actual.len(), "{what}: {bus}");
        let num_different = expected.iter().zip(&actual).filter(|(e, a)| e != a).count();
        let first = expected.iter().zip(&actual).position(|(e, a)| e != a);
        assert_eq!(num_different, 0, "{what}: {bus}: {num_different} samples differ, the first at {first:?}");
    };
    for name in ["Music", "Dialogue", "Target", "Residual"] {
        compare(name, &expected.aligned_stem(name).unwrap(), &actual.aligned_stem(name).unwrap());
    }
    compare("main", &expected.aligned_main(), &actual.aligned_main());
}

#[test]
fn at_every_block_size() {
    let (bundle, input) = (open(), input());
    let reference = run(&bundle, &input, 512, BlockSizes::Fixed(512), true);
    for block in BLOCKS_SAMPLES {
        let rendered = run(&bundle, &input, block, BlockSizes::Fixed(block), true);
        assert_same(&format!("blocks of {block}"), &reference, &rendered);
    }
    println!("bit-identical at blocks of {BLOCKS_SAMPLES:?}");
}

#[test]
fn with_every_model() {
    let (bundle, input) = (open(), input());
    for model in separators(&bundle).into_iter().chain(asked(&bundle)).chain(for_offline_work(&bundle)) {
        let reference = run_model(&bundle, &model, &input, 512, BlockSizes::Fixed(512), true);
        for block in [64, 127, 256, 4096] {
            let rendered = run_model(&bundle, &model, &input, block, BlockSizes::Fixed(block), true);
            assert_same(&format!("{model} in blocks of {block}"), &reference, &rendered);
        }
        println!("{model}: bit-identical");
    }
}

#[test]
fn when_sizes_change_within_a_render() {
    let (bundle, input) = (open(), input());
    let reference = run(&bundle, &input, 1024, BlockSizes::Fixed(1024), true);
    let cycle = BlockSizes::Cycle(vec![1, 0, 512, 37, 1024, 440, 0, 3]);
    assert_same("a cycle of sizes", &reference, &run(&bundle, &input, 1024, cycle, true));
    for seed in 1..4 {
        let random = BlockSizes::Random { seed, max: 1024 };
        assert_same(&format!("random sizes {seed}"), &reference, &run(&bundle, &input, 1024, random, true));
    }
}

#[test]
fn when_the_host_does_not_say_that_it_is_offline() {
    let (bundle, input) = (open(), input());
    let reference = run(&bundle, &input, 512, BlockSizes::Fixed(512), true);
    for block in [32, 512, 1024, 4096, 8192] {
        let rendered = run(&bundle, &input, block, BlockSizes::Fixed(block), false);
        assert_same(&format!("unreported, blocks of {block}"), &reference, &rendered);
    }
    // Its first masks are seconds away: they are waited for call by call.
    for model in for_offline_work(&bundle) {
        let reference = run_model(&bundle, &model, &input, 512, BlockSizes::Fixed(512), true);
        for block in [512, 8192] {
            let rendered = run_model(&bundle, &model, &input, block, BlockSizes::Fixed(block), false);
            assert_same(&format!("{model}, unreported, blocks of {block}"), &reference, &rendered);
        }
    }
}

/// The first stem, `[channel][sample]`, of each of `num_instances` that are loaded first and then bounce block by block in turn, by a host that
/// says that it plays.
fn first_stems(
    bundle: &Bundle,
    model: &str,
    input: &[Vec<f32>],
    block: usize,
    num_instances: usize,
) -> Vec<Vec<Vec<f32>>> {
    let mut engine_ids = Vec::new();
    let mut players: Vec<_> = (0..num_instances)
        .map(|_| {
            let mut instance = bundle.create(None).unwrap();
            let config = Config { rate_hz: RATE_HZ, max_block_samples: block, num_channels: 2, offline: false };
            instance.configure(config).unwrap();
            instance.set("model", model).unwrap();
            let mut processor = instance.activate().unwrap();
            processor.start().unwrap();
            wait_until_loaded(bundle, &mut instance, &mut processor, LOADING_LIMIT).unwrap();
            engine_ids.extend(bundle.diagnostics().unwrap().newest().map(|engine| engine.id));
            (instance, processor, vec![Vec::new(); 2])
        })
        .collect();
    for (_, processor, _) in &mut players {
        processor.reset();
    }
    for start in (0..=input[0].len() - block).step_by(block) {
        for (_, processor, stem) in &mut players {
            let bus = processor.inputs_mut(block).main_mut().unwrap();
            for (channel_idx, channel) in input.iter().enumerate() {
                bus.channel_mut(channel_idx)[..block].copy_from_slice(&channel[start..start + block]);
            }
            processor.process(block, &[]).unwrap();
            let bus = processor.outputs().aux().next().unwrap();
            for (idx, track) in stem.iter_mut().enumerate() {
                track.extend_from_slice(&bus.channel(idx)[..block]);
            }
        }
    }
    let engines = bundle.diagnostics().unwrap().instances;
    let engines: Vec<_> = engines.into_iter().filter(|engine| engine_ids.contains(&engine.id)).collect();
    assert_eq!(engines.len(), num_instances);
    for engine in engines {
        let found = (engine.state.as_str(), engine.num_late_frames, engine.num_unmasked_frames);
        assert_eq!(found, ("running", 0, 0), "{model}, blocks of {block}: {}", engine.message);
    }
    players
        .into_iter()
        .map(|(mut instance, mut processor, stem)| {
            processor.stop().unwrap();
            instance.deactivate(processor);
            stem
        })
        .collect()
}

#[test]
fn when_many_instances_bounce_at_once_and_the_host_does_not_say_so() {
    let bundle = open();
    let mut input = vec![vec![0.0; (SILENCE_S * RATE_HZ) as usize]; 2];
    for (channel, sound) in input.iter_mut().zip(programme(2, (2.0 * RATE_HZ) as usize, RATE_HZ, 7)) {
        channel.extend(sound);
    }
    // More than run at a time.
    let num_instances = std::thread::available_parallelism().map_or(2, usize::from) + 3;
    // Of `Live 1` some bits differ where calls are run together, of others hardly any.
    for model in separators(&bundle) {
        for block in [512, 8192] {
            let reference = run_model(&bundle, &model, &input, block, BlockSizes::Fixed(block), true);
            let expected = &reference.tape.stems[0].channels;
            for (idx, stem) in first_stems(&bundle, &model, &input, block, num_instances).iter().enumerate() {
                for (expected, actual) in expected.iter().zip(stem) {
                    // That of the host which told goes on until all of the input is out.
                    let first = expected.iter().zip(actual).position(|(a, b)| a.to_bits() != b.to_bits());
                    assert_eq!(
                        first, None,
                        "{model}, blocks of {block}: instance {idx} of {num_instances} differs from a bounce by itself"
                    );
                }
            }
        }
    }
}

#[test]
fn in_mono_as_in_stereo_with_equal_channels() {
    let bundle = open();
    let mono = programme(1, (2.0 * RATE_HZ) as usize, RATE_HZ, 7);
    let mut instance = bundle.create(None).unwrap();
    let config = Config { rate_hz: RATE_HZ, max_block_samples: 512, num_channels: 1, offline: true };
    instance.configure(config).unwrap();
    let rendered = render(&bundle, &mut instance, &Rendering::new(&mono, 512)).unwrap();
    assert_separated(&rendered);
    let again = render(&bundle, &mut instance, &Rendering::new(&mono, 512)).unwrap();
    assert_same("a second activation", &rendered, &again);
    let mut stereo = bundle.create(None).unwrap();
    stereo.configure(Config { num_channels: 2, ..config }).unwrap();
    let both = vec![mono[0].clone(); 2];
    let of_both = render(&bundle, &mut stereo, &Rendering::new(&both, 512)).unwrap();
    assert_separated(&of_both);
    assert_eq!(rendered.tape.stems.len(), of_both.tape.stems.len());
    for (stem, of_both) in rendered.tape.stems.iter().zip(&of_both.tape.stems) {
        assert_eq!(bits(&stem.channels[..1]), bits(&stem.channels[1..]), "{} is not on both channels", stem.name);
        // The level that a mask is made of is one of two channels there: rounded otherwise.
        let residual = residual_db(&of_both.channels, &stem.channels);
        println!("{}: {residual:.1} dBFS from what it is of two equal channels", stem.name);
        assert!(residual <= -100.0, "{}", stem.name);
    }
}

#[test]
fn after_a_reset_on_changing_threads_and_with_or_without_a_transport() {
    let (bundle, input) = (open(), input());
    let block = 512;
    let reference = run(&bundle, &input, block, BlockSizes::Fixed(block), true);
    let mut instance = bundle.create(None).unwrap();
    let config = Config { rate_hz: RATE_HZ, max_block_samples: block, num_channels: 2, offline: true };
    instance.configure(config).unwrap();
    let mut processor = instance.activate().unwrap();
    processor.start().unwrap();
    // Something else first, then forget it.
    let mut dialogue = vec![Vec::new(); 2];
    for pass in 0..2 {
        for (block_idx, start) in (0..input[0].len() - block).step_by(block).enumerate() {
            let gain = if pass == 0 { -0.5 } else { 1.0 };
            let processor = &mut processor;
            let (input, dialogue) = (&input, &mut dialogue);
            let mut work = move || {
                let bus = processor.inputs_mut(block).main_mut().unwrap();
                for (channel_idx, channel) in input.iter().enumerate() {
                    let target = &mut bus.channel_mut(channel_idx)[..block];
                    for (target, x) in target.iter_mut().zip(&channel[start..start + block]) {
                        *target = gain * x;
                    }
                }
                // With a transport, with a changing one, and without.
                let transport = Transport { is_playing: block_idx % 3 == 1, tempo_bpm: 100.0 + block_idx as f64 };
                processor.set_transport((block_idx % 3 > 0).then_some(transport));
                processor.process(block, &[]).unwrap();
                if pass == 1 {
                    let bus =
                        processor.outputs().aux().find(|bus| bus.name().eq_ignore_ascii_case("dialogue")).unwrap();
                    for (channel_idx, track) in dialogue.iter_mut().enumerate() {
                        track.extend_from_slice(&bus.channel(channel_idx)[..block]);
                    }
                }
            };
            if block_idx % 2 == 0 {
                std::thread::scope(|scope| scope.spawn(work).join().unwrap());
            } else {
                work();
            }
        }
        if pass == 0 {
            processor.reset();
        }
    }
    instance.deactivate(processor);
    let expected =
        &reference.tape.stems.iter().find(|stem| stem.name.eq_ignore_ascii_case("dialogue")).unwrap().channels;
    for (expected, actual) in expected.iter().zip(&dialogue) {
        let different = expected.iter().zip(actual).position(|(e, a)| e.to_bits() != a.to_bits());
        assert_eq!(different, None, "the first sample that differs");
    }
}
