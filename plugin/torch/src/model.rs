//! A loaded model: weights and what they say about themselves, shared by every stream through them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use tch::CModule;
use underscore_backend::Device;

use crate::batcher::Batcher;
use crate::error::{BackendError, cause};
use crate::metadata::Metadata;
use crate::network::Network;
use crate::pool::Company;
use crate::{archive, convolutions, device, recurrent};

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
    /// Not at all: each call runs by itself, on the thread that makes it.
    None,
    /// Calls that find no processor free wait for one.
    Processors(Company),
    /// All that waits runs together.
    Card(Batcher),
}

impl Model {
    /// Reads the file at `path` onto `device`. The description is checked before any of the file's code is touched.
    pub(crate) fn load(path: &Path, device: Device) -> Result<Self, BackendError> {
        device::prepare_thread();
        let extras = archive::read(path)?;
        let metadata = Metadata::parse(&extras.metadata, path)?;
        metadata.check_test_vector(extras.test_vector.len(), path)?;
        let is_card = device != Device::CPU;
        let device = device::open(device)?;
        let not_a_model = |error| BackendError::NotAModel { path: path.to_owned(), reason: cause(&error) };
        // Opened here: libtorch opens a path by the bytes of its name, which Windows takes for those of the user's code page.
        let mut file = File::open(path).map_err(|source| BackendError::CannotRead { path: path.to_owned(), source })?;
        let mut module = CModule::load_data_on_device(&mut file, device).map_err(not_a_model)?;
        module.set_eval();
        if device == tch::Device::Cpu {
            convolutions::pack(&mut module);
            if metadata.packs_recurrent_weights {
                recurrent::pack(&module).map_err(not_a_model)?;
            }
        }
        let network = Arc::new(Network { module, device, metadata });
        // What belongs to no channel cannot lie beside another stream's.
        let has_state_by_channel = network.metadata.has_state_by_channel();
        let sharing = match (is_card, has_state_by_channel) {
            (true, true) => Sharing::Card(Batcher::start(network.clone())?),
            (true, false) => Sharing::None,
            (false, true) => Sharing::Processors(Company::OfItsModel),
            (false, false) => Sharing::Processors(Company::None),
        };
        Ok(Self { network, sharing, metadata_json: extras.metadata, test_vector: extras.test_vector })
    }
}
