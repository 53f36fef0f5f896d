//! The command line of the app. See README.md beside this package's Cargo.toml.

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// 0: done. 1: done as far as it goes, and something is left. 2: it did not come to that.
#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into()))
        .with_writer(std::io::stderr)
        .init();
    match fitiq::commands::run(fitiq::commands::Arguments::parse()).await {
        Ok(done) => ExitCode::from(u8::from(!done)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
