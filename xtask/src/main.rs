//! Build tasks: `cargo xtask help` lists them.

mod bundle;
mod files;
mod install;
mod paths;
mod process;
mod render;
mod setup;

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
    /// Build the CLAP and VST3 bundles into target/bundled
    Bundle(bundle::BundleArgs),
    /// Install the bundles, libtorch and the models for this user
    Install,
    /// Remove what `install` put there
    Uninstall,
    /// Render audio files through the built CLAP
    Render(render::RenderArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
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
    }
}
