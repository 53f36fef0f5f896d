//! `doctor`: what is wrong, and the command that mends it.

use std::path::PathBuf;

use outbox_runtime::store::{
    Announcement, CheckDepth, Finding, ProcessState, Remedy, Repaired, Rescued, Severity,
    StoreProcess, Subject,
};
use outbox_runtime::{EntityId, Explanation, OutboxRepository, StoreError, WaitsFor};
use serde::Serialize;

/// A file system with less free space than this is nearly full.
#[cfg(unix)]
const LITTLE_SPACE: u64 = 256 << 20;

/// Where an outbox is, for the commands that mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbox {
    /// Whichever `OUTBOX_DB` names.
    Unnamed,
    /// A SQLite file.
    File(PathBuf),
    /// A schema of the server that `OUTBOX_DB` names.
    Schema(String),
}

/// The counts of a [`mend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mended {
    /// Lanes that were stuck.
    pub lanes: u64,
    /// Blocks of rows that are counted again.
    pub blocks: u64,
    /// Events whose leases had ended.
    pub rescued: u64,
}

/// The runs of processes that are not known to be gone.
#[derive(Debug)]
pub struct Runs<'p>(Vec<&'p Announcement>);

/// Finds what is wrong, the most severe first. With [`Full`](CheckDepth::Full), also reads the
/// whole database, and looks for types that nobody handles.
///
/// # Errors
///
/// The errors of the store.
pub async fn examine(
    store: &dyn OutboxRepository,
    outbox: &Outbox,
    depth: CheckDepth,
) -> Result<Vec<Finding>, StoreError> {
    let mut findings = store.check(depth).await?;
    findings.extend(space(outbox));
    if depth != CheckDepth::Quick {
        findings.extend(unhandled(store).await?);
        findings.extend(held(store).await?);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

/// Mends what can be mended without risk: stuck lanes, counts, and leases that have ended.
///
/// # Errors
///
/// The errors of the store.
pub async fn mend(store: &dyn OutboxRepository) -> Result<Mended, StoreError> {
    let Repaired { lanes, blocks, .. } = store.repair().await?;
    let Rescued {
        requeued, buried, ..
    } = store.rescue().await?;
    Ok(Mended {
        lanes,
        blocks,
        rescued: requeued + buried,
    })
}

/// The command line that mends a finding on this outbox, and no other.
#[must_use]
pub fn command_of(finding: &Finding, outbox: &Outbox) -> Option<String> {
    match &finding.remedy {
        Some(Remedy::Repair | Remedy::Rescue) => Some(repair(outbox)),
        Some(Remedy::Sql(sql)) => Some(with_sql(sql, outbox)),
        _ => None,
    }
}

fn repair(outbox: &Outbox) -> String {
    const REPAIR: &str = "outbox doctor --repair";
    match outbox {
        Outbox::File(path) => format!("{REPAIR} --db {}", quoted(&path.display().to_string())),
        Outbox::Schema(schema) if schema != "outbox" => {
            format!("{REPAIR} --schema {}", word(schema))
        }
        Outbox::Schema(_) | Outbox::Unnamed => REPAIR.to_owned(),
    }
}

/// The command line that runs a statement. It names a file, but no address, which may hold a
/// password.
fn with_sql(sql: &str, outbox: &Outbox) -> String {
    let sql = quoted(sql);
    match outbox {
        Outbox::File(path) => format!("sqlite3 {} {sql}", quoted(&path.display().to_string())),
        Outbox::Schema(_) => format!("psql \"$OUTBOX_DB\" -c {sql}"),
        Outbox::Unnamed => sql,
    }
}

/// A word for a POSIX shell, quoted where it has to be.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// A quoted word for a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Event types that wait because they are retired and held.
///
/// # Errors
///
/// The errors of the store.
pub async fn held(store: &dyn OutboxRepository) -> Result<Option<Finding>, StoreError> {
    let processes = store.processes().await?;
    let runs = Runs::of(&processes);
    let mut types = match runs.0.iter().any(|run| !run.held_types.is_empty()) {
        true => store.event_types().await?,
        false => Vec::new(),
    };
    types.retain(|waiting| runs.hold(waiting));
    Ok((!types.is_empty()).then(|| {
        let message = format!("events of retired types are held: {}", types.join(", "));
        let finding = Finding::new(Subject::Processes, Severity::Notice, message);
        finding.with_remedy(Remedy::Advice(
            "to end the wait, retire them with `drop` or `dead`, or handle them again".to_owned(),
        ))
    }))
}

/// The explanation of an entity, as far as the store and the announced runs know.
///
/// # Errors
///
/// The errors of the store.
pub async fn explain(
    store: &dyn OutboxRepository,
    entity_id: &EntityId,
    user_id: Option<&str>,
) -> Result<Explanation, StoreError> {
    let explanation = store.explain(entity_id, user_id).await?;
    let waits = matches!(
        explanation.waits_for.at_last(),
        WaitsFor::Worker | WaitsFor::DueTime { .. }
    );
    let Some(event) = explanation.decisive_event().filter(|_| waits) else {
        return Ok(explanation);
    };
    let processes = store.processes().await?;
    Ok(match Runs::of(&processes).hold(&event.event_type) {
        true => explanation.held(),
        false => explanation,
    })
}

/// Event types that wait while every announced run leaves them alone. Without a run, nobody can
/// tell.
///
/// # Errors
///
/// The errors of the store.
pub async fn unhandled(store: &dyn OutboxRepository) -> Result<Option<Finding>, StoreError> {
    let processes = store.processes().await?;
    let runs = Runs::of(&processes);
    let mut types = match runs.is_empty() {
        true => Vec::new(),
        false => store.event_types().await?,
    };
    types.retain(|waiting| runs.that_handle(waiting) == 0 && !runs.hold(waiting));
    Ok((!types.is_empty()).then(|| {
        let message = format!("no run has a handler for {}", types.join(", "));
        let finding = Finding::new(Subject::Processes, Severity::Warning, message);
        finding.with_remedy(Remedy::Advice(
            "start a processor with a handler for them, or give the renamed entity an alias"
                .to_owned(),
        ))
    }))
}

impl<'p> Runs<'p> {
    /// The runs of these processes.
    #[must_use]
    pub fn of(processes: &'p [StoreProcess]) -> Self {
        let live = processes.iter();
        let live = live.filter(|process| process.state != ProcessState::Gone);
        Self(live.flat_map(|process| &process.runs).collect())
    }

    /// Whether no run is announced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of runs that have a handler for the type.
    #[must_use]
    pub fn that_handle(&self, event_type: &str) -> usize {
        let handles = |run: &&&Announcement| run.handles(event_type);
        self.0.iter().filter(handles).count()
    }

    /// Whether the type is retired and its events are held: a run says so, and none handles it.
    #[must_use]
    pub fn hold(&self, event_type: &str) -> bool {
        let holds = |run: &&Announcement| run.held_types.iter().any(|held| held == event_type);
        self.0.iter().any(holds) && self.that_handle(event_type) == 0
    }

    /// The types that these runs name.
    pub fn named_types(&self) -> impl Iterator<Item = &str> {
        let runs = self.0.iter();
        let named = runs.flat_map(|run| run.event_types.iter().flatten().chain(&run.held_types));
        named.map(String::as_str)
    }
}

/// Space on the disk of a file; the disk of a server is not seen from here.
#[cfg(unix)]
fn space(outbox: &Outbox) -> Option<Finding> {
    let Outbox::File(path) = outbox else {
        return None;
    };
    let disk = rustix::fs::statvfs(path).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    (free < LITTLE_SPACE).then(|| {
        let message = format!(
            "the file system of the database has {} MiB left",
            free >> 20
        );
        let finding = Finding::new(Subject::Space, Severity::Warning, message);
        finding.with_remedy(Remedy::Advice(
            "free some space: enqueueing fails once none is left".to_owned(),
        ))
    })
}

#[cfg(not(unix))]
fn space(_: &Outbox) -> Option<Finding> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_names_the_outbox_that_was_checked() {
        let of = |schema: &str| Outbox::Schema(schema.to_owned());
        assert_eq!(repair(&of("outbox")), "outbox doctor --repair");
        assert_eq!(
            repair(&of("billing")),
            "outbox doctor --repair --schema billing"
        );
        assert_eq!(
            repair(&of("a b;reboot")),
            "outbox doctor --repair --schema 'a b;reboot'"
        );
        assert_eq!(
            repair(&Outbox::File("app.db".into())),
            "outbox doctor --repair --db 'app.db'"
        );
    }

    #[test]
    fn a_statement_is_one_word_of_the_shell() {
        let file = Outbox::File("it's/app.db".into());
        assert_eq!(
            with_sql("SELECT 'a';", &file),
            r"sqlite3 'it'\''s/app.db' 'SELECT '\''a'\'';'"
        );
    }
}
