//! Where the bundle under test is.

use crate::HostError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Folder that `cargo xtask bundle` makes the bundles in: beside what cargo builds, wherever `CARGO_TARGET_DIR` has put that.
#[must_use]
pub fn bundled_folder() -> PathBuf {
    bundled_in(std::env::var_os("CARGO_TARGET_DIR"))
}

/// A folder that is not named from the root is named from this workspace, whatever folder a test or a tool runs in: that is where `xtask`
/// calls cargo.
fn bundled_in(cargo_target_dir: Option<OsString>) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace");
    workspace.join(cargo_target_dir.unwrap_or_else(|| "target".into())).join("bundled")
}

/// The bundle that `UNDERSCORE_BUNDLE` names, otherwise the one that `cargo xtask bundle` made.
///
/// # Errors
/// [`HostError::NoBundle`] with the path when there is nothing.
pub fn bundle_path() -> Result<PathBuf, HostError> {
    let named = std::env::var_os("UNDERSCORE_BUNDLE").map(PathBuf::from);
    let path = named.unwrap_or_else(|| bundled_folder().join("Underscore.clap"));
    // Canonical, because the plugin looks for its resources beside its own file.
    path.canonicalize().map_err(|_| HostError::NoBundle { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundles_are_where_cargo_builds() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(bundled_in(None), workspace.join("target/bundled"));
        assert_eq!(bundled_in(Some("other".into())), workspace.join("other/bundled"));
        let elsewhere = std::env::temp_dir();
        assert_eq!(bundled_in(Some(elsewhere.clone().into())), elsewhere.join("bundled"));
    }
}
