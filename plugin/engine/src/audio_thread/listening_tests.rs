//! The engine of a model that is asked, and what it listens to.

use super::*;
use crate::clock::standing;
use crate::query::{NUM_SLOTS, Query};
use crate::query_board::{KeptExample, QueryBoard, Reading, Recipient};
use crate::query_map::Projection;
use crate::recording::Recording;
use crate::worker_thread::Urgency;

fn patience_with_nobody(engine: &Engine) -> Patience {
    Patience::with(Waker::none(), engine.status())
}

#[test]
fn an_example_is_listened_to_and_found_from_then_on_and_kept_by_the_next_engine() {
    let mut config = config(1, 512);
    (config.model.embedding_size, config.model.query_frames, config.model.map) = (1, 6, Some(map()));
    let tone: Vec<f32> = (0..512).map(|n| (n as f32 * 0.1).sin()).collect();
    let example = QueryBlend {
        slots: [Query::Example { otherwise: Embedding::default() }, Query::Point(Embedding::default())],
        blend: 0.0,
    };
    let offline = Settings { render: RenderMode::Offline, query_blend: example, ..Settings::default() };
    let listening = |config: &EngineConfig| {
        let (mut engine, worker) = engine_and_worker(config);
        let (capture, listener) =
            Engine::example_path(config, &engine.latency, patience_with_nobody(&engine), &engine.status()).unzip();
        engine.capture = capture;
        let stream = stream_for(worker, config, &engine, |_| 0.0).with_listener(listener);
        (engine, stream)
    };
    let gain_of = |engine: &mut Engine, stream: &mut Stream| {
        engine.reset();
        let mut last = 0.0_f32;
        for _ in 0..60 {
            while stream.step() {}
            let stems = engine.process(&[&tone], &Settings { render: RenderMode::RealTime, ..offline });
            last = stems.stem(0, 0).iter().map(|x| x * x).sum::<f32>().sqrt();
        }
        last / tone.iter().map(|x| x * x).sum::<f32>().sqrt()
    };
    let (mut engine, mut stream) = listening(&config);
    assert!(gain_of(&mut engine, &mut stream) < 1e-3, "nothing was asked for");
    // Silence is no example, and nobody waits for one that was dealt with.
    assert_no_alloc(|| engine.take_sidechain_example(0));
    while stream.step() {}
    assert_eq!(config.boards[0].read(), Reading::Empty);
    assert!(config.boards[0].refusal().is_some_and(|why| why.contains("silent")));
    for _ in 0..10 {
        assert_no_alloc(|| engine.listen(&[&tone, &tone]));
    }
    assert_no_alloc(|| engine.take_sidechain_example(0));
    // An offline host waits for its answer.
    let worker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        while stream.step() {}
        stream
    });
    engine.process(&[&tone], &offline);
    assert_eq!(config.boards[0].settled(), Some(Embedding::new(&[fake_backend::EXAMPLE])));
    assert_eq!(config.boards[0].refusal(), None);
    let mut stream = worker.join().unwrap();
    let found = gain_of(&mut engine, &mut stream);
    assert!((found - fake_backend::EXAMPLE).abs() < 0.02, "{found}");
    // What another model heard says nothing to this one, which separates nothing rather than anything.
    let heard = config.boards[0].kept();
    config.boards[0].load(Some(KeptExample { model_id: "another".into(), ..heard.clone().unwrap() }));
    let found = gain_of(&mut engine, &mut stream);
    assert!((found - 0.5).abs() < 1e-6, "every stem gets an equal share of the input, and not {found}");
    config.boards[0].load(heard);
    let found = gain_of(&mut engine, &mut stream);
    assert!((found - fake_backend::EXAMPLE).abs() < 0.02, "{found}");
    drop((engine, stream));
    let (mut next, mut stream) = listening(&config);
    assert!(
        (gain_of(&mut next, &mut stream) - fake_backend::EXAMPLE).abs() < 0.02,
        "another activation has forgotten it"
    );
}

