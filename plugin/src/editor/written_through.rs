//! Writes what the user sets where the host does not give it back.
//!
//! While the host processes, the framework only tells it of a value and waits for a block that brings it. Where no block comes, though the host has
//! not said that it stops (REAPER, while an effect is bypassed), controls would stand still. There are hosts (Ardour), too, that know nothing of a
//! param that is not automated. These values are written here, ahead of telling the host: what no longer changes the framework posts to nobody.
//! Without a run loop in the host (VST3, Linux) that would be its background thread, which a look at the window ends.

use std::sync::Arc;

use nice_plug::context::PluginApi;
use nice_plug::context::gui::{GuiContext, GuiContextInner};
use nice_plug::params::internals::ParamPtr;
use nice_plug::plugin::PluginState;
use nice_plug::prelude::*;

/// The host of `gui`, told of all that it is told of here. While `plays` says that no block comes what is told is written.
pub fn written_through(gui: GuiContext, plays: impl Fn() -> bool + Send + Sync + 'static) -> GuiContext {
    GuiContext::new(Arc::new(WrittenThrough { gui, plays }))
}

struct WrittenThrough<F> {
    gui: GuiContext,
    plays: F,
}

impl<F: Fn() -> bool + Send + Sync + 'static> GuiContextInner for WrittenThrough<F> {
    fn plugin_api(&self) -> PluginApi {
        self.gui.plugin_api()
    }

    unsafe fn raw_begin_set_parameter(&self, param: ParamPtr) {
        // SAFETY: by the caller's word.
        unsafe { self.gui.raw_begin_set_parameter(param) };
    }

    unsafe fn raw_set_parameter_normalized(&self, param: ParamPtr, normalized: f32) {
        // SAFETY: by the caller's word; the params outlive the window, and their values are atomic.
        unsafe {
            if !(self.plays)() || param.flags().contains(ParamFlags::NON_AUTOMATABLE) {
                param._internal_set_normalized_value(normalized);
            }
            self.gui.raw_set_parameter_normalized(param, normalized);
        }
    }

    unsafe fn raw_end_set_parameter(&self, param: ParamPtr) {
        // SAFETY: by the caller's word.
        unsafe { self.gui.raw_end_set_parameter(param) };
    }

    fn get_state(&self) -> PluginState {
        self.gui.get_state()
    }

    fn set_state(&self, state: PluginState) {
        self.gui.set_state(state);
    }

    fn request_restart(&self) {
        self.gui.request_restart();
    }
}

#[cfg(test)]
mod tests {
    use egui::{Event, Pos2, Rect, Sense, Ui, pos2, vec2};

    use super::super::gesture::{Along, follow, set};
    use super::super::test_user::TestUser;
    use super::*;

    const AT: Pos2 = pos2(60.0, 20.0);
    const TRAVEL: f32 = 100.0;

    #[test]
    fn what_no_host_automates_is_set_though_the_host_gives_nothing_back() {
        let (automated, unautomated) =
            (BoolParam::new("Bypass", false), BoolParam::new("Model", false).non_automatable());
        let mut user = TestUser::default();
        user.does(&[], &mut |_, setter| {
            set(setter, &automated, true);
            set(setter, &unautomated, true);
        });
        assert!(!automated.value() && unautomated.value());
        assert_eq!(user.gestures().iter().map(|gesture| &gesture.values[..]).collect::<Vec<_>>(), [[1.0], [1.0]]);
    }

    #[test]
    fn a_switch_goes_on_and_off_again_while_no_block_comes() {
        let bypass = BoolParam::new("Bypass", false);
        let mut user = TestUser::default();
        user.stop();
        for expected in [true, false] {
            user.does(&[], &mut |_, setter| set(setter, &bypass, !bypass.value()));
            assert_eq!(bypass.value(), expected);
        }
        assert_eq!(user.gestures().iter().map(|gesture| &gesture.values[..]).collect::<Vec<_>>(), [[1.0], [0.0]]);
    }

    #[test]
    fn a_drag_moves_its_control_while_no_block_comes_and_leaves_it_to_the_host_otherwise() {
        for (plays, expected) in [(true, 0.5), (false, 0.65)] {
            let param = FloatParam::new("Share", 0.5, FloatRange::Linear { min: 0.0, max: 1.0 });
            let mut draw = |ui: &mut Ui, setter: &ParamSetter| {
                let rect = Rect::from_center_size(AT, vec2(TRAVEL, 20.0));
                let response = ui.interact(rect, ui.scope_id().with("control"), Sense::click_and_drag());
                follow(ui, setter, &param, &response, (Along::Width, TRAVEL), |from, _| from);
            };
            let mut user = TestUser::default();
            if !plays {
                user.stop();
            }
            user.does(&[], &mut draw);
            user.does(&TestUser::press(AT, true), &mut draw);
            for step in 1..=4 {
                user.does(&[Event::PointerMoved(AT + vec2(5.0 * step as f32, 0.0))], &mut draw);
            }
            user.does(&TestUser::press(AT + vec2(20.0, 0.0), false), &mut draw);
            assert!((param.value() - expected).abs() < 1e-3, "{plays}: {}", param.value());
        }
    }
}
