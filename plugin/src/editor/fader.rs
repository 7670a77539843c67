//! A vertical gain fader: see [`follow`]. One notch of the wheel is half a decibel.

use egui::{Align2, Color32, Rect, Sense, Stroke, StrokeKind, Ui, pos2, vec2};
use nice_plug::prelude::*;
use nice_plug::util;

use super::gesture::{Along, follow};
use super::theme;

/// One notch, dB.
const STEP_DB: f32 = 0.5;
/// The lowest gain that steps lead to, dB. Below it is silence.
const LOWEST_DB: f32 = -60.0;
/// Marks of the scale, dB.
const MARKS_DB: [f32; 7] = [12.0, 6.0, 0.0, -6.0, -12.0, -24.0, -48.0];
const HANDLE_HEIGHT: f32 = 12.0;

/// The fader for `param`, a linear gain, in `rect`.
pub fn draw(ui: &mut Ui, setter: &ParamSetter, param: &FloatParam, rect: Rect, colour: Color32) {
    let id = ui.scope_id().with(("fader", param.name()));
    let response = ui.interact(rect, id, Sense::click_and_drag());
    let travel = rect.shrink2(vec2(0.0, HANDLE_HEIGHT / 2.0));
    follow(ui, setter, param, &response, (Along::Height, travel.height()), stepped);

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
    if response.has_focus() {
        painter.rect_stroke(handle.expand(2.0), 3, theme::FOCUS, StrokeKind::Outside);
    }
    response.on_hover_text("Drag; finer with Shift. Double-click for 0 dB.");
}

/// The gain after so many notches.
fn stepped(gain: f32, notches: f32) -> f32 {
    let from_db = util::gain_to_db(gain).max(LOWEST_DB);
    let to_db = from_db + STEP_DB * notches;
    if to_db <= LOWEST_DB { 0.0 } else { util::db_to_gain(to_db.min(crate::params::MAX_GAIN_DB)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notch_moves_by_half_a_decibel_and_stops_at_silence_and_at_the_top() {
        assert!((stepped(1.0, 1.0) - util::db_to_gain(0.5)).abs() < 1e-6);
        assert!((stepped(1.0, -1.0) - util::db_to_gain(-0.5)).abs() < 1e-6);
        assert_eq!(stepped(util::db_to_gain(-59.9), -1.0), 0.0);
        assert!(stepped(0.0, 1.0) > 0.0);
        assert!((stepped(util::db_to_gain(12.0), 1.0) - util::db_to_gain(12.0)).abs() < 1e-5);
    }
}
