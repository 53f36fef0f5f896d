//! The comparison of the database with the outbox, the partner and the stream.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;

use uuid::Uuid;

use super::evidence::{Content, Evidence};
use crate::domain::{Customer, Order, OrderLine, OrderStatus, StockChange};
use crate::outbox::{BrokerEvent, PartnerEvent};
use crate::partner::Item;

/// A check.
#[derive(Debug)]
pub(super) struct Check {
    /// The claim.
    pub(super) claim: &'static str,
    /// Where it does not hold.
    pub(super) differences: Vec<String>,
}

/// Compares everything with everything.
pub(super) fn judge(evidence: &Evidence) -> Vec<Check> {
    let received = Received::of(evidence);
    let check = |claim, differences| Check { claim, differences };
    let mut checks = vec![
        check("stock adds up in the database", stock(evidence)),
        check("every event is delivered", undelivered(evidence)),
        check(
            "the partner has every change of every order, once and in order",
            histories(
                evidence
                    .orders
                    .iter()
                    .map(|order| (order.id, order.revision)),
                received
                    .orders
                    .iter()
                    .map(|order| (order.id, order.revision)),
            ),
        ),
        check(
            "the partner's last state of every order is the database's",
            states(
                evidence.orders.iter().map(|it| (it.id, it)),
                received.orders.iter().map(|it| (it.id, *it)),
            ),
        ),
        check(
            "the partner has every line, once and after its order",
            lines(evidence, &received),
        ),
        check(
            "the partner has every delivered event once, under its id",
            ids(
                evidence,
                PartnerEvent::EVENT_TYPES,
                evidence.partner.accepted.iter().map(|it| it.key),
            ),
        ),
    ];
    if let Some(messages) = &evidence.stream {
        checks.extend([
            check(
                "the stream has every change of stock, once and in order",
                changes(evidence, &received),
            ),
            check(
                "the stream has every change of every customer, once and in order",
                histories(
                    evidence.customers.iter().map(|it| (it.id, it.revision)),
                    received.customers.iter().map(|it| (it.id, it.revision)),
                ),
            ),
            check(
                "the stream's last state of every customer is the database's",
                states(
                    evidence.customers.iter().map(|it| (it.id, it)),
                    received.customers.iter().map(|it| (it.id, *it)),
                ),
            ),
            check(
                "the stream has every delivered event once, under its id",
                ids(
                    evidence,
                    BrokerEvent::EVENT_TYPES,
                    messages.iter().map(|it| it.id),
                ),
            ),
        ]);
    }
    checks
}

/// What partner and stream received, each in its order.
#[derive(Default)]
struct Received<'e> {
    orders: Vec<&'e Order>,
    lines: Vec<&'e OrderLine>,
    customers: Vec<&'e Customer>,
    changes: Vec<&'e StockChange>,
    /// Lines that came before their order.
    early: Vec<&'e OrderLine>,
}

impl<'e> Received<'e> {
    fn of(evidence: &'e Evidence) -> Self {
        let mut received = Self::default();
        let mut known = BTreeSet::new();
        for accepted in &evidence.partner.accepted {
            match &accepted.item {
                Item::Order(order) => {
                    known.insert(order.id);
                    received.orders.push(order);
                }
                Item::Line(line) => {
                    if !known.contains(&line.order_id) {
                        received.early.push(line);
                    }
                    received.lines.push(line);
                }
            }
        }
        for message in evidence.stream.iter().flatten() {
            match &message.content {
                Content::Customer(customer) => received.customers.push(customer),
                Content::Stock(change) => received.changes.push(change),
            }
        }
        received
    }
}

/// Each change continues from the one before it, and the last one is the current state.
fn stock(evidence: &Evidence) -> Vec<String> {
    let mut differences = Vec::new();
    let mut last: BTreeMap<&str, &StockChange> = BTreeMap::new();
    for change in &evidence.changes {
        let before = last.insert(&change.sku, change);
        let continues = match before {
            Some(before) => {
                change.revision == before.revision + 1
                    && change.available == before.available + change.change
            }
            None => change.revision == 1,
        };
        if !continues {
            differences.push(format!("{change:?} does not continue from {before:?}"));
        }
    }
    for level in &evidence.stock {
        let last = last.get(&*level.sku);
        let expected = last.map_or((0, level.available), |last| (last.revision, last.available));
        if (level.revision, level.available) != expected {
            differences.push(format!("{level:?}, but its last change is {last:?}"));
        }
    }
    // Lines and cancellations are the only causes of changes.
    let mut sums: HashMap<(Uuid, &str), i64> = HashMap::new();
    for change in &evidence.changes {
        *sums.entry((change.order_id, &change.sku)).or_default() += change.change;
    }
    let canceled = |order: Uuid| {
        let order = evidence.orders.iter().find(|it| it.id == order);
        order.is_none_or(|order| order.status == OrderStatus::Canceled)
    };
    for line in &evidence.lines {
        let taken = sums
            .remove(&(line.order_id, &*line.sku))
            .unwrap_or_default();
        let expected = if canceled(line.order_id) {
            0
        } else {
            -line.quantity
        };
        if taken != expected {
            differences.push(format!("{line:?} changed the stock by {taken}"));
        }
    }
    differences.extend(
        sums.keys()
            .map(|key| format!("no line is the cause of {key:?}")),
    );
    differences
}

