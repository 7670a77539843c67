//! The editor: what the mix is made of, and whether the separation keeps up, at a glance.
//!
//! ```text
//! ┌ name ──────────── model ─ device ─ bypass ┐
//! │ music │ dialogue │ in/out │ separation    │
//! │       │          │        │ duck          │
//! │       │          │        │ figures       │
//! ├ state ────────────────────────────────────┤
//! └ what is missing and what to do ───────────┘
//! ```

mod choice;
mod example_file;
mod example_tile;
mod fader;
mod gesture;
#[cfg(test)]
mod hand;
mod held;
mod kept_state;
mod keyboard;
mod levels;
mod query_map;
mod question_panel;
mod scaled;
mod separation_panel;
mod session_watch;
mod slider;
mod status_panel;
mod strip;
mod theme;
mod toggle;
mod value_field;
mod window_end;
mod written_through;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use egui::{Align, Layout, Rect, RichText, Ui, UiBuilder, pos2, vec2};
use nice_plug::context::PluginApi;
use nice_plug::context::gui::GuiContext;
use nice_plug::editor::dpi::LogicalSize;
use nice_plug::prelude::*;
use nice_plug_egui::baseview::{HandlerError, WindowContext};
use nice_plug_egui::{EguiEditorState, EguiNiceSettings, Frame, NiceEguiApp, RepaintNotifier, create_egui_editor};
use underscore_engine::{Resources, State, StatusSnapshot, try_loads_again};

use crate::block::NUM_STEMS;
use crate::builder::{Builder, wanted};
use crate::meters::Meters;
use crate::mixer;
use crate::model::Model;
use crate::params::UnderscoreParams;
use example_file::ExampleFile;
use held::Held;
use kept_state::KeptState;
use keyboard::Keyboard;
use levels::Levels;
pub use scaled::ScaledEditor;
use session_watch::SessionWatch;
use status_panel::LateCount;
use written_through::written_through;

/// Size of the window, points.
const SIZE: LogicalSize<f32> = LogicalSize::new(620.0, 550.0);

/// Time between two pictures while the window is open.
const FRAME_INTERVAL: Duration = Duration::from_millis(33);

/// Time between two looks at the figures: a number that changes faster cannot be read.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// For so long what a block said of the ducker is shown.
const DUCKING_LASTS: Duration = Duration::from_millis(500);

const HEADER_HEIGHT: f32 = 40.0;
const STATUS_HEIGHT: f32 = 104.0;
/// The same where a model is asked, and the rest of the row is for what it is asked.
const QUESTION_HEIGHT: f32 = 164.0;
const QUESTION_WIDTH: f32 = 424.0;
const GAP: f32 = 8.0;

/// The state of a window that is not open yet.
#[must_use]
pub fn new_state() -> Arc<EguiEditorState> {
    EguiEditorState::from_size(SIZE, 1.0)
}

/// The editor of one instance. Nothing is drawn or opened before the host asks for the window.
pub(crate) fn create(
    state: Arc<EguiEditorState>,
    params: Arc<UnderscoreParams>,
    builder: Arc<Builder>,
    meters: Arc<Meters>,
) -> Option<ScaledEditor> {
    let settings = EguiNiceSettings::new().with_tile("Underscore");
    let app = EditorApp {
        params,
        builder,
        meters,
        gui: None,
        strips: std::array::from_fn(|_| Levels::default()),
        input: Levels::default(),
        output: Levels::default(),
        ducking: None,
        status: None,
        status_at: None,
        late_count: LateCount::default(),
        lines_up: true,
        waits_for_host: false,
        clock_notice: None,
        example_file: ExampleFile::default(),
        session_watch: SessionWatch::default(),
        kept_state: Arc::default(),
        held: Held::default(),
        keyboard: None,
    };
    let editor = create_egui_editor(state, RepaintNotifier::new(), settings, app)?;
    Some(ScaledEditor::new(editor, SIZE))
}

/// What the window shows.
pub struct EditorApp {
    params: Arc<UnderscoreParams>,
    builder: Arc<Builder>,
    meters: Arc<Meters>,
    gui: Option<GuiContext>,
    /// `[stem]`
    strips: [Levels; NUM_STEMS],
    input: Levels,
    output: Levels,
    /// How far the music is down, dB, what level the ducker hears, dBFS, and when a block said so.
    ducking: Option<(f32, Option<f32>, Instant)>,
    status: Option<StatusSnapshot>,
    status_at: Option<Instant>,
    late_count: LateCount,
    /// Whether another latency waits for the host.
    lines_up: bool,
    /// Whether what is chosen does.
    waits_for_host: bool,
    clock_notice: Option<String>,
    example_file: ExampleFile,
    session_watch: SessionWatch,
    kept_state: Arc<Mutex<KeptState>>,
    held: Held,
    /// In a host.
    keyboard: Option<Keyboard>,
}

