//! Builds and runs the contestants' programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use outbox_contest::{Figures, Order, Workload, within};
use tokio::process::Command;

/// A program that runs orders.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    /// Version and settings.
    pub(crate) note: String,
    /// Whether it is another library's queue.
    pub(crate) is_peer: bool,
    program: PathBuf,
    /// Arguments before those of the order.
    arguments: &'static [&'static str],
}

/// A contestant in `benches/peers`.
struct Peer {
    name: &'static str,
    settings: &'static str,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "effectum",
        settings: "file in WAL mode, synchronous = NORMAL: commits are not synced",
    },
    Peer {
        name: "honker",
        settings: "claims of 100 and their acknowledgements in a loop of the benchmark, synchronous = FULL",
    },
    Peer {
        name: "riverqueue",
        settings: "SQLite in WAL mode, synchronous = FULL, a fetch each millisecond at most",
    },
];

/// Time for a program to start and end, beyond the limit of its workload.
const GRACE: Duration = Duration::from_secs(60);

/// The wanted contestants, ours first. A peer that cannot be built is left out, with a line that
/// says so.
pub(crate) async fn all(is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Contestant>> {
    let program = std::env::current_exe()?;
    let of_this_program = [
        (
            "ours",
            "default settings, synchronous = FULL",
            &["contestant", "ours"],
        ),
        (
            "floor",
            "hand-written for this workload, one index, synchronous = FULL",
            &["contestant", "floor"],
        ),
    ];
    let mut contestants = Vec::new();
    for (name, note, arguments) in of_this_program {
        if is_wanted(name) {
            contestants.push(Contestant {
                name,
                note: note.to_owned(),
                is_peer: false,
                program: program.clone(),
                arguments,
            });
        }
    }
    for peer in PEERS {
        if !is_wanted(peer.name) {
            continue;
        }
        match peer.build(&program).await {
            Ok(contestant) => contestants.push(contestant),
            Err(error) => eprintln!("{}: left out, {error:#}", peer.name),
        }
    }
    Ok(contestants)
}

impl Peer {
    async fn build(&self, this_program: &Path) -> anyhow::Result<Contestant> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("peers")
            .join(self.name);
        let lock =
            std::fs::read_to_string(package.join("Cargo.lock")).context("it has no lock file")?;
        // Beside the profile's directory, where this program is.
        let target = this_program
            .parent()
            .and_then(Path::parent)
            .context("this program is in no target directory")?
            .join("peers");
        eprintln!("building {} ..", self.name);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--manifest-path",
            ])
            .arg(package.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .output()
            .await
            .context("cargo does not start")?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let first = text.lines().find(|line| line.starts_with("error"));
            anyhow::bail!(
                "it does not build: {}",
                first.unwrap_or("no error is named")
            );
        }
        let program = target.join("release").join(format!("peer-{}", self.name));
        Ok(Contestant {
            name: self.name,
            note: format!(
                "version {}; {}",
                version(&lock, self.name).unwrap_or("unknown"),
                self.settings
            ),
            is_peer: true,
            program: program.with_extension(std::env::consts::EXE_EXTENSION),
            arguments: &[],
        })
    }
}

/// The version of a package in a lock file.
fn version<'l>(lock: &'l str, name: &str) -> Option<&'l str> {
    let (_, after) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    after.split('"').next()
}

impl Contestant {
    /// Runs one workload in a process of its own.
    pub(crate) async fn run(
        &self,
        folder: &Path,
        workload: Workload,
        limit: u64,
    ) -> anyhow::Result<Figures> {
        let order = Order {
            folder: folder.to_owned(),
            limit,
            workload,
        };
        let output = Command::new(&self.program)
            .args(self.arguments)
            .args(order.to_arguments())
            .kill_on_drop(true)
            .output();
        let output = within(Duration::from_secs(limit) + GRACE, output)
            .await
            .context("its program does not end")?
            .context("its program does not start")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(
            output.status.success(),
            "{}: {}",
            output.status,
            errors.lines().next().unwrap_or("no error is printed")
        );
        let printed = String::from_utf8(output.stdout)?;
        let line = printed.lines().next_back().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("unexpected output {line:?}"))
    }
}