/// Without a broker, its events wait.
fn undelivered(evidence: &Evidence) -> Vec<String> {
    let waits = |event_type: &str| {
        evidence.stream.is_none() && BrokerEvent::EVENT_TYPES.contains(&event_type)
    };
    let left = evidence.events.iter().filter(|event| !event.is_delivered());
    let left = left.filter(|event| !waits(&event.event_type));
    left.map(|event| {
        let error = event.error.as_deref().unwrap_or("no error");
        format!(
            "{} {} is {}: {error}",
            event.event_type, event.entity, event.status
        )
    })
    .collect()
}

/// Each entity's revisions came as 1, 2, 3 up to the one in the database.
fn histories(
    expected: impl Iterator<Item = (Uuid, i64)>,
    received: impl Iterator<Item = (Uuid, i64)>,
) -> Vec<String> {
    let mut histories: BTreeMap<Uuid, Vec<i64>> = BTreeMap::new();
    for (id, revision) in received {
        histories.entry(id).or_default().push(revision);
    }
    let mut differences = Vec::new();
    for (id, revision) in expected {
        let history = histories.remove(&id).unwrap_or_default();
        if !history.iter().copied().eq(1..=revision) {
            differences.push(format!(
                "{id} has {revision} revisions, and {history:?} came"
            ));
        }
    }
    differences.extend(
        histories
            .keys()
            .map(|id| format!("{id} is not in the database")),
    );
    differences
}

/// The last received state of each entity is the one in the database.
fn states<'e, T: PartialEq + Debug + 'e>(
    expected: impl Iterator<Item = (Uuid, &'e T)>,
    received: impl Iterator<Item = (Uuid, &'e T)>,
) -> Vec<String> {
    let last: HashMap<Uuid, &T> = received.collect();
    let differs = |(id, state): &(Uuid, &'e T)| last.get(id) != Some(state);
    expected
        .filter(differs)
        .map(|(id, state)| format!("{state:?} arrived as {:?}", last.get(&id)))
        .collect()
}

fn lines(evidence: &Evidence, received: &Received<'_>) -> Vec<String> {
    let early = received.early.iter();
    let mut differences: Vec<_> = early
        .map(|line| format!("{line:?} came too early"))
        .collect();
    let id = |line: &OrderLine| (line.order_id, line.sku.clone());
    let mut copies: HashMap<_, Vec<&OrderLine>> = HashMap::new();
    for line in &received.lines {
        copies.entry(id(line)).or_default().push(line);
    }
    for line in &evidence.lines {
        let copies = copies.remove(&id(line)).unwrap_or_default();
        if copies != [line] {
            differences.push(format!("{line:?} arrived as {copies:?}"));
        }
    }
    differences.extend(
        copies
            .keys()
            .map(|(order, sku)| format!("line {sku} of order {order} is not in the database")),
    );
    differences
}

fn changes(evidence: &Evidence, received: &Received<'_>) -> Vec<String> {
    let by_sku = |changes: &mut dyn Iterator<Item = &StockChange>| {
        let mut histories: BTreeMap<String, Vec<StockChange>> = BTreeMap::new();
        for change in changes {
            histories
                .entry(change.sku.clone())
                .or_default()
                .push(change.clone());
        }
        histories
    };
    let expected = by_sku(&mut evidence.changes.iter());
    let received = by_sku(&mut received.changes.iter().copied());
    let skus: BTreeSet<&String> = expected.keys().chain(received.keys()).collect();
    let nothing = Vec::new();
    let mut differences = Vec::new();
    for sku in skus {
        let (expected, received) = (
            expected.get(sku).unwrap_or(&nothing),
            received.get(sku).unwrap_or(&nothing),
        );
        if let Some(at) = first_difference(expected, received) {
            differences.push(format!(
                "change {} of {sku} is {:?}, and {:?} came",
                at + 1,
                expected.get(at),
                received.get(at)
            ));
        }
    }
    differences
}

fn first_difference<T: PartialEq>(one: &[T], two: &[T]) -> Option<usize> {
    (0..one.len().max(two.len())).find(|at| one.get(*at) != two.get(*at))
}

/// Each delivered event of these types is there once under its id, and nothing else is.
fn ids(evidence: &Evidence, types: &[&str], received: impl Iterator<Item = Uuid>) -> Vec<String> {
    let mut counts: BTreeMap<Uuid, u32> = BTreeMap::new();
    for id in received {
        *counts.entry(id).or_default() += 1;
    }
    let mut differences = Vec::new();
    let of_types = evidence
        .events
        .iter()
        .filter(|event| types.contains(&&*event.event_type));
    for event in of_types {
        match counts.remove(&event.id).unwrap_or_default() {
            1 => {}
            // Another check has those that are not delivered.
            0 if !event.is_delivered() => {}
            count => differences.push(format!(
                "event {} of {} {} arrived {count} times",
                event.id, event.event_type, event.entity
            )),
        }
    }
    differences.extend(counts.keys().map(|id| format!("no event has the id {id}")));
    differences
}

#[cfg(test)]
mod tests;
