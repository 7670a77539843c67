//! The params of models that are asked by example, and what they ask.

use std::sync::Arc;

use nice_plug::prelude::*;
use underscore_engine::{
    Catalogue, KeptExample, ModelSpec, NUM_SLOTS, QueryBlend, QueryBoard, QueryBoards, Source, Space,
};

use crate::choices::name_of;
use crate::param_kinds::{self, finite, percentage};
use crate::query::{Preset, SavedQuery};

/// What is asked for.
#[derive(Params)]
pub struct QueryParams {
    /// The example of slot A.
    #[persist = "query"]
    pub saved_a: SavedQuery,
    /// The example of slot B.
    #[persist = "query_b"]
    pub saved_b: SavedQuery,

    /// What slot A asks for: its example, a place on the map, or a class of sounds.
    #[id = "query_preset"]
    pub preset_a: EnumParam<Preset>,
    /// Goes on: the last three seconds of sound in the sidechain are the example of slot A. Switched off again by whoever switched it on.
    #[id = "query_capture"]
    pub capture_a: BoolParam,
    /// What slot B asks for.
    #[id = "query_preset_b"]
    pub preset_b: EnumParam<Preset>,
    /// Like that of slot A.
    #[id = "query_capture_b"]
    pub capture_b: BoolParam,
    /// Between the two, 0..=1 (A..=B).
    #[id = "query_blend"]
    pub blend: FloatParam,
    /// To the right on the map, -1..=1.
    #[id = "query_x"]
    pub map_x: FloatParam,
    /// Up on the map, -1..=1.
    #[id = "query_y"]
    pub map_y: FloatParam,
    /// Goes on: the last three seconds of sound in the target are the example of the slot that is nearer.
    #[id = "query_refine"]
    pub refine: BoolParam,
    /// Slot A asks for what the sidechain plays, listened to anew every second. Nothing of it is kept.
    #[id = "query_follow"]
    pub follow: BoolParam,
    /// Says nothing itself: it moves when an example changes, which the framework cannot tell the host. Hidden it would be one that is only to be
    /// read, whose edits a host may take for none.
    #[id = "query_revision"]
    pub revision: IntParam,
}

impl Default for QueryParams {
    fn default() -> Self {
        let boards = Arc::default();
        let switch = |name| param_kinds::switch(name, false);
        let preset = |name| EnumParam::new(name, Preset::default());
        let coordinate = |name| {
            FloatParam::new(name, 0.0, FloatRange::Linear { min: -1.0, max: 1.0 })
                .with_value_to_string(formatters::v2s_f32_rounded(2))
                .with_string_to_value(Arc::new(finite))
        };
        Self {
            saved_a: SavedQuery::of(&boards, 0),
            saved_b: SavedQuery::of(&boards, 1),
            preset_a: preset("Query A"),
            capture_a: switch("Capture A"),
            preset_b: preset("Query B"),
            capture_b: switch("Capture B"),
            blend: percentage("Query A/B", 0.0, 1.0),
            map_x: coordinate("Map X"),
            map_y: coordinate("Map Y"),
            refine: switch("Refine Query"),
            follow: switch("Follow Sidechain"),
            revision: IntParam::new("Examples Changed", 0, IntRange::Linear { min: 0, max: 1 }).non_automatable(),
        }
    }
}

/// One of the two that may be asked for.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    /// Name of the slot.
    pub name: &'static str,
    /// What it asks for.
    pub preset: &'a EnumParam<Preset>,
    /// Its example, asked for or not.
    pub example: &'a SavedQuery,
}

impl QueryParams {
    /// Both, A first.
    #[must_use]
    pub fn slots(&self) -> [Slot<'_>; NUM_SLOTS] {
        [
            Slot { name: "A", preset: &self.preset_a, example: &self.saved_a },
            Slot { name: "B", preset: &self.preset_b, example: &self.saved_b },
        ]
    }

    /// Where engines write the examples that they have listened to, by slot.
    #[must_use]
    pub fn boards(&self) -> &Arc<QueryBoards> {
        self.saved_a.boards()
    }

    /// What the model of this id is asked for. Real-time safe.
    #[must_use]
    pub fn query_blend(&self, model_id: &str) -> QueryBlend {
        let at = [self.map_x.value(), self.map_y.value()];
        let slots = [self.preset_a.value().query(model_id, 0, at), self.preset_b.value().query(model_id, 1, at)];
        QueryBlend { slots, blend: self.blend.value() }
    }

