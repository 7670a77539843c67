//! The VST3 bundle in a host of another make, which activates the main bus only: `tests/vst3/check.py` in pedalboard.

use super::tally::{self, Tally};
use crate::{paths, process};
use anyhow::Result;
use std::process::Command;

/// Runs the checks; left out, with the reason, where the host cannot be had or does not start.
pub fn run() -> Result<Tally> {
    let folder = paths::root().join("tests").join("vst3");
    let packages = paths::target().join("vst3-host");
    let Some(python) = process::python() else {
        println!("left out: there is no Python 3");
        return Ok(Tally::default());
    };
    if !packages.join("pedalboard").is_dir() {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target"]).arg(&packages);
        pip.arg("--requirement").arg(folder.join("requirements.txt"));
        if let Err(error) = process::run(&mut pip) {
            println!("left out: pip cannot install the host: {error:#}");
            return Ok(Tally::default());
        }
    }
    let mut import = Command::new(&python);
    import.args(["-c", "import numpy, pedalboard"]).env("PYTHONPATH", &packages);
    if let Err(error) = process::output(&mut import) {
        println!("left out: the host does not start on this machine: {error:#}");
        return Ok(Tally::default());
    }
    let mut check = Command::new(&python);
    check.arg(folder.join("check.py")).arg(paths::bundled().join("Underscore.vst3")).env("PYTHONPATH", &packages);
    tally::counted(&mut check)
}
