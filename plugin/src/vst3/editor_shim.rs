//! Keeps the framework's VST3 wrapper from losing its background thread while a host opens or closes the window. Linux only: elsewhere
//! the wrapper does on the main thread what it does on that thread here.
//!
//! nice-plug 0.4.2 posts a task for every value that `process` is given, and while no window is open its background thread works it
//! off: a look at the cell that holds the window. While the host opens or closes one that cell is borrowed, and the look panics; a
//! moment later the window is in it, and the look is a panic again, because the window is another thread's. The thread is one for
//! all instances. Without it no host is asked for anything any more, and when the last instance goes, so does the host.
//!
//! So while a window comes or goes nothing is posted: `process` is given no values then, they are written to the params here, at the
//! beginning of the block rather than where they lie in it. What was posted before is worked off first. The same holds while one is open
//! in a host without a run loop, which tasks for it would otherwise go to, and where that takes too little of what is posted; see
//! [`Backlog`].
//!
//! `createView` and three functions of the view are intercepted as `process` is; see [`super::vst3_shim`]. Their tables
//! last as long as the process: a host may keep a view longer than its plugin.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nice_plug::prelude::*;
use nice_plug::wrapper::vst3::Wrapper;
use nice_plug::wrapper::vst3::vst3::Steinberg::Linux::IRunLoop;
use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{
    IEditController, IEditControllerVtbl, IParamValueQueueTrait, IParameterChanges, IParameterChangesTrait,
};
use nice_plug::wrapper::vst3::vst3::Steinberg::{FIDString, IPlugFrame, IPlugView, IPlugViewVtbl, kResultOk, tresult};
use nice_plug::wrapper::vst3::vst3::{ComRef, ComWrapper};

use super::QueueFence;
use super::backlog::Backlog;
use super::run_loop::Frames;
use crate::Underscore;
use crate::host_link::params_by_id::ParamsById;
use crate::params::UnderscoreParams;

/// What is posted takes microseconds, and a block that waits for masks a second: beyond that the host's window comes first.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// What the framework calls the thread that works tasks off.
const BACKGROUND_THREAD: &str = "bg-worker";

/// Whether the window of an instance comes or goes, and where its values go meanwhile.
pub struct EditorShim {
    /// Windows that come or go just now.
    num_moving: AtomicU32,
    /// Whether one is open.
    is_open: AtomicBool,
    /// Whether the host has a run loop for it.
    has_run_loop: AtomicBool,
    /// What that was given and has not taken.
    backlog: Backlog,
    /// What the host gives to views.
    frames: Frames,
    /// Blocks that are processed just now.
    num_processing: AtomicU32,
    params: ParamsById,
    tasks: AsyncExecutor<Underscore>,
}

impl EditorShim {
    /// For an instance with these params, whose background thread works off `tasks`.
    pub fn new(params: Arc<UnderscoreParams>, tasks: AsyncExecutor<Underscore>) -> Self {
        Self {
            num_moving: AtomicU32::new(0),
            is_open: AtomicBool::new(false),
            has_run_loop: AtomicBool::new(false),
            backlog: Backlog::default(),
            frames: Frames::default(),
            num_processing: AtomicU32::new(0),
            params: ParamsById::new(params),
            tasks,
        }
    }

    /// Has `instance`, which nobody else has seen yet, make views that tell this shim when they come and go.
    pub fn install(self: &Arc<Self>, instance: &ComWrapper<Wrapper<Underscore>>) {
        let Some(controller) = instance.as_com_ref::<IEditController>() else { return };
        let controller = controller.as_ptr();
        // SAFETY: the object is not shared yet, so its table pointer may be changed; the table that it then points to lasts for ever.
        unsafe {
            note(controller.cast(), self);
            (*controller).vtbl = Tables::of(&CONTROLLERS, (*controller).vtbl, |table| IEditControllerVtbl {
                createView: create_view,
                ..table
            });
        }
    }

    /// A block begins: gives it back whose values are to be posted, and takes `changes` where none may be. Real-time safe.
    ///
    /// # Safety
    /// `changes` is null or valid.
    pub unsafe fn enter(&self, changes: *mut IParameterChanges, rate_hz: f32) -> *mut IParameterChanges {
        self.num_processing.fetch_add(1, Ordering::SeqCst);
        // SAFETY: by the caller's word.
        unsafe {
            if self.may_post(changes) {
                return changes;
            }
            self.write(changes, rate_hz);
        }
        std::ptr::null_mut()
    }

