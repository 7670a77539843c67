//! What may be asked for in a slot: its example, or a preset of the catalogue's models; and the examples as sessions save them.

use std::sync::{Arc, OnceLock};

use nice_plug::params::persist::PersistentField;
use serde::{Deserialize, Serialize};
use underscore_engine::{Catalogue, Embedding, KeptExample, ModelSpec, Place, Query, QueryBoard, QueryBoards};

use crate::choices::{Choice, Choices, List};

/// Id of the choice that is the slot's example.
const EXAMPLE_ID: &str = "example";

/// Id of the choice that is a place on the map.
const MAP_ID: &str = "map";

/// Id of the choice that asks for nothing in particular, where there are no presets.
const NOTHING_ID: &str = "none";

/// The example, the map, then the presets of all models that are asked, in the order in which the catalogue names them first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presets;

/// A choice among them.
pub type Preset = Choice<Presets>;

impl List for Presets {
    fn choices() -> &'static Choices {
        static CHOICES: OnceLock<Choices> = OnceLock::new();
        CHOICES.get_or_init(|| choices_of(Catalogue::shipped()))
    }
}

fn choices_of(catalogue: &'static Catalogue) -> Choices {
    let mut ids: Vec<&str> = vec![EXAMPLE_ID];
    if catalogue.models().iter().any(ModelSpec::is_asked) {
        ids.push(MAP_ID);
    }
    for preset in catalogue.models().iter().flat_map(|model| &model.presets) {
        if !ids.contains(&preset.id.as_str()) {
            ids.push(&preset.id);
        }
    }
    Choices::new(ids, &[NOTHING_ID])
}

impl Preset {
    /// What the model of this id is asked for in `slot`, or at this place of its map. Real-time safe.
    #[must_use]
    pub fn query(self, model_id: &str, slot: usize, at: Place) -> Query {
        if self.id() == MAP_ID { Query::Map(at) } else { query_of(Catalogue::shipped(), self.id(), model_id, slot) }
    }

    /// The place on the map, where there is one.
    #[must_use]
    pub fn map() -> Option<Self> {
        Self::of(MAP_ID)
    }
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

/// The name, without what cannot be shown.
#[must_use]
pub fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect()
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

/// As it is written into a session.
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
}

impl PersistentField<'_, SavedExample> for SavedQuery {
    fn set(&self, saved: SavedExample) {
        let example = (!saved.embedding.is_empty()).then(|| KeptExample {
            embedding: Embedding::new(&saved.embedding),
            name: shown(&saved.name),
            // Of another version, perhaps: an example is as good without.
            thumbnail: saved.thumbnail.parse().ok(),
            model_id: shown(&saved.model),
        });
        self.board().load(example);
    }

    fn map<F, R>(&self, f: F) -> R
    where
        F: Fn(&SavedExample) -> R,
    {
        let saved = self.board().kept().map(|example| SavedExample {
            embedding: example.embedding.values().to_vec(),
            name: example.name,
            thumbnail: example.thumbnail.map(|thumbnail| thumbnail.to_string()).unwrap_or_default(),
            model: example.model_id,
        });
        f(&saved.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
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
    fn the_presets_of_all_models_can_be_chosen_once_each_after_the_example() {
        let catalogue = Box::leak(Box::new(Catalogue::parse(CATALOGUE).expect("a catalogue")));
        assert_eq!(choices_of(catalogue).ids(), ["example", "map", "drums", "voice", "bass"]);
        assert_eq!(choices_of(catalogue).names(), ["Example", "Map", "Drums", "Voice", "Bass"]);
        let empty = Box::leak(Box::new(Catalogue::parse("").expect("an empty catalogue")));
        assert_eq!(choices_of(empty).ids(), [EXAMPLE_ID, NOTHING_ID]);
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
        for (id, model_id) in [("voice", "b"), ("drums", "plain"), ("drums", "no such model"), ("none", "a")] {
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
        assert_eq!(loaded(&saved(&query)), Some(KeptExample { name: "low hum".into(), ..example }));
    }

    #[test]
    fn sessions_of_other_versions_and_models_and_from_anywhere_are_loaded_as_far_as_they_make_sense() {
        // Of another size, as another model's would be, and from before there were names.
        assert_eq!(loaded("{\"embedding\":[1.0]}"), Some(Embedding::new(&[1.0]).into()));
        let odd = serde_json::json!({ "embedding": [1.0], "name": "x".repeat(10_000), "thumbnail": "no picture" });
        let found = loaded(&odd.to_string()).expect("an example");
        assert_eq!((found.name.len(), found.thumbnail), (MAX_NAME_CHARS, None));
    }
}
