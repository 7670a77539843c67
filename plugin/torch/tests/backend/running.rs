//! Running the shipped models through the C table.

use crate::common::{IDENTITY, Model, all_shipped, backend, echo, run, separators, shipped};
use crate::edited::with_field;
use cpu_time::ThreadTime;
use std::time::Duration;
use tempfile::TempDir;
use underscore_backend::{Batching, Device, Session, Status};

/// Runs a model's own test vector, returns the largest difference and the tolerance it declares.
fn test_vector_difference(name: &str) -> (f32, f64) {
    let model = Model::load(&shipped(name)).expect("the shipped model");
    let tolerance = model.metadata()["test_vector"]["tolerance"].as_f64().expect("a tolerance");
    let (num_calls, masks_len) = (model.count("/test_vector/num_calls"), model.masks_len());
    let (embedding, calls) = model.test_vector().split_at(model.embedding_size());
    let (spectra, masks) = calls.split_at(num_calls * masks_len * 2);
    assert_eq!(masks.len(), num_calls * masks_len);

    let mut session = model.session(1).expect("a session");
    session.ask(embedding).expect("the vector's own embedding");
    let mut worst = 0.0_f32;
    for (spectrum, expected) in spectra.chunks(masks_len * 2).zip(masks.chunks(masks_len)) {
        for (actual, expected) in run(&mut session, spectrum).iter().zip(expected) {
            let difference = (actual - expected).abs();
            assert!(difference.is_finite());
            worst = worst.max(difference);
        }
    }
    (worst, tolerance)
}

#[test]
fn shipped_models_reproduce_their_test_vectors() {
    for name in all_shipped() {
        let (difference, tolerance) = test_vector_difference(&name);
        assert!(f64::from(difference) <= tolerance, "{name}: {difference} above {tolerance}");
    }
}

#[test]
fn what_is_asked_for_holds_until_something_else_is() {
    let model = echo(Device::CPU);
    let mut session = model.session(2).expect("a session");
    let input = model.spectrum(2, 1);
    let mut mask_when_asked = |first: Option<f32>| {
        match first {
            Some(first) => session.ask(&[first, 9.0, 9.0, 9.0]).expect("four values"),
            None => session.reset(),
        }
        let masks = run(&mut session, &input);
        assert!(masks.iter().all(|mask| *mask == masks[0]));
        masks[0]
    };
    assert_eq!([None, Some(0.25), None, Some(0.75)].map(&mut mask_when_asked), [0.0, 0.25, 0.25, 0.75]);
}

#[test]
fn an_example_has_the_embedding_that_its_model_gives_it() {
    let model = echo(Device::CPU);
    let num_bins = model.count("/num_bins");
    let quarter = (num_bins - 1) / 4;
    // Each quarter of the bins as loud as its number; magnitudes 3-4-5.
    let frame: Vec<f32> = (0..num_bins).flat_map(|bin| [3.0, -4.0].map(|part| part * (bin / quarter) as f32)).collect();
    let mut embedding = [f32::NAN; 4];
    model.encode(&frame.repeat(model.count("/query_frames")), &mut embedding).expect("an embedding");
    assert_eq!(embedding, [0.0, 5.0, 10.0, 15.0]);
}

/// Longest that listening to an example may take, on one thread.
const LONGEST_ENCODE: Duration = Duration::from_millis(50);

#[test]
fn every_shipped_model_that_is_asked_listens_to_an_example_in_time() {
    let models: Vec<(String, Model)> = all_shipped()
        .into_iter()
        .map(|name| (name.clone(), Model::load(&shipped(&name)).expect("the shipped model")))
        .filter(|(_, model)| model.embedding_size() > 0)
        .collect();
    assert!(!models.is_empty(), "no model is asked");
    for (name, model) in models {
        let len = model.count("/query_frames") * model.count("/num_bins") * 2;
        let example: Vec<f32> = model.spectrum(1, 3).into_iter().cycle().take(len).collect();
        let mut embedding = vec![f32::NAN; model.embedding_size()];
        let took = (0..10).map(|_| {
            let start = ThreadTime::now();
            model.encode(&example, &mut embedding).expect("an embedding");
            start.elapsed()
        });
        // Of this thread alone, and the fastest: others may be using the machine.
        let fastest = took.min().expect("ten times");
        println!("{name}: listens to an example in {:.1} ms of one thread", fastest.as_secs_f64() * 1e3);
        assert!(embedding.iter().all(|value| value.is_finite()));
        assert!(fastest < LONGEST_ENCODE, "{name}: {fastest:?}");
    }
}

