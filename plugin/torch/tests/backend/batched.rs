//! Streams that run together: those of a card, and those for which there are too few processors.

use crate::common::{IDENTITY, Model, backend, echo, run, separators, shipped};
use crate::edited::{counting, counting_failures, with_another_stem};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use underscore_backend::{Batching, Device, Session, Status};

/// Of masks; a product of matrices sums in another order when there are more rows, and on a card in yet another one.
const TOLERANCES: [(Device, f32); 3] = [(Device::CPU, 1e-5), (Device::CPU_AS_CARD, 1e-5), (Device::CUDA, 1e-3)];

/// Where streams run together here: on a card, too, if there is one.
fn devices() -> impl Iterator<Item = (Device, f32)> {
    TOLERANCES.into_iter().filter(|(device, _)| backend().probe(*device).is_ok())
}

/// Streams at once: more channels than a card's arena has room for at first, and more streams than most processors take at a time.
const NUM_STREAMS: u64 = 9;

/// What one stream is asked and given, call by call; before some calls it begins anew.
struct Play {
    num_channels: usize,
    embedding: Vec<f32>,
    spectra: Vec<Vec<f32>>,
    reset_before: Option<usize>,
}

impl Play {
    fn new(model: &Model, seed: u64) -> Self {
        let asked = (0..model.embedding_size()).map(|place| (seed as f32 + 0.7 * place as f32).sin());
        let num_channels = 1 + seed as usize % 2;
        let num_before = model.look_ahead_calls();
        Self {
            num_channels,
            embedding: asked.collect(),
            spectra: (0..num_before as u64 + 6).map(|call| model.spectrum(num_channels, 100 * seed + call)).collect(),
            reset_before: seed.is_multiple_of(3).then_some(num_before + 4),
        }
    }

    fn session(&self, model: &Model) -> Session {
        let mut session = model.session(self.num_channels).expect("a session");
        session.ask(&self.embedding).expect("as long as the model says");
        session
    }

    fn masks(&self, batching: Batching, session: &mut Session) -> Vec<f32> {
        let masks = self.spectra.iter().enumerate().map(|(call, spectrum)| {
            if self.reset_before == Some(call) {
                session.reset();
            }
            let mut masks = vec![f32::NAN; spectrum.len() / 2];
            session.run(batching, spectrum, &mut masks).expect("a run");
            masks
        });
        masks.flatten().collect()
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|mask| mask.is_finite()), "a mask is no number");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn streams_that_run_together_are_each_as_alone() {
    for name in separators() {
        let alone = Model::load(&shipped(&name)).expect("the shipped model");
        let plays: Vec<Play> = (0..NUM_STREAMS).map(|seed| Play::new(&alone, seed)).collect();
        let expected: Vec<Vec<f32>> =
            plays.iter().map(|play| play.masks(Batching::NEVER, &mut play.session(&alone))).collect();
        for (device, tolerance) in devices() {
            let together = Model::load_on(device, &shipped(&name)).expect("the shipped model");
            let actual: Vec<Vec<f32>> = std::thread::scope(|scope| {
                let threads: Vec<_> = plays
                    .iter()
                    .map(|play| {
                        let mut session = play.session(&together);
                        scope.spawn(move || play.masks(Batching::ALLOWED, &mut session))
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("the thread")).collect()
            });
            let differences = expected.iter().zip(&actual).map(|(a, b)| largest_difference(a, b));
            let worst = differences.fold(0.0, f32::max);
            println!("{name}, {device:?}: {} streams at once differ by {worst:.1e} from each alone", plays.len());
            assert!(worst < tolerance, "{name}, {device:?}: {worst}");
        }
    }
}

/// Says that it is over when it is dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_call_that_is_run_alone_has_the_same_bits_whatever_others_do() {
    for name in separators() {
        for device in [Device::CPU, Device::CPU_AS_CARD] {
            let model = Model::load_on(device, &shipped(&name)).expect("the shipped model");
            let play = Play::new(&model, 1);
            let undisturbed = play.masks(Batching::NEVER, &mut play.session(&model));
            let (is_over, all_play) = (AtomicBool::new(false), Barrier::new(NUM_STREAMS as usize - 1));
            let beside_others = std::thread::scope(|scope| {
                for seed in 2..NUM_STREAMS {
                    let (model, is_over, all_play) = (&model, &is_over, &all_play);
                    scope.spawn(move || {
                        let other = Play::new(model, seed);
                        let mut session = other.session(model);
                        all_play.wait();
                        while !is_over.load(Ordering::Relaxed) {
                            other.masks(Batching::ALLOWED, &mut session);
                        }
                    });
                }
                // Whatever comes of it, the others end.
                let _end = End(&is_over);
                all_play.wait();
                play.masks(Batching::NEVER, &mut play.session(&model))
            });
            assert!(beside_others == undisturbed, "{name}, {device:?}");
        }
    }
}

