//! Processes of this program: the service and the workers.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdin, Command};

/// How long a process may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with this one: it reads its standard input, and ends when that does.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    process: tokio::process::Child,
    /// Open as long as the process is to run.
    input: ChildStdin,
}

impl Child {
    /// Starts this program with these arguments, and waits for its first line: an address, or
    /// `ready`.
    pub(super) async fn start(name: &str, arguments: &[&str]) -> anyhow::Result<(Self, String)> {
        let program = std::env::current_exe()?;
        let mut process = Command::new(program)
            .args(arguments)
            .arg("--with-parent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for this process, which ends its children.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let input = process.stdin.take().context("no pipe")?;
        let output = process.stdout.take().context("no pipe")?;
        let mut line = String::new();
        let mut output = BufReader::new(output);
        tokio::select! {
            read = output.read_line(&mut line) => read?,
            () = SystemClock.sleep(PATIENCE) => bail!("{name} does not get ready"),
        };
        let line = line.trim().to_owned();
        if line.is_empty() {
            bail!("{name} ended: {}", process.wait().await?);
        }
        let child = Self {
            name: name.to_owned(),
            process,
            input,
        };
        Ok((child, line))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Kills the process, which gets no chance to finish anything.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        // If it ended by itself before, there is nothing to show.
        anyhow::ensure!(
            self.process.try_wait()?.is_none(),
            "{} ended early",
            self.name
        );
        self.process.kill().await?;
        Ok(())
    }

    /// Lets the process finish its work, and end.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let Self {
            name,
            mut process,
            input,
        } = self;
        drop(input);
        let status = tokio::select! {
            status = process.wait() => status?,
            () = SystemClock.sleep(PATIENCE) => {
                process.kill().await?;
                bail!("{name} did not end when asked to");
            }
        };
        anyhow::ensure!(status.success(), "{name} ended with {status}");
        Ok(())
    }
}
