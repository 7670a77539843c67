//! The VST3 bundle in a host of another make, which activates the main bus only: `tests/vst3/check.py` in pedalboard.

use super::tally::{self, Tally};
use crate::{digest, files, paths, process};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Runs the checks; left out, with the reason, where the host cannot be had or does not start.
pub fn run() -> Result<Tally> {
    let folder = paths::root().join("tests").join("vst3");
    let packages = paths::target().join("vst3-host");
    let Some(python) = process::python() else {
        println!("left out: there is no Python 3");
        return Ok(Tally::default());
    };
    let file = folder.join("requirements.txt");
    let requirements = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    // Packages are built for one Python: after another one they are installed anew.
    let version = process::output(Command::new(&python).arg("--version")).unwrap_or_default();
    let install = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target"]).arg(&packages);
        process::run(pip.arg("--requirement").arg(&file))
    };
    if let Err(error) = provide(&packages, &format!("{requirements}{version}"), install) {
        println!("left out: the host cannot be installed: {error:#}");
        return Ok(Tally::default());
    }
    let mut import = Command::new(&python);
    import.args(["-c", "import numpy, pedalboard"]).env("PYTHONPATH", &packages);
    if let Err(error) = process::output(&mut import) {
        println!("left out: the host does not start on this machine: {error:#}");
        return Ok(Tally::default());
    }
    let mut check = Command::new(&python);
    check.arg(folder.join("check.py")).arg(paths::bundled().join("Underscore.vst3")).env("PYTHONPATH", &packages);
    check.env("XDG_DATA_HOME", super::empty_data_folder()?);
    tally::counted(&mut check)
}

/// Has a folder hold what the requirements ask for. What lies there is kept only if all of these very requirements had been installed:
/// pip leaves what it finds as it is, half of a package or another version.
fn provide(packages: &Path, requirements: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = packages.join("requirements.sha256");
    let asked = digest::text(requirements);
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == asked) {
        return Ok(());
    }
    files::remove(packages)?;
    install()?;
    files::write(&stamp, &asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn an_interrupted_installation_and_one_of_other_requirements_are_made_anew_and_a_whole_one_is_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let packages = folder.path().join("packages");
        let pip = |name: &str| files::write(&packages.join(name).join("__init__.py"), "");
        let provided = |requirements: &str, install: &dyn Fn() -> Result<()>| provide(&packages, requirements, install);
        let interrupted = || {
            pip("host")?;
            bail!("interrupted before numpy")
        };
        provided("host 1, numpy", &interrupted).expect_err("it was interrupted");
        provided("host 1, numpy", &|| pip("host").and_then(|()| pip("numpy"))).expect("an installation");
        assert!(packages.join("numpy").exists());
        provided("host 1, numpy", &|| panic!("all of it is there")).expect("what is there");
        provided("host 2", &|| pip("host")).expect("another installation");
        assert!(packages.join("host").exists() && !packages.join("numpy").exists());
    }
}
