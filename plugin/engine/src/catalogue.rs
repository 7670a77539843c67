//! The models that ship with the plugin, known without opening any of their files.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::latency::ModelTiming;
use crate::query::{MAX_EMBEDDING_SIZE, QueryPreset};
use crate::query_map::{Projection, QueryMap};

/// Id of the model that separates nothing: its mask is 1 everywhere. For checking latency and routing.
const IDENTITY_ID: &str = "identity";

/// One model: what it is called, where its file lies, what the file must hash to, and its timing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModelSpec {
    /// Permanent id, saved in sessions.
    pub id: String,
    /// The name shown to people.
    pub name: String,
    /// File name in the `models` folder of the resources.
    pub file: String,
    /// SHA-256 of the file, hexadecimal. A model file is code: one that differs is not loaded.
    pub sha256: String,
    /// Licence of the weights.
    pub licence: String,
    /// Grid and context.
    #[serde(flatten)]
    pub timing: ModelTiming,
    /// Stem labels in order; the residual is one of them and comes last.
    pub stems: Vec<String>,
    /// Label of the stem that is the mixture minus all others.
    pub residual: String,
    /// Values of the embedding that it is asked by; 0 where it is not asked.
    #[serde(default)]
    pub embedding_size: usize,
    /// Frames of an example.
    #[serde(default)]
    pub query_frames: usize,
    /// Classes that it can be asked for without an example.
    #[serde(default, rename = "preset")]
    pub presets: Vec<QueryPreset>,
    /// How its space is drawn; every model that is asked has one.
    #[serde(default)]
    pub map: Option<Projection>,
}

#[cfg(test)]
impl ModelSpec {
    /// The newest one of a family that ships, such as `music`.
    pub(crate) fn shipped(family: &str) -> &'static Self {
        let number_of = |spec: &Self| spec.id.strip_prefix(family)?.strip_prefix('-')?.parse::<u32>().ok();
        let of_family = Catalogue::shipped().models().iter().filter(|spec| number_of(spec).is_some());
        of_family.max_by_key(|spec| number_of(spec)).unwrap_or_else(|| panic!("no model of the family '{family}'"))
    }

    /// A model that is not asked, of this timing; there is no file of it.
    pub fn for_tests(timing: ModelTiming) -> Self {
        let stems = ["music", "dialogue"].map(String::from);
        Self {
            id: "test".into(),
            name: "Test".into(),
            file: "test.pt".into(),
            sha256: String::new(),
            licence: "CC0-1.0".into(),
            timing,
            residual: stems[1].clone(),
            stems: stems.into(),
            embedding_size: 0,
            query_frames: 0,
            map: None,
            presets: Vec::new(),
        }
    }
}

impl ModelSpec {
    /// Stems that the model itself estimates: all but the residual.
    #[must_use]
    pub fn num_estimated_stems(&self) -> usize {
        self.stems.len().saturating_sub(1)
    }

    /// Whether it is asked by example what to look for.
    #[must_use]
    pub fn is_query_model(&self) -> bool {
        self.embedding_size > 0
    }

    /// The map of its space, where it is asked by example.
    #[must_use]
    pub fn query_map(&self) -> Option<QueryMap> {
        Some(QueryMap::new(self.map.as_ref()?, &self.presets))
    }

    fn check(&self) -> Result<(), CatalogueError> {
        let complain = |problem: String| Err(CatalogueError::Model { id: self.id.clone(), problem });
        if self.stems.len() < 2 {
            return complain(format!("expected at least 2 stems, got {}", self.stems.len()));
        }
        if self.stems.last() != Some(&self.residual) {
            return complain(format!(
                "expected the residual '{}' to be the last stem, got {:?}",
                self.residual, self.stems
            ));
        }
        let expected_bins = self.timing.window_samples() / 2 + 1;
        if self.timing.num_bins != expected_bins {
            return complain(format!("expected {expected_bins} bins for its window, got {}", self.timing.num_bins));
        }
        if self.timing.frames_per_call == 0 {
            return complain("expected at least 1 frame per call, got 0".into());
        }
        if self.embedding_size > MAX_EMBEDDING_SIZE {
            return complain(format!(
                "expected an embedding of at most {MAX_EMBEDDING_SIZE} values, got {}",
                self.embedding_size
            ));
        }
        if let Some(preset) = self.presets.iter().find(|preset| preset.embedding.len() != self.embedding_size) {
            let (expected, actual) = (self.embedding_size, preset.embedding.len());
            return complain(format!("expected {expected} values of the preset '{}', got {actual}", preset.id));
        }
        if self.is_query_model() != self.map.is_some() {
            return complain("expected a map where it is asked by example, and none elsewhere".into());
        }
        if let Some(actual) = self.map.as_ref().and_then(|map| map.wrong_size(self.embedding_size)) {
            return complain(format!("expected {} values of each line of its map, got {actual}", self.embedding_size));
        }
        Ok(())
    }
}

/// A list of models.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Catalogue {
    #[serde(rename = "model", default)]
    models: Vec<ModelSpec>,
}

/// Why a catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It is not the TOML that was expected.
    #[error("the model catalogue cannot be read: {0}")]
    Parse(#[from] toml::de::Error),
    /// An entry contradicts itself.
    #[error("model '{id}' of the catalogue: {problem}")]
    Model {
        /// Its id.
        id: String,
        /// Expected and actual.
        problem: String,
    },
}

