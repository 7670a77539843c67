//! The map of a model's space: its presets, the examples, and the place that is asked for.

use egui::{Align2, Color32, FontId, Pos2, Rect, Sense, Stroke, StrokeKind, Ui, Vec2, pos2, vec2};
use nice_plug::prelude::*;
use underscore_engine::{KeptExample, Place, QueryMap, Space};

use super::gesture::{Press, arrows, press, set};
use super::held;
use super::query_panel::ask_for_example;
use super::theme;
use crate::query::Preset;
use crate::query_params::QueryParams;

/// Width and height, points.
const SIZE: f32 = 148.0;

/// Of it, what is left free at each side.
const MARGIN: f32 = 14.0;

/// Distance from a place within which its name is always shown, points.
const POINTED_AT: f32 = 6.0;

/// One press of an arrow key, of the map's half width.
const STEP: f32 = 0.02;

/// Radius of an earlier example's ring, points: around what may lie at its place.
const RING: f32 = 5.0;

/// An example that its slot had before, on the map.
struct Earlier {
    slot_idx: usize,
    /// Among the earlier ones of its slot.
    idx: usize,
    at: Pos2,
    name: String,
}

/// Draws the map of the model of this id. Who drags on it hears what lies there: the slot that is nearer then asks for the place. Who clicks on an
/// earlier example has its slot ask for that again. `is_followed`: slot A asks for what the sidechain plays.
pub fn draw(
    ui: &mut Ui,
    setter: &ParamSetter,
    params: &QueryParams,
    (model_id, map): (&str, &QueryMap),
    is_followed: bool,
) {
    let (rect, response) = ui.allocate_exact_size(vec2(SIZE, SIZE), Sense::click_and_drag());
    ui.painter().rect_filled(rect, 4, theme::GROOVE);
    ui.painter().rect_stroke(rect, 4, Stroke::new(1.0, theme::LINE), StrokeKind::Inside);
    let slots = params.slots();
    // Of another model's examples this map does not know where they lie.
    let own = Space::of(model_id);
    let has_place = |kept: &KeptExample| Space::of(&kept.model_id).may_be(own);
    let kept = slots.map(|slot| {
        let kept = slot.example.board().kept().filter(has_place)?;
        Some((map.place(&kept.embedding), format!("{} {}", slot.name, kept.name)))
    });
    let mut earlier = Vec::new();
    for (slot_idx, slot) in slots.iter().enumerate() {
        for (idx, kept) in slot.example.board().earlier().into_iter().enumerate().filter(|(_, kept)| has_place(kept)) {
            let at = at(rect, map.place(&kept.embedding));
            earlier.push(Earlier { slot_idx, idx, at, name: format!("{} before: {}", slot.name, kept.name) });
        }
    }
    // Of what lies together the pointer is on the nearest.
    let examples = kept.iter().flatten().map(|(place, name)| (*place, name.trim_end(), 3.5, theme::MUSIC));
    let presets = map.named().map(|(place, name)| (place, name, 2.5, theme::DIM));
    let dots: Vec<_> =
        examples.chain(presets).map(|(place, name, radius, colour)| (at(rect, place), name, radius, colour)).collect();
    let centres = earlier.iter().map(|earlier| earlier.at).chain(dots.iter().map(|dot| dot.0));
    let pointed_at = response.hover_pos().and_then(|pointer| {
        let nearest = centres.min_by(|a, b| pointer.distance(*a).total_cmp(&pointer.distance(*b)));
        nearest.filter(|centre| pointer.distance(*centre) < POINTED_AT)
    });
    let mut taken = Vec::new();
    for (centre, name, radius, colour) in dots {
        ui.painter().circle_filled(centre, radius, colour);
        label(ui, rect, centre, name, colour, pointed_at == Some(centre), &mut taken);
    }
    for Earlier { at, name, .. } in &earlier {
        ui.painter().circle_stroke(*at, RING, Stroke::new(1.0, theme::MUSIC));
        if pointed_at == Some(*at) {
            label(ui, rect, *at, name.trim_end_matches([' ', ':']), theme::MUSIC, true, &mut taken);
        }
    }
    let here = at(rect, [params.map_x.value(), params.map_y.value()]);
    if is_query_model(params, is_followed) {
        ui.painter().circle_stroke(here, 6.0, Stroke::new(1.5, theme::TEXT));
    }
    if !recall(&response, setter, params, &earlier) {
        drag(&response, rect, setter, params);
    }
    step(ui, &response, setter, params);
    if response.has_focus() {
        ui.painter().rect_stroke(rect, 4, theme::FOCUS, StrokeKind::Outside);
    }
    response.on_hover_text(
        "The model's presets (dots), your examples (A, B) and those before them (rings: click one to ask for it again). Drag, or use the arrow keys, \
         to hear what lies between them.",
    );
}

