//! Counts by type and user, over the oldest undelivered and dead events: reads a few blocks of
//! rows, and of each row only what is counted.

use chrono::DateTime;
use rusqlite::{Connection, named_params};

use super::codes::Code;
use super::held::Held;
use super::page::{Blocks, Next};
use crate::event::OutboxStatus;
use crate::repository::EventFilter;
use crate::statistics::{Breakdown, BreakdownCounter};

/// Limit on the blocks that are read: 131,072 rows, a few dozen milliseconds.
const BLOCKS: usize = 128;

const ROWS: &str =
    "SELECT seq, status, event_type, user_id, created_at FROM outbox_events NOT INDEXED
    WHERE seq >= :from AND seq < :beyond AND status <> 2 AND (:user IS NULL OR user_id = :user)
    ORDER BY seq LIMIT :limit";

/// Counts in the read transaction that is open on `conn`.
pub(super) fn breakdown(
    conn: &Connection,
    user_id: Option<&str>,
    most: usize,
) -> rusqlite::Result<Breakdown> {
    let held = Held::read(conn)?;
    let filter = EventFilter::undelivered_or_dead();
    let mut counter = BreakdownCounter::default();
    let mut blocks = Blocks::new(conn, &filter, &held, i64::MIN, i64::MAX);
    let mut rows = conn.prepare_cached(ROWS)?;
    let mut left = most;
    for _ in 0..BLOCKS {
        let Some(Next { from, beyond }) = blocks.next()? else {
            return Ok(counter.finish(true));
        };
        let limit = i64::try_from(left).unwrap_or(i64::MAX).saturating_add(1);
        let mut rows = rows.query(named_params! {
            ":from": from, ":beyond": beyond, ":user": user_id, ":limit": limit,
        })?;
        while let Some(row) = rows.next()? {
            if left == 0 {
                return Ok(counter.finish(false));
            }
            left -= 1;
            let status = match held.has(row.get(0)?) {
                true => OutboxStatus::Processing,
                // As listings show a row with an unknown number.
                false => OutboxStatus::of(row.get(1)?).unwrap_or(OutboxStatus::Dead),
            };
            let created_at = DateTime::from_timestamp_micros(row.get(4)?).unwrap_or_default();
            let text = |at| {
                row.get_ref(at)
                    .map(|text| text.as_str().unwrap_or_default())
            };
            counter.add(text(2)?, text(3)?, status, 1, created_at);
        }
    }
    Ok(counter.finish(blocks.next()?.is_none()))
}
