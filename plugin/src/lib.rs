//! Underscore: takes background music and dialogue apart, live, inside the host.
//!
//! This crate is glue: buses, params, state and the editor between a host and [`underscore_engine`]. What lives on which
//! thread:
//! * the host's main thread: [`Underscore`]'s `activate` and `deactivate`; on Windows and macOS the [`editor`], too;
//! * a thread of the window's own, with X11: the [`editor`];
//! * the host's audio thread: `process` and `reset`, with [`takeover`] and [`mixer`]; nothing there allocates, locks or waits
//!   (but for a host that renders ahead of real time);
//! * a thread of its own: [`builder`], which makes another engine when the user chooses another model or device;
//! * another for as long as a file dialog is open: it reads the example that is chosen there;
//! * and, in the stand-alone program, one that loads what was set when it was closed.

mod block;
pub mod builder;
mod buses;
mod choices;
mod clap;
pub mod diagnostics;
mod editor;
mod host_link;
mod meters;
mod mixer;
mod model;
mod param_kinds;
mod params;
mod query;
mod query_params;
mod state;
mod state_notices;
pub mod takeover;
mod vst3;

pub use vst3::QueueFence;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use nice_plug::prelude::*;
use nice_plug_egui::EguiEditorState;
use underscore_engine::{QueryBoard, RenderMode, Settings, Source, StatusSnapshot};

use block::MAX_CHANNELS;
use builder::{Builder, HostConfig, Tender, wanted};
use editor::ScaledEditor;
use host_link::HostLink;
use host_link::params_by_id::ParamsById;
use meters::Meters;
use mixer::Mixer;
use params::UnderscoreParams;
use query_params::{QueryParams, Switches};
use takeover::Takeover;

/// Counts allocations on the audio thread, in shipped builds too; see [`diagnostics`].
#[global_allocator]
static ALLOCATOR: assert_no_alloc::AllocDisabler = assert_no_alloc::AllocDisabler;

/// The plugin. Making one costs nothing: no file, no thread, no libtorch, until the host activates it.
pub struct Underscore {
    params: Arc<UnderscoreParams>,
    builder: Arc<Builder>,
    meters: Arc<Meters>,
    editor_state: Arc<EguiEditorState>,
    /// From activation to deactivation.
    active: Option<Active>,
    /// `None` in CLAP and in the stand-alone program.
    vst3_shim: Option<Arc<vst3::ProcessorShim>>,
    /// `None` in the stand-alone program. Where there is one, the shim reports the latency and the framework is given none.
    host_link: Option<Arc<HostLink>>,
}

/// What an activation sizes for its largest block.
struct Active {
    /// First, so that it ends first: nobody builds while the rest goes.
    _tender: Tender,
    takeover: Takeover,
    mixer: Mixer,
    num_channels: usize,
    max_block_samples: usize,
    /// What the host said when it activated the plugin, for where it says nothing besides; see [`HostLink`].
    render: RenderMode,
    switches: Switches,
}

impl Default for Underscore {
    fn default() -> Self {
        let params = Arc::new(UnderscoreParams::default());
        let builder = Arc::new(Builder::default().with_boards(params.query.boards().clone()));
        let host_link = HostLink::take();
        if let Some(host_link) = &host_link {
            let _ = host_link.params.set(ParamsById::new(params.clone()));
            let (builder, params) = (builder.clone(), params.clone());
            let planned = move |rate_hz, max_block_samples| {
                let latency_samples = builder.latency_samples(rate_hz, max_block_samples, wanted(&params))?;
                u32::try_from(latency_samples).ok()
            };
            let _ = host_link.planned_latency.set(Box::new(planned));
        }
        Self {
            builder,
            params,
            meters: Arc::new(Meters::default()),
            editor_state: editor::new_state(),
            active: None,
            vst3_shim: vst3::ProcessorShim::take(),
            host_link,
        }
    }
}

impl Underscore {
    /// Figures of the engine built last, while the plugin is active. Not for the audio thread.
    #[must_use]
    pub fn status(&self) -> Option<StatusSnapshot> {
        self.builder.status().map(|status| status.snapshot())
    }

    /// The render mode that the host has set after activation, if any. Real-time safe.
    fn host_render_mode(&self) -> Option<ProcessMode> {
        self.host_link.as_ref()?.render_mode.get()
    }
}

impl Plugin for Underscore {
    const NAME: &'static str = "Underscore";
    const VENDOR: &'static str = "The Underscore authors";
    const URL: &'static str = "";
    const EMAIL: &'static str = "";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    const AUDIO_IO_LAYOUTS: &'static [AudioIOLayout] = buses::LAYOUTS;
    /// Blocks are split where a param changes, so that a bounce does not depend on the block size.
    const SAMPLE_ACCURATE_AUTOMATION: bool = true;
    const HARD_REALTIME_ONLY: bool = false;

    type Editor = ScaledEditor;
    type SysExMessage = ();
    /// Says that its turn has come; see [`vst3`].
    type BackgroundTask = vst3::QueueFence;

