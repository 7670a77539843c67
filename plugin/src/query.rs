//! What may be asked for without an example: the presets of the catalogue's models. Nothing else here knows one by its id.

use std::sync::OnceLock;

use nice_plug::prelude::*;
use underscore_engine::{Catalogue, Embedding};

/// A choice among the presets of all models that are asked. What is saved is its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preset {
    /// Place in [`Choices`].
    idx: usize,
}

/// `[preset]`, in the order in which the catalogue names them first.
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
        let mut ids: Vec<&str> = Vec::new();
        for preset in catalogue.models().iter().flat_map(|model| &model.presets) {
            if !ids.contains(&preset.id.as_str()) {
                ids.push(&preset.id);
            }
        }
        if ids.is_empty() {
            // A param must have a value.
            ids.push("none");
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

    /// Where it lies in the space of the model of this id: its middle for a model that has no such preset. Real-time safe.
    #[must_use]
    pub fn embedding(self, model_id: &str) -> Embedding {
        let presets = Catalogue::shipped().find(model_id).map_or(&[][..], |model| &model.presets);
        let found = presets.iter().find(|preset| preset.id == self.id());
        found.map_or_else(Embedding::default, |preset| Embedding::new(&preset.embedding))
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
                assert_eq!(chosen.embedding(&model.id), Embedding::new(&preset.embedding), "{}", preset.id);
                assert_eq!(chosen.embedding("no such model"), Embedding::default());
            }
        }
    }

    #[test]
    fn without_any_preset_there_is_a_choice_that_asks_for_nothing() {
        let empty = Box::leak(Box::new(Catalogue::parse("").expect("an empty catalogue")));
        assert_eq!(Choices::of(empty).ids, ["none"]);
        assert_eq!(Preset::from_index(99), Preset::default());
    }
}
