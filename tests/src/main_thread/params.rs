//! Params: listed, read, and set by id, by name or by text.

use super::Instance;
use crate::{HostError, ParamChange};
use clack_extensions::params::{ParamInfoBuffer, ParamInfoFlags, PluginParams};
use clack_host::events::event_types::ParamValueEvent;
use clack_host::prelude::*;
use std::ffi::CString;

/// A param, in the plain range that the plugin shows to CLAP hosts.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "independent flags, as CLAP has them")]
pub struct Param {
    /// CLAP id: with nice-plug, [`stable_id_hash`] of the string id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Group path, `/`-separated.
    pub module: String,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Default value.
    pub default: f64,
    /// Whether only whole numbers are allowed.
    pub is_stepped: bool,
    /// Whether it is the host's bypass.
    pub is_bypass: bool,
    /// Whether it may be automated.
    pub is_automatable: bool,
    /// Whether it is hidden from the user.
    pub is_hidden: bool,
}

/// The CLAP id that nice-plug gives to the param of a string id: 31-radix over its bytes, top bit cleared.
#[must_use]
pub fn stable_id_hash(id: &str) -> u32 {
    id.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte))) & !(1 << 31)
}

/// Lower case, words joined by `-`: `Music 1` and `music_1` are both `music-1`.
fn slug(text: &str) -> String {
    let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("-").to_lowercase()
}

impl Instance {
    fn params_extension(&mut self) -> Result<PluginParams, HostError> {
        self.plugin.plugin_handle().get_extension::<PluginParams>().ok_or(HostError::NoExtension("params"))
    }

    /// All params, in the plugin's order.
    ///
    /// # Errors
    /// [`HostError::NoExtension`].
    pub fn params(&mut self) -> Result<Vec<Param>, HostError> {
        let extension = self.params_extension()?;
        let handle = self.plugin.plugin_handle();
        let mut buffer = ParamInfoBuffer::new();
        let params = (0..extension.count(&handle)).filter_map(|param_idx| {
            let info = extension.get_info(&handle, param_idx, &mut buffer)?;
            Some(Param {
                id: info.id.get(),
                name: String::from_utf8_lossy(info.name).into_owned(),
                module: String::from_utf8_lossy(info.module).into_owned(),
                min: info.min_value,
                max: info.max_value,
                default: info.default_value,
                is_stepped: info.flags.contains(ParamInfoFlags::IS_STEPPED),
                is_bypass: info.flags.contains(ParamInfoFlags::IS_BYPASS),
                is_automatable: info.flags.contains(ParamInfoFlags::IS_AUTOMATABLE),
                is_hidden: info.flags.contains(ParamInfoFlags::IS_HIDDEN),
            })
        });
        Ok(params.collect())
    }

    /// The param of a string id, or of a name (case and separators do not matter).
    ///
    /// # Errors
    /// [`HostError::NoParam`] with the names there are.
    pub fn param(&mut self, id_or_name: &str) -> Result<Param, HostError> {
        let params = self.params()?;
        let hash = stable_id_hash(id_or_name);
        let found = params
            .iter()
            .find(|param| param.id == hash)
            .or_else(|| params.iter().find(|param| slug(&param.name) == slug(id_or_name)));
        found.cloned().ok_or_else(|| HostError::NoParam {
            asked: id_or_name.to_owned(),
            offered: params.into_iter().map(|param| param.name).collect(),
        })
    }

    /// Current value of the param with this CLAP id.
    ///
    /// # Errors
    /// [`HostError::NoParam`].
    pub fn value(&mut self, id: u32) -> Result<f64, HostError> {
        let extension = self.params_extension()?;
        let value = extension.get_value(&self.plugin.plugin_handle(), ClapId::new(id));
        value.ok_or_else(|| HostError::NoParam { asked: id.to_string(), offered: Vec::new() })
    }

