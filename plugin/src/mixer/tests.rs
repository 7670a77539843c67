use super::*;
use crate::block::StemMemory;

const RATE_HZ: f64 = 48_000.0;
const SINE_HZ: f64 = 997.0;
const MAX_BLOCK_SAMPLES: usize = 480_000;

fn strip(gain: f32, is_soloed: bool, is_muted: bool) -> Strip {
    Strip { gain, is_soloed, is_muted }
}

fn unity() -> MixSettings {
    MixSettings {
        strips: [strip(1.0, false, false); NUM_STEMS],
        duck: DuckerSettings::OFF,
        wet: 1.0,
        is_bypassed: false,
    }
}

fn sine(num_samples: usize) -> Vec<f32> {
    let step = std::f64::consts::TAU * SINE_HZ / RATE_HZ;
    (0..num_samples).map(|sample_idx| (step * sample_idx as f64).sin() as f32).collect()
}

/// A block of a full-scale sine on both channels, of which `shares` were found in the stems where the masks are in; where not, they are equal.
fn block_of(num_samples: usize, shares: [f32; NUM_STEMS], presence: f32) -> StemMemory {
    let mut block = StemMemory::new(num_samples, 2);
    block.begin(num_samples);
    let sine = sine(num_samples);
    for channel_idx in 0..2 {
        block.dry[channel_idx].copy_from_slice(&sine);
        for (stem, share) in block.stems.iter_mut().zip(shares) {
            let share = presence * share + (1.0 - presence) / NUM_STEMS as f32;
            for (value, sample) in stem[channel_idx].iter_mut().zip(&sine) {
                *value = share * sample;
            }
        }
    }
    block.presence.push_constant(presence, num_samples);
    block.query_share.push_constant(0.0, num_samples);
    block
}

fn mix(mixer: &mut Mixer, block: &StemMemory) -> Vec<f32> {
    let block = &block.block();
    let (mut left, mut right) = (vec![0.0; block.num_samples], vec![0.0; block.num_samples]);
    mixer.mix(block, &mut [&mut left, &mut right]);
    assert_eq!(left, right);
    left
}

fn mix_settled(settings: &MixSettings, block: &StemMemory) -> Vec<f32> {
    let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
    mixer.set(settings);
    mix(&mut mixer, block)
}

/// NaN where either is.
fn larger(a: f32, b: f32) -> f32 {
    if a.is_nan() || b <= a { a } else { b }
}

fn peak(signal: &[f32]) -> f32 {
    signal.iter().fold(0.0, |peak, sample| larger(peak, sample.abs()))
}

fn db(value: f32) -> f32 {
    20.0 * larger(1e-12, value).log10()
}

/// What a steady sine of this frequency cannot contain: the output of the filter that cancels it.
fn worst_step_db(signal: &[f32]) -> f32 {
    let turn = 2.0 * (std::f64::consts::TAU * SINE_HZ / RATE_HZ).cos();
    let steps = signal.windows(3).map(|w| (f64::from(w[2]) - turn * f64::from(w[1]) + f64::from(w[0])) as f32);
    db(peak(&steps.collect::<Vec<_>>()))
}

#[test]
fn all_stems_at_unity_are_the_dry_signal() {
    let block = block_of(4800, [0.3, 0.7], 1.0);
    let out = mix_settled(&unity(), &block);
    let residual: Vec<f32> = out.iter().zip(&block.dry[0]).map(|(a, b)| a - b).collect();
    assert!(db(peak(&residual)) < -120.0, "{} dBFS", db(peak(&residual)));
}

#[test]
fn the_main_output_is_the_formula() {
    let block = block_of(480, [0.3, 0.7], 0.6);
    let settings = MixSettings { strips: [strip(0.5, false, false), strip(2.0, false, false)], wet: 0.8, ..unity() };
    let out = mix_settled(&settings, &block);
    for (value, dry) in out.iter().zip(&block.dry[0]) {
        let separated = 0.6 * (0.5 * 0.3 + 2.0 * 0.7) * dry + 0.4 * dry;
        let expected = 0.2 * dry + 0.8 * separated;
        assert!((value - expected).abs() < 1e-6, "expected {expected}, got {value}");
    }
}

