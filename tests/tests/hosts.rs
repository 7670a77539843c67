//! What hosts do to a plugin while it plays: they stop, jump, activate again and again, and bring libraries of their own.

mod common;

use common::{APART_DB, EXACT_DB, RATES_HZ, asked, fail_as_late, open};
use host_tests::signals::programme;
use host_tests::{
    Bundle, Buses, Config, HostError, Instance, ParamChange, Processor, Recorder, Rendering, peak_db,
    raise_to_real_time, render, render_onto, resident_bytes, residual_db, sum_of, wait_until_loaded,
};
use std::time::Duration;

const RATE_HZ: f64 = 48_000.0;
const BLOCK_SAMPLES: usize = 256;
const LIVE: Config = Config { rate_hz: RATE_HZ, max_block_samples: BLOCK_SAMPLES, num_channels: 2, offline: false };

/// Memory that nine activations may leave behind: less than one of them takes.
const MAX_GROWTH_MB: f64 = 5.0;

/// What was heard, `[channel][sample]` each, as long as what was played.
#[derive(Default)]
struct Heard {
    /// All stems together.
    sum: Vec<Vec<f32>>,
    /// The first one, before it is added up with what it leaves: of `Identity` all of the input.
    first: Vec<Vec<f32>>,
}

impl Heard {
    fn extend(&mut self, other: Self) {
        for (tracks, others) in [(&mut self.sum, other.sum), (&mut self.first, other.first)] {
            tracks.resize(others.len(), Vec::new());
            tracks.iter_mut().zip(others).for_each(|(track, channel)| track.extend(channel));
        }
    }
}

/// What is tried again where frames were late: it is the machine's doing, and of what is late only the sum is known.
const MAX_ATTEMPTS: usize = 4;

/// Makes sure of what is known of what was heard of `sound`: that the stems sum to it, delayed; and where no frame was late or without masks,
/// that `Identity` gives all of it to the first stem, and any other model another part than an equal share. Whether no frame was.
#[track_caller]
fn judge(what: &str, bundle: &Bundle, heard: &Heard, sound: &[Vec<f32>], latency_samples: usize) -> bool {
    let aligned = |tracks: &[Vec<f32>]| -> Vec<Vec<f32>> {
        tracks.iter().map(|channel| channel[latency_samples..].to_vec()).collect()
    };
    let (sum, first) = (aligned(&heard.sum), aligned(&heard.first));
    let delayed: Vec<Vec<f32>> = sound.iter().map(|channel| channel[..sum[0].len()].to_vec()).collect();
    let share: Vec<Vec<f32>> = delayed.iter().map(|channel| channel.iter().map(|x| 0.5 * x).collect()).collect();
    let [sum_db, first_db] = [&sum, &first].map(|signal| residual_db(&delayed, signal));
    let apart_db = residual_db(&share, &first);
    let diagnostics = bundle.diagnostics().unwrap();
    let engine = diagnostics.newest().unwrap();
    let (num_late, num_unmasked) = (engine.num_late_frames, engine.num_unmasked_frames);
    let what = format!("{}, {what}", engine.model);
    println!(
        "{what}: the sum is {sum_db:.1} dBFS from the delayed input, the first stem {first_db:.1}, and {apart_db:.1} from half of it; {num_late} \
         frames late, {num_unmasked} without masks"
    );
    assert_eq!((engine.state.as_str(), diagnostics.alloc_violations), ("running", 0), "{what}: {}", engine.message);
    assert!(sum_db <= EXACT_DB, "{what}: the stems do not sum to the delayed input");
    let is_in_time = num_late == 0 && num_unmasked == 0;
    if is_in_time && engine.model == "identity" {
        assert!(first_db <= EXACT_DB, "{what}: the first stem is not the delayed input");
    } else if is_in_time {
        assert!((APART_DB..f64::INFINITY).contains(&apart_db), "{what}: nothing was separated");
    }
    is_in_time
}

/// Plays whole blocks of `input` in real time, on a thread with an audio thread's priority, where the system grants it: the worker then goes ahead
/// of other programs, too.
fn play(processor: &mut Processor, input: &[Vec<f32>]) -> Heard {
    let play = || {
        let _ = raise_to_real_time();
        play_here(processor, input)
    };
    std::thread::scope(|scope| scope.spawn(play).join().unwrap())
}