    fn params(&self) -> Arc<dyn Params> {
        self.params.clone()
    }

    fn task_executor(&mut self) -> TaskExecutor<Self> {
        Box::new(|marker| marker.pass())
    }

    fn editor(&mut self, tasks: AsyncExecutor<Self>) -> Option<Self::Editor> {
        if let Some(shim) = &self.vst3_shim {
            shim.watch(self.params.clone(), tasks);
        }
        editor::create(self.editor_state.clone(), self.params.clone(), self.builder.clone(), self.meters.clone())
    }

    fn filter_state(state: &mut PluginState) {
        state::make_loadable(state);
    }

    fn activate(
        &mut self,
        audio_io_layout: &AudioIOLayout,
        buffer_config: &BufferConfig,
        context: &mut impl ActivateContext<Self>,
    ) -> bool {
        let num_channels = audio_io_layout.main_output_channels.map_or(0, NonZeroU32::get) as usize;
        let host = HostConfig {
            rate_hz: f64::from(buffer_config.sample_rate),
            max_block_samples: (buffer_config.max_buffer_size as usize).max(1),
            num_channels,
            // The stand-alone program has nothing else to play: there a change of model need not wait.
            compensates_latency: context.plugin_api() != PluginApi::Standalone,
        };
        let process_mode = self.host_render_mode().unwrap_or(buffer_config.process_mode);
        diagnostics::note_activation(process_mode);
        // Requests from before this activation refer to sidechain audio that is gone.
        self.params.query.boards().iter().for_each(QueryBoard::want_no_more);
        // The old engine first: two at a time would be of no use here.
        self.active = None;
        let Some(takeover) = self.builder.activate(host, wanted(&self.params)) else { return false };
        let latency_samples = u32::try_from(takeover.latency_samples()).unwrap_or(u32::MAX);
        match &self.host_link {
            Some(host_link) => host_link.latency.set(latency_samples),
            None => context.set_latency_samples(latency_samples),
        }
        self.active = Some(Active {
            _tender: Tender::start(self.builder.clone(), self.params.clone()),
            takeover,
            mixer: Mixer::new(host.rate_hz, host.max_block_samples),
            num_channels,
            max_block_samples: host.max_block_samples,
            render: render_mode(process_mode),
            switches: Switches::of(&self.params.query),
        });
        if let Some(shim) = &self.vst3_shim {
            shim.note_activation(num_channels);
        }
        true
    }

    fn deactivate(&mut self) {
        if let Some(shim) = &self.vst3_shim {
            shim.note_deactivation();
        }
        self.active = None;
        self.builder.deactivate();
    }

    fn reset(&mut self) {
        let host_mode = self.host_render_mode();
        if let Some(active) = &mut self.active {
            let render = host_mode.map_or(active.render, render_mode);
            diagnostics::watch_allocations(|| {
                active.takeover.reset(render);
                active.mixer.reset();
            });
        }
    }

    fn process(
        &mut self,
        buffer: &mut Buffer,
        aux: &mut AuxiliaryBuffers,
        context: &mut impl ProcessContext<Self>,
    ) -> ProcessStatus {
        let host_mode = self.host_render_mode();
        let Some(active) = &mut self.active else { return ProcessStatus::Error("process without activate") };
        let start = Instant::now();
        let render = host_mode.map_or(active.render, render_mode);
        self.builder.note_render(render);
        let meters = self.editor_state.is_open().then_some(&*self.meters);
        diagnostics::watch_allocations(|| active.process(&self.params, render, meters, buffer, aux));
        active.takeover.note_process_us(start.elapsed().as_secs_f32() * 1e6);
        self.builder.note_played(context.transport().sample_rate, buffer.samples());

        // Not within a bounce: it would be of two halves.
        let is_latency_untold = render == RenderMode::RealTime
            && self.host_link.as_ref().is_some_and(|host_link| host_link.latency.take_change());
        if is_latency_untold || self.builder.take_needs_restart() {
            context.request_restart();
        }
        // What went in comes out this much later.
        ProcessStatus::Tail(u32::try_from(active.takeover.latency_samples()).unwrap_or(u32::MAX))
    }
}

impl Active {
    /// Blocks are split where a param changes: an example ends there, whatever their size.
    fn take_examples(&mut self, params: &QueryParams) {
        for (slot, source) in self.switches.update(params).into_iter().enumerate() {
            match source {
                Some(Source::Sidechain) => self.takeover.take_sidechain_example(slot),
                Some(Source::Target) => self.takeover.take_target_example(slot),
                None => {}
            }
        }
    }