#[test]
fn solo_silences_the_others_and_mute_silences_even_what_is_soloed() {
    // (music solo, music mute, dialogue solo, dialogue mute) → heard
    let table = [
        ((false, false, false, false), [1.0, 1.0]),
        ((true, false, false, false), [1.0, 0.0]),
        ((false, false, true, false), [0.0, 1.0]),
        ((true, false, true, false), [1.0, 1.0]),
        ((false, true, false, false), [0.0, 1.0]),
        ((false, false, false, true), [1.0, 0.0]),
        ((true, true, false, false), [0.0, 0.0]),
        ((true, true, true, false), [0.0, 1.0]),
        ((true, false, false, true), [1.0, 0.0]),
        ((false, true, false, true), [0.0, 0.0]),
    ];
    for ((music_solo, music_mute, dialogue_solo, dialogue_mute), heard) in table {
        let strips = [strip(1.0, music_solo, music_mute), strip(1.0, dialogue_solo, dialogue_mute)];
        assert_eq!(audible_gains(&strips), heard, "{strips:?}");
    }
}

#[test]
fn a_bypass_is_the_dry_signal_bit_for_bit_once_it_has_faded() {
    let block = block_of(4800, [0.3, 0.9], 1.0);
    let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
    mixer.set(&unity());
    mix(&mut mixer, &block);
    mixer.set(&MixSettings { is_bypassed: true, ..unity() });
    let out = mix(&mut mixer, &block);
    assert_ne!(out[100], block.dry[0][100], "the fade takes its time");
    for (value, dry) in out.iter().zip(&block.dry[0]).skip(480) {
        assert_eq!(value.to_bits(), dry.to_bits());
    }
}

#[test]
fn without_masks_the_main_output_is_the_dry_signal_bit_for_bit_where_a_strip_is_at_unity_or_above() {
    let block = block_of(480, [0.5, 0.5], 0.0);
    let ducked = [strip(0.1, false, true), strip(1.0, false, false)];
    let raised = [strip(0.1, false, false), strip(3.0, true, false)];
    for (strips, wet) in [(ducked, 1.0), (ducked, 0.3), (raised, 1.0)] {
        let settings = MixSettings { strips, wet, ..unity() };
        for (value, dry) in mix_settled(&settings, &block).iter().zip(&block.dry[0]) {
            assert_eq!(value.to_bits(), dry.to_bits());
        }
    }
}

#[test]
fn without_masks_what_is_muted_or_turned_down_as_a_whole_stays_so() {
    let block = block_of(480, [0.5, 0.5], 0.0);
    let cases = [
        ("both muted", [strip(1.0, false, true), strip(1.0, false, true)], 0.0),
        ("the other one soloed, and muted", [strip(1.0, false, false), strip(1.0, true, true)], 0.0),
        ("both turned down", [strip(0.1, false, false), strip(0.25, false, false)], 0.25),
    ];
    for (name, strips, gain) in cases {
        let out = mix_settled(&MixSettings { strips, ..unity() }, &block);
        for (value, dry) in out.iter().zip(&block.dry[0]) {
            assert!((value - gain * dry).abs() < 1e-6, "{name}: expected {}, got {value}", gain * dry);
        }
        let bypassed = mix_settled(&MixSettings { strips, is_bypassed: true, ..unity() }, &block);
        assert_eq!(bypassed, block.dry[0][..480], "{name}: a bypass is the input");
    }
}

