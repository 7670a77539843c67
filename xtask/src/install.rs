//! `cargo xtask install` and `uninstall`: the bundles into the user's plugin folders, what they open into the user's data folder, and beside the
//! bundles links to that, for hosts to which another folder is the user's (Flatpak).

mod record;

use crate::bundle::{self, BundleArgs, Layout, System};
use crate::{files, paths, setup};
use anyhow::{Context, Result, bail};
use record::Record;
use std::collections::BTreeSet;
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
    fn of_user(system: System, env: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let folder = |name: &str| {
            let value = env(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from).with_context(|| format!("{name} is not set: where is the user's folder?"))
        };
        if system == System::Windows {
            // Of this machine: what lies in the other one, `APPDATA`, follows the user to every machine.
            let local = folder("LOCALAPPDATA")?;
            let common = local.join("Programs").join("Common");
            return Ok(Self { clap: common.join("CLAP"), vst3: common.join("VST3"), data: local.join("underscore") });
        }
        let home = folder("HOME")?;
        if system == System::MacOs {
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
        Layout::with_folders(System::OWN, &self.clap, &self.vst3, &self.data, name)
    }

    /// The folders that stay when they are empty: others' plugins and data lie there, too.
    fn shared(&self) -> [&Path; 3] {
        [&self.clap, &self.vst3, self.data.parent().unwrap_or(&self.data)]
    }
}

/// Sets up, builds the release bundles and installs them for this user.
pub fn install() -> Result<()> {
    setup::run(&setup::SetupArgs::default())?;
    let built = bundle::run(BundleArgs::default())?;
    let places = Places::of_user(System::OWN, |name| std::env::var_os(name))?;
    copy_all(&built, &places, &paths::libtorch().join("lib"))?;
    println!("Rescan the plugins in your host; `cargo xtask uninstall` takes all of it away again.");
    Ok(())
}

/// Where the plugin leaves marks of loads, in the folder of its data (the engine's `load_marks`).
const MARKS: &str = "loading";

/// Removes what `install` put there and the marks that the plugin left, and nothing else.
pub fn uninstall() -> Result<()> {
    remove_all(&Places::of_user(System::OWN, |name| std::env::var_os(name))?)
}

fn copy_all(built: &Layout, places: &Places, libtorch: &Path) -> Result<()> {
    let installed = places.layout(&built.name);
    let mut record = Record::read(&places.data)?;
    let mut is_put = BTreeSet::new();
    let mut put = |to: &Path, write: &dyn Fn() -> Result<()>| -> Result<()> {
        // Written down first: an interrupted installation can be taken away too.
        record.add(to)?;
        write()?;
        is_put.insert(to.to_path_buf());
        println!("installed {}", to.display());
        Ok(())
    };
    for (path, text) in installed.metadata() {
        put(&path, &|| files::write(&path, &text))?;
    }
    let mut copy = |from: &Path, to: PathBuf| put(&to, &|| files::copy(from, &to));
    copy(&built.clap_binary, installed.clap_binary.clone())?;
    copy(&built.vst3_binary, installed.vst3_binary.clone())?;
    copy(&built.backend, installed.backend.clone())?;
    for library in files::list(libtorch, files::is_run_time_library)? {
        let name = library.file_name().context("a library has a name")?.to_owned();
        copy(&library, installed.libtorch.join(name))?;
    }
    for model in files::list(&built.models, files::is_model)? {
        let name = model.file_name().context("a model has a name")?.to_owned();
        copy(&model, installed.models.join(name))?;
    }
    let links = if files::HAS_LINKS { &installed.resource_links()[..] } else { &[] };
    let (free, taken): (Vec<&Path>, Vec<&Path>) = links.iter().partition(|link| is_free(link));
    for link in free {
        put(link, &|| files::link_folder(&places.data, link))?;
    }
    for link in taken {
        record.forget(link)?;
        eprintln!(
            "left {} as it is: no installation made it. The plugin looks there before it looks in {}; remove it and install again, \
             unless it is meant so",
            link.display(),
            places.data.display()
        );
    }
    remove_stale(&mut record, places, &is_put)?;
    // What an installation before did to its hosts says nothing of this one.
    files::remove(&places.data.join(MARKS))
}

