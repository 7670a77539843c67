//! What may be asked for: the example, or a preset of the catalogue's models; and the example as sessions save it.

use std::sync::{Arc, OnceLock};

use nice_plug::params::persist::PersistentField;
use nice_plug::prelude::*;
use serde::{Deserialize, Serialize};
use underscore_engine::{Catalogue, Embedding, Query, QueryBoard};

/// Id of the choice that asks for nothing in particular, where there are no presets.
const NOTHING_ID: &str = "none";

/// Id of the choice that is no preset.
const EXAMPLE_ID: &str = "example";

/// A choice among the example and the presets of all models that are asked. What is saved is its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preset {
    /// Place in [`Choices`].
    idx: usize,
}

/// The example, then the presets in the order in which the catalogue names them first.
struct Choices {
    ids: Vec<&'static str>,
    names: Vec<&'static str>,
}

impl Choices {
    fn get() -> &'static Self {
        static CHOICES: OnceLock<Choices> = OnceLock::new();
        CHOICES.get_or_init(|| Self::of(Catalogue::shipped()))
    }

    fn of(catalogue: &'static Catalogue) -> Self {
        let mut ids: Vec<&str> = vec![EXAMPLE_ID];
        for preset in catalogue.models().iter().flat_map(|model| &model.presets) {
            if !ids.contains(&preset.id.as_str()) {
                ids.push(&preset.id);
            }
        }
        if ids.len() == 1 {
            // Of a single choice the framework makes a value that is no number.
            ids.push(NOTHING_ID);
        }
        let names = ids.iter().map(|id| &*capitalised(id).leak()).collect();
        Self { ids, names }
    }
}

fn capitalised(id: &str) -> String {
    let mut chars = id.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

impl Preset {
    /// The id in the catalogue.
    #[must_use]
    pub fn id(self) -> &'static str {
        Choices::get().ids[self.idx]
    }

    /// What the model of this id is asked for: the middle of its space where it has no such preset. Real-time safe.
    #[must_use]
    pub fn query(self, model_id: &str) -> Query {
        if self == Self::default() {
            return Query::Example;
        }
        let presets = Catalogue::shipped().find(model_id).map_or(&[][..], |model| &model.presets);
        let found = presets.iter().find(|preset| preset.id == self.id());
        Query::Point(found.map_or_else(Embedding::default, |preset| Embedding::new(&preset.embedding)))
    }
}

/// The example of an instance, saved with its session: nothing of its sound, only where it lies.
#[derive(Debug, Clone, Default)]
pub struct SavedQuery {
    /// Shared with the engines, which write there what they listened to.
    pub board: Arc<QueryBoard>,
}

/// As it is written into a session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedEmbedding {
    /// Empty where there never was an example.
    #[serde(default)]
    embedding: Vec<f32>,
}

impl PersistentField<'_, SavedEmbedding> for SavedQuery {
    fn set(&self, saved: SavedEmbedding) {
        // Without an example, the middle of the space: nothing of what was there before.
        self.board.post(&Embedding::new(&saved.embedding));
    }

    fn map<F, R>(&self, f: F) -> R
    where
        F: Fn(&SavedEmbedding) -> R,
    {
        let embedding = self.board.read().map(|embedding| embedding.values().to_vec()).unwrap_or_default();
        f(&SavedEmbedding { embedding })
    }
}

impl Enum for Preset {
    fn variants() -> &'static [&'static str] {
        &Choices::get().names
    }

    fn ids() -> Option<&'static [&'static str]> {
        Some(&Choices::get().ids)
    }

    fn to_index(self) -> usize {
        self.idx
    }

    fn from_index(index: usize) -> Self {
        if index < Choices::get().ids.len() { Self { idx: index } } else { Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_of_every_model_can_be_chosen_and_lies_where_the_catalogue_says() {
        for model in Catalogue::shipped().models() {
            for preset in &model.presets {
                let place = Preset::ids().expect("ids").iter().position(|id| *id == preset.id).expect("a choice");
                let chosen = Preset::from_index(place);
                assert_eq!(chosen.id(), preset.id);
                assert_eq!(chosen.query(&model.id), Query::Point(Embedding::new(&preset.embedding)), "{}", preset.id);
                assert_eq!(chosen.query("no such model"), Query::Point(Embedding::default()));
            }
        }
    }

    #[test]
    fn the_example_is_the_first_choice_and_there_is_always_another() {
        let empty = Box::leak(Box::new(Catalogue::parse("").expect("an empty catalogue")));
        assert_eq!(Choices::of(empty).ids, [EXAMPLE_ID, NOTHING_ID]);
        assert_eq!(Preset::from_index(99), Preset::default());
        assert_eq!(Preset::default().query("any model"), Query::Example);
    }

    #[test]
    fn an_example_is_saved_and_loaded_again_to_the_bit_and_none_is_none() {
        let saved = |query: &SavedQuery| query.map(|saved| serde_json::to_string(saved).expect("JSON"));
        let load = |json: &str| {
            let query = SavedQuery::default();
            query.set(serde_json::from_str(json).expect("what was saved"));
            query
        };
        let query = SavedQuery::default();
        assert_eq!(load(&saved(&query)).board.read(), Some(Embedding::default()));
        let embedding = Embedding::new(&[0.1, -1.0 / 3.0, 1e-30]);
        query.board.post(&embedding);
        assert_eq!(load(&saved(&query)).board.read(), Some(embedding));
        // Of another size, as another model's would be.
        assert_eq!(load("{\"embedding\":[1.0]}").board.read(), Some(Embedding::new(&[1.0])));
    }
}
