//! Takes back from a host's run loop what the framework leaves there when a window's frame goes.
//!
//! For each frame nice-plug 0.4.2 registers a handler with the run loop that the host has for it, with two descriptors, and keeps a reference to
//! it that nothing releases: it stays registered, and open, for ever. So the framework is given a frame that stands in for the host's and
//! remembers the handler. When the frame goes it is unregistered; the reference is released with the next frame or the instance, because the host
//! may be in the handler just then.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nice_plug::wrapper::vst3::vst3::Steinberg::Linux::{
    FileDescriptor, IEventHandler, IEventHandlerTrait, IRunLoop, IRunLoopTrait, ITimerHandler, TimerInterval,
};
use nice_plug::wrapper::vst3::vst3::Steinberg::{
    IPlugFrame, IPlugFrameTrait, IPlugView, ViewRect, kResultFalse, kResultOk, tresult,
};
use nice_plug::wrapper::vst3::vst3::{Class, ComPtr, ComRef, ComWrapper};

/// The frames of one instance's views.
#[derive(Default)]
pub struct Frames(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// By the view's address.
    frames: Vec<(usize, ComWrapper<Frame>)>,
    /// Handlers that no run loop knows any more, with the framework's reference.
    ended: Vec<ComPtr<IEventHandler>>,
}

impl Frames {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is a new view at this address. What was at it before has not given its frame back, and its host may be gone: nothing is asked of it.
    pub fn begin(&self, view: *const IPlugView) {
        self.kept().frames.retain(|(address, _)| *address != view as usize);
    }

    /// Runs `set`, which gives the view a frame, with one that stands in for `frame` where that has a run loop. What the view had before goes.
    ///
    /// # Safety
    /// `frame` is null or valid.
    pub unsafe fn set(
        &self,
        view: *const IPlugView,
        frame: *mut IPlugFrame,
        set: impl FnOnce(*mut IPlugFrame) -> tresult,
    ) -> tresult {
        // Beyond the lock: its handler may post what it was left with.
        let ended = std::mem::take(&mut self.kept().ended);
        drop(ended);
        // SAFETY: by the caller's word.
        let own = unsafe { Frame::of(frame) };
        let answer = set(own.as_ref().and_then(Frame::pointer).unwrap_or(frame));
        let mut kept = self.kept();
        let (gone, others) =
            std::mem::take(&mut kept.frames).into_iter().partition(|(address, _)| *address == view as usize);
        kept.frames = others;
        kept.frames.extend(own.map(|own| (view as usize, own)));
        drop(kept);
        let gone: Vec<(usize, ComWrapper<Frame>)> = gone;
        let ended: Vec<_> = gone.iter().filter_map(|(_, frame)| frame.end()).collect();
        self.kept().ended.extend(ended);
        answer
    }
}

/// Stands in for a host's frame.
struct Frame(Mutex<Option<Host>>);

struct Host {
    frame: ComPtr<IPlugFrame>,
    run_loop: ComPtr<IRunLoop>,
    /// The framework's while it is registered, by the reference that nothing else releases, and what it is registered for.
    handler: Option<(ComPtr<IEventHandler>, FileDescriptor)>,
}

impl Class for Frame {
    type Interfaces = (IPlugFrame, IRunLoop);
}

impl Frame {
    /// For one that has a run loop.
    ///
    /// # Safety
    /// `frame` is null or valid.
    unsafe fn of(frame: *mut IPlugFrame) -> Option<ComWrapper<Self>> {
        // SAFETY: by the caller's word.
        let frame = unsafe { ComRef::from_raw(frame) }?;
        let run_loop = frame.cast::<IRunLoop>()?;
        let host = Host { frame: frame.to_com_ptr(), run_loop, handler: None };
        Some(ComWrapper::new(Self(Mutex::new(Some(host)))))
    }

    fn pointer(own: &ComWrapper<Self>) -> Option<*mut IPlugFrame> {
        own.as_com_ref::<IPlugFrame>().map(|own| own.as_ptr())
    }

