//! One copy of a model's weights per process, whatever the number of instances.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use underscore_backend::{Backend, Device};

use super::model::{Model, ModelError};
use crate::catalogue::ModelSpec;
use crate::resources::Resources;

type Key = (PathBuf, String, u32);

static LOADED: Mutex<Option<HashMap<Key, Weak<Model>>>> = Mutex::new(None);

/// The model of `spec` on `device`, loaded where no instance has it yet. The lock is held while loading, so that instances
/// that start together load once.
pub fn get(
    backend: Backend,
    spec: &ModelSpec,
    device: Device,
    resources: &Resources,
) -> Result<Arc<Model>, ModelError> {
    let key = (Model::path(spec, resources)?, spec.sha256.clone(), device.0);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loaded.get_or_insert_with(HashMap::new);
    if let Some(model) = loaded.get(&key).and_then(Weak::upgrade) {
        return Ok(model);
    }
    let model = Arc::new(Model::load(backend, spec, device, resources)?);
    loaded.retain(|_, other| other.strong_count() > 0);
    loaded.insert(key, Arc::downgrade(&model));
    Ok(model)
}
