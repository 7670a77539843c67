//! Who waits for a thread, and for how long. The library's own test binary would not find libtorch, so its file is read here, too.

#[path = "../../src/line.rs"]
mod tested;

use std::sync::mpsc::{SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use tested::{Patience, Unanswered, line};

type Request = SyncSender<u32>;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(20);

/// As patient in the first steps as later.
fn patience(of_each: Duration) -> Patience {
    Patience { first: of_each, later: of_each }
}

#[test]
fn a_thread_that_never_answers_is_given_up_after_a_while_and_from_then_on_at_once() {
    let (line, served) = line::<Request>(patience(SHORT));
    let began = Instant::now();
    assert_eq!(line.ask(|answer| answer), Err(Unanswered::Hangs));
    let waited = began.elapsed();
    assert!(waited >= SHORT, "{waited:?}");
    let began = Instant::now();
    for _ in 0..10_000 {
        assert_eq!(line.clone().ask(|answer| answer), Err(Unanswered::Hangs));
    }
    assert!(began.elapsed() < 10_000 * SHORT / 2, "each of them waited");
    // It comes back: what it is asked then it is asked in earnest.
    served.note_step();
    assert_eq!(served.next().map(|answer| answer.send(1).is_ok()), Some(false), "nobody waits for the first any more");
    assert!(served.next().is_none(), "whoever was told at once has asked nothing");
    let thread = std::thread::spawn(move || served.wait().expect("a request").send(2));
    assert_eq!(line.ask(|answer| answer), Ok(2));
    assert_eq!(thread.join().expect("the thread"), Ok(()));
    assert_eq!(line.ask(|answer| answer), Err(Unanswered::Ended));
    assert!(!line.tell(sync_channel(1).0), "it is gone");
}

#[test]
fn a_thread_that_gives_signs_of_life_is_waited_for_however_many_others_are_first() {
    let (line, served) = line::<Request>(patience(5 * SHORT));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let answer = served.wait().expect("a request");
            for _ in 0..20 {
                std::thread::sleep(SHORT);
                served.note_step();
            }
            answer.send(1).expect("it waits still");
        });
        let began = Instant::now();
        assert_eq!(line.ask(|answer| answer), Ok(1));
        assert!(began.elapsed() >= 20 * SHORT);
    });
}

#[test]
fn a_thread_that_hangs_in_a_request_is_waited_for_no_longer_than_the_patience_says() {
    let (line, served) = line::<Request>(patience(5 * SHORT));
    let watch = line.watch();
    let (come_back, is_to_come_back) = channel::<()>();
    let thread = std::thread::spawn(move || {
        let _request = served.wait().expect("a request");
        // It is done with something else before.
        served.note_step();
        let _ = is_to_come_back.recv();
    });
    let began = Instant::now();
    assert_eq!(line.ask(|answer| answer), Err(Unanswered::Hangs));
    let waited = began.elapsed();
    assert!(waited >= 5 * SHORT && waited < 8 * SHORT, "{waited:?}");
    assert!(!line.end(thread));
    assert!(watch.hangs() && !watch.is_over(), "nobody asks it any more, and it hangs still");
    drop(come_back);
    while !watch.is_over() {
        assert!(began.elapsed() < LONG, "it has ended");
        std::thread::sleep(SHORT / 10);
    }
    assert!(!watch.hangs());
}

#[test]
fn what_comes_first_may_take_longer() {
    let (line, served) = line::<Request>(Patience { first: LONG, later: SHORT });
    let began = Instant::now();
    let thread = std::thread::spawn(move || {
        let answer = served.wait().expect("a request");
        std::thread::sleep(3 * SHORT);
        answer.send(1).expect("it waits still");
        (0..1_000).for_each(|_| served.note_step());
        served
    });
    assert_eq!(line.ask(|answer| answer), Ok(1));
    let _served = thread.join().expect("the thread");
    assert_eq!(line.ask(|answer| answer), Err(Unanswered::Hangs));
    assert!(began.elapsed() < LONG);
}

#[test]
fn whoever_hangs_up_waits_for_the_thread_but_not_for_one_that_hangs() {
    for hangs in [false, true] {
        let (line, served) = line::<Request>(patience(SHORT));
        let (come_back, is_to_come_back) = channel::<()>();
        let thread = std::thread::spawn(move || {
            if hangs {
                let _ = is_to_come_back.recv();
            }
            while served.wait().is_some() {}
        });
        let began = Instant::now();
        assert_eq!(line.end(thread), !hangs);
        assert!(began.elapsed() < LONG);
        drop(come_back);
    }
}