#[test]
fn a_model_that_is_not_asked_says_so_and_so_do_wrong_lengths() {
    let identity = Model::load(&shipped(IDENTITY)).expect("the shipped model");
    let refused = identity.session(1).expect("a session").ask(&[1.0]).expect_err("nobody asks the identity");
    assert_eq!((refused.status, refused.text.contains("expected 0")), (Status::WRONG_SHAPE, true), "{refused}");
    let refused = identity.encode(&[], &mut []).expect_err("it knows no examples");
    assert!(refused.text.contains("one that is asked by example"), "{refused}");
    let model = echo(Device::CPU);
    let refused = model.session(1).expect("a session").ask(&[1.0]).expect_err("one value of four");
    assert!(refused.text.contains('4'), "{refused}");
    let refused = model.encode(&[0.0; 7], &mut [0.0; 4]).expect_err("no whole example");
    assert_eq!(refused.status, Status::WRONG_SHAPE, "{refused}");
}

#[test]
fn identity_is_one_for_both_channels() {
    let model = Model::load(&shipped(IDENTITY)).expect("the shipped model");
    let mut session = model.session(2).expect("a session");
    let masks = run(&mut session, &model.spectrum(2, 1));
    assert_eq!(masks.len(), 2 * model.masks_len());
    assert!(masks.iter().all(|mask| mask.to_bits() == 1.0_f32.to_bits()));
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn this_libtorch_knows_the_operator_that_packs() {
    let file = include_bytes!("../../src/pack_lstm.pt");
    tch::CModule::load_data(&mut &file[..]).expect("the packer");
}

#[test]
fn packed_recurrent_weights_change_no_bit() {
    let mut num_packed = 0;
    for name in separators() {
        let folder = TempDir::new().expect("a folder");
        let packed = Model::load(&shipped(&name)).expect("the shipped model");
        if packed.metadata()["packs_recurrent_weights"] == false {
            continue;
        }
        num_packed += 1;
        let plain = with_field(&folder, &name, "/packs_recurrent_weights", &false.into());
        let plain = Model::load(&plain).expect("the same without");
        for num_channels in [1, 2] {
            let [mut with, mut without] =
                [&packed, &plain].map(|model| model.session(num_channels).expect("a session"));
            for seed in 0..6 {
                let spectrum = packed.spectrum(num_channels, seed);
                assert!(
                    run(&mut with, &spectrum) == run(&mut without, &spectrum),
                    "{name}: {num_channels} channels, call {seed}"
                );
            }
        }
    }
    assert!(num_packed > 0, "no shipped model has recurrent weights");
}

#[test]
fn a_stream_remembers_and_reset_forgets() {
    for name in separators() {
        let model = Model::load(&shipped(&name)).expect("the shipped model");
        let mut session = model.session(2).expect("a session");
        let input = model.spectrum(2, 3);
        let num_calls = 1 + model.look_ahead_calls();
        let calls = |session: &mut Session| (0..num_calls).map(|_| run(session, &input)).collect::<Vec<_>>();
        let from_zero = calls(&mut session);
        assert!(calls(&mut session) != from_zero, "{name}: the state has no influence");
        session.reset();
        assert!(calls(&mut session) == from_zero, "a reset leaves something");
        assert!(calls(&mut model.session(2).expect("a session")) == from_zero, "another session begins otherwise");
    }
}

#[test]
fn sessions_of_one_model_do_not_disturb_each_other() {
    for name in separators() {
        let model = Model::load(&shipped(&name)).expect("the shipped model");
        let num_calls = 4 + model.look_ahead_calls() as u64;
        let inputs: [Vec<Vec<f32>>; 2] =
            [0, 1].map(|stream| (0..num_calls).map(|call| model.spectrum(1, 100 * stream + call)).collect());
        let alone = inputs.each_ref().map(|stream| {
            let mut session = model.session(1).expect("a session");
            stream.iter().map(|input| run(&mut session, input)).collect::<Vec<_>>()
        });
        let together = std::thread::scope(|scope| {
            let threads = inputs.each_ref().map(|stream| {
                let mut session = model.session(1).expect("a session");
                scope.spawn(move || stream.iter().map(|input| run(&mut session, input)).collect::<Vec<_>>())
            });
            threads.map(|thread| thread.join().expect("the thread"))
        });
        assert!(alone == together, "sessions disturb each other");
    }
}

#[test]
fn a_session_outlives_its_model() {
    let (mut session, input) = {
        let model = Model::load(&shipped(IDENTITY)).expect("the shipped model");
        (model.session(1).expect("a session"), model.spectrum(1, 1))
    };
    assert!(run(&mut session, &input).iter().all(|mask| mask.is_finite()));
}

#[test]
fn a_wrong_length_is_refused_and_the_stream_goes_on() {
    for name in separators() {
        let model = Model::load(&shipped(&name)).expect("the shipped model");
        let mut session = model.session(1).expect("a session");
        let input = model.spectrum(1, 5);
        let mut masks = vec![0.0; model.masks_len()];
        let short = session.run(Batching::NEVER, &input[2..], &mut masks).expect_err("a short spectrum");
        assert_eq!(short.status, Status::WRONG_SHAPE);
        for len in [input.len(), input.len() - 2] {
            assert!(short.text.contains(&len.to_string()), "{len} is not told: {}", short.text);
        }
        let long = session.run(Batching::NEVER, &input, &mut vec![0.0; model.masks_len() + 1]).expect_err("long masks");
        assert_eq!(long.status, Status::WRONG_SHAPE);
        assert!(masks.iter().all(|mask| *mask == 0.0), "a refused call wrote");
        run(&mut session, &input);
    }
}

#[test]
fn several_calls_at_once_are_the_same_calls_one_by_one() {
    for name in separators() {
        let model = Model::load(&shipped(&name)).expect("the shipped model");
        let num_calls = 5 + model.look_ahead_calls() as u64;
        let calls: Vec<_> = (0..num_calls).map(|seed| model.spectrum(1, seed)).collect();
        let mut one_by_one = model.session(1).expect("a session");
        let expected: Vec<f32> = calls.iter().flat_map(|call| run(&mut one_by_one, call)).collect();
        let mut at_once = model.session(1).expect("a session");
        let first = run(&mut at_once, &calls[0]);
        let actual = [first, run(&mut at_once, &calls[1..].concat())].concat();
        assert_eq!(actual.len(), expected.len());
        for (at, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
            assert!((actual - expected).abs() < 1e-4, "{name}: expected {expected} at {at}, got {actual}");
        }
    }
}

#[test]
fn the_processor_is_there_and_unknown_devices_are_not() {
    assert_eq!(backend().probe(Device::CPU).as_deref(), Ok("processor, one thread"));
    let failure = backend().probe(Device(7)).expect_err("no such device");
    assert_eq!(failure.status, Status::NO_DEVICE);
    assert!(failure.text.contains("device number 7"), "{failure}");
}

#[test]
fn cuda_is_named_or_explained() {
    match backend().probe(Device::CUDA) {
        Ok(name) => assert_eq!(name, "first CUDA device"),
        Err(failure) => {
            assert_eq!(failure.status, Status::NO_DEVICE);
            assert!(failure.text.contains("choose the CPU"), "{failure}");
            let failure = backend().load(&shipped(IDENTITY), Device::CUDA).expect_err("no CUDA to load onto");
            assert_eq!(failure.status, Status::NO_DEVICE);
        }
    }
}
