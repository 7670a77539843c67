//! Input through a plugin, the way a host would drive it.

pub(crate) mod blocks;
pub(crate) mod tape;
pub(crate) mod timings;

use crate::{
    BlockSizes, Bundle, Diagnostics, HostError, Instance, ParamChange, Priority, Processor, Recorder, Tape, Timings,
    raise_to_real_time,
};
use std::time::{Duration, Instant};

/// Between two looks of the main thread at what the plugin asks for, as often as an editor is drawn: each one's timer interrupts
/// whatever runs on its processor.
const MAIN_THREAD_PAUSE: Duration = Duration::from_millis(16);

/// How the blocks follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as possible, on the calling thread. Whether the host *says* so is in [`crate::Config::offline`].
    AsFastAsPossible,
    /// One block per block period, on a thread of its own with the priority of an audio thread where the system grants it.
    RealTime,
}

/// What to render.
#[derive(Debug, Clone)]
pub struct Rendering<'a> {
    /// Main input, `[channel][sample]`.
    pub main: &'a [Vec<f32>],
    /// Sidechain input, `[channel][sample]`; shorter than the main one: silence follows.
    pub sidechain: Option<&'a [Vec<f32>]>,
    /// Block sizes; none above the announced maximum unless that is what is tested.
    pub blocks: BlockSizes,
    /// Pace.
    pub pace: Pace,
    /// Feed silence until the model is loaded, then reset: for a real-time render that shall not begin dry, and for one at whose end it
    /// shall be known what came of loading, however short or silent it is. Where nothing came of it, it ends before the first block.
    pub wait_for_model: bool,
    /// Changes given with the first block.
    pub changes: &'a [ParamChange],
}

impl<'a> Rendering<'a> {
    /// As fast as possible in blocks of one size.
    #[must_use]
    pub fn new(main: &'a [Vec<f32>], block_samples: usize) -> Self {
        Self {
            main,
            sidechain: None,
            blocks: BlockSizes::Fixed(block_samples),
            pace: Pace::AsFastAsPossible,
            wait_for_model: false,
            changes: &[],
        }
    }
}

/// What came of a render, and what took its outputs, which are `latency_samples` longer than what went in.
#[derive(Debug, Clone)]
pub struct Rendered<R = Tape> {
    /// What took the outputs.
    pub tape: R,
    /// Latency that the plugin reported.
    pub latency_samples: usize,
    /// Time of each `process`.
    pub timings: Timings,
    /// Whole duration, from the first block to the last.
    pub wall: Duration,
    /// Scheduling of the audio thread.
    pub priority: Priority,
    /// The plugin's own words at the end of the render, before `deactivate`; `None` where it has none.
    pub diagnostics: Option<Diagnostics>,
    /// Frames of the newest engine during the render alone, and how many of them were late.
    pub frames: Frames,
    /// Whether the plugin asked to be restarted meanwhile.
    pub restart_requested: bool,
}

/// A count of frames, as the plugin reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frames {
    /// All of them.
    pub num: u64,
    /// Those whose mask came after its deadline.
    pub num_late: u64,
    /// Those with sound that no mask could be had for.
    pub num_unmasked: u64,
}

impl Frames {
    /// Counted since the newest engine was activated.
    fn so_far(bundle: &Bundle) -> Self {
        let diagnostics = bundle.diagnostics().unwrap_or_default();
        diagnostics.newest().map_or_else(Self::default, |engine| Self {
            num: engine.num_frames,
            num_late: engine.num_late_frames,
            num_unmasked: engine.num_unmasked_frames,
        })
    }
}

impl Rendered {
    fn without_latency(&self, signal: &[Vec<f32>]) -> Vec<Vec<f32>> {
        signal.iter().map(|channel| channel[self.latency_samples..].to_vec()).collect()
    }

    /// Main output aligned with the input.
    #[must_use]
    pub fn aligned_main(&self) -> Vec<Vec<f32>> {
        self.without_latency(&self.tape.main)
    }

    /// The auxiliary output `name`, aligned with the input.
    #[must_use]
    pub fn aligned_stem(&self, name: &str) -> Option<Vec<Vec<f32>>> {
        let stem = self.tape.stems.iter().find(|stem| stem.name.eq_ignore_ascii_case(name))?;
        Some(self.without_latency(&stem.channels))
    }

