//! Whose the keys are: the editor's while something is typed in it or led by Tab, else the host's.
//!
//! The framework takes the keyboard's focus at every press of a button and keeps it, and on X11 what is below the pointer gets the keys in any case.
//! They are of no use to it mostly, and the space bar no longer starts the host. So they are given back after each press. On macOS the framework
//! passes on what it does not use.

#[cfg(not(any(target_os = "linux", target_os = "windows")))]
mod other;
#[cfg(target_os = "windows")]
mod windows;
#[cfg(target_os = "linux")]
mod x11;

use egui::{Context, Popup};
use nice_plug_egui::baseview::WindowContext;

#[cfg(not(any(target_os = "linux", target_os = "windows")))]
use other as system;
#[cfg(target_os = "windows")]
use windows as system;
#[cfg(target_os = "linux")]
use x11 as system;

/// In one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Look {
    /// Something in the window waits for keys.
    wants: bool,
    /// A mouse button is down.
    is_pressed: bool,
    /// The window has the keyboard's focus, by what the framework was told.
    has_focus: bool,
    /// Time of the window's clock, seconds.
    time_s: f64,
}

/// Who gives the focus to the window within this time after it was given back means it.
const INSISTS_WITHIN_S: f64 = 1.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Take,
    GiveBack,
}

/// Keyboard focus state of one window.
#[derive(Debug)]
pub struct Keyboard {
    /// As the system was asked last; a window begins with them.
    is_ours: bool,
    /// Given back since the window had the focus last. A host that hands it on to the window again, or one that cannot be given it, is left
    /// alone until the next press.
    is_given_back: bool,
    /// When they were, of the window's clock.
    given_back_s: f64,
}

impl Default for Keyboard {
    fn default() -> Self {
        Self { is_ours: true, is_given_back: false, given_back_s: f64::NEG_INFINITY }
    }
}

impl Keyboard {
    /// At the end of a picture in `window`, which is a host's.
    pub fn share(&mut self, context: &Context, window: &WindowContext) {
        leave_by_hand(context);
        let look = Look {
            wants: context.egui_wants_keyboard_input() || Popup::is_any_open(context),
            is_pressed: context.input(|input| input.pointer.any_down()),
            has_focus: window.has_focus(),
            time_s: context.input(|input| input.time),
        };
        match self.step(look) {
            Some(Step::Take) => system::take(window),
            Some(Step::GiveBack) => system::give_back(window),
            None => {}
        }
    }

    fn step(&mut self, look: Look) -> Option<Step> {
        if look.is_pressed || (!look.has_focus && look.time_s - self.given_back_s > INSISTS_WITHIN_S) {
            self.is_given_back = false;
        }
        if look.wants {
            return (!std::mem::replace(&mut self.is_ours, true)).then_some(Step::Take);
        }
        let is_to_give = self.is_ours || (look.has_focus && !self.is_given_back);
        if look.is_pressed || !is_to_give {
            return None;
        }
        (self.is_ours, self.is_given_back, self.given_back_s) = (false, true, look.time_s);
        Some(Step::GiveBack)
    }
}

/// Whoever takes the mouse leads nothing by Tab any more. What is typed in is left by a press elsewhere in any case.
fn leave_by_hand(context: &Context) {
    if context.input(|input| input.pointer.any_pressed()) && !context.text_edit_focused() {
        context.memory_mut(|memory| memory.focused().into_iter().for_each(|id| memory.surrender_focus(id)));
    }
}

#[cfg(test)]
mod tests {
    use egui::{Button, RawInput, Rect, TextEdit, Ui, pos2, vec2};

    use super::super::test_user::TestUser;
    use super::*;

    /// Whether the control that `draw` gives the focus to has it still after a press elsewhere.
    fn is_left(text: &mut String, draw: impl Fn(&mut Ui, &mut String)) -> bool {
        let context = Context::default();
        for events in [&[][..], &[], &TestUser::press(pos2(250.0, 150.0), true)] {
            let screen_rect = Some(Rect::from_min_size(pos2(0.0, 0.0), vec2(300.0, 200.0)));
            let input = RawInput { screen_rect, events: events.to_vec(), ..RawInput::default() };
            let draw = |ui: &mut Ui| {
                draw(ui, text);
                leave_by_hand(ui.ctx());
            };
            context.run_ui(input, draw).textures_delta.clear();
            if events.is_empty() {
                assert!(context.egui_wants_keyboard_input());
            }
        }
        !context.egui_wants_keyboard_input()
    }

    #[test]
    fn what_tab_has_led_to_is_left_by_the_mouse() {
        assert!(is_left(&mut String::new(), |ui, _| {
            let response = ui.add(Button::new("SOLO"));
            if !ui.input(|input| input.pointer.any_pressed()) {
                response.request_focus();
            }
        }));
        // Such a press may be on what is typed in, and that is its own to know.
        assert!(!is_left(&mut "-6".into(), |ui, text| ui.add(TextEdit::singleline(text)).request_focus()));
    }

    const IDLE: Look = Look { wants: false, is_pressed: false, has_focus: false, time_s: 0.0 };
    const PRESSED: Look = Look { is_pressed: true, has_focus: true, ..IDLE };
    const RELEASED: Look = Look { has_focus: true, ..IDLE };
    const TYPING: Look = Look { wants: true, has_focus: true, ..IDLE };

    fn steps<const N: usize>(looks: [Look; N]) -> [Option<Step>; N] {
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.step(IDLE), Some(Step::GiveBack), "a window that opens leaves the keys to the host");
        looks.map(|look| keyboard.step(look))
    }

    #[test]
    fn a_click_gives_the_keys_back_once_and_so_does_the_next() {
        let back = Some(Step::GiveBack);
        assert_eq!(steps([IDLE, PRESSED, PRESSED, RELEASED, IDLE, IDLE]), [None, None, None, back, None, None]);
        assert_eq!(steps([PRESSED, RELEASED, IDLE, PRESSED, RELEASED]), [None, back, None, None, back]);
    }

    #[test]
    fn a_window_that_keeps_the_focus_all_the_same_is_left_alone_until_the_next_press() {
        let back = Some(Step::GiveBack);
        assert_eq!(
            steps([PRESSED, RELEASED, RELEASED, RELEASED, PRESSED, RELEASED]),
            [None, back, None, None, None, back]
        );
    }

    #[test]
    fn a_host_that_gives_the_focus_at_once_again_is_left_it_and_one_that_comes_back_later_is_not() {
        let later = |look: Look| Look { time_s: 5.0, ..look };
        let back = Some(Step::GiveBack);
        assert_eq!(
            steps([PRESSED, RELEASED, IDLE, RELEASED, RELEASED, IDLE, later(IDLE), later(RELEASED)]),
            [None, back, None, None, None, None, None, back]
        );
    }

    #[test]
    fn what_is_typed_in_has_the_keys_for_as_long_as_it_is() {
        let (take, back) = (Some(Step::Take), Some(Step::GiveBack));
        assert_eq!(steps([PRESSED, TYPING, TYPING, RELEASED, IDLE]), [None, take, None, back, None]);
        // A click on what is typed in, and one elsewhere.
        let pressed = Look { is_pressed: true, ..TYPING };
        assert_eq!(steps([PRESSED, TYPING, pressed, TYPING, PRESSED, RELEASED]), [None, take, None, None, None, back]);
    }
}
