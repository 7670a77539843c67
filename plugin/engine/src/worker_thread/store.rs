//! One copy of a model's weights per process, whatever the number of instances.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use underscore_backend::{Backend, Device};

use super::model::{Model, ModelError};
use crate::catalogue::ModelSpec;
use crate::resources::Resources;

/// Name and SHA-256 of the file, and the device. The file itself may be gone, or its disk hang, once its model is in memory.
type Key = (String, String, u32);

/// Locked while its model is loaded, so that instances that start together load it once.
type Entry = Arc<Mutex<Weak<Model>>>;

/// Locked for a lookup only: a load that hangs keeps nobody from another model.
static ENTRIES: Mutex<Option<HashMap<Key, Entry>>> = Mutex::new(None);

/// The model of `spec` on `device`, loaded where no instance has it yet.
pub fn get(
    backend: Backend,
    spec: &ModelSpec,
    device: Device,
    resources: &Resources,
) -> Result<Arc<Model>, ModelError> {
    let key = (spec.file.clone(), spec.sha256.clone(), device.0);
    shared(key, || Model::load(backend, spec, device, resources))
}

/// The model of `key`, by `load` where no instance has it yet.
fn shared(key: Key, load: impl FnOnce() -> Result<Model, ModelError>) -> Result<Arc<Model>, ModelError> {
    let entry = entry_of(key);
    let mut loaded = entry.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = loaded.upgrade() {
        return Ok(model);
    }
    let model = Arc::new(load()?);
    *loaded = Arc::downgrade(&model);
    Ok(model)
}

fn entry_of(key: Key) -> Entry {
    let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    let entries = entries.get_or_insert_with(HashMap::new);
    // One whose lock is held is in use.
    entries.retain(|_, entry| {
        entry.try_lock().map_or(true, |model| model.strong_count() > 0 || Arc::strong_count(entry) > 1)
    });
    entries.entry(key).or_default().clone()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::handoff::CallShape;
    use crate::latency::{ModelTiming, latency};
    use crate::worker_thread::fake_backend;

    fn key(name: &str) -> Key {
        (name.to_owned(), String::new(), 0)
    }

    /// A stand-in for a model, of which it is counted how often it was loaded.
    fn counted(num_loads: &AtomicUsize) -> Model {
        num_loads.fetch_add(1, Ordering::Relaxed);
        let timing = ModelTiming::LIVE;
        let grid = latency(&timing, 48_000.0, 512).unwrap().grid;
        let (num_frames, num_bins) = (timing.frames_per_call, timing.num_bins);
        let shape = CallShape { grid, num_channels: 2, num_frames, num_bins, num_stems: 1, embedding_size: 0 };
        fake_backend::model(shape, &timing, |_| 1.0, Vec::new())
    }

    #[test]
    fn instances_that_want_one_model_have_one_which_was_loaded_once_for_all_of_them() {
        let num_loads = AtomicUsize::new(0);
        let get = || {
            shared(key("wanted by many"), || {
                // Long enough for all of them to be here.
                std::thread::sleep(Duration::from_millis(50));
                Ok(counted(&num_loads))
            })
            .unwrap()
        };
        let at_once: Vec<Arc<Model>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(get)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let later = get();
        assert!(at_once.iter().all(|model| Arc::ptr_eq(model, &later)), "some have another one");
        assert_eq!(num_loads.load(Ordering::Relaxed), 1);
        drop(at_once);
        // Others come and go meanwhile.
        shared(key("wanted by another"), || Ok(counted(&AtomicUsize::new(0)))).unwrap();
        assert!(Arc::ptr_eq(&get(), &later), "one instance is enough to keep it");
        drop(later);
        get();
        assert_eq!(num_loads.load(Ordering::Relaxed), 2, "nobody had it any more");
    }

    #[test]
    fn another_file_and_another_device_have_models_of_their_own() {
        let num_loads = AtomicUsize::new(0);
        let keys = [
            ("a.pt".to_owned(), "1".to_owned(), 0),
            ("b.pt".to_owned(), "1".to_owned(), 0),
            ("a.pt".to_owned(), "2".to_owned(), 0),
            ("a.pt".to_owned(), "1".to_owned(), 1),
        ];
        let num_keys = keys.len();
        let models = keys.map(|key| shared(key, || Ok(counted(&num_loads))).unwrap());
        assert_eq!(num_loads.load(Ordering::Relaxed), num_keys);
        drop(models);
    }

    #[test]
    fn a_load_that_failed_is_tried_again_by_whoever_comes_next() {
        let num_loads = AtomicUsize::new(0);
        let missing = || ModelError::Missing { name: "A".into(), file: "a.pt".into(), places: "none".into() };
        assert!(shared(key("missing at first"), || Err(missing())).is_err());
        shared(key("missing at first"), || Ok(counted(&num_loads))).expect("it is there now");
        assert_eq!(num_loads.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn who_loads_one_model_for_ever_keeps_nobody_from_another_one() {
        let hanging = entry_of(key("hanging"));
        let _held = hanging.lock().unwrap();
        let other = entry_of(key("other"));
        assert!(other.try_lock().is_ok());
        assert!(Arc::ptr_eq(&hanging, &entry_of(key("hanging"))), "whoever wants the same one waits with it");
        assert!(entry_of(key("hanging")).try_lock().is_err());
    }
}
