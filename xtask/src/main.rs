//! Build tasks: `cargo xtask help` lists them.

mod paths;
mod process;
mod render;
mod setup;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set-up, bundles, renders, demo and tests of Underscore")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Audio files through the built CLAP bundle: stems, main.wav and report.json
    Render(render::RenderArgs),
    /// Fetch libtorch into target/libtorch
    Setup(setup::SetupArgs),
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Render(args) => render::run(&args),
        Task::Setup(args) => setup::run(&args),
    }
}
