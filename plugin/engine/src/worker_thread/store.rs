//! One copy of a model's weights per process, whatever the number of instances.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use underscore_backend::{Backend, Device};

use super::model::{Model, ModelError};
use crate::catalogue::ModelSpec;
use crate::resources::Resources;

type Key = (PathBuf, String, u32);

/// Held while its model is loaded, so that instances that start together load it once.
type Place = Arc<Mutex<Weak<Model>>>;

/// Held for a look only: a load that hangs keeps nobody from another model.
static PLACES: Mutex<Option<HashMap<Key, Place>>> = Mutex::new(None);

/// The model of `spec` on `device`, loaded where no instance has it yet.
pub fn get(
    backend: Backend,
    spec: &ModelSpec,
    device: Device,
    resources: &Resources,
) -> Result<Arc<Model>, ModelError> {
    let key = (Model::path(spec, resources)?, spec.sha256.clone(), device.0);
    let place = place_of(key);
    let mut loaded = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = loaded.upgrade() {
        return Ok(model);
    }
    let model = Arc::new(Model::load(backend, spec, device, resources)?);
    *loaded = Arc::downgrade(&model);
    Ok(model)
}

fn place_of(key: Key) -> Place {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let places = places.get_or_insert_with(HashMap::new);
    // One whose lock is held is in use.
    places.retain(|_, place| {
        place.try_lock().map_or(true, |model| model.strong_count() > 0 || Arc::strong_count(place) > 1)
    });
    places.entry(key).or_default().clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (PathBuf::from(name), String::new(), 0)
    }

    #[test]
    fn who_loads_one_model_for_ever_keeps_nobody_from_another_one() {
        let hanging = place_of(key("hanging"));
        let _held = hanging.lock().unwrap();
        let other = place_of(key("other"));
        assert!(other.try_lock().is_ok());
        assert!(Arc::ptr_eq(&hanging, &place_of(key("hanging"))), "whoever wants the same one waits with it");
        assert!(place_of(key("hanging")).try_lock().is_err());
    }
}
