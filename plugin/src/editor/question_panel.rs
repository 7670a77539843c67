//! What a model that is asked by example is to look for.

use egui::{Button, Id, Response, RichText, TextEdit, TextStyle, Ui, vec2};
use nice_plug::prelude::*;
use nice_plug_egui::baseview::WindowContext;
use underscore_engine::QueryMap;

use super::example_file::ExampleFile;
use super::gesture::set;
use super::{choice, example_tile, query_map, slider, theme, toggle};
use crate::query::{MAX_NAME_CHARS, Preset, SavedQuery};
use crate::question::QuestionParams;

const BUTTON_HEIGHT: f32 = 22.0;
const CAPTURE_WIDTH: f32 = 62.0;
const FILE_WIDTH: f32 = 36.0;

/// No higher than the heading beside it.
const NAME_HEIGHT: f32 = 16.0;

/// Longer than a block of 8192 samples at 44.1 kHz, seconds.
const SHORTEST_HOLD_S: f64 = 0.2;

const NOBODY_LISTENS: &str = "No example came of it: the host does not run the plugin just now, or its model is not there. Start playback and try again.";

/// As long as a worker may take that has a model to open first, seconds.
const LONGEST_WISH_S: f64 = 10.0;

/// Draws the map of the model of this id, and beside it both slots and what lies between them. Returns whether a button holds a param on.
pub fn draw(
    ui: &mut Ui,
    setter: &ParamSetter,
    params: &QuestionParams,
    (model_id, map): (&str, &QueryMap),
    file: &mut ExampleFile,
    window: &WindowContext,
) -> bool {
    let mut is_holding = false;
    ui.horizontal(|ui| {
        query_map::draw(ui, setter, params, (model_id, map));
        ui.vertical(|ui| {
            ui.horizontal(|ui| {
                ui.label(RichText::new("ASKED FOR").size(13.0).color(theme::TEXT))
                    .on_hover_text("What the target is to sound like. The other stem is all that it leaves.");
                name_of_nearer(ui, params);
            });
            let slots = [
                Slot { name: "A", preset: &params.preset_a, capture: &params.capture_a, example: &params.saved_a },
                Slot { name: "B", preset: &params.preset_b, capture: &params.capture_b, example: &params.saved_b },
            ];
            if let Some(offered) = file.take_offered() {
                slots[offered.slot].wish(ui, offered.number, offered.num_loads, offered.preset);
            }
            for (slot_idx, slot) in slots.iter().enumerate() {
                slot.fulfil_wish(ui, setter);
                slot.forget_refusal(ui);
                let shown = self::slot(ui, setter, slot, model_id, file.is_busy());
                is_holding |= shown.is_holding;
                if shown.is_file_wanted {
                    file.choose((slot_idx, slot.preset.value()), slot.example, window);
                }
            }
            slider::draw(
                ui,
                setter,
                &params.blend,
                "A to B",
                "What is asked for lies between what A asks for and what B does.",
            );
            ui.horizontal(|ui| {
                let width = (ui.available_width() - 8.0) / 2.0;
                let refine = capturing(ui, setter, &params.refine, &slots[params.nearer_slot()], "REFINE", width);
                is_holding |= refine.is_holding;
                refine.response.on_hover_text(
                    "The last three seconds of what was found replace the example of the nearer slot, and are asked for in their turn. \
                     Often it finds no more.",
                );
                toggle::draw(ui, setter, &params.follow, "FOLLOW", vec2(width, BUTTON_HEIGHT), theme::MUSIC)
                    .on_hover_text(
                        "A asks for what the sidechain plays, listened to anew every second, and for the last of it where it falls silent. \
                         Nothing of it is kept.",
                    );
            });
        });
    });
    is_holding
}

/// What the example of the nearer slot is called, where that slot asks for it.
fn name_of_nearer(ui: &mut Ui, params: &QuestionParams) {
    let slots = [(&params.preset_a, &params.saved_a), (&params.preset_b, &params.saved_b)];
    let slot = params.nearer_slot();
    let (preset, example) = slots[slot];
    let place = ui.make_persistent_id(("name", slot));
    let kept = example.board().kept().filter(|_| preset.value() == Preset::default());
    let Some(kept) = kept else { return };
    let mut name = kept.name;
    let hint = ["name of A", "name of B"][slot];
    let field =
        TextEdit::singleline(&mut name).id(place).hint_text(hint).char_limit(MAX_NAME_CHARS).font(TextStyle::Small);
    let field = ui.add_sized(vec2(ui.available_width() - 8.0, NAME_HEIGHT), field);
    let field = field.on_hover_text("What the example that is asked for is called; saved with the session.");
    if field.changed() {
        // At once: the window may be closed, or the session saved, in the middle of it.
        example.set_name(&name);
    }
}

