//! The final report: statistics, dead letters with their reasons, and whether server and file
//! agree.

use std::fmt::{self, Display};

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use outbox_runtime::{OutboxEvent, OutboxRepository, OutboxStatistics, OutboxStatus, SqliteStore};

use crate::app::LumeEvent;
use crate::feed::Feed;
use crate::server::ledger::{Accepted, Received};
use crate::verdict::{self, Check, DeadLetter, Evidence};

/// The most differences that are shown.
const SHOWN: usize = 20;

/// The report of a run.
#[derive(Debug)]
pub(crate) struct Report {
    statistics: OutboxStatistics,
    dead: Vec<DeadLetter>,
    received: usize,
    accepted: usize,
    checks: Vec<Check>,
}

impl Report {
    /// Collects the current state.
    pub(crate) async fn of(
        feed: &Feed,
        store: &SqliteStore,
        received: &[Received],
        accepted: &[Accepted],
    ) -> anyhow::Result<Self> {
        let statistics = store.statistics(None).await?;
        let dead = store.fetch_events(OutboxStatus::Dead, None, None).await?;
        let dead: Vec<DeadLetter> = dead.into_iter().map(dead_letter).collect();
        let checks = verdict::judge(&Evidence {
            lines: &feed.lines,
            dead: &dead,
            undelivered: statistics.undelivered(),
            received,
            accepted,
        });
        Ok(Self {
            statistics,
            dead,
            received: received.len(),
            accepted: accepted.len(),
            checks,
        })
    }

    /// Whether every check holds.
    pub(crate) fn agrees(&self) -> bool {
        self.checks.iter().all(|check| check.differences.is_empty())
    }
}

fn dead_letter(record: OutboxEvent) -> DeadLetter {
    let entity = record.entity_id.to_string();
    let reason = record
        .dead_reason
        .map_or("unknown", |reason| reason.as_str());
    let message = record.error_message.clone().unwrap_or_default();
    let line = match LumeEvent::decode(record) {
        Ok(LumeEvent::MoodEntry(event)) => Some(event.metadata().line),
        Err(_) => None,
    };
    DeadLetter {
        entity,
        line,
        reason: reason.to_owned(),
        message,
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Outbox  {}", self.statistics)?;
        writeln!(
            f,
            "Server  Requests: {} | Accepted: {}",
            self.received, self.accepted
        )?;
        if !self.dead.is_empty() {
            writeln!(f, "\nDead letters\n{}", table(&self.dead))?;
        }
        writeln!(f)?;
        for check in &self.checks {
            match check.differences.len() {
                0 => writeln!(f, "ok      {}", check.claim)?,
                count => writeln!(f, "FAILED  {} ({count})", check.claim)?,
            }
        }
        if self.agrees() {
            return write!(f, "\nserver and file agree");
        }
        write!(f, "\nserver and file differ")?;
        let differences = self.checks.iter().flat_map(|check| &check.differences);
        let count = differences.clone().count();
        for difference in differences.take(SHOWN) {
            write!(f, "\n  {difference}")?;
        }
        if count > SHOWN {
            write!(f, "\n  … and {} more", count - SHOWN)?;
        }
        Ok(())
    }
}

fn table(dead: &[DeadLetter]) -> Table {
    let mut letters: Vec<&DeadLetter> = dead.iter().collect();
    letters.sort_by_key(|letter| letter.line);
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["Entry", "Line", "Reason", "Message"]);
    for letter in letters {
        table.add_row([
            letter.entity.clone(),
            letter.line.map_or("?".to_owned(), |line| line.to_string()),
            letter.reason.clone(),
            letter.message.clone(),
        ]);
    }
    table
}
