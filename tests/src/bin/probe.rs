//! Plays one scenario in a process of its own and prints its outcome as JSON: see [`host_tests::probe`].

use host_tests::probe::{Scenario, inspect};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(json) = std::env::args().nth(1) else {
        eprintln!("usage: probe <scenario as JSON>");
        return ExitCode::FAILURE;
    };
    let scenario: Scenario = match serde_json::from_str(&json) {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("not a scenario: {error}");
            return ExitCode::FAILURE;
        }
    };
    match inspect(&scenario).map(|outcome| serde_json::to_string(&outcome)) {
        Ok(Ok(json)) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
