//! A vertical gain fader. Drag to move, with Shift for fine steps; double-click for the default; the wheel for half a decibel;
//! click on the number to type one.

use egui::{Align2, Color32, Key, Rect, Response, Sense, Stroke, TextEdit, Ui, pos2, vec2};
use nice_plug::prelude::*;
use nice_plug::util;

use super::theme;

/// Share of the travel that a drag with Shift held covers.
const FINE: f32 = 0.15;
/// One notch of the wheel, dB.
const WHEEL_STEP_DB: f32 = 0.5;
/// The lowest gain that the wheel knows, dB. Below it is silence.
const WHEEL_MIN_DB: f32 = -60.0;
/// Marks of the scale, dB.
const MARKS_DB: [f32; 7] = [12.0, 6.0, 0.0, -6.0, -12.0, -24.0, -48.0];
const HANDLE_HEIGHT: f32 = 12.0;

/// The fader for `param`, a linear gain, in `rect`.
pub fn draw(ui: &mut Ui, setter: &ParamSetter, param: &FloatParam, rect: Rect, colour: Color32) -> Response {
    let id = ui.scope_id().with(("fader", param.name()));
    let response = ui.interact(rect, id, Sense::click_and_drag());
    let travel = rect.shrink2(vec2(0.0, HANDLE_HEIGHT / 2.0));
    follow_pointer(ui, setter, param, &response, travel.height());

    let painter = ui.painter();
    let y_of = |normalized: f32| egui::lerp(travel.bottom()..=travel.top(), normalized);
    let groove_x = rect.right() - 12.0;
    for mark_db in MARKS_DB {
        let y = y_of(param.preview_normalized(util::db_to_gain(mark_db)));
        painter.hline(groove_x - 9.0..=groove_x + 9.0, y, Stroke::new(1.0, theme::LINE));
        let text = if mark_db > 0.0 { format!("+{mark_db}") } else { format!("{mark_db}") };
        painter.text(pos2(groove_x - 13.0, y), Align2::RIGHT_CENTER, text, theme::tiny(), theme::DIM);
    }
    painter.text(pos2(groove_x - 13.0, travel.bottom()), Align2::RIGHT_CENTER, "-inf", theme::tiny(), theme::DIM);
    let groove = Rect::from_center_size(pos2(groove_x, travel.center().y), vec2(4.0, travel.height()));
    painter.rect_filled(groove, 2, theme::GROOVE);
    let y = y_of(param.modulated_normalized_value());
    painter.rect_filled(Rect::from_min_max(pos2(groove.left(), y), groove.max), 2, colour.gamma_multiply(0.7));
    let handle = Rect::from_center_size(pos2(groove_x, y), vec2(22.0, HANDLE_HEIGHT));
    let fill = if response.hovered() || response.dragged() { Color32::WHITE } else { theme::HANDLE };
    painter.rect_filled(handle, 3, fill);
    painter.hline(handle.x_range().shrink(2.0), y, Stroke::new(1.5, theme::BACKGROUND));
    response
}

fn follow_pointer(ui: &Ui, setter: &ParamSetter, param: &FloatParam, response: &Response, travel: f32) {
    let set = |normalized: f32| setter.set_parameter(param, param.preview_plain(normalized.clamp(0.0, 1.0)));
    // The position is kept here while the drag lasts: the param itself may follow only with the next block.
    let drag_id = response.id.with("drag");
    if response.drag_started() {
        setter.begin_set_parameter(param);
        ui.data_mut(|data| data.insert_temp(drag_id, param.unmodulated_normalized_value()));
    }
    if response.dragged() {
        let speed = if ui.input(|input| input.modifiers.shift) { FINE } else { 1.0 };
        let from = ui.data(|data| data.get_temp(drag_id)).unwrap_or_else(|| param.unmodulated_normalized_value());
        let to = (from - speed * response.drag_delta().y / travel).clamp(0.0, 1.0);
        ui.data_mut(|data| data.insert_temp(drag_id, to));
        if response.drag_delta().y != 0.0 {
            set(to);
        }
    }
    if response.drag_stopped() {
        setter.end_set_parameter(param);
    }
    if response.double_clicked() {
        setter.begin_set_parameter(param);
        setter.set_parameter(param, param.default_plain_value());
        setter.end_set_parameter(param);
    }
    let wheel = if response.hovered() { ui.input(|input| input.smooth_scroll_delta().y) } else { 0.0 };
    if wheel != 0.0 {
        setter.begin_set_parameter(param);
        setter.set_parameter(param, after_wheel(param.unmodulated_plain_value(), wheel));
        setter.end_set_parameter(param);
    }
}

/// The gain after the wheel was turned by `points`, of which 50 are a notch.
fn after_wheel(gain: f32, points: f32) -> f32 {
    let from_db = util::gain_to_db(gain).max(WHEEL_MIN_DB);
    let to_db = from_db + WHEEL_STEP_DB * points / 50.0;
    if to_db <= WHEEL_MIN_DB { 0.0 } else { util::db_to_gain(to_db.min(crate::params::MAX_GAIN_DB)) }
}

/// The number under a fader: a click makes it a field to type in.
pub fn draw_value(ui: &mut Ui, setter: &ParamSetter, param: &FloatParam, rect: Rect) {
    let id = ui.scope_id().with(("value", param.name()));
    let text_id = id.with("text");
    if ui.memory(|memory| memory.has_focus(id)) {
        let mut text: String = ui.data(|data| data.get_temp(text_id)).unwrap_or_default();
        let field = TextEdit::singleline(&mut text).id(id).desired_width(rect.width()).align(Align2::CENTER_CENTER);
        ui.put(rect, field);
        if ui.input(|input| input.key_pressed(Key::Escape)) {
            ui.memory_mut(|memory| memory.surrender_focus(id));
        } else if ui.input(|input| input.key_pressed(Key::Enter)) {
            if let Some(normalized) = param.string_to_normalized_value(&text) {
                setter.begin_set_parameter(param);
                setter.set_parameter(param, param.preview_plain(normalized));
                setter.end_set_parameter(param);
            }
            ui.memory_mut(|memory| memory.surrender_focus(id));
        }
        ui.data_mut(|data| data.insert_temp(text_id, text));
        return;
    }
    let response = ui.interact(rect, text_id, Sense::click());
    ui.painter().rect_filled(rect, 3, theme::GROOVE);
    if response.hovered() {
        ui.set_cursor_icon(egui::CursorIcon::Text);
        ui.painter().rect_stroke(rect, 3, Stroke::new(1.0, theme::DIM), egui::StrokeKind::Inside);
    }
    ui.painter().text(
        rect.center(),
        Align2::CENTER_CENTER,
        param.to_string(),
        egui::FontId::proportional(12.5),
        theme::TEXT,
    );
    if response.clicked() {
        ui.data_mut(|data| data.insert_temp(text_id, param.to_string()));
        ui.memory_mut(|memory| memory.request_focus(id));
    }
    response.on_hover_text("Click to type a gain in dB; double-click the fader for 0 dB");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_moves_by_half_a_decibel_and_stops_at_silence_and_at_the_top() {
        assert!((after_wheel(1.0, 50.0) - util::db_to_gain(0.5)).abs() < 1e-6);
        assert!((after_wheel(1.0, -50.0) - util::db_to_gain(-0.5)).abs() < 1e-6);
        assert_eq!(after_wheel(util::db_to_gain(-59.9), -50.0), 0.0);
        assert!(after_wheel(0.0, 50.0) > 0.0);
        assert!((after_wheel(util::db_to_gain(12.0), 50.0) - util::db_to_gain(12.0)).abs() < 1e-5);
    }
}
