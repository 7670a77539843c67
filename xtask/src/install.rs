//! `cargo xtask install` and `uninstall`: the bundles into the user's plugin folders, and what they open into the user's data
//! folder, where a CLAP of one file finds it.

mod record;

use crate::bundle::{self, BundleArgs, Layout};
use crate::{files, paths, setup};
use anyhow::{Context, Result, bail};
use record::Record;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The user's folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    clap: PathBuf,
    vst3: PathBuf,
    data: PathBuf,
}

impl Places {
    /// As each system has them; `env` looks a variable of the environment up.
    fn of_user(env: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let folder = |name: &str| {
            let value = env(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from).with_context(|| format!("{name} is not set: where is the user's folder?"))
        };
        if cfg!(windows) {
            let common = folder("LOCALAPPDATA")?.join("Programs").join("Common");
            return Ok(Self {
                clap: common.join("CLAP"),
                vst3: common.join("VST3"),
                data: folder("APPDATA")?.join("underscore"),
            });
        }
        let home = folder("HOME")?;
        if cfg!(target_os = "macos") {
            let library = home.join("Library");
            return Ok(Self {
                clap: library.join("Audio/Plug-Ins/CLAP"),
                vst3: library.join("Audio/Plug-Ins/VST3"),
                data: library.join("Application Support/Underscore"),
            });
        }
        // One that depends on where a program was started is none, the standard says, and the plugin keeps to that.
        let data = folder("XDG_DATA_HOME").ok().filter(|data| data.is_absolute());
        let data = data.unwrap_or_else(|| home.join(".local/share"));
        Ok(Self { clap: home.join(".clap"), vst3: home.join(".vst3"), data: data.join("underscore") })
    }

    fn layout(&self, name: &str) -> Layout {
        Layout::with_folders(&self.clap, &self.vst3, &self.data, name)
    }
}

/// Sets up, builds the release bundles and installs them for this user.
pub fn install() -> Result<()> {
    setup::run(&setup::SetupArgs::default())?;
    let built = bundle::run(BundleArgs::default())?;
    let places = Places::of_user(|name| std::env::var_os(name))?;
    copy_all(&built, &places, &paths::libtorch().join("lib"))?;
    println!("Rescan the plugins in your host; `cargo xtask uninstall` takes all of it away again.");
    Ok(())
}

/// Where the plugin leaves marks of loads, in the folder of its data (the engine's `load_marks`).
const MARKS: &str = "loading";

/// Removes what `install` put there and the marks that the plugin left, and nothing else.
pub fn uninstall() -> Result<()> {
    remove_all(&Places::of_user(|name| std::env::var_os(name))?)
}

fn copy_all(built: &Layout, places: &Places, libtorch: &Path) -> Result<()> {
    let installed = places.layout(&built.name);
    let mut record = Record::read(&places.data)?;
    let mut put = |to: &Path, write: &dyn Fn() -> Result<()>| -> Result<()> {
        // Written down first: an interrupted installation can be taken away too.
        record.add(to)?;
        write()?;
        println!("copied {}", to.display());
        Ok(())
    };
    for (path, text) in installed.metadata() {
        put(&path, &|| files::write(&path, &text))?;
    }
    let mut copy = |from: &Path, to: PathBuf| put(&to, &|| files::copy(from, &to));
    copy(&built.clap_binary, installed.clap_binary.clone())?;
    copy(&built.vst3_binary, installed.vst3_binary.clone())?;
    copy(&built.backend, installed.backend.clone())?;
    for library in files::list(libtorch, is_run_time_library)? {
        let name = library.file_name().context("a library has a name")?.to_owned();
        copy(&library, installed.libtorch.join(name))?;
    }
    for model in files::list(&built.models, files::is_model)? {
        let name = model.file_name().context("a model has a name")?.to_owned();
        copy(&model, installed.models.join(name))?;
    }
    // What an installation before did to its hosts says nothing of this one.
    files::remove(&places.data.join(MARKS))
}

/// The linker script and what an interrupted set-up left are of no use at run time.
fn is_run_time_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_library = name.contains(std::env::consts::DLL_SUFFIX) && !name.contains(".part");
    is_library && name != "libtorch.so"
}

fn remove_all(places: &Places) -> Result<()> {
    let record = Record::read(&places.data)?;
    if record.is_empty() {
        bail!("nothing is installed: there is no record in {}", places.data.display());
    }
    let user_data = places.data.parent().unwrap_or(&places.data);
    let keep = [places.clap.as_path(), &places.vst3, user_data];
    for path in record.paths() {
        if path.symlink_metadata().is_ok() {
            files::remove(path)?;
            println!("removed {}", path.display());
        }
        // An installation that was interrupted has the last of them under its other name.
        if files::remove_part(path)? {
            println!("removed {}", files::part_of(path).display());
        }
        remove_empty_parents(path, &keep);
    }
    files::remove(&places.data.join(MARKS))?;
    record.remove()?;
    remove_empty_parents(&places.data.join("record"), &keep);
    Ok(())
}

