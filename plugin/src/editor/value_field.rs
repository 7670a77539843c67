//! A param's number: a click makes it a field to type in.

use egui::text::CCursorRange;
use egui::text_edit::TextEditState;
use egui::{Align2, Key, Rect, Response, Sense, Stroke, StrokeKind, TextEdit, Ui};
use nice_plug::prelude::*;

use super::gesture::set;
use super::theme;

/// A field that is being typed in.
#[derive(Clone)]
struct Typed {
    /// What it began with.
    before: String,
    text: String,
}

/// Draws the number in `rect`. What was typed is taken by Enter and by going elsewhere, and left by Escape.
pub fn draw(ui: &mut Ui, setter: &ParamSetter, param: &FloatParam, rect: Rect) -> Response {
    let id = ui.scope_id().with(("value", param.name()));
    let text_id = id.with("text");
    // What is being typed is kept there, and nothing otherwise.
    if let Some(Typed { before, mut text }) = ui.data(|data| data.get_temp(text_id)) {
        let field = TextEdit::singleline(&mut text).id(id).desired_width(rect.width()).align(Align2::CENTER_CENTER);
        let response = ui.put(rect, field);
        if ui.memory(|memory| memory.has_focus(id)) {
            ui.data_mut(|data| data.insert_temp(text_id, Typed { before, text }));
            return response;
        }
        ui.data_mut(|data| data.remove::<Typed>(text_id));
        // The focus has gone elsewhere.
        let is_left = ui.input(|input| input.key_pressed(Key::Escape));
        // What was left as it was found is no wish: the param may have moved meanwhile, and stays there.
        let normalized = param.string_to_normalized_value(&text).filter(|_| !is_left && text != before);
        if let Some(normalized) = normalized {
            set(setter, param, param.preview_plain(normalized));
        }
        return response;
    }
    let response = ui.interact(rect, text_id, Sense::click());
    ui.painter().rect_filled(rect, 3, theme::GROOVE);
    if response.hovered() {
        ui.set_cursor_icon(egui::CursorIcon::Text);
    }
    if response.hovered() || response.has_focus() {
        ui.painter().rect_stroke(rect, 3, Stroke::new(1.0, theme::DIM), StrokeKind::Inside);
    }
    let font = egui::FontId::proportional(12.5);
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, param.to_string(), font, theme::TEXT);
    if response.clicked() {
        let text = param.to_string();
        // All of it: whoever types means another number, not one behind the last one's unit.
        let mut state = TextEditState::load(ui.ctx(), id).unwrap_or_default();
        state.cursor.set_char_range(Some(CCursorRange::select_all_str(&text)));
        state.store(ui.ctx(), id);
        ui.data_mut(|data| data.insert_temp(text_id, Typed { before: text.clone(), text }));
        ui.memory_mut(|memory| memory.request_focus(id));
    }
    response
}

#[cfg(test)]
mod tests {
    use egui::{Event, Key, Pos2, pos2, vec2};
    use nice_plug::params::internals::ParamPtr;

    use super::super::test_user::TestUser;
    use super::*;

    const AT: Pos2 = pos2(60.0, 20.0);
    const ELSEWHERE: Pos2 = pos2(200.0, 150.0);

    type Draw<'a> = &'a mut dyn FnMut(&mut Ui, &ParamSetter);

    fn key(key: Key) -> impl FnOnce(&mut TestUser, Draw) {
        move |user, draw| user.does(&TestUser::key(key), draw)
    }

    /// A number at 0 dB that was clicked on; `then` goes on with the user. Returns the gain that the host was told of, if it was.
    fn gain_after_click_and(then: impl FnOnce(&mut TestUser, Draw, &FloatParam)) -> Option<f32> {
        let param = FloatParam::new("Gain", 0.0, FloatRange::Linear { min: -60.0, max: 12.0 }).with_unit(" dB");
        let mut user = TestUser::default();
        let mut draw = |ui: &mut Ui, setter: &ParamSetter| {
            draw(ui, setter, &param, Rect::from_center_size(AT, vec2(80.0, 20.0)));
        };
        user.click(AT, &mut draw);
        user.does(&[], &mut draw);
        then(&mut user, &mut draw, &param);
        user.does(&[], &mut draw);
        user.gestures().last().map(|gesture| param.preview_plain(gesture.values[0]))
    }

    /// The gain after something was typed, and `then`.
    fn gain_after(typed: &str, then: impl FnOnce(&mut TestUser, Draw)) -> Option<f32> {
        gain_after_click_and(|user, draw, _| {
            user.does(&[Event::Text(typed.into())], draw);
            then(user, draw);
        })
    }

    fn is_minus_six(gain: Option<f32>) -> bool {
        gain.is_some_and(|gain| (gain + 6.0).abs() < 1e-3)
    }

    #[test]
    fn what_is_typed_replaces_the_number_and_is_taken_by_enter() {
        assert!(is_minus_six(gain_after("-6", key(Key::Enter))));
        assert!(is_minus_six(gain_after("-6 dB", key(Key::Enter))));
    }

    #[test]
    fn it_is_taken_by_going_elsewhere_too_and_left_by_escape() {
        assert!(is_minus_six(gain_after("-6", |user, draw| user.click(ELSEWHERE, draw))));
        assert_eq!(gain_after("-6", key(Key::Escape)), None);
    }

    #[test]
    fn what_was_left_as_it_was_is_no_wish_though_the_param_has_moved_meanwhile() {
        let gain = gain_after_click_and(|user, draw, param| {
            // As a host's automation does.
            // SAFETY: the param outlives this call.
            unsafe { ParamPtr::FloatParam(std::ptr::from_ref(param).cast_mut())._internal_set_normalized_value(0.5) };
            user.click(ELSEWHERE, draw);
        });
        assert_eq!(gain, None, "the host was told of something");
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        assert_eq!(gain_after("soft", key(Key::Enter)), None);
    }
}
