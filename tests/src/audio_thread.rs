//! A plugin on the audio thread, from `activate` to `deactivate`.

pub(crate) mod buses;
pub(crate) mod priority;

use crate::callbacks::{AudioThreadMark, Host};
use crate::{Buses, HostError, Ports};
use clack_host::events::EventFlags;
use clack_host::events::event_types::{ParamValueEvent, TransportEvent, TransportFlags};
use clack_host::prelude::*;
use clack_host::utils::{BeatTime, SecondsTime};
use std::time::{Duration, Instant};

/// A param set to a value inside a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParamChange {
    /// CLAP id.
    pub id: u32,
    /// Value, in the plugin's plain range.
    pub value: f64,
    /// Where in the block; a host that errs may say beyond it.
    pub offset_samples: usize,
}

/// What a host tells of its song with every block, when it tells anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transport {
    /// Whether the song runs.
    pub is_playing: bool,
    /// Tempo, beats per minute.
    pub tempo_bpm: f64,
}

impl Transport {
    fn event(self) -> TransportEvent {
        let playing = if self.is_playing { TransportFlags::IS_PLAYING } else { TransportFlags::empty() };
        TransportEvent {
            header: EventHeader::new_core(0, EventFlags::empty()),
            flags: TransportFlags::HAS_TEMPO | playing,
            song_pos_beats: BeatTime::from_int(0),
            song_pos_seconds: SecondsTime::from_int(0),
            tempo: self.tempo_bpm,
            tempo_inc: 0.0,
            loop_start_beats: BeatTime::from_int(0),
            loop_end_beats: BeatTime::from_int(0),
            loop_start_seconds: SecondsTime::from_int(0),
            loop_end_seconds: SecondsTime::from_int(0),
            bar_start: BeatTime::from_int(0),
            bar_number: 0,
            time_signature_numerator: 4,
            time_signature_denominator: 4,
        }
    }
}

/// The audio side of an activated plugin, with its buffers. `Send`, but only one thread at a time has it.
pub struct Processor {
    plugin: PluginAudioProcessor<Host>,
    inputs: Buses,
    outputs: Buses,
    input_ports: AudioPorts,
    output_ports: AudioPorts,
    events: EventBuffer,
    answers: EventBuffer,
    transport: Option<TransportEvent>,
    /// Ports that are passed, of inputs and of outputs.
    num_passed: [usize; 2],
    steady_time_samples: u64,
    last_wall: Duration,
    last_cpu: Option<Duration>,
    last_num_waits: Option<u64>,
}

impl Processor {
    pub(crate) fn new(plugin: PluginAudioProcessor<Host>, ports: &Ports, max_block_samples: usize) -> Self {
        let inputs = Buses::new(&ports.inputs, max_block_samples);
        let outputs = Buses::new(&ports.outputs, max_block_samples);
        Self {
            plugin,
            // Exact capacities: clack 0.2 rewrites its pointers wrongly when these lists have to grow.
            input_ports: AudioPorts::with_capacity(inputs.num_channels(), inputs.len()),
            output_ports: AudioPorts::with_capacity(outputs.num_channels(), outputs.len()),
            inputs,
            outputs,
            events: EventBuffer::with_capacity(64),
            answers: EventBuffer::with_capacity(256),
            transport: None,
            num_passed: [usize::MAX; 2],
            steady_time_samples: 0,
            last_wall: Duration::ZERO,
            last_cpu: None,
            last_num_waits: None,
        }
    }

    /// The input buses, to be filled before [`Self::process`] is given that many samples.
    pub fn inputs_mut(&mut self, num_samples: usize) -> &mut Buses {
        self.inputs.grow(num_samples);
        &mut self.inputs
    }

    /// The output buses of the last [`Self::process`].
    #[must_use]
    pub fn outputs(&self) -> &Buses {
        &self.outputs
    }

    /// Transport to give with every block; `None` (at first): a host without one.
    pub fn set_transport(&mut self, transport: Option<Transport>) {
        self.transport = transport.map(Transport::event);
    }

    /// Passes the first ports alone with every block from now on, as no host should; at first all of them. Those that are not passed keep what they
    /// had.
    pub fn pass_ports(&mut self, num_inputs: usize, num_outputs: usize) {
        self.num_passed = [num_inputs, num_outputs];
    }

