//! The editor: what the mix is made of, and whether the separation keeps up, at a glance.
//!
//! ```text
//! ┌ name ──────────── model ─ device ─ bypass ┐
//! │ music │ dialogue │ in/out │ separation    │
//! │       │          │        │ duck          │
//! │       │          │        │ figures       │
//! ├ (what is asked for) │ state ──────────────┤
//! └─────────────────────┴ what to do ─────────┘
//! ```
//!
//! States, names and figures are those of the engine that is heard, while another one is made ready, too.

mod choice;
mod ducking;
mod example_file;
mod example_tile;
mod fader;
mod gesture;
mod held;
mod kept_state;
mod keyboard;
mod levels;
mod panels;
mod query_map;
mod query_panel;
mod scaled;
mod separation_panel;
mod session_watch;
mod slider;
mod status_panel;
mod strip;
#[cfg(test)]
mod test_user;
mod theme;
mod toggle;
mod value_field;
mod window_end;
mod written_through;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use egui::{Align, Layout, Rect, RichText, Ui, UiBuilder, vec2};
use nice_plug::context::PluginApi;
use nice_plug::context::gui::GuiContext;
use nice_plug::prelude::*;
use nice_plug_egui::baseview::{HandlerError, WindowContext};
use nice_plug_egui::{EguiEditorState, EguiNiceSettings, Frame, NiceEguiApp, RepaintNotifier, create_egui_editor};
use underscore_engine::{Resources, State, StatusSnapshot, try_loads_again};

use crate::block::NUM_STEMS;
use crate::builder::{Builder, EngineFigures, wanted};
use crate::meters::Meters;
use crate::mixer;
use crate::model::Model;
use crate::params::UnderscoreParams;
use ducking::Ducking;
use example_file::ExampleFile;
use held::Held;
use kept_state::KeptState;
use keyboard::Keyboard;
use levels::Levels;
use panels::{GAP, Panels, SIZE};
pub use scaled::ScaledEditor;
use session_watch::SessionWatch;
use status_panel::{HostSide, LateCount, ReplacedWatch};
use written_through::written_through;

/// Time between two pictures while the window is open.
const FRAME_INTERVAL: Duration = Duration::from_millis(33);

