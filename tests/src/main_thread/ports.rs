//! Audio and note ports, and the layouts that a plugin offers.

use crate::HostError;
use clack_extensions::audio_ports::{AudioPortFlags, AudioPortInfoBuffer, PluginAudioPorts};
use clack_extensions::audio_ports_config::{AudioPortsConfigBuffer, PluginAudioPortsConfig};
use clack_extensions::note_ports::{NotePortInfoBuffer, PluginNotePorts};
use clack_host::prelude::{ClapId, PluginMainThreadHandle};

/// One audio port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Stable id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Number of channels.
    pub num_channels: usize,
    /// Whether it is the main port of its direction; otherwise it is auxiliary.
    pub is_main: bool,
}

/// One note port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotePort {
    /// Stable id.
    pub id: u32,
    /// Name.
    pub name: String,
}

/// All ports of a plugin, in the order in which `process` takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    /// Audio inputs.
    pub inputs: Vec<Port>,
    /// Audio outputs.
    pub outputs: Vec<Port>,
    /// Note inputs.
    pub note_inputs: Vec<NotePort>,
    /// Note outputs.
    pub note_outputs: Vec<NotePort>,
}

impl Ports {
    /// Channels of the main input, or of the first one; 0 without inputs.
    #[must_use]
    pub fn num_main_channels(&self) -> usize {
        self.inputs.iter().find(|port| port.is_main).or(self.inputs.first()).map_or(0, |port| port.num_channels)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads all ports of the layout selected now.
pub(crate) fn read(plugin: PluginMainThreadHandle<'_>) -> Ports {
    Ports {
        inputs: audio(plugin, true),
        outputs: audio(plugin, false),
        note_inputs: notes(plugin, true),
        note_outputs: notes(plugin, false),
    }
}

fn audio(plugin: PluginMainThreadHandle<'_>, is_input: bool) -> Vec<Port> {
    let Some(extension) = plugin.get_extension::<PluginAudioPorts>() else { return Vec::new() };
    let mut buffer = AudioPortInfoBuffer::new();
    (0..extension.count(&plugin, is_input))
        .filter_map(|port_idx| {
            let info = extension.get(&plugin, port_idx, is_input, &mut buffer)?;
            Some(Port {
                id: info.id.get(),
                name: text(info.name),
                num_channels: info.channel_count as usize,
                is_main: info.flags.contains(AudioPortFlags::IS_MAIN),
            })
        })
        .collect()
}

fn notes(plugin: PluginMainThreadHandle<'_>, is_input: bool) -> Vec<NotePort> {
    let Some(extension) = plugin.get_extension::<PluginNotePorts>() else { return Vec::new() };
    let mut buffer = NotePortInfoBuffer::new();
    (0..extension.count(&plugin, is_input))
        .filter_map(|port_idx| {
            let info = extension.get(&plugin, port_idx, is_input, &mut buffer)?;
            Some(NotePort { id: info.id.get(), name: text(info.name) })
        })
        .collect()
}

/// Layouts with as many main outputs as main inputs: their id and main channel count.
pub(crate) fn layouts(plugin: PluginMainThreadHandle<'_>) -> Vec<(ClapId, usize)> {
    let Some(extension) = plugin.get_extension::<PluginAudioPortsConfig>() else { return Vec::new() };
    let mut buffer = AudioPortsConfigBuffer::new();
    (0..extension.count(&plugin))
        .filter_map(|layout_idx| {
            let layout = extension.get(&plugin, layout_idx, &mut buffer)?;
            let (input, output) = (layout.main_input?, layout.main_output?);
            (input.channel_count == output.channel_count).then_some((layout.id, input.channel_count as usize))
        })
        .collect()
}

/// Selects the layout with that many main channels.
pub(crate) fn select(plugin: PluginMainThreadHandle<'_>, num_channels: usize) -> Result<(), HostError> {
    let layouts = layouts(plugin);
    let Some((id, _)) = layouts.iter().find(|(_, offered)| *offered == num_channels) else {
        let offered = layouts.into_iter().map(|(_, offered)| offered).collect();
        return Err(HostError::NoLayout { asked: num_channels, offered });
    };
    let extension =
        plugin.get_extension::<PluginAudioPortsConfig>().ok_or(HostError::NoExtension("audio-ports-config"))?;
    extension.select(&plugin, *id).map_err(|e| HostError::refused("select layout", e))
}
