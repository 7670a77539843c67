//! The models that may be chosen: those of the catalogue, the default one first. Nothing else here knows a model by its id.

use std::sync::OnceLock;

use underscore_engine::{Catalogue, ModelSpec, QueryMap, latency};

use crate::choices::{Choice, Choices, List};

/// The models of the catalogue, the default one first, then the others in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Models;

/// A choice among them. The default is the model where none was chosen, or one that is no more.
pub type Model = Choice<Models>;

impl List for Models {
    fn choices() -> &'static Choices {
        static CHOICES: OnceLock<Choices> = OnceLock::new();
        CHOICES.get_or_init(|| choices_of(Catalogue::shipped()))
    }
}

fn choices_of(catalogue: &'static Catalogue) -> Choices {
    let default = catalogue.default_model();
    let others = catalogue.models().iter().filter(|model| Some(*model) != default);
    let ids = default.into_iter().chain(others).map(|model: &ModelSpec| model.id.as_str()).collect();
    // No engine will be found for these, and that will be told.
    Choices::new(ids, &["none", "none-either"])
}

/// The id of the highest number among those of the family of `id`.
fn newest_of_family<'a>(ids: &[&'a str], id: &str) -> Option<&'a str> {
    let of_family = |id: &str| {
        id.rsplit_once('-').and_then(|(family, number)| Some((family.to_owned(), number.parse::<u32>().ok()?)))
    };
    let (family, _) = of_family(id)?;
    let numbered = ids.iter().filter_map(|listed| of_family(listed).map(|(of, number)| (of, number, *listed)));
    numbered.filter(|(of, ..)| *of == family).max_by_key(|(_, number, _)| *number).map(|(.., listed)| listed)
}

impl Model {
    /// The one that does what the model of this id did, where that is no more: the newest of its family (`live-1` and `live-2` are of
    /// one), else the default.
    #[must_use]
    pub fn in_place_of(id: &str) -> Self {
        newest_of_family(Models::choices().ids(), id).and_then(Self::of).unwrap_or_default()
    }

    /// Whether it is asked by example, and its stems are a target and what that leaves.
    #[must_use]
    pub fn is_query_model(self) -> bool {
        Catalogue::shipped().find(self.id()).is_some_and(ModelSpec::is_query_model)
    }

    /// The map of its space, where it is asked by example.
    #[must_use]
    pub fn map(self) -> Option<QueryMap> {
        Catalogue::shipped().find(self.id())?.query_map()
    }

    /// The choices, a line each: how it is shown, what it is, and what its latency is at the host's rate, Hz, and largest block,
    /// samples.
    #[must_use]
    pub fn descriptions(host_rate_hz: f64, max_block_samples: usize) -> Vec<String> {
        let choices = Models::choices();
        let spec_of = |id: &str| Catalogue::shipped().find(id);
        let lines = choices.ids().iter().zip(choices.names()).filter_map(|(id, shown)| {
            let spec = spec_of(id)?;
            let latency_samples = latency(&spec.timing, host_rate_hz, max_block_samples).ok()?.latency_samples;
            let latency_ms = 1e3 * latency_samples as f64 / host_rate_hz;
            Some(format!("{shown}: {}, {latency_ms:.0} ms", spec.name))
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use nice_plug::prelude::*;

    use super::*;
    use crate::choices::name_of;

    fn models() -> impl Iterator<Item = Model> {
        (0..Model::variants().len()).map(Model::from_index)
    }

    #[test]
    fn the_choices_are_the_models_of_the_catalogue_and_the_first_is_the_default() {
        let default = Catalogue::shipped().default_model().expect("a model that separates");
        assert_eq!(Model::default().id(), default.id);
        assert_eq!(models().count(), Catalogue::shipped().models().len());
        assert!(Catalogue::shipped().models().iter().all(|spec| models().any(|model| model.id() == spec.id)));
        assert_eq!(Model::from_index(99), Model::default());
    }

    #[test]
    fn in_the_place_of_a_model_that_is_no_more_stands_the_newest_of_its_family() {
        let ids = ["music-5", "live-2", "live-10", "live-x", "identity", "query-6"];
        for (id, expected) in [
            ("live-1", Some("live-10")),
            ("query-4", Some("query-6")),
            ("music-1", Some("music-5")),
            ("identity-2", None),
            ("live", None),
            ("speech-1", None),
            ("", None),
        ] {
            assert_eq!(newest_of_family(&ids, id), expected, "{id}");
        }
        assert_eq!(Model::in_place_of("speech-1"), Model::default());
        assert!(Model::in_place_of("query-0").is_query_model(), "its buses are a target and what it leaves");
    }

    #[test]
    fn every_model_has_the_two_stems_of_the_buses() {
        for model in models() {
            let spec = Catalogue::shipped().find(model.id()).expect("every choice is in the catalogue");
            let expected = if spec.is_query_model() { ["target", "residual"] } else { ["music", "dialogue"] };
            assert_eq!(spec.stems, expected, "{}", model.id());
        }
    }

    #[test]
    fn every_model_is_described_with_what_it_is_and_its_latency() {
        let lines = Model::descriptions(48_000.0, 256);
        assert_eq!(lines.len(), models().count());
        for (model, line) in models().zip(lines) {
            let spec = Catalogue::shipped().find(model.id()).expect("every choice is in the catalogue");
            assert!(
                line.starts_with(&name_of(model.id())) && line.contains(&spec.name) && line.ends_with(" ms"),
                "{line}"
            );
        }
        assert!(Model::descriptions(0.0, 256).is_empty(), "no rate, no latency");
    }

    #[test]
    fn without_any_model_there_is_a_choice_that_no_engine_is_found_for() {
        let empty = Box::leak(Box::new(Catalogue::parse("").expect("an empty catalogue")));
        for id in choices_of(empty).ids() {
            assert_eq!(empty.find(id), None);
        }
    }
}
