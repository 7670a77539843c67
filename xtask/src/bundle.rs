//! `cargo xtask bundle`: the CLAP, the VST3, and the folder of resources, which each finds from where its binary lies.
//!
//! ```text
//! target/bundled/Underscore.clap
//! target/bundled/Underscore.vst3/Contents/x86_64-linux/Underscore.so
//! target/bundled/Underscore.vst3/Contents/Resources -> ../../underscore.resources
//! target/bundled/underscore.resources/lib/libunderscore_torch.so
//! target/bundled/underscore.resources/lib/libtorch -> target/libtorch/lib
//! target/bundled/underscore.resources/models/*.pt
//! ```
//!
//! So it is on Linux. On macOS both bundles are folders, whose binaries lie in `Contents/MacOS`, and the CLAP has such a link, too. On Windows
//! the links are copies. With `--whole` the libraries are copies everywhere, for other machines.

mod layout;
mod verify;

use crate::{files, paths, process};
use anyhow::{Context, Result, bail};
pub use layout::{Layout, System};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Options of `bundle`.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct BundleArgs {
    /// Not optimised, to look for mistakes with: into target/bundled-debug, where nothing that measures or installs looks by itself
    #[arg(long)]
    debug: bool,
    /// Optimised, as it is shipped: so it is without this, too
    #[arg(long, hide = true, conflicts_with = "debug")]
    release: bool,
    /// Copy libtorch's libraries instead of linking them, to take the bundles to other machines; whatever makes bundles without this links them again
    #[arg(long)]
    whole: bool,
}

impl BundleArgs {
    fn folder(self) -> PathBuf {
        let folder = paths::bundled();
        if self.debug { folder.with_file_name("bundled-debug") } else { folder }
    }
}

/// Variables by which the binding to libtorch is built against another one than that in `target/libtorch`, which `.cargo/config.toml` names.
const OTHER_LIBTORCH: [&str; 4] = ["LIBTORCH_USE_PYTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_STATIC"];

/// Builds the plugin and the backend and puts the bundles together.
pub fn run(args: BundleArgs) -> Result<Layout> {
    refuse_other_libtorch(|name| std::env::var_os(name).is_some())?;
    if !paths::libtorch().join("lib").is_dir() {
        bail!("libtorch is missing: run `cargo xtask setup` first");
    }
    let layout = Layout::new(&args.folder(), &name()?);
    let built = build(args)?;
    for binary in [&layout.clap_binary, &layout.vst3_binary] {
        files::copy(&built.plugin, binary)?;
    }
    files::copy(&built.backend, &layout.backend)?;
    put_libtorch(&paths::libtorch().join("lib"), &layout.libtorch, args.whole)?;
    files::mirror(&paths::weights(), &layout.models, files::is_model)?;
    layout.metadata().iter().try_for_each(|(path, text)| files::write(path, text))?;
    for link in layout.resource_links() {
        files::link_folder(Path::new("../../underscore.resources"), link)?;
    }
    verify::plugin(&layout.clap_binary)?;
    verify::backend(&layout.backend)?;
    for made in [&layout.clap, &layout.vst3, &layout.resources] {
        println!("{}", paths::shown(made));
    }
    Ok(layout)
}

/// The backend would be built against one libtorch and shipped with another; `is_set` looks a variable of the environment up.
fn refuse_other_libtorch(is_set: impl Fn(&str) -> bool) -> Result<()> {
    if let Some(name) = OTHER_LIBTORCH.into_iter().find(|name| is_set(name)) {
        bail!(
            "{name} is set: the backend would not be built against the libtorch that it ships with, {}; unset it",
            paths::shown(&paths::libtorch())
        );
    }
    Ok(())
}

/// Name of the bundles, out of `bundler.toml`.
fn name() -> Result<String> {
    #[derive(Deserialize)]
    struct Bundle {
        name: String,
    }
    let path = paths::root().join("bundler.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut bundles: std::collections::BTreeMap<String, Bundle> =
        toml::from_str(&text).with_context(|| format!("{} does not parse", path.display()))?;
    Ok(bundles.remove("underscore").context("bundler.toml has no [underscore]")?.name)
}

/// What cargo built.
struct Built {
    plugin: PathBuf,
    backend: PathBuf,
}

/// One line of cargo's messages; others have no `target` or no `filenames`.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

fn build(args: BundleArgs) -> Result<Built> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--package", "underscore", "--package", "underscore-torch", "--lib"]);
    if !args.debug {
        cargo.arg("--release");
    }
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = process::output_of(cargo.stderr(Stdio::inherit()))?;
    let find =
        |name: &str| library(&messages, name).with_context(|| format!("cargo built no shared library for `{name}`"));
    Ok(Built { plugin: find("underscore")?, backend: find("underscore_torch")? })
}