    /// Begins processing.
    ///
    /// # Errors
    /// [`HostError::Refused`] when the plugin refuses or has begun already.
    pub fn start(&mut self) -> Result<(), HostError> {
        let _mark = AudioThreadMark::new();
        self.plugin.start_processing().map(|_| ()).map_err(|e| HostError::refused("start_processing", e))
    }

    /// Ends processing.
    ///
    /// # Errors
    /// [`HostError::Refused`] when it had not begun.
    pub fn stop(&mut self) -> Result<(), HostError> {
        let _mark = AudioThreadMark::new();
        self.plugin.stop_processing().map(|_| ()).map_err(|e| HostError::refused("stop_processing", e))
    }

    /// Forgets all audio heard.
    pub fn reset(&mut self) {
        let _mark = AudioThreadMark::new();
        self.plugin.reset();
        self.steady_time_samples = 0;
    }

    /// One block of `num_samples`, which may be 0 and, for the sake of a test, more than was announced.
    ///
    /// # Errors
    /// [`HostError::Refused`] before [`Self::start`], or when the plugin reports an error.
    pub fn process(&mut self, num_samples: usize, changes: &[ParamChange]) -> Result<ProcessStatus, HostError> {
        let _mark = AudioThreadMark::new();
        self.inputs.grow(num_samples);
        self.outputs.grow(num_samples);
        self.outputs.poison(num_samples);
        self.events.clear();
        self.answers.clear();
        for change in changes {
            let offset = change.offset_samples as u32;
            self.events.push(&ParamValueEvent::new(offset, ClapId::new(change.id), Pckn::match_all(), change.value));
        }
        let [num_inputs, num_outputs] = self.num_passed;
        let plugin = self.plugin.as_started_mut().map_err(|e| HostError::refused("process", e))?;
        let inputs =
            self.input_ports.with_input_buffers(self.inputs.iter_mut().take(num_inputs).map(|bus| AudioPortBuffer {
                latency: 0,
                channels: AudioPortBufferType::f32_input_only(
                    bus.channels_mut().map(|channel| InputChannel::variable(&mut channel[..num_samples])),
                ),
            }));
        let mut outputs = self.output_ports.with_output_buffers(self.outputs.iter_mut().take(num_outputs).map(|bus| {
            AudioPortBuffer {
                latency: 0,
                channels: AudioPortBufferType::f32_output_only(
                    bus.channels_mut().map(|channel| &mut channel[..num_samples]),
                ),
            }
        }));
        let (events, mut answers) = (self.events.as_input(), self.answers.as_output());
        let steady_time = Some(self.steady_time_samples);
        let waits_before = priority::thread_waits();
        let cpu_start = priority::thread_cpu_time();
        let start = Instant::now();
        let status = plugin.process(&inputs, &mut outputs, &events, &mut answers, steady_time, self.transport.as_ref());
        self.last_wall = start.elapsed();
        self.last_cpu = cpu_start.and_then(|start| Some(priority::thread_cpu_time()?.saturating_sub(start)));
        self.last_num_waits = waits_before.zip(priority::thread_waits()).and_then(|(before, after)| {
            let [num_waits, num_disk_waits] = [0, 1].map(|idx| after[idx].saturating_sub(before[idx]));
            (num_disk_waits == 0).then_some(num_waits)
        });
        self.steady_time_samples += num_samples as u64;
        status.map_err(|e| HostError::refused("process", e))
    }

    /// Time that the last [`Self::process`] took by the clock.
    #[must_use]
    pub fn last_wall(&self) -> Duration {
        self.last_wall
    }

    /// Time that the last [`Self::process`] ran on a processor, where the system tells: without what others took.
    #[must_use]
    pub fn last_cpu(&self) -> Option<Duration> {
        self.last_cpu
    }

    /// How often the last [`Self::process`] waited for something, where the system tells; nothing where it had to wait for a page from a disk, which is
    /// the machine's doing.
    #[must_use]
    pub fn last_num_waits(&self) -> Option<u64> {
        self.last_num_waits
    }

    pub(crate) fn into_stopped(self) -> StoppedPluginAudioProcessor<Host> {
        let _mark = AudioThreadMark::new();
        self.plugin.into_stopped()
    }
}

impl std::fmt::Debug for Processor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processor").field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}
