//! The command line of the app. See README.md beside this package's Cargo.toml.

use std::process::ExitCode;

use clap::Parser;
use fitiq::commands::{Arguments, run};

#[tokio::main]
async fn main() -> ExitCode {
    fitiq_core::cli::run(run(Arguments::parse())).await
}