#[test]
fn a_place_that_was_given_back_remembers_nothing() {
    for name in separators() {
        let model = Model::load_on(Device::CPU_AS_CARD, &shipped(&name)).expect("the shipped model");
        let play = Play::new(&model, 1);
        let mut kept = Vec::new();
        let mut first = None;
        // More than a card's arena has places at first, and then those that were given back in another order.
        for round in 0..14 {
            let mut session = play.session(&model);
            let masks = play.masks(Batching::NEVER, &mut session);
            assert!(*first.get_or_insert(masks.clone()) == masks, "{name}: a stream begins otherwise");
            kept.push(session);
            if round % 3 == 2 {
                kept.swap_remove(round / 3);
            }
        }
    }
}

#[test]
fn each_stream_of_a_batch_that_fails_is_told_as_if_it_were_alone() {
    let folder = TempDir::new().expect("a folder");
    let path = with_another_stem(&folder);
    for device in [Device::CPU, Device::CPU_AS_CARD] {
        let model = Model::load_on(device, &path).expect("a model that looks right");
        let input = model.spectrum(1, 1);
        std::thread::scope(|scope| {
            for _ in 0..NUM_STREAMS {
                let mut session = model.session(1).expect("a session");
                let input = &input;
                scope.spawn(move || {
                    for _ in 0..3 {
                        let mut masks = vec![0.0; input.len()];
                        let failure = session.run(Batching::ALLOWED, input, &mut masks).expect_err("a wrong mask");
                        assert_eq!(failure.status, Status::WRONG_SHAPE, "{device:?}: {failure}");
                        assert!(failure.text.starts_with("mask: expected Float [2, "), "{device:?}: {failure}");
                        assert_eq!(failure.text.matches("expected").count(), 1, "{device:?}: {failure}");
                    }
                });
            }
        });
    }
}

#[test]
fn each_of_those_that_run_together_is_asked_for_its_own() {
    for device in [Device::CPU, Device::CPU_AS_CARD] {
        let model = echo(device);
        let input = model.spectrum(1, 1);
        std::thread::scope(|scope| {
            for stream in 0..NUM_STREAMS {
                let (mut session, input) = (model.session(1).expect("a session"), &input);
                let asked = stream as f32 / 16.0;
                session.ask(&[asked, 9.0, 9.0, 9.0]).expect("four values");
                scope.spawn(move || {
                    for _ in 0..20 {
                        let mut masks = vec![f32::NAN; input.len() / 2];
                        session.run(Batching::ALLOWED, input, &mut masks).expect("a run");
                        assert!(masks.iter().all(|mask| mask.to_bits() == asked.to_bits()), "{device:?}: {asked}");
                    }
                });
            }
        });
    }
}

#[test]
fn a_card_listens_to_examples_as_the_processor_does() {
    for name in separators() {
        let [processor, card] =
            [Device::CPU, Device::CPU_AS_CARD].map(|device| Model::load_on(device, &shipped(&name)).expect("a model"));
        if processor.embedding_size() == 0 {
            continue;
        }
        let len = processor.count("/query_frames") * processor.count("/num_bins") * 2;
        let example: Vec<f32> = processor.spectrum(1, 3).into_iter().cycle().take(len).collect();
        let [expected, actual] = [&processor, &card].map(|model| {
            let mut embedding = vec![f32::NAN; model.embedding_size()];
            model.encode(&example, &mut embedding).expect("an embedding");
            embedding
        });
        assert!(expected == actual, "{name}: {expected:?}, {actual:?}");
    }
}

#[test]
fn more_channels_than_a_batch_may_have_are_several_batches() {
    // Nine times as many as a session may have.
    let model = Model::load_on(Device::CPU_AS_CARD, &shipped(IDENTITY)).expect("the shipped model");
    let input = model.spectrum(64, 1);
    std::thread::scope(|scope| {
        for _ in 0..9 {
            let mut session = model.session(64).expect("a session");
            let input = &input;
            scope.spawn(move || {
                let mut masks = vec![f32::NAN; input.len() / 2];
                session.run(Batching::ALLOWED, input, &mut masks).expect("a run");
                assert!(masks.iter().all(|mask| mask.to_bits() == 1.0_f32.to_bits()));
            });
        }
    });
}

