//! The plugin as its framework sees it: activated, fed and asked, without a host.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nice_plug::context::process::SendEventError;
use nice_plug::prelude::*;
use underscore::Underscore;
use underscore_engine::{State, StatusSnapshot};

const RATE_HZ: f32 = 48_000.0;
const NUM_AUX: usize = 4;

/// Points the plugin at a folder with nothing in it, so that the tests say the same wherever they run: one for each process, because what a load
/// leaves there is heeded by the next one. It stays behind, empty, where cargo builds.
pub fn hide_libtorch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let name = format!("without-libtorch-{}", std::process::id());
        let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // That of a process of long ago may have had the same number.
        let _ = std::fs::remove_dir_all(&nowhere);
        // SAFETY: the first thing that every test does, before any thread that reads the environment is started.
        unsafe { std::env::set_var("UNDERSCORE_HOME", nowhere) };
    });
}

/// A plugin instance.
pub struct Harness {
    plugin: Underscore,
    layout: AudioIOLayout,
    asked: Asked,
}

/// What the plugin asked of its host.
#[derive(Default)]
pub struct Asked {
    latency_samples: AtomicU32,
    /// Restarts.
    pub num_restarts: AtomicUsize,
    transport: Option<Transport>,
}

/// What came out: `[channel][sample]`, `[bus][channel][sample]`.
pub struct Rendered {
    pub main: Vec<Vec<f32>>,
    pub aux: Vec<Vec<Vec<f32>>>,
}

/// The same noise every time, at half scale.
pub fn noise(num_samples: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32
    };
    (0..num_samples).map(|_| next()).collect()
}

impl Harness {
    /// An instance that is not active yet.
    pub fn new(num_channels: u32) -> Self {
        hide_libtorch();
        let plugin = Underscore::default();
        let is_asked_for = |layout: &&AudioIOLayout| layout.main_output_channels == NonZeroU32::new(num_channels);
        let layout = *Underscore::AUDIO_IO_LAYOUTS.iter().find(is_asked_for).expect("a layout of this width");
        Self { plugin, layout, asked: Asked::default() }
    }

    /// An instance at 48 kHz.
    pub fn activated(num_channels: u32, max_block_samples: usize) -> Self {
        let mut harness = Self::new(num_channels);
        harness.activate(max_block_samples);
        harness
    }

    pub fn activate(&mut self, max_block_samples: usize) {
        assert!(self.try_activate(RATE_HZ, max_block_samples));
    }

    pub fn try_activate(&mut self, rate_hz: f32, max_block_samples: usize) -> bool {
        let config = BufferConfig {
            sample_rate: rate_hz,
            min_buffer_size: None,
            max_buffer_size: max_block_samples as u32,
            process_mode: ProcessMode::Realtime,
        };
        let is_active = self.plugin.activate(&self.layout, &config, &mut &self.asked);
        self.plugin.reset();
        is_active
    }

    pub fn deactivate(&mut self) {
        self.plugin.deactivate();
    }

    pub fn reset(&mut self) {
        self.plugin.reset();
    }

    pub fn latency_samples(&self) -> usize {
        self.asked.latency_samples.load(Ordering::Relaxed) as usize
    }

    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    pub fn status(&self) -> StatusSnapshot {
        self.plugin.status().expect("an active plugin")
    }

