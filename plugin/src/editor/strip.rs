//! The channel strip of one stem.

use egui::{Align2, Color32, Rect, Sense, Ui, pos2, vec2};
use nice_plug::prelude::*;

use super::levels::Levels;
use super::{child, fader, levels, theme, toggle, value_field};

const TITLE_HEIGHT: f32 = 20.0;
const BUTTON_HEIGHT: f32 = 22.0;
const VALUE_HEIGHT: f32 = 20.0;

/// What a strip controls.
pub struct StripParams<'a> {
    /// The stem.
    pub name: &'static str,
    /// Its colour.
    pub colour: Color32,
    /// Its gain in the main output.
    pub gain: &'a FloatParam,
    /// Its solo.
    pub solo: &'a BoolParam,
    /// Its mute.
    pub mute: &'a BoolParam,
    /// Whether solo and mute let it be heard.
    pub is_heard: bool,
}

/// Draws the strip of one stem, with the levels it adds to the main output.
pub fn draw(ui: &mut Ui, setter: &ParamSetter, strip: &StripParams, levels: &Levels) {
    let area = ui.max_rect();
    ui.allocate_rect(area, Sense::hover());
    let colour = if strip.is_heard { strip.colour } else { strip.colour.gamma_multiply(0.35) };
    let name = if strip.is_heard { strip.colour } else { theme::DIM };
    let painter = ui.painter();
    painter.text(area.left_top(), Align2::LEFT_TOP, strip.name, egui::FontId::proportional(13.0), name);
    painter.text(
        area.right_top() + vec2(0.0, 1.0),
        Align2::RIGHT_TOP,
        levels::text_of(levels.held_db()),
        theme::small(),
        if levels.held_db() > 0.0 { theme::BAD } else { theme::DIM },
    );

    let buttons_top = area.bottom() - BUTTON_HEIGHT;
    let value_top = buttons_top - 6.0 - VALUE_HEIGHT;
    let bars = Rect::from_min_max(pos2(area.left(), area.top() + TITLE_HEIGHT), pos2(area.right(), value_top - 6.0));
    let meter = Rect::from_min_max(pos2(area.right() - 22.0, bars.top() + 6.0), bars.max - vec2(0.0, 6.0));
    levels.draw(ui, meter, colour);
    levels::draw_scale(ui, meter, meter.left() - 11.0);
    let travel = Rect::from_min_max(bars.min, pos2(area.left() + 50.0, bars.bottom()));
    fader::draw(ui, setter, strip.gain, travel, colour);

    let value = Rect::from_min_max(pos2(area.left(), value_top), pos2(area.right(), value_top + VALUE_HEIGHT));
    value_field::draw(ui, setter, strip.gain, value).on_hover_text("Click to type a gain in dB.");

    let width = (area.width() - 6.0) / 2.0;
    let button = |idx: f32| {
        Rect::from_min_size(pos2(area.left() + idx * (width + 6.0), buttons_top), vec2(width, BUTTON_HEIGHT))
    };
    toggle::draw(&mut child(ui, button(0.0)), setter, strip.solo, "SOLO", button(0.0).size(), theme::WARN)
        .on_hover_text("Silences the other stem in the main output, where that is not soloed, too.");
    toggle::draw(&mut child(ui, button(1.0)), setter, strip.mute, "MUTE", button(1.0).size(), theme::BAD)
        .on_hover_text("Silences the stem in the main output, soloed or not. Its own output bus plays on.");
}

#[cfg(test)]
mod tests {
    use egui::epaint::Shape;

    use super::super::test_user::TestUser;
    use super::*;
    use crate::params::UnderscoreParams;

    #[test]
    fn the_name_of_a_stem_that_is_not_heard_can_still_be_read() {
        let params = UnderscoreParams::default();
        let colour_of_name = |is_heard: bool| {
            let strip = StripParams {
                name: "MUSIC",
                colour: theme::MUSIC,
                gain: &params.music_gain,
                solo: &params.music_solo,
                mute: &params.music_mute,
                is_heard,
            };
            let shapes = TestUser::default().draw(&mut |ui, setter| draw(ui, setter, &strip, &Levels::default()));
            let name = shapes.into_iter().find_map(|clipped| match clipped.shape {
                Shape::Text(text) if text.galley.text() == strip.name => Some(text),
                _ => None,
            });
            name.expect("the name").galley.job.sections[0].format.color
        };
        assert_eq!([true, false].map(colour_of_name), [theme::MUSIC, theme::DIM]);
    }
}
