//! The command line of the app. See README.md beside this package's Cargo.toml.

use std::process::ExitCode;

use clap::Parser;
use lume::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    fitiq_core::cli::run(Cli::parse().run()).await
}
