//! The models that ship, as `models/manifest.toml` lists them.

use crate::paths;
use anyhow::{Context, Result};
use serde::Deserialize;

/// The model that changes nothing: not meant where none is named.
const IDENTITY: &str = "identity";

/// A model that ships.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// Permanent id.
    pub id: String,
    /// In the `models` folder of the resources.
    pub file: String,
    /// Values of the embedding that it is asked by; 0 where it is not asked.
    #[serde(default)]
    embedding_size: usize,
}

impl Entry {
    /// Whether it is asked by example, and its stems are a target and what that leaves.
    pub fn is_query_model(&self) -> bool {
        self.embedding_size > 0
    }
}

#[derive(Debug, Deserialize)]
struct Manifest {
    model: Vec<Entry>,
}

fn known() -> Result<Vec<Entry>> {
    let path = paths::root().join("models").join("manifest.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(toml::from_str::<Manifest>(&text)?.model)
}

/// Whether the model of this very id is asked by example; none where it does not ship with this version.
pub fn is_query_model(id: &str) -> Option<bool> {
    known().ok()?.iter().find(|entry| entry.id == id).map(Entry::is_query_model)
}

/// The models of these ids, or that alone begin so, or all that separate, the default one first.
pub fn chosen(ids: &[String]) -> Result<Vec<Entry>> {
    let known = known()?;
    let names: Vec<&str> = known.iter().map(|entry| entry.id.as_str()).collect();
    let of = |text: &str| {
        let begin: Vec<&str> =
            names.iter().copied().filter(|name| !text.is_empty() && name.starts_with(text)).collect();
        let found =
            begin.iter().find(|name| **name == text).or(if let [only] = &begin[..] { Some(only) } else { None });
        found
            .map(|name| (*name).to_owned())
            .with_context(|| format!("--model {text}: expected one of {}", names.join(", ")))
    };
    let ids = ids.iter().map(|text| of(text)).collect::<Result<Vec<_>>>()?;
    let is_chosen = |entry: &Entry| if ids.is_empty() { entry.id != IDENTITY } else { ids.contains(&entry.id) };
    Ok(known.into_iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_not_known_is_refused_by_name_and_the_identity_is_left_out() {
        let all = chosen(&[]).unwrap();
        assert!(!all.is_empty() && all.iter().all(|entry| entry.id != IDENTITY));
        let error = chosen(&["music-0".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("--model music-0: expected one of") && error.contains(&all[0].id), "{error}");
    }

    #[test]
    fn what_one_id_alone_begins_with_is_that_model() {
        let of = |text: &str| {
            chosen(&[text.to_owned()]).map(|found| found.into_iter().map(|entry| entry.id).collect::<Vec<_>>())
        };
        let all = chosen(&[]).unwrap();
        let first = &all[0].id;
        let family = first.split('-').next().unwrap();
        assert_eq!(of(family).unwrap(), std::slice::from_ref(first));
        assert_eq!(of(first).unwrap(), std::slice::from_ref(first));
        assert!(of("").is_err());
    }

    #[test]
    fn of_each_model_it_is_known_whether_it_is_asked_and_of_others_nothing_is() {
        for entry in known().unwrap() {
            assert_eq!(is_query_model(&entry.id), Some(entry.id.starts_with("query-")), "{}", entry.id);
        }
        assert_eq!(["", "music", "query-0"].map(is_query_model), [None; 3]);
    }
}
