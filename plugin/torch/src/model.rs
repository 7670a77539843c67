//! A loaded model: weights and what they say about themselves, shared by every stream through them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tch::{CModule, TchError};
use underscore_backend::Device;

use crate::batcher::Batcher;
use crate::error::{BackendError, cause};
use crate::metadata::Metadata;
use crate::network::Network;
use crate::pool::Company;
use crate::{archive, card, convolutions, device, recurrent};

/// A model on its device.
pub(crate) struct Model {
    pub(crate) network: Arc<Network>,
    /// How its streams share the device.
    pub(crate) sharing: Sharing,
    /// The bytes of `underscore.json`.
    pub(crate) metadata_json: Vec<u8>,
    /// `[call][channel][frame][bin][re, im]`, then `[call][stem][channel][frame][bin]`.
    pub(crate) test_vector: Vec<f32>,
}

/// How streams through a model share its device.
pub(crate) enum Sharing {
    /// Calls that find no processor free wait for one.
    Processors(Company),
    /// One thread runs all calls, together where that is possible.
    Card(Batcher),
}

impl Model {
    /// Reads the file at `path` onto `device`. The description is checked before any of the file's code is touched.
    pub(crate) fn load(path: &Path, device: Device) -> Result<Self, BackendError> {
        device::prepare_thread();
        let extras = archive::read(path)?;
        let metadata = Metadata::parse(&extras.metadata, path)?;
        metadata.check_test_vector(extras.test_vector.len(), path)?;
        // Read here: libtorch opens a path by the bytes of its name, which Windows takes for those of the user's code page. And a card is not to
        // be taken for one that hangs because a disk does.
        let file = fs::read(path).map_err(|source| BackendError::CannotRead { path: path.to_owned(), source })?;
        let is_card = device != Device::CPU;
        let (mut module, device) = if is_card {
            let path = path.to_owned();
            card::open(move || load(&file, &path, device))?
        } else {
            load(&file, path, device)?
        };
        module.set_eval();
        if device == tch::Device::Cpu {
            convolutions::pack(&mut module);
            if metadata.packs_recurrent_weights {
                recurrent::pack(&module).map_err(|error| not_a_model(path, &error))?;
            }
        }
        let network = Arc::new(Network { module, device, metadata });
        let sharing = if is_card {
            Sharing::Card(Batcher::start(network.clone())?)
        } else if network.metadata.has_state_by_channel() {
            Sharing::Processors(Company::OfItsModel)
        } else {
            Sharing::Processors(Company::None)
        };
        Ok(Self { network, sharing, metadata_json: extras.metadata, test_vector: extras.test_vector })
    }
}

/// The module in `file`, which was read from `path`, on its device.
fn load(file: &[u8], path: &Path, device: Device) -> Result<(CModule, tch::Device), BackendError> {
    device::prepare_thread();
    let device = device::open(device)?;
    let module = CModule::load_data_on_device(&mut &*file, device).map_err(|error| not_a_model(path, &error))?;
    Ok((module, device))
}

fn not_a_model(path: &Path, error: &TchError) -> BackendError {
    BackendError::NotAModel { path: path.to_owned(), reason: cause(error) }
}
