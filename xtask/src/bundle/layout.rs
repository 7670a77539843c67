//! Where everything lies in the bundles, as each system's hosts expect it.

use std::env::consts::{ARCH, DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

/// By what its hosts expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// And whatever else keeps to its conventions.
    Linux,
    MacOs,
    Windows,
}

impl System {
    /// The one that this program was built for.
    pub const OWN: Self = if cfg!(target_os = "macos") {
        Self::MacOs
    } else if cfg!(windows) {
        Self::Windows
    } else {
        Self::Linux
    };
}

/// The paths of one set of bundles.
#[derive(Debug, Clone)]
pub struct Layout {
    system: System,
    /// Name without extension.
    pub name: String,
    /// The CLAP: one file, on macOS a folder.
    pub clap: PathBuf,
    /// The plugin's binary in it.
    pub clap_binary: PathBuf,
    /// Where that looks for the resources first.
    pub clap_resources: PathBuf,
    /// The VST3: a folder.
    pub vst3: PathBuf,
    /// The plugin's binary in it.
    pub vst3_binary: PathBuf,
    /// Where that looks for the resources first.
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
        Self::with_folders(System::OWN, folder, folder, &folder.join("underscore.resources"), name)
    }

    /// The CLAP, the VST3 and the resources in folders of their own.
    pub fn with_folders(system: System, clap_folder: &Path, vst3_folder: &Path, resources: &Path, name: &str) -> Self {
        let clap = clap_folder.join(format!("{name}.clap"));
        let vst3 = vst3_folder.join(format!("{name}.vst3"));
        let vst3_binary = match system {
            System::Linux => vst3.join(format!("Contents/{ARCH}-linux/{name}.so")),
            System::MacOs => vst3.join("Contents/MacOS").join(name),
            System::Windows => vst3.join(format!("Contents/{ARCH}-win/{name}.vst3")),
        };
        let (clap_binary, clap_resources) = match system {
            System::Linux | System::Windows => (clap.clone(), clap_folder.join("underscore.resources")),
            System::MacOs => (clap.join("Contents/MacOS").join(name), clap.join("Contents/Resources")),
        };
        Self {
            system,
            name: name.to_owned(),
            clap,
            clap_binary,
            clap_resources,
            vst3_resources: vst3.join("Contents/Resources"),
            vst3,
            vst3_binary,
            backend: resources.join("lib").join(format!("{DLL_PREFIX}underscore_torch{DLL_SUFFIX}")),
            libtorch: resources.join("lib/libtorch"),
            models: resources.join("models"),
            resources: resources.to_path_buf(),
        }
    }

    /// The names that are to lead to the resources; those that lie beside a CLAP of one file need none.
    pub fn resource_links(&self) -> Vec<&Path> {
        let names = [self.clap_resources.as_path(), &self.vst3_resources];
        names.into_iter().filter(|name| *name != self.resources).collect()
    }

    /// The texts that macOS wants in a bundle beside the binary; elsewhere none.
    pub fn metadata(&self) -> Vec<(PathBuf, String)> {
        if self.system != System::MacOs {
            return Vec::new();
        }
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

    fn with_folders(system: System) -> Layout {
        Layout::with_folders(system, Path::new("c"), Path::new("v"), Path::new("r"), "Underscore")
    }

    #[test]
    fn where_the_plugin_looks_first_a_link_leads_to_the_resources_unless_they_lie_there() {
        let bundled = Layout::new(Path::new("b"), "Underscore");
        assert_eq!(bundled.resource_links(), [Path::new("b/Underscore.vst3/Contents/Resources")]);
        for (system, clap_resources) in [
            (System::Linux, "c/underscore.resources"),
            (System::MacOs, "c/Underscore.clap/Contents/Resources"),
            (System::Windows, "c/underscore.resources"),
        ] {
            let expected = [clap_resources, "v/Underscore.vst3/Contents/Resources"].map(Path::new);
            assert_eq!(with_folders(system).resource_links(), expected, "{system:?}");
        }
    }

    #[test]
    fn on_macos_both_bundles_hold_what_the_system_knows_them_by() {
        let metadata = with_folders(System::MacOs).metadata();
        let paths: Vec<_> = metadata.iter().map(|(path, _)| path.to_string_lossy()).collect();
        let of = |bundle: &str| ["PkgInfo", "Info.plist"].map(|name| format!("{bundle}/Contents/{name}"));
        assert_eq!(paths, [of("c/Underscore.clap"), of("v/Underscore.vst3")].concat());
        assert!(metadata[1].1.contains("<string>Underscore</string>"));
    }
}