    /// Sum of all auxiliary outputs, aligned with the input.
    #[must_use]
    pub fn aligned_sum(&self) -> Vec<Vec<f32>> {
        let stems: Vec<&[Vec<f32>]> = self.tape.stems.iter().map(|stem| stem.channels.as_slice()).collect();
        self.without_latency(&crate::sum_of(&stems))
    }
}

/// Activates the configured instance, renders, and deactivates it; all that comes out is kept in memory.
///
/// # Errors
/// As [`render_onto`].
pub fn render(bundle: &Bundle, instance: &mut Instance, rendering: &Rendering<'_>) -> Result<Rendered, HostError> {
    render_onto(bundle, instance, rendering, Tape::default())
}

/// Activates the configured instance, renders, and deactivates it, whether or not the render came to its end.
///
/// # Errors
/// Whatever the plugin refuses, [`HostError::Shape`] when the input does not have the configured channels, and what the recorder says.
pub fn render_onto<R: Recorder>(
    bundle: &Bundle,
    instance: &mut Instance,
    rendering: &Rendering<'_>,
    recorder: R,
) -> Result<Rendered<R>, HostError> {
    let config = instance.config().ok_or(HostError::NotConfigured)?;
    if rendering.main.len() != config.num_channels {
        let (expected, actual) = (config.num_channels, rendering.main.len());
        return Err(HostError::Shape { what: "channels of the main input", expected, actual });
    }
    let mut processor = instance.activate()?;
    let rendered = run_activated(bundle, instance, &mut processor, rendering, recorder);
    instance.deactivate(processor);
    rendered
}

