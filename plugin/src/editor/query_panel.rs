//! What a model that is asked by example is to look for.

use egui::{Button, Id, Response, RichText, TextEdit, TextStyle, Ui, vec2};
use nice_plug::prelude::*;
use nice_plug_egui::baseview::WindowContext;
use underscore_engine::{LONGEST_WISH, QueryMap, Source};

use super::example_file::ExampleFile;
use super::gesture::{press, set};
use super::{choice, example_tile, query_map, slider, theme, toggle};
use crate::query::{MAX_NAME_CHARS, Preset};
use crate::query_params::{QueryParams, Slot};

const BUTTON_HEIGHT: f32 = 22.0;
const CAPTURE_WIDTH: f32 = 62.0;
const FILE_WIDTH: f32 = 36.0;

/// No higher than the heading beside it.
const NAME_HEIGHT: f32 = 16.0;

const NOBODY_LISTENS: &str = "No example came of it: the host does not run the plugin just now, or its model is not there. Start playback and try again.";

const LONGEST_WISH_S: f64 = LONGEST_WISH.as_secs() as f64;

/// The model that is asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its id.
    pub model_id: &'a str,
    /// Its map.
    pub map: &'a QueryMap,
    /// Whether it is the one that runs, or is just loaded.
    pub listens: bool,
    /// Whether it is loaded still: who wants something of it waits.
    pub is_loading: bool,
    /// Whether slot A asks for what the sidechain plays, and not for what it is set to.
    pub is_followed: bool,
}

/// Draws its map, and beside it both slots and what lies between them.
pub fn draw(
    ui: &mut Ui,
    setter: &ParamSetter,
    params: &QueryParams,
    asked: Asked,
    file: &mut ExampleFile,
    window: &WindowContext,
) {
    ui.horizontal(|ui| {
        query_map::draw(ui, setter, params, (asked.model_id, asked.map), asked.is_followed);
        ui.vertical(|ui| {
            ui.horizontal(|ui| {
                ui.label(RichText::new("ASKED FOR").size(13.0).color(theme::TEXT))
                    .on_hover_text("What the target is to sound like. The other stem is all that it leaves.");
                name_of_nearer(ui, params, asked.is_followed);
            });
            let slots = params.slots();
            if let Some(offered) = file.take_offered() {
                slots[offered.slot].wish(ui, offered.number, offered.num_loads, offered.preset);
            }
            for (slot_idx, slot) in slots.iter().enumerate() {
                slot.fulfil_wish(ui, setter, asked.is_loading);
                slot.forget_refusal(ui);
                let is_followed = slot_idx == 0 && asked.is_followed;
                if self::slot(ui, setter, slot, Asked { is_followed, ..asked }, file.is_busy()) {
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
                let nearer = &slots[params.nearer_slot()];
                taking(ui, nearer, Source::Target, ("REFINE", width), asked.listens).on_hover_text(
                    "The last three seconds of what was found, without silence, replace the example of the nearer slot, and are asked for in their turn. \
                     Often it finds no more.",
                );
                toggle::draw(ui, setter, &params.follow, "FOLLOW", vec2(width, BUTTON_HEIGHT), theme::MUSIC)
                    .on_hover_text(
                        "A asks for what the sidechain plays, whatever it is set to: listened to anew every second, and for the last of it where it falls silent. \
                         Nothing of it is kept.",
                    );
            });
        });
    });
}

/// What the example of the nearer slot is called, where that slot asks for it.
fn name_of_nearer(ui: &mut Ui, params: &QueryParams, is_followed: bool) {
    let slot_idx = params.nearer_slot();
    let Slot { name: letter, preset, example } = params.slots()[slot_idx];
    let place = ui.make_persistent_id(("name", letter));
    let is_asked_for = preset.value().is_example() && !(slot_idx == 0 && is_followed);
    let kept = example.board().kept().filter(|_| is_asked_for);
    let Some(kept) = kept else { return };
    let mut name = kept.name;
    let hint = format!("name of {letter}");
    let field =
        TextEdit::singleline(&mut name).id(place).hint_text(hint).char_limit(MAX_NAME_CHARS).font(TextStyle::Small);
    let field = ui.add_sized(vec2(ui.available_width() - 8.0, NAME_HEIGHT), field);
    let field = field.on_hover_text("What the example that is asked for is called; saved with the session.");
    if field.changed() {
        // At once: the window may be closed, or the session saved, in the middle of it.
        example.set_name(&name);
    }
}

