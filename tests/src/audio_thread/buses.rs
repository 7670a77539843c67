//! The audio buffers of a plugin, one per channel of each port.

use crate::Port;

/// Written to all outputs before a block: a plugin that leaves a sample unwritten is found out.
pub(crate) const POISON: f32 = 1.0e9;

/// The channels of one port.
#[derive(Debug, Clone)]
pub struct Bus {
    name: String,
    is_main: bool,
    /// `[channel][sample]`
    channels: Vec<Vec<f32>>,
}

impl Bus {
    /// Name of the port.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the main port of its direction.
    #[must_use]
    pub fn is_main(&self) -> bool {
        self.is_main
    }

    /// Number of channels.
    #[must_use]
    pub fn num_channels(&self) -> usize {
        self.channels.len()
    }

    /// One channel, at least as long as the last block.
    #[must_use]
    pub fn channel(&self, channel_idx: usize) -> &[f32] {
        &self.channels[channel_idx]
    }

    /// One channel, to be written.
    pub fn channel_mut(&mut self, channel_idx: usize) -> &mut [f32] {
        &mut self.channels[channel_idx]
    }

    pub(crate) fn channels_mut(&mut self) -> impl Iterator<Item = &mut Vec<f32>> {
        self.channels.iter_mut()
    }
}

/// All ports of one direction, in the plugin's order.
#[derive(Debug, Clone)]
pub struct Buses {
    buses: Vec<Bus>,
}

impl Buses {
    /// Silent buffers for the ports.
    #[must_use]
    pub fn new(ports: &[Port], max_block_samples: usize) -> Self {
        let buses = ports.iter().map(|port| Bus {
            name: port.name.clone(),
            is_main: port.is_main,
            channels: vec![vec![0.0; max_block_samples]; port.num_channels],
        });
        Self { buses: buses.collect() }
    }

    /// Number of buses.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buses.len()
    }

    /// Whether there is no bus.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buses.is_empty()
    }

    /// Channels of all buses together.
    #[must_use]
    pub fn num_channels(&self) -> usize {
        self.buses.iter().map(Bus::num_channels).sum()
    }

    /// All buses.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Bus> {
        self.buses.iter()
    }

    /// All buses, to be written.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Bus> {
        self.buses.iter_mut()
    }

    /// The main bus.
    #[must_use]
    pub fn main(&self) -> Option<&Bus> {
        self.buses.iter().find(|bus| bus.is_main)
    }

    /// The main bus, to be written.
    pub fn main_mut(&mut self) -> Option<&mut Bus> {
        self.buses.iter_mut().find(|bus| bus.is_main)
    }

    /// The auxiliary buses.
    pub fn aux(&self) -> impl Iterator<Item = &Bus> {
        self.buses.iter().filter(|bus| !bus.is_main)
    }

    /// Makes room for a block larger than announced.
    pub(crate) fn grow(&mut self, num_samples: usize) {
        for channel in self.buses.iter_mut().flat_map(|bus| &mut bus.channels) {
            if channel.len() < num_samples {
                channel.resize(num_samples, 0.0);
            }
        }
    }

    pub(crate) fn poison(&mut self, num_samples: usize) {
        for channel in self.buses.iter_mut().flat_map(|bus| &mut bus.channels) {
            channel[..num_samples].fill(POISON);
        }
    }
}