/// Time between two looks at the figures: a number that changes faster cannot be read.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

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
        ducking: Ducking::default(),
        engines: EngineFigures::default(),
        looked_at: None,
        late_count: LateCount::default(),
        replaced_watch: ReplacedWatch::default(),
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
    ducking: Ducking,
    engines: EngineFigures,
    looked_at: Option<Instant>,
    late_count: LateCount,
    replaced_watch: ReplacedWatch,
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
        self.ducking.add(&peaks);
        let is_due = self.looked_at.is_none_or(|at| now.duration_since(at) >= STATUS_INTERVAL);
        if is_due {
            self.ducking.look(now);
            self.engines = self.builder.figures(wanted(&self.params));
            self.looked_at = Some(now);
            if let Some(current) = &self.engines.current {
                self.replaced_watch.look(current, now);
            }
        }
        is_due
    }

    /// Moves a param of which the host knows.
    fn tell_of_examples(&mut self, setter: &ParamSetter, is_typing: bool) {
        let query = &self.params.query;
        if self.session_watch.is_to_be_told(query.boards(), is_typing, Instant::now()) {
            gesture::set(setter, &query.revision, 1 - query.revision.value());
        }
    }

    fn draw(&mut self, ui: &mut Ui, setter: &ParamSetter, own_window: &WindowContext) {
        let window = ui.max_rect();
        ui.painter().rect_filled(window, 0, theme::BACKGROUND);
        let chosen = self.params.model.value();
        let panels = Panels::of(window, chosen.is_query_model(), self.is_unavailable());
        self.header(&mut child(ui, panels.header.shrink2(vec2(GAP, 6.0))), setter);
        self.strips(ui, setter, panels.strips);
        levels::draw_in_out(&mut panel(ui, panels.in_out), &self.input, &self.output);
        let is_heard = !self.audible_model().is_query_model();
        let ducking = separation_panel::DuckFigures {
            is_heard,
            has_room: !chosen.is_query_model(),
            levels: self.ducking.levels(),
        };
        let figures = (self.engines.current.as_ref(), self.engines.plays, &mut self.late_count);
        separation_panel::draw(&mut panel(ui, panels.separation), setter, &self.params, &ducking, figures);
        if let Some(place) = panels.query {
            self.draw_query(&mut panel(ui, place), setter, own_window);
        }
        if status_panel::draw(&mut panel(ui, panels.status), self.engines.current.as_ref(), &self.host_side()) {
            try_loads_again(&Resources::of_this_binary());
        }
    }

    fn strips(&self, ui: &mut Ui, setter: &ParamSetter, panels: [Rect; NUM_STEMS]) {
        let params = &self.params;
        let names = if self.audible_model().is_query_model() { ["TARGET", "RESIDUAL"] } else { ["MUSIC", "DIALOGUE"] };
        let audible = mixer::audible(&params.mix().strips);
        let strips = [
            strip::StripParams {
                name: names[0],
                colour: theme::MUSIC,
                gain: &params.music_gain,
                solo: &params.music_solo,
                mute: &params.music_mute,
                is_heard: audible[0],
            },
            strip::StripParams {
                name: names[1],
                colour: theme::DIALOGUE,
                gain: &params.dialogue_gain,
                solo: &params.dialogue_solo,
                mute: &params.dialogue_mute,
                is_heard: audible[1],
            },
        ];
        for ((strip, levels), place) in strips.iter().zip(&self.strips).zip(panels) {
            strip::draw(&mut panel(ui, place), setter, strip, levels);
        }
    }

    /// What the model is asked that is chosen.
    fn draw_query(&mut self, ui: &mut Ui, setter: &ParamSetter, own_window: &WindowContext) {
        let chosen = self.params.model.value();
        let Some(map) = chosen.map() else { return };
        let engine = self.engine_of(chosen);
        let query = &self.params.query;
        let asked = query_panel::Asked {
            model_id: chosen.id(),
            map: &map,
            listens: engine.is_some(),
            is_loading: engine.is_some_and(|it| it.state == State::Loading),
            is_followed: query.is_followed(engine.is_some_and(|it| it.has_followed)),
        };
        query_panel::draw(ui, setter, query, asked, &mut self.example_file, own_window);
    }

    fn host_side(&self) -> HostSide {
        let (params, chosen, audible) = (&self.params, self.params.model.value(), self.audible_model());
        let EngineFigures { current: status, next, waits_for_host, clock_notice, .. } = &self.engines;
        let waiting = if *waits_for_host {
            Some(status_panel::restart_notice(chosen, audible))
        } else {
            status.as_ref().zip(next.as_ref()).map(|(current, next)| status_panel::takeover_notice(current, next))
        };
        let listens = |it: &StatusSnapshot| {
            it.state != State::Unavailable && Model::of(&it.model).is_some_and(Model::is_query_model)
        };
        let has_followed = self.engine_of(chosen).is_some_and(|it| it.has_followed);
        let notices = [
            self.replaced_watch.notice(Instant::now()),
            clock_notice.clone(),
            params.state_version.notice(),
            params.missing_model.notice(chosen),
            params.query.refusals().filter(|_| chosen.is_query_model()),
            params.query.offer_notice([status, next].into_iter().flatten().any(listens)),
            // Without the panel that it names there is nothing to be done about it.
            params.query.notice(chosen.id(), has_followed).filter(|_| !self.is_unavailable()),
        ];
        let notices = notices.into_iter().flatten().collect();
        HostSide { plays: self.engines.plays, is_bypassed: params.bypass.value(), waiting, notices }
    }

    /// What plays: the model that was chosen may wait for the host, or be on its way.
    fn audible_model(&self) -> Model {
        let running = self.engines.current.as_ref().and_then(|status| Model::of(&status.model));
        running.unwrap_or_else(|| self.params.model.value())
    }

    /// Nothing answers: the window has no room for what is asked, and needs none.
    fn is_unavailable(&self) -> bool {
        self.engines.current.as_ref().is_some_and(|it| it.state == State::Unavailable)
    }

    /// The engine of this model: the one that is heard, or the next one.
    fn engine_of(&self, model: Model) -> Option<&StatusSnapshot> {
        let engines = [&self.engines.current, &self.engines.next];
        engines.into_iter().flatten().find(|status| Model::of(&status.model) == Some(model))
    }

    fn about_models(&self) -> String {
        let descriptions =
            self.engines.current.as_ref().map(|it| Model::descriptions(it.host_rate_hz, it.max_block_samples));
        let wait = if self.engines.compensates_latency {
            " Another latency comes when the host restarts the plugin."
        } else {
            ""
        };
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
