//! A button that is on or off.

use egui::{Align2, Color32, Response, Sense, Stroke, StrokeKind, Ui, Vec2};
use nice_plug::prelude::*;

use super::gesture::set;
use super::theme;

/// A button for `param`, filled with `colour` while it is on.
pub fn draw(
    ui: &mut Ui,
    setter: &ParamSetter,
    param: &BoolParam,
    label: &str,
    size: Vec2,
    colour: Color32,
) -> Response {
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    if response.clicked() {
        set(setter, param, !param.value());
    }
    let is_on = param.value();
    let (fill, text) = if is_on { (colour, theme::GROOVE) } else { (theme::GROOVE, theme::DIM) };
    let outline = if response.hovered() { theme::DIM } else { theme::LINE };
    ui.painter().rect_filled(rect, 4, fill);
    if !is_on || response.hovered() {
        ui.painter().rect_stroke(rect, 4, Stroke::new(1.0, outline), StrokeKind::Inside);
    }
    if response.has_focus() {
        ui.painter().rect_stroke(rect, 4, theme::FOCUS, StrokeKind::Outside);
    }
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, label, egui::FontId::proportional(12.0), text);
    response
}
