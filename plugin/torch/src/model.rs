//! A loaded model: weights and what they say about themselves, shared by every stream through them.

use std::path::Path;

use tch::CModule;
use underscore_backend::Device;

use crate::error::{BackendError, cause};
use crate::metadata::Metadata;
use crate::{archive, device, packing};

/// A TorchScript module on its device. Running it changes nothing in it, so any number of sessions share it.
pub(crate) struct Model {
    pub(crate) module: CModule,
    pub(crate) device: tch::Device,
    pub(crate) metadata: Metadata,
    /// The bytes of `underscore.json`.
    pub(crate) metadata_json: Vec<u8>,
    /// `[call][channel][frame][bin][re, im]`, then `[call][stem][channel][frame][bin]`.
    pub(crate) test_vector: Vec<f32>,
}

impl Model {
    /// Reads the file at `path` onto `device`. The description is checked before any of the file's code is touched.
    pub(crate) fn load(path: &Path, device: Device) -> Result<Self, BackendError> {
        device::prepare_thread();
        let extras = archive::read(path)?;
        let metadata = Metadata::parse(&extras.metadata, path)?;
        metadata.check_test_vector(extras.test_vector.len(), path)?;
        let device = device::open(device)?;
        let not_a_model = |error| BackendError::NotAModel { path: path.to_owned(), reason: cause(&error) };
        let mut module = CModule::load_on_device(path, device).map_err(not_a_model)?;
        module.set_eval();
        if metadata.packs_recurrent_weights && device == tch::Device::Cpu {
            packing::pack(&module).map_err(not_a_model)?;
        }
        Ok(Self { module, device, metadata, metadata_json: extras.metadata, test_vector: extras.test_vector })
    }
}
