//! Builds and runs the contestants' programs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use outbox_contest::{Figures, Order, Workload, within};
use tokio::process::Command;

/// A program that runs orders.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// Its name in the table.
    pub name: &'static str,
    /// Version and settings.
    pub note: String,
    /// Whether it is another library's queue.
    pub is_peer: bool,
    /// The program.
    pub program: PathBuf,
    /// Arguments before those of the order.
    pub arguments: &'static [&'static str],
}

/// A contestant with a package of its own.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The name of the package's folder; its program is `peer-` and this name.
    pub name: &'static str,
    /// The library, as in the lock file.
    pub library: &'static str,
    /// How it is set up.
    pub settings: &'static str,
}

/// A contestant that is played by the program itself.
#[derive(Debug, Clone, Copy)]
pub struct Own {
    /// Its name in the table.
    pub name: &'static str,
    /// Its settings.
    pub note: &'static str,
    /// Arguments before those of the order.
    pub arguments: &'static [&'static str],
}

/// The wanted contestants, the program's own first. A peer that cannot be built is left out, with a
/// line that says so.
///
/// # Errors
///
/// The program does not know where it is.
pub async fn wanted(
    own: &[Own],
    peers: &[Peer],
    packages: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<Contestant>> {
    let program = std::env::current_exe()?;
    let own = own.iter().filter(|own| is_wanted(own.name));
    let own = own.map(|own| Contestant {
        name: own.name,
        note: own.note.to_owned(),
        is_peer: false,
        program: program.clone(),
        arguments: own.arguments,
    });
    let mut contestants: Vec<_> = own.collect();
    for peer in peers.iter().filter(|peer| is_wanted(peer.name)) {
        match peer.build(packages).await {
            Ok(contestant) => contestants.push(contestant),
            Err(error) => eprintln!("{}: left out, {error:#}", peer.name),
        }
    }
    Ok(contestants)
}

/// Time for a program to start and end, beyond the limit of its workload.
const GRACE: Duration = Duration::from_secs(60);

impl Peer {
    /// Builds its program from the package in this folder of packages.
    ///
    /// # Errors
    ///
    /// It does not build, for example because a package of its lock file cannot be fetched.
    pub async fn build(&self, packages: &Path) -> anyhow::Result<Contestant> {
        let package = packages.join(self.name);
        let lock =
            std::fs::read_to_string(package.join("Cargo.lock")).context("it has no lock file")?;
        // Beside the profile's directory, where this program is.
        let target = std::env::current_exe()?
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
                version(&lock, self.library).unwrap_or("unknown"),
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
    /// Runs one workload at this place, a folder or the address of a database, in a process of its
    /// own.
    ///
    /// # Errors
    ///
    /// The program fails, or prints something else than its figures.
    pub async fn run(
        &self,
        place: impl Into<OsString>,
        workload: Workload,
        limit: u64,
    ) -> anyhow::Result<Figures> {
        let order = Order {
            folder: PathBuf::from(place.into()),
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