fn play_here(processor: &mut Processor, input: &[Vec<f32>]) -> Heard {
    let mut heard = Heard::default();
    for begin in (0..input[0].len()).step_by(BLOCK_SAMPLES) {
        let bus = processor.inputs_mut(BLOCK_SAMPLES).main_mut().unwrap();
        for (channel_idx, channel) in input.iter().enumerate() {
            bus.channel_mut(channel_idx)[..BLOCK_SAMPLES].copy_from_slice(&channel[begin..begin + BLOCK_SAMPLES]);
        }
        processor.process(BLOCK_SAMPLES, &[]).unwrap();
        let stems: Vec<Vec<Vec<f32>>> = processor
            .outputs()
            .aux()
            .map(|bus| (0..input.len()).map(|channel_idx| bus.channel(channel_idx)[..BLOCK_SAMPLES].to_vec()).collect())
            .collect();
        let slices: Vec<&[Vec<f32>]> = stems.iter().map(Vec::as_slice).collect();
        let sum = sum_of(&slices);
        heard.extend(Heard { sum, first: stems.into_iter().next().unwrap_or_default() });
        std::thread::sleep(Duration::from_secs_f64(BLOCK_SAMPLES as f64 / RATE_HZ));
    }
    heard
}

fn blocks(seconds: f64) -> usize {
    (seconds * RATE_HZ / BLOCK_SAMPLES as f64) as usize * BLOCK_SAMPLES
}

#[test]
fn a_pause_shifts_nothing_and_a_jump_forgets() {
    let bundle = open();
    for model in ["music-5", "identity"] {
        if !(0..MAX_ATTEMPTS).any(|_| pause_and_jump(&bundle, model)) {
            fail_as_late(&format!("{model}: in every attempt frames were late: only the sum was tested"));
        }
    }
}

/// Whether no frame was late.
fn pause_and_jump(bundle: &Bundle, model: &str) -> bool {
    let mut instance = bundle.create(None).unwrap();
    instance.configure(LIVE).unwrap();
    instance.set("model", model).unwrap();
    let mut processor = instance.activate().unwrap();
    processor.start().unwrap();
    wait_until_loaded(bundle, &mut instance, &mut processor, Duration::from_mins(2)).unwrap();
    let latency_samples = instance.latency_samples();
    let sound = programme(2, blocks(3.0), RATE_HZ, 11);
    let part =
        |from: usize, to: usize| -> Vec<Vec<f32>> { sound.iter().map(|channel| channel[from..to].to_vec()).collect() };

    // A host that was stopped calls nobody, for as long as the person likes; the worker meanwhile looks less and less often.
    let middle = blocks(1.5);
    let mut heard = play(&mut processor, &part(0, middle));
    std::thread::sleep(Duration::from_secs(4));
    heard.extend(play(&mut processor, &part(middle, sound[0].len())));
    let mut is_in_time = judge("across a pause of 4 s", bundle, &heard, &sound, latency_samples);

    // A jump or a loop: the host resets, and what was on its way is gone.
    for pass in 0..3 {
        processor.reset();
        let heard = play(&mut processor, &part(0, middle));
        let before: Vec<Vec<f32>> = heard.sum.iter().map(|channel| channel[..latency_samples].to_vec()).collect();
        assert_eq!(peak_db(&before), f64::NEG_INFINITY, "something of before the jump is left");
        is_in_time = judge(&format!("jump {pass}"), bundle, &heard, &sound, latency_samples);
    }
    processor.stop().unwrap();
    instance.deactivate(processor);
    is_in_time
}