    /// One host block of any length, larger ones than announced included.
    fn process(
        &mut self,
        params: &UnderscoreParams,
        render: RenderMode,
        meters: Option<&Meters>,
        buffer: &mut Buffer,
        aux: &mut AuxiliaryBuffers,
    ) {
        self.takeover.begin(render);
        let num_samples = buffer.samples();
        let main = buffer.as_slice();
        let num_channels = main.len().min(self.num_channels);
        self.mixer.set(&params.mix());
        self.take_examples(&params.query);
        let is_following = params.query.follow.value();
        let mut done = 0;
        while done < num_samples {
            self.takeover.follow(is_following);
            let longest = if is_following { self.takeover.num_samples_to_follow() } else { None };
            let end = num_samples.min(done + longest.unwrap_or(usize::MAX).min(self.max_block_samples));
            let settings = Settings {
                strength: params.strength.value(),
                stereo_link: params.stereo_link.value(),
                render,
                // The switch, not the fade that follows it: its place does not depend on where blocks end.
                asleep: params.bypass.value(),
                is_following,
                ..Settings::default()
            };
            let query_blend_of = |model_id: &str| params.query.query_blend(model_id);
            // The input's buffers are those of the main output, too: it is read before anything is written.
            let mut channels = main.iter();
            let input = std::array::from_fn::<&[f32], MAX_CHANNELS, _>(|_| {
                channels.next().map(|channel| &channel[done..end]).unwrap_or_default()
            });
            let stems = self.takeover.process(&input[..num_channels], &settings, query_blend_of);

            let mut channels = main.iter_mut();
            let mut part = std::array::from_fn::<&mut [f32], MAX_CHANNELS, _>(|_| match channels.next() {
                Some(channel) => &mut channel[done..end],
                None => Default::default(),
            });
            let part = &mut part[..num_channels];
            self.mixer.mix(&stems, part);
            if let Some(meters) = meters {
                meters.add(&stems, self.mixer.gains(), self.mixer.ducking(), part);
            }
            buses::write_stems(&stems, done, aux.outputs);
            // The sidechain is pushed last: examples above end with the previous block, and offline the buffers that they took are back by now, so that
            // capturing goes on at exactly this sample.
            if let Some(sidechain) = aux.inputs.first_mut() {
                // A mono one is heard on both channels.
                let channels = sidechain.as_slice_immutable();
                let block = std::array::from_fn::<&[f32], MAX_CHANNELS, _>(|channel_idx| {
                    let channel = channels.get(channel_idx).or(channels.last());
                    channel.and_then(|channel| channel.get(done..end)).unwrap_or_default()
                });
                self.takeover.listen(&block);
            }
            done = end;
        }
    }
}

/// What the host says of its rendering. Where it says nothing and renders ahead all the same, the engine's clocks tell.
fn render_mode(process_mode: ProcessMode) -> RenderMode {
    match process_mode {
        ProcessMode::Offline => RenderMode::Offline,
        ProcessMode::Realtime | ProcessMode::Buffered => RenderMode::RealTime,
    }
}

impl ClapPlugin for Underscore {
    const CLAP_ID: &'static str = "org.underscore-audio.underscore";
    const CLAP_DESCRIPTION: Option<&'static str> = Some("Takes background music and dialogue apart, live");
    const CLAP_MANUAL_URL: Option<&'static str> = None;
    const CLAP_SUPPORT_URL: Option<&'static str> = None;
    const CLAP_FEATURES: &'static [ClapFeature] = &[
        ClapFeature::AudioEffect,
        ClapFeature::Restoration,
        ClapFeature::Mixing,
        ClapFeature::Stereo,
        ClapFeature::Mono,
    ];

    fn remote_controls(&self, context: &mut impl RemoteControlsContext) {
        context.add_section("Mixer", |section| {
            section.add_page("Stems", |page| {
                page.add_param(&self.params.music_gain);
                page.add_param(&self.params.music_solo);
                page.add_param(&self.params.music_mute);
                page.add_param(&self.params.strength);
                page.add_param(&self.params.dialogue_gain);
                page.add_param(&self.params.dialogue_solo);
                page.add_param(&self.params.dialogue_mute);
                page.add_param(&self.params.dry_wet);
            });
            section.add_page("Duck", |page| {
                page.add_param(&self.params.duck.is_on);
                page.add_param(&self.params.duck.depth);
                page.add_param(&self.params.duck.threshold);
                page.add_param(&self.params.duck.attack);
                page.add_param(&self.params.duck.hold);
                page.add_param(&self.params.duck.release);
            });
            let query = &self.params.query;
            section.add_page("Query", |page| {
                page.add_param(&query.blend);
                page.add_param(&query.preset_a);
                page.add_param(&query.preset_b);
                page.add_param(&query.follow);
                page.add_param(&query.map_x);
                page.add_param(&query.map_y);
                page.add_param(&query.capture_a);
                page.add_param(&query.capture_b);
            });
        });
    }
}

impl Vst3Plugin for Underscore {
    const VST3_CLASS_ID: [u8; 16] = *b"UnderscoreStems1";
    const VST3_SUBCATEGORIES: &'static [Vst3SubCategory] =
        &[Vst3SubCategory::Fx, Vst3SubCategory::Restoration, Vst3SubCategory::Tools];
}
