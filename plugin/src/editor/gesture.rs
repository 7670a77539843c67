//! How a param is moved by hand. A host records what lies between a gesture's begin and end, and leaves the control alone
//! meanwhile: so each that begins here ends here.

use egui::{Event, EventFilter, Key, MouseWheelUnit, PointerButton, Response, Ui, Vec2, vec2};
use nice_plug::prelude::*;

use super::held;

/// Share of the travel that a drag with Shift held covers.
const FINE: f32 = 0.15;

/// Points by which a touchpad scrolls for what is one notch of a wheel.
const NOTCH_POINTS: f32 = 50.0;

/// Time for which a wheel goes on from where it was turned to last, seconds: the param may follow only with the next block.
const WHEEL_MEMORY_S: f64 = 0.25;

/// Sets a param, as the whole of a gesture.
pub fn set<P: Param>(setter: &ParamSetter, param: &P, value: P::Plain) {
    setter.begin_set_parameter(param);
    setter.set_parameter(param, value);
    setter.end_set_parameter(param);
}

/// What a user does to a button in this picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    /// It goes down.
    pub begins: bool,
    /// It is down, or was within the picture.
    pub lasts: bool,
    /// It is let go.
    pub ends: bool,
}

/// From the press on, before egui knows whether it is a click or a drag. A tap, which may be over within one picture, begins and ends in it, and so does a
/// key. Of the mouse's buttons only the first one presses.
pub fn press(response: &Response) -> Press {
    let place = response.id.with("held");
    let is_held = response.is_pointer_button_down_on() && response.ctx.input(|input| input.pointer.primary_down());
    let was_held = response.ctx.data(|data| data.get_temp(place).unwrap_or(false));
    response.ctx.data_mut(|data| data.insert_temp(place, is_held));
    let is_tap = response.clicked() && !was_held && !is_held;
    Press { begins: (is_held && !was_held) || is_tap, lasts: is_held || is_tap, ends: (was_held && !is_held) || is_tap }
}

/// Which way a control goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// To the right is more.
    Width,
    /// Up is more.
    Height,
}

/// Has `param` follow what is done to its control: a drag along `travel` points (with Shift: finer), a double click (its default), the
/// wheel and, while it has the focus, the arrow keys. `stepped` is the plain value after so many notches.
pub fn follow(
    ui: &Ui,
    setter: &ParamSetter,
    param: &FloatParam,
    response: &Response,
    (along, travel): (Along, f32),
    stepped: impl Fn(f32, f32) -> f32,
) {
    drag(ui, setter, param, response, along, travel);
    if response.double_clicked() {
        set(setter, param, param.default_plain_value());
    }
    let turned = if response.hovered() { turned_notches(ui) } else { 0.0 };
    let arrows = arrows(ui, response);
    let notches = turned + arrows.x + arrows.y;
    // A drag is a gesture already, and no other one begins in it.
    if notches != 0.0 && !response.dragged() && !response.drag_stopped() {
        let place = response.id.with("wheel");
        let now_s = ui.input(|input| input.time);
        let last: Option<(f64, f32)> = ui.data(|data| data.get_temp(place));
        let from = last.filter(|(at_s, _)| now_s - at_s < WHEEL_MEMORY_S);
        let to = stepped(from.map_or_else(|| param.unmodulated_plain_value(), |(_, value)| value), notches);
        ui.data_mut(|data| data.insert_temp(place, (now_s, to)));
        set(setter, param, to);
    }
}

fn drag(ui: &Ui, setter: &ParamSetter, param: &FloatParam, response: &Response, along: Along, travel: f32) {
    // The position is kept here while the drag lasts: the param itself may follow only with the next block.
    let place = response.id.with("drag");
    if response.drag_started_by(PointerButton::Primary) {
        held::begin(ui.ctx(), setter, param);
        ui.data_mut(|data| data.insert_temp(place, param.unmodulated_normalized_value()));
    }
    if response.dragged() && held::is_held(ui.ctx(), param) {
        let speed = if ui.input(|input| input.modifiers.shift) { FINE } else { 1.0 };
        let moved = match along {
            Along::Width => response.drag_delta().x,
            Along::Height => -response.drag_delta().y,
        };
        let from = ui.data(|data| data.get_temp(place)).unwrap_or_else(|| param.unmodulated_normalized_value());
        let to: f32 = (from + speed * moved / travel).clamp(0.0, 1.0);
        ui.data_mut(|data| data.insert_temp(place, to));
        if moved != 0.0 {
            setter.set_parameter(param, param.preview_plain(to));
        }
    }
    if response.drag_stopped() {
        held::end(ui.ctx(), setter, param);
    }
}

/// Notches that the wheel was turned by since the last picture, upwards. As they came: spread over pictures, as scrolling is, one notch would be
/// ten gestures.
fn turned_notches(ui: &Ui) -> f32 {
    let notches = |event: &Event| match event {
        Event::MouseWheel { unit: MouseWheelUnit::Point, delta, .. } => delta.y / NOTCH_POINTS,
        Event::MouseWheel { delta, .. } => delta.y,
        _ => 0.0,
    };
    ui.input(|input| input.events.iter().map(notches).sum())
}

/// Notches that the arrow keys ask for, to the right and up; they are this control's while it has the focus.
pub fn arrows(ui: &Ui, response: &Response) -> Vec2 {
    if !response.has_focus() {
        return Vec2::ZERO;
    }
    let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
    let pressed = |key: Key| f32::from(u8::from(ui.input(|input| input.key_pressed(key))));
    vec2(pressed(Key::ArrowRight) - pressed(Key::ArrowLeft), pressed(Key::ArrowUp) - pressed(Key::ArrowDown))
}

