//! A hand on a control, for tests: what it does is drawn picture by picture, and what a host is log of is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use egui::epaint::ClippedShape;
use egui::{Context, Event, Key, Modifiers, PointerButton, Pos2, RawInput, Rect, Ui, pos2, vec2};
use nice_plug::context::PluginApi;
use nice_plug::context::gui::{GuiContext, GuiContextInner};
use nice_plug::params::internals::ParamPtr;
use nice_plug::plugin::PluginState;
use nice_plug::prelude::*;

use super::held::{self, Held};
use super::theme;
use super::written_through::written_through;

/// Time between two pictures, seconds.
const FRAME_S: f64 = 1.0 / 30.0;

/// What lay between a begin and its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gesture {
    /// Normalized values, in order.
    pub values: Vec<f32>,
}

#[derive(Debug, Default)]
struct GestureLog {
    /// Params whose gesture has not ended, with its place.
    open: Vec<(ParamPtr, usize)>,
    gestures: Vec<Gesture>,
}

/// Stands for the host. A value outside a gesture of its param, and a gesture in or without another one of it, is a failure.
#[derive(Debug, Default)]
struct Host {
    log: Mutex<GestureLog>,
}

impl Host {
    fn log(&self) -> std::sync::MutexGuard<'_, GestureLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GuiContextInner for Host {
    fn plugin_api(&self) -> PluginApi {
        PluginApi::Clap
    }

    fn request_restart(&self) {}

    unsafe fn raw_begin_set_parameter(&self, param: ParamPtr) {
        let mut log = self.log();
        assert!(log.open.iter().all(|(open, _)| *open != param), "a gesture begins in another one");
        let place = log.gestures.len();
        log.open.push((param, place));
        log.gestures.push(Gesture::default());
    }

    unsafe fn raw_set_parameter_normalized(&self, param: ParamPtr, normalized: f32) {
        let mut log = self.log();
        let open = log.open.iter().find(|(open, _)| *open == param);
        let (_, place) = *open.expect("a value within a gesture");
        log.gestures[place].values.push(normalized);
    }

    unsafe fn raw_end_set_parameter(&self, param: ParamPtr) {
        let mut log = self.log();
        let open = log.open.iter().position(|(open, _)| *open == param);
        log.open.remove(open.expect("a gesture that has begun"));
    }

    fn get_state(&self) -> PluginState {
        unreachable!("no control asks for it")
    }

    fn set_state(&self, _: PluginState) {}
}

/// The hand. The param that it moves stays where it is, as it does between two blocks, until no more are played.
pub struct TestUser {
    context: Context,
    host: Arc<Host>,
    /// Whether blocks are played; they bring nothing.
    plays: Arc<AtomicBool>,
    gui: GuiContext,
    held: Held,
    now_s: f64,
}

impl Default for TestUser {
    fn default() -> Self {
        let (host, plays) = (Arc::<Host>::default(), Arc::new(AtomicBool::new(true)));
        let is_playing = plays.clone();
        let gui = written_through(GuiContext::new(host.clone()), move || is_playing.load(Ordering::Relaxed));
        let mut own = Self { context: Context::default(), host, plays, gui, held: Held::default(), now_s: 0.0 };
        own.open();
        own
    }
}

impl TestUser {
    fn open(&mut self) {
        self.context = Context::default();
        theme::apply(&self.context);
        self.held.open(&self.context);
    }

    /// The host plays no more blocks.
    pub fn stop(&mut self) {
        self.plays.store(false, Ordering::Relaxed);
    }

    /// The window closes, and another one opens, which lets go of what was held.
    pub fn close(&mut self) {
        self.open();
    }

    /// A picture after `events`.
    pub fn does(&mut self, events: &[Event], draw: &mut dyn FnMut(&mut Ui, &ParamSetter)) {
        self.picture_after(events, draw);
    }

    /// What is drawn in a picture.
    pub fn draw(&mut self, draw: &mut dyn FnMut(&mut Ui, &ParamSetter)) -> Vec<ClippedShape> {
        self.picture_after(&[], draw)
    }

    fn picture_after(&mut self, events: &[Event], draw: &mut dyn FnMut(&mut Ui, &ParamSetter)) -> Vec<ClippedShape> {
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(pos2(0.0, 0.0), vec2(620.0, 550.0))),
            time: Some(self.now_s),
            events: events.to_vec(),
            ..RawInput::default()
        };
        self.now_s += FRAME_S;
        let setter = self.gui.param_setter();
        // Nothing is shown: what would have to be is forgotten.
        let draw = |ui: &mut Ui| {
            draw(ui, &setter);
            held::end_unseen(ui.ctx(), &setter);
        };
        let mut output = self.context.run_ui(input, draw);
        output.textures_delta.clear();
        output.shapes
    }

    /// The button goes down and up again, at once.
    pub fn click(&mut self, at: Pos2, draw: &mut dyn FnMut(&mut Ui, &ParamSetter)) {
        self.does(&[], draw);
        self.does(&Self::press(at, true), draw);
        self.does(&Self::press(at, false), draw);
    }

    /// The button goes down there, or up.
    pub fn press(at: Pos2, pressed: bool) -> [Event; 2] {
        Self::press_by(PointerButton::Primary, at, pressed)
    }

    /// Events of a press or release of another button.
    pub fn press_by(button: PointerButton, at: Pos2, pressed: bool) -> [Event; 2] {
        let button = Event::PointerButton { pos: at, button, pressed, modifiers: Modifiers::NONE };
        [Event::PointerMoved(at), button]
    }

    /// A key goes down.
    pub fn key(key: Key) -> [Event; 1] {
        [Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers: Modifiers::NONE }]
    }

    /// What the host was log of, all of it ended.
    pub fn gestures(&self) -> Vec<Gesture> {
        let log = self.host.log();
        assert!(log.open.is_empty(), "a gesture has not ended");
        log.gestures.clone()
    }
}