    fn host(&self) -> MutexGuard<'_, Option<Host>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_loop(&self) -> Option<ComPtr<IRunLoop>> {
        self.host().as_ref().map(|host| host.run_loop.clone())
    }

    /// The host's frame goes, and is not called any more. Gives the handler that was registered with it.
    fn end(&self) -> Option<ComPtr<IEventHandler>> {
        let Host { run_loop, handler, .. } = self.host().take()?;
        let (handler, fd) = handler?;
        // SAFETY: the handler is registered with this run loop, and lives. It is called as the loop would have called it, on the loop's thread: what was
        // posted and not done yet (that the latency is another one, say) would wait for the next window else.
        unsafe {
            run_loop.unregisterEventHandler(handler.as_ptr());
            handler.onFDIsSet(fd);
        }
        Some(handler)
    }
}

impl IPlugFrameTrait for Frame {
    unsafe fn resizeView(&self, view: *mut IPlugView, new_size: *mut ViewRect) -> tresult {
        let frame = self.host().as_ref().map(|host| host.frame.clone());
        // SAFETY: the framework's arguments, as they are.
        frame.map_or(kResultFalse, |frame| unsafe { frame.resizeView(view, new_size) })
    }
}

impl IRunLoopTrait for Frame {
    unsafe fn registerEventHandler(&self, handler: *mut IEventHandler, fd: FileDescriptor) -> tresult {
        let Some(run_loop) = self.run_loop() else { return kResultFalse };
        // SAFETY: the framework's arguments, as they are.
        let answer = unsafe { run_loop.registerEventHandler(handler, fd) };
        if answer == kResultOk
            && let Some(host) = &mut *self.host()
        {
            // SAFETY: valid by the interface's contract; the framework has made a pointer with a reference of its own for this call, and keeps it.
            host.handler = unsafe { ComPtr::from_raw(handler) }.map(|handler| (handler, fd));
        }
        answer
    }

    unsafe fn unregisterEventHandler(&self, handler: *mut IEventHandler) -> tresult {
        let Some(run_loop) = self.run_loop() else { return kResultFalse };
        // SAFETY: the framework's arguments, as they are.
        unsafe { run_loop.unregisterEventHandler(handler) }
    }

    unsafe fn registerTimer(&self, handler: *mut ITimerHandler, milliseconds: TimerInterval) -> tresult {
        // SAFETY: as above.
        self.run_loop().map_or(kResultFalse, |run_loop| unsafe { run_loop.registerTimer(handler, milliseconds) })
    }