impl NiceEguiApp for EditorApp {
    fn build(&mut self, context: egui::Context, gui: GuiContext, _frame: &mut Frame) -> Result<(), HandlerError> {
        theme::apply(&context);
        let is_in_host = gui.plugin_api() != PluginApi::Standalone;
        self.keyboard = is_in_host.then(Keyboard::default);
        if is_in_host {
            // Ctrl+Q is the host's: it would close the window in its frame, which the framework does not tell the host of.
            context.options_mut(|options| options.quit_shortcuts.clear());
        }
        let builder = self.builder.clone();
        let gui = written_through(gui, move || builder.plays());
        let (kept_state, params) = (Arc::new(Mutex::new(KeptState::load(&gui))), self.params.clone());
        // What a newer version saved is more than this one knows.
        kept_state::keep_at_end(&kept_state, &context, gui.clone(), move || params.state_version.notice().is_some());
        self.kept_state = kept_state;
        self.held.open(&context);
        self.gui = Some(gui);
        // Peaks from before the window was opened are old news.
        let _ = self.meters.take();
        Ok(())
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut Frame) {
        let is_status_new = self.refresh();
        if let Some(gui) = self.gui.clone() {
            if is_status_new {
                if self.builder.take_needs_restart() {
                    // A host that runs nothing just now would not be asked by `process`.
                    gui.request_restart();
                }
                self.tell_of_examples(&gui.param_setter(), ui.ctx().text_edit_focused());
                // As at the end.
                if self.params.state_version.notice().is_none() {
                    self.kept_state.lock().unwrap_or_else(PoisonError::into_inner).keep(&gui);
                }
            }
            self.draw(ui, &gui.param_setter(), frame.baseview_window());
            held::end_unseen(ui.ctx(), &gui.param_setter());
        }
        if let Some(keyboard) = &mut self.keyboard {
            keyboard.share(ui.ctx(), frame.baseview_window());
        }
        ui.ctx().request_repaint_after(FRAME_INTERVAL);
    }
}

impl EditorApp {
    /// Returns whether the figures were looked at again, too.
    fn refresh(&mut self) -> bool {
        let now = Instant::now();
        let peaks = self.meters.take();
        for (levels, stem) in self.strips.iter_mut().zip(peaks.stems) {
            levels.update(stem, now);
        }
        self.input.update(peaks.input, now);
        self.output.update(peaks.output, now);
        match peaks.duck_db {
            Some(down_db) => self.ducking = Some((down_db, peaks.key_db, now)),
            // Large blocks are further apart than pictures.
            None => drop(self.ducking.take_if(|(_, _, at)| now.duration_since(*at) > DUCKING_LASTS)),
        }
        let is_status_old = self.status_at.is_none_or(|at| now.duration_since(at) >= STATUS_INTERVAL);
        if is_status_old {
            self.status = self.builder.status().map(|status| status.snapshot());
            self.lines_up = self.builder.lines_up();
            self.clock_notice = self.builder.clock_notice();
            self.waits_for_host = self.builder.waits_for_host(wanted(&self.params));
            self.status_at = Some(now);
        }
        is_status_old
    }

    /// Moves a param of which the host knows.
    fn tell_of_examples(&mut self, setter: &ParamSetter, is_typing: bool) {
        let question = &self.params.question;
        if self.session_watch.is_to_be_told(question.boards(), is_typing, Instant::now()) {
            gesture::set(setter, &question.revision, 1 - question.revision.value());
        }
    }