#[test]
fn a_batch_that_is_too_large_for_the_card_is_run_in_parts_and_no_stream_loses_what_it_had() {
    const NUM_CALLS: usize = 200;
    let folder = TempDir::new().expect("a folder");
    let model = Model::load_on(Device::CPU_AS_CARD, &counting(&folder, 4)).expect("a model that looks right");
    let input = model.spectrum(1, 1);
    let (num_in_batches, all_call) = (8, Barrier::new(8));
    std::thread::scope(|scope| {
        for stream in 0..num_in_batches {
            let (mut session, input, all_call) = (model.session(1).expect("a session"), &input, &all_call);
            scope.spawn(move || {
                let mut masks = vec![f32::NAN; input.len() / 2];
                for call in 1..=NUM_CALLS {
                    all_call.wait();
                    session.run(Batching::ALLOWED, input, &mut masks).expect("a run");
                    let expected = call as f32;
                    assert!(masks.iter().all(|mask| mask.to_bits() == expected.to_bits()), "{stream}: {}", masks[0]);
                }
            });
        }
    });
    // One that is too large by itself is told so, and begins anew.
    let mut session = model.session(5).expect("a session");
    let mut masks = vec![f32::NAN; 5 * input.len() / 2];
    let failure = session.run(Batching::ALLOWED, &model.spectrum(5, 1), &mut masks).expect_err("too many rows");
    assert!(failure.status == Status::RUN_FAILED && failure.text.contains("out of memory"), "{failure}");
}

#[test]
fn of_a_batch_in_which_one_stream_is_too_large_the_others_are_not_tried_with_it_again_and_again() {
    const NUM_CALLS: usize = 100;
    let folder = TempDir::new().expect("a folder");
    let num_failed = folder.path().join("num_failed");
    std::fs::write(&num_failed, 0.0_f32.to_ne_bytes()).expect("a number");
    let path = counting_failures(&folder, 4, &num_failed);
    let model = Model::load_on(Device::CPU_AS_CARD, &path).expect("a model that looks right");
    let all_call = Barrier::new(4);
    std::thread::scope(|scope| {
        for num_channels in [5, 1, 1, 1] {
            let (mut session, all_call) = (model.session(num_channels).expect("a session"), &all_call);
            let input = model.spectrum(num_channels, 1);
            scope.spawn(move || {
                let mut masks = vec![f32::NAN; input.len() / 2];
                for call in 1..=NUM_CALLS {
                    all_call.wait();
                    let result = session.run(Batching::ALLOWED, &input, &mut masks);
                    assert_eq!(result.is_ok(), num_channels < 5, "{call}: {result:?}");
                }
            });
        }
    });
    let bytes = std::fs::read(&num_failed).expect("a number");
    let num_failed = f32::from_ne_bytes(bytes.try_into().expect("four bytes"));
    println!("{num_failed} attempts failed in {NUM_CALLS} rounds");
    // Each time the stream that is too large by itself, and with others until that is known.
    assert!(num_failed >= NUM_CALLS as f32 && num_failed < 1.2 * NUM_CALLS as f32, "{num_failed}");
}

#[test]
fn a_batched_model_without_state_runs_and_its_session_outlives_it() {
    let (mut session, input) = {
        let model = Model::load_on(Device::CPU_AS_CARD, &shipped(IDENTITY)).expect("the shipped model");
        (model.session(2).expect("a session"), model.spectrum(2, 1))
    };
    assert!(run(&mut session, &input).iter().all(|mask| mask.to_bits() == 1.0_f32.to_bits()));
    session.reset();
    assert!(run(&mut session, &input).iter().all(|mask| mask.to_bits() == 1.0_f32.to_bits()));
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_runs_the_streams_is_scheduled_as_the_one_that_waits() {
    // (policy, field 41; proc(5)), of the thread of that name that this model has.
    fn policies() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
        let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        stats
            .filter_map(|stat| {
                let (name, rest) = stat.rsplit_once(')')?;
                name.ends_with("(underscore card").then(|| rest.split_whitespace().nth(38).map(str::to_owned))?
            })
            .collect()
    }
    let model = Model::load_on(Device::CPU_AS_CARD, &shipped(IDENTITY)).expect("the shipped model");
    let mut session = model.session(1).expect("a session");
    let input = model.spectrum(1, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let param = libc::sched_param { sched_priority: 1 };
            // SAFETY: the calling thread exists, and the parameter lives until the call returns.
            let status = unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_RR, &raw const param) };
            run(&mut session, &input);
            println!("real-time threads are granted: {}", status == 0);
            // Models of other tests have ordinary threads.
            assert_eq!(policies().contains(&libc::SCHED_RR.to_string()), status == 0);
        });
    });
    run(&mut session, &input);
    assert!(!policies().contains(&libc::SCHED_RR.to_string()), "it stays ahead of others for nobody");
}
