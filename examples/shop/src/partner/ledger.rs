//! The books of the partner.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::domain::{Order, OrderLine};

/// A request that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its `Idempotency-Key`.
    pub key: Uuid,
    /// Its content.
    pub item: Item,
}

/// The content of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The state of an order.
    Order(Order),
    /// A line.
    Line(OrderLine),
}

/// What the partner holds, and how often it misbehaved.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Ledger {
    /// The requests that took effect, in their order.
    pub accepted: Vec<Accepted>,
    /// How many requests came again after they took effect.
    pub repeated: u64,
    /// How many requests it refused, to misbehave.
    pub refused: u64,
    /// How many requests took effect without an answer.
    pub unanswered: u64,
    /// How many lines came before their order.
    pub early: u64,
    keys: HashSet<Uuid>,
    orders: HashSet<Uuid>,
    sights: HashMap<Uuid, u32>,
}

/// What becomes of a request that is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// It took effect.
    New,
    /// It took effect before.
    Repeated,
    /// It is a line of an order that is not known.
    Early,
}

impl Ledger {
    /// Counts the requests with this key, this one included.
    pub(super) fn see(&mut self, key: Uuid) -> u32 {
        let sights = self.sights.entry(key).or_default();
        *sights += 1;
        *sights
    }

    pub(super) fn has(&self, key: Uuid) -> bool {
        self.keys.contains(&key)
    }

    pub(super) fn enter(&mut self, key: Uuid, item: Item) -> Entry {
        if self.keys.contains(&key) {
            self.repeated += 1;
            return Entry::Repeated;
        }
        match &item {
            Item::Order(order) => {
                self.orders.insert(order.id);
            }
            Item::Line(line) if !self.orders.contains(&line.order_id) => {
                self.early += 1;
                return Entry::Early;
            }
            Item::Line(_) => {}
        }
        self.keys.insert(key);
        self.accepted.push(Accepted { key, item });
        Entry::New
    }
}
