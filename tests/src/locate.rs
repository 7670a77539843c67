//! Where the bundle under test is.

use crate::HostError;
use std::path::{Path, PathBuf};

/// The bundle that `UNDERSCORE_BUNDLE` names, otherwise `target/bundled/Underscore.clap` of this workspace.
///
/// # Errors
/// [`HostError::NoBundle`] with the path when there is nothing.
pub fn bundle_path() -> Result<PathBuf, HostError> {
    let path = std::env::var_os("UNDERSCORE_BUNDLE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bundled/Underscore.clap"), PathBuf::from);
    // Canonical, because the plugin looks for its resources beside its own file.
    path.canonicalize().map_err(|_| HostError::NoBundle { path })
}
