//! The key of a database's lanes.

use rusqlite::Connection;

use crate::store::kit::LaneKey;

/// Reads the key of this database's lanes.
pub(super) fn lane_key(conn: &Connection) -> rusqlite::Result<LaneKey> {
    conn.prepare_cached("SELECT lane_key FROM outbox_identity WHERE one = 1")?
        .query_row([], |row| row.get(0))
        .map(LaneKey::new)
}