    /// Whether tasks for the values of `changes` are worked off where they may be. Real-time safe.
    ///
    /// # Safety
    /// `changes` is null or valid.
    unsafe fn may_post(&self, changes: *mut IParameterChanges) -> bool {
        if self.num_moving.load(Ordering::SeqCst) > 0 {
            return false;
        }
        if !self.is_open.load(Ordering::SeqCst) {
            return true;
        }
        // SAFETY: by the caller's word.
        self.has_run_loop.load(Ordering::SeqCst)
            && self.backlog.admits(unsafe { num_values(changes) }, |marker| self.tasks.execute_gui(marker))
    }

    /// The block is over.
    pub fn leave(&self) {
        self.num_processing.fetch_sub(1, Ordering::SeqCst);
    }

    /// Writes the last value of each param that changes.
    ///
    /// # Safety
    /// `changes` is null or valid.
    unsafe fn write(&self, changes: *mut IParameterChanges, rate_hz: f32) {
        // SAFETY: by the caller's word; what it gives is valid during the call, and the params live.
        unsafe {
            let Some(changes) = ComRef::from_raw(changes) else { return };
            for queue_idx in 0..changes.getParameterCount() {
                let Some(queue) = ComRef::from_raw(changes.getParameterData(queue_idx)) else { continue };
                let (mut at, mut value) = (0, 0.0);
                if queue.getPoint(queue.getPointCount() - 1, &raw mut at, &raw mut value) == kResultOk
                    && (value as f32).is_finite()
                    && let Some(param) = self.params.get(queue.getParameterId())
                {
                    param._internal_set_normalized_value(value as f32);
                    param._internal_update_smoother(rate_hz, false);
                }
            }
        }
    }

    /// Runs `work`, in which a window comes or goes, while nothing is posted or left to be worked off.
    fn around<T>(&self, work: impl FnOnce() -> T) -> T {
        self.num_moving.fetch_add(1, Ordering::SeqCst);
        self.drain();
        let done = work();
        self.num_moving.fetch_sub(1, Ordering::SeqCst);
        done
    }

    /// Waits until what was posted is worked off. `false`: it took too long.
    pub fn drain(&self) -> bool {
        let until = Instant::now() + LONGEST_WAIT;
        let wait_for = |is_so: &dyn Fn() -> bool| {
            while !is_so() && Instant::now() < until {
                std::thread::sleep(LOOK_INTERVAL);
            }
        };
        // A block that began before may still post.
        wait_for(&|| self.num_processing.load(Ordering::SeqCst) == 0);
        if std::thread::current().name() == Some(BACKGROUND_THREAD) {
            // A host (Ardour) that was asked there to restart the plugin does so at once, on that thread: all before is worked off, and what comes
            // after is not by waiting.
            return true;
        }
        let marker = QueueFence::default();
        self.tasks.execute_background(marker.clone());
        wait_for(&|| marker.has_passed());
        marker.has_passed()
    }
}

/// The values that `changes` holds, of all params.
///
/// # Safety
/// `changes` is null or valid.
unsafe fn num_values(changes: *mut IParameterChanges) -> u32 {
    // SAFETY: by the caller's word; what it gives is valid during the call.
    unsafe {
        let Some(changes) = ComRef::from_raw(changes) else { return 0 };
        let num_of = |queue_idx| {
            let queue = ComRef::from_raw(changes.getParameterData(queue_idx));
            queue.map_or(0, |queue| u32::try_from(queue.getPointCount()).unwrap_or(0))
        };
        (0..changes.getParameterCount()).map(num_of).fold(0, u32::saturating_add)
    }
}

/// Whose shim an object is to tell, by its address. An address may be another object's later: then that is noted, too.
static SHIMS: Mutex<Vec<(usize, Weak<EditorShim>)>> = Mutex::new(Vec::new());

fn note(object: *mut c_void, shim: &Arc<EditorShim>) {
    let mut shims = SHIMS.lock().unwrap_or_else(PoisonError::into_inner);
    shims.retain(|(address, shim)| *address != object as usize && shim.strong_count() > 0);
    shims.push((object as usize, Arc::downgrade(shim)));
}