/// What one slot asks for, and the buttons that bring its example. `is_followed` is of this slot. Returns whether the example is to come out of a file.
fn slot(ui: &mut Ui, setter: &ParamSetter, slot: &Slot, asked: Asked, is_file_busy: bool) -> bool {
    let Asked { model_id, listens, is_followed, .. } = asked;
    let Slot { name, preset, example } = slot;
    ui.horizontal(|ui| {
        let is_asked_for = preset.value().is_example() && !is_followed;
        if example_tile::draw(ui, name, example.board().kept().as_ref(), is_asked_for).clicked() {
            ask_for_example(setter, preset);
        }
        let width = ui.available_width() - CAPTURE_WIDTH - FILE_WIDTH - 14.0;
        // What another model has, a session may ask for, too.
        let known = Preset::taken().filter(|it| it.is_known_to(model_id) || *it == preset.value());
        choice::draw(ui, setter, preset, known, name, width).on_hover_text(
            "A class of sounds, the place on the map, or the example: from the sidechain, or out of a file.",
        );
        taking(ui, slot, Source::Sidechain, ("CAPTURE", CAPTURE_WIDTH), listens).on_hover_text(
            "The last three seconds of sound in the sidechain are the example, however long ago they were played.",
        );
        let button = Button::new(RichText::new("FILE").size(11.0)).min_size(vec2(FILE_WIDTH, BUTTON_HEIGHT));
        let file = ui
            .add_enabled(!is_file_busy, button)
            .on_hover_text("The loudest three seconds of an audio file are the example.")
            .on_disabled_hover_text("A file is being chosen, or read.");
        file.clicked()
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

    fn fulfil_wish(&self, ui: &Ui, setter: &ParamSetter, is_loading: bool) {
        let Some(wish) = ui.data(|data| data.get_temp::<Wish>(self.wish_place())) else { return };
        let board = self.example.board();
        if is_loading {
            // Its time begins when there is somebody to listen.
            self.wish(ui, wish.number, wish.num_loads, wish.preset);
            board.want_still();
        }
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
            board.want_no_more();
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
    /// Number of the example that the slot had then.
    number: u64,
    /// Sessions that were loaded till then: what a later one brings is nobody's wish.
    num_loads: u64,
    /// What was asked for: whoever chooses something else wants that.
    preset: Preset,
    /// Time of the window's clock, seconds.
    until_s: f64,
}

/// How things are with a slot.
#[derive(Clone, Copy)]
struct Standing {
    has_offer: bool,
    number: u64,
    num_loads: u64,
    preset: Preset,
    /// Time of the window's clock, seconds.
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

/// Asks for an example that was just brought: whoever brings one wants to hear it.
pub(super) fn ask_for_example(setter: &ParamSetter, preset: &EnumParam<Preset>) {
    if !preset.value().is_example() {
        set(setter, preset, Preset::default());
    }
}

/// A button by which `slot` asks for the last seconds of `source`, from the moment that it is pressed.
fn taking(ui: &mut Ui, slot: &Slot, source: Source, (label, width): (&str, f32), listens: bool) -> Response {
    let button = Button::new(RichText::new(label).size(11.0)).min_size(vec2(width, BUTTON_HEIGHT));
    let response = ui.add_enabled(listens, button);
    if press(&response).begins {
        let board = slot.example.board();
        board.clear_refusal();
        slot.wish(ui, board.number(), board.num_loads(), slot.preset.value());
        board.want(source);
    }
    response.on_disabled_hover_text("The model that listens does not run yet.")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use egui::{PointerButton, pos2};
    use underscore_engine::{Embedding, QueryBoard};

    use super::super::test_user::TestUser;
    use super::*;
    use crate::query::SavedQuery;

    /// Pictures of a user in a second.
    const PICTURES_PER_S: usize = 30;

    /// A slot that asks for drums, and what is done to it.
    struct Bench {
        user: TestUser,
        preset: EnumParam<Preset>,
        example: SavedQuery,
        is_loading: bool,
    }

    impl Default for Bench {
        fn default() -> Self {
            Self {
                user: TestUser::default(),
                preset: EnumParam::new("Query A", Preset::of("drums").expect("a class")),
                example: SavedQuery::of(&Arc::default(), 0),
                is_loading: false,
            }
        }
    }

    impl Bench {
        fn board(&self) -> &QueryBoard {
            self.example.board()
        }

        /// So many seconds of pictures, before each of which `draw` is done.
        fn lasts(&mut self, seconds: f64, mut draw: impl FnMut(&mut Ui, &ParamSetter, &Slot)) {
            let Self { user, preset, example, is_loading } = self;
            let slot = Slot { name: "A", preset, example };
            for _ in 0..=(seconds * PICTURES_PER_S as f64) as usize {
                user.does(&[], &mut |ui, setter| {
                    draw(ui, setter, &slot);
                    slot.fulfil_wish(ui, setter, *is_loading);
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
            self.user.gestures().iter().any(|gesture| gesture.values == [0.0])
        }
    }

    /// What a user that does this to the button leaves wanted, and whether a host was told of anything.
    fn wanted_after(
        listens: bool,
        what: impl FnOnce(&mut TestUser, &mut dyn FnMut(&mut Ui, &ParamSetter)),
    ) -> (Option<Source>, bool) {
        let mut bench = Bench::default();
        let Bench { user, preset, example, .. } = &mut bench;
        let slot = Slot { name: "A", preset, example };
        what(user, &mut |ui, _| {
            taking(ui, &slot, Source::Sidechain, ("CAPTURE", CAPTURE_WIDTH), listens);
        });
        (example.board().take_wanted(), !user.gestures().is_empty())
    }

    #[test]
    fn an_example_is_wanted_from_the_press_on_and_no_host_records_it() {
        let at = pos2(CAPTURE_WIDTH / 2.0, BUTTON_HEIGHT / 2.0);
        let pressed = |user: &mut TestUser, draw: &mut dyn FnMut(&mut Ui, &ParamSetter)| {
            user.does(&[], draw);
            user.does(&TestUser::press(at, true), draw);
        };
        assert_eq!(wanted_after(true, pressed), (Some(Source::Sidechain), false));
        assert_eq!(wanted_after(true, |user, draw| user.does(&[], draw)), (None, false));
        assert_eq!(wanted_after(false, pressed), (None, false), "nobody listens");
        for button in [PointerButton::Secondary, PointerButton::Middle] {
            let pressed = |user: &mut TestUser, draw: &mut dyn FnMut(&mut Ui, &ParamSetter)| {
                user.does(&[], draw);
                user.does(&TestUser::press_by(button, at, true), draw);
                user.does(&TestUser::press_by(button, at, false), draw);
            };
            assert_eq!(wanted_after(true, pressed), (None, false), "{button:?}");
        }
        let within_a_picture = |user: &mut TestUser, draw: &mut dyn FnMut(&mut Ui, &ParamSetter)| {
            user.does(&[], draw);
            user.does(&[TestUser::press(at, true), TestUser::press(at, false)].concat(), draw);
        };
        assert_eq!(wanted_after(true, within_a_picture), (Some(Source::Sidechain), false));
    }

    #[test]
    fn a_press_is_one_wish_however_long_it_lasts() {
        let mut bench = Bench::default();
        let Bench { user, preset, example, .. } = &mut bench;
        let slot = Slot { name: "A", preset, example };
        let mut num_wanted = 0;
        let draw: &mut dyn FnMut(&mut Ui, &ParamSetter) = &mut |ui, _| {
            taking(ui, &slot, Source::Target, ("REFINE", CAPTURE_WIDTH), true);
            num_wanted += usize::from(slot.example.board().take_wanted() == Some(Source::Target));
        };
        let at = pos2(CAPTURE_WIDTH / 2.0, BUTTON_HEIGHT / 2.0);
        user.does(&[], draw);
        user.does(&TestUser::press(at, true), draw);
        for _ in 0..PICTURES_PER_S {
            user.does(&[], draw);
        }
        user.does(&TestUser::press(at, false), draw);
        user.does(&[], draw);
        assert_eq!(num_wanted, 1);
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
        let mut bench = Bench::default();
        bench.wishes();
        bench.board().want(Source::Sidechain);
        bench.lasts(LONGEST_WISH_S + 0.1, |_, _, _| ());
        assert_eq!(bench.board().refusal().as_deref(), Some(NOBODY_LISTENS));
        assert_eq!(bench.board().take_wanted(), None, "a host that plays on hours later takes none");
        bench.board().clear_refusal();
        bench.lasts(LONGEST_WISH_S + 0.1, |_, _, _| ());
        assert!(!bench.asks_for_example() && bench.board().refusal().is_none());
    }

    #[test]
    fn a_capture_waits_for_as_long_as_the_model_loads_and_is_asked_for_when_it_was_listened_to() {
        let mut bench = Bench { is_loading: true, ..Bench::default() };
        bench.board().load_all(None, vec![Embedding::new(&[1.0]).into()]);
        bench.wishes();
        bench.lasts(3.0 * LONGEST_WISH_S, |_, _, _| ());
        assert_eq!(bench.board().refusal(), None);
        bench.is_loading = false;
        bench.lasts(LONGEST_WISH_S - 1.0, |_, _, _| ());
        assert!(bench.board().refusal().is_none() && !bench.asks_for_example());
        // Another example is there, as when one was listened to.
        bench.board().recall(0);
        bench.lasts(0.1, |_, _, _| ());
        assert!(bench.asks_for_example());
    }

    #[test]
    fn what_a_session_brings_that_is_loaded_meanwhile_is_nobody_s_wish() {
        let mut bench = Bench::default();
        bench.wishes();
        bench.board().load(Some(Embedding::new(&[1.0]).into()));
        bench.lasts(0.1, |_, _, _| ());
        assert!(!bench.asks_for_example());
    }
}
