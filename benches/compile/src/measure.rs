//! Runs and times cargo.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::sources::Variant;

/// Duration of one `cargo check`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Wall-clock time.
    pub(crate) wall: Duration,
    /// CPU time, which other load disturbs less. `None` where the system does not report it.
    pub(crate) cpu: Option<Duration>,
}

/// Cargo, with a target directory shared by all crates.
pub(crate) struct Cargo {
    program: PathBuf,
    target: PathBuf,
}

impl Cargo {
    /// The cargo that runs this program, and this program's target directory.
    pub(crate) fn beside_this_program() -> Result<Self, Box<dyn Error>> {
        let program = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
        let exe = std::env::current_exe()?;
        let target = exe
            .ancestors()
            .nth(2)
            .ok_or("this program is not in a target directory")?
            .to_owned();
        Ok(Self { program, target })
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Checks a crate and waits for cargo to finish.
    #[allow(clippy::disallowed_methods, reason = "this measures wall-clock time")]
    pub(crate) fn check(&self, folder: &Path, variant: Variant) -> Result<Sample, Box<dyn Error>> {
        let cpu_before = cpu_of_children();
        let begin = Instant::now();
        let output = Command::new(&self.program)
            .args(["check", "--quiet", "--offline", "--package", variant.name()])
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", &self.target)
            // Touch the file: cargo skips an unchanged one instead of compiling it.
            .env("CARGO_INCREMENTAL", "0")
            .output()?;
        let wall = begin.elapsed();
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cargo check of {}: {message}", variant.name()).into());
        }
        let cpu = cpu_of_children()
            .zip(cpu_before)
            .map(|(after, before)| after.saturating_sub(before));
        Ok(Sample { wall, cpu })
    }
}

/// CPU time of all children that have exited, in steps of 10 ms; read from Linux's `/proc`.
fn cpu_of_children() -> Option<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The program name, in parentheses, may contain spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    // proc(5): fields 16 and 17 are cutime and cstime; the first field after the name is the third.
    let mut ticks = fields.split_whitespace().skip(13).take(2);
    let user: u32 = ticks.next()?.parse().ok()?;
    let system: u32 = ticks.next()?.parse().ok()?;
    Some(TICK * (user + system))
}
