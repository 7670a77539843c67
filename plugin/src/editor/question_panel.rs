//! What a model that is asked by example is to look for.

use egui::{Button, Response, RichText, TextEdit, TextStyle, Ui, vec2};
use nice_plug::prelude::*;
use underscore_engine::QueryMap;

use super::{choice, query_map, separation_panel, theme, toggle};
use crate::query::{MAX_NAME_CHARS, Preset};
use crate::question::QuestionParams;

const BUTTON_HEIGHT: f32 = 22.0;
const BUTTON_WIDTH: f32 = 62.0;

/// No higher than the heading beside it.
const NAME_HEIGHT: f32 = 16.0;

/// Longer than a block of 8192 samples at 44.1 kHz, seconds.
const SHORTEST_HOLD_S: f64 = 0.2;

/// Draws the map, and beside it both slots and what lies between them.
pub fn draw(ui: &mut Ui, setter: &ParamSetter, params: &QuestionParams, map: &QueryMap) {
    ui.horizontal(|ui| {
        query_map::draw(ui, setter, params, map);
        ui.vertical(|ui| {
            ui.horizontal(|ui| {
                ui.label(RichText::new("ASKED FOR").size(13.0).color(theme::TEXT))
                    .on_hover_text("What the target is to sound like. The other stem is all that it leaves.");
                name_of_nearer(ui, params);
            });
            slot(ui, setter, "A", &params.preset_a, &params.capture_a);
            slot(ui, setter, "B", &params.preset_b, &params.capture_b);
            separation_panel::slider(
                ui,
                setter,
                &params.blend,
                "A to B",
                "What is asked for lies between what A asks for and what B does.",
            );
            ui.horizontal(|ui| {
                let width = (ui.available_width() - 8.0) / 2.0;
                let preset = [&params.preset_a, &params.preset_b][params.nearer_slot()];
                capturing(ui, setter, &params.refine, preset, "REFINE", width).on_hover_text(
                    "The last three seconds of what was found are the example: it is asked for in its turn.",
                );
                toggle::draw(ui, setter, &params.follow, "FOLLOW", vec2(width, BUTTON_HEIGHT), theme::MUSIC)
                    .on_hover_text(
                        "A asks for what the sidechain plays, listened to anew every second. Nothing of it is kept.",
                    );
            });
        });
    });
}

/// What the example of the nearer slot is called, where that slot asks for it.
fn name_of_nearer(ui: &mut Ui, params: &QuestionParams) {
    let slot = params.nearer_slot();
    let (preset, example) = [(&params.preset_a, &params.saved_a), (&params.preset_b, &params.saved_b)][slot];
    let Some(mut name) = example.name().filter(|_| preset.value() == Preset::default()) else { return };
    let hint = ["name of A", "name of B"][slot];
    let field = TextEdit::singleline(&mut name).hint_text(hint).char_limit(MAX_NAME_CHARS).font(TextStyle::Small);
    let field = ui.add_sized(vec2(ui.available_width() - 8.0, NAME_HEIGHT), field);
    if field.on_hover_text("What the example that is asked for is called; saved with the session.").changed() {
        example.set_name(&name);
    }
}

/// What one slot asks for, and the button that captures its example.
fn slot(ui: &mut Ui, setter: &ParamSetter, name: &str, preset: &EnumParam<Preset>, capture: &BoolParam) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(name).color(theme::TEXT));
        let width = ui.available_width() - BUTTON_WIDTH - 16.0;
        choice::draw(ui, setter, preset, name, width)
            .on_hover_text("A class of sounds, or the example that was captured from the sidechain.");
        capturing(ui, setter, capture, preset, "CAPTURE", BUTTON_WIDTH)
            .on_hover_text("The last three seconds of the sidechain are the example, without the silence around them.");
    });
}

/// A button that holds `param` on while it is held down, and for a moment at least, and has `preset` ask for the example: who captures one
/// wants to hear it.
fn capturing(
    ui: &mut Ui,
    setter: &ParamSetter,
    param: &BoolParam,
    preset: &EnumParam<Preset>,
    label: &str,
    width: f32,
) -> Response {
    let response = ui.add_sized(vec2(width, BUTTON_HEIGHT), Button::new(RichText::new(label).size(11.0)));
    let place = response.id.with("held until");
    let now_s = ui.input(|input| input.time);
    let until_s: Option<f64> = ui.data(|data| data.get_temp(place));
    // A tap may begin and end between two pictures, or two blocks.
    if until_s.is_none() && (response.is_pointer_button_down_on() || response.clicked()) {
        ui.data_mut(|data| data.insert_temp(place, now_s + SHORTEST_HOLD_S));
        set(setter, param, true);
        if preset.value() != Preset::default() {
            setter.begin_set_parameter(preset);
            setter.set_parameter(preset, Preset::default());
            setter.end_set_parameter(preset);
        }
    } else if until_s.is_some_and(|until_s| now_s > until_s) && !response.is_pointer_button_down_on() {
        ui.data_mut(|data| data.remove::<f64>(place));
        set(setter, param, false);
    }
    response
}

fn set(setter: &ParamSetter, param: &BoolParam, value: bool) {
    setter.begin_set_parameter(param);
    setter.set_parameter(param, value);
    setter.end_set_parameter(param);
}