    /// What whoever asks must know: that there is no example yet, and which preset of `model_id` stands for it; that another
    /// model listened to it, in whose space what it says means something else; that the model has no such class; that nothing was heard yet
    /// of a sidechain that is followed; or that nothing else decides once something was. Not for the audio thread.
    #[must_use]
    pub fn notice(&self, model_id: &str, has_followed: bool) -> Option<String> {
        let model = Catalogue::shipped().find(model_id).filter(|model| model.is_query_model())?;
        let asked = match self.blend.value() {
            blend if blend <= 0.0 => 0..1,
            blend if blend >= 1.0 => 1..2,
            _ => 0..2,
        };
        let told = asked.clone().find_map(|slot| {
            // While the sidechain is followed slot A asks for what that says.
            let is_following = slot == 0 && self.follow.value();
            match self.notice_of_slot(model, slot) {
                _ if is_following && has_followed => None,
                None if !is_following => None,
                // What it asks for meanwhile is as good as what it asks for without.
                None => Some(
                    "FOLLOW has heard nothing in the sidechain yet: till then A asks for what it is set to.".into(),
                ),
                told => told,
            }
        });
        told.or_else(|| self.notice_of_both().filter(|_| asked.len() == NUM_SLOTS)).or_else(|| {
            (asked.contains(&0) && self.is_followed(has_followed))
                .then(|| "FOLLOW is on: A asks for what the sidechain plays, not for what it is set to.".into())
        })
    }

    /// Whether slot A asks for what the sidechain plays, and not for what it is set to; `has_followed`: something was heard there.
    #[must_use]
    pub fn is_followed(&self, has_followed: bool) -> bool {
        self.follow.value() && has_followed
    }

    /// Where there is no way from A to B.
    fn notice_of_both(&self) -> Option<String> {
        let (a, b) = (self.preset_a.value(), self.preset_b.value());
        let is_same = a == b && !a.is_example() && !self.follow.value();
        let what = if Some(a) == Preset::map() { "the place on the map".into() } else { name_of(a.id()) };
        is_same.then(|| {
            format!("A and B both ask for {what}: nothing lies between them. Choose something else for one of them.")
        })
    }

    fn notice_of_slot(&self, model: &ModelSpec, slot_idx: usize) -> Option<String> {
        let Slot { name, preset, example } = self.slots()[slot_idx];
        let preset = preset.value();
        let is_foreign = |kept: &KeptExample| !Space::of(&kept.model_id).may_be(Space::of(&model.id));
        let foreign = |(kept, name): (KeptExample, &str)| {
            is_foreign(&kept).then(|| {
                let (whose, model) = (name_of(&kept.model_id), name_of(&model.id));
                let is_on_map = Some(preset) == Preset::map();
                let meanwhile = if is_on_map { "It has no place on the map" } else { "Till then nothing is separated" };
                format!(
                    "The example of {name} was listened to by {whose}, and says nothing to {model}: capture it anew, or open its file again. \
                     {meanwhile}."
                )
            })
        };
        if !preset.is_known_to(&model.id) {
            let (asked, model) = (name_of(preset.id()), name_of(&model.id));
            return Some(format!(
                "{name} asks for {asked}, which {model} does not know: it finds nothing in particular. Choose another."
            ));
        }
        if Some(preset) == Preset::map() {
            // Examples are places on it.
            return self
                .slots()
                .iter()
                .filter_map(|slot| Some((slot.example.board().kept()?, slot.name)))
                .find_map(foreign);
        }
        if !preset.is_example() {
            return None;
        }
        let Some(kept) = example.board().kept() else {
            let otherwise = name_of(&model.presets.get(slot_idx)?.id);
            return Some(format!(
                "{name} has no example yet and asks for {otherwise}. Capture one from the sidechain, or open a file."
            ));
        };
        foreign((kept, name))
    }

    /// Why examples could not be used, by slot. Not for the audio thread.
    #[must_use]
    pub fn refusals(&self) -> Option<String> {
        let of_slot = |slot: &Slot<'_>| slot.example.board().refusal().map(|why| format!("{}: {why}", slot.name));
        let told: Vec<String> = self.slots().iter().filter_map(of_slot).collect();
        (!told.is_empty()).then(|| told.join(" "))
    }

    /// What whoever has opened a file must know as long as no engine that listens is there to hear it. Not for the audio thread.
    #[must_use]
    pub fn offer_notice(&self, is_listening: bool) -> Option<String> {
        let waits = !is_listening && self.boards().iter().any(QueryBoard::has_offer);
        waits.then(|| "The file is listened to as soon as the host runs the plugin, with a model that is asked.".into())
    }

