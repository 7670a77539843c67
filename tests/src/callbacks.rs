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
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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

/// Callbacks from any thread.
#[derive(Debug)]
pub(crate) struct Shared {
    main_thread: ThreadId,
    restart: AtomicBool,
    num_restarts: AtomicUsize,
    callback: AtomicBool,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            main_thread: std::thread::current().id(),
            restart: AtomicBool::new(false),
            num_restarts: AtomicUsize::new(0),
            callback: AtomicBool::new(false),
        }
    }

    /// Whether a call of `on_main_thread` is due, once.
    pub(crate) fn take_callback(&self) -> bool {
        self.callback.swap(false, Ordering::AcqRel)
    }

    /// Whether the plugin asked to be deactivated and activated again, once.
    pub(crate) fn take_restart(&self) -> bool {
        self.restart.swap(false, Ordering::AcqRel)
    }

    /// How often it asked so, ever.
    pub(crate) fn num_restarts(&self) -> usize {
        self.num_restarts.load(Ordering::Acquire)
    }
}

impl SharedHandler<'_> for Shared {
    fn request_restart(&self) {
        self.num_restarts.fetch_add(1, Ordering::AcqRel);
        self.restart.store(true, Ordering::Release);
    }
    // Every block is processed here, and params are flushed where a test does so.
    fn request_process(&self) {}
    fn request_callback(&self) {
        self.callback.store(true, Ordering::Release);
    }
}

impl HostLogImpl for Shared {
    fn log(&self, severity: LogSeverity, message: &str) {
        eprintln!("plugin, {severity}: {message}");
    }
}

impl HostParamsImplShared for Shared {
    fn request_flush(&self) {}
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
#[derive(Debug, Default)]
pub(crate) struct MainThread {
    is_activating: Cell<bool>,
    num_latency_changes: Cell<usize>,
}

impl MainThread {
    /// An activation begins, or is over.
    pub(crate) fn set_activating(&self, is_activating: bool) {
        self.is_activating.set(is_activating);
    }

    /// How often the plugin told of another latency within an activation, where alone there may be one.
    pub(crate) fn num_latency_changes(&self) -> usize {
        self.num_latency_changes.get()
    }
}

impl MainThreadHandler<'_> for MainThread {}

impl HostLatencyImpl for MainThread {
    // Read again whenever it is asked for.
    fn changed(&self) {
        self.num_latency_changes.update(|num| num + usize::from(self.is_activating.get()));
    }
}

impl HostStateImpl for MainThread {
    fn mark_dirty(&self) {}
}

impl HostParamsImplMainThread for MainThread {
    // Nothing is cached here: params are read from the plugin every time.
    fn rescan(&self, _flags: ParamRescanFlags) {}
    fn clear(&self, _param_id: clack_host::utils::ClapId, _flags: ParamClearFlags) {}
}

impl HostAudioPortsImpl for MainThread {
    fn is_rescan_flag_supported(&self, _flag: AudioPortRescanFlags) -> bool {
        true
    }
    // Ports are read again at every `configure`.
    fn rescan(&self, _flags: AudioPortRescanFlags) {}
}

impl HostAudioPortsConfigImpl for MainThread {
    fn rescan(&self) {}
}

impl HostNotePortsImpl for MainThread {
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
    type MainThread<'a> = MainThread;
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
