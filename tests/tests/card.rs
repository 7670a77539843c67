//! On a graphics card: the same masks, and the processor's where the card fails.

mod common;

use common::{EXACT_DB, End, for_offline_work, open, separators};
use host_tests::signals::programme;
use host_tests::{
    BlockSizes, Bundle, Config, Instance, Pace, Processor, Rendered, Rendering, render, residual_db, wait_until_loaded,
};
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RATE_HZ: f64 = 48_000.0;
const BLOCK_SAMPLES: usize = 512;

/// Largest difference of a stem: a card sums in another order.
const ALIKE_DB: f64 = -80.0;

/// Long after both streams are loaded.
const FAULT_AT: Duration = Duration::from_secs(8);
const PLAYED_S: f64 = 22.0;
const LOADING_LIMIT: Duration = Duration::from_mins(1);

/// At the end. From the fault on calls fail for two seconds; then it is given up, and opened anew two seconds later.
const JUDGED_S: f64 = 4.0;

fn instance(bundle: &Bundle, model: &str, device: &str, offline: bool) -> Instance {
    let mut instance = bundle.create(None).unwrap();
    let config = Config { rate_hz: RATE_HZ, max_block_samples: BLOCK_SAMPLES, num_channels: 2, offline };
    instance.configure(config).unwrap();
    instance.set("model", model).unwrap();
    instance.set("device", device).unwrap();
    instance
}

fn rendered(bundle: &Bundle, model: &str, device: &str, input: &[Vec<f32>]) -> Rendered {
    let rendered =
        render(bundle, &mut instance(bundle, model, device, true), &Rendering::new(input, BLOCK_SAMPLES)).unwrap();
    let diagnostics = rendered.diagnostics.clone().unwrap();
    let engine = diagnostics.newest().unwrap();
    assert_eq!(engine.device, if device == "auto" { "cuda" } else { "cpu" }, "{}{}", engine.message, engine.notice);
    rendered
}

#[test]
#[ignore = "needs an NVIDIA card and its libraries: cargo xtask setup --cuda && cargo test -p host-tests --test card -- --ignored"]
fn a_card_separates_like_the_processor_and_gives_way_to_it_where_it_fails() {
    let bundle = open();
    let input = programme(2, (5.0 * RATE_HZ) as usize, RATE_HZ, 6);
    for model in separators(&bundle).into_iter().chain(for_offline_work(&bundle)) {
        let [on_card, on_processor] = ["auto", "cpu"].map(|device| rendered(&bundle, &model, device, &input));
        let worst_db = residual_db(&on_processor.tape.stems[0].channels, &on_card.tape.stems[0].channels);
        println!("{model}: the card's first stem differs by {worst_db:.1} dBFS");
        assert!(worst_db <= ALIKE_DB, "{model}: {worst_db}");
    }

    gives_way(&bundle, &separators(&bundle)[0]);
}

/// Plays `sound` over and over in real time, until told to stop.
fn play_on(processor: &mut Processor, sound: &[Vec<f32>], is_over: &AtomicBool) {
    let (began, num_blocks) = (Instant::now(), sound[0].len() / BLOCK_SAMPLES);
    for block_idx in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let due = began + Duration::from_secs_f64((block_idx * BLOCK_SAMPLES) as f64 / RATE_HZ);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let at = block_idx % num_blocks * BLOCK_SAMPLES;
        let bus = processor.inputs_mut(BLOCK_SAMPLES).main_mut().expect("a main input");
        for (channel_idx, channel) in sound.iter().enumerate() {
            bus.channel_mut(channel_idx)[..BLOCK_SAMPLES].copy_from_slice(&channel[at..at + BLOCK_SAMPLES]);
        }
        processor.process(BLOCK_SAMPLES, &[]).expect("a block");
    }
}

/// RMS of what differs in the last seconds of two signals.
fn difference_at_the_end(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let from = ((PLAYED_S - JUDGED_S) * RATE_HZ) as usize;
    let differences =
        a.iter().zip(b).flat_map(|(a, b)| a[from..].iter().zip(&b[from..]).map(|(a, b)| f64::from(a - b)));
    let (num, energy) =
        differences.fold((0, 0.0), |(num, energy), difference| (num + 1, energy + difference * difference));
    (energy / f64::from(num.max(1))).sqrt()
}