    /// The slot that what is asked for is nearer to.
    #[must_use]
    pub fn nearer_slot(&self) -> usize {
        usize::from(self.blend.value() > 0.5)
    }
}

/// The switches as they were in the block before: an example is taken when one goes on.
#[derive(Debug, Clone, Copy)]
pub struct Switches {
    /// `[slot]`
    pub capture: [bool; NUM_SLOTS],
    /// See [`QueryParams::refine`].
    pub refine: bool,
    /// `[slot]` Sessions that were loaded till then.
    num_loads: [u64; NUM_SLOTS],
}

impl Switches {
    /// Switches as they are now.
    #[must_use]
    pub fn of(params: &QueryParams) -> Self {
        Self {
            capture: [params.capture_a.value(), params.capture_b.value()],
            refine: params.refine.value(),
            num_loads: params.boards().each_ref().map(QueryBoard::num_loads),
        }
    }

    /// Becomes what they are now; returns by slot what its example is to be taken from, because a switch has gone on or because the window asks for
    /// it. A switch that goes on because a session is loaded in which it was on takes none: it would be taken over the one that is loaded. Real-time
    /// safe.
    #[must_use]
    pub fn update(&mut self, params: &QueryParams) -> [Option<Source>; NUM_SLOTS] {
        let before = std::mem::replace(self, Self::of(params));
        std::array::from_fn(|slot| {
            let wanted = params.boards()[slot].take_wanted();
            let is_refined = self.refine && !before.refine && slot == params.nearer_slot();
            let is_captured = self.capture[slot] && !before.capture[slot];
            let switched = if is_refined { Some(Source::Target) } else { is_captured.then_some(Source::Sidechain) };
            switched.filter(|_| self.num_loads == before.num_loads).or(wanted)
        })
    }
}

#[cfg(test)]
mod tests {
    use underscore_engine::Embedding;

    use super::*;

    #[test]
    fn an_example_of_another_model_is_told_as_one_and_none_at_all_too() {
        let model =
            Catalogue::shipped().models().iter().find(|model| model.is_query_model()).expect("a model that is asked");
        let params = QueryParams::default();
        let notice = || params.notice(&model.id, false);
        assert!(notice().is_some_and(|notice| notice.contains("no example yet")));
        let board = &params.boards()[0];
        let example = KeptExample { model_id: model.id.clone(), ..Embedding::new(&[1.0]).into() };
        board.load(Some(example.clone()));
        assert_eq!(notice(), None);
        board.load(Some(KeptExample { model_id: "query-0".into(), ..example.clone() }));
        let told = notice().expect("a notice");
        println!("{told}");
        assert!(told.contains("Query 0") && told.contains(&name_of(&model.id)));
        let other = Catalogue::shipped()
            .models()
            .iter()
            .find(|model| !model.is_query_model())
            .expect("a model that is not asked");
        assert_eq!(params.notice(&other.id, false), None, "nothing is asked for there");
        board.load(Some(KeptExample { model_id: String::new(), ..example }));
        assert_eq!(notice(), None, "nobody knows whose it is");
    }

    #[test]
    fn a_class_that_the_model_does_not_know_is_told_and_so_is_an_example_of_another_one_on_the_map() {
        let model =
            Catalogue::shipped().models().iter().find(|model| model.is_query_model()).expect("a model that is asked");
        let ask_for = |id: &str| {
            let preset = Preset::of(id).or_else(Preset::map).expect("a choice");
            QueryParams { preset_a: EnumParam::new("Query A", preset), ..QueryParams::default() }
        };
        let free = Preset::from_index(Preset::variants().len() - 1);
        let strange = QueryParams { preset_a: EnumParam::new("Query A", free), ..QueryParams::default() };
        assert!(strange.notice(&model.id, false).is_some_and(|told| told.contains(&name_of(free.id()))));
        assert_eq!(ask_for("drums").notice(&model.id, false), None);
        let on_map = ask_for("map");
        assert_eq!(on_map.notice(&model.id, false), None);
        on_map.boards()[1].load(Some(KeptExample { model_id: "query-0".into(), ..Embedding::new(&[1.0]).into() }));
        assert!(on_map.notice(&model.id, false).is_some_and(|told| told.contains("example of B")));
    }