#[test]
fn a_recording_of_any_rate_is_listened_to_without_the_sidechain_and_a_bad_one_is_refused_by_its_name() {
    let mut config = config(1, 512);
    (config.model.embedding_size, config.model.query_frames, config.model.map) = (1, 6, Some(map()));
    let (engine, worker) = engine_and_worker(&config);
    let (_, listener) =
        Engine::example_path(&config, &engine.latency, patience_with_nobody(&engine), &engine.status()).unzip();
    let mut stream = stream_for(worker, &config, &engine, |_| 0.0).with_listener(listener);
    let board = &config.boards[1];
    let named = |channels, rate_hz| Recording::new("hum".into(), channels, rate_hz);
    let hum = |rate_hz: f64| named(vec![(0..20_000).map(|n| (n as f32 * 0.1).sin()).collect(); 3], rate_hz);
    board.offer(hum(22_050.0));
    assert!(board.has_offer() && board.kept().is_none());
    while stream.step() {}
    let kept = board.kept().unwrap();
    assert_eq!((kept.embedding, kept.name.as_str()), (Embedding::new(&[fake_backend::EXAMPLE]), "hum"));
    assert!(kept.thumbnail.is_some() && kept.model_id == config.model.id && !board.has_offer());

    let [silent, no_numbers] = [0.0, f32::NAN].map(|sample| named(vec![vec![sample; 20_000]], 48_000.0));
    let empty = named(Vec::new(), 48_000.0);
    for bad in [silent, no_numbers, empty, hum(0.0), hum(f64::NAN), hum(20.0)] {
        board.offer(bad);
        while stream.step() {}
        let refusal = board.refusal().unwrap();
        println!("{refusal}");
        assert!(refusal.contains("'hum'") && !board.has_offer());
        assert_eq!(board.kept().as_ref(), Some(&kept), "what was there stays");
        board.load(Some(kept.clone()));
    }
}

#[test]
fn an_offline_host_waits_for_a_recording_that_was_offered() {
    let mut config = config(1, 512);
    (config.model.embedding_size, config.model.query_frames, config.model.map) = (1, 6, Some(map()));
    let (mut engine, worker) = engine_and_worker(&config);
    let (capture, listener) =
        Engine::example_path(&config, &engine.latency, patience_with_nobody(&engine), &engine.status()).unzip();
    engine.capture = capture;
    let mut stream = stream_for(worker, &config, &engine, |_| 0.0).with_listener(listener);
    config.boards[0].offer(Recording::new("hum".into(), vec![tone(20_000)], 48_000.0));
    let worker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        while stream.step() {}
    });
    engine.process(&[&[0.1; 512]], &Settings { render: RenderMode::Offline, ..Settings::default() });
    assert_eq!(config.boards[0].settled(), Some(Embedding::new(&[fake_backend::EXAMPLE])));
    worker.join().unwrap();
}

#[test]
fn on_air_an_example_is_listened_to_with_the_haste_of_the_call_that_may_wait_for_it() {
    let mut config = config(1, 512);
    (config.model.embedding_size, config.model.query_frames, config.model.map) = (1, 6, Some(map()));
    let (mut engine, worker) = engine_and_worker(&config);
    let (_, listener) =
        Engine::example_path(&config, &engine.latency, patience_with_nobody(&engine), &engine.status()).unzip();
    let mut stream = stream_for(worker, &config, &engine, |_| 0.0).with_listener(listener);
    assert_eq!(stream.urgency(), Urgency::Ordinary, "nobody plays yet");
    let mut play_a_call = |stream: &mut Stream| {
        while stream.num_waiting() == 0 {
            engine.process(&[&[0.1; 512]], &Settings::default());
        }
        assert_eq!(stream.urgency(), Urgency::RealTime);
        stream.step();
    };
    play_a_call(&mut stream);
    assert_eq!(stream.urgency(), Urgency::RealTime, "the next call may come at any time");
    config.boards[0].offer(Recording::new("hum".into(), vec![tone(20_000)], 48_000.0));
    assert_eq!(stream.urgency(), Urgency::RealTime);
    stream.step();
    assert!(config.boards[0].kept().is_some(), "it was listened to");
}

