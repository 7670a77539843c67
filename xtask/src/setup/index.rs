//! Asks pip where a wheel is. No address of a package index stands in this repository: pip knows the one that the machine is
//! set up for, with its mirrors, certificates and proxies.

use super::pins::{Package, Pins};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of torch's wheels: the libraries are those of any Python, but their build, so their digests, may differ.
const PYTHON_VERSION: &str = "3.11";

/// What pip says of one package.
#[derive(Debug, PartialEq, Eq)]
pub struct Wheel {
    /// Address of the wheel, `https:` or `file:`.
    pub url: String,
    /// SHA-256 of the whole wheel.
    pub sha256: String,
}

#[derive(Deserialize)]
struct Report {
    install: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    download_info: DownloadInfo,
}

#[derive(Deserialize)]
struct DownloadInfo {
    url: String,
    archive_info: ArchiveInfo,
}

#[derive(Deserialize)]
struct ArchiveInfo {
    #[serde(default)]
    hashes: std::collections::HashMap<String, String>,
    hash: Option<String>,
}

/// Resolves the wheel of a package, without downloading it.
pub fn resolve(pins: &Pins, package: &Package) -> Result<Wheel> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let report = report(&mut pip()?, folder.path(), &selection(pins, package)).with_context(|| {
        format!(
            "pip cannot find {} {}; is the network there, and is pip 22.2 or later (`python3 -m pip --version`)?",
            package.name, package.version
        )
    })?;
    let wheel = parse(&report).with_context(|| format!("pip's report on {} is not understood", package.name))?;
    if wheel.sha256 != package.wheel_sha256 {
        bail!(
            "the package index offers {} {} with SHA-256 {}, expected {}: it is not the wheel this version was made for",
            package.name,
            package.version,
            wheel.sha256,
            package.wheel_sha256
        );
    }
    Ok(wheel)
}

/// What pip would install, into `folder`, which takes its report. A file is UTF-8 everywhere; what a program prints on Windows is not.
fn report(pip: &mut Command, folder: &Path, selection: &[String]) -> Result<String> {
    let path = folder.join("report.json");
    pip.args(["install", "--dry-run", "--ignore-installed", "--quiet", "--report"]).arg(&path);
    crate::process::run_silently(pip.arg("--target").arg(folder).args(selection))?;
    std::fs::read_to_string(&path).with_context(|| format!("cannot read pip's report, {}", path.display()))
}

/// Downloads the whole wheel into `folder`, for an index that cannot send parts of a file.
pub fn download(pins: &Pins, package: &Package, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    crate::process::run_quietly(pip()?.args(["download", "--dest"]).arg(folder).args(selection(pins, package)))?;
    let prefix = format!("{}-{}-", package.name.replace('-', "_"), package.version);
    let entries = folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
        .with_context(|| format!("pip left no file {prefix}*.whl in {}", folder.display()))
}

/// The arguments that name one wheel and no other.
fn selection(pins: &Pins, package: &Package) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["--no-deps", "--disable-pip-version-check", "--only-binary=:all:"].map(String::from).into();
    arguments.extend(["--python-version", PYTHON_VERSION].map(String::from));
    for platform in &pins.wheel_platforms {
        arguments.extend(["--platform".to_owned(), platform.clone()]);
    }
    arguments.push(format!("{}=={}", package.name, package.version));
    arguments
}

/// `python3 -m pip`, after a check that there is one.
fn pip() -> Result<Command> {
    // Nobody has these packages elsewhere.
    let packages = if cfg!(target_os = "linux") { "; on Debian: sudo apt install python3 python3-pip" } else { "" };
    let Some(python) = crate::process::python() else {
        bail!(
            "Python 3 is missing: nothing on PATH that is called {} runs; install it, or set PYTHON to its program{packages}",
            crate::process::PYTHONS.join(" or ")
        );
    };
    if crate::process::run_silently(Command::new(&python).args(["-m", "pip", "--version"])).is_err() {
        bail!(
            "`{} -m pip` does not run: expected a Python 3 with pip; install pip for it, or set PYTHON to one that has it{packages}",
            python.display()
        );
    }
    let mut command = Command::new(python);
    command.args(["-m", "pip"]);
    Ok(command)
}

fn parse(report: &str) -> Result<Wheel> {
    let report: Report = serde_json::from_str(report)?;
    let Some(item) = report.install.into_iter().next() else { bail!("it lists no package") };
    let info = item.download_info;
    // pip before 23 writes `hash: "sha256=…"` alone.
    let old = info.archive_info.hash.as_deref().and_then(|hash| hash.strip_prefix("sha256=")).map(String::from);
    let Some(sha256) = info.archive_info.hashes.get("sha256").cloned().or(old) else { bail!("it has no SHA-256") };
    Ok(Wheel { url: info.url, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_hash_are_read() {
        let wheel = Wheel { url: "https://example.org/a.whl".into(), sha256: "12ab".into() };
        for archive_info in [r#"{"hash":"sha256=12ab"}"#, r#"{"hash":"sha256=12ab","hashes":{"sha256":"12ab"}}"#] {
            let report = format!(
                r#"{{"install":[{{"download_info":{{"url":"https://example.org/a.whl","archive_info":{archive_info}}}}}]}}"#
            );
            assert_eq!(parse(&report).expect("a report"), wheel);
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_report_is_read_from_a_file_whatever_else_pip_prints() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = r#"printf '\344'; while [ "$1" != --report ]; do shift; done; printf '{"author": "Zoë"}' > "$2""#;
        let mut pip = Command::new("sh");
        let report = report(pip.args(["-c", script, "pip"]), folder.path(), &[]);
        assert_eq!(report.expect("a report"), r#"{"author": "Zoë"}"#);
    }

    #[test]
    fn a_report_without_a_package_is_an_error() {
        assert!(parse(r#"{"install":[]}"#).is_err());
    }
}
