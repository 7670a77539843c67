//! Where everything lies in the bundles, as each system's hosts expect it.

use std::env::consts::{ARCH, DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

/// The paths of one set of bundles.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Name without extension.
    pub name: String,
    /// The CLAP: one file, on macOS a folder.
    pub clap: PathBuf,
    /// The plugin's binary in it.
    pub clap_binary: PathBuf,
    /// The VST3: a folder.
    pub vst3: PathBuf,
    /// The plugin's binary in it.
    pub vst3_binary: PathBuf,
    /// The VST3's own folder of resources.
    pub vst3_resources: PathBuf,
    /// Folder of what the plugin opens when it is needed.
    pub resources: PathBuf,
    /// The inference backend.
    pub backend: PathBuf,
    /// Folder of libtorch's libraries.
    pub libtorch: PathBuf,
    /// Folder of the models.
    pub models: PathBuf,
}

impl Layout {
    /// The bundles called `name` in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self::with_folders(folder, folder, &folder.join("underscore.resources"), name)
    }

    /// The CLAP, the VST3 and the resources in folders of their own.
    pub fn with_folders(clap_folder: &Path, vst3_folder: &Path, resources: &Path, name: &str) -> Self {
        let clap = clap_folder.join(format!("{name}.clap"));
        let vst3 = vst3_folder.join(format!("{name}.vst3"));
        let (clap_binary, vst3_binary) = if cfg!(target_os = "macos") {
            (clap.join("Contents/MacOS").join(name), vst3.join("Contents/MacOS").join(name))
        } else if cfg!(windows) {
            (clap.clone(), vst3.join(format!("Contents/{ARCH}-win/{name}.vst3")))
        } else {
            (clap.clone(), vst3.join(format!("Contents/{ARCH}-linux/{name}.so")))
        };
        Self {
            name: name.to_owned(),
            vst3_resources: vst3.join("Contents/Resources"),
            clap,
            clap_binary,
            vst3,
            vst3_binary,
            backend: resources.join("lib").join(format!("{DLL_PREFIX}underscore_torch{DLL_SUFFIX}")),
            libtorch: resources.join("lib/libtorch"),
            models: resources.join("models"),
            resources: resources.to_path_buf(),
        }
    }

    /// The texts that macOS wants in a bundle beside the binary; elsewhere none.
    pub fn metadata(&self) -> Vec<(PathBuf, String)> {
        if cfg!(target_os = "macos") { self.metadata_of_macos() } else { Vec::new() }
    }

    fn metadata_of_macos(&self) -> Vec<(PathBuf, String)> {
        let of = |bundle: &PathBuf| {
            let contents = bundle.join("Contents");
            [(contents.join("PkgInfo"), "BNDL????".to_owned()), (contents.join("Info.plist"), info_plist(&self.name))]
        };
        [&self.clap, &self.vst3].into_iter().flat_map(of).collect()
    }
}

fn info_plist(name: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
  <key>CFBundleExecutable</key><string>{name}</string>
  <key>CFBundleIdentifier</key><string>org.underscore-audio.underscore</string>
  <key>CFBundleName</key><string>{name}</string>
  <key>CFBundlePackageType</key><string>BNDL</string>
  <key>CFBundleShortVersionString</key><string>{version}</string>
  <key>CFBundleVersion</key><string>{version}</string>
</dict></plist>
"#
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_has_a_clap_of_one_file_and_a_vst3_folder() {
        let layout = Layout::new(Path::new("b"), "Underscore");
        assert_eq!(layout.clap_binary, Path::new("b/Underscore.clap"));
        assert_eq!(layout.vst3_binary, Path::new(&format!("b/Underscore.vst3/Contents/{ARCH}-linux/Underscore.so")));
        assert_eq!(layout.backend, Path::new("b/underscore.resources/lib/libunderscore_torch.so"));
        assert_eq!(layout.metadata(), []);
    }

    #[test]
    fn on_macos_both_bundles_hold_what_the_system_knows_them_by() {
        let metadata =
            Layout::with_folders(Path::new("c"), Path::new("v"), Path::new("r"), "Underscore").metadata_of_macos();
        let paths: Vec<_> = metadata.iter().map(|(path, _)| path.to_string_lossy()).collect();
        let of = |bundle: &str| ["PkgInfo", "Info.plist"].map(|name| format!("{bundle}/Contents/{name}"));
        assert_eq!(paths, [of("c/Underscore.clap"), of("v/Underscore.vst3")].concat());
        assert!(metadata[1].1.contains("<string>Underscore</string>"));
    }
}