#[test]
fn nine_activations_leave_nothing_behind() {
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    let mut resident = Vec::new();
    // Twice the same: what the first nine take at most, the allocator may keep and give to the second nine.
    for round in 0..2 {
        for (activation, rate_idx) in [6, 2, 9, 6, 1, 10, 4, 8, 6].into_iter().enumerate() {
            let rate_hz = RATES_HZ[rate_idx];
            let config = Config { rate_hz, max_block_samples: 64 << (rate_idx % 5), num_channels: 2, offline: true };
            instance.configure(config).unwrap();
            let input = programme(2, (0.7 * rate_hz) as usize, rate_hz, 12);
            let rendered = render(&bundle, &mut instance, &Rendering::new(&input, config.max_block_samples)).unwrap();
            let residual = residual_db(&input, &rendered.aligned_sum());
            let diagnostics = rendered.diagnostics.unwrap();
            let engine = diagnostics.newest().unwrap();
            assert_eq!(engine.state, "running", "{}", engine.message);
            assert_eq!(diagnostics.instances.len(), 1, "an engine of before is left");
            assert!(residual <= EXACT_DB, "round {round}, activation {activation} at {rate_hz} Hz: {residual} dBFS");
        }
        resident.extend(resident_bytes());
    }
    if let [before, after] = resident[..] {
        let growth_mb = (after as f64 - before as f64) / 1e6;
        println!("memory from the ninth to the eighteenth activation: {growth_mb:+.1} MB");
        assert!(growth_mb < MAX_GROWTH_MB, "{growth_mb:.1} MB more");
    }
}

/// What the main output plays of `input` where `each` sees to every block first; samples of a port that is not passed are not looked at. All of it is
/// separated: where nothing is, all of them play the same.
#[track_caller]
fn main_of(
    bundle: &Bundle,
    instance: &mut Instance,
    input: &[Vec<f32>],
    mut each: impl FnMut(usize, &mut Processor) -> Vec<ParamChange>,
) -> Vec<Vec<f32>> {
    let mut processor = instance.activate().unwrap();
    processor.start().unwrap();
    let mut heard = vec![Vec::new(); input.len()];
    for (block_idx, begin) in (0..input[0].len()).step_by(BLOCK_SAMPLES).enumerate() {
        let changes = each(block_idx, &mut processor);
        let bus = processor.inputs_mut(BLOCK_SAMPLES).main_mut().unwrap();
        for (channel_idx, channel) in input.iter().enumerate() {
            bus.channel_mut(channel_idx)[..BLOCK_SAMPLES].copy_from_slice(&channel[begin..begin + BLOCK_SAMPLES]);
        }
        processor.process(BLOCK_SAMPLES, &changes).unwrap();
        let bus = processor.outputs().main().unwrap();
        for (channel_idx, track) in heard.iter_mut().enumerate() {
            track.extend_from_slice(&bus.channel(channel_idx)[..BLOCK_SAMPLES]);
        }
    }
    let diagnostics = bundle.diagnostics().unwrap();
    let engine = diagnostics.newest().unwrap();
    assert_eq!(engine.state, "running", "{}", engine.message);
    assert_eq!([engine.num_late_frames, engine.num_unmasked_frames], [0, 0], "frames late, and frames without masks");
    processor.stop().unwrap();
    instance.deactivate(processor);
    heard
}

fn offline(bundle: &Bundle) -> Instance {
    let mut instance = bundle.create(None).unwrap();
    instance.configure(Config { offline: true, ..LIVE }).unwrap();
    instance
}

#[test]
fn a_host_that_passes_the_main_ports_alone_hears_them_and_may_add_the_others_later() {
    let bundle = open();
    let input = programme(2, blocks(2.0), RATE_HZ, 14);
    let mut instance = offline(&bundle);
    // So that stems are in the main output, too.
    let at_unity = main_of(&bundle, &mut instance, &input, |_, _| Vec::new());
    instance.set("music_gain", "-12").unwrap();
    let expected = main_of(&bundle, &mut instance, &input, |_, _| Vec::new());
    let apart_db = residual_db(&at_unity, &expected);
    assert!((APART_DB..f64::INFINITY).contains(&apart_db), "12 dB less music make {apart_db:.1} dBFS of difference");
    let middle = input[0].len() / BLOCK_SAMPLES / 2;
    for ports in [[1, 1], [2, 1], [1, 5], [1, 3]] {
        let actual = main_of(&bundle, &mut instance, &input, |block_idx, processor| {
            let [num_inputs, num_outputs] = if block_idx < middle { ports } else { [usize::MAX; 2] };
            processor.pass_ports(num_inputs, num_outputs);
            Vec::new()
        });
        let different = expected.iter().flatten().zip(actual.iter().flatten()).filter(|(a, b)| a != b).count();
        assert_eq!(different, 0, "with {ports:?} ports {different} samples differ");
    }
    // Without a main port nothing is heard, or silence: the others come back all the same.
    for ports in [[1, 0], [0, 0], [2, 0], [0, 1], [0, 5]] {
        let actual = main_of(&bundle, &mut instance, &input, |block_idx, processor| {
            let [num_inputs, num_outputs] = if block_idx < 20 { ports } else { [usize::MAX; 2] };
            processor.pass_ports(num_inputs, num_outputs);
            Vec::new()
        });
        assert!(peak_db(&[actual[0][actual[0].len() / 2..].to_vec()]) > -60.0, "with {ports:?} ports at first");
    }
    assert_eq!(bundle.diagnostics().unwrap().alloc_violations, 0);
}

