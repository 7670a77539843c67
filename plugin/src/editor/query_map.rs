//! The map of a model's space: its presets, the examples, and the place that is asked for.

use egui::{Align2, Color32, FontId, Pos2, Rect, Sense, Stroke, StrokeKind, Ui, pos2, vec2};
use nice_plug::prelude::*;
use underscore_engine::{Place, QueryMap};

use super::gesture::set;
use super::theme;
use crate::query::Preset;
use crate::question::QuestionParams;

/// Width and height, points.
const SIZE: f32 = 148.0;

/// Of it, what is left free at each side.
const MARGIN: f32 = 14.0;

/// Distance from a place within which its name is always shown, points.
const POINTED_AT: f32 = 6.0;

/// Draws the map. Who drags on it hears what lies there: the slot that is nearer then asks for the place.
pub fn draw(ui: &mut Ui, setter: &ParamSetter, params: &QuestionParams, map: &QueryMap) {
    let (rect, response) = ui.allocate_exact_size(vec2(SIZE, SIZE), Sense::click_and_drag());
    ui.painter().rect_filled(rect, 4, theme::GROOVE);
    ui.painter().rect_stroke(rect, 4, Stroke::new(1.0, theme::LINE), StrokeKind::Inside);
    let slots = [("A", &params.saved_a), ("B", &params.saved_b)];
    let kept = slots.map(|(slot, example)| {
        example.board().kept().map(|kept| (map.place(&kept.embedding), format!("{slot} {}", kept.name)))
    });
    let examples = kept.iter().flatten().map(|(place, name)| (*place, name.trim_end(), 3.5, theme::MUSIC));
    let presets = map.named().map(|(place, name)| (place, name, 2.5, theme::DIM));
    let mut taken = Vec::new();
    for (place, name, radius, colour) in examples.chain(presets) {
        let centre = at(rect, place);
        ui.painter().circle_filled(centre, radius, colour);
        let is_pointed_at = response.hover_pos().is_some_and(|hand| hand.distance(centre) < POINTED_AT);
        label(ui, rect, centre, name, colour, is_pointed_at, &mut taken);
    }
    let here = at(rect, [params.map_x.value(), params.map_y.value()]);
    if is_asked(params) {
        ui.painter().circle_stroke(here, 6.0, Stroke::new(1.5, theme::TEXT));
    }
    drag(&response, rect, setter, params);
    response.on_hover_text("The model's presets (dots) and your examples (A, B). Drag to hear what lies between them.");
}

fn is_asked(params: &QuestionParams) -> bool {
    [params.preset_a.value(), params.preset_b.value()].iter().any(|preset| Some(*preset) == Preset::map())
}

fn drag(response: &egui::Response, rect: Rect, setter: &ParamSetter, params: &QuestionParams) {
    let coordinates = [&params.map_x, &params.map_y];
    // `is_pointer_button_down_on` begins with the press, before egui knows whether it is a drag.
    let place_of_hand = response.id.with("held");
    let is_held = response.is_pointer_button_down_on();
    let was_held = response.ctx.data(|data| data.get_temp(place_of_hand).unwrap_or(false));
    response.ctx.data_mut(|data| data.insert_temp(place_of_hand, is_held));
    if is_held && !was_held {
        let preset = [&params.preset_a, &params.preset_b][params.nearer_slot()];
        if let Some(map) = Preset::map().filter(|map| preset.value() != *map) {
            set(setter, preset, map);
        }
        for param in coordinates {
            setter.begin_set_parameter(param);
        }
    }
    if is_held && let Some(hand) = response.interact_pointer_pos() {
        for (param, value) in coordinates.iter().zip(place(rect, hand)) {
            setter.set_parameter(*param, value);
        }
    }
    if was_held && !is_held {
        for param in coordinates {
            setter.end_set_parameter(param);
        }
    }
}

/// Writes the name above its place, within the map, unless that would cover another one; always where the hand is.
fn label(ui: &Ui, map: Rect, at: Pos2, name: &str, colour: Color32, is_pointed_at: bool, taken: &mut Vec<Rect>) {
    let text = ui.painter().layout_no_wrap(name.to_owned(), FontId::proportional(9.0), colour);
    let place = Align2::CENTER_BOTTOM.anchor_size(at + vec2(0.0, -3.0), text.size());
    let inside = (map.left() + 2.0 - place.left()).max(0.0) + (map.right() - 2.0 - place.right()).min(0.0);
    let place = place.translate(vec2(inside, 0.0));
    if is_pointed_at {
        ui.painter().rect_filled(place, 2, theme::GROOVE);
    } else if taken.iter().any(|other| other.intersects(place)) {
        return;
    }
    ui.painter().galley(place.min, text, colour);
    taken.push(place);
}

/// Where a place of the map is drawn; at the border where it lies outside.
fn at(rect: Rect, place: Place) -> Pos2 {
    let half = rect.width() / 2.0 - MARGIN;
    let [x, y] = place.map(|value| value.clamp(-1.0, 1.0) * half);
    pos2(rect.center().x + x, rect.center().y - y)
}

/// The place of the map that is drawn there.
fn place(rect: Rect, at: Pos2) -> Place {
    let half = rect.width() / 2.0 - MARGIN;
    [(at.x - rect.center().x) / half, (rect.center().y - at.y) / half].map(|value| value.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_at_a_place_is_found_there() {
        let rect = Rect::from_min_size(pos2(10.0, 30.0), vec2(SIZE, SIZE));
        for asked in [[0.0, 0.0], [1.0, -1.0], [-0.4, 0.9]] {
            let found = place(rect, at(rect, asked));
            assert!(asked.iter().zip(found).all(|(a, b)| (a - b).abs() < 1e-5), "{asked:?}: {found:?}");
        }
        assert!(at(rect, [0.0, 1.0]).y < at(rect, [0.0, 0.0]).y, "up is up");
        assert!(rect.contains(at(rect, [7.0, -7.0])), "what lies outside is drawn at the border");
    }
}
