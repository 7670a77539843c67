//! Finds libtorch, a device and the model, and opens a session that was seen to work: as often as it is asked, because a card may have gone since.

use std::sync::{Arc, Once};

use underscore_backend::{Backend, Device};

use super::load_marks::{Load, LoadMarks};
use super::model::Model;
use super::separation::Opener;
use super::session::{Session, SessionError};
use super::worker::DeviceChoice;
use super::{library, store};
use crate::catalogue::ModelSpec;
use crate::handoff::CallShape;
use crate::resources::Resources;
use crate::status::EngineStatus;

/// Of the model `spec` for calls of `shape`. Opens libtorch first: where that fails, the message says why and what to do.
pub fn opener(
    spec: ModelSpec,
    device: DeviceChoice,
    resources: Resources,
    shape: CallShape,
    status: Arc<EngineStatus>,
) -> Result<Opener, String> {
    let marks = LoadMarks::of(&resources);
    let backend = match library::opened() {
        Some(backend) => backend,
        None => marked(&marks, Load::Libtorch, &status, || library::backend(&resources))?,
    };

    Ok(Box::new(move || {
        let status = &*status;
        status.set_held_back(false);
        let load = |device| load(backend, &spec, device, &resources, shape);
        on_best(
            status,
            || match device {
                DeviceChoice::Auto => {
                    marked(&marks, Load::Cuda, status, || has_cuda(backend).then(|| load(Device::CUDA)).transpose())
                }
                DeviceChoice::Cpu => Ok(None),
            },
            || marked(&marks, Load::Model(&spec), status, || load(Device::CPU)),
        )
    }))
}

/// What there is `on_card`, else what there is on the processor; the status says why, where there is a card. Asked anew each time that
/// inference failed for long: a card may have gone since.
pub(super) fn on_best<T>(
    status: &EngineStatus,
    on_card: impl FnOnce() -> Result<Option<T>, String>,
    on_processor: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let why_not = match on_card() {
        Ok(Some(loaded)) => {
            status.set_notice(String::new());
            return Ok(loaded);
        }
        Ok(None) => None,
        Err(message) => Some(message),
    };
    let loaded = on_processor()?;
    let told = |why: String| format!("The graphics card cannot be used, the processor is: {why}");
    status.set_notice(why_not.map_or_else(String::new, told));
    Ok(loaded)
}

/// What was loaded; the message, where it failed or was held back.
fn marked<T, E: ToString>(
    marks: &LoadMarks,
    what: Load<'_>,
    status: &EngineStatus,
    load: impl FnOnce() -> Result<T, E>,
) -> Result<T, String> {
    let loaded = marks.load(what, load).map_err(|held_back| {
        status.set_held_back(true);
        held_back.to_string()
    })?;
    loaded.map_err(|error| error.to_string())
}

/// The model on `device`, and a session of it that was seen to work.
fn load(
    backend: Backend,
    spec: &ModelSpec,
    device: Device,
    resources: &Resources,
    shape: CallShape,
) -> Result<(Arc<Model>, Session), String> {
    let model = store::get(backend, spec, device, resources).map_err(|error| error.to_string())?;
    let in_model = |error: SessionError| format!("The model '{}' cannot be used: {error}.", spec.name);
    // One channel first: it is what a linked bus uses, and what the test vector is for.
    let mut session = Session::open(model.clone(), 1).map_err(in_model)?;
    let check = |session: &mut Session, num_channels: usize| {
        session
            .check(shape.spectrum_len(num_channels), shape.masks_len(num_channels), shape.embedding_size)
            .map_err(in_model)
    };
    check(&mut session, 1)?;
    if shape.num_channels > 1 {
        // What a bus that is not linked runs: its first calls are slow, too.
        let mut unlinked = Session::open(model.clone(), shape.num_channels).map_err(in_model)?;
        check(&mut unlinked, shape.num_channels)?;
    }
    Ok((model, session))
}

fn has_cuda(backend: Backend) -> bool {
    // Once is enough: every activation asks.
    static TOLD: Once = Once::new();
    let probed = backend.probe(Device::CUDA);
    TOLD.call_once(|| match &probed {
        Ok(name) => tracing::info!("CUDA: {name}"),
        Err(reason) => tracing::info!("CUDA: {reason}"),
    });
    probed.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::ModelTiming;

    #[test]
    fn the_processor_is_taken_where_there_is_no_card_and_nothing_is_said_of_it() {
        let status = EngineStatus::for_tests(&ModelTiming::LIVE, 48_000.0, 256);
        assert_eq!(on_best(&status, || Ok(None), || Ok("processor")), Ok("processor"));
        assert_eq!(status.snapshot().notice, "");
        let on_card = || Err("The driver is too old.".into());
        assert_eq!(on_best(&status, on_card, || Ok("processor")), Ok("processor"));
        let told = "The graphics card cannot be used, the processor is: The driver is too old.";
        assert_eq!(status.snapshot().notice, told, "the sound is separated");
        assert_eq!(on_best(&status, || Ok(Some("card")), || panic!("nobody asks the processor")), Ok("card"));
        assert_eq!(status.snapshot().notice, "", "what was said of the card is over");
        assert_eq!(on_best::<&str>(&status, || Ok(None), || Err("torn".into())), Err("torn".into()));
    }
}