struct Slot<'a> {
    name: &'static str,
    preset: &'a EnumParam<Preset>,
    capture: &'a BoolParam,
    example: &'a SavedQuery,
}

/// What was done to a slot.
struct Shown {
    is_file_wanted: bool,
    is_holding: bool,
}

/// What one slot asks for of the model of this id, and the buttons that bring its example.
fn slot(ui: &mut Ui, setter: &ParamSetter, slot: &Slot, model_id: &str, is_file_busy: bool) -> Shown {
    let Slot { name, preset, capture, example } = slot;
    ui.horizontal(|ui| {
        let is_asked_for = preset.value() == Preset::default();
        if example_tile::draw(ui, name, example.board().kept().as_ref(), is_asked_for).clicked() {
            ask_for_example(setter, preset);
        }
        let width = ui.available_width() - CAPTURE_WIDTH - FILE_WIDTH - 14.0;
        // What another model has, a session may ask for, too.
        let known = Preset::taken().filter(|it| it.is_known_to(model_id) || *it == preset.value());
        choice::draw(ui, setter, preset, known, name, width).on_hover_text(
            "A class of sounds, the place on the map, or the example: from the sidechain, or out of a file.",
        );
        let capture = capturing(ui, setter, capture, slot, "CAPTURE", CAPTURE_WIDTH);
        capture
            .response
            .on_hover_text("The last three seconds of the sidechain are the example, without the silence around them.");
        let button = Button::new(RichText::new("FILE").size(11.0)).min_size(vec2(FILE_WIDTH, BUTTON_HEIGHT));
        let file = ui
            .add_enabled(!is_file_busy, button)
            .on_hover_text("The loudest three seconds of an audio file are the example.")
            .on_disabled_hover_text("A file is being chosen, or read.");
        Shown { is_file_wanted: file.clicked(), is_holding: capture.is_holding }
    })
    .inner
}

impl Slot<'_> {
    fn wish_place(&self) -> Id {
        Id::unique(("wish", self.name))
    }

    /// The example is to be asked for as soon as there is a later one than `number`, unless something else than `preset` is asked for by then: till
    /// then what is asked for goes on, and not an older example.
    fn wish(&self, ui: &Ui, number: u64, num_loads: u64, preset: Preset) {
        let wish = Wish { number, num_loads, preset, until_s: ui.input(|input| input.time) + LONGEST_WISH_S };
        ui.data_mut(|data| data.insert_temp(self.wish_place(), wish));
    }

    /// What was said of an example is over when something else is asked for.
    fn forget_refusal(&self, ui: &Ui) {
        let place = Id::unique(("asked", self.name));
        let (now, before) = (self.preset.value(), ui.data(|data| data.get_temp::<Preset>(place)));
        if before.is_some_and(|before| before != now) {
            self.example.board().clear_refusal();
        }
        ui.data_mut(|data| data.insert_temp(place, now));
    }

    fn fulfil_wish(&self, ui: &Ui, setter: &ParamSetter) {
        let Some(wish) = ui.data(|data| data.get_temp::<Wish>(self.wish_place())) else { return };
        let board = self.example.board();
        let now = Standing {
            // In this order: what was offered is on the board before it is offered no more.
            has_offer: board.has_offer(),
            number: board.number(),
            num_loads: board.num_loads(),
            preset: self.preset.value(),
            time_s: ui.input(|input| input.time),
        };
        let outcome = wish.outcome(now);
        if outcome != Outcome::Open {
            ui.data_mut(|data| data.remove::<Wish>(self.wish_place()));
        }
        match outcome {
            Outcome::Fulfilled => ask_for_example(setter, self.preset),
            Outcome::Unheard if board.refusal().is_none() => board.refuse_offer(NOBODY_LISTENS.into()),
            Outcome::Open | Outcome::Void | Outcome::Unheard => {}
        }
    }
}

