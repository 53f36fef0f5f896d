//! Runs cargo, and says how long that took.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::sources::Variant;

/// How long one `cargo check` took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// By the clock on the wall.
    pub(crate) wall: Duration,
    /// What the processors worked for it, which other programs disturb less. `None` where the system does not tell.
    pub(crate) cpu: Option<Duration>,
}

/// Cargo, with a target folder that all crates share.
pub(crate) struct Cargo {
    program: PathBuf,
    target: PathBuf,
}

impl Cargo {
    /// The cargo that runs this program, and the target folder that the program is in.
    pub(crate) fn beside_this_program() -> Result<Self, Box<dyn Error>> {
        let program = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
        let exe = std::env::current_exe()?;
        let target = exe.ancestors().nth(2).ok_or("no target folder")?.to_owned();
        Ok(Self { program, target })
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Checks a crate and waits for the end of it.
    #[allow(clippy::disallowed_methods, reason = "this is the watch")]
    pub(crate) fn check(&self, folder: &Path, variant: Variant) -> Result<Sample, Box<dyn Error>> {
        let cpu_before = cpu_of_children();
        let begin = Instant::now();
        let output = Command::new(&self.program)
            .args(["check", "--quiet", "--offline", "--package", variant.name()])
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", &self.target)
            // A touched file that did not change would be looked up instead of compiled.
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

/// The processor time of all children that have ended, in steps of 10 ms; Linux tells it in `/proc`.
fn cpu_of_children() -> Option<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may have spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    // proc(5) counts cutime and cstime as the fields 16 and 17; the first one after the name is the third.
    let mut ticks = fields.split_whitespace().skip(13).take(2);
    let user: u32 = ticks.next()?.parse().ok()?;
    let system: u32 = ticks.next()?.parse().ok()?;
    Some(TICK * (user + system))
}