    fn draw(&mut self, ui: &mut Ui, setter: &ParamSetter, own_window: &WindowContext) {
        let window = ui.max_rect();
        ui.painter().rect_filled(window, 0, theme::BACKGROUND);
        let header = Rect::from_min_size(window.min, vec2(window.width(), HEADER_HEIGHT));
        self.header(&mut child(ui, header.shrink2(vec2(GAP, 6.0))), setter);

        let body_top = header.bottom();
        let chosen = self.params.model.value();
        let heard = self.heard();
        let row_height = if chosen.is_asked() { QUESTION_HEIGHT } else { STATUS_HEIGHT };
        let body_bottom = window.bottom() - row_height - 2.0 * GAP;
        let mut rest = Rect::from_min_max(pos2(window.left() + GAP, body_top), pos2(window.right() - GAP, body_bottom));
        let mut next = |width: f32| {
            let (column, right) = rest.split_left_right_at_x(rest.left() + width);
            rest = right.with_min_x(right.left() + GAP);
            column
        };
        let params = self.params.clone();
        let names = if heard.is_asked() { ["TARGET", "RESIDUAL"] } else { ["MUSIC", "DIALOGUE"] };
        let are_heard = mixer::are_heard(&params.mix().strips);
        let strips = [
            strip::StripParams {
                name: names[0],
                colour: theme::MUSIC,
                gain: &params.music_gain,
                solo: &params.music_solo,
                mute: &params.music_mute,
                is_heard: are_heard[0],
            },
            strip::StripParams {
                name: names[1],
                colour: theme::DIALOGUE,
                gain: &params.dialogue_gain,
                solo: &params.dialogue_solo,
                mute: &params.dialogue_mute,
                is_heard: are_heard[1],
            },
        ];
        for (strip, levels) in strips.iter().zip(&self.strips) {
            strip::draw(&mut panel(ui, next(130.0)), setter, strip, levels);
        }
        levels::draw_in_out(&mut panel(ui, next(80.0)), &self.input, &self.output);
        let (down_db, key_db) = self.ducking.map_or((0.0, None), |(down_db, key_db, _)| (down_db, key_db));
        let ducking = separation_panel::DuckFigures { is_offered: !heard.is_asked(), down_db, key_db };
        let figures = (self.status.as_ref(), &mut self.late_count);
        separation_panel::draw(&mut panel(ui, rest), setter, &params, &ducking, figures);

        let mut status = Rect::from_min_max(
            pos2(window.left() + GAP, body_bottom + GAP),
            pos2(window.right() - GAP, window.bottom() - GAP),
        );
        let has_followed = self.status.as_ref().is_some_and(|it| it.has_followed);
        if let Some(map) = chosen.map() {
            let (question, rest) = status.split_left_right_at_x(status.left() + QUESTION_WIDTH);
            status = rest.with_min_x(rest.left() + GAP);
            let asked = question_panel::Asked {
                model_id: chosen.id(),
                map: &map,
                listens: heard == chosen,
                is_loading: self.status.as_ref().is_some_and(|it| it.state == State::Loading),
                is_followed: params.question.is_followed(has_followed),
            };
            let ui = &mut panel(ui, question);
            question_panel::draw(ui, setter, &params.question, asked, &mut self.example_file, own_window);
        }
        let notices = [
            self.clock_notice.clone(),
            params.state_version.notice(),
            params.missing_model.notice(chosen),
            params.question.refusals().filter(|_| chosen.is_asked()),
            params.question.offer_notice(
                heard.is_asked() && self.status.as_ref().is_some_and(|it| it.state != State::Unavailable),
            ),
            params.question.notice(chosen.id(), has_followed),
            self.waits_for_host.then(|| status_panel::restart_notice(chosen, heard)),
        ];
        let notices: Vec<String> = notices.into_iter().flatten().collect();
        if status_panel::draw(&mut panel(ui, status), self.status.as_ref(), &notices) {
            try_loads_again(&Resources::of_this_binary());
        }
    }

    /// What plays: the model that was chosen may wait for the host.
    fn heard(&self) -> Model {
        let running = self.status.as_ref().and_then(|status| Model::of(&status.model));
        running.unwrap_or_else(|| self.params.model.value())
    }

    fn about_models(&self) -> String {
        let descriptions = self.status.as_ref().map(|it| Model::descriptions(it.host_rate_hz, it.max_block_samples));
        let wait = if self.lines_up { " Another latency comes when the host restarts the plugin." } else { "" };
        let mut lines = vec![format!(
            "What separates.{wait} Identity gives everything to the music, to check latency and routing."
        )];
        lines.extend(descriptions.unwrap_or_default());
        lines.join("\n")
    }

    fn header(&self, ui: &mut Ui, setter: &ParamSetter) {
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            ui.label(RichText::new("Underscore").size(18.0).strong().color(theme::TEXT));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let bypass = &self.params.bypass;
                toggle::draw(ui, setter, bypass, "BYPASS", vec2(70.0, 24.0), theme::BAD)
                    .on_hover_text(
                        "The delayed input, unchanged, on the main output. The latency stays the same. After two seconds the stems' \
                         buses carry half of it each.",
                    );
                ui.add_space(6.0);
                choice::draw(ui, setter, &self.params.device, choice::all(), "device", 64.0)
                    .on_hover_text("Where the model runs. Auto: CUDA where there is one, else the processor.");
                choice::draw(ui, setter, &self.params.model, Model::taken(), "model", 108.0).on_hover_ui(|ui| {
                    ui.label(self.about_models());
                });
            });
        });
    }
}

/// A region of its own.
fn child(ui: &mut Ui, rect: Rect) -> Ui {
    ui.new_child(UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Min)))
}

/// A region of its own with a panel behind it.
fn panel(ui: &mut Ui, rect: Rect) -> Ui {
    ui.painter().rect_filled(rect, 6, theme::PANEL);
    child(ui, rect.shrink(GAP))
}
