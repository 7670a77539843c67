//! What is to be said of the state that was loaded last, and is saved beside the params for that.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use nice_plug::params::persist::PersistentField;

use crate::choices::name_of;
use crate::model::Model;

/// Version of the state's meaning. Raised when a param changes its meaning or range, with a migration where states are made fit to load.
pub const STATE_VERSION: u32 = 1;

/// Version of the state that was loaded last; what is saved is always [`STATE_VERSION`].
#[derive(Debug)]
pub struct StateVersion {
    loaded: AtomicU32,
}

impl Default for StateVersion {
    fn default() -> Self {
        Self { loaded: AtomicU32::new(STATE_VERSION) }
    }
}

impl StateVersion {
    /// What the user should know of the state that was loaded, if anything.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        let loaded = self.loaded.load(Ordering::Relaxed);
        (loaded > STATE_VERSION).then(|| {
            format!(
                "This session was saved by a newer Underscore and asks for what this version does not know (state {loaded}, up to \
                 {STATE_VERSION} here). All else was loaded, the rest is at its defaults. Update the plugin before you save over the session."
            )
        })
    }
}

impl PersistentField<'_, u32> for StateVersion {
    fn set(&self, loaded: u32) {
        self.loaded.store(loaded, Ordering::Relaxed);
    }

    fn map<F, R>(&self, f: F) -> R
    where
        F: Fn(&u32) -> R,
    {
        f(&STATE_VERSION)
    }
}

/// The model that the state loaded last was saved with, where this version does not have it. What is saved is always nothing: the
/// model in use then is the one chosen.
#[derive(Debug, Default)]
pub struct MissingModel {
    id: Mutex<String>,
}

impl MissingModel {
    /// What the user should know while `model` is in use, if anything.
    #[must_use]
    pub fn notice(&self, model: Model) -> Option<String> {
        const MAX_CHARS: usize = 40;
        let id: String = self.id.lock().unwrap_or_else(PoisonError::into_inner).chars().take(MAX_CHARS).collect();
        (!id.is_empty() && model == Model::in_place_of(&id)).then(|| {
            format!(
                "This session was saved with {}, which this version does not have; {} is used instead. Listen again before you rely on it: \
                 sound and latency are those of another model. A session that is saved now asks for that one.",
                name_of(&id),
                name_of(model.id())
            )
        })
    }
}

impl PersistentField<'_, String> for MissingModel {
    fn set(&self, id: String) {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    fn map<F, R>(&self, f: F) -> R
    where
        F: Fn(&String) -> R,
    {
        f(&String::new())
    }
}
