//! What may be asked for in a slot: its example, or a preset of the catalogue's models; and the examples as sessions save them.

use std::sync::{Arc, OnceLock};

use nice_plug::params::persist::PersistentField;
use serde::{Deserialize, Deserializer, Serialize};
use underscore_engine::{
    Catalogue, Embedding, KeptExample, MAX_EARLIER, ModelSpec, Place, Query, QueryBoard, QueryBoards,
};

use crate::choices::{Choice, Choices, List};

/// Id of the choice that is the slot's example.
const EXAMPLE_ID: &str = "example";

/// Id of the choice that is a place on the map.
const MAP_ID: &str = "map";

/// What may be asked for: the example, the map, then the presets of all models that are asked. A host's automation refers to these places:
/// the list only ever grows, at its end, and no id leaves it.
const PLACES: [&str; 20] = [
    EXAMPLE_ID, MAP_ID, "voice", "piano", "organ", "guitar", "bass", "strings", "choir", "brass", "reed", "pipe",
    "lead", "pad", "drums", "ambience", "kick", "snare", "cymbals", "singing",
];

/// Choices in all, with those that are still free. Permanent.
const NUM_PLACES: usize = 64;

/// The list of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presets;

/// A choice among them.
pub type Preset = Choice<Presets>;

impl List for Presets {
    fn choices() -> &'static Choices {
        static CHOICES: OnceLock<Choices> = OnceLock::new();
        CHOICES.get_or_init(|| Choices::with_places(&PLACES, NUM_PLACES))
    }
}

impl Preset {
    /// What the model of this id is asked for in `slot`, or at this place of its map. Real-time safe.
    #[must_use]
    pub fn query(self, model_id: &str, slot: usize, at: Place) -> Query {
        if self.id() == MAP_ID { Query::Map(at) } else { query_of(Catalogue::shipped(), self.id(), model_id, slot) }
    }

    /// Whether it is the slot's example.
    #[must_use]
    pub fn is_example(self) -> bool {
        self.id() == EXAMPLE_ID
    }

    /// Whether the model of this id has it: of a class that a model has no place for it finds nothing in particular.
    #[must_use]
    pub fn is_known_to(self, model_id: &str) -> bool {
        is_known(Catalogue::shipped(), self.id(), model_id)
    }

    /// The place on the map, where there is one.
    #[must_use]
    pub fn map() -> Option<Self> {
        Self::of(MAP_ID)
    }
}

fn is_known(catalogue: &Catalogue, id: &str, model_id: &str) -> bool {
    let has = |model: &ModelSpec| model.presets.iter().any(|preset| preset.id == id);
    [EXAMPLE_ID, MAP_ID].contains(&id) || catalogue.find(model_id).is_some_and(has)
}

/// The example, or where the preset lies in the model's space; its middle where the model has no such preset. As long as there is no
/// example, A is the model's first preset and B its second: they can be heard, and what lies between them, before anything is captured.
fn query_of(catalogue: &Catalogue, id: &str, model_id: &str, slot: usize) -> Query {
    let presets = catalogue.find(model_id).map_or(&[][..], |model| &model.presets);
    let is_example = id == EXAMPLE_ID;
    let found = if is_example { presets.get(slot) } else { presets.iter().find(|preset| preset.id == id) };
    let embedding = found.map_or_else(Embedding::default, |preset| Embedding::new(&preset.embedding));
    if is_example { Query::Example { otherwise: embedding } } else { Query::Point(embedding) }
}

/// Characters that an example's name may have; what a session holds beyond them is left out.
pub const MAX_NAME_CHARS: usize = 24;

/// Characters that a model's id may have; no session has a longer one.
const MAX_ID_CHARS: usize = 80;

/// The name, without what cannot be shown.
#[must_use]
pub fn shown(name: &str) -> String {
    cut(name, MAX_NAME_CHARS)
}

fn cut(text: &str, max_chars: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max_chars).collect()
}

/// The example of one slot, saved with its session: nothing of its sound, only where it lies, what it is called and what it looked like.
#[derive(Debug, Clone)]
pub struct SavedQuery {
    /// Shared with the engines, which write there what they listened to.
    boards: Arc<QueryBoards>,
    slot: usize,
}

impl SavedQuery {
    /// The example of `slot` on `boards`.
    #[must_use]
    pub fn of(boards: &Arc<QueryBoards>, slot: usize) -> Self {
        Self { boards: boards.clone(), slot }
    }

    /// The boards of all slots.
    #[must_use]
    pub fn boards(&self) -> &Arc<QueryBoards> {
        &self.boards
    }

    /// Where it is written.
    #[must_use]
    pub fn board(&self) -> &QueryBoard {
        &self.boards[self.slot]
    }

