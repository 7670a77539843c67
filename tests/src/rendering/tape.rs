//! What takes the outputs of a render.

use crate::{Bus, Buses, HostError};

/// Takes the outputs of a render, block by block.
pub trait Recorder: Send {
    /// Before the first block: the buses that there are, and how many samples they will carry in all, of which the first
    /// `latency_samples` lie before the input's first one.
    ///
    /// # Errors
    /// [`HostError::Recorder`] where there is no place for them.
    fn begin(&mut self, outputs: &Buses, num_samples: usize, latency_samples: usize) -> Result<(), HostError>;

    /// After each block, on the thread that processed it: a render at the pace of the clock waits for nothing here.
    ///
    /// # Errors
    /// [`HostError::Recorder`] where they cannot be kept; the render ends.
    fn record(&mut self, outputs: &Buses, num_samples: usize) -> Result<(), HostError>;
}

/// One auxiliary output.
#[derive(Debug, Clone, PartialEq)]
pub struct Stem {
    /// Name of the bus.
    pub name: String,
    /// `[channel][sample]`
    pub channels: Vec<Vec<f32>>,
}

/// All of it in memory, which is taken beforehand.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    /// Main output, `[channel][sample]`, with its latency.
    pub main: Vec<Vec<f32>>,
    /// Auxiliary outputs, with their latency.
    pub stems: Vec<Stem>,
}

impl Recorder for Tape {
    fn begin(&mut self, outputs: &Buses, num_samples: usize, _: usize) -> Result<(), HostError> {
        let tracks = |num_channels: usize| (0..num_channels).map(|_| room_for(num_samples)).collect();
        self.main = tracks(outputs.main().map_or(0, Bus::num_channels));
        let stem = |bus: &Bus| Stem { name: bus.name().to_owned(), channels: tracks(bus.num_channels()) };
        self.stems = outputs.aux().map(stem).collect();
        Ok(())
    }

    fn record(&mut self, outputs: &Buses, num_samples: usize) -> Result<(), HostError> {
        if let Some(bus) = outputs.main() {
            append(&mut self.main, bus, num_samples);
        }
        for (stem, bus) in self.stems.iter_mut().zip(outputs.aux()) {
            append(&mut stem.channels, bus, num_samples);
        }
        Ok(())
    }
}

/// Room for so many samples, in memory that the system has given already: a page that arrives while an audio thread records takes the
/// time of many blocks' work.
fn room_for(num_samples: usize) -> Vec<f32> {
    let mut track = std::hint::black_box(vec![1.0; num_samples]);
    track.clear();
    track
}

fn append(track: &mut [Vec<f32>], bus: &Bus, num_samples: usize) {
    for (channel_idx, channel) in track.iter_mut().enumerate() {
        channel.extend_from_slice(&bus.channel(channel_idx)[..num_samples]);
    }
}