    /// What the status says once the model is loaded, or known to be missing.
    pub fn wait_for_message(&self) -> String {
        let start = Instant::now();
        while self.status().state == State::Loading {
            assert!(start.elapsed() < Duration::from_secs(20), "still loading after 20 s");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.status().message
    }

    /// Sets a param by its id and text, as a host would between two blocks.
    pub fn set(&mut self, id: &str, text: &str) {
        let params = self.plugin.params();
        let (_, param, _) =
            params.param_map().into_iter().find(|(other, _, _)| other == id).expect("a param of this id");
        // SAFETY: `params` keeps what the pointer points to alive.
        unsafe {
            let normalized = param.string_to_normalized_value(text).expect("a value of this param");
            param._internal_set_normalized_value(normalized);
        }
    }

    /// Waits until another engine than that of `before` has been built.
    pub fn wait_for_engine_after(&self, before: &StatusSnapshot) {
        let start = Instant::now();
        while self.status().id == before.id {
            assert!(start.elapsed() < Duration::from_secs(20), "no other engine after 20 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Feeds `input` to all channels in blocks of `block_samples`, an empty one after each.
    pub fn render(&mut self, input: &[f32], block_samples: usize) -> Rendered {
        let num_channels = self.layout.main_output_channels.map_or(0, NonZeroU32::get) as usize;
        let mut main = vec![input.to_vec(); num_channels];
        let mut aux = vec![vec![vec![0.0; input.len()]; 2]; NUM_AUX];
        for start in (0..input.len()).step_by(block_samples) {
            let range = start..input.len().min(start + block_samples);
            for range in [range.clone(), range.end..range.end] {
                self.process(&mut main, &mut aux, range);
            }
        }
        Rendered { main, aux }
    }

    fn process(&mut self, main: &mut [Vec<f32>], aux: &mut [Vec<Vec<f32>>], range: std::ops::Range<usize>) {
        let mut main = buffer_of(main, &range);
        let mut sidechain_memory = vec![vec![0.0; range.len()]; 2];
        let mut inputs = [buffer_of(&mut sidechain_memory, &(0..range.len()))];
        let mut outputs: Vec<Buffer> = aux.iter_mut().map(|bus| buffer_of(bus, &range)).collect();
        let mut buses = AuxiliaryBuffers { inputs: &mut inputs, outputs: &mut outputs };
        self.asked.transport.get_or_insert_with(|| Transport::new(RATE_HZ));
        let status = self.plugin.process(&mut main, &mut buses, &mut &self.asked);
        assert_eq!(status, ProcessStatus::Tail(self.asked.latency_samples.load(Ordering::Relaxed)));
    }
}

fn buffer_of<'a>(channels: &'a mut [Vec<f32>], range: &std::ops::Range<usize>) -> Buffer<'a> {
    let slices: Vec<&'a mut [f32]> = channels.iter_mut().map(|channel| &mut channel[range.clone()]).collect();
    let mut buffer = Buffer::default();
    // SAFETY: the slices live as long as the buffer and are all as long as the range.
    unsafe { buffer.set_slices(range.len(), |own| *own = slices) };
    buffer
}

impl ActivateContext<Underscore> for &Asked {
    fn plugin_api(&self) -> PluginApi {
        PluginApi::Clap
    }

    fn execute(&self, _task: underscore::QueueFence) {
        unreachable!("activation leaves nothing to be executed");
    }

    fn set_latency_samples(&self, samples: u32) {
        self.latency_samples.store(samples, Ordering::Relaxed);
    }

    fn set_current_voice_capacity(&self, _capacity: u32) {
        unreachable!("no voices");
    }
}

impl ProcessContext<Underscore> for &Asked {
    fn plugin_api(&self) -> PluginApi {
        PluginApi::Clap
    }

    fn execute_background(&self, _task: underscore::QueueFence) {
        unreachable!("the audio thread wakes nobody");
    }

    fn execute_gui(&self, _task: underscore::QueueFence) {
        unreachable!("nothing is done on the main thread");
    }

    fn transport(&self) -> &Transport {
        self.transport.as_ref().expect("set before the first block")
    }

    fn next_event(&mut self) -> Option<PluginNoteEvent<Underscore>> {
        None
    }

    fn try_send_event(
        &mut self,
        event: PluginNoteEvent<Underscore>,
    ) -> Result<(), (PluginNoteEvent<Underscore>, SendEventError)> {
        Err((event, SendEventError::NoOutputBuffer))
    }

    fn set_latency_samples(&self, _samples: u32) {
        unreachable!("the latency changes only in activate");
    }

    fn request_restart(&self) {
        self.num_restarts.fetch_add(1, Ordering::Relaxed);
    }

    fn set_current_voice_capacity(&self, _capacity: u32) {
        unreachable!("no voices");
    }
}
