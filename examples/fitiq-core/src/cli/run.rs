//! Exit codes of commands.

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// Runs a command of an app; errors and the log of `RUST_LOG` go to standard error.
///
/// The command returns whether everything is done. The exit code is 0 if so, 1 if something is
/// left, and 2 if the command failed.
pub async fn run(command: impl Future<Output = anyhow::Result<bool>>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into()))
        .with_writer(std::io::stderr)
        .init();
    match command.await {
        Ok(done) => ExitCode::from(u8::from(!done)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