impl Catalogue {
    /// Reads a catalogue: `[[model]]` tables with the fields of [`ModelSpec`].
    ///
    /// # Errors
    /// Where the text is no such TOML, or an entry contradicts itself.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let catalogue: Self = toml::from_str(text)?;
        for model in &catalogue.models {
            model.check()?;
        }
        Ok(catalogue)
    }

    /// The models built into this binary, with their hashes: `models/manifest.toml` at the time of the build.
    #[must_use]
    pub fn shipped() -> &'static Self {
        static SHIPPED: OnceLock<Catalogue> = OnceLock::new();
        // A catalogue that cannot be read is caught by this file's test; in a host it means "no models", never a panic.
        SHIPPED.get_or_init(|| {
            Self::parse(include_str!("../../../models/manifest.toml")).unwrap_or(Self { models: Vec::new() })
        })
    }

    /// All models, in the order of the file.
    #[must_use]
    pub fn models(&self) -> &[ModelSpec] {
        &self.models
    }

    /// The model to use where none was chosen, or one that is no more: the first that separates.
    #[must_use]
    pub fn default_model(&self) -> Option<&ModelSpec> {
        self.models.iter().find(|model| model.id != IDENTITY_ID)
    }

    /// The model of this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&ModelSpec> {
        self.models.iter().find(|model| model.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_catalogue_can_be_read_and_has_a_model_that_separates_and_one_that_does_not() {
        let text = include_str!("../../../models/manifest.toml");
        let catalogue = Catalogue::parse(text).expect("models/manifest.toml");
        let default = catalogue.default_model().expect("a model that separates");
        assert_ne!(default.id, IDENTITY_ID);
        assert_eq!(catalogue.find(&default.id), Some(default));
        assert!(catalogue.find(IDENTITY_ID).is_some());
        assert!(catalogue.find("no such model").is_none());
    }

    #[test]
    fn a_catalogue_without_a_model_that_separates_has_no_default() {
        assert_eq!(Catalogue::parse("").expect("an empty catalogue").default_model(), None);
    }

    #[test]
    fn a_full_band_model_that_looks_ahead_has_its_bins_checked_against_its_own_rate() {
        let entry = |num_bins: usize| {
            format!(
                "[[model]]\nid = \"a\"\nname = \"A\"\nfile = \"a.pt\"\nsha256 = \"\"\nlicence = \"CC0-1.0\"\n\
                 sample_rate_hz = 32000\nwindow_s = 0.064\nhop_s = 0.016\nsynthesis_s = 0.064\nnum_bins = {num_bins}\nframes_per_call = 4\n\
                 look_ahead_frames = 8\nlook_back_frames = 100\nstems = [\"music\", \"dialogue\"]\n\
                 residual = \"dialogue\"\n"
            )
        };
        let catalogue = Catalogue::parse(&entry(1025)).expect("1025 bins of a window of 2048 samples");
        assert_eq!(catalogue.models()[0].timing.reach_frames(), 108);
        let error = Catalogue::parse(&entry(513)).unwrap_err();
        assert!(error.to_string().contains("expected 1025 bins"), "{error}");
    }

    #[test]
    fn an_embedding_that_is_too_large_or_a_preset_of_another_size_is_refused_by_name() {
        let with = |more: &str| {
            let shipped = include_str!("../../../models/manifest.toml");
            let first = shipped.find("[[model]]").expect("a model");
            let end = shipped[first + 1..].find("[[model]]").map_or(shipped.len(), |end| first + 1 + end);
            Catalogue::parse(&format!("{}\n{more}", &shipped[first..end]))
        };
        let preset = "[[model.preset]]\nid = \"drums\"\nembedding = [0.5, -1.0]\n";
        let map = "map = { origin = [0.0, 0.0], axes = [[1.0, 0.0], [0.0, 1.0]] }\n";
        let catalogue =
            with(&format!("embedding_size = 2\nquery_frames = 184\n{map}{preset}")).expect("two values of two");
        assert!(catalogue.models()[0].is_query_model() && catalogue.models()[0].presets[0].embedding == [0.5, -1.0]);
        let error = with(&format!("embedding_size = 3\nquery_frames = 184\n{preset}")).unwrap_err().to_string();
        assert!(error.contains("expected 3 values of the preset 'drums', got 2"), "{error}");
        let error = with("embedding_size = 2\nquery_frames = 184\n").unwrap_err().to_string();
        assert!(error.contains("expected a map where it is asked"), "{error}");
        let error = with(&format!("embedding_size = 3\nquery_frames = 184\n{map}")).unwrap_err().to_string();
        assert!(error.contains("expected 3 values of each line of its map, got 2"), "{error}");
        let error = with("embedding_size = 33\nquery_frames = 184\n").unwrap_err().to_string();
        assert!(error.contains("at most 32 values, got 33"), "{error}");
    }

    #[test]
    fn an_entry_whose_residual_is_not_last_is_refused() {
        let text =
            include_str!("../../../models/manifest.toml").replace("residual = \"dialogue\"", "residual = \"music\"");
        let error = Catalogue::parse(&text).unwrap_err();
        assert!(error.to_string().contains("to be the last stem"), "{error}");
    }
}
