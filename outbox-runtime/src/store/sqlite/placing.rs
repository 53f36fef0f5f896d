//! What folding asks of a database about lanes, for any driver.

use std::future::Future;

use super::database::{Database, OnConnection};
use super::held::Held;
use super::lane_key::lane_key;
use super::place::place_all;
use crate::store::kit::LaneKey;

pub(super) trait Placing: Database {
    /// The key of the database's lanes.
    fn lane_key(&self) -> impl Future<Output = Result<LaneKey, Self::Error>>;

    /// Finds the place of all events that have none yet. Returns whether every event has one now.
    fn place_all(&self, now: i64, held: &Held) -> impl Future<Output = Result<bool, Self::Error>>;
}

impl Placing for OnConnection<'_> {
    async fn lane_key(&self) -> rusqlite::Result<LaneKey> {
        lane_key(self.0)
    }

    async fn place_all(&self, now: i64, held: &Held) -> rusqlite::Result<bool> {
        place_all(self.0, now, held).map(|()| true)
    }
}
