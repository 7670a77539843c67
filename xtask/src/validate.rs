//! `cargo xtask validate`: the validators that are installed, over the built bundles.

use crate::{paths, process};
use anyhow::{Result, bail, ensure};
use std::path::Path;
use std::process::Command;

/// One validator: its program's name, where it comes from, and how it is called.
struct Validator {
    names: &'static [&'static str],
    origin: &'static str,
    extension: &'static str,
    arguments: fn(&Path) -> Vec<String>,
}

const VALIDATORS: [Validator; 3] = [
    Validator {
        names: &["clap-validator"],
        origin: "the free-audio/clap-validator project",
        extension: "clap",
        arguments: |bundle| vec!["validate".into(), bundle.display().to_string()],
    },
    Validator {
        names: &["pluginval"],
        origin: "the Tracktion/pluginval project",
        extension: "vst3",
        arguments: |bundle| {
            ["--strictness-level", "8", "--skip-gui-tests", "--validate-in-process", "--validate"]
                .map(String::from)
                .into_iter()
                .chain([bundle.display().to_string()])
                .collect()
        },
    },
    Validator {
        names: &["vst3-validator", "validator"],
        origin: "the VST3 SDK (public.sdk/samples/vst-hosting/validator)",
        extension: "vst3",
        arguments: |bundle| vec![bundle.display().to_string()],
    },
];

/// Runs every validator on `PATH`; none at all is an error.
pub fn run() -> Result<()> {
    let mut num_run = 0;
    let mut failed = Vec::new();
    for validator in &VALIDATORS {
        let name = validator.names[0];
        let Some(program) = process::find_program(validator.names) else {
            println!("{name} is not on PATH; it comes from {}", validator.origin);
            continue;
        };
        let bundle = paths::bundled().join(format!("Underscore.{}", validator.extension));
        ensure!(bundle.exists(), "{} is missing: run `cargo xtask bundle` first", paths::shown(&bundle));
        num_run += 1;
        if let Err(error) = process::run(Command::new(program).args((validator.arguments)(&bundle))) {
            eprintln!("error: {error:#}");
            failed.push(name);
        }
    }
    ensure!(num_run > 0, "no validator is installed");
    if !failed.is_empty() {
        bail!("{} of {num_run} validators failed: {}", failed.len(), failed.join(", "));
    }
    println!("{num_run} validators passed");
    Ok(())
}
