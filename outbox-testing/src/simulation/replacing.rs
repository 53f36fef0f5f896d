//! Events in whose place others are: folded, kept out, or replaced by one with the same key.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::promise::Promise;
use super::report::Invariant;
use outbox_runtime::{OutboxEvent, OutboxStatus};

/// The event that carries this one, perhaps over several others.
pub(super) fn carrier_of<'p>(
    promises: &'p BTreeMap<Uuid, Promise>,
    promise: &'p Promise,
) -> &'p Promise {
    let mut carrier = promise;
    // No chain is longer than the number of events.
    for _ in 0..promises.len() {
        match carrier.folded_into.and_then(|next| promises.get(&next)) {
            Some(next) => carrier = next,
            None => break,
        }
    }
    carrier
}

/// Records which events others with the same key have replaced, and compares the rows that are
/// left.
pub(super) fn replace(
    promises: &mut BTreeMap<Uuid, Promise>,
    rows: &[OutboxEvent],
    found: &mut impl FnMut(Invariant, String),
) {
    let is_there = |id: &Uuid| rows.iter().any(|row| row.id == *id);
    let gone = promises.iter().filter(|(id, promise)| {
        let due = promise.acknowledged || promise.seen;
        due && promise.may_be_replaced() && !is_there(id)
    });
    let mut replaced = Vec::new();
    for (id, promise) in gone {
        let others = promises.iter().filter(|(other, _)| *other != id);
        let others = others.filter(|(other, it)| is_there(other) && it.shares_key_with(promise));
        // Others with its key may have been claimed before it was enqueued.
        let newer = others.max_by_key(|(_, it)| it.row.map(|(seq, _)| seq));
        if let Some((newer, _)) = newer {
            replaced.push((*id, *newer));
        }
    }
    for (id, newer) in replaced {
        if let Some(promise) = promises.get_mut(&id) {
            promise.folded_into = Some(newer);
            promise.replaced = true;
        }
    }
    let unclaimed =
        |row: &&OutboxEvent| row.status == OutboxStatus::Pending && row.last_attempt_at.is_none();
    let waiting: Vec<&Promise> = rows
        .iter()
        .filter(unclaimed)
        .filter_map(|row| promises.get(&row.id))
        .collect();
    for (index, one) in waiting.iter().enumerate() {
        let mut others = waiting.iter().skip(index + 1);
        if let Some(other) = others.find(|other| other.shares_key_with(one)) {
            let what = format!("{} waits beside {} with its key", one.label, other.label);
            found(Invariant::OnePerKey, what);
        }
    }
}
