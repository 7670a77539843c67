//! The params, as declarations. Ids, enum ids and their meaning are permanent: sessions, automation and presets refer to them.

use std::sync::Arc;

use nice_plug::prelude::*;
use underscore_engine::{DeviceChoice, DuckerSettings};

use crate::mixer::{MixSettings, Strip};
use crate::model::Model;
use crate::param_kinds::{decibels, decibels_of, gain, milliseconds, percentage, switch};
use crate::query_params::QueryParams;
use crate::state_notices::{MissingModel, StateVersion};

/// Top of the gain range, dB. The bottom is silence.
pub const MAX_GAIN_DB: f32 = 12.0;

/// Where the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum Device {
    /// CUDA where there is one, else the processor.
    #[id = "auto"]
    #[name = "Auto"]
    Auto,
    /// The processor.
    #[id = "cpu"]
    #[name = "CPU"]
    Cpu,
}

impl Device {
    /// The engine's word for it.
    #[must_use]
    pub fn choice(self) -> DeviceChoice {
        match self {
            Self::Auto => DeviceChoice::Auto,
            Self::Cpu => DeviceChoice::Cpu,
        }
    }
}

/// All params of one instance. Field order is the order in hosts.
#[derive(Params)]
pub struct UnderscoreParams {
    /// Version of the state's meaning, saved beside the params.
    #[persist = "state_version"]
    pub state_version: StateVersion,
    /// The model that the session was saved with, where it is not there.
    #[persist = "missing_model"]
    pub missing_model: MissingModel,

    /// Which model separates. A change builds a new engine, so it cannot be automated.
    #[id = "model"]
    pub model: EnumParam<Model>,
    /// Linear gain of the music in the main output, 0..=3.98 (−∞..=+12 dB).
    #[id = "music_gain"]
    pub music_gain: FloatParam,
    /// Only soloed stems are heard in the main output.
    #[id = "music_solo"]
    pub music_solo: BoolParam,
    /// Silences the music in the main output, soloed or not.
    #[id = "music_mute"]
    pub music_mute: BoolParam,
    /// Linear gain of the dialogue in the main output, 0..=3.98 (−∞..=+12 dB).
    #[id = "dialogue_gain"]
    pub dialogue_gain: FloatParam,
    /// Only soloed stems are heard in the main output.
    #[id = "dialogue_solo"]
    pub dialogue_solo: BoolParam,
    /// Silences the dialogue in the main output, soloed or not.
    #[id = "dialogue_mute"]
    pub dialogue_mute: BoolParam,
    /// Mask exponent, 0..=2 (0..=200 %): 0 separates nothing, 1 does as the model says, 2 trades artefacts for less bleed.
    #[id = "strength"]
    pub strength: FloatParam,
    /// One mask for both channels, so that the stereo image stays.
    #[id = "stereo_link"]
    pub stereo_link: BoolParam,
    /// Share of the separated mix in the main output, 0..=1; the rest is the delayed input.
    #[id = "dry_wet"]
    pub dry_wet: FloatParam,
    /// The host's bypass: the delayed input, bit for bit.
    #[id = "bypass"]
    pub bypass: BoolParam,
    /// Where the model runs. A change builds a new engine, so it cannot be automated.
    #[id = "device"]
    pub device: EnumParam<Device>,
    /// What a model that is asked is to look for.
    #[nested(group = "Query")]
    pub query: QueryParams,
    /// How the music goes down while the dialogue is heard.
    #[nested(group = "Duck")]
    pub duck: DuckParams,
}

/// How the music in the main output goes down while the dialogue is heard. A model that is asked has neither.
#[derive(Params)]
pub struct DuckParams {
    /// Whether it does.
    #[id = "duck"]
    pub is_on: BoolParam,
    /// How far, dB, 0..=24.
    #[id = "duck_depth"]
    pub depth: FloatParam,
    /// At this level of the dialogue the music is down by half of the depth, dBFS of its root mean square, -60..=0.
    #[id = "duck_threshold"]
    pub threshold: FloatParam,
    /// Time down to the depth, ms, 5..=500.
    #[id = "duck_attack"]
    pub attack: FloatParam,
    /// Time for which the dialogue may be away, ms, 0..=3000.
    #[id = "duck_hold"]
    pub hold: FloatParam,
    /// Time back up, ms, 50..=5000.
    #[id = "duck_release"]
    pub release: FloatParam,
}

impl Default for DuckParams {
    fn default() -> Self {
        Self {
            is_on: switch("Duck", false),
            // Written as it is shown, with a minus, it means the same.
            depth: decibels("Duck Depth", 12.0, 0.0, 24.0)
                .with_string_to_value(Arc::new(|text| decibels_of(text).map(f32::abs))),
            // Without one, too: there is no level above full scale to mean.
            threshold: decibels("Duck Threshold", -38.0, -60.0, 0.0)
                .with_string_to_value(Arc::new(|text| decibels_of(text).map(|level_db| -level_db.abs()))),
            attack: milliseconds("Duck Attack", 40.0, 5.0, 500.0),
            hold: milliseconds("Duck Hold", 400.0, 0.0, 3_000.0),
            release: milliseconds("Duck Release", 800.0, 50.0, 5_000.0),
        }
    }
}

impl DuckParams {
    fn settings(&self) -> DuckerSettings {
        DuckerSettings {
            depth_db: if self.is_on.value() { self.depth.value() } else { 0.0 },
            threshold_db: self.threshold.value(),
            attack_s: self.attack.value() / 1e3,
            hold_s: self.hold.value() / 1e3,
            release_s: self.release.value() / 1e3,
        }
    }
}