#[cfg(test)]
mod tests {
    use egui::{Pos2, Rect, Sense, pos2};

    use super::super::test_user::{Gesture, TestUser};
    use super::*;

    const AT: Pos2 = pos2(60.0, 20.0);
    const TRAVEL: f32 = 100.0;

    fn gestures_of(what: impl FnOnce(&mut TestUser, &mut dyn FnMut(&mut Ui, &ParamSetter))) -> Vec<Gesture> {
        let param = FloatParam::new("Share", 0.5, FloatRange::Linear { min: 0.0, max: 1.0 });
        let mut user = TestUser::default();
        what(&mut user, &mut |ui, setter| {
            let rect = Rect::from_center_size(AT, vec2(TRAVEL, 20.0));
            let response = ui.interact(rect, ui.scope_id().with("control"), Sense::click_and_drag());
            follow(ui, setter, &param, &response, (Along::Width, TRAVEL), |from, notches| from + 0.01 * notches);
        });
        user.gestures()
    }

    #[test]
    fn a_click_that_moves_nothing_is_no_gesture() {
        assert!(gestures_of(|user, draw| user.click(AT, draw)).is_empty());
    }

    #[test]
    fn a_drag_is_one_gesture_and_moves_by_as_much_as_the_hand_from_where_it_is_seen_to_be_one() {
        let gestures = gestures_of(|user, draw| {
            user.does(&[], draw);
            user.does(&TestUser::press(AT, true), draw);
            for step in 1..=4 {
                user.does(&[Event::PointerMoved(AT + vec2(5.0 * step as f32, 0.0))], draw);
            }
            user.does(&TestUser::press(AT + vec2(20.0, 0.0), false), draw);
            user.does(&[], draw);
        });
        assert_eq!(gestures.len(), 1);
        let last = gestures[0].values.last().copied();
        assert!(last.is_some_and(|last| (last - 0.65).abs() < 1e-3), "{last:?}");
    }

    /// One notch of a wheel, upwards.
    fn notch() -> Event {
        Event::MouseWheel {
            source: egui::MouseWheelSource::Unknown,
            unit: MouseWheelUnit::Line,
            delta: vec2(0.0, 1.0),
            phase: egui::TouchPhase::Move,
            modifiers: egui::Modifiers::NONE,
        }
    }

    /// A drag whose end the control never sees: the window closes, or another control is there instead.
    fn gestures_of_drag_and(what: impl FnOnce(&mut TestUser)) -> Vec<Gesture> {
        gestures_of(|user, draw| {
            user.does(&[], draw);
            user.does(&TestUser::press(AT, true), draw);
            for step in 1..=4 {
                user.does(&[Event::PointerMoved(AT + vec2(5.0 * step as f32, 0.0))], draw);
            }
            what(user);
            for step in 5..=8 {
                user.does(&[Event::PointerMoved(AT + vec2(5.0 * step as f32, 0.0))], draw);
            }
        })
    }

    #[test]
    fn a_drag_that_the_window_or_the_control_did_not_outlive_ends() {
        let closed = gestures_of_drag_and(TestUser::close);
        assert_eq!(closed.len(), 1);
        let gone = gestures_of_drag_and(|user| user.does(&[], &mut |_, _| ()));
        assert_eq!(gone, closed, "a control that comes back is not held");
    }

    #[test]
    fn a_wheel_that_turns_during_a_drag_is_no_gesture_within_it() {
        let gestures = gestures_of(|user, draw| {
            user.does(&[], draw);
            user.does(&[Event::PointerMoved(AT), notch()], draw);
            user.does(&TestUser::press(AT, true), draw);
            for step in 1..=4 {
                user.does(&[Event::PointerMoved(AT + vec2(5.0 * step as f32, 0.0)), notch()], draw);
            }
            user.does(&TestUser::press(AT + vec2(20.0, 0.0), false), draw);
            user.does(&[], draw);
        });
        assert!(!gestures.is_empty());
    }

    #[test]
    fn other_buttons_of_the_mouse_move_nothing() {
        for button in [PointerButton::Secondary, PointerButton::Middle] {
            let gestures = gestures_of(|user, draw| {
                user.does(&[], draw);
                user.does(&TestUser::press_by(button, AT, true), draw);
                for step in 1..=4 {
                    user.does(&[Event::PointerMoved(AT + vec2(5.0 * step as f32, 0.0))], draw);
                }
                user.does(&TestUser::press_by(button, AT + vec2(20.0, 0.0), false), draw);
                user.does(&[], draw);
            });
            assert!(gestures.is_empty(), "{button:?}: {gestures:?}");
        }
    }

    #[test]
    fn two_clicks_ask_for_the_default_in_one_gesture() {
        let gestures = gestures_of(|user, draw| {
            user.click(AT, draw);
            user.click(AT, draw);
        });
        assert_eq!(gestures.iter().map(|gesture| &gesture.values[..]).collect::<Vec<_>>(), [[0.5]]);
    }

    #[test]
    fn a_notch_of_the_wheel_is_a_gesture_and_notches_add_up_though_the_param_has_not_moved_yet() {
        let gestures = gestures_of(|user, draw| {
            user.does(&[Event::PointerMoved(AT)], draw);
            for _ in 0..4 {
                user.does(&[notch()], draw);
            }
            for _ in 0..40 {
                user.does(&[], draw);
            }
        });
        let values: Vec<f32> = gestures.iter().map(|gesture| gesture.values[0]).collect();
        assert_eq!(values.len(), 4);
        let expected = [0.51, 0.52, 0.53, 0.54];
        assert!(values.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-5), "{values:?}");
    }
}