/// The shared library of a crate among cargo's messages.
fn library(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok()).find_map(|message| {
        let target = message.target.filter(|target| target.name == name)?;
        let is_library =
            message.reason == "compiler-artifact" && target.crate_types.iter().any(|kind| kind == "cdylib");
        let is_shared = |file: &&PathBuf| file.to_string_lossy().ends_with(std::env::consts::DLL_SUFFIX);
        message.filenames.iter().find(is_shared).filter(|_| is_library).cloned()
    })
}

/// A link to the libraries takes no time and no room; copies of those that are opened are found on another machine, too.
fn put_libtorch(libraries: &Path, destination: &Path, whole: bool) -> Result<()> {
    if whole {
        files::mirror(libraries, destination, files::is_run_time_library)
    } else {
        files::link_folder(libraries, destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_library_is_found_among_cargos_messages() {
        let suffix = std::env::consts::DLL_SUFFIX;
        let messages = format!(
            "{}\n{}\n{}\n",
            r#"{"reason":"build-script-executed","package_id":"x"}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"a","crate_types":["rlib"]},"filenames":["/t/liba.rlib"]}"#,
            format_args!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"a","crate_types":["cdylib","rlib"]}},"filenames":["/t/liba.rlib","/t/liba{suffix}"]}}"#
            ),
        );
        assert_eq!(library(&messages, "a"), Some(PathBuf::from(format!("/t/liba{suffix}"))));
        assert_eq!(library(&messages, "b"), None);
    }

    #[test]
    fn bundles_are_optimised_unless_the_others_are_asked_for_and_those_lie_elsewhere() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: BundleArgs,
        }
        let parsed = |flags: &[&str]| {
            let words = std::iter::once("bundle").chain(flags.iter().copied());
            <Command as clap::Parser>::try_parse_from(words).map(|command| command.args)
        };
        for flags in [&[][..], &["--release"]] {
            let args = parsed(flags).expect("flags of before are taken");
            assert!(!args.debug && args.folder() == paths::bundled());
        }
        let args = parsed(&["--debug"]).expect("the flag");
        assert!(args.debug && args.folder() != paths::bundled() && args.folder().parent() == paths::bundled().parent());
        assert!(parsed(&["--debug", "--release"]).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn whole_bundles_hold_the_libraries_that_are_opened_and_others_lead_to_those_of_the_set_up() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [libraries, destination] = ["lib", "bundled/libtorch"].map(|name| folder.path().join(name));
        let names = |folder: &Path| {
            let files = files::list(folder, |_| true).expect("a list");
            files.iter().map(|file| file.file_name().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let of_set_up = ["libgomp.so.1", "libtorch.so", "libtorch_cpu.so", "libtorch_cuda.so"];
        for name in of_set_up {
            files::write(&libraries.join(name), name).expect("a file");
        }
        for round in 0..2 {
            put_libtorch(&libraries, &destination, false).expect("a link");
            assert!(destination.is_symlink(), "round {round}");
            put_libtorch(&libraries, &destination, true).expect("copies");
            assert_eq!(names(&destination), ["libgomp.so.1", "libtorch_cpu.so", "libtorch_cuda.so"]);
            assert!(!destination.is_symlink() && names(&libraries) == of_set_up, "round {round}");
        }
        files::remove(&libraries.join("libtorch_cuda.so")).expect("one less");
        put_libtorch(&libraries, &destination, true).expect("copies");
        assert_eq!(names(&destination), ["libgomp.so.1", "libtorch_cpu.so"]);
    }

    #[test]
    fn another_libtorch_is_refused_and_the_variable_named_that_asks_for_it() {
        refuse_other_libtorch(|name| name == "LIBTORCH").expect("the one that the configuration of cargo names");
        for asked in OTHER_LIBTORCH {
            let error = refuse_other_libtorch(|name| name == asked).expect_err("another one").to_string();
            assert!(error.contains(&format!("{asked} is set")) && error.contains("unset it"), "{error}");
        }
    }

    #[test]
    fn the_bundle_has_a_name() {
        assert_eq!(name().expect("bundler.toml"), "Underscore");
    }
}
