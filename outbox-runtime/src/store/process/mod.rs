//! Whether a process that wrote to a store is known to be gone.
//!
//! The system is asked, never the process, and only where its answer is certain: a process has ended that was of this boot of this
//! machine, in the pid namespace that this process sees, and whose number is now nobody's or another's, who was started at
//! another time. Of all others nothing is known. A process that is frozen is there.

#[cfg(target_os = "linux")]
mod linux;

/// Where and when a process was started. What is not known is `None`, and is like nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    /// The boot of the machine.
    pub(crate) boot: Option<String>,
    /// The namespace that its number is of.
    pub(crate) pid_namespace: Option<String>,
    /// The namespace that its start is told in.
    pub(crate) time_namespace: Option<String>,
    /// When it was started, in the system's own units since the boot.
    pub(crate) started: Option<i64>,
}

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Alive,
    Gone,
    Unknown,
}

impl Identity {
    /// That of this process. All of it is `None` where the system does not tell.
    pub(crate) fn own() -> Self {
        #[cfg(target_os = "linux")]
        return linux::own().unwrap_or_default();
        #[cfg(not(target_os = "linux"))]
        Self::default()
    }

    /// What is known of the process with this identity and number.
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
