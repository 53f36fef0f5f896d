//! Finds the place of events that other programs wrote, or moved to another lane, and of those that
//! may wait for a [parent](super::waits).
//!
//! SQL cannot compute the [number](crate::store::kit::LaneKey) of a lane, which takes a key of the
//! database and a hash function. So such an event has slot and lane 0, and waits for the next
//! claim, which computes them under the write lock before it takes anything.

use rusqlite::{Connection, params};

use super::codes::Code;
use super::held::Held;
use super::lane::{Lane, Lanes, lane_columns, unblocked_slot};
use super::waits::Child;
use crate::entity::OnDead;
use crate::store::kit::parents_from;

/// Places all events that have no place yet.
pub(super) fn place_all(conn: &Connection, now: i64, held: &Held) -> rusqlite::Result<()> {
    let mut unplaced = conn.prepare_cached(
        "SELECT seq FROM outbox_events INDEXED BY outbox_lane WHERE lane = 0 ORDER BY seq",
    )?;
    let mut rows = unplaced.query([])?;
    let mut seqs = Vec::new();
    while let Some(row) = rows.next()? {
        seqs.push(row.get(0)?);
    }
    drop(rows);
    // What a handler has keeps no place until it comes back.
    seqs.retain(|seq| !held.has(*seq));
    if seqs.is_empty() {
        return Ok(());
    }
    let mut lanes = Lanes::new(conn, now)?;
    let mut read = conn.prepare_cached(concat!(
        "SELECT ",
        lane_columns!(),
        ", parents, on_dead FROM outbox_events WHERE seq = ?1"
    ))?;
    let mut alone = conn.prepare_cached(concat!(
        "UPDATE outbox_events SET lane = ?2, slot = CASE status WHEN 3 THEN 5 ELSE ",
        unblocked_slot!("?3"),
        " END WHERE seq = ?1"
    ))?;
    let mut among_others = conn.prepare_cached(
        "UPDATE outbox_events SET lane = ?2, entity_lane = ?3, slot = CASE status WHEN 3 THEN 5 ELSE 3 END WHERE seq = ?1",
    )?;
    for seq in seqs {
        let mut rows = read.query([seq])?;
        let Some(row) = rows.next()? else {
            continue;
        };
        let lane = Lane::of(lanes.key, row, 0)?;
        let waits = match row.get_ref(4)?.as_str_or_null() {
            Ok(Some(parents)) => {
                let child = Child {
                    seq,
                    user_id: String::from_utf8_lossy(
                        row.get_ref(1)?.as_bytes().unwrap_or_default(),
                    )
                    .into_owned(),
                    on_dead: OnDead::of(row.get(5)?).unwrap_or_default(),
                    parents: parents_from(parents),
                };
                child.wait(conn)?
            }
            _ => false,
        };
        if !waits && lanes.is_empty(&lane)? {
            alone.execute(params![seq, lane.number, now])?;
        } else {
            among_others.execute(params![seq, lane.number, lane.entity_lane()])?;
            lanes.join(&lane, seq)?;
        }
    }
    Ok(())
}
