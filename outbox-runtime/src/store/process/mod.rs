//! Detects whether a process that wrote to a store has ended.
//!
//! The check asks the operating system, never the process, and reports a process as gone only if
//! that is certain: it ran in the current boot of this machine, in the pid namespace that this
//! process sees, and its number is now unused or belongs to a process with a different start time.
//! In every other case the answer is unknown. A frozen process is alive.

#[cfg(target_os = "linux")]
mod linux;

/// Where and when a process was started. An unknown part is `None`. A process without boot, pid
/// namespace or start time cannot be identified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    /// The boot id of the machine.
    pub(crate) boot: Option<String>,
    /// The pid namespace of its number.
    pub(crate) pid_namespace: Option<String>,
    /// The time namespace of its start time.
    pub(crate) time_namespace: Option<String>,
    /// The start time, in units of the operating system since boot.
    pub(crate) started: Option<i64>,
}

/// Whether a process exists, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Alive,
    Gone,
    Unknown,
}

impl Identity {
    /// The identity of this process. All parts are `None` if the system does not provide them.
    pub(crate) fn own() -> Self {
        #[cfg(target_os = "linux")]
        return linux::own().unwrap_or_default();
        #[cfg(not(target_os = "linux"))]
        Self::default()
    }

    /// Whether the process with this identity and number exists.
    pub(crate) fn life(&self, process_id: u32) -> Life {
        let own = Self::own();
        let is_here = self.boot.is_some()
            && self.boot == own.boot
            && self.pid_namespace.is_some()
            && self.pid_namespace == own.pid_namespace
            && self.time_namespace == own.time_namespace;
        let Some(started) = self.started.filter(|_| is_here && own.started.is_some()) else {
            return Life::Unknown;
        };
        #[cfg(target_os = "linux")]
        return linux::life(process_id, started);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (process_id, started);
            Life::Unknown
        }
    }
}