#[test]
fn a_sidechain_that_is_connected_later_can_be_captured_and_so_can_one_that_is_gone_again() {
    let bundle = open();
    let mut instance = offline(&bundle);
    let query = asked(&bundle).swap_remove(0);
    instance.set("model", &query).unwrap();
    let no_example = instance.save_state().unwrap();
    let sound = programme(2, blocks(4.0), RATE_HZ, 15);
    let num_blocks = sound[0].len() / BLOCK_SAMPLES;
    let capture = ["on", "off"].map(|text| instance.change("query_capture", text).unwrap());
    let captured = |connected: std::ops::Range<usize>, at: usize| {
        let mut instance = offline(&bundle);
        instance.load_state(&no_example).unwrap();
        main_of(&bundle, &mut instance, &sound, |block_idx, processor| {
            let is_connected = connected.contains(&block_idx);
            processor.pass_ports(if is_connected { 2 } else { 1 }, usize::MAX);
            if is_connected {
                let begin = block_idx * BLOCK_SAMPLES;
                let sidechain = processor.inputs_mut(BLOCK_SAMPLES).iter_mut().find(|bus| !bus.is_main()).unwrap();
                for (channel_idx, channel) in sound.iter().enumerate() {
                    let samples = &channel[begin..begin + BLOCK_SAMPLES];
                    sidechain.channel_mut(channel_idx)[..BLOCK_SAMPLES].copy_from_slice(samples);
                }
            }
            match block_idx.checked_sub(at) {
                Some(since @ 0..2) => vec![capture[since]],
                _ => Vec::new(),
            }
        });
        instance.save_state().unwrap() != no_example
    };
    assert!(!captured(0..0, num_blocks - 2), "a sidechain that is not connected gave an example");
    assert!(captured(num_blocks / 2..num_blocks, num_blocks - 2), "one that was connected later gave none");
    assert!(captured(0..blocks(0.8) / BLOCK_SAMPLES, num_blocks - 2), "what it played before it was gone is gone, too");
}

#[test]
fn an_event_beyond_its_block_comes_with_the_end_of_it() {
    let bundle = open();
    let input = programme(2, blocks(1.0), RATE_HZ, 16);
    let mut instance = offline(&bundle);
    let (muted, heard) = (instance.change("music_mute", "on").unwrap(), instance.change("music_mute", "off").unwrap());
    let mut play = |offset_samples: usize| {
        main_of(&bundle, &mut instance, &input, |block_idx, _| match block_idx {
            0 => vec![heard],
            100 => vec![ParamChange { offset_samples, ..muted }],
            _ => Vec::new(),
        })
    };
    let within = play(BLOCK_SAMPLES - 1);
    for offset_samples in [BLOCK_SAMPLES, 10 * BLOCK_SAMPLES, u32::MAX as usize] {
        assert!(play(offset_samples) == within, "at {offset_samples}");
    }
    assert!(play(0) != within, "the mute changes nothing");
}

#[test]
fn an_instance_that_plays_is_activated_anew_and_called_by_one_thread_after_the_other() {
    let bundle = open();
    let sound = programme(2, blocks(0.6), RATE_HZ, 17);
    let mut instance = bundle.create(None).unwrap();
    for activation in 0..9 {
        // What the one separates is known to the sample, the other has the least time for it.
        instance.set("model", if activation % 2 == 0 { "live-1" } else { "identity" }).unwrap();
        instance.configure(Config { max_block_samples: BLOCK_SAMPLES << (activation % 3), ..LIVE }).unwrap();
        let what = format!("activation {activation}");
        if !(0..MAX_ATTEMPTS).any(|_| play_from_many_threads(&what, &bundle, &mut instance, &sound)) {
            fail_as_late(&format!("{what}: in every attempt frames were late: only the sum was tested"));
        }
    }
}

