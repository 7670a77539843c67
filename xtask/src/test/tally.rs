//! Counts of tests, out of what the test programs print.

use crate::process;
use anyhow::Result;
use std::fmt;
use std::ops::AddAssign;
use std::process::Command;

/// How many tests passed, failed and were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the prefix says that they are counts")]
pub struct Tally {
    /// Passed.
    pub num_passed: u32,
    /// Failed.
    pub num_failed: u32,
    /// Ignored or skipped.
    pub num_ignored: u32,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.num_passed += other.num_passed;
        self.num_failed += other.num_failed;
        self.num_ignored += other.num_ignored;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.num_passed, self.num_failed)?;
        if self.num_ignored > 0 {
            write!(formatter, ", {} ignored", self.num_ignored)?;
        }
        Ok(())
    }
}

/// A run of tests that failed, with its counts.
#[derive(Debug)]
pub struct Failed {
    /// What was counted before it ended.
    pub tally: Tally,
    message: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.tally)
    }
}

impl std::error::Error for Failed {}

/// Runs a test program and counts; a run in which no test was found is a failure too.
pub fn counted(command: &mut Command) -> Result<Tally> {
    let (text, success) = process::tee(command)?;
    let mut tally = Tally::default();
    for line in text.lines() {
        tally += of_line(line).unwrap_or_default();
    }
    if success && tally.num_failed == 0 && tally.num_passed > 0 {
        return Ok(tally);
    }
    let message = if success { "no test was run" } else { "tests failed, or did not build" }.to_owned();
    Err(Failed { tally, message }.into())
}

/// The counts in one line of cargo's (`test result: ok. 3 passed; 0 failed; …`) or of pytest's (`3 passed, 1 skipped in 2 s`).
fn of_line(line: &str) -> Option<Tally> {
    let counts = match line.strip_prefix("test result: ") {
        Some(result) => result.split_once(". ")?.1,
        None => line.trim_matches(|c| c == '=' || c == ' ').rsplit_once(" in ")?.0,
    };
    let mut tally = Tally::default();
    let mut found = false;
    for part in counts.split([';', ',']) {
        let Some((number, word)) = part.trim().split_once(' ') else { continue };
        let Ok(number) = number.parse::<u32>() else { continue };
        match word {
            "passed" => tally.num_passed = number,
            "failed" | "error" | "errors" => tally.num_failed += number,
            "ignored" | "skipped" => tally.num_ignored = number,
            _ => continue,
        }
        found = true;
    }
    found.then_some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_and_pytests_lines_are_counted_and_others_are_not() {
        let tally = |num_passed, num_failed, num_ignored| Some(Tally { num_passed, num_failed, num_ignored });
        let cargo =
            "test result: FAILED. 20 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.57s";
        assert_eq!(of_line(cargo), tally(20, 2, 1));
        assert_eq!(of_line("===== 2 failed, 7 passed, 1 skipped in 3.20s ====="), tally(7, 2, 1));
        assert_eq!(of_line("1 passed in 0.01s"), tally(1, 0, 0));
        assert_eq!(of_line("running 20 tests"), None);
        assert_eq!(of_line("test a_file_is_read in a place ... ok"), None);
    }

    #[test]
    fn the_sum_is_the_plain_line() {
        let mut total = Tally { num_passed: 2, num_failed: 0, num_ignored: 0 };
        total += Tally { num_passed: 3, num_failed: 1, num_ignored: 0 };
        assert_eq!(total.to_string(), "5 passed, 1 failed");
    }

    #[cfg(unix)]
    #[test]
    fn a_run_without_tests_fails_and_a_failed_run_keeps_its_counts() {
        assert!(counted(Command::new("sh").args(["-c", "echo nothing"])).is_err());
        let error = counted(Command::new("sh").args(["-c", "echo '3 passed, 1 failed in 1s'; exit 1"]));
        let error = error.expect_err("it failed");
        assert_eq!(error.downcast_ref::<Failed>().map(|failed| failed.tally.num_passed), Some(3));
    }
}