impl Default for UnderscoreParams {
    fn default() -> Self {
        Self {
            state_version: StateVersion::default(),
            missing_model: MissingModel::default(),
            model: EnumParam::new("Model", Model::default()).non_automatable(),
            music_gain: gain("Music Gain", MAX_GAIN_DB),
            music_solo: switch("Music Solo", false),
            music_mute: switch("Music Mute", false),
            dialogue_gain: gain("Dialogue Gain", MAX_GAIN_DB),
            dialogue_solo: switch("Dialogue Solo", false),
            dialogue_mute: switch("Dialogue Mute", false),
            strength: percentage("Strength", 1.0, 2.0),
            stereo_link: switch("Stereo Link", true),
            dry_wet: percentage("Dry/Wet", 1.0, 1.0),
            bypass: switch("Bypass", false).make_bypass(),
            device: EnumParam::new("Device", Device::Auto).non_automatable(),
            query: QueryParams::default(),
            duck: DuckParams::default(),
        }
    }
}

impl UnderscoreParams {
    /// How the stems are to be mixed. Real-time safe.
    #[must_use]
    pub fn mix(&self) -> MixSettings {
        MixSettings {
            strips: [
                Strip {
                    gain: self.music_gain.value(),
                    is_soloed: self.music_solo.value(),
                    is_muted: self.music_mute.value(),
                },
                Strip {
                    gain: self.dialogue_gain.value(),
                    is_soloed: self.dialogue_solo.value(),
                    is_muted: self.dialogue_mute.value(),
                },
            ],
            duck: self.duck.settings(),
            wet: self.dry_wet.value(),
            is_bypassed: self.bypass.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every saved session and every automation lane refers to these. The list only ever grows.
    const PERMANENT_IDS: [&str; 28] = [
        "model",
        "music_gain",
        "music_solo",
        "music_mute",
        "dialogue_gain",
        "dialogue_solo",
        "dialogue_mute",
        "strength",
        "stereo_link",
        "dry_wet",
        "bypass",
        "device",
        "query_preset",
        "query_capture",
        "query_preset_b",
        "query_capture_b",
        "query_blend",
        "query_x",
        "query_y",
        "query_refine",
        "query_follow",
        "query_revision",
        "duck",
        "duck_depth",
        "duck_threshold",
        "duck_attack",
        "duck_hold",
        "duck_release",
    ];

    #[test]
    fn the_ids_are_the_permanent_ones() {
        let ids: Vec<String> = UnderscoreParams::default().param_map().into_iter().map(|(id, _, _)| id).collect();
        assert_eq!(ids, PERMANENT_IDS);
    }

    /// A row for each.
    fn reference() -> String {
        let row = |(id, param, _): (String, ParamPtr, String)| {
            // SAFETY: the params that it points into live until all rows are made.
            let (name, flags, default, steps) =
                unsafe { (param.name(), param.flags(), param.default_normalized_value(), param.step_count()) };
            // SAFETY: as above.
            let text = |normalized: f32| unsafe { param.normalized_value_to_string(normalized, true) };
            let range = match steps {
                None => format!("{} to {}", text(0.0), text(1.0)),
                Some(steps) => {
                    let choices = (0..=steps).map(|step| text(step as f32 / steps as f32));
                    choices.filter(|choice| !choice.starts_with("Free ")).collect::<Vec<_>>().join(", ")
                }
            };
            let automation = if flags.contains(ParamFlags::NON_AUTOMATABLE) { "no" } else { "yes" };
            format!("| {name} | `{id}` | {range} | {} | {automation} |\n", text(default))
        };
        UnderscoreParams::default().param_map().into_iter().map(row).collect()
    }

    #[test]
    fn the_reference_names_every_param_with_its_range_and_default() {
        let expected = reference();
        let written = include_str!("../../docs/params.md").replace("\r\n", "\n");
        assert!(written.contains(&expected), "docs/params.md is to have these rows:\n{expected}");
    }

    #[test]
    fn the_ids_of_the_devices_are_the_permanent_ones() {
        assert_eq!(Device::ids(), Some(&["auto", "cpu"][..]));
    }

    #[test]
    fn ducking_is_off_until_it_is_asked_for_and_its_figures_read_as_they_are_shown() {
        let duck = UnderscoreParams::default().duck;
        assert_eq!(duck.settings().depth_db, 0.0);
        for param in [&duck.depth, &duck.threshold, &duck.attack, &duck.hold, &duck.release] {
            let shown = param.to_string();
            let read = param.string_to_normalized_value(&shown).unwrap_or_else(|| panic!("{shown}"));
            assert!((param.preview_plain(read) - param.value()).abs() < 0.5, "{shown}");
        }
        assert_eq!(duck.threshold.to_string(), "-38.0 dB");
        assert_eq!(duck.release.to_string(), "800 ms");
        let read = |param: &FloatParam, text: &str| {
            param.string_to_normalized_value(text).map(|normalized| param.preview_plain(normalized).round())
        };
        assert_eq!(read(&duck.depth, "-12 dB"), Some(12.0));
        for text in ["-20 dBFS", "-20dbfs", "-20", "20", "\u{2212}20 dB"] {
            assert_eq!(read(&duck.threshold, text), Some(-20.0), "{text}");
        }
        assert_eq!([read(&duck.release, "1.2 s"), read(&duck.release, "1200ms")], [Some(1200.0); 2]);
        assert_eq!([read(&duck.attack, "fast"), read(&duck.attack, "s")], [None; 2]);
    }

    #[test]
    fn the_bypass_is_the_host_s_and_model_and_device_cannot_be_automated() {
        let params = UnderscoreParams::default();
        assert!(params.bypass.flags().contains(ParamFlags::BYPASS));
        assert!(params.model.flags().contains(ParamFlags::NON_AUTOMATABLE));
        assert!(params.device.flags().contains(ParamFlags::NON_AUTOMATABLE));
    }
}
