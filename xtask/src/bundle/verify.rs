//! Checks of the binaries that are shipped: what they export, what they ask the loader for, and where from.

use crate::process;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// What hosts and the tools look up in the plugin.
const PLUGIN_EXPORTS: [&str; 3] = ["clap_entry", "GetPluginFactory", "underscore_diagnostics"];

/// Only folders relative to the backend itself: a path of the build machine would be opened on the user's.
const BACKEND_RUN_PATHS: [&str; 2] = ["$ORIGIN", "$ORIGIN/libtorch"];

/// The plugin must not load libtorch by being opened.
pub fn plugin(path: &Path) -> Result<()> {
    let Some(dynamic) = Dynamic::read(path)? else { return Ok(()) };
    let torch = dynamic.needed.iter().find(|name| name.contains("torch") || name.contains("libc10"));
    ensure!(
        torch.is_none(),
        "{} links {}: scanning it would load libtorch",
        path.display(),
        torch.unwrap_or(&String::new())
    );
    ensure!(dynamic.run_paths.is_empty(), "{} has run paths: {:?}", path.display(), dynamic.run_paths);
    let symbols = process::output(Command::new("readelf").args(["--dyn-syms", "--wide"]).arg(path))?;
    for export in PLUGIN_EXPORTS {
        ensure!(exports(&symbols, export), "{} does not export `{export}`", path.display());
    }
    Ok(())
}

/// The backend must find libtorch beside itself and nowhere else.
pub fn backend(path: &Path) -> Result<()> {
    let Some(dynamic) = Dynamic::read(path)? else { return Ok(()) };
    ensure!(
        dynamic.run_paths == BACKEND_RUN_PATHS,
        "{} looks for libraries in {:?}, expected {BACKEND_RUN_PATHS:?}",
        path.display(),
        dynamic.run_paths
    );
    ensure!(
        dynamic.needed.iter().any(|name| name == "libtorch_cpu.so"),
        "{} does not link libtorch_cpu.so: {:?}",
        path.display(),
        dynamic.needed
    );
    let symbols = process::output(Command::new("readelf").args(["--dyn-syms", "--wide"]).arg(path))?;
    ensure!(exports(&symbols, "underscore_backend"), "{} does not export `underscore_backend`", path.display());
    Ok(())
}

/// The dynamic section of an ELF file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Dynamic {
    needed: Vec<String>,
    run_paths: Vec<String>,
}

impl Dynamic {
    /// Nothing on systems without ELF.
    fn read(path: &Path) -> Result<Option<Self>> {
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let text = process::output(Command::new("readelf").args(["--dynamic", "--wide"]).arg(path))
            .context("readelf is missing or failed; on Debian: sudo apt install binutils")?;
        Ok(Some(Self::parse(&text)))
    }

    fn parse(text: &str) -> Self {
        let mut dynamic = Self::default();
        for line in text.lines() {
            let Some((_, rest)) = line.split_once('[') else { continue };
            let value = rest.trim_end().trim_end_matches(']');
            if line.contains("(NEEDED)") {
                dynamic.needed.push(value.to_owned());
            } else if line.contains("(RUNPATH)") || line.contains("(RPATH)") {
                dynamic.run_paths.extend(value.split(':').map(String::from));
            }
        }
        dynamic
    }
}

/// Whether `readelf --dyn-syms` lists a symbol as defined here.
fn exports(symbols: &str, name: &str) -> bool {
    symbols.lines().any(|line| {
        let mut fields = line.split_whitespace().rev();
        fields.next() == Some(name) && fields.next().is_some_and(|section| section != "UND")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dynamic_section_is_read() {
        let text = "\n 0x0000000000000001 (NEEDED)             Shared library: [libc10.so]\n \
                    0x000000000000001d (RUNPATH)            Library runpath: [$ORIGIN:$ORIGIN/libtorch]\n";
        let expected =
            Dynamic { needed: vec!["libc10.so".into()], run_paths: BACKEND_RUN_PATHS.map(String::from).to_vec() };
        assert_eq!(Dynamic::parse(text), expected);
    }

    #[test]
    fn a_symbol_from_elsewhere_is_no_export() {
        let text = "     1: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND malloc\n     \
                    2: 0000000000001000    24 OBJECT  GLOBAL DEFAULT   21 clap_entry\n";
        assert!(exports(text, "clap_entry"));
        assert!(!exports(text, "malloc"));
    }
}