/// Has the slot of an earlier example that is clicked ask for it. Returns whether the pointer is on one that it has pressed, and has not moved yet, or
/// has clicked.
fn recall(response: &egui::Response, setter: &ParamSetter, params: &QueryParams, earlier: &[Earlier]) -> bool {
    let under = |pointer: Pos2| {
        let nearest = earlier.iter().min_by(|a, b| pointer.distance(a.at).total_cmp(&pointer.distance(b.at)));
        nearest.filter(|nearest| pointer.distance(nearest.at) < POINTED_AT)
    };
    let pointer = response.interact_pointer_pos();
    // A tap may be over within one picture.
    let clicked = pointer.filter(|_| response.clicked()).and_then(under);
    if let Some(Earlier { slot_idx, idx, .. }) = clicked {
        let slot = params.slots()[*slot_idx];
        slot.example.board().recall(*idx);
        ask_for_example(setter, slot.preset);
    }
    // Whether it was pressed on one, while the button is down.
    let place_of_press = response.id.with("pressed");
    let before: Option<bool> = response.ctx.data(|data| data.get_temp(place_of_press)).flatten();
    let is_on_one = before.unwrap_or_else(|| pointer.and_then(under).is_some()) && !response.dragged();
    let press = response.is_pointer_button_down_on().then_some(is_on_one);
    response.ctx.data_mut(|data| data.insert_temp(place_of_press, press));
    press == Some(true) || clicked.is_some()
}

fn is_query_model(params: &QueryParams, is_followed: bool) -> bool {
    params.slots().iter().skip(usize::from(is_followed)).any(|slot| Some(slot.preset.value()) == Preset::map())
}

fn drag(response: &egui::Response, rect: Rect, setter: &ParamSetter, params: &QueryParams) {
    let coordinates = [&params.map_x, &params.map_y];
    let Press { begins, lasts, ends } = press(response);
    // A key that would press a button points at no place.
    let pointer = response.interact_pointer_pos().filter(|_| lasts);
    if begins && pointer.is_some() {
        ask_for_place(setter, params);
        for param in coordinates {
            held::begin(&response.ctx, setter, param);
        }
    }
    for (idx, param) in coordinates.into_iter().enumerate() {
        if held::is_held(&response.ctx, param)
            && let Some(pointer) = pointer
        {
            setter.set_parameter(param, place(rect, pointer)[idx]);
        }
        if ends {
            held::end(&response.ctx, setter, param);
        }
    }
}

/// Moves the place by the arrow keys.
fn step(ui: &Ui, response: &egui::Response, setter: &ParamSetter, params: &QueryParams) {
    let notches = arrows(ui, response);
    if notches == Vec2::ZERO {
        return;
    }
    ask_for_place(setter, params);
    for (param, notches) in
        [(&params.map_x, notches.x), (&params.map_y, notches.y)].into_iter().filter(|(_, notches)| *notches != 0.0)
    {
        set(setter, param, (param.unmodulated_plain_value() + STEP * notches).clamp(-1.0, 1.0));
    }
}

/// Has the slot that is nearer ask for the place on the map.
fn ask_for_place(setter: &ParamSetter, params: &QueryParams) {
    let preset = params.slots()[params.nearer_slot()].preset;
    if let Some(map) = Preset::map().filter(|map| preset.value() != *map) {
        set(setter, preset, map);
    }
}

/// Writes the name above its place, within the map, unless that would cover another one; always where the pointer is.
fn label(ui: &Ui, map: Rect, at: Pos2, name: &str, colour: Color32, is_pointed_at: bool, taken: &mut Vec<Rect>) {
    let text = ui.painter().layout_no_wrap(name.to_owned(), FontId::proportional(9.0), colour);
    let place = Align2::CENTER_BOTTOM.anchor_size(at + vec2(0.0, -3.0), text.size());
    let inside = (map.left() + 2.0 - place.left()).max(0.0) + (map.right() - 2.0 - place.right()).min(0.0);
    let place = place.translate(vec2(inside, 0.0));
    if is_pointed_at {
        ui.painter().rect_filled(place, 2, theme::GROOVE);
    } else if taken.iter().any(|other| other.intersects(place)) {
        return;
    }
    ui.painter().galley(place.min, text, colour);
    taken.push(place);
}