#[test]
fn no_switch_makes_a_step_above_minus_60_dbfs() {
    let muted = MixSettings { strips: [strip(1.0, false, true), strip(1.0, false, false)], ..unity() };
    let soloed = MixSettings { strips: [strip(1.0, false, false), strip(1.0, true, false)], ..unity() };
    let silent = MixSettings { strips: [strip(0.0, false, false), strip(1.0, false, false)], ..unity() };
    let loud = MixSettings { strips: [strip(3.981, false, false), strip(1.0, false, false)], ..unity() };
    let bypassed_silence = MixSettings { is_bypassed: true, ..muted };
    let dry_silence = MixSettings { wet: 0.0, ..muted };
    let cases = [
        ("mute", unity(), muted),
        ("unmute", muted, unity()),
        ("solo of the other", unity(), soloed),
        ("gain to −∞", unity(), silent),
        ("gain to +12 dB", unity(), loud),
        ("bypass", muted, bypassed_silence),
        ("bypass off", bypassed_silence, muted),
        ("wet to dry", muted, dry_silence),
    ];
    let block = block_of(9600, [1.0, 0.0], 1.0);
    for (name, before, after) in cases {
        let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
        mixer.set(&before);
        let mut out = mix(&mut mixer, &block);
        // The block is a whole number of 5 Hz periods, so its repetition continues the sine.
        assert_eq!((SINE_HZ * 9600.0 / RATE_HZ * 5.0).fract(), 0.0);
        mixer.set(&after);
        let start = out.len();
        let mut after_block = block.clone();
        let phase = sine(start + 9600);
        for channel_idx in 0..2 {
            after_block.dry[channel_idx].copy_from_slice(&phase[start..]);
            after_block.stems[0][channel_idx].copy_from_slice(&phase[start..]);
        }
        out.extend(mix(&mut mixer, &after_block));
        // Where the gain leaves full scale, full scale is what it arrives at.
        let step_db = worst_step_db(&out) - db(peak(&out));
        println!("{name}: {step_db:.1} dBFS");
        assert!(step_db < -60.0, "{name}: {step_db:.1} dBFS");
    }
}

#[test]
fn a_hard_switch_would_be_caught_by_the_measure_of_steps() {
    let mut signal = sine(9600);
    signal[4812..].fill(0.0);
    assert!(worst_step_db(&signal) > -10.0, "{}", worst_step_db(&signal));
}

#[test]
fn the_result_does_not_depend_on_the_block_size() {
    let settings = [ducking(12.0), MixSettings { wet: 0.3, is_bypassed: true, ..ducking(24.0) }];
    let whole = block_of(4800, [0.2, 0.8], 1.0);
    let render = |block_samples: usize| {
        let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
        mixer.set(&settings[0]);
        mixer.mix(&block_of(1, [0.2, 0.8], 1.0).block(), &mut [&mut [0.0], &mut [0.0]]);
        let mut out = Vec::new();
        for start in (0..4800).step_by(block_samples) {
            mixer.set(&settings[1]);
            let mut part = StemMemory::new(block_samples, 2);
            let range = start..(start + block_samples).min(4800);
            part.begin(range.len());
            for channel_idx in 0..2 {
                part.dry[channel_idx][..range.len()].copy_from_slice(&whole.dry[channel_idx][range.clone()]);
                for stem_idx in 0..NUM_STEMS {
                    part.stems[stem_idx][channel_idx][..range.len()]
                        .copy_from_slice(&whole.stems[stem_idx][channel_idx][range.clone()]);
                }
            }
            part.presence.push_constant(1.0, range.len());
            part.query_share.push_constant(0.0, range.len());
            out.extend(mix(&mut mixer, &part));
        }
        out
    };
    let expected = render(4800);
    for block_samples in [1, 7, 64, 480, 1000] {
        assert!(render(block_samples) == expected, "blocks of {block_samples}");
    }
}

#[test]
fn a_gain_that_is_no_number_is_silence_and_not_noise() {
    let settings = MixSettings { strips: [strip(f32::NAN, false, false), strip(1.0, false, false)], ..unity() };
    let block = block_of(480, [0.5, 0.5], 1.0);
    for (value, dry) in mix_settled(&settings, &block).iter().zip(&block.dry[0]) {
        assert!((value - 0.5 * dry).abs() < 1e-6);
    }
}

#[test]
fn after_a_reset_the_settings_hold_from_the_first_sample() {
    let block = block_of(480, [0.5, 0.5], 1.0);
    let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
    mixer.set(&unity());
    mix(&mut mixer, &block);
    mixer.reset();
    mixer.set(&MixSettings { strips: [strip(0.0, false, false); NUM_STEMS], ..unity() });
    assert!(mix(&mut mixer, &block).iter().all(|sample| *sample == 0.0));
}