#[test]
fn an_example_is_listened_to_though_there_is_always_a_call_that_waits() {
    let mut config = config(1, 512);
    (config.model.embedding_size, config.model.query_frames, config.model.map) = (1, 6, Some(map()));
    let (mut engine, worker) = engine_and_worker(&config);
    let (_, listener) =
        Engine::example_path(&config, &engine.latency, patience_with_nobody(&engine), &engine.status()).unzip();
    let stream = stream_for(worker, &config, &engine, |_| 0.0).with_listener(listener);
    let mut stream = stream.with_clock(standing::now);
    let hum = || Recording::new("hum".into(), vec![tone(20_000)], 48_000.0);
    let boards = config.boards.clone();
    boards.iter().for_each(|board| board.offer(hum()));
    let mut calls_before = boards.each_ref().map(|_| None);
    for num_calls in 0..40 {
        while stream.num_waiting() < 2 {
            engine.process(&[&[0.1; 512]], &Settings::default());
        }
        assert!(stream.step());
        standing::advance(Duration::from_millis(100));
        for (before, board) in calls_before.iter_mut().zip(boards.iter()) {
            *before = before.or_else(|| board.kept().map(|_| num_calls));
        }
    }
    assert_eq!(calls_before, [Some(10), Some(21)], "each has its turn");
}

fn tone(num_samples: usize) -> Vec<f32> {
    (0..num_samples).map(|n| 0.5 * (n as f32 * 0.1).sin()).collect()
}

fn map() -> Projection {
    Projection { origin: vec![0.0], axes: [vec![1.0], vec![0.0]] }
}

/// An engine that listens, with nobody on the other side of its examples but the test.
fn listening_engine() -> (EngineConfig, Engine, ExampleEncoder) {
    listening_to_frames(60)
}

/// The same, whose examples have room for so many frames.
fn listening_to_frames(query_frames: usize) -> (EngineConfig, Engine, ExampleEncoder) {
    let mut config = config(1, 512);
    (config.model.embedding_size, config.model.query_frames, config.model.map) = (1, query_frames, Some(map()));
    let (mut engine, _) = engine_and_worker(&config);
    let (capture, listener) =
        Engine::example_path(&config, &engine.latency, patience_with_nobody(&engine), &engine.status()).unzip();
    engine.capture = capture;
    (config, engine, listener.unwrap())
}

#[test]
fn an_example_belongs_to_its_slot_and_between_the_slots_lies_the_way_from_one_to_the_other() {
    let (config, mut engine, mut listener) = listening_engine();
    let block = [1.0; 512];
    for slot in 0..NUM_SLOTS {
        engine.listen(&[&block]);
        engine.take_sidechain_example(slot);
        let example = listener.examples.receive().unwrap();
        assert_eq!((example.recipient, example.ticket), (Recipient::Slot(slot), 1));
        listener.examples.give_back(example);
    }
    assert_no_alloc(|| engine.take_sidechain_example(NUM_SLOTS));
    assert!(listener.examples.receive().is_none(), "there is no such slot");
    let otherwise = Embedding::new(&[-1.0]);
    let mut place = |slots: [Query; 2], blend: f32| {
        let query_blend = QueryBlend { slots, blend };
        engine.capture.as_mut().unwrap().embedding(&query_blend, false, None).map(|at| at.values()[0])
    };
    let of_both = [Query::Example { otherwise }, Query::Point(Embedding::new(&[3.0]))];
    assert_eq!(place(of_both, 0.0), Some(-1.0), "there is no example yet");
    config.boards[0].load(Some(Embedding::new(&[1.0]).into()));
    for (blend, expected) in [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (1.0, 3.0)] {
        assert_eq!(place(of_both, blend), Some(expected), "at {blend}");
    }
    let on_map = [Query::Map([1.0, 0.0]); 2];
    assert_eq!(place(on_map, 0.0), Some(1.0), "the only anchor is the example of A");
    config.boards[0].load(Some(KeptExample { model_id: "another".into(), ..Embedding::new(&[2.0]).into() }));
    for (blend, expected) in [(0.0, None), (0.5, None), (1.0, Some(3.0))] {
        assert_eq!(place(of_both, blend), expected, "another model's, at {blend}");
    }
    assert_ne!(place(on_map, 0.0), Some(2.0), "it is nowhere on this map");
    config.boards[0].load(Some(KeptExample { model_id: config.model.id.clone(), ..Embedding::new(&[2.0]).into() }));
    assert_eq!(place(of_both, 0.0), Some(2.0), "this one's own");
    config.boards[0].load(None);
    assert_eq!(place(of_both, 0.0), Some(-1.0), "a session without an example was loaded");
}