/// Lets a stream play, and another one of the same model beside it; the card fails under both.
fn gives_way(bundle: &Bundle, model: &str) {
    let input = programme(2, (PLAYED_S * RATE_HZ) as usize, RATE_HZ, 6);
    let rendering = Rendering {
        pace: Pace::RealTime,
        wait_for_model: true,
        blocks: BlockSizes::Fixed(BLOCK_SAMPLES),
        ..Rendering::new(&input, BLOCK_SAMPLES)
    };
    let on_processor = rendered(bundle, model, "cpu", &input);
    let mut beside = instance(bundle, model, "auto", false);
    let mut its_processor = beside.activate().unwrap();
    its_processor.start().unwrap();
    wait_until_loaded(bundle, &mut beside, &mut its_processor, LOADING_LIMIT).unwrap();
    let mut played = instance(bundle, model, "auto", false);
    let (has_failed, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let rendered = std::thread::scope(|scope| {
        let _end = End(&is_over);
        scope.spawn(|| play_on(&mut its_processor, &input, &is_over));
        scope.spawn(|| {
            std::thread::sleep(FAULT_AT);
            let engines = bundle.diagnostics().unwrap().instances;
            assert!(engines.iter().all(|engine| engine.device == "cuda" && engine.state == "running"), "{engines:?}");
            fault();
            has_failed.store(true, Ordering::Relaxed);
        });
        render(bundle, &mut played, &rendering).unwrap()
    });
    assert!(has_failed.load(Ordering::Relaxed), "it was over before the fault");
    let diagnostics = rendered.diagnostics.clone().unwrap();
    let stem = |rendered: &Rendered| rendered.aligned_stem("music").unwrap();
    let (found, wanted) = (stem(&rendered), stem(&on_processor));
    let (off, dry) = (difference_at_the_end(&found, &wanted), difference_at_the_end(&input, &wanted));
    let sum_db = residual_db(&input, &rendered.aligned_sum());
    println!(
        "{model}: after a fault on the card both streams are on {:?}; stems within {sum_db:.1} dBFS of the delayed input; in the last \
         {JUDGED_S} s the first differs by {off:.1e} from the processor's, where the input does by {dry:.1e}",
        diagnostics.instances.iter().map(|engine| engine.device.as_str()).collect::<Vec<_>>(),
    );
    assert_eq!(diagnostics.instances.len(), 2);
    for engine in &diagnostics.instances {
        assert_eq!((engine.device.as_str(), engine.state.as_str()), ("cpu", "running"), "{}", engine.message);
        assert!(engine.notice.contains("The graphics card cannot be used, the processor is"), "{}", engine.notice);
    }
    assert!(sum_db <= EXACT_DB, "time shifted");
    assert!(off < 0.25 * dry, "it does not separate again");
    its_processor.stop().unwrap();
    beside.deactivate(its_processor);
}

/// Ends every use of the card by this process, as one that falls off its bus does: a kernel traps, and from then on each call of CUDA fails
/// (`CUDA_ERROR_LAUNCH_FAILED`, which a context keeps).
fn fault() {
    type Launch = unsafe extern "C" fn(
        *mut c_void,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        c_uint,
        *mut c_void,
        *mut *mut c_void,
        *mut *mut c_void,
    ) -> c_int;
    const LAUNCH_FAILED: c_int = 719;
    const TRAP: &[u8] = b".version 6.4\n.target sm_75\n.address_size 64\n.visible .entry fault() { trap; ret; }\n\0";
    // SAFETY: the driver is open already, and stays so.
    let driver = unsafe { libloading::Library::new("libcuda.so.1") }.expect("the driver");
    // SAFETY: the names and types are those of cuda.h; every pointer is to a place that lives until the call returns, and the context is
    // that of libtorch, which nobody destroys.
    unsafe {
        let retain =
            driver.get::<unsafe extern "C" fn(*mut *mut c_void, c_int) -> c_int>("cuDevicePrimaryCtxRetain").unwrap();
        let set_current = driver.get::<unsafe extern "C" fn(*mut c_void) -> c_int>("cuCtxSetCurrent").unwrap();
        let load =
            driver.get::<unsafe extern "C" fn(*mut *mut c_void, *const c_void) -> c_int>("cuModuleLoadData").unwrap();
        let function = driver
            .get::<unsafe extern "C" fn(*mut *mut c_void, *mut c_void, *const c_char) -> c_int>("cuModuleGetFunction")
            .unwrap();
        let launch = driver.get::<Launch>("cuLaunchKernel").unwrap();
        let synchronize = driver.get::<unsafe extern "C" fn() -> c_int>("cuCtxSynchronize").unwrap();
        let (mut context, mut module, mut kernel) = (null_mut(), null_mut(), null_mut());
        assert_eq!(retain(&raw mut context, 0), 0, "the first card's context");
        assert_eq!(set_current(context), 0);
        assert_eq!(load(&raw mut module, TRAP.as_ptr().cast()), 0, "a kernel that traps");
        assert_eq!(function(&raw mut kernel, module, c"fault".as_ptr()), 0);
        assert_eq!(launch(kernel, 1, 1, 1, 1, 1, 1, 0, null_mut(), null_mut(), null_mut()), 0);
        assert_eq!(synchronize(), LAUNCH_FAILED, "the kernel ran through");
    }
    std::mem::forget(driver);
}