    #[test]
    fn between_two_slots_that_ask_for_the_same_nothing_lies_and_that_is_told_to_whoever_is_on_the_way() {
        let model =
            Catalogue::shipped().models().iter().find(|model| model.is_query_model()).expect("a model that is asked");
        let notice = |a: &str, b: &str, blend: f32| {
            let preset = |id| EnumParam::new("Query", Preset::of(id).expect("a choice"));
            let blend = percentage("Query A/B", blend, 1.0);
            let params = QueryParams { preset_a: preset(a), preset_b: preset(b), blend, ..QueryParams::default() };
            params.notice(&model.id, false)
        };
        assert!(notice("map", "map", 0.5).is_some_and(|told| told.contains("the map")));
        assert!(notice("drums", "drums", 0.5).is_some_and(|told| told.contains("Drums")));
        assert_eq!(notice("map", "map", 0.0), None, "at either end it is what is meant");
        assert_eq!(notice("map", "drums", 0.5), None);
    }

    #[test]
    fn who_follows_a_silent_sidechain_is_told_what_is_asked_for_instead() {
        let model =
            Catalogue::shipped().models().iter().find(|model| model.is_query_model()).expect("a model that is asked");
        let voice = Preset::of("voice").expect("a choice");
        let params = QueryParams {
            preset_a: EnumParam::new("Query A", voice),
            follow: BoolParam::new("Follow Sidechain", true),
            ..QueryParams::default()
        };
        assert!(params.notice(&model.id, false).is_some_and(|told| told.contains("heard nothing")));
        assert!(!params.is_followed(false) && params.is_followed(true));
    }

    #[test]
    fn who_sets_a_slot_over_which_the_sidechain_decides_is_told_so() {
        let model =
            Catalogue::shipped().models().iter().find(|model| model.is_query_model()).expect("a model that is asked");
        let notice = |blend: f32, b: &str| {
            let params = QueryParams {
                preset_b: EnumParam::new("Query B", Preset::of(b).expect("a choice")),
                blend: percentage("Query A/B", blend, 1.0),
                follow: BoolParam::new("Follow Sidechain", true),
                ..QueryParams::default()
            };
            params.notice(&model.id, true)
        };
        assert!(notice(0.0, "drums").is_some_and(|told| told.contains("FOLLOW is on")));
        assert!(notice(0.5, "drums").is_some_and(|told| told.contains("FOLLOW is on")));
        assert!(
            notice(0.5, "example").is_some_and(|told| told.contains("B has no example")),
            "what is wrong comes first"
        );
        assert_eq!(notice(1.0, "drums"), None, "A is not asked");
    }

    #[test]
    fn an_example_is_taken_once_when_a_switch_goes_on_or_the_window_asks_for_it() {
        let with = |capture_b: bool, refine: bool, blend: f32| QueryParams {
            capture_b: BoolParam::new("Capture B", capture_b),
            refine: BoolParam::new("Refine Query", refine),
            blend: percentage("Query A/B", blend, 1.0),
            ..QueryParams::default()
        };
        let off = with(false, false, 0.0);
        let mut switches = Switches::of(&off);
        assert_eq!(switches.update(&off), [None; 2]);
        let on = with(true, false, 0.0);
        assert_eq!(switches.update(&on), [None, Some(Source::Sidechain)]);
        assert_eq!(switches.update(&on), [None; 2], "held");
        assert_eq!(switches.update(&with(false, true, 0.9)), [None, Some(Source::Target)], "of the nearer slot");
        off.boards()[0].want(Source::Target);
        off.boards()[1].want(Source::Sidechain);
        assert_eq!(switches.update(&off), [Some(Source::Target), Some(Source::Sidechain)]);
        assert_eq!(switches.update(&off), [None; 2]);
        off.boards()[1].want(Source::Sidechain);
        off.boards()[1].load(None);
        assert_eq!(switches.update(&off), [None; 2], "another session was loaded");
        let saved = with(true, true, 0.9);
        (0..2).for_each(|_| saved.boards()[1].load(None));
        assert_eq!(switches.update(&saved), [None; 2], "in it the switches were on");
        assert_eq!(switches.update(&saved), [None; 2]);
    }

    #[test]
    fn what_was_refused_is_told_of_both_slots() {
        let params = QueryParams::default();
        assert_eq!(params.refusals(), None);
        params.boards()[0].refuse_offer("It is silent.".into());
        params.boards()[1].refuse_offer("It is torn.".into());
        assert_eq!(params.refusals().as_deref(), Some("A: It is silent. B: It is torn."));
    }

    #[test]
    fn a_file_that_nobody_listens_to_is_told_as_long_as_it_waits() {
        let params = QueryParams::default();
        assert_eq!(params.offer_notice(false), None);
        let recording = underscore_engine::Recording::new("hum".into(), vec![vec![0.5; 100]], 48_000.0);
        params.boards()[1].offer(recording);
        assert!(params.offer_notice(false).is_some());
        assert_eq!(params.offer_notice(true), None, "it is about to be heard");
    }
}