#[test]
fn what_was_found_can_be_the_next_example_once_something_is() {
    let (_, mut engine, mut listener) = listening_engine();
    for _ in 0..3 {
        engine.process(&[&[0.25; 512]], &Settings::default());
    }
    engine.take_target_example(1);
    let example = listener.examples.receive().unwrap();
    assert_eq!((example.recipient, example.num_filled()), (Recipient::Slot(1), 0), "without masks nothing was found");
    listener.examples.give_back(example);
    // Memory comes back with the next block of the sidechain.
    engine.listen(&[&[0.5; 512]]);
    // As if masks had come; a few samples, in which no other place of the hop is reached.
    engine.reset();
    engine.hop_presence = (1.0, 1.0);
    assert_no_alloc(|| engine.process(&[&[0.25; 10]], &Settings::default()).num_samples());
    assert_no_alloc(|| engine.take_target_example(0));
    let example = listener.examples.receive().unwrap();
    assert!(example.is_from_target);
    assert_eq!(
        example.in_order(),
        vec![vec![0.0; 10]; EXAMPLE_CHANNELS],
        "the target, which is silent, and no sidechain"
    );
}

#[test]
fn while_a_bounce_waits_for_an_example_nothing_of_what_is_found_is_missed() {
    let (_, mut engine, mut listener) = listening_engine();
    let offline = Settings { render: RenderMode::Offline, ..Settings::default() };
    engine.reset();
    engine.hop_presence = (1.0, 1.0);
    assert_no_alloc(|| engine.take_target_example(0));
    let example = listener.examples.receive().unwrap();
    listener.examples.give_back(example);
    // No block of the sidechain comes before.
    engine.process(&[&[0.25; 10]], &offline);
    engine.take_target_example(0);
    let example = listener.examples.receive().unwrap();
    assert_eq!((example.ticket, example.num_filled()), (2, 10));
}

/// Plays `sidechain` in blocks of so many samples, followed, and listens to it at once. Returns where examples were taken, and how many samples they have.
fn followed(
    (engine, listener): (&mut Engine, &mut ExampleEncoder),
    sidechain: &[f32],
    block: usize,
) -> Vec<(usize, usize)> {
    let mut ends = Vec::new();
    let mut position = 0;
    while position < sidechain.len() {
        assert_no_alloc(|| engine.follow(true));
        let end = sidechain.len().min(position + block.min(engine.num_samples_to_follow().unwrap()));
        if let Some(example) = listener.examples.receive() {
            assert_eq!(example.recipient, Recipient::Followed);
            ends.push((position, example.num_filled()));
            listener.boards.followed.answer(example.ticket, Ok(Embedding::new(&[ends.len() as f32]).into()));
            listener.examples.give_back(example);
        }
        let samples = &sidechain[position..end];
        assert_no_alloc(|| engine.listen(&[samples, samples]));
        engine.process(&[samples], &Settings { is_following: true, ..Settings::default() });
        position = end;
    }
    ends
}

/// What slot A asks for.
fn asked(engine: &mut Engine, is_following: bool) -> f32 {
    let capture = engine.capture.as_mut().unwrap();
    capture.embedding(&QueryBlend::default(), is_following, None).unwrap().values()[0]
}