/// Removes the folders above a path as long as they are empty and not the plugin folders themselves.
fn remove_empty_parents(path: &Path, keep: &[&Path]) {
    for folder in path.ancestors().skip(1) {
        if keep.contains(&folder) || std::fs::remove_dir(folder).is_err() {
            return;
        }
        println!("removed {}", folder.display());
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;

    fn user_of(home: &Path) -> Places {
        Places::of_user(|name| (name == "HOME").then(|| home.into())).expect("a user")
    }

    /// A set of bundles whose files hold their own names.
    fn built(folder: &Path) -> (Layout, PathBuf) {
        let layout = Layout::new(&folder.join("bundled"), "Underscore");
        let libtorch = folder.join("libtorch");
        let others = [libtorch.join("libtorch_cpu.so"), libtorch.join("libgomp.so.1"), libtorch.join("libtorch.so")];
        let model = layout.models.join("a-model.pt");
        for path in [&layout.clap_binary, &layout.vst3_binary, &layout.backend, &model].into_iter().chain(&others) {
            files::write(path, &path.to_string_lossy()).expect("a file");
        }
        (layout, libtorch)
    }

    #[test]
    fn what_is_installed_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (layout, libtorch) = built(folder.path());
        let home = folder.path().join("home");
        let places = user_of(&home);
        let foreign = [home.join(".clap/Other.clap"), home.join(".local/share/underscore/models/my-own.pt")];
        for path in &foreign {
            files::write(path, "another's").expect("a file");
        }
        copy_all(&layout, &places, &libtorch).expect("an installation");
        for path in [
            ".clap/Underscore.clap",
            ".vst3/Underscore.vst3/Contents/x86_64-linux/Underscore.so",
            ".local/share/underscore/lib/libunderscore_torch.so",
            ".local/share/underscore/lib/libtorch/libgomp.so.1",
            ".local/share/underscore/models/a-model.pt",
        ] {
            assert!(home.join(path).is_file(), "{path}");
        }
        assert!(!home.join(".local/share/underscore/lib/libtorch/libtorch.so").exists(), "the linker script stays");
        let mark = home.join(".local/share/underscore/loading/0.1.0-libtorch@1-0");
        files::write(&mark, "of a host that is gone").expect("a file");
        copy_all(&layout, &places, &libtorch).expect("the same again");
        assert!(!mark.exists(), "what was repaired is to be tried");
        files::write(&mark, "of a host that is gone").expect("a file");

        remove_all(&places).expect("no installation");
        assert!(foreign.iter().all(|path| path.exists()));
        assert!(!home.join(".clap/Underscore.clap").exists());
        assert!(!home.join(".vst3/Underscore.vst3").exists());
        assert!(!home.join(".local/share/underscore/lib").exists());
        assert!(!mark.parent().is_some_and(Path::exists));
        assert!(home.join(".vst3").exists(), "the folders of all plugins stay");
        assert!(remove_all(&places).is_err(), "a second time there is nothing");
    }

    #[test]
    fn of_an_interrupted_installation_nothing_stays_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (layout, libtorch) = built(folder.path());
        let home = folder.path().join("home");
        let places = user_of(&home);
        copy_all(&layout, &places, &libtorch).expect("an installation");
        let library = places.layout("Underscore").libtorch.join("libtorch_cpu.so");
        // Where the copy of the largest file is interrupted: it is written down, and half of it is there under its other name.
        let part = files::Part::of(&library).expect("a part");
        fs::rename(&library, part.path()).expect("half a file");
        std::mem::forget(part);
        let data = home.join(".local/share/underscore");
        fs::write(data.join("installed.txt.part"), "half a record").expect("a file");
        remove_all(&places).expect("no installation");
        assert!(!data.exists(), "{:?}", files::list(&data.join("lib/libtorch"), |_| true));
    }

    #[test]
    fn the_data_folder_follows_the_desktop_convention() {
        let places = Places::of_user(|name| match name {
            "HOME" => Some("/home/u".into()),
            "XDG_DATA_HOME" => Some("/data".into()),
            _ => None,
        });
        assert_eq!(places.expect("a user").data, Path::new("/data/underscore"));
        assert_eq!(user_of(Path::new("/home/u")).data, Path::new("/home/u/.local/share/underscore"));
        let relative = Places::of_user(|name| Some(if name == "HOME" { "/home/u" } else { "data" }.into()));
        assert_eq!(
            relative.expect("a user").data,
            Path::new("/home/u/.local/share/underscore"),
            "where the plugin looks"
        );
        assert!(Places::of_user(|_| None).is_err());
        assert!(fs::metadata("/data/underscore").is_err(), "nothing is made by looking");
    }
}