    /// Calls the example `name`. Not for the audio thread.
    pub fn set_name(&self, name: &str) {
        self.board().rename(&shown(name));
    }
}

/// An example as sessions save it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedExample {
    /// Empty where there never was an example.
    #[serde(default)]
    embedding: Vec<f32>,
    /// Empty where it was given none.
    #[serde(default)]
    name: String,
    /// As text; empty where there is none.
    #[serde(default)]
    thumbnail: String,
    /// Id of the model in whose space it lies; empty in sessions from before it was saved.
    #[serde(default)]
    model: String,
    /// Those that were the slot's example before, the newest first; they have none of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "readable")]
    earlier: Vec<SavedExample>,
}

/// Those that can be read: of another version's the rest is no worse.
fn readable<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SavedExample>, D::Error> {
    let found = serde_json::Value::deserialize(from)?;
    let listed = found.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(listed.iter().filter_map(|example| serde_json::from_value(example.clone()).ok()).collect())
}

impl SavedExample {
    /// What it says, as far as it makes sense.
    fn example(&self) -> Option<KeptExample> {
        (!self.embedding.is_empty()).then(|| KeptExample {
            embedding: Embedding::new(&self.embedding),
            name: shown(&self.name),
            // Of another version, perhaps: an example is as good without.
            thumbnail: self.thumbnail.parse().ok(),
            model_id: cut(&self.model, MAX_ID_CHARS),
        })
    }
}

impl From<KeptExample> for SavedExample {
    fn from(example: KeptExample) -> Self {
        Self {
            embedding: example.embedding.values().to_vec(),
            name: example.name,
            thumbnail: example.thumbnail.map(|thumbnail| thumbnail.to_string()).unwrap_or_default(),
            model: example.model_id,
            earlier: Vec::new(),
        }
    }
}

impl PersistentField<'_, SavedExample> for SavedQuery {
    fn set(&self, saved: SavedExample) {
        let earlier = saved.earlier.iter().take(MAX_EARLIER).filter_map(SavedExample::example).collect();
        self.board().load_all(saved.example(), earlier);
    }

    fn map<F, R>(&self, f: F) -> R
    where
        F: Fn(&SavedExample) -> R,
    {
        let (kept, earlier) = self.board().all();
        let saved = kept.map(SavedExample::from).unwrap_or_default();
        f(&SavedExample { earlier: earlier.into_iter().map(SavedExample::from).collect(), ..saved })
    }
}

#[cfg(test)]
mod tests {
    use nice_plug::prelude::*;
    use underscore_engine::Thumbnail;

    use super::*;

    macro_rules! model {
        ($id:literal, $more:literal) => {
            concat!(
                "[[model]]\nid = \"", $id, "\"\nname = \"\"\nfile = \"\"\nsha256 = \"\"\nlicence = \"\"\nsample_rate_hz = 16000\n",
                "window_s = 0.064\nhop_s = 0.016\nsynthesis_s = 0.064\nnum_bins = 513\nframes_per_call = 4\nlook_ahead_frames = 0\n",
                "look_back_frames = 0\nstems = [\"target\", \"residual\"]\nresidual = \"residual\"\n", $more, "\n"
            )
        };
    }

    /// Two models that are asked and one that is not.
    const CATALOGUE: &str = concat!(
        model!(
            "a",
            "embedding_size = 2\nquery_frames = 9\nmap = { origin = [0.0, 0.0], axes = [[1.0, 0.0], [0.0, 1.0]] }"
        ),
        "[[model.preset]]\nid = \"drums\"\nembedding = [0.5, -1.0]\n[[model.preset]]\nid = \"voice\"\nembedding = [1.0, 0.0]\n",
        model!("plain", ""),
        model!("b", "embedding_size = 1\nquery_frames = 9\nmap = { origin = [0.0], axes = [[1.0], [0.0]] }"),
        "[[model.preset]]\nid = \"bass\"\nembedding = [2.0]\n[[model.preset]]\nid = \"drums\"\nembedding = [3.0]\n",
    );

    #[test]
    fn every_preset_of_the_shipped_models_can_be_chosen() {
        for model in Catalogue::shipped().models() {
            for preset in &model.presets {
                assert!(Preset::of(&preset.id).is_some(), "{}: add '{}' at the end of PLACES", model.id, preset.id);
            }
        }
        assert!(PLACES.iter().enumerate().all(|(place, id)| !PLACES[..place].contains(id)), "each is there once");
    }