/// Where a place of the map is drawn.
fn at(rect: Rect, place: Place) -> Pos2 {
    let half = rect.width() / 2.0 - MARGIN;
    let [x, y] = place.map(|value| value * half);
    pos2(rect.center().x + x, rect.center().y - y)
}

/// The place of the map that is drawn there.
fn place(rect: Rect, at: Pos2) -> Place {
    let half = rect.width() / 2.0 - MARGIN;
    [(at.x - rect.center().x) / half, (rect.center().y - at.y) / half].map(|value| value.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use underscore_engine::{Embedding, Projection};

    use super::super::test_user::TestUser;
    use super::*;

    #[test]
    fn what_is_drawn_at_a_place_is_found_there() {
        let rect = Rect::from_min_size(pos2(10.0, 30.0), vec2(SIZE, SIZE));
        for asked in [[0.0, 0.0], [1.0, -1.0], [-0.4, 0.9]] {
            let found = place(rect, at(rect, asked));
            assert!(asked.iter().zip(found).all(|(a, b)| (a - b).abs() < 1e-5), "{asked:?}: {found:?}");
        }
        assert!(at(rect, [0.0, 1.0]).y < at(rect, [0.0, 0.0]).y, "up is up");
    }

    #[test]
    fn a_drag_that_the_window_did_not_outlive_ends_in_the_next() {
        let map = QueryMap::new(&Projection { origin: vec![0.0], axes: [vec![1.0], vec![0.0]] }, &[]);
        let params = QueryParams::default();
        let mut user = TestUser::default();
        let mut picture = |ui: &mut Ui, setter: &ParamSetter| draw(ui, setter, &params, ("query-1", &map), false);
        user.does(&[], &mut picture);
        user.does(&TestUser::press(pos2(60.0, 60.0), true), &mut picture);
        user.does(&[egui::Event::PointerMoved(pos2(70.0, 60.0))], &mut picture);
        user.close();
        user.does(&[], &mut picture);
        // What is asked for, and both coordinates.
        assert_eq!(user.gestures().len(), 3);
    }

    #[test]
    fn other_buttons_of_the_mouse_and_keys_that_press_buttons_ask_for_no_place() {
        let map = QueryMap::new(&Projection { origin: vec![0.0], axes: [vec![1.0], vec![0.0]] }, &[]);
        let params = QueryParams::default();
        let mut user = TestUser::default();
        let mut picture = |ui: &mut Ui, setter: &ParamSetter| draw(ui, setter, &params, ("query-1", &map), false);
        user.does(&[], &mut picture);
        for button in [egui::PointerButton::Secondary, egui::PointerButton::Middle] {
            user.does(&TestUser::press_by(button, pos2(60.0, 60.0), true), &mut picture);
            user.does(&[egui::Event::PointerMoved(pos2(90.0, 60.0))], &mut picture);
            user.does(&TestUser::press_by(button, pos2(90.0, 60.0), false), &mut picture);
        }
        user.does(&TestUser::key(egui::Key::Tab), &mut picture);
        user.does(&[], &mut picture);
        for key in [egui::Key::Space, egui::Key::Enter] {
            user.does(&TestUser::key(key), &mut picture);
            user.does(&[], &mut picture);
        }
        assert!(user.gestures().is_empty(), "{:?}", user.gestures());
        user.does(&TestUser::key(egui::Key::ArrowUp), &mut picture);
        assert!(!user.gestures().is_empty(), "it had the focus");
    }

    #[test]
    fn the_place_is_asked_for_by_a_slot_that_decides() {
        let on_map = |slot: &str| {
            let map = EnumParam::new("Query", Preset::map().unwrap());
            match slot {
                "A" => QueryParams { preset_a: map, ..QueryParams::default() },
                _ => QueryParams { preset_b: map, ..QueryParams::default() },
            }
        };
        let asked = ["A", "B"].map(|slot| [false, true].map(|is_followed| is_query_model(&on_map(slot), is_followed)));
        assert_eq!(asked, [[true, false], [true, true]], "over A the sidechain decides");
    }

    #[test]
    fn arrow_keys_move_the_place_while_the_map_has_the_focus() {
        let map = QueryMap::new(&Projection { origin: vec![0.0], axes: [vec![1.0], vec![0.0]] }, &[]);
        let params = QueryParams::default();
        let mut user = TestUser::default();
        let mut picture = |ui: &mut Ui, setter: &ParamSetter| draw(ui, setter, &params, ("query-1", &map), false);
        user.does(&[], &mut picture);
        user.does(&TestUser::key(egui::Key::ArrowUp), &mut picture);
        assert!(user.gestures().is_empty(), "something else may have it");
        user.does(&TestUser::key(egui::Key::Tab), &mut picture);
        user.does(&[], &mut picture);
        user.does(&TestUser::key(egui::Key::ArrowUp), &mut picture);
        let values: Vec<_> = user.gestures().into_iter().map(|gesture| gesture.values).collect();
        let up = params.map_y.preview_normalized(STEP);
        let on_map = params.preset_a.preview_normalized(Preset::map().unwrap());
        assert_eq!(values, [vec![on_map], vec![up]], "the slot asks for the place, which goes up");
    }

    #[test]
    fn a_click_on_an_earlier_example_asks_for_it_again_and_one_beside_it_or_a_drag_for_the_place() {
        let projection = Projection { origin: vec![0.0, 0.0], axes: [vec![1.0, 0.0], vec![0.0, 1.0]] };
        let map = QueryMap::new(&projection, &[]);
        let cases = [
            ("query-1", 0.0, 0.0, true),
            ("query-1", 20.0, 0.0, false),
            ("query-0", 0.0, 0.0, false),
            ("query-1", 0.0, 30.0, false),
        ];
        for (model_id, hand_is_off, dragged, is_recalled) in cases {
            let params = QueryParams {
                preset_b: EnumParam::new("Query B", Preset::of("drums").unwrap()),
                ..QueryParams::default()
            };
            let example = |x: f32| KeptExample { model_id: model_id.into(), ..Embedding::new(&[x, 0.0]).into() };
            params.boards()[1].load_all(Some(example(0.9)), vec![example(-0.9), example(-0.5)]);
            let mut user = TestUser::default();
            let mut rect = Rect::NOTHING;
            let mut picture = |ui: &mut Ui, setter: &ParamSetter| {
                rect = Rect::from_min_size(ui.cursor().min, vec2(SIZE, SIZE));
                draw(ui, setter, &params, ("query-1", &map), false);
            };
            user.does(&[], &mut picture);
            let on_it = at(rect, map.place(&example(-0.5).embedding)) + vec2(0.0, hand_is_off);
            let mut picture = |ui: &mut Ui, setter: &ParamSetter| draw(ui, setter, &params, ("query-1", &map), false);
            if dragged == 0.0 && hand_is_off == 0.0 {
                // Over within a picture.
                user.does(&[TestUser::press(on_it, true), TestUser::press(on_it, false)].concat(), &mut picture);
            } else if dragged == 0.0 {
                user.click(on_it, &mut picture);
            } else {
                user.does(&TestUser::press(on_it, true), &mut picture);
                for step in 1..=4 {
                    let moved = egui::Event::PointerMoved(on_it + vec2(0.0, dragged * step as f32 / 4.0));
                    user.does(&[moved], &mut picture);
                }
                user.does(&TestUser::press(on_it + vec2(0.0, dragged), false), &mut picture);
            }
            user.does(&[], &mut picture);
            let kept = params.boards()[1].kept().map(|kept| kept.embedding.values()[0]);
            assert_eq!(
                kept,
                Some(if is_recalled { -0.5 } else { 0.9 }),
                "{model_id}, {hand_is_off} points off, dragged by {dragged}"
            );
            let asks_for_example = user.gestures().iter().any(|gesture| gesture.values == [0.0]);
            assert_eq!(asks_for_example, is_recalled, "{:?}", user.gestures());
            // The slot that is asked, its preset, and both coordinates.
            let num_gestures = if is_recalled { 1 } else { 3 };
            assert_eq!(user.gestures().len(), num_gestures, "{:?}", user.gestures());
        }
    }
}
