//! The final content of the database, read with plain SQL: the checker does not trust the library
//! that it checks.

use std::collections::{BTreeMap, HashMap, HashSet};

use outbox_postgres::tokio_postgres::Client;
use uuid::Uuid;

use super::producers::{FOLDING, OWN};

/// What the checker needs.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The events of each lane in the order in which they must be delivered, without those that
    /// folded into others.
    pub lanes: BTreeMap<i64, Vec<Uuid>>,
    /// Events that are not completed, and their rows in words.
    pub open: HashMap<Uuid, String>,
    /// Events that another one carries.
    pub folded: HashMap<Uuid, Uuid>,
    /// What the application's own transactions committed: event, lane and version.
    pub journal: Vec<(Uuid, i64, i64)>,
}

impl Rows {
    /// Reads everything.
    pub async fn read(client: &Client, schema: &str) -> Self {
        let mut rows = Self::default();
        let journal =
            format!("SELECT event, lane, version FROM {schema}_journal ORDER BY lane, version");
        for row in client.query(&journal, &[]).await.unwrap() {
            rows.journal.push((row.get(0), row.get(1), row.get(2)));
        }
        let events = format!(
            "SELECT id, entity_id::bigint, status::text, e::text FROM {schema}.events e ORDER BY seq"
        );
        for row in client.query(&events, &[]).await.unwrap() {
            let (event, status): (Uuid, String) = (row.get(0), row.get(2));
            rows.lanes.entry(row.get(1)).or_default().push(event);
            if status != "c" {
                rows.open.insert(event, row.get(3));
            }
        }
        let folded = format!("SELECT id, into_id FROM {schema}.folded");
        for row in client.query(&folded, &[]).await.unwrap() {
            rows.folded.insert(row.get(0), row.get(1));
        }
        rows
    }

    /// All events with rows of their own.
    #[must_use]
    pub fn events(&self) -> HashSet<Uuid> {
        self.lanes.values().flatten().copied().collect()
    }

    /// Whether an event has a row, or is carried by one that has.
    #[must_use]
    pub fn has(&self, events: &HashSet<Uuid>, event: Uuid) -> bool {
        let carrier = self.folded.get(&event);
        events.contains(&event) || carrier.is_some_and(|carrier| events.contains(carrier))
    }

    /// The lanes whose events the application's transactions committed in the order of a row.
    #[must_use]
    pub fn committed(&self) -> BTreeMap<i64, Vec<Uuid>> {
        let mut lanes: BTreeMap<i64, Vec<Uuid>> = BTreeMap::new();
        for (event, lane, _) in &self.journal {
            lanes.entry(*lane).or_default().push(*event);
        }
        lanes
    }
}

/// Whether the application's own transactions enqueue in this lane.
#[must_use]
pub fn is_of_transactions(lane: i64) -> bool {
    lane < OWN
}

/// Whether the events of this lane fold.
#[must_use]
pub fn folds(lane: i64) -> bool {
    (FOLDING..OWN).contains(&lane)
}
