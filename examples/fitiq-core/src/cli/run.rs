//! From a command to an exit code.

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// Runs a command of an app: what it could not do goes to standard error, and so does the log that `RUST_LOG` asks for.
///
/// The command tells whether it did all that it was for. The exit code is 0 where it did, 1 where it went as far as it could and
/// something is left, 2 where it did not come to that.
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