/// What somebody who brought an example waits for.
#[derive(Clone, Copy)]
struct Wish {
    /// Of what lay on the board then.
    number: u64,
    /// Sessions that were loaded till then: what a later one brings is nobody's wish.
    num_loads: u64,
    /// What was asked for: whoever chooses something else wants that.
    preset: Preset,
    /// Of the window's clock.
    until_s: f64,
}

/// How things are with a slot.
#[derive(Clone, Copy)]
struct Standing {
    has_offer: bool,
    number: u64,
    num_loads: u64,
    preset: Preset,
    /// Of the window's clock.
    time_s: f64,
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    /// Something else is wanted now.
    Void,
    /// The example is there.
    Fulfilled,
    /// Nobody listened to it, or it was refused.
    Unheard,
}

impl Wish {
    fn outcome(&self, now: Standing) -> Outcome {
        if now.preset != self.preset || now.num_loads != self.num_loads {
            Outcome::Void
        } else if now.number != self.number {
            Outcome::Fulfilled
        } else if now.time_s > self.until_s && !now.has_offer {
            // A file waits for as long as it takes, and says so.
            Outcome::Unheard
        } else {
            Outcome::Open
        }
    }
}

/// Who brings an example wants to hear it.
fn ask_for_example(setter: &ParamSetter, preset: &EnumParam<Preset>) {
    if preset.value() != Preset::default() {
        set(setter, preset, Preset::default());
    }
}

/// Switches off what a window that was closed meanwhile left switched on: its mark of what is held down went with it.
pub fn let_go(setter: &ParamSetter, params: &QuestionParams) {
    for held in [&params.capture_a, &params.capture_b, &params.refine] {
        if held.value() {
            set(setter, held, false);
        }
    }
}

/// A button that holds `param` on while it is held down, and for a moment at least, and has `slot` ask for the example that comes of it.
fn capturing(ui: &mut Ui, setter: &ParamSetter, param: &BoolParam, slot: &Slot, label: &str, width: f32) -> Held {
    let response = ui.add_sized(vec2(width, BUTTON_HEIGHT), Button::new(RichText::new(label).size(11.0)));
    let place = response.id.with("press");
    let now_s = ui.input(|input| input.time);
    let until_s = now_s + SHORTEST_HOLD_S;
    let press: Option<Press> = ui.data(|data| data.get_temp(place));
    let is_down = response.is_pointer_button_down_on();
    let next = match press {
        // A tap may begin and end between two pictures, or two blocks.
        None if is_down || response.clicked() => {
            let board = slot.example.board();
            board.clear_refusal();
            slot.wish(ui, board.number(), board.num_loads(), slot.preset.value());
            // An example is taken when it goes on, and a host may have left it on.
            let was_on = param.value();
            set(setter, param, !was_on);
            Some(if was_on { Press::Off { until_s } } else { Press::On { until_s } })
        }
        Some(Press::Off { until_s: over_s }) if now_s > over_s => {
            set(setter, param, true);
            Some(Press::On { until_s })
        }
        Some(Press::On { until_s: over_s }) if now_s > over_s && !is_down => {
            set(setter, param, false);
            None
        }
        press => press,
    };
    ui.data_mut(|data| match next {
        Some(press) => {
            data.insert_temp(place, press);
        }
        None => {
            data.remove::<Press>(place);
        }
    });
    Held { is_holding: next.is_some(), response }
}

/// What a press has a param be.
#[derive(Clone, Copy)]
enum Press {
    Off { until_s: f64 },
    On { until_s: f64 },
}

/// A button that may hold a param on.
struct Held {
    response: Response,
    is_holding: bool,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use egui::pos2;
    use underscore_engine::{Embedding, QueryBoard};

    use super::super::hand::Hand;
    use super::*;

    /// Pictures of a hand in a second.
    const PICTURES_PER_S: usize = 30;

    /// A slot that asks for drums, and what is done to it.
    struct Bench {
        hand: Hand,
        preset: EnumParam<Preset>,
        capture: BoolParam,
        example: SavedQuery,
    }

    impl Bench {
        fn new(is_held_on: bool) -> Self {
            Self {
                hand: Hand::default(),
                preset: EnumParam::new("Query A", Preset::of("drums").expect("a class")),
                capture: BoolParam::new("Capture A", is_held_on),
                example: SavedQuery::of(&Arc::default(), 0),
            }
        }