fn shim_of(object: *mut c_void) -> Option<Arc<EditorShim>> {
    let shims = SHIMS.lock().unwrap_or_else(PoisonError::into_inner);
    shims.iter().find(|(address, _)| *address == object as usize)?.1.upgrade()
}

/// The table that stands in for one of the framework's. Its own comes first: what an object's pointer to its table points to is this.
#[repr(C)]
struct Tables<T> {
    own: T,
    original: *const T,
}

// SAFETY: tables of functions, which nobody writes to.
unsafe impl<T> Send for Tables<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Tables<T> {}

/// Those that were made. A class may have several tables, one in each part of the binary that makes objects of it.
type Made<T> = Mutex<Vec<&'static Tables<T>>>;

static CONTROLLERS: Made<IEditControllerVtbl> = Mutex::new(Vec::new());
static VIEWS: Made<IPlugViewVtbl> = Mutex::new(Vec::new());

impl<T> Tables<T> {
    /// The one that stands in for `original`, of which `made` makes it the first time.
    ///
    /// # Safety
    /// `original` is a table of the framework's.
    unsafe fn of(known: &Made<T>, original: *const T, made: impl FnOnce(T) -> T) -> *const T {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|tables| std::ptr::eq(tables.original, original)).copied();
        let tables = found.unwrap_or_else(|| {
            // SAFETY: by the caller's word; a table is plain data.
            let own = made(unsafe { std::ptr::read(original) });
            let tables: &'static Self = Box::leak(Box::new(Self { own, original }));
            known.push(tables);
            tables
        });
        &raw const tables.own
    }

    /// The framework's table behind the one that an object has.
    ///
    /// # Safety
    /// `own` is what [`Tables::of`] gave.
    unsafe fn original(own: *const T) -> &'static T {
        // SAFETY: by the caller's word `own` is the head of one that lasts for ever, and so does the framework's.
        unsafe { &*(*own.cast::<Self>()).original }
    }
}

unsafe extern "system" fn create_view(this: *mut IEditController, name: FIDString) -> *mut IPlugView {
    // SAFETY: only objects with such a table have this function in it, and it is called as the host calls it. The view is one that nobody
    // else has seen yet, with a table of its class.
    unsafe {
        let view = (Tables::original((*this).vtbl).createView)(this, name);
        if let (false, Some(shim)) = (view.is_null(), shim_of(this.cast())) {
            note(view.cast(), &shim);
            shim.frames.begin(view);
            // What the host gave to a view before is not this one's.
            shim.has_run_loop.store(false, Ordering::SeqCst);
            (*view).vtbl = Tables::of(&VIEWS, (*view).vtbl, |table| IPlugViewVtbl {
                attached,
                removed,
                setFrame: set_frame,
                ..table
            });
        }
        view
    }
}

unsafe extern "system" fn attached(this: *mut IPlugView, parent: *mut c_void, kind: FIDString) -> tresult {
    // SAFETY: only views with our table have this function in it, and it is called as the host calls it.
    unsafe {
        around(this, |original, shim| {
            let answer = (original.attached)(this, parent, kind);
            if answer == kResultOk
                && let Some(shim) = shim
            {
                shim.is_open.store(true, Ordering::SeqCst);
            }
            answer
        })
    }
}

unsafe extern "system" fn removed(this: *mut IPlugView) -> tresult {
    // SAFETY: as above.
    unsafe {
        around(this, |original, shim| {
            let answer = (original.removed)(this);
            if let Some(shim) = shim {
                shim.is_open.store(false, Ordering::SeqCst);
            }
            answer
        })
    }
}

unsafe extern "system" fn set_frame(this: *mut IPlugView, frame: *mut IPlugFrame) -> tresult {
    // SAFETY: as above; the host gives null or a valid frame.
    unsafe {
        around(this, |original, shim| {
            let Some(shim) = shim else { return (original.setFrame)(this, frame) };
            let has_run_loop = ComRef::from_raw(frame).is_some_and(|frame| frame.cast::<IRunLoop>().is_some());
            shim.has_run_loop.store(has_run_loop, Ordering::SeqCst);
            // The framework makes another queue for each.
            shim.backlog.begin_anew();
            shim.frames.set(this, frame, |frame| (original.setFrame)(this, frame))
        })
    }
}

