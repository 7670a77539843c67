//! The params by the ids that hosts know them by.

use std::collections::HashMap;
use std::sync::Arc;

use nice_plug::prelude::*;

use crate::params::UnderscoreParams;

/// Those of one instance, kept alive.
pub struct ParamsById {
    by_id: HashMap<u32, ParamPtr>,
    _params: Arc<UnderscoreParams>,
}

// SAFETY: the pointers are to params that are kept alive here, whose values are atomic.
unsafe impl Send for ParamsById {}
// SAFETY: as above.
unsafe impl Sync for ParamsById {}

impl ParamsById {
    /// Of these params.
    #[must_use]
    pub fn new(params: Arc<UnderscoreParams>) -> Self {
        let by_id = params.param_map().into_iter().map(|(id, param, _)| (host_id(&id), param)).collect();
        Self { by_id, _params: params }
    }

    /// The param that the host knows by this id. It lives as long as this.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&ParamPtr> {
        self.by_id.get(&id)
    }
}

/// The id by which a host knows a param: the framework's hash of its own id.
pub fn host_id(id: &str) -> u32 {
    let hash = id.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    hash & !(1 << 31)
}