    unsafe fn unregisterTimer(&self, handler: *mut ITimerHandler) -> tresult {
        // SAFETY: as above.
        self.run_loop().map_or(kResultFalse, |run_loop| unsafe { run_loop.unregisterTimer(handler) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nice_plug::wrapper::vst3::vst3::Steinberg::IPlugViewTrait;
    use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{IEditController, IEditControllerTrait};

    use super::*;
    use crate::vst3::test_instance;

    /// What the host's run loop knows.
    #[derive(Default)]
    struct Known {
        /// By its address, with a reference as hosts keep one.
        handlers: Vec<ComPtr<IEventHandler>>,
        /// What each descriptor that was ever registered leads to: sockets have names of their own.
        sockets: Vec<String>,
    }

    #[derive(Default, Clone)]
    struct HostFrame(Arc<Mutex<Known>>);

    impl Class for HostFrame {
        type Interfaces = (IPlugFrame, IRunLoop);
    }

    impl IPlugFrameTrait for HostFrame {
        unsafe fn resizeView(&self, _: *mut IPlugView, _: *mut ViewRect) -> tresult {
            kResultOk
        }
    }

    impl IRunLoopTrait for HostFrame {
        unsafe fn registerEventHandler(&self, handler: *mut IEventHandler, fd: FileDescriptor) -> tresult {
            let mut known = self.0.lock().unwrap();
            // SAFETY: valid by the interface's contract.
            known.handlers.push(unsafe { ComRef::from_raw(handler) }.expect("a handler").to_com_ptr());
            let socket = std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("an open descriptor");
            known.sockets.push(socket.to_string_lossy().into_owned());
            kResultOk
        }

        unsafe fn unregisterEventHandler(&self, handler: *mut IEventHandler) -> tresult {
            let mut known = self.0.lock().unwrap();
            let num_before = known.handlers.len();
            known.handlers.retain(|known| known.as_ptr() != handler);
            assert_eq!(known.handlers.len() + 1, num_before, "a handler that is registered");
            kResultOk
        }

        unsafe fn registerTimer(&self, _: *mut ITimerHandler, _: TimerInterval) -> tresult {
            kResultFalse
        }

        unsafe fn unregisterTimer(&self, _: *mut ITimerHandler) -> tresult {
            kResultFalse
        }
    }

    impl HostFrame {
        fn num_handlers(&self) -> usize {
            self.0.lock().unwrap().handlers.len()
        }

        /// Sockets of handlers that are still open.
        fn num_open(&self) -> usize {
            let open: Vec<String> = std::fs::read_dir("/proc/self/fd")
                .expect("this process' descriptors")
                .filter_map(|fd| Some(std::fs::read_link(fd.ok()?.path()).ok()?.to_string_lossy().into_owned()))
                .collect();
            self.0.lock().unwrap().sockets.iter().filter(|socket| open.contains(socket)).count()
        }
    }

    /// Counts how often it is called for its descriptor.
    struct Counter(Arc<Mutex<Vec<FileDescriptor>>>);

    impl Class for Counter {
        type Interfaces = (IEventHandler,);
    }

    impl IEventHandlerTrait for Counter {
        unsafe fn onFDIsSet(&self, fd: FileDescriptor) {
            self.0.lock().unwrap().push(fd);
        }
    }

    #[test]
    fn what_was_posted_before_a_frame_goes_is_done_when_no_run_loop_will_do_it_any_more() {
        let host = HostFrame::default();
        let its = ComWrapper::new(host.clone());
        let calls = Arc::default();
        let handler = ComWrapper::new(Counter(Arc::clone(&calls)));
        // SAFETY: the frame lives; the pointer has a reference of its own, as the framework's has.
        unsafe {
            let frame = Frame::of(its.as_com_ref::<IPlugFrame>().expect("a frame").as_ptr()).expect("a run loop");
            let pointer = handler.to_com_ptr::<IEventHandler>().expect("a handler").into_raw();
            assert_eq!(frame.registerEventHandler(pointer, 0), kResultOk);
            assert!(calls.lock().unwrap().is_empty());
            drop(frame.end());
        }
        assert_eq!((host.num_handlers(), &*calls.lock().unwrap()), (0, &vec![0]));
    }

    #[test]
    fn windows_that_come_and_go_leave_nothing_with_the_host() {
        let instance = test_instance::instance();
        let host = HostFrame::default();
        let frame = ComWrapper::new(host.clone());
        let frame = frame.as_com_ref::<IPlugFrame>().expect("a frame").as_ptr();
        for _ in 0..5 {
            // SAFETY: calls as a host makes them; the frame lives.
            unsafe {
                let controller = instance.as_com_ref::<IEditController>().expect("a controller");
                let view = ComPtr::from_raw(controller.createView(c"editor".as_ptr())).expect("a view");
                assert_eq!(view.setFrame(frame), kResultOk);
                assert_eq!((host.num_handlers(), host.num_open()), (1, 1));
                assert_eq!(view.setFrame(std::ptr::null_mut()), kResultOk);
            }
            assert_eq!(host.num_handlers(), 0);
        }
        assert_eq!(host.num_open(), 1, "that of the last, until the instance goes");
        drop(instance);
        assert_eq!(host.num_open(), 0);
    }
}
