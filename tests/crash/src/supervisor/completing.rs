//! A campaign against handlers that save a remote id and complete their event in one transaction:
//! after every kill, a remote id is saved if and only if its event is completed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use outbox_runtime::rusqlite::{self, Connection, OpenFlags};
use uuid::Uuid;

use super::{Arena, wait, was_killed};
use crate::ledger::{self, Record};
use crate::plan::{Completes, Then, Work};
use crate::verdict::{Circumstances, Verdict};

/// Settings of a campaign.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Number of workers to kill, one at a time.
    pub kills: u32,
    /// Seed of the random moments.
    pub seed: u64,
    /// How handlers complete their events.
    pub completes: Completes,
}

/// Result of a campaign.
#[derive(Debug)]
pub struct Report {
    settings: Settings,
    /// Kills that left an event with a handler: in the middle of its work.
    pub with_handlers: u32,
    /// Events whose remote id was saved, at the end.
    pub saved: usize,
    /// Events whose remote id was saved more than once.
    pub saved_again: usize,
    /// Violations after a kill, or at the end.
    pub violations: Vec<String>,
    /// The verdict about everything else.
    pub verdict: Verdict,
}

impl Report {
    /// Whether every remote id was saved exactly once, with its completion, and no other promise
    /// was broken.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty() && self.saved_again == 0 && self.verdict.is_sound()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}, {:?}: {} kills, {} of them with an event at a handler; {} remote ids saved, {} of them again, {} violations",
            self.settings.seed,
            self.settings.completes,
            self.settings.kills,
            self.with_handlers,
            self.saved,
            self.saved_again,
            self.violations.len()
        )?;
        for violation in self.violations.iter().take(10) {
            write!(f, "\n  {violation}")?;
        }
        write!(f, "\n  {}", self.verdict)
    }
}

/// Runs a campaign, drains the rest, and compares.
///
/// # Panics
///
/// If a worker ends before it is killed, or the database cannot be read.
#[must_use]
pub fn run(settings: Settings) -> Report {
    let arena = Arena::new();
    let mut random = Rng::with_seed(settings.seed);
    let mut violations = Vec::new();
    let mut with_handlers = 0;
    let (mut answers, mut read) = (0, 0);
    for producer in 0..settings.kills {
        let mut plan = arena.plan(Work::Mix {
            producer,
            first: 0,
            count: 40,
            then: Then::Serve,
        });
        plan.completes = settings.completes;
        let worker = arena.start(&plan);
        // In the middle of its work, however fast the machine is: a few events later, and then at
        // any moment of the next.
        let enough = answers + random.u32(1..12);
        wait::until("answers of handlers", || {
            let records = ledger::read_from(&arena.ledger(), &mut read);
            let is_answer = |record: &Record| matches!(record, Record::Answered { .. });
            answers += u32::try_from(records.into_iter().filter(is_answer).count()).unwrap_or(0);
            answers >= enough
        });
        wait::pause(Duration::from_micros(random.u64(0..10_000)));
        let killed = worker.kill();
        assert!(
            was_killed(killed),
            "the worker exited before its kill: {killed}"
        );
        let seen = Seen::read(arena.database());
        with_handlers += u32::from(seen.is_with_a_handler);
        violations.extend(seen.violations(&format!("after kill {}", producer + 1)));
    }
    arena.drain_completing(settings.completes);
    let seen = Seen::read(arena.database());
    violations.extend(seen.violations("at the end"));
    Report {
        settings,
        with_handlers,
        saved: seen.saved.len(),
        saved_again: seen.saved.values().filter(|times| **times > 1).count(),
        violations,
        verdict: arena.judge(Circumstances {
            deaths: settings.kills,
            cleaned_up: false,
        }),
    }
}

/// The content of the database at one moment.
#[derive(Debug, Default)]
struct Seen {
    completed: BTreeSet<Uuid>,
    /// How often the remote id of each event was saved.
    saved: BTreeMap<Uuid, i64>,
    is_with_a_handler: bool,
}

impl Seen {
    fn read(path: &Path) -> Self {
        Self::try_read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn try_read(path: &Path) -> rusqlite::Result<Self> {
        // Writable, because SQLite must replay the -wal of a killed process first.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let mut conn = match Connection::open_with_flags(path, flags) {
            Ok(conn) => conn,
            // Killed before the file was there.
            Err(_) if !path.exists() => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let tx = conn.transaction()?;
        let there = |table: &str| -> rusqlite::Result<bool> {
            let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)";
            tx.query_row(sql, [table], |row| row.get(0))
        };
        let mut seen = Self::default();
        if there("outbox_events")? {
            let mut rows = tx.prepare("SELECT id FROM outbox_events WHERE status = 2")?;
            let rows = rows.query_map([], |row| row.get(0))?;
            seen.completed = rows.collect::<rusqlite::Result<_>>()?;
            let sql = "SELECT EXISTS (SELECT 1 FROM outbox_claims)";
            seen.is_with_a_handler = tx.query_row(sql, [], |row| row.get(0))?;
        }
        if there("remote_ids")? {
            let mut rows = tx.prepare("SELECT event, saves FROM remote_ids")?;
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            seen.saved = rows.collect::<rusqlite::Result<_>>()?;
        }
        Ok(seen)
    }

    fn violations(&self, when: &str) -> Vec<String> {
        let saved: BTreeSet<Uuid> = self.saved.keys().copied().collect();
        let unsaved = self.completed.difference(&saved);
        let unsaved = unsaved.map(|event| format!("{when}: {event} is completed without its id"));
        let open = saved.difference(&self.completed);
        let open = open.map(|event| format!("{when}: the id of {event} is saved, but it is open"));
        unsaved.chain(open).collect()
    }
}
