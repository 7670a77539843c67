//! The host's side of CLAP: what a plugin may ask of it, from which thread.

use clack_extensions::audio_ports::{AudioPortRescanFlags, HostAudioPorts, HostAudioPortsImpl};
use clack_extensions::audio_ports_config::{HostAudioPortsConfig, HostAudioPortsConfigImpl};
use clack_extensions::latency::{HostLatency, HostLatencyImpl};
use clack_extensions::log::{HostLog, HostLogImpl, LogSeverity};
use clack_extensions::note_ports::{HostNotePorts, HostNotePortsImpl, NoteDialects, NotePortRescanFlags};
use clack_extensions::params::{
    HostParams, HostParamsImplMainThread, HostParamsImplShared, ParamClearFlags, ParamRescanFlags,
};
use clack_extensions::state::{HostState, HostStateImpl};
use clack_extensions::tail::{HostTail, HostTailImpl};
use clack_extensions::thread_check::{HostThreadCheck, HostThreadCheckImpl};
use clack_host::prelude::*;
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;

thread_local! {
    /// Whether this thread is inside an audio-thread call of a plugin.
    static ON_AUDIO_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks the current thread as the audio thread while it lives.
pub(crate) struct AudioThreadMark(bool);

impl AudioThreadMark {
    pub(crate) fn new() -> Self {
        Self(ON_AUDIO_THREAD.replace(true))
    }
}

impl Drop for AudioThreadMark {
    fn drop(&mut self) {
        ON_AUDIO_THREAD.set(self.0);
    }
}

/// What a plugin has asked for since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent requests, any of which may be there")]
pub struct Requests {
    /// To be deactivated and activated again.
    pub restart: bool,
    /// To have its params flushed.
    pub flush: bool,
    /// To be processed again after it slept.
    pub process: bool,
    /// That its latency, changed in `activate`, be read again.
    pub latency_changed: bool,
    /// That its state counts as modified.
    pub state_dirty: bool,
}

/// Callbacks from any thread.
#[derive(Debug)]
pub(crate) struct Shared {
    main_thread: ThreadId,
    restart: AtomicBool,
    flush: AtomicBool,
    process: AtomicBool,
    callback: AtomicBool,
    latency_changed: AtomicBool,
    state_dirty: AtomicBool,
    log: Mutex<Vec<String>>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            main_thread: std::thread::current().id(),
            restart: AtomicBool::new(false),
            flush: AtomicBool::new(false),
            process: AtomicBool::new(false),
            callback: AtomicBool::new(false),
            latency_changed: AtomicBool::new(false),
            state_dirty: AtomicBool::new(false),
            log: Mutex::new(Vec::new()),
        }
    }

    /// Whether a call of `on_main_thread` is due, once.
    pub(crate) fn take_callback(&self) -> bool {
        self.callback.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn take_requests(&self) -> Requests {
        Requests {
            restart: self.restart.swap(false, Ordering::AcqRel),
            flush: self.flush.swap(false, Ordering::AcqRel),
            process: self.process.swap(false, Ordering::AcqRel),
            latency_changed: self.latency_changed.swap(false, Ordering::AcqRel),
            state_dirty: self.state_dirty.swap(false, Ordering::AcqRel),
        }
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl SharedHandler<'_> for Shared {
    fn request_restart(&self) {
        self.restart.store(true, Ordering::Release);
    }
    fn request_process(&self) {
        self.process.store(true, Ordering::Release);
    }
    fn request_callback(&self) {
        self.callback.store(true, Ordering::Release);
    }
}

impl HostLogImpl for Shared {
    fn log(&self, severity: LogSeverity, message: &str) {
        let mut log = self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        log.push(format!("{severity}: {message}"));
    }
}

impl HostParamsImplShared for Shared {
    fn request_flush(&self) {
        self.flush.store(true, Ordering::Release);
    }
}

impl HostThreadCheckImpl for Shared {
    // An offline render runs the audio calls on the thread of the main ones: the mark tells them apart.
    fn is_main_thread(&self) -> bool {
        std::thread::current().id() == self.main_thread && !ON_AUDIO_THREAD.get()
    }
    fn is_audio_thread(&self) -> bool {
        ON_AUDIO_THREAD.get()
    }
}

/// Callbacks on the main thread.
#[derive(Debug)]
pub(crate) struct MainThread<'a>(pub(crate) &'a Shared);

impl<'a> MainThreadHandler<'a> for MainThread<'a> {}

impl HostLatencyImpl for MainThread<'_> {
    fn changed(&self) {
        self.0.latency_changed.store(true, Ordering::Release);
    }
}

impl HostStateImpl for MainThread<'_> {
    fn mark_dirty(&self) {
        self.0.state_dirty.store(true, Ordering::Release);
    }
}

impl HostParamsImplMainThread for MainThread<'_> {
    // Nothing is cached here: params are read from the plugin every time.
    fn rescan(&self, _flags: ParamRescanFlags) {}
    fn clear(&self, _param_id: clack_host::utils::ClapId, _flags: ParamClearFlags) {}
}

impl HostAudioPortsImpl for MainThread<'_> {
    fn is_rescan_flag_supported(&self, _flag: AudioPortRescanFlags) -> bool {
        true
    }
    // Ports are read again at every `configure`.
    fn rescan(&self, _flags: AudioPortRescanFlags) {}
}

impl HostAudioPortsConfigImpl for MainThread<'_> {
    fn rescan(&self) {}
}

impl HostNotePortsImpl for MainThread<'_> {
    fn supported_dialects(&self) -> NoteDialects {
        NoteDialects::CLAP | NoteDialects::MIDI
    }
    fn rescan(&self, _flags: NotePortRescanFlags) {}
}

/// Callbacks on the audio thread.
#[derive(Debug)]
pub(crate) struct AudioThread;

impl AudioProcessorHandler<'_> for AudioThread {}

impl HostTailImpl for AudioThread {
    fn changed(&mut self) {}
}

/// Ties the three together and declares what this host implements.
#[derive(Debug)]
pub(crate) struct Host;

impl HostHandlers for Host {
    type Shared<'a> = Shared;
    type MainThread<'a> = MainThread<'a>;
    type AudioProcessor<'a> = AudioThread;

    fn declare_extensions(builder: &mut HostExtensions<Self>, _shared: &Self::Shared<'_>) {
        builder
            .register::<HostLog>()
            .register::<HostLatency>()
            .register::<HostState>()
            .register::<HostParams>()
            .register::<HostAudioPorts>()
            .register::<HostAudioPortsConfig>()
            .register::<HostNotePorts>()
            .register::<HostTail>()
            .register::<HostThreadCheck>();
    }
}
