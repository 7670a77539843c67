//! Where things are in the checkout. Everything made goes under `target/`.

use std::path::{Path, PathBuf};

/// The checkout this program was built from.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the root of the checkout").to_path_buf()
}

/// Folder of what is fetched, whatever `CARGO_TARGET_DIR` says: `.cargo/config.toml` names libtorch's place in it.
pub fn target() -> PathBuf {
    root().join("target")
}

/// libtorch, as `setup` leaves it: `include/` and `lib/`.
pub fn libtorch() -> PathBuf {
    target().join("libtorch")
}

/// The bundles, and the folder of resources beside them: where everything that hosts them looks for them.
pub fn bundled() -> PathBuf {
    host_tests::bundled_folder()
}

/// The shipped models.
pub fn weights() -> PathBuf {
    root().join("models").join("weights")
}

/// The demo's programme, with its references.
pub fn programme() -> PathBuf {
    root().join("tests").join("fixtures").join("programme")
}

/// A path as it is printed: relative to the checkout where it lies in it.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