/// Runs `work` with the framework's own table while nothing is posted.
///
/// # Safety
/// `view` is one of ours.
unsafe fn around(view: *mut IPlugView, work: impl FnOnce(&IPlugViewVtbl, Option<&EditorShim>) -> tresult) -> tresult {
    // SAFETY: by the caller's word.
    let original = unsafe { Tables::original((*view).vtbl) };
    match shim_of(view.cast()) {
        Some(shim) => shim.around(|| work(original, Some(&shim))),
        None => work(original, None),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{
        AudioBusBuffers, AudioBusBuffers__type0, IAudioProcessor, IAudioProcessorTrait, IComponent, IComponentTrait,
        IEditControllerTrait, IParamValueQueue, ParamID, ProcessData,
    };
    use nice_plug::wrapper::vst3::vst3::Steinberg::{IPlugViewTrait, kInvalidArgument};
    use nice_plug::wrapper::vst3::vst3::{Class, ComPtr};

    use super::*;
    use crate::host_link::params_by_id::host_id;
    use crate::vst3::processor_shim::PLAYS;
    use crate::vst3::test_instance;

    /// One value of one param, at the beginning of the block.
    struct Value {
        id: ParamID,
        value: Cell<f64>,
    }

    impl Class for Value {
        type Interfaces = (IParamValueQueue,);
    }

    impl IParamValueQueueTrait for Value {
        unsafe fn getParameterId(&self) -> ParamID {
            self.id
        }
        unsafe fn getPointCount(&self) -> i32 {
            1
        }
        unsafe fn getPoint(&self, _: i32, at: *mut i32, value: *mut f64) -> tresult {
            // SAFETY: both are valid by the interface's contract.
            unsafe {
                *at = 0;
                *value = self.value.get();
            }
            kResultOk
        }
        unsafe fn addPoint(&self, _: i32, _: f64, _: *mut i32) -> tresult {
            kInvalidArgument
        }
    }

    struct Values(ComPtr<IParamValueQueue>);

    impl Class for Values {
        type Interfaces = (IParameterChanges,);
    }

    impl IParameterChangesTrait for Values {
        unsafe fn getParameterCount(&self) -> i32 {
            1
        }
        unsafe fn getParameterData(&self, _: i32) -> *mut IParamValueQueue {
            self.0.as_ptr()
        }
        unsafe fn addParameterData(&self, _: *const ParamID, _: *mut i32) -> *mut IParamValueQueue {
            std::ptr::null_mut()
        }
    }

    /// One instance, as the factory makes it, activated.
    struct Instance {
        wrapper: ComWrapper<Wrapper<Underscore>>,
        shim: Arc<EditorShim>,
    }

    impl Instance {
        fn activated() -> Self {
            let wrapper = test_instance::instance();
            let controller = wrapper.as_com_ref::<IEditController>().expect("a controller").as_ptr();
            let shim = shim_of(controller.cast()).expect("a shim");
            let mut setup = test_instance::setup(PLAYS, 64);
            // SAFETY: calls as a host makes them, with a setup that lives.
            unsafe {
                assert_eq!(wrapper.as_com_ref::<IAudioProcessor>().unwrap().setupProcessing(&raw mut setup), kResultOk);
                assert_eq!(wrapper.as_com_ref::<IComponent>().unwrap().setActive(1), kResultOk);
            }
            Self { wrapper, shim }
        }

        /// A block of 64 samples, at the beginning of which the param of this id has `value`.
        fn play(&self, id: &str, value: f64) {
            let queue = ComWrapper::new(Value { id: host_id(id), value: Cell::new(value) });
            let changes = ComWrapper::new(Values(queue.to_com_ptr().unwrap()));
            let mut samples = [[0.1_f32; 64]; 2];
            let mut channels = samples.each_mut().map(|channel| channel.as_mut_ptr());
            let bus = |channels: &mut [*mut f32; 2]| AudioBusBuffers {
                numChannels: 2,
                silenceFlags: 0,
                __field0: AudioBusBuffers__type0 { channelBuffers32: channels.as_mut_ptr() },
            };
            let (mut input, mut output) = (bus(&mut channels), bus(&mut channels));
            // SAFETY: plain data, whose null pointers nobody looks at.
            let mut data: ProcessData = unsafe { std::mem::zeroed() };
            (data.numSamples, data.numInputs, data.numOutputs) = (64, 1, 1);
            (data.inputs, data.outputs) = (&raw mut input, &raw mut output);
            data.inputParameterChanges = changes.as_com_ref::<IParameterChanges>().unwrap().as_ptr();
            // SAFETY: all that is pointed to lives.
            unsafe {
                assert_eq!(self.wrapper.as_com_ref::<IAudioProcessor>().unwrap().process(&raw mut data), kResultOk);
            }
        }

        fn value(&self, id: &str) -> f64 {
            // SAFETY: a call as a host makes it.
            unsafe { self.wrapper.as_com_ref::<IEditController>().unwrap().getParamNormalized(host_id(id)) }
        }
    }

    #[test]
    fn windows_that_come_and_go_while_values_are_automated_cost_the_framework_no_thread() {
        // SAFETY: nothing of this process' tests reads the environment but through the standard library. Without a display no window opens, and the wrapper tries all the same.
        unsafe { std::env::remove_var("DISPLAY") };
        let instance = Instance::activated();
        // SAFETY: a call as a host makes it.
        let view = unsafe { instance.wrapper.as_com_ref::<IEditController>().unwrap().createView(c"editor".as_ptr()) };
        // SAFETY: the host's reference.
        let view = unsafe { ComPtr::from_raw(view) }.expect("a view");
        let is_over = AtomicBool::new(false);
        let instance = &instance;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for step in 0_u32.. {
                    instance.play("music_gain", f64::from(step % 100) / 100.0);
                    if is_over.load(Ordering::Acquire) {
                        break;
                    }
                }
            });
            for _ in 0..50 {
                // SAFETY: a window that is none; it is not opened.
                unsafe {
                    view.attached(std::ptr::without_provenance_mut(1), c"X11EmbedWindowID".as_ptr());
                    view.removed();
                }
            }
            is_over.store(true, Ordering::Release);
        });
        assert!(instance.shim.drain(), "the thread that works tasks off has ended");
    }

    #[test]
    fn what_a_window_s_thread_that_stands_still_does_not_take_is_heard_and_is_not_posted() {
        let params = Arc::new(UnderscoreParams::default());
        let markers = Arc::new(Mutex::new(Vec::new()));
        let posted = markers.clone();
        let run_loop = move |marker| posted.lock().unwrap().push(marker);
        let shim = EditorShim::new(params.clone(), AsyncExecutor::new(Arc::new(|_| ()), Arc::new(run_loop)));
        shim.is_open.store(true, Ordering::SeqCst);
        shim.has_run_loop.store(true, Ordering::SeqCst);
        // Whether the framework is given the value.
        let play = |gain: f64| {
            let queue = ComWrapper::new(Value { id: host_id("music_gain"), value: Cell::new(gain) });
            let changes = ComWrapper::new(Values(queue.to_com_ptr().unwrap()));
            // SAFETY: the changes live.
            let left = unsafe { shim.enter(changes.as_com_ref::<IParameterChanges>().unwrap().as_ptr(), 48_000.0) };
            shim.leave();
            !left.is_null()
        };
        let num_posted = (0_u32..10_000).filter(|step| play(f64::from(step % 100) / 100.0)).count();
        assert!((1000..4096).contains(&(num_posted + markers.lock().unwrap().len())), "{num_posted}");
        assert!(!play(0.25));
        assert!((params.music_gain.unmodulated_normalized_value() - 0.25).abs() < 1e-6);
        markers.lock().unwrap().drain(..).for_each(|marker: QueueFence| marker.pass());
        assert!(play(0.75), "the window's thread goes on");
    }

    #[test]
    fn what_is_automated_while_a_window_opens_is_heard() {
        let instance = Instance::activated();
        instance.play("music_gain", 0.25);
        assert!((instance.value("music_gain") - 0.25).abs() < 1e-6, "while none does");
        instance.shim.around(|| instance.play("music_gain", 0.75));
        assert!((instance.value("music_gain") - 0.75).abs() < 1e-6);
    }
}