fn run_activated<R: Recorder>(
    bundle: &Bundle,
    instance: &mut Instance,
    processor: &mut Processor,
    rendering: &Rendering<'_>,
    mut tape: R,
) -> Result<Rendered<R>, HostError> {
    let rate_hz = instance.config().ok_or(HostError::NotConfigured)?.rate_hz;
    let latency_samples = instance.latency_samples();
    processor.start()?;
    if rendering.wait_for_model {
        wait_until_loaded(bundle, instance, processor, Duration::from_mins(2))?;
        require_running(bundle)?;
    }
    let before = Frames::so_far(bundle);
    let num_samples = rendering.main.first().map_or(0, Vec::len) + latency_samples;
    let mut timings = Timings::with_capacity(rendering.blocks.cover(num_samples).count());
    tape.begin(processor.outputs(), num_samples, latency_samples)?;
    let mut restart_requested = false;
    let start = Instant::now();
    let mut run = |before: &mut dyn FnMut(usize)| -> Result<(), HostError> {
        let mut position = 0;
        let mut changes = rendering.changes;
        for num_samples in rendering.blocks.cover(num_samples) {
            before(position);
            play(processor, num_samples, Some(rendering.main), rendering.sidechain, position);
            processor.process(num_samples, changes)?;
            changes = &[];
            timings.push(processor.last_wall(), processor.last_cpu());
            timings.push_waits(processor.last_num_waits());
            tape.record(processor.outputs(), num_samples)?;
            position += num_samples;
        }
        Ok(())
    };
    let priority = match rendering.pace {
        Pace::AsFastAsPossible => {
            run(&mut |_| restart_requested |= instance.pump())?;
            Priority::Normal
        }
        Pace::RealTime => std::thread::scope(|scope| {
            let audio_thread = scope.spawn(|| {
                let priority = raise_to_real_time();
                let start = Instant::now();
                run(&mut |position| {
                    let due = start + Duration::from_secs_f64(position as f64 / rate_hz);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                })?;
                Ok(priority)
            });
            while !audio_thread.is_finished() {
                restart_requested |= instance.pump();
                std::thread::sleep(MAIN_THREAD_PAUSE);
            }
            audio_thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?,
    };
    let wall = start.elapsed();
    let diagnostics = bundle.diagnostics().ok();
    let after = Frames::so_far(bundle);
    let frames = Frames {
        num: after.num.saturating_sub(before.num),
        num_late: after.num_late.saturating_sub(before.num_late),
        num_unmasked: after.num_unmasked.saturating_sub(before.num_unmasked),
    };
    processor.stop()?;
    Ok(Rendered { tape, latency_samples, timings, wall, priority, diagnostics, frames, restart_requested })
}

/// Shows the configured instance what to look for: plays `sidechain` into its sidechain, and captures it.
///
/// # Errors
/// Whatever the plugin refuses.
pub fn capture_example(instance: &mut Instance, sidechain: &[Vec<f32>]) -> Result<(), HostError> {
    play_and_hold(instance, None, Some(sidechain), "query_capture")
}

/// Plays signals, `[channel][sample]`, into the configured instance, and holds one of its switches on in the block after it: what a
/// person does. Activates it and deactivates it. Where the host is offline, what the switch asks for has been done at the end.
///
/// # Errors
/// Whatever the plugin refuses.
pub fn play_and_hold(
    instance: &mut Instance,
    main: Option<&[Vec<f32>]>,
    sidechain: Option<&[Vec<f32>]>,
    switch: &str,
) -> Result<(), HostError> {
    let config = instance.config().ok_or(HostError::NotConfigured)?;
    let hold = instance.change(switch, "on")?;
    let mut processor = instance.activate()?;
    processor.start()?;
    let num_samples = [main, sidechain].into_iter().flatten().flatten().map(Vec::len).max().unwrap_or(0);
    for position in (0..num_samples).step_by(config.max_block_samples) {
        let block = config.max_block_samples.min(num_samples - position);
        play(&mut processor, block, main, sidechain, position);
        processor.process(block, &[])?;
        instance.pump();
    }
    play(&mut processor, config.max_block_samples, None, None, 0);
    processor.process(config.max_block_samples, &[hold])?;
    processor.stop()?;
    instance.deactivate(processor);
    instance.set(switch, "off")
}

/// Feeds silence, a block per block period, until the newest engine has settled; then resets it. A plugin without
/// diagnostics is taken to be ready. However long the blocks are, it is looked after as often as an editor is drawn.
///
/// # Errors
/// [`HostError::NotLoaded`] after `limit`; whatever `process` says.
pub fn wait_until_loaded(
    bundle: &Bundle,
    instance: &mut Instance,
    processor: &mut Processor,
    limit: Duration,
) -> Result<(), HostError> {
    let config = instance.config().ok_or(HostError::NotConfigured)?;
    let num_samples = config.max_block_samples;
    let period = Duration::from_secs_f64(num_samples as f64 / config.rate_hz);
    let start = Instant::now();
    let mut next_block = start;
    for bus in processor.inputs_mut(num_samples).iter_mut() {
        for channel_idx in 0..bus.num_channels() {
            bus.channel_mut(channel_idx).fill(0.0);
        }
    }
    while let Ok(diagnostics) = bundle.diagnostics()
        && let Some(newest) = diagnostics.newest()
        && !newest.is_settled()
    {
        if start.elapsed() > limit {
            let (state, message) = (newest.state.clone(), newest.message.clone());
            return Err(HostError::NotLoaded { state, message, waited_s: limit.as_secs_f64() });
        }
        if Instant::now() >= next_block {
            processor.process(num_samples, &[])?;
            next_block = Instant::now() + period;
        }
        instance.pump();
        std::thread::sleep(period.min(MAIN_THREAD_PAUSE));
    }
    processor.reset();
    Ok(())
}

/// An error where loading came to an end, and to nothing. A plugin without diagnostics is taken to be ready.
fn require_running(bundle: &Bundle) -> Result<(), HostError> {
    match bundle.diagnostics().unwrap_or_default().newest() {
        Some(newest) if newest.state != "running" => {
            Err(HostError::NotRunning { state: newest.state.clone(), message: newest.message.clone() })
        }
        _ => Ok(()),
    }
}

/// Fills the next block's inputs with what lies at `position`; silence where there is nothing.
fn play(
    processor: &mut Processor,
    num_samples: usize,
    main: Option<&[Vec<f32>]>,
    sidechain: Option<&[Vec<f32>]>,
    position: usize,
) {
    for bus in processor.inputs_mut(num_samples).iter_mut() {
        let source = if bus.is_main() { main } else { sidechain };
        for channel_idx in 0..bus.num_channels() {
            fill(&mut bus.channel_mut(channel_idx)[..num_samples], source, channel_idx, position);
        }
    }
}

/// Writes a piece of `source` from `position` on, silence after its end. A mono source goes to all channels.
fn fill(target: &mut [f32], source: Option<&[Vec<f32>]>, channel_idx: usize, position: usize) {
    target.fill(0.0);
    let Some(channel) = source.and_then(|source| source.get(channel_idx).or(source.last())) else { return };
    let Some(rest) = channel.get(position..) else { return };
    let num_samples = rest.len().min(target.len());
    target[..num_samples].copy_from_slice(&rest[..num_samples]);
}