#[test]
fn a_sidechain_that_is_followed_is_heard_at_the_same_samples_whatever_the_blocks() {
    let sidechain = [tone(76_800), vec![0.0; 90_000], tone(60_000)].concat();
    for block in [1, 100, 512] {
        let (config, mut engine, mut listener) = listening_engine();
        let ends = followed((&mut engine, &mut listener), &sidechain, block);
        println!("blocks of {block}: at {ends:?}");
        // After a quarter of a second, a second later, and one later again, in the pause, for what was played last. Then after a quarter of a second of
        // what is played next, the portions of 768 samples that it is played in counted. The memory of this test's example holds 63 of them.
        let (room, next) = (63 * 768, 166_800 + 12_000 - 12_000 % 768);
        assert_eq!(ends[..3], [(12_288, 12_288), (60_288, room), (108_288, room)]);
        assert!(ends.len() == 4 && ends[3].0.abs_diff(next) <= 768 && ends[3].1 == room, "{ends:?}");
        assert_eq!([asked(&mut engine, true), asked(&mut engine, false)], [4.0, 0.0]);
        assert_eq!(config.boards[0].settled(), None, "nothing of it is kept");
        engine.reset();
        assert_eq!(asked(&mut engine, true), 0.0);
        // What was played before says nothing of what is followed now.
        assert_eq!(followed((&mut engine, &mut listener), &vec![0.0; 96_000], block), []);
        assert_eq!(followed((&mut engine, &mut listener), &tone(48_000), block)[0].1, 12_288);
    }
}

#[test]
fn a_bounce_that_begins_without_a_reset_hears_what_it_follows_from_its_beginning_on() {
    let (_config, mut engine, mut listener) = listening_engine();
    let first = followed((&mut engine, &mut listener), &tone(10 * 48_000), 512)[0];
    assert!(asked(&mut engine, true) > 0.0);
    assert_no_alloc(|| engine.clear_captured());
    assert_eq!(asked(&mut engine, true), 0.0, "what the sidechain said live");
    assert_eq!(followed((&mut engine, &mut listener), &tone(10 * 48_000), 512)[0], first);
}

#[test]
fn who_follows_what_plays_already_need_not_wait() {
    let (_, mut engine, mut listener) = listening_engine();
    tone(96_000).chunks(512).for_each(|block| engine.listen(&[block, block]));
    assert_eq!(followed((&mut engine, &mut listener), &tone(512), 512), [(0, 63 * 768)]);
}

#[test]
fn what_was_played_can_be_taken_after_it_stopped_until_it_is_forgotten() {
    let (_, mut engine, mut listener) = listening_engine();
    let played = tone(40_000);
    let mut taken = |engine: &mut Engine, from: fn(&mut Engine)| {
        from(engine);
        let example = listener.examples.receive().unwrap();
        let heard = example.in_order().swap_remove(0);
        listener.examples.give_back(example);
        heard
    };
    played.chunks(333).for_each(|block| engine.listen(&[block, block]));
    // It plays on for minutes, without a sound, and is stopped.
    (0..10_000).for_each(|_| engine.listen(&[&[0.0; 512], &[0.0; 512]]));
    assert_no_alloc(|| engine.reset());
    (0..100).for_each(|_| engine.listen(&[&[0.0; 512], &[0.0; 512]]));
    let heard = taken(&mut engine, |engine| engine.take_sidechain_example(0));
    let last = heard.iter().rposition(|sample| *sample != 0.0).expect("sound");
    assert!(heard.len() == 63 * 768 && heard[..=last].ends_with(&played[20_000..]));
    // The target is kept likewise.
    engine.hop_presence = (1.0, 1.0);
    engine.capture.as_mut().unwrap().capture_target(&[&played, &played]);
    engine.reset();
    assert_eq!(taken(&mut engine, |engine| engine.take_target_example(1)), played);
    assert_no_alloc(|| engine.clear_captured());
    assert!(taken(&mut engine, |engine| engine.take_sidechain_example(0)).is_empty());
}

/// An engine and its worker's stream, and the board of the sidechain that is followed.
fn engine_that_follows() -> (Engine, Stream, Arc<QueryBoard>) {
    let mut config = config(1, 512);
    (config.model.embedding_size, config.model.query_frames, config.model.map) = (1, 60, Some(map()));
    let (mut engine, worker) = engine_and_worker(&config);
    let (capture, encoder) =
        Engine::example_path(&config, &engine.latency, patience_with_nobody(&engine), &engine.status()).unzip();
    engine.capture = capture;
    let followed = encoder.as_ref().unwrap().boards.followed.clone();
    let stream = stream_for(worker, &config, &engine, |_| 0.0).with_listener(encoder);
    (engine, stream, followed)
}

