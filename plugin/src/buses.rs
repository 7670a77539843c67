//! The audio ports, which never change, and what goes out of them.

use nice_plug::prelude::*;
use underscore_engine::Control;

use crate::block::{MAX_CHANNELS, NUM_STEMS, StemBlock};

const STEREO: NonZeroU32 = new_nonzero_u32(2);
const MONO: NonZeroU32 = new_nonzero_u32(1);

/// Names of the auxiliary outputs: music and dialogue; then what was asked for by example, and what that leaves.
const AUX_OUTPUT_NAMES: [&str; 4] = ["Music", "Dialogue", "Target", "Residual"];

/// Input buses, the main one included.
pub const NUM_INPUT_BUSES: usize = 2;
/// Output buses, the main one included.
pub const NUM_OUTPUT_BUSES: usize = 1 + AUX_OUTPUT_NAMES.len();

// Channels of the auxiliary buses by layout.
const STEREO_INPUTS: &[NonZeroU32] = &[STEREO; NUM_INPUT_BUSES - 1];
const STEREO_OUTPUTS: &[NonZeroU32] = &[STEREO; NUM_OUTPUT_BUSES - 1];
const MONO_INPUTS: &[NonZeroU32] = &[MONO; NUM_INPUT_BUSES - 1];
const MONO_OUTPUTS: &[NonZeroU32] = &[MONO; NUM_OUTPUT_BUSES - 1];

const fn layout(
    name: &'static str,
    main: NonZeroU32,
    aux_input_ports: &'static [NonZeroU32],
    aux_output_ports: &'static [NonZeroU32],
) -> AudioIOLayout {
    AudioIOLayout {
        main_input_channels: Some(main),
        main_output_channels: Some(main),
        aux_input_ports,
        aux_output_ports,
        names: PortNames {
            layout: Some(name),
            // Both unset: the framework shows the main input's name for the main output too.
            main_input: None,
            main_output: None,
            aux_inputs: &["Sidechain"],
            aux_outputs: &AUX_OUTPUT_NAMES,
        },
    }
}

/// The layouts a host may choose from, by their place: CLAP sessions rely on it. VST3 hosts are given those of which all buses have as many channels
/// as the main one, the first and the last: the framework's wrapper matches no others there.
pub const LAYOUTS: &[AudioIOLayout] = &[
    layout("Stereo", STEREO, STEREO_INPUTS, STEREO_OUTPUTS),
    layout("Mono", MONO, STEREO_INPUTS, STEREO_OUTPUTS),
    layout("Mono with mono stems", MONO, MONO_INPUTS, MONO_OUTPUTS),
];

/// Writes samples `done..` of the auxiliary outputs: the stems, before any gain, so that they sum to the delayed input; a mono
/// stem on both channels. Stems of a model that is asked go to the last two, others to theirs, and from one to the other while
/// one model takes over from another. A bus that has no share in a block stays silent, as the framework hands it over.
pub fn write_stems(block: &StemBlock<'_>, done: usize, outputs: &mut [Buffer]) {
    for (output_idx, output) in outputs.iter_mut().enumerate().take(2 * NUM_STEMS) {
        let share = |query_share: f32| if output_idx >= NUM_STEMS { query_share } else { 1.0 - query_share };
        if let Control::Constant(query_share) = block.query_share
            && share(query_share) == 0.0
        {
            continue;
        }
        for (channel_idx, channel) in output.as_slice().iter_mut().enumerate().take(MAX_CHANNELS) {
            let from = block.stems[output_idx % NUM_STEMS][channel_idx.min(block.num_channels - 1)];
            for (sample_idx, (out, sample)) in channel[done..].iter_mut().zip(from).enumerate() {
                *out = sample * share(block.query_share.at(sample_idx));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::StemMemory;

    #[test]
    fn the_ports_are_the_permanent_ones_in_all_layouts() {
        assert_eq!(LAYOUTS.len(), 3);
        for (layout, (main, aux)) in LAYOUTS.iter().zip([(STEREO, STEREO), (MONO, STEREO), (MONO, MONO)]) {
            assert_eq!(layout.main_input_channels, Some(main));
            assert_eq!(layout.main_output_channels, Some(main));
            assert_eq!(layout.aux_input_ports, [aux]);
            assert_eq!(layout.aux_output_ports, [aux; 4]);
            assert_eq!(layout.aux_input_name(0).as_deref(), Some("Sidechain"));
            let names: Vec<_> = (0..4).filter_map(|port_idx| layout.aux_output_name(port_idx)).collect();
            assert_eq!(names, ["Music", "Dialogue", "Target", "Residual"]);
            assert_eq!((layout.main_input_name(), layout.main_output_name()), ("Input".into(), "Output".into()));
        }
    }

    /// What `[bus, channel]` plays of three samples of two mono stems, written one sample into the buffers.
    fn written(query_share: [f32; 3]) -> Vec<Vec<f32>> {
        let mut stems = StemMemory::new(4, 1);
        stems.begin(3);
        stems.stems[0][0] = vec![0.1, 0.2, 0.3, 9.0];
        stems.stems[1][0] = vec![0.4, 0.5, 0.6, 9.0];
        for query_share in query_share {
            stems.query_share.push_constant(query_share, 1);
        }
        let mut memory = vec![vec![0.0_f32; 5]; 8];
        let mut channels = memory.iter_mut();
        let mut outputs: Vec<Buffer> = (0..4)
            .map(|_| {
                let mut buffer = Buffer::default();
                let pair: Vec<&mut [f32]> = channels.by_ref().take(2).map(Vec::as_mut_slice).collect();
                // SAFETY: the slices are live for as long as the buffer and of the length given.
                unsafe { buffer.set_slices(5, |slices| *slices = pair) };
                buffer
            })
            .collect();
        write_stems(&stems.block(), 1, &mut outputs);
        drop(outputs);
        memory
    }

    #[test]
    fn a_mono_stem_goes_to_both_channels_of_its_bus() {
        let memory = written([0.0; 3]);
        for channel_idx in 0..2 {
            assert_eq!(memory[channel_idx], [0.0, 0.1, 0.2, 0.3, 0.0]);
            assert_eq!(memory[2 + channel_idx], [0.0, 0.4, 0.5, 0.6, 0.0]);
        }
        assert!(memory[4..].iter().flatten().all(|sample| *sample == 0.0));
    }

    #[test]
    fn stems_that_were_asked_for_play_on_the_query_buses_and_move_there_and_back_without_a_loss() {
        let memory = written([1.0; 3]);
        assert!(memory[..4].iter().flatten().all(|sample| *sample == 0.0));
        assert_eq!((&memory[4][1..4], &memory[7][1..4]), (&[0.1, 0.2, 0.3][..], &[0.4, 0.5, 0.6][..]));
        let moving = written([0.0, 0.25, 1.0]);
        for (bus, stem) in [(0, [0.1, 0.2, 0.3]), (2, [0.4, 0.5, 0.6])] {
            for (sample_idx, value) in stem.into_iter().enumerate() {
                let sum = moving[bus][1 + sample_idx] + moving[bus + 4][1 + sample_idx];
                assert!((sum - value).abs() < 1e-7, "{sum} of {value}");
            }
            assert_eq!(moving[bus + 4][1], 0.0);
            assert_eq!(moving[bus][3], 0.0);
        }
    }
}
