//! Companions: the events of a lane that a handler has at the same time, in a batch that keeps the
//! order of its lanes. They are leased under one token; see [`following`](super::following).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::claims::OpenClaims;

/// The lanes of events with handlers, as far as they were asked for in the open transaction.
#[derive(Debug, Default)]
pub(super) struct Companions(HashMap<i64, Option<i64>>);

impl Companions {
    /// Whether another event of this lane is leased under this token.
    pub(super) fn has(
        &mut self,
        conn: &Connection,
        claims: &mut OpenClaims,
        token: Uuid,
        (seq, lane): (i64, i64),
    ) -> rusqlite::Result<bool> {
        for other in claims.others(conn, token, seq)? {
            if self.lane_of(conn, other)? == Some(lane) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn lane_of(&mut self, conn: &Connection, seq: i64) -> rusqlite::Result<Option<i64>> {
        match self.0.entry(seq) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(unknown) => {
                let mut find =
                    conn.prepare_cached("SELECT lane FROM outbox_events WHERE seq = ?1")?;
                let lane: Option<Option<i64>> =
                    find.query_row([seq], |row| row.get(0)).optional()?;
                Ok(*unknown.insert(lane.flatten()))
            }
        }
    }
}
