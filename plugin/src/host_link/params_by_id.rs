//! Params by the ids that hosts use for them.

use std::collections::HashMap;
use std::sync::Arc;

use nice_plug::prelude::*;

use crate::params::UnderscoreParams;

/// The params of one instance, which it keeps alive.
pub struct ParamsById {
    by_id: HashMap<u32, ParamPtr>,
    _params: Arc<UnderscoreParams>,
}

// SAFETY: the pointers are to params that are kept alive here, whose values are atomic.
unsafe impl Send for ParamsById {}
// SAFETY: as above.
unsafe impl Sync for ParamsById {}

impl ParamsById {
    /// Indexes `params`.
    #[must_use]
    pub fn new(params: Arc<UnderscoreParams>) -> Self {
        let by_id = params.param_map().into_iter().map(|(id, param, _)| (host_id(&id), param)).collect();
        Self { by_id, _params: params }
    }

    /// The param of this host id. The pointer is valid for as long as `self`.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&ParamPtr> {
        self.by_id.get(&id)
    }
}

/// The id that hosts use for a param: the framework's hash of the param's own id.
pub fn host_id(id: &str) -> u32 {
    let hash = id.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    hash & !(1 << 31)
}
