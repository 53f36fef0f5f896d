//! Pauses: events that claims leave out. Claims read the table in their own transaction, so a pause
//! of any process holds for every claim after its commit.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, params};

use crate::pause::{PauseScope, Paused};
use crate::store::kit::Pauses;

/// The pauses on record.
pub(super) fn read(conn: &Connection) -> rusqlite::Result<Pauses> {
    let mut recorded = conn.prepare_cached(
        "SELECT kind, name, since, until, paused_by, because FROM outbox_pauses ORDER BY kind, name",
    )?;
    let mut rows = recorded.query([])?;
    let mut paused = Vec::new();
    while let Some(row) = rows.next()? {
        paused.extend(read_one(row)?);
    }
    Ok(Pauses::new(paused))
}

/// `None` for a kind that this program does not know.
fn read_one(row: &Row<'_>) -> rusqlite::Result<Option<Paused>> {
    let kind = row.get_ref(0)?.as_str()?;
    let Some(scope) = PauseScope::from_parts(kind, row.get::<_, String>(1)?) else {
        return Ok(None);
    };
    let since: i64 = row.get(2)?;
    let until: Option<i64> = row.get(3)?;
    Ok(Some(Paused {
        scope,
        since: time(since),
        until: until.map(time),
        by: row.get(4)?,
        because: row.get(5)?,
    }))
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Records a pause, and forgets those that have ended.
pub(super) fn pause(
    conn: &Connection,
    now: DateTime<Utc>,
    paused: &Paused,
) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM outbox_pauses WHERE until <= ?1")?
        .execute([now.timestamp_micros()])?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO outbox_pauses (kind, name, since, until, paused_by, because)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        paused.scope.kind(),
        paused.scope.name(),
        paused.since.timestamp_micros(),
        paused.until.map(|until| until.timestamp_micros()),
        paused.by,
        paused.because,
    ])?;
    Ok(())
}

/// Lifts a pause. Returns whether it was in effect.
pub(super) fn unpause(
    conn: &Connection,
    now: DateTime<Utc>,
    scope: &PauseScope,
) -> rusqlite::Result<bool> {
    let is_lifted = read(conn)?
        .in_effect(now)
        .iter()
        .any(|paused| paused.scope == *scope);
    conn.prepare_cached("DELETE FROM outbox_pauses WHERE kind = ?1 AND name = ?2")?
        .execute([scope.kind(), scope.name()])?;
    Ok(is_lifted)
}