#[test]
fn a_presence_that_is_told_sample_by_sample_sounds_as_one_that_is_told_once() {
    let settings = MixSettings { wet: 0.7, strips: [strip(0.5, false, false), strip(2.0, false, false)], ..unity() };
    let constant = block_of(480, [0.3, 0.7], 0.6);
    let mut varying = constant.clone();
    varying.presence.clear();
    varying.presence.push(std::iter::repeat_n(0.6, 480));
    assert!(matches!((constant.presence.get(), varying.presence.get()), (Control::Constant(_), Control::Varying(_))));
    assert_eq!(mix_settled(&settings, &constant), mix_settled(&settings, &varying));
}

fn ducking(depth_db: f32) -> MixSettings {
    let duck = DuckerSettings { depth_db, threshold_db: -30.0, attack_s: 0.02, hold_s: 0.1, release_s: 0.2 };
    MixSettings { duck, ..unity() }
}

#[test]
fn the_music_alone_goes_down_while_the_dialogue_is_heard_and_comes_back() {
    let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
    mixer.set(&ducking(12.0));
    let both = block_of(24_000, [0.4, 0.6], 1.0);
    let out = mix(&mut mixer, &both);
    for (value, dry) in out.iter().zip(&both.dry[0]).skip(22_000) {
        let expected = (0.4 * 10.0_f32.powf(-12.0 / 20.0) + 0.6) * dry;
        assert!((value - expected).abs() < 1e-4, "expected {expected}, got {value}");
    }
    assert!((mixer.ducking().down_db() - 12.0).abs() < 0.01);
    let music = block_of(48_000, [1.0, 0.0], 1.0);
    let out = mix(&mut mixer, &music);
    assert!(out[40_000..] == music.dry[0][40_000..48_000], "at rest the music is as it came, bit for bit");
    // The sine begins anew in the block, where the filter hears its start.
    assert!(worst_step_db(&out[4..]) < -60.0, "{} dBFS", worst_step_db(&out[4..]));
}

#[test]
fn neither_without_masks_nor_of_a_model_that_is_asked_is_anything_ducked() {
    for (what, presence, query_share) in [("without masks", 0.0, 0.0), ("query_share", 1.0, 1.0)] {
        let mut block = block_of(24_000, [0.5, 0.5], presence);
        block.query_share.clear();
        block.query_share.push_constant(query_share, 24_000);
        let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
        mixer.set(&ducking(24.0));
        assert!(mix(&mut mixer, &block) == mix_settled(&unity(), &block), "{what}");
        assert_eq!(mixer.gains(), [1.0; NUM_STEMS], "{what}: no key is heard");
        assert!(mixer.ducking().key_db.is_some_and(|key_db| key_db < -100.0), "{what}");
    }
}

#[test]
fn what_takes_over_from_a_ducked_mix_and_is_asked_is_not_ducked() {
    let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
    mixer.set(&ducking(24.0));
    mix(&mut mixer, &block_of(24_000, [0.5, 0.5], 1.0));
    assert!(mixer.ducking().down_db() > 23.9);
    let mut block = block_of(480, [0.5, 0.5], 1.0);
    block.query_share.clear();
    block.query_share.push_constant(1.0, 480);
    assert!(mix(&mut mixer, &block) == mix_settled(&unity(), &block), "the target is at once as loud as it is");
    assert_eq!(mixer.ducking().down_db(), 0.0);
}

#[test]
fn the_figure_says_how_far_the_music_in_the_main_output_is_down() {
    let block = block_of(48_000, [0.5, 0.5], 1.0);
    let down_db = |settings: &MixSettings| {
        let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
        mixer.set(settings);
        mix(&mut mixer, &block);
        mixer.ducking().down_db()
    };
    assert!((down_db(&ducking(12.0)) - 12.0).abs() < 0.01);
    // Half of it is the delayed input, which nobody ducks.
    let half = -db(0.5 + 0.5 * 10.0_f32.powf(-12.0 / 20.0));
    assert!((down_db(&MixSettings { wet: 0.5, ..ducking(12.0) }) - half).abs() < 0.01);
    assert_eq!(down_db(&MixSettings { is_bypassed: true, ..ducking(12.0) }), 0.0);
}