/// Whether a link to what is installed may take this name: nothing has it, or a link to what was installed, there or gone.
fn is_free(link: &Path) -> bool {
    link.symlink_metadata().is_err() || (link.is_symlink() && (Record::is_in(link) || !link.exists()))
}

/// Removes what an installation before left in the data folder and this one has not: models, and libraries of another libtorch, which would
/// be opened beside this one.
fn remove_stale(record: &mut Record, places: &Places, is_put: &BTreeSet<PathBuf>) -> Result<()> {
    let is_stale = |path: &&PathBuf| path.starts_with(&places.data) && !is_put.contains(*path);
    let stale: Vec<PathBuf> = record.paths().iter().filter(is_stale).cloned().collect();
    let has_cuda = stale.iter().any(|path| path.to_string_lossy().contains("_cuda"));
    for path in stale {
        remove_installed(&path, &places.shared())?;
        record.forget(&path)?;
    }
    if has_cuda {
        println!("For an NVIDIA card: `cargo xtask setup --cuda`, then install again.");
    }
    Ok(())
}

fn remove_all(places: &Places) -> Result<()> {
    let record = Record::read(&places.data)?;
    if record.is_empty() {
        bail!("nothing is installed: there is no record in {}", places.data.display());
    }
    for path in record.paths() {
        remove_installed(path, &places.shared())?;
    }
    files::remove(&places.data.join(MARKS))?;
    record.remove()?;
    remove_empty_parents(&places.data.join("record"), &places.shared());
    Ok(())
}