    /// A value as the plugin writes it, with its unit.
    ///
    /// # Errors
    /// [`HostError::NoExtension`]; [`HostError::Refused`] for a value that has no text.
    pub fn text_of(&mut self, id: u32, value: f64) -> Result<String, HostError> {
        let extension = self.params_extension()?;
        let mut buffer = [0_u8; 256];
        let text = extension
            .value_to_text(&self.plugin.plugin_handle(), ClapId::new(id), value, &mut buffer)
            .map_err(|e| HostError::refused("value to text", e))?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// The texts of a stepped param, from its smallest value up; none where there are too many to choose from.
    ///
    /// # Errors
    /// Those of [`Instance::text_of`].
    pub fn choices(&mut self, param: &Param) -> Result<Vec<String>, HostError> {
        const MAX_CHOICES: f64 = 64.0;
        if !param.is_stepped || param.max - param.min > MAX_CHOICES {
            return Ok(Vec::new());
        }
        let steps = 0..=(param.max - param.min) as u32;
        steps.map(|step| self.text_of(param.id, param.min + f64::from(step))).collect()
    }

    /// The value that a text names: one of the choices of a stepped param, the only one that begins with it, or whatever the plugin
    /// itself reads.
    ///
    /// # Errors
    /// [`HostError::NoValue`], with the choices where they can be counted.
    pub fn value_of(&mut self, param: &Param, text: &str) -> Result<f64, HostError> {
        let choices = self.choices(param)?;
        let begin: Vec<usize> =
            (0..choices.len()).filter(|step| slug(&choices[*step]).starts_with(&slug(text))).collect();
        let exact = choices.iter().position(|choice| slug(choice) == slug(text));
        let only = if begin.len() == 1 && !slug(text).is_empty() { begin.first().copied() } else { None };
        if let Some(step) = exact.or(only) {
            return Ok(param.min + step as f64);
        }
        let hint = if choices.is_empty() { String::new() } else { format!("; it takes {}", listed(&choices)) };
        let fail = || HostError::NoValue { param: param.name.clone(), text: text.to_owned(), hint };
        let Ok(c_text) = CString::new(text) else { return Err(fail()) };
        let extension = self.params_extension()?;
        extension.text_to_value(&self.plugin.plugin_handle(), ClapId::new(param.id), &c_text).ok_or_else(fail)
    }

    /// Sets a param by text while the plugin is not activated (a host's `flush`).
    ///
    /// # Errors
    /// [`HostError::NoParam`], [`HostError::NoValue`], [`HostError::MustBeInactive`].
    pub fn set(&mut self, id_or_name: &str, text: &str) -> Result<(), HostError> {
        let change = self.change(id_or_name, text)?;
        self.flush(&[change])
    }

    /// A change to give to [`crate::Processor::process`] while the plugin is activated.
    ///
    /// # Errors
    /// [`HostError::NoParam`], [`HostError::NoValue`].
    pub fn change(&mut self, id_or_name: &str, text: &str) -> Result<ParamChange, HostError> {
        let param = self.param(id_or_name)?;
        let value = self.value_of(&param, text)?;
        Ok(ParamChange { id: param.id, value, offset_samples: 0 })
    }

    /// Applies changes outside of `process`.
    ///
    /// # Errors
    /// [`HostError::MustBeInactive`] while activated.
    pub fn flush(&mut self, changes: &[ParamChange]) -> Result<(), HostError> {
        let extension = self.params_extension()?;
        let mut handle = self.plugin.inactive_plugin_handle().ok_or(HostError::MustBeInactive("flush"))?;
        let mut events = EventBuffer::new();
        for change in changes {
            events.push(&ParamValueEvent::new(0, ClapId::new(change.id), Pckn::match_all(), change.value));
        }
        let mut answers = EventBuffer::new();
        extension.flush(&mut handle, &events.as_input(), &mut answers.as_output());
        self.pump();
        Ok(())
    }
}

/// Choices in quotes. Of those that are counted up only the first and the last: "Free 20" to "Free 64".
fn listed(choices: &[String]) -> String {
    const FEWEST_COUNTED: usize = 4;
    let numbered = |choice: &str| {
        let (word, number) = choice.rsplit_once(' ')?;
        Some((word.to_owned(), number.parse::<usize>().ok()?))
    };
    let follows = |one: &String, next: &String| {
        numbered(one).is_some_and(|(word, number)| numbered(next) == Some((word, number + 1)))
    };
    let runs = choices.chunk_by(follows).map(|run| match run {
        [first, .., last] if run.len() >= FEWEST_COUNTED => format!("{first:?} to {last:?}"),
        _ => run.iter().map(|choice| format!("{choice:?}")).collect::<Vec<_>>().join(", "),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_javas_strings_without_the_sign() {
        assert_eq!(stable_id_hash("hello"), 99_162_322);
        // "dialogue_gain" overflows: the top bit must be clear.
        assert_eq!(stable_id_hash("dialogue_gain") >> 31, 0);
    }

    #[test]
    fn choices_that_are_counted_up_are_told_by_the_first_and_the_last() {
        let choices = ["Off", "Music 5", "Kit 1", "Kit 2", "Free 20", "Free 21", "Free 22", "Free 23", "Free 25", "On"];
        let told = listed(&choices.map(str::to_owned));
        assert_eq!(told, r#""Off", "Music 5", "Kit 1", "Kit 2", "Free 20" to "Free 23", "Free 25", "On""#);
        assert_eq!(listed(&[]), "");
    }

    #[test]
    fn a_choice_is_found_by_id_or_by_name() {
        assert_eq!(slug("Music 1"), "music-1");
        assert_eq!(slug("music_1"), "music-1");
    }
}
