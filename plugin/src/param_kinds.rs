//! The kinds of params there are: their ranges, how they are shown, and what may be typed.

use std::sync::Arc;

use nice_plug::prelude::*;
use nice_plug::util;

/// Shape of the gain faders: 0 dB lies at three quarters of the travel, −60 dB at a fifth.
const GAIN_SKEW: f32 = 0.2082;

/// A linear gain, shown in decibels; the bottom is silence.
pub fn gain(name: &str, max_db: f32) -> FloatParam {
    let range = FloatRange::Skewed { min: 0.0, max: util::db_to_gain(max_db), factor: GAIN_SKEW };
    FloatParam::new(name, 1.0, range)
        .with_unit(" dB")
        .with_value_to_string(Arc::new(gain_to_text))
        .with_string_to_value(Arc::new(text_to_gain))
}

/// A switch. What says neither on nor off is no value of it: the framework takes that for off.
pub fn switch(name: &str, default: bool) -> BoolParam {
    BoolParam::new(name, default).with_string_to_value(Arc::new(|text| match text.trim().to_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }))
}

/// A share of 1, shown in per cent.
pub fn percentage(name: &str, default: f32, max: f32) -> FloatParam {
    FloatParam::new(name, default, FloatRange::Linear { min: 0.0, max })
        .with_unit(" %")
        .with_value_to_string(Arc::new(|share| format!("{:.0}", share * 100.0)))
        .with_string_to_value(Arc::new(|text| Some(finite(text.trim_end_matches('%'))? / 100.0)))
}

/// A level or a difference of levels.
pub fn decibels(name: &str, default_db: f32, min_db: f32, max_db: f32) -> FloatParam {
    FloatParam::new(name, default_db, FloatRange::Linear { min: min_db, max: max_db })
        .with_unit(" dB")
        .with_value_to_string(Arc::new(decibels_to_text))
        .with_string_to_value(Arc::new(decibels_of))
}

/// A time; short ones have most of the travel.
pub fn milliseconds(name: &str, default_ms: f32, min_ms: f32, max_ms: f32) -> FloatParam {
    let range = FloatRange::Skewed { min: min_ms, max: max_ms, factor: FloatRange::skew_factor(-1.0) };
    FloatParam::new(name, default_ms, range)
        .with_unit(" ms")
        .with_value_to_string(Arc::new(|time_ms| format!("{time_ms:.0}")))
        .with_string_to_value(Arc::new(milliseconds_of))
}

/// The time that a text says, in milliseconds if it says no unit.
fn milliseconds_of(text: &str) -> Option<f32> {
    let text = text.trim().to_lowercase();
    match text.strip_suffix('s') {
        Some(seconds) if !seconds.ends_with('m') => finite(seconds).map(|time_s| 1e3 * time_s),
        _ => number_of(&text, "ms"),
    }
}

/// The level, or difference of levels, that a text says.
pub fn decibels_of(text: &str) -> Option<f32> {
    let text = text.trim().to_lowercase();
    number_of(text.strip_suffix("fs").unwrap_or(&text), "db")
}

/// The number in a text, with or without its unit.
fn number_of(text: &str, unit: &str) -> Option<f32> {
    let text = text.trim().to_lowercase();
    finite(text.strip_suffix(unit).unwrap_or(&text))
}

/// Linear gain as decibels, `-inf` for silence.
fn gain_to_text(gain: f32) -> String {
    if gain < util::MINUS_INFINITY_GAIN {
        return "-inf".into();
    }
    decibels_to_text(util::gain_to_db(gain))
}

/// Decibels with one decimal; never `-0.0`.
fn decibels_to_text(level_db: f32) -> String {
    let tenths = (level_db * 10.0).round() / 10.0;
    format!("{:.1}", if tenths == 0.0 { 0.0 } else { tenths })
}

/// Decibels, with or without the unit, as a linear gain. Anything that is no number is no gain.
fn text_to_gain(text: &str) -> Option<f32> {
    let text = text.to_lowercase();
    let number = text.trim().trim_end_matches("db").trim();
    if matches!(number.replace('\u{2212}', "-").as_str(), "-inf" | "-infinity" | "-∞") {
        return Some(0.0);
    }
    finite(number).map(util::db_to_gain)
}

/// The number that a text says, if it says one; its decimal sign is a point or a comma.
pub fn finite(text: &str) -> Option<f32> {
    text.trim().replace('\u{2212}', "-").replace(',', ".").parse().ok().filter(|number: &f32| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_read_as_decibels_and_back() {
        assert_eq!(gain("", 12.0).to_string(), "0.0 dB");
        for (text, gain) in
            [("0", 1.0), ("-6 dB", 0.501_187), ("+12", 3.981_07), ("−20 db", 0.1), ("-inf", 0.0), ("-∞ dB", 0.0)]
        {
            let read = text_to_gain(text).unwrap_or_else(|| panic!("{text}"));
            assert!((read - gain).abs() < 1e-5, "{text}: expected {gain}, got {read}");
        }
        assert_eq!(gain_to_text(0.0), "-inf");
        assert_eq!(gain_to_text(0.999_9), "0.0");
    }

    #[test]
    fn what_is_no_number_is_no_value_nor_is_what_says_neither_on_nor_off() {
        let (switch, share) = (switch("", false), percentage("", 1.0, 2.0));
        for (text, normalized) in [("On", 1.0), ("off", 0.0), ("1", 1.0), ("true", 1.0)] {
            assert_eq!(switch.string_to_normalized_value(text), Some(normalized), "{text}");
        }
        for text in ["nan", "inf", "dB", "", "twelve"] {
            assert_eq!(text_to_gain(text), None, "{text}");
            assert_eq!(share.string_to_normalized_value(text), None, "{text}");
            assert_eq!(switch.string_to_normalized_value(text), None, "{text}");
        }
    }

    #[test]
    fn unity_lies_at_three_quarters_of_the_fader() {
        let unity = gain("", 12.0).preview_normalized(1.0);
        assert!((unity - 0.75).abs() < 0.001, "{unity}");
    }
}
