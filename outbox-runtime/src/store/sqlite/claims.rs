//! The rows of `outbox_claims`: writing them, and taking events out of them.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::database::{Database, values};
use super::held::{Claimed, Held, list_of, seqs_of};

/// The claims of the token `?1`.
const OF_TOKEN: &str = "SELECT expires_at, claimed_at, seqs FROM outbox_claims WHERE token = ?1";

/// Leaves the events `?4` to a claim.
const KEEP: &str =
    "UPDATE outbox_claims SET seqs = ?4 WHERE token = ?1 AND expires_at = ?2 AND claimed_at = ?3";

const REMOVE: &str =
    "DELETE FROM outbox_claims WHERE token = ?1 AND expires_at = ?2 AND claimed_at = ?3";

/// Writes that handlers have these events from now on.
pub(super) fn add(
    conn: &Connection,
    claim: &Claimed,
    is_parked: bool,
    seqs: impl Iterator<Item = i64>,
) -> rusqlite::Result<()> {
    // Leases that were renewed apart may meet again.
    conn.prepare_cached(
        "INSERT INTO outbox_claims (token, expires_at, claimed_at, parked, seqs) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET seqs = seqs || substr(excluded.seqs, 2), parked = min(parked, excluded.parked)",
    )?
    .execute(params![
        claim.token,
        claim.expires_at,
        claim.claimed_at,
        is_parked,
        list_of(seqs)
    ])?;
    Ok(())
}

/// Parks an event: takes it out of the way of claims. Only a hint; see
/// [`Slot::Parked`](crate::store::kit::Slot).
pub(super) fn park(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE outbox_events SET slot = 4 WHERE seq = ?1 AND slot = 1")?
        .execute([seq])?;
    Ok(())
}

/// Parks all events that handlers have.
pub(super) fn park_all(conn: &Connection, held: &Held) -> rusqlite::Result<()> {
    for seq in held.in_the_way() {
        park(conn, *seq)?;
    }
    conn.prepare_cached("UPDATE outbox_claims SET parked = 1 WHERE parked = 0")?
        .execute([])?;
    Ok(())
}

/// The claims of some tokens, as they are changed in the open transaction. Each row is read once
/// and written once.
#[derive(Debug, Default)]
pub(super) struct OpenClaims(Vec<Rows>);

#[derive(Debug)]
struct Rows {
    token: Uuid,
    rows: Vec<OpenRow>,
}

#[derive(Debug)]
struct OpenRow {
    claim: Claimed,
    seqs: Vec<i64>,
    is_changed: bool,
}

impl OpenClaims {
    fn rows(&mut self, conn: &Connection, token: Uuid) -> rusqlite::Result<&mut Vec<OpenRow>> {
        let place = match self.0.iter().position(|read| read.token == token) {
            Some(place) => place,
            None => {
                let rows = OpenRow::of(conn, token)?;
                self.0.push(Rows { token, rows });
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[place].rows)
    }

    /// The claim of this event under this token, if `accepts` it.
    pub(super) fn find(
        &mut self,
        conn: &Connection,
        token: Uuid,
        seq: i64,
        accepts: impl Fn(&Claimed) -> bool,
    ) -> rusqlite::Result<Option<Claimed>> {
        let rows = self.rows(conn, token)?;
        let row = rows
            .iter()
            .find(|row| accepts(&row.claim) && row.seqs.contains(&seq));
        Ok(row.map(|row| row.claim))
    }

    /// Takes an event out of its claim.
    pub(super) fn release(
        &mut self,
        conn: &Connection,
        claim: &Claimed,
        seq: i64,
    ) -> rusqlite::Result<()> {
        for row in self.rows(conn, claim.token)? {
            if row.claim.expires_at == claim.expires_at && row.claim.claimed_at == claim.claimed_at
            {
                row.seqs.retain(|other| *other != seq);
                row.is_changed = true;
            }
        }
        Ok(())
    }

    /// The other events under this token.
    pub(super) fn others(
        &mut self,
        conn: &Connection,
        token: Uuid,
        seq: i64,
    ) -> rusqlite::Result<impl Iterator<Item = i64>> {
        let rows = self.rows(conn, token)?.iter();
        let seqs = rows.flat_map(|row| row.seqs.iter().copied());
        Ok(seqs.filter(move |other| *other != seq))
    }

    /// Writes the changed claims.
    pub(super) fn write(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let rows = self.0.iter_mut().flat_map(|read| &mut read.rows);
        for row in rows.filter(|row| row.is_changed) {
            row.write(conn)?;
            row.is_changed = false;
        }
        Ok(())
    }
}

impl OpenRow {
    fn of(conn: &Connection, token: Uuid) -> rusqlite::Result<Vec<Self>> {
        let mut claims = conn.prepare_cached(OF_TOKEN)?;
        let rows = claims.query_map(params![token], |row| {
            Ok(Self {
                claim: Claimed {
                    token,
                    expires_at: row.get(0)?,
                    claimed_at: row.get(1)?,
                },
                seqs: seqs_of(row.get_ref(2)?.as_bytes().unwrap_or_default()).collect(),
                is_changed: false,
            })
        })?;
        rows.collect()
    }

    fn write(&self, conn: &Connection) -> rusqlite::Result<()> {
        let Claimed {
            token,
            expires_at,
            claimed_at,
        } = self.claim;
        if self.seqs.is_empty() {
            return remove(conn, &self.claim);
        }
        let seqs = list_of(self.seqs.iter().copied());
        conn.prepare_cached(KEEP)?
            .execute(params![token, expires_at, claimed_at, seqs])?;
        Ok(())
    }
}

/// Deletes the row of a claim.
pub(super) fn remove(conn: &Connection, claim: &Claimed) -> rusqlite::Result<()> {
    conn.prepare_cached(REMOVE)?.execute(params![
        claim.token,
        claim.expires_at,
        claim.claimed_at
    ])?;
    Ok(())
}

/// Takes an event out of its claim under this token, unless that has ended by `now`, on a
/// connection of any driver. Returns the claim.
pub(super) async fn take_out<D: Database>(
    db: &D,
    token: Uuid,
    seq: i64,
    now: i64,
) -> Result<Option<Claimed>, D::Error> {
    for row in db.rows(OF_TOKEN, values![token]).await? {
        let claim = Claimed {
            token,
            expires_at: row.integer(0),
            claimed_at: row.integer(1),
        };
        let mut seqs: Vec<i64> = seqs_of(row.bytes(2)).collect();
        if claim.expires_at <= now || !seqs.contains(&seq) {
            continue;
        }
        seqs.retain(|other| *other != seq);
        let left = list_of(seqs.iter().copied());
        match seqs.is_empty() {
            true => {
                let which = values![token, claim.expires_at, claim.claimed_at];
                db.change(REMOVE, which).await?
            }
            false => {
                let which = values![token, claim.expires_at, claim.claimed_at, left];
                db.change(KEEP, which).await?
            }
        };
        return Ok(Some(claim));
    }
    Ok(None)
}