    #[test]
    fn a_host_s_automation_finds_every_choice_where_it_has_always_been() {
        let param = EnumParam::new("Query A", Preset::default());
        for (id, place) in
            [("example", 0_u8), ("map", 1), ("voice", 2), ("drums", 14), ("cymbals", 18), ("singing", 19)]
        {
            let preset = Preset::of(id).expect("a choice");
            assert_eq!(preset.to_index(), usize::from(place), "{id}");
            assert!((param.preview_normalized(preset) - f32::from(place) / 63.0).abs() < 1e-6, "{id}");
        }
        assert_eq!(Preset::taken().count(), PLACES.len(), "no free place is offered");
    }

    #[test]
    fn a_preset_is_known_to_the_models_that_have_it_and_the_example_and_the_map_to_all() {
        let catalogue = Catalogue::parse(CATALOGUE).expect("a catalogue");
        let known = |id| ["a", "b"].map(|model_id| is_known(&catalogue, id, model_id));
        assert_eq!((known("voice"), known("bass"), known("drums")), ([true, false], [false, true], [true, true]));
        assert_eq!((known(EXAMPLE_ID), known(MAP_ID), known("free-21")), ([true, true], [true, true], [false, false]));
    }

    #[test]
    fn a_preset_lies_where_its_model_says_and_in_the_middle_where_it_says_nothing() {
        let catalogue = Catalogue::parse(CATALOGUE).expect("a catalogue");
        let point = |id, model_id| match query_of(&catalogue, id, model_id, 0) {
            Query::Point(embedding) => embedding,
            query => panic!("{id} is {query:?}"),
        };
        assert_eq!(point("drums", "a"), Embedding::new(&[0.5, -1.0]));
        assert_eq!(point("drums", "b"), Embedding::new(&[3.0]));
        for (id, model_id) in [("voice", "b"), ("drums", "plain"), ("drums", "no such model"), ("free-21", "a")] {
            assert_eq!(point(id, model_id), Embedding::default(), "{id} of {model_id}");
        }
        for (model_id, slot, otherwise) in
            [("a", 0, &[0.5, -1.0][..]), ("a", 1, &[1.0, 0.0]), ("b", 1, &[3.0]), ("plain", 0, &[])]
        {
            let expected = Query::Example { otherwise: Embedding::new(otherwise) };
            assert_eq!(query_of(&catalogue, EXAMPLE_ID, model_id, slot), expected, "slot {slot} of {model_id}");
        }
    }

    fn saved(query: &SavedQuery) -> String {
        query.map(|saved| serde_json::to_string(saved).expect("JSON"))
    }

    /// What a slot that held something else has of a session.
    fn loaded(json: &str) -> Option<KeptExample> {
        let query = SavedQuery::of(&Arc::default(), 1);
        query.board().load(Some(KeptExample { name: "before".into(), ..Embedding::new(&[7.0]).into() }));
        query.set(serde_json::from_str(json).expect("what was saved"));
        query.board().kept()
    }

    #[test]
    fn an_example_is_saved_and_loaded_again_to_the_bit_and_none_is_none() {
        let query = SavedQuery::of(&Arc::default(), 0);
        assert_eq!(loaded(&saved(&query)), None, "nothing of what was there before");
        let thumbnail = Thumbnail::of(&[0.5; 64 * 20], 64, 250.0);
        let example = KeptExample {
            embedding: Embedding::new(&[0.1, -1.0 / 3.0, 1e-30]),
            name: "hum".into(),
            thumbnail: Some(thumbnail),
            model_id: "query-7".into(),
        };
        query.board().load(Some(example.clone()));
        query.set_name("low\n hum");
        assert_eq!(loaded(&saved(&query)), Some(KeptExample { name: "low hum".into(), ..example.clone() }));
        // Those of before, too.
        query.board().load_all(Some(example.clone()), vec![Embedding::new(&[2.0]).into(), example.clone()]);
        let other = SavedQuery::of(&Arc::default(), 1);
        other.set(serde_json::from_str(&saved(&query)).expect("what was saved"));
        assert_eq!((other.board().kept(), other.board().earlier()), (Some(example), query.board().earlier()));
    }

    #[test]
    fn sessions_of_other_versions_and_models_and_from_anywhere_are_loaded_as_far_as_they_make_sense() {
        // Of another size, as another model's would be, and from before there were names.
        assert_eq!(loaded("{\"embedding\":[1.0]}"), Some(Embedding::new(&[1.0]).into()));
        let odd = serde_json::json!({
            "embedding": [1.0], "name": "x".repeat(10_000), "thumbnail": "no picture", "earlier": [null, { "embedding": [2.0] }, 7],
        });
        let found = loaded(&odd.to_string()).expect("an example");
        assert_eq!((found.name.len(), found.thumbnail), (MAX_NAME_CHARS, None));
    }
}