/// Removes a file or a link that was installed, what an interrupted installation left of it, and the folders that are empty then.
fn remove_installed(path: &Path, keep: &[&Path]) -> Result<()> {
    match path.symlink_metadata() {
        // No folder was ever written down: somebody has put one in the place of the file or of the link.
        Ok(metadata) if metadata.is_dir() => println!("left {}, which is a folder", path.display()),
        Ok(metadata) if metadata.is_symlink() && path.is_dir() && !Record::is_in(path) => {
            println!("left {}, which leads to another folder than an installation's", path.display());
        }
        Ok(_) => {
            files::remove(path)?;
            println!("removed {}", path.display());
        }
        Err(_) => {}
    }
    // An installation that was interrupted has the last of them under its other name.
    if files::remove_part(path)? {
        println!("removed {}", files::part_of(path).display());
    }
    remove_empty_parents(path, keep);
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
        Places::of_user(System::Linux, |name| (name == "HOME").then(|| home.into())).expect("a user")
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
        let places = Places::of_user(System::Linux, |name| match name {
            "HOME" => Some("/home/u".into()),
            "XDG_DATA_HOME" => Some("/data".into()),
            _ => None,
        });
        assert_eq!(places.expect("a user").data, Path::new("/data/underscore"));
        assert_eq!(user_of(Path::new("/home/u")).data, Path::new("/home/u/.local/share/underscore"));
        let relative =
            Places::of_user(System::Linux, |name| Some(if name == "HOME" { "/home/u" } else { "data" }.into()));
        assert_eq!(
            relative.expect("a user").data,
            Path::new("/home/u/.local/share/underscore"),
            "where the plugin looks"
        );
        assert!(Places::of_user(System::Linux, |_| None).is_err());
        assert!(fs::metadata("/data/underscore").is_err(), "nothing is made by looking");
    }

    #[test]
    fn on_windows_nothing_lies_where_it_would_follow_the_user_to_other_machines() {
        let places = Places::of_user(System::Windows, |name| (name == "LOCALAPPDATA").then(|| "local".into()));
        let places = places.expect("a user");
        assert_eq!(places.data, Path::new("local/underscore"));
        assert!(places.clap.starts_with("local") && places.vst3.starts_with("local"));
    }

    #[test]
    fn beside_the_plugins_links_lead_to_the_data_folder_and_go_with_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (layout, libtorch) = built(folder.path());
        let home = folder.path().join("home");
        let links =
            [".clap/underscore.resources", ".vst3/Underscore.vst3/Contents/Resources"].map(|link| home.join(link));
        let data_folders = [home.join(".local/share"), folder.path().join("other-data")];
        for data in &data_folders {
            let variables = |name: &str| match name {
                "HOME" => Some(home.clone().into()),
                "XDG_DATA_HOME" => Some(data.clone().into()),
                _ => None,
            };
            let places = Places::of_user(System::Linux, variables).expect("a user");
            for _ in 0..2 {
                copy_all(&layout, &places, &libtorch).expect("an installation");
                for link in &links {
                    assert_eq!(fs::read_link(link).expect("a link"), data.join("underscore"), "not that of before");
                    assert!(link.join("models/a-model.pt").is_file());
                }
            }
        }
        let first = user_of(&home);
        remove_all(&first).expect("no installation");
        assert!(links.iter().all(|link| !link.is_symlink()));
        assert!(data_folders[1].join("underscore/models/a-model.pt").is_file(), "what a link led to is another's");
    }

    #[test]
    fn what_somebody_else_has_put_in_the_place_of_a_link_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (layout, libtorch) = built(folder.path());
        let home = folder.path().join("home");
        let places = user_of(&home);
        let own_folder = home.join(".clap/underscore.resources");
        let own_link = home.join(".vst3/Underscore.vst3/Contents/Resources");
        files::write(&own_folder.join("models/my-own.pt"), "another's").expect("a file");
        files::link_folder(&layout.resources, &own_link).expect("a link");
        copy_all(&layout, &places, &libtorch).expect("an installation");
        let stays = || {
            assert!(own_folder.join("models/my-own.pt").is_file() && !own_folder.is_symlink());
            assert_eq!(fs::read_link(&own_link).expect("a link"), layout.resources);
        };
        stays();
        remove_all(&places).expect("no installation");
        stays();

        // It was ours, and has been replaced since.
        files::remove(&own_folder).expect("a free name");
        copy_all(&layout, &places, &libtorch).expect("an installation");
        assert!(own_folder.is_symlink());
        files::remove(&own_folder).expect("a free name");
        files::write(&own_folder.join("models/my-own.pt"), "another's").expect("a file");
        remove_all(&places).expect("no installation");
        stays();

        // A link that somebody leads elsewhere after it was made, with another installation after that or without.
        for again in [true, false] {
            let link = home.join(".clap/underscore.resources");
            files::remove(&link).ok();
            std::fs::remove_dir_all(&link).ok();
            copy_all(&layout, &places, &libtorch).expect("an installation");
            files::link_folder(&layout.resources, &link).expect("another link");
            if again {
                copy_all(&layout, &places, &libtorch).expect("an installation");
            }
            remove_all(&places).expect("no installation");
            assert_eq!(fs::read_link(&link).expect("the link"), layout.resources);
        }
    }

    #[test]
    fn a_link_to_a_folder_that_is_gone_is_made_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (layout, libtorch) = built(folder.path());
        let places = user_of(&folder.path().join("home"));
        let link = folder.path().join("home/.clap/underscore.resources");
        files::link_folder(&folder.path().join("gone"), &link).expect("a link");
        copy_all(&layout, &places, &libtorch).expect("an installation");
        assert_eq!(fs::read_link(&link).expect("a link"), places.data);
        remove_all(&places).expect("no installation");
        assert!(!link.is_symlink());
    }

    #[test]
    fn an_update_leaves_nothing_of_the_version_before() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (layout, libtorch) = built(folder.path());
        let places = user_of(&folder.path().join("home"));
        let of_cuda = libtorch.join("libtorch_cuda.so");
        files::write(&of_cuda, "of this libtorch").expect("a file");
        let installed = places.layout("Underscore");
        for _ in 0..2 {
            copy_all(&layout, &places, &libtorch).expect("an installation");
            assert!(
                installed.libtorch.join("libtorch_cuda.so").is_file(),
                "what the set-up has is installed every time"
            );
        }
        let foreign = installed.models.join("my-own.pt");
        files::write(&foreign, "another's").expect("a file");
        files::remove(&of_cuda).expect("another libtorch");
        fs::rename(layout.models.join("a-model.pt"), layout.models.join("b-model.pt")).expect("another model");
        copy_all(&layout, &places, &libtorch).expect("an update");
        let left = |folder: &Path| files::list(folder, |_| true).expect("a list");
        assert_eq!(left(&installed.models), [installed.models.join("b-model.pt"), foreign]);
        assert_eq!(
            left(&installed.libtorch),
            ["libgomp.so.1", "libtorch_cpu.so"].map(|name| installed.libtorch.join(name))
        );
        let record = Record::read(&places.data).expect("a record");
        assert!(record.paths().iter().all(|path| path.symlink_metadata().is_ok()), "{:?}", record.paths());
    }
}
