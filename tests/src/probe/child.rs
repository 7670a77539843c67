//! The parent's side: start the probe, wait, read.

use super::{Outcome, Scenario};
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The probe cannot be started.
    #[error("cannot start {probe}: {reason}")]
    CannotStart {
        /// The binary.
        probe: String,
        /// Why.
        reason: String,
    },
    /// It did not come to an end.
    #[error("the probe hung: no end after {limit_s:.0} s; its errors:\n{stderr}")]
    Hung {
        /// Time given, seconds.
        limit_s: f64,
        /// What it wrote.
        stderr: String,
    },
    /// It crashed, or the host code in it failed.
    #[error("the probe ended with {status}; its errors:\n{stderr}")]
    Died {
        /// Exit status or signal.
        status: String,
        /// What it wrote.
        stderr: String,
    },
    /// It printed something else than an outcome.
    #[error("the probe printed no outcome ({reason}):\n{stdout}")]
    NoOutcome {
        /// The parser's words.
        reason: String,
        /// What it printed.
        stdout: String,
    },
}

/// Runs `scenario` in the binary `probe`, with `environment` on top of this process's own.
///
/// # Errors
/// [`ProbeError`]: a hang and a crash are told apart.
pub fn run_in_child(
    probe: &Path,
    scenario: &Scenario,
    environment: &[(&str, &OsStr)],
    limit: Duration,
) -> Result<Outcome, ProbeError> {
    let fail = |reason: String| ProbeError::CannotStart { probe: probe.display().to_string(), reason };
    let json = serde_json::to_string(scenario).map_err(|e| fail(e.to_string()))?;
    let mut child = Command::new(probe)
        .arg(json)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| fail(e.to_string()))?;
    // The pipes are drained on threads of their own, so that a talkative plugin cannot block itself.
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let text = |thread: Option<std::thread::JoinHandle<String>>| thread.and_then(|t| t.join().ok()).unwrap_or_default();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| fail(e.to_string()))? {
            Some(status) => break status,
            None if start.elapsed() > limit => {
                child.kill().and_then(|()| child.wait()).map_err(|e| fail(e.to_string()))?;
                return Err(ProbeError::Hung { limit_s: limit.as_secs_f64(), stderr: text(stderr) });
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    if !status.success() {
        return Err(ProbeError::Died { status: status.to_string(), stderr });
    }
    let last_line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last_line).map_err(|e| ProbeError::NoOutcome { reason: e.to_string(), stdout })
}

fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has said what it had to say.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