/// Plays a block that is followed, and has the worker encode what is due.
fn follow_block(engine: &mut Engine, stream: &mut Stream, block: &[f32]) {
    engine.follow(true);
    while stream.step() {}
    engine.listen(&[block, block]);
}

#[test]
fn what_is_left_of_a_sidechain_where_it_pauses_says_nothing() {
    let (mut engine, mut stream, followed) = engine_that_follows();
    let mut number_after = |engine: &mut Engine, level: f32| {
        // Two seconds: all that there is room for.
        for block in tone(96_000).chunks(480) {
            let block: Vec<f32> = block.iter().map(|sample| level * sample).collect();
            follow_block(engine, &mut stream, &block);
        }
        engine.follow(true);
        while stream.step() {}
        followed.number()
    };
    let loud = number_after(&mut engine, 1.0);
    assert!(loud > 0);
    // Noise 50 dB below; then as much softer at the beginning.
    assert!(number_after(&mut engine, 0.003) <= loud + 1, "what was still loud in the first of these windows is heard");
    let loud = number_after(&mut engine, 1.0);
    engine.reset();
    assert!(number_after(&mut engine, 0.003) > loud + 1, "nothing louder was heard before");
}

#[test]
fn a_sidechain_is_followed_on_after_one_burst_of_a_filter_that_blew_up() {
    let (mut engine, mut stream, followed) = engine_that_follows();
    // The burst is long gone in the last second.
    let [before, burst, after] = [tone(96_000), vec![[1000.0, -1000.0]; 50].concat(), tone(5 * 48_000 - 100)];
    let mut newest = Vec::new();
    for second in [before, burst, after].concat().chunks(48_000) {
        for block in second.chunks(480) {
            follow_block(&mut engine, &mut stream, block);
        }
        newest.push(followed.number());
    }
    assert!(newest.is_sorted_by(|before, after| before < after), "it stands still: {newest:?}");
}

#[test]
fn an_example_that_is_taken_while_the_sidechain_is_followed_has_heard_for_as_long_as_there_is_room() {
    // 188 hops of 16 ms.
    let (_, mut engine, mut listener) = listening_to_frames(188);
    let mut heard = Vec::new();
    for (block_idx, block) in tone(480_000).chunks(480).enumerate() {
        engine.follow(true);
        engine.listen(&[block]);
        // Between two turns, of which each second has one.
        if block_idx == 750 {
            engine.take_sidechain_example(0);
        }
        while let Some(example) = listener.examples.receive() {
            heard.push((example.recipient, example.num_filled()));
            listener.examples.give_back(example);
        }
    }
    let room = heard.iter().map(|(_, num_filled)| *num_filled).max().expect("examples");
    println!("room for {room} samples: {heard:?}");
    assert!(room > 2 * 48_000);
    let taken = Recipient::Slot(0);
    assert_eq!(heard.iter().find(|(recipient, _)| *recipient == taken), Some(&(taken, room)));
    let followed = heard.iter().filter(|(recipient, _)| *recipient == Recipient::Followed);
    let followed: Vec<usize> = followed.map(|(_, len)| *len).collect();
    assert!(followed.len() >= 9 && followed[4..].iter().all(|len| *len > room - 48_000), "{followed:?}");
}

#[test]
fn what_a_sidechain_said_is_forgotten_when_it_is_no_longer_followed() {
    let (_config, mut engine, listener) = listening_engine();
    let mut said = |is_following: bool| {
        assert_no_alloc(|| engine.follow(is_following));
        let played = tone(48_000);
        engine.listen(&[&played, &played]);
        engine.capture.as_mut().unwrap().embedding(&QueryBlend::default(), true, None).unwrap().values()[0]
    };
    said(true);
    said(true);
    listener.boards.followed.answer(listener.boards.followed.take_ticket(), Ok(Embedding::new(&[2.0]).into()));
    let late = listener.boards.followed.take_ticket();
    assert_eq!(said(true), 2.0);
    said(false);
    // What was being listened to then comes too late.
    listener.boards.followed.answer(late, Ok(Embedding::new(&[3.0]).into()));
    assert_eq!(said(true), 0.0, "followed again, it has said nothing yet");
}
