//! What must never happen: two events of a lane with handlers at the same time, and a delivery that
//! is out of order.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use outbox_runtime::store::Claim;

use crate::Run;

/// How many violations are told one by one.
const MOST_TOLD: u64 = 20;

/// An event with a handler.
#[derive(Debug)]
struct Held {
    seq: i64,
    lease_ends: DateTime<Utc>,
}

/// The state of each lane, by entity.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// The event with a handler, of each lane.
    with_handler: HashMap<i64, Held>,
    /// The last version delivered.
    pub(crate) delivered: HashMap<i64, i64>,
    pub(crate) two_at_once: u64,
    pub(crate) out_of_order: u64,
    pub(crate) deliveries: u64,
}

impl Run {
    pub(crate) fn begin(&self, claim: &Claim) {
        let mut book = self.book.lock().unwrap();
        let lane = claim.event.entity_id.as_integer().unwrap();
        book.deliveries += 1;
        let held = Held {
            seq: claim.event.seq,
            lease_ends: claim.lease.expires_at,
        };
        let claimed_at = claim.event.last_attempt_at.unwrap();
        let Some(other) = book.with_handler.insert(lane, held) else {
            return;
        };
        // A worker that this machine has stopped for longer than its lease loses its event.
        if other.lease_ends > claimed_at {
            book.two_at_once += 1;
            if book.two_at_once <= MOST_TOLD {
                eprintln!("lane {lane}: {} beside {}", claim.event.seq, other.seq);
            }
        }
    }

    /// The attempt is over, before the store is told of it: afterward another may begin.
    pub(crate) fn end(&self, claim: &Claim, is_delivered: bool) {
        let mut book = self.book.lock().unwrap();
        let lane = claim.event.entity_id.as_integer().unwrap();
        let is_own =
            |held: &Held| held.seq == claim.event.seq && held.lease_ends == claim.lease.expires_at;
        if !book.with_handler.get(&lane).is_some_and(is_own) {
            // It was stopped past its lease, so another worker has gone on.
            return;
        }
        book.with_handler.remove(&lane);
        if !is_delivered || !self.plan.locks_row {
            return;
        }
        let metadata = claim.event.metadata.as_ref().and_then(|raw| raw.as_str());
        let version: i64 = metadata.unwrap().parse().unwrap();
        let before = book.delivered.insert(lane, version).unwrap_or(0);
        // After a lost lease, an event may be delivered twice.
        let is_again = version == before && claim.event.crashes > 0;
        if version <= before && !is_again && !self.plan.edits {
            book.out_of_order += 1;
            if book.out_of_order <= MOST_TOLD {
                eprintln!("lane {lane}: {version} after {before}");
            }
        }
    }
}
