//! Detects whether a process that wrote to a store has ended.
//!
//! The check asks the operating system, never the process, and reports a process as gone only if
//! that is certain: it ran in the current boot of this machine, in the pid namespace that this
//! process sees, and its number is now unused or belongs to a process with a different start time.
//! In every other case the answer is unknown. A frozen process is alive.

use crate::presence::ProcessState;

#[cfg(target_os = "linux")]
mod linux;

/// Where and when a process was started. An unknown part is `None`. A process without boot, pid
/// namespace or start time cannot be identified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The boot id of the machine.
    pub boot: Option<String>,
    /// The pid namespace of its number.
    pub pid_namespace: Option<String>,
    /// The time namespace of its start time.
    pub time_namespace: Option<String>,
    /// The start time, in units of the operating system since boot.
    pub started: Option<i64>,
}

impl Identity {
    /// The identity of this process. All parts are `None` if the system does not provide them.
    #[must_use]
    pub fn own() -> Self {
        #[cfg(target_os = "linux")]
        return linux::own().unwrap_or_default();
        #[cfg(not(target_os = "linux"))]
        Self::default()
    }

    /// Whether the process with this identity and number exists.
    #[must_use]
    pub fn state(&self, process_id: u32) -> ProcessState {
        let own = Self::own();
        let is_here = self.boot.is_some()
            && self.boot == own.boot
            && self.pid_namespace.is_some()
            && self.pid_namespace == own.pid_namespace
            && self.time_namespace == own.time_namespace;
        let Some(started) = self.started.filter(|_| is_here && own.started.is_some()) else {
            return ProcessState::Unknown;
        };
        #[cfg(target_os = "linux")]
        return linux::state(process_id, started);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (process_id, started);
            ProcessState::Unknown
        }
    }
}

/// The name of this machine, if it is known.
#[must_use]
pub fn host() -> Option<String> {
    #[cfg(target_os = "linux")]
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    #[cfg(not(target_os = "linux"))]
    let name = std::env::var("HOSTNAME").ok();
    let name = name.or_else(|| std::env::var("COMPUTERNAME").ok())?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