/// Whether no frame was late.
fn play_from_many_threads(what: &str, bundle: &Bundle, instance: &mut Instance, sound: &[Vec<f32>]) -> bool {
    let mut processor = instance.activate().unwrap();
    processor.start().unwrap();
    wait_until_loaded(bundle, instance, &mut processor, Duration::from_mins(1)).unwrap();
    processor.reset();
    let mut heard = Heard::default();
    // A thread for each part, as hosts with a pool of them have it.
    for begin in (0..sound[0].len()).step_by(8 * BLOCK_SAMPLES) {
        let end = (begin + 8 * BLOCK_SAMPLES).min(sound[0].len());
        let part: Vec<Vec<f32>> = sound.iter().map(|channel| channel[begin..end].to_vec()).collect();
        heard.extend(play(&mut processor, &part));
    }
    let is_in_time = judge(what, bundle, &heard, sound, instance.latency_samples());
    processor.stop().unwrap();
    instance.deactivate(processor);
    is_in_time
}

/// A disk that is full after some blocks.
struct FullDisk {
    num_blocks_left: usize,
}

impl Recorder for FullDisk {
    fn begin(&mut self, _: &Buses, _: usize, _: usize) -> Result<(), HostError> {
        Ok(())
    }

    fn record(&mut self, _: &Buses, _: usize) -> Result<(), HostError> {
        self.num_blocks_left =
            self.num_blocks_left.checked_sub(1).ok_or_else(|| HostError::Recorder("no space left".into()))?;
        Ok(())
    }
}

#[test]
fn a_render_whose_outputs_cannot_be_kept_ends_and_the_instance_renders_again() {
    let bundle = open();
    let mut instance = bundle.create(None).unwrap();
    instance.configure(Config { offline: true, ..LIVE }).unwrap();
    let input = programme(2, blocks(1.0), RATE_HZ, 13);
    let rendering = Rendering::new(&input, BLOCK_SAMPLES);
    let ended = render_onto(&bundle, &mut instance, &rendering, FullDisk { num_blocks_left: 20 });
    assert!(matches!(ended, Err(HostError::Recorder(_))));
    let rendered = render(&bundle, &mut instance, &rendering).unwrap();
    assert!(residual_db(&input, &rendered.aligned_sum()) <= EXACT_DB);
}

#[cfg(target_os = "linux")]
#[test]
fn a_libtorch_that_somebody_else_has_opened_does_no_harm() {
    use common::{bundle_file, probe, resources};
    use host_tests::probe::Scenario;

    let folder = tempfile::tempdir().unwrap();
    for entry in resources().join("lib/libtorch").read_dir().unwrap() {
        let source = entry.unwrap().path().canonicalize().unwrap();
        std::fs::copy(&source, folder.path().join(source.file_name().unwrap())).unwrap();
    }
    let outcome =
        probe(&Scenario { others: vec![folder.path().join("libtorch_cpu.so")], ..Scenario::new(bundle_file()) }, &[]);
    println!("{}: residual {:.1} dBFS, {:?} late", outcome.state, outcome.sum_residual_db, outcome.num_late_frames);
    // The linker knows libraries by their names: what the backend needs is there already, and no second copy is opened.
    let of_somebody = |file: &String| file.starts_with(folder.path().to_str().unwrap());
    let is_libtorch = |file: &&String| file.contains("libtorch_cpu");
    assert!(!outcome.libtorch_at_scan.is_empty() && outcome.libtorch_at_scan.iter().all(of_somebody), "{outcome:?}");
    let in_use: Vec<&String> = outcome.libtorch_in_use.iter().filter(is_libtorch).collect();
    assert!(in_use.len() == 1 && in_use.into_iter().all(of_somebody), "{outcome:?}");
    assert_eq!((outcome.state.as_str(), outcome.message.as_str()), ("running", ""));
    assert!(outcome.sum_residual_db <= EXACT_DB && outcome.separation_db > -60.0, "{outcome:?}");
}
