//! A card that hangs, with the processor for one, and calls that end when they are told to. In a program of its own: what is known of a card is
//! known to the whole process, and other tests would find no card meanwhile.

#[allow(dead_code, reason = "the other tests of the backend use the rest")]
#[path = "../backend/common.rs"]
mod common;
#[allow(dead_code, reason = "the other tests of the backend use the rest")]
#[path = "../backend/edited.rs"]
mod edited;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{IDENTITY, Model, shipped};
use edited::{number_in, with_code};
use tempfile::TempDir;
use underscore_backend::{Batching, Device, Failure, Session, Status};

/// For so long a call is waited for, from the 33rd on; and the least by which twice as long is missed.
const PATIENCE: Duration = Duration::from_secs(5);
const TOO_LONG: Duration = Duration::from_secs(8);

/// What is known by now is told in less.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Far more than anything takes that ends.
const LONG: Duration = Duration::from_secs(30);

/// Of a stream, a channel each, and of one as a whole.
const STATE_SHAPES: [&str; 2] = ["[-1, 1]", "[1, 1]"];

/// There is one card in this process.
static CARD: Mutex<()> = Mutex::new(());

/// A model of which each call lasts for as long as the number in the file `is_held` is not 0. Its masks are the number of the call since the stream
/// began. A state of this shape, one of whose sizes is 1, goes with each stream.
fn held(folder: &TempDir, state_shape: &str, is_held: &Path) -> PathBuf {
    let number = number_in(is_held);
    // What comes of the loop is used, or libtorch would leave the loop out.
    let waits = format!(
        "    _w = 0\n    while bool(torch.ne({number}, 0)):\n      _w = torch.add(torch.mul(_w, 0), 1)\n    \
         count = torch.add(torch.add(state[0], 1), torch.mul(_w, 0))\n    \
         return (torch.mul(mask, torch.reshape(count, [1, -1, 1, 1])), [count])\n"
    );
    with_code(
        folder,
        &shipped(IDENTITY),
        &[
            ("\"state_shapes\": []", &format!("\"state_shapes\": [{state_shape}]")),
            ("    return (mask, state)\n", &waits),
        ],
    )
}

/// The number in a file that holds calls, which end at the latest when this is dropped.
struct Hold(PathBuf);

impl Hold {
    fn new(folder: &TempDir) -> Self {
        let hold = Self(folder.path().join("is_held"));
        std::fs::write(&hold.0, 0.0_f32.to_ne_bytes()).expect("a number");
        hold
    }

    fn set(&self, is_held: f32) {
        // In place: the model sees this very file.
        let mut file = OpenOptions::new().write(true).open(&self.0).expect("the file");
        file.write_all(&is_held.to_ne_bytes()).expect("a number");
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.set(0.0);
    }
}

/// The first masks of a call, which are all the same.
fn call(model: &Model, session: &mut Session, batching: Batching) -> Result<f32, Failure> {
    let input = model.spectrum(1, 1);
    let mut masks = vec![f32::NAN; input.len() / 2];
    session.run(batching, &input, &mut masks).map(|()| {
        assert!(masks.iter().all(|mask| *mask == masks[0]));
        masks[0]
    })
}

fn load(path: &Path) -> Result<Model, Failure> {
    Model::load_on(Device::CPU_AS_CARD, path)
}

/// A stream whose thread is past its first steps, which may take longer.
fn stream(model: &Model) -> Session {
    let mut session = model.session(1).expect("a session");
    for num_calls in 1..=40 {
        assert_eq!(call(model, &mut session, Batching::ALLOWED).expect("a call"), num_calls as f32);
    }
    session
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    (work(), began.elapsed())
}

fn assert_does_not_answer(failure: &Failure, status: Status) {
    assert_eq!(failure.status, status, "{failure}");
    assert!(failure.text.contains("card does not answer"), "{failure}");
}

/// Until the card answers again.
fn loaded_again(path: &Path) -> Model {
    let began = Instant::now();
    loop {
        match load(path) {
            Ok(model) => return model,
            Err(failure) => assert!(began.elapsed() < LONG, "{failure}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_card_that_hangs_is_given_up_and_nothing_is_opened_there_until_it_answers_again() {
    let _card = CARD.lock().unwrap_or_else(PoisonError::into_inner);
    for state_shape in STATE_SHAPES {
        for batching in [Batching::ALLOWED, Batching::NEVER] {
            let folder = TempDir::new().expect("a folder");
            let hold = Hold::new(&folder);
            let path = held(&folder, state_shape, &hold.0);
            let model = load(&path).expect("a model that looks right");
            let mut session = stream(&model);
            hold.set(1.0);
            let (result, waited) = timed(|| call(&model, &mut session, batching));
            assert_does_not_answer(&result.expect_err("it hangs"), Status::RUN_FAILED);
            assert!((PATIENCE..TOO_LONG).contains(&waited), "{state_shape}: {waited:?}");
            let (result, waited) = timed(|| call(&model, &mut session, batching));
            assert_does_not_answer(&result.expect_err("it hangs still"), Status::RUN_FAILED);
            assert!(waited < AT_ONCE, "{state_shape}: {waited:?}");
            let ((), waited) = timed(|| drop((session, model)));
            assert!(waited < AT_ONCE, "{state_shape}: {waited:?}");
            // Nobody has the model any more. What is known of the card stays.
            for path in [&path, &shipped(IDENTITY)] {
                let (result, waited) = timed(|| load(path));
                assert_does_not_answer(&result.err().expect("the card hangs"), Status::NO_DEVICE);
                assert!(waited < AT_ONCE, "{state_shape}: {waited:?}");
            }
            Model::load(&shipped(IDENTITY)).expect("the processor does not hang");
            hold.set(0.0);
            stream(&loaded_again(&path));
        }
    }
}

#[test]
fn a_call_that_was_given_up_while_it_waited_leaves_nothing_in_its_stream() {
    let _card = CARD.lock().unwrap_or_else(PoisonError::into_inner);
    for state_shape in STATE_SHAPES {
        let folder = TempDir::new().expect("a folder");
        let hold = Hold::new(&folder);
        let path = held(&folder, state_shape, &hold.0);
        let model = load(&path).expect("a model that looks right");
        let mut streams =
            [Batching::ALLOWED, Batching::ALLOWED, Batching::NEVER].map(|batching| (batching, stream(&model)));
        hold.set(1.0);
        thread::scope(|scope| {
            for (batching, session) in &mut streams {
                let model = &model;
                scope.spawn(move || assert!(call(model, session, *batching).is_err(), "{state_shape}: it hangs"));
                // The first is what the card hangs in; the others wait for it.
                thread::sleep(AT_ONCE / 2);
            }
        });
        hold.set(0.0);
        // It answers again as soon as the call is over that it was in.
        let began = Instant::now();
        for (stream_idx, (batching, session)) in streams.iter_mut().enumerate() {
            let mask = loop {
                match call(&model, session, *batching) {
                    Ok(mask) => break mask,
                    Err(failure) => assert!(began.elapsed() < LONG, "{failure}"),
                }
            };
            assert_eq!(mask, 1.0, "{state_shape}: stream {stream_idx} does not begin anew");
        }
    }
}
