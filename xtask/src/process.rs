//! Running other programs: what is run is printed, and a failure says which command failed and how.

use anyhow::{Context, Result, bail};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a command with its output on the terminal; fails where the command does.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", line(command));
    run_quietly(command)
}

/// The same, without printing the command first.
pub fn run_quietly(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", line(command));
    }
    Ok(())
}

/// Runs a command and returns its standard output; its standard error becomes part of the error where it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let stdout = captured(command)?;
    String::from_utf8(stdout).with_context(|| format!("`{}` did not print UTF-8", line(command)))
}

/// The same for one whose standard output nobody wants, in whatever encoding it is.
pub fn run_silently(command: &mut Command) -> Result<()> {
    captured(command).map(drop)
}

fn captured(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{}`", line(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", line(command), output.status, stderr.trim());
    }
    Ok(output.stdout)
}

/// Runs a command that prints its own errors and returns its standard output.
pub fn output_of(command: &mut Command) -> Result<String> {
    eprintln!("$ {}", line(command));
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{}`", line(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", line(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` did not print UTF-8", line(command)))
}

/// Runs a command, passes its standard output on line by line, and returns it with whether the command succeeded.
pub fn tee(command: &mut Command) -> Result<(String, bool)> {
    eprintln!("$ {}", line(command));
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run `{}`", line(command)))?;
    let stdout = child.stdout.take().context("the output was asked for")?;
    let mut text = String::new();
    for bytes in BufReader::new(stdout).split(b'\n') {
        let bytes = bytes.with_context(|| format!("cannot read what `{}` prints", line(command)))?;
        let line = String::from_utf8_lossy(&bytes);
        println!("{line}");
        text.push_str(&line);
        text.push('\n');
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{}`", line(command)))?;
    Ok((text, status.success()))
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::paths::root());
    command
}

/// The first of `names` on `PATH`.
pub fn find_program<S: AsRef<OsStr>>(names: &[S]) -> Option<PathBuf> {
    programs(&std::env::var_os("PATH")?, names).next()
}

/// All programs of these names in the folders of `path`: those of the first name first.
fn programs<S: AsRef<OsStr>>(path: &OsStr, names: &[S]) -> impl Iterator<Item = PathBuf> {
    let candidates = names.iter().flat_map(move |name| {
        let mut file = name.as_ref().to_os_string();
        file.push(std::env::consts::EXE_SUFFIX);
        std::env::split_paths(path).map(move |folder| folder.join(&file))
    });
    candidates.filter(|candidate| candidate.is_file())
}

/// What Python 3 is called; on Windows its launcher will do, too.
pub const PYTHONS: &[&str] = if cfg!(windows) { &["python3", "python", "py"] } else { &["python3", "python"] };

/// Python 3: the one that the variable `PYTHON` names, by a path from here or a name on `PATH`, else the first on `PATH` that runs.
pub fn python() -> Option<PathBuf> {
    let named = |name: OsString| {
        let is_path = Path::new(&name).components().count() > 1;
        // Whoever runs it does so in folders of their own. Links stay: by them an environment knows that it is one.
        if is_path { std::path::absolute(&name).unwrap_or_else(|_| name.into()) } else { name.into() }
    };
    std::env::var_os("PYTHON").map(named).or_else(|| python_in(&std::env::var_os("PATH")?, is_python_3))
}

fn python_in(path: &OsStr, is_python_3: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    programs(path, PYTHONS).find(|program| is_python_3(program))
}

/// The name alone does not say: Windows has a program that is called so and only leads to its store, and `python` may be Python 2.
fn is_python_3(program: &Path) -> bool {
    let question = "import sys; sys.exit(sys.version_info < (3,))";
    run_silently(Command::new(program).args(["-c", question])).is_ok()
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown: Vec<String> = words
        .map(|word| {
            let word = word.to_string_lossy();
            if word.is_empty() || word.contains(' ') { format!("'{word}'") } else { word.into_owned() }
        })
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        assert_eq!(line(Command::new("a").args(["b c", "d"])), "a 'b c' d");
    }

    #[test]
    fn a_python_that_does_not_run_is_passed_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = |name: &str| {
            let path = folder.path().join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
            crate::files::write(&path, "").expect("a file");
            path
        };
        let path = std::env::join_paths(["first", "second"].map(|name| folder.path().join(name))).expect("a path");
        let stub = program("first/python3");
        assert!(!is_python_3(&stub));
        let found = || python_in(&path, |program| program != stub);
        assert_eq!(found(), None);
        let other_name = program("first/python");
        assert_eq!(found(), Some(other_name));
        let further_on = program("second/python3");
        assert_eq!(found(), Some(further_on));
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = output(Command::new("definitely-not-a-program").arg("x")).expect_err("there is no such program");
        assert!(error.to_string().contains("definitely-not-a-program x"), "{error}");
    }
}
