//! Violations: two workers that have events of a lane at the same time, and a delivery that is out
//! of order.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{Claim, LeaseToken};

use crate::Run;

/// How many violations are told one by one.
const MOST_TOLD: u64 = 20;

/// The events of a lane that a worker has.
#[derive(Debug)]
struct Held {
    /// The one that it delivers next, and those behind it.
    seqs: Vec<i64>,
    token: LeaseToken,
    lease_ends: DateTime<Utc>,
}

/// The state of each lane, by entity.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// What a worker has of each lane.
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
        let (seq, token) = (claim.event.seq, claim.lease.token);
        let same = book.with_handler.get_mut(&lane);
        if let Some(held) = same.filter(|held| held.token == token) {
            let is_in_order = held.seqs.last().is_none_or(|last| *last < seq);
            held.seqs.push(seq);
            book.out_of_order += u64::from(!is_in_order);
            return;
        }
        let held = Held {
            seqs: vec![seq],
            token,
            lease_ends: claim.lease.expires_at,
        };
        let claimed_at = claim.event.last_attempt_at.unwrap();
        let Some(other) = book.with_handler.insert(lane, held) else {
            return;
        };
        // A worker that this machine has stopped for longer than its lease loses its events.
        if other.lease_ends > claimed_at {
            book.two_at_once += 1;
            if book.two_at_once <= MOST_TOLD {
                eprintln!("lane {lane}: {seq} beside {:?}", other.seqs);
            }
        }
    }

    /// The attempt is over, before the store is told of it: afterward another may begin.
    pub(crate) fn end(&self, claim: &Claim, is_delivered: bool) {
        let mut book = self.book.lock().unwrap();
        let lane = claim.event.entity_id.as_integer().unwrap();
        let held = book.with_handler.get_mut(&lane);
        let Some(held) = held.filter(|held| held.token == claim.lease.token) else {
            // It was stopped past its lease, so another worker has gone on.
            return;
        };
        held.seqs.retain(|seq| *seq != claim.event.seq);
        if held.seqs.is_empty() {
            book.with_handler.remove(&lane);
        }
        if !is_delivered || !self.plan.locks_row {
            return;
        }
        let metadata = claim.event.metadata.as_ref().and_then(|raw| raw.as_str());
        let version: i64 = metadata.unwrap().parse().unwrap();
        let before = book.delivered.insert(lane, version).unwrap_or(0);
        // After a lost lease, an event may be delivered twice, with all that were leased with it.
        let is_last = version == before || self.plan.follows;
        let is_again = is_last && claim.event.crashes > 0;
        if version <= before && !is_again && !self.plan.edits {
            book.out_of_order += 1;
            if book.out_of_order <= MOST_TOLD {
                eprintln!("lane {lane}: {version} after {before}");
            }
        }
    }
}
