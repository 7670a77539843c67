//! Build tasks: `cargo xtask help` lists them.

mod bench;
mod bundle;
mod demo;
mod digest;
mod files;
mod font;
mod install;
mod layering;
mod licences;
mod metadata;
mod models;
mod paths;
mod process;
mod render;
mod setup;
mod test;
mod validate;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set-up, bundles, renders, demo and tests of Underscore")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch libtorch into target/libtorch
    Setup(setup::SetupArgs),
    /// Set up, build, separate the demo's programme and print how well: the first command to try
    Demo(demo::DemoArgs),
    /// Set up and run every check and test: the second one
    Test(test::TestArgs),
    /// Build the CLAP and VST3 bundles into target/bundled
    Bundle(bundle::BundleArgs),
    /// Install the bundles, libtorch and the models for this user
    Install,
    /// Remove what `install` put there
    Uninstall,
    /// Render audio files through the built CLAP
    Render(render::RenderArgs),
    /// Measure what a block costs the audio thread and the worker
    Bench(bench::BenchArgs),
    /// Run clap-validator, pluginval and the VST3 validator over the bundles, where they are installed
    Validate,
}

impl Task {
    /// Whether it is about what was built here, whatever is installed.
    fn is_of_what_was_built(&self) -> bool {
        matches!(self, Self::Demo(_) | Self::Test(_) | Self::Bench(_) | Self::Validate)
    }
}

/// Names the one folder in which the plugin looks for what it opens: whoever has set it, as the README says, means what is installed.
const HOME_VARIABLE: &str = "UNDERSCORE_HOME";

fn main() -> ExitCode {
    let task = Cli::parse().task;
    if task.is_of_what_was_built() {
        // SAFETY: no other thread has been started.
        unsafe { std::env::remove_var(HOME_VARIABLE) };
    }
    match run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup(args) => setup::run(&args),
        Task::Bundle(args) => bundle::run(args).map(|_| ()),
        Task::Install => install::install(),
        Task::Uninstall => install::uninstall(),
        Task::Render(args) => render::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Validate => validate::run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_what_was_built_is_tried_nothing_that_is_installed_is() {
        let is_of_what_was_built = |words: &[&str]| {
            let parsed = Cli::try_parse_from(["cargo xtask"].iter().chain(words));
            parsed.expect("a command").task.is_of_what_was_built()
        };
        for words in [&["demo"][..], &["test"], &["bench", "--quick"], &["validate"]] {
            assert!(is_of_what_was_built(words), "{words:?}");
        }
        for words in [&["render", "in.wav", "out"][..], &["install"], &["setup"]] {
            assert!(!is_of_what_was_built(words), "{words:?}");
        }
    }
}
