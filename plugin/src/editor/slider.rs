//! A horizontal slider for a share, a level or a time: see [`follow`]. One notch of the wheel is a hundredth of its travel.

use egui::{Align2, Rect, RichText, Sense, StrokeKind, TextStyle, Ui, pos2, vec2};
use nice_plug::prelude::*;

use super::gesture::{Along, follow};
use super::{theme, value_field};

const HEIGHT: f32 = 18.0;
const VALUE_WIDTH: f32 = 50.0;
const HANDLE_WIDTH: f32 = 8.0;
/// In a row: of the name, and of the number, which may have a unit.
const NAME_WIDTH: f32 = 66.0;
const ROW_VALUE_WIDTH: f32 = 60.0;

/// One notch, as a share of the travel.
const STEP: f32 = 0.01;

/// The param's name, below it the slider and its number.
pub fn draw(ui: &mut Ui, setter: &ParamSetter, param: &FloatParam, name: &str, explanation: &str) {
    ui.label(RichText::new(name).color(theme::DIM)).on_hover_text(explanation);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width() - 4.0, HEIGHT), Sense::hover());
    let (bar, value) = rect.split_left_right_at_x(rect.right() - VALUE_WIDTH - 6.0);
    draw_at(ui, setter, param, explanation, (bar, value.with_min_x(value.left() + 6.0)));
    ui.add_space(2.0);
}

/// The param's name, the slider and its number beside each other.
pub fn draw_row(ui: &mut Ui, setter: &ParamSetter, param: &FloatParam, name: &str, explanation: &str) {
    let (rect, hovered) = ui.allocate_exact_size(vec2(ui.available_width() - 4.0, HEIGHT), Sense::hover());
    hovered.on_hover_text(explanation);
    ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, name, TextStyle::Body.resolve(ui.style()), theme::DIM);
    let (bar, value) =
        rect.with_min_x(rect.left() + NAME_WIDTH).split_left_right_at_x(rect.right() - ROW_VALUE_WIDTH - 6.0);
    draw_at(ui, setter, param, explanation, (bar, value.with_min_x(value.left() + 6.0)));
}

/// The slider and its number, each in a place of its own.
fn draw_at(ui: &mut Ui, setter: &ParamSetter, param: &FloatParam, explanation: &str, (bar, value): (Rect, Rect)) {
    let response = ui.interact(bar, ui.scope_id().with(("slider", param.name())), Sense::click_and_drag());
    let travel = bar.shrink2(vec2(HANDLE_WIDTH / 2.0, 0.0));
    let stepped = |from: f32, notches: f32| {
        param.preview_plain((param.preview_normalized(from) + STEP * notches).clamp(0.0, 1.0))
    };
    follow(ui, setter, param, &response, (Along::Width, travel.width()), stepped);

    let painter = ui.painter();
    let groove = Rect::from_center_size(bar.center(), vec2(bar.width(), 6.0));
    painter.rect_filled(groove, 3, theme::GROOVE);
    let x = egui::lerp(travel.left()..=travel.right(), param.modulated_normalized_value());
    painter.rect_filled(
        Rect::from_min_max(groove.min, pos2(x, groove.bottom())),
        3,
        theme::MIXTURE.gamma_multiply(0.7),
    );
    let handle = Rect::from_center_size(pos2(x, bar.center().y), vec2(HANDLE_WIDTH, HEIGHT - 2.0));
    let fill = if response.hovered() || response.dragged() { egui::Color32::WHITE } else { theme::HANDLE };
    painter.rect_filled(handle, 3, fill);
    if response.has_focus() {
        painter.rect_stroke(handle.expand(2.0), 3, theme::FOCUS, StrokeKind::Outside);
    }
    response.on_hover_text(format!("{explanation}\nDrag; finer with Shift. Double-click for {}.", default_text(param)));
    value_field::draw(ui, setter, param, value).on_hover_text("Click to type a number.");
}

fn default_text(param: &FloatParam) -> String {
    param.normalized_value_to_string(param.default_normalized_value(), true)
}
