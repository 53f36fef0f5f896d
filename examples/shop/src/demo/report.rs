//! The report.

use std::fmt;
use std::time::Duration;

use super::evidence::Evidence;
use super::kill::Killed;
use super::load::Counts;
use super::verdict::{self, Check};

/// The most differences that are shown.
const SHOWN: usize = 20;

/// What happened, and whether database, partner and stream agree.
#[derive(Debug)]
pub struct Report {
    evidence: Evidence,
    counts: Counts,
    killed: Killed,
    delivered_after: Option<Duration>,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(
        evidence: Evidence,
        counts: Counts,
        killed: Killed,
        delivered_after: Option<Duration>,
    ) -> Self {
        let mut checks = verdict::judge(&evidence);
        // Otherwise the run shows less than it says.
        checks.push(Check {
            claim: "the killed worker was delivering something",
            differences: match killed.holding {
                0 => vec![format!("{} had nothing to do", killed.name)],
                _ => Vec::new(),
            },
        });
        Self {
            evidence,
            counts,
            killed,
            delivered_after,
            checks,
        }
    }

    /// Whether every check holds.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.checks.iter().all(|check| check.differences.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            evidence,
            counts,
            killed,
            ..
        } = self;
        writeln!(
            f,
            "orders:  {} placed, of which {} paid and {} canceled; {} refused for lack of stock",
            counts.placed, counts.paid, counts.canceled, counts.out_of_stock
        )?;
        writeln!(
            f,
            "clients: {} got no response and asked again; {} of their orders had been placed already",
            counts.unanswered, counts.known
        )?;
        writeln!(
            f,
            "{}: killed after {} orders while it delivered {} events, and started again",
            killed.name, killed.after, killed.holding
        )?;
        let ledger = &evidence.partner;
        writeln!(
            f,
            "partner: {} requests took effect ({} without an answer), {} were refused, {} came \
             again, {} lines came before their order",
            ledger.accepted.len(),
            ledger.unanswered,
            ledger.refused,
            ledger.repeated,
            ledger.early
        )?;
        match &evidence.stream {
            Some(messages) => writeln!(f, "stream:  {} messages", messages.len())?,
            None => writeln!(f, "stream:  skipped, there is no broker")?,
        }
        match self.delivered_after {
            Some(after) => writeln!(
                f,
                "outbox:  {} events, the last one delivered {:.1} s after the last order\n",
                evidence.events.len(),
                after.as_secs_f64()
            )?,
            None => writeln!(
                f,
                "outbox:  {} events, not all delivered\n",
                evidence.events.len()
            )?,
        }
        for check in &self.checks {
            match check.differences.len() {
                0 => writeln!(f, "ok      {}", check.claim)?,
                count => writeln!(f, "FAILED  {} ({count})", check.claim)?,
            }
        }
        if self.agrees() {
            return write!(f, "\ndatabase and receivers agree");
        }
        write!(f, "\ndatabase and receivers differ")?;
        let differences = self.checks.iter().flat_map(|check| &check.differences);
        let count = differences.clone().count();
        for difference in differences.take(SHOWN) {
            write!(f, "\n  {difference}")?;
        }
        match count > SHOWN {
            true => write!(f, "\n  … and {} more", count - SHOWN),
            false => Ok(()),
        }
    }
}