#[test]
fn rumble_is_no_dialogue() {
    let mut block = block_of(48_000, [0.5, 0.0], 1.0);
    let rumble: Vec<f32> =
        (0..48_000).map(|n| 0.05 * (std::f64::consts::TAU * 20.0 * f64::from(n) / RATE_HZ).sin() as f32).collect();
    for channel in &mut block.stems[1] {
        channel.copy_from_slice(&rumble);
    }
    let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
    mixer.set(&ducking(12.0));
    mix(&mut mixer, &block);
    // -29 dBFS of it, above the threshold of -30 by half the knee.
    let key_db = mixer.ducking().key_db.expect("it listens");
    assert!((-46.0..-42.0).contains(&key_db), "{key_db} dBFS");
    assert_eq!(mixer.ducking().down_db(), 0.0);
}

#[test]
fn the_fader_of_the_dialogue_has_no_say_in_how_far_the_music_goes_down() {
    let block = block_of(24_000, [0.5, 0.5], 1.0);
    let muted = MixSettings { strips: [strip(1.0, false, false), strip(1.0, false, true)], ..ducking(6.0) };
    let out = mix_settled(&muted, &block);
    let expected = 0.5 * 10.0_f32.powf(-6.0 / 20.0) * block.dry[0][20_011];
    assert!((out[20_011] - expected).abs() < 1e-4, "expected {expected}, got {}", out[20_011]);
}

#[test]
fn while_masks_come_in_what_stays_is_neither_softer_nor_louder_for_a_moment() {
    // All of it is dialogue. From the stand-in to the stem it is as loud all the way.
    for music in [strip(1.0, false, true), strip(0.25, false, false), strip(4.0, false, false)] {
        let settings = MixSettings { strips: [music, strip(1.0, false, false)], ..unity() };
        for presence in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let block = block_of(480, [0.0, 1.0], presence);
            let out = mix_settled(&settings, &block);
            let change_db = db(peak(&out)) - db(peak(&block.dry[0]));
            assert!(change_db.abs() < 0.001, "music at {music:?}, {presence} of the masks: {change_db} dB");
        }
    }
}

#[test]
fn music_is_no_key_while_masks_come_in() {
    for presence in [0.1, 0.5, 0.9] {
        let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
        mixer.set(&ducking(24.0));
        mix(&mut mixer, &block_of(24_000, [1.0, 0.0], presence));
        assert_eq!(mixer.ducking().down_db(), 0.0, "{presence}");
        assert!(mixer.ducking().key_db.is_some_and(|key_db| key_db < -100.0), "{presence}");
        // And what speaks is one, as far as it is found.
        mix(&mut mixer, &block_of(24_000, [0.0, 1.0], presence));
        let expected_db = -3.0 + db(presence);
        assert!(mixer.ducking().key_db.is_some_and(|key_db| (key_db - expected_db).abs() < 0.5), "{presence}");
    }
}

#[test]
fn a_ducker_that_is_switched_on_hears_nothing_of_what_was_before() {
    let mut mixer = Mixer::new(RATE_HZ, MAX_BLOCK_SAMPLES);
    let off = MixSettings { duck: DuckerSettings::OFF, ..ducking(12.0) };
    let constant = |level: f32| {
        let mut block = block_of(4800, [0.0, 0.0], 1.0);
        block.dry.iter_mut().chain(&mut block.stems[1]).for_each(|channel| channel[..4800].fill(level));
        block
    };
    mixer.set(&ducking(12.0));
    mix(&mut mixer, &constant(0.0));
    // Bass in the dialogue while it is switched off, and until it has come to rest.
    mix(&mut mixer, &constant(0.5));
    mixer.set(&off);
    for _ in 0..20 {
        mix(&mut mixer, &constant(0.5));
    }
    assert!(mixer.ducking().key_db.is_none(), "it listens to nobody");
    mixer.set(&ducking(12.0));
    mix(&mut mixer, &constant(0.0));
    assert!(mixer.ducking().key_db.is_some_and(|key_db| key_db < -100.0), "{:?}", mixer.ducking().key_db);
    assert_eq!(mixer.ducking().down_db(), 0.0);
}