        fn board(&self) -> &QueryBoard {
            self.example.board()
        }

        /// So many seconds of pictures, before each of which `draw` is done.
        fn lasts(&mut self, seconds: f64, mut draw: impl FnMut(&mut Ui, &ParamSetter, &Slot)) {
            let Self { hand, preset, capture, example } = self;
            let slot = Slot { name: "A", preset, capture, example };
            for _ in 0..=(seconds * PICTURES_PER_S as f64) as usize {
                hand.does(&[], &mut |ui, setter| {
                    draw(ui, setter, &slot);
                    slot.fulfil_wish(ui, setter);
                });
            }
        }

        fn wishes(&mut self) {
            let (number, num_loads) = (self.board().number(), self.board().num_loads());
            let mut is_said = false;
            self.lasts(0.0, |ui, _, slot| {
                if !std::mem::replace(&mut is_said, true) {
                    slot.wish(ui, number, num_loads, slot.preset.value());
                }
            });
        }

        /// Whether the host was told that the example is asked for.
        fn asks_for_example(&self) -> bool {
            self.hand.gestures().iter().any(|gesture| gesture.values == [0.0])
        }
    }

    fn captured(is_held_on: bool) -> Vec<Vec<f32>> {
        let mut bench = Bench::new(is_held_on);
        let Bench { hand, preset, capture, example } = &mut bench;
        let slot = Slot { name: "A", preset, capture, example };
        let draw: &mut dyn FnMut(&mut Ui, &ParamSetter) = &mut |ui, setter| {
            capturing(ui, setter, slot.capture, &slot, "CAPTURE", CAPTURE_WIDTH);
        };
        hand.click(pos2(CAPTURE_WIDTH / 2.0, BUTTON_HEIGHT / 2.0), draw);
        for _ in 0..PICTURES_PER_S {
            hand.does(&[], draw);
        }
        hand.gestures().into_iter().map(|gesture| gesture.values).collect()
    }

    #[test]
    fn a_tap_switches_a_capture_on_and_off_again() {
        assert_eq!(captured(false), [[1.0], [0.0]]);
    }

    #[test]
    fn a_tap_on_what_a_host_left_switched_on_switches_it_off_first_because_an_example_is_taken_when_it_goes_on() {
        assert_eq!(captured(true), [[0.0], [1.0], [0.0]]);
    }

    #[test]
    fn a_file_is_asked_for_when_it_was_listened_to_however_long_that_takes() {
        let preset = Preset::default();
        let wish = Wish { number: 3, num_loads: 1, preset, until_s: 10.0 };
        let offered = Standing { has_offer: true, number: 3, num_loads: 1, preset, time_s: 5.0 };
        assert_eq!(wish.outcome(offered), Outcome::Open);
        assert_eq!(wish.outcome(Standing { time_s: 30.0, ..offered }), Outcome::Open);
        // As a worker answers: the example is there and nothing is offered any more.
        assert_eq!(wish.outcome(Standing { time_s: 30.0, has_offer: false, number: 4, ..offered }), Outcome::Fulfilled);
        assert_eq!(wish.outcome(Standing { time_s: 30.0, has_offer: false, ..offered }), Outcome::Unheard);
        assert_eq!(wish.outcome(Standing { number: 4, num_loads: 2, ..offered }), Outcome::Void);
    }

    #[test]
    fn a_capture_that_nobody_listens_to_is_told_after_a_while_and_wanted_no_more() {
        let mut bench = Bench::new(false);
        bench.wishes();
        bench.lasts(LONGEST_WISH_S + 0.1, |_, _, _| ());
        assert_eq!(bench.board().refusal().as_deref(), Some(NOBODY_LISTENS));
        bench.board().clear_refusal();
        bench.lasts(LONGEST_WISH_S + 0.1, |_, _, _| ());
        assert!(!bench.asks_for_example() && bench.board().refusal().is_none());
    }

    #[test]
    fn what_a_session_brings_that_is_loaded_meanwhile_is_nobody_s_wish() {
        let mut bench = Bench::new(false);
        bench.wishes();
        bench.board().load(Some(Embedding::new(&[1.0]).into()));
        bench.lasts(0.1, |_, _, _| ());
        assert!(!bench.asks_for_example());
    }
}
