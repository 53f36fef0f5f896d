//! Process identity from `/proc`: proc(5), `proc_pid_stat(5)`, namespaces(7).

use std::fs;
use std::io::ErrorKind;

use super::Identity;
use crate::presence::ProcessState;

/// The identity of this process. `None` if `/proc` belongs to another pid namespace or hides
/// processes: a missing entry would then prove nothing.
pub(super) fn own() -> Option<Identity> {
    let own = Stat::read("/proc/self/stat").ok()??;
    if own.process_id != std::process::id() || !shows_all_processes()? {
        return None;
    }
    let namespace = |kind: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
        link.into_os_string().into_string().ok()
    };
    Some(Identity {
        boot: Some(
            fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .ok()?
                .trim()
                .to_owned(),
        ),
        pid_namespace: Some(namespace("pid")?),
        // Kernels before 5.6 have no time namespaces.
        time_namespace: namespace("time"),
        started: Some(own.started),
    })
}

/// Whether the process with this number and start time still exists.
pub(super) fn state(process_id: u32, started: i64) -> ProcessState {
    match Stat::read(&format!("/proc/{process_id}/stat")) {
        Ok(Some(stat)) if stat.started != started => ProcessState::Gone,
        Ok(Some(stat)) if stat.has_exited && is_last_thread(process_id) => ProcessState::Gone,
        Ok(Some(_)) => ProcessState::Alive,
        Err(error) if error.kind() == ErrorKind::NotFound => ProcessState::Gone,
        // The process may be ending, or belong to another user.
        Ok(None) | Err(_) => ProcessState::Unknown,
    }
}

/// An exited main thread looks like an exited process while other threads still run.
fn is_last_thread(process_id: u32) -> bool {
    fs::read_dir(format!("/proc/{process_id}/task")).is_ok_and(|threads| threads.count() <= 1)
}

/// `None` if the mount table cannot be read.
fn shows_all_processes() -> Option<bool> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    // The last mount at a path hides the earlier ones.
    let proc = mounts
        .lines()
        .rfind(|line| line.split(' ').nth(1) == Some("/proc"))?;
    let mut fields = proc.split(' ').skip(2);
    let (kind, options) = (fields.next()?, fields.next()?);
    let hides = |option: &str| {
        let hidden = option.strip_prefix("hidepid=");
        hidden.is_some_and(|how| how != "0" && how != "off")
    };
    Some(kind == "proc" && !options.split(',').any(hides))
}

/// The fields used of `/proc/<pid>/stat`.
struct Stat {
    process_id: u32,
    has_exited: bool,
    /// In clock ticks since boot.
    started: i64,
}

impl Stat {
    fn read(file: &str) -> std::io::Result<Option<Self>> {
        fs::read_to_string(file).map(|text| Self::parse(&text))
    }

    /// The process name, in parentheses, may itself contain spaces and parentheses.
    fn parse(text: &str) -> Option<Self> {
        let (process_id, rest) = text.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self {
            process_id: process_id.parse().ok()?,
            has_exited: state == "Z" || state == "X",
            // Field 22; the state is field 3.
            started: fields.nth(18)?.parse().ok()?,
        })
    }
}
