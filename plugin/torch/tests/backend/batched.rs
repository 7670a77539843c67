//! Streams that run together, as on a card.

use crate::common::{IDENTITY, Model, backend, run, separators, shipped};
use underscore_backend::{Device, Session};

/// Of masks; a product of matrices sums in another order when there are more rows, and on a card in yet another one.
const TOLERANCES: [(Device, f32); 2] = [(Device::CPU_BATCHED, 1e-5), (Device::CUDA, 1e-3)];

/// Where streams run together here: on a card, too, if there is one.
fn devices() -> impl Iterator<Item = (Device, f32)> {
    TOLERANCES.into_iter().filter(|(device, _)| backend().probe(*device).is_ok())
}

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
        Self {
            num_channels,
            embedding: asked.collect(),
            spectra: (0..6).map(|call| model.spectrum(num_channels, 100 * seed + call)).collect(),
            reset_before: seed.is_multiple_of(3).then_some(4),
        }
    }

    fn session(&self, model: &Model) -> Session {
        let mut session = model.session(self.num_channels).expect("a session");
        session.ask(&self.embedding).expect("as long as the model says");
        session
    }

    fn masks(&self, session: &mut Session) -> Vec<f32> {
        let masks = self.spectra.iter().enumerate().map(|(call, spectrum)| {
            if self.reset_before == Some(call) {
                session.reset();
            }
            run(session, spectrum)
        });
        masks.flatten().collect()
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst, difference| if difference <= worst { worst } else { difference })
}

#[test]
fn streams_that_run_together_are_each_as_alone() {
    for name in separators() {
        let alone = Model::load(&shipped(&name)).expect("the shipped model");
        // More channels than there are slots at first.
        let plays: Vec<Play> = (0..9).map(|seed| Play::new(&alone, seed)).collect();
        let expected: Vec<Vec<f32>> = plays.iter().map(|play| play.masks(&mut play.session(&alone))).collect();
        for (device, tolerance) in devices() {
            let together = Model::load_on(device, &shipped(&name)).expect("the shipped model");
            let actual: Vec<Vec<f32>> = std::thread::scope(|scope| {
                let threads: Vec<_> = plays
                    .iter()
                    .map(|play| {
                        let mut session = play.session(&together);
                        scope.spawn(move || play.masks(&mut session))
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

#[test]
fn a_place_that_was_given_back_remembers_nothing() {
    for name in separators() {
        let model = Model::load_on(Device::CPU_BATCHED, &shipped(&name)).expect("the shipped model");
        let play = Play::new(&model, 1);
        let first = play.masks(&mut play.session(&model));
        // All places of the arena in turn, and some of them again.
        for _ in 0..12 {
            assert!(play.masks(&mut play.session(&model)) == first, "{name}: a stream begins otherwise");
        }
    }
}

#[test]
fn a_batched_model_without_state_runs_and_its_session_outlives_it() {
    let (mut session, input) = {
        let model = Model::load_on(Device::CPU_BATCHED, &shipped(IDENTITY)).expect("the shipped model");
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
    let model = Model::load_on(Device::CPU_BATCHED, &shipped(IDENTITY)).expect("the shipped model");
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
