//! When there is work next.
//!
//! An event whose row somebody holds locked is no work: a worker would look at it again and again.
//! It is looked at after a pause, because the transaction that holds it tells nobody when it ends.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use outbox_runtime::store::kit::after;
use outbox_runtime::store::{ClaimRequest, SystemClock};
use outbox_runtime::{Clock, StoreError};

use crate::destinations::{ARE_FEW, any_sql};
use crate::fault::fault;
use crate::filter::Params;
use crate::pausing::Unpaused;
use crate::store::{PostgresStore, prepared};

const OPERATION: &str = "next_due";

/// Whether the row `e` waits for no other event.
const IS_FIRST: &str = " AND NOT {behind} AND NOT {elders} AND NOT {waits}";

/// How long a candidate is left alone that somebody holds locked.
const LOCKED_PAUSE: Duration = Duration::from_millis(50);

/// Of the waiting events and of the leases: the first time up to `{now}` of a row that nobody holds
/// locked, and the first later one. A lease counts as locked as well if a rescue has to leave it
/// for the locks of its followers.
const OVERDUE: &str = "SELECT
    (SELECT x.due FROM (SELECT e.due FROM {s}.events e WHERE e.slot = 'w'{filter} AND e.due <= {now}
        AND NOT {behind} AND NOT {elders} AND NOT {waits} ORDER BY e.due LIMIT 1 FOR NO KEY UPDATE OF e SKIP LOCKED) x),
    (SELECT e.due FROM {s}.events e WHERE e.slot = 'w'{filter} AND e.due > {now}
        AND NOT {behind} AND NOT {elders} AND NOT {waits} ORDER BY e.due LIMIT 1),
    coalesce((SELECT x.ends FROM (SELECT e.lease_expires_at AS ends FROM {s}.events e
            WHERE e.slot = 'l' AND e.slot IN ('l', 'n') AND e.lease_expires_at <= {now} AND {is_free_to_go}
            LIMIT 1 FOR NO KEY UPDATE OF e SKIP LOCKED) x),
        (SELECT x.ends FROM (SELECT e.lease_expires_at AS ends FROM {s}.events e
            WHERE e.slot = 'f' AND e.lease_expires_at <= {now} LIMIT 1 FOR NO KEY UPDATE OF e SKIP LOCKED) x)),
    least((SELECT min(e.lease_expires_at) FROM {s}.events e
            WHERE e.slot = 'l' AND e.slot IN ('l', 'n') AND e.lease_expires_at > {now}),
        (SELECT min(e.lease_expires_at) FROM {s}.events e WHERE e.slot = 'f' AND e.lease_expires_at > {now}))";

impl PostgresStore {
    /// When a claim with this request, or a rescue, next finds something.
    pub(crate) async fn next_due_time(
        &self,
        request: &ClaimRequest,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        loop {
            if let Some(due) = self.due_time(request).await? {
                return Ok(due);
            }
            self.learn_pauses(OPERATION).await?;
        }
    }

    /// The same by the pauses that the store remembers. `None` if the database has others.
    async fn due_time(
        &self,
        request: &ClaimRequest,
    ) -> Result<Option<Option<DateTime<Utc>>>, StoreError> {
        let mut params = Params::default();
        let Unpaused {
            filter,
            is_current,
            to,
            known,
        } = self.unpaused(request, &mut params);
        let cursors = &self.shared.cursors;
        let scan = cursors.due_scan(request);
        let parts = scan.begin.parts(&mut params);
        let by_destination = to.map(|to| {
            let condition = format!("{filter}{IS_FIRST}");
            any_sql(&to, (&condition, &parts), &mut params)
        });
        let in_order = match by_destination {
            Some(_) => format!("{filter} AND NOT {ARE_FEW}"),
            None => filter.clone(),
        };
        let first = parts.iter().enumerate().map(|(nth, part)| {
            format!(
                "SELECT * FROM (SELECT e.due FROM {{s}}.events e
        WHERE e.slot = 'r'{in_order}{part}{IS_FIRST}
        ORDER BY e.priority DESC, e.due, e.seq LIMIT 1 FOR NO KEY UPDATE OF e SKIP LOCKED) p{nth}"
            )
        });
        let any = parts.iter().map(|part| {
            format!(
                "EXISTS (SELECT 1 FROM {{s}}.events e
        WHERE e.slot = 'r'{in_order}{part}{IS_FIRST})"
            )
        });
        let (mut first, mut any): (Vec<String>, Vec<String>) = (first.collect(), any.collect());
        let mut with = String::new();
        if let Some(any_of) = by_destination {
            with = any_of.with;
            first.insert(0, any_of.due);
            any.insert(0, any_of.exists);
        }
        let (first, any) = (first.join(" UNION ALL "), any.join(" OR "));
        let template = format!(
            "{with}SELECT (SELECT x.due FROM ({first}) x LIMIT 1), {any},
    (SELECT e.due FROM {{s}}.events e WHERE e.slot = 'w'{filter}{IS_FIRST}
        ORDER BY e.due LIMIT 1),
    least((SELECT min(e.lease_expires_at) FROM {{s}}.events e WHERE e.slot = 'l' AND e.slot IN ('l', 'n')),
        (SELECT min(e.lease_expires_at) FROM {{s}}.events e WHERE e.slot = 'f')),
    EXISTS (SELECT 1 FROM {{s}}.events e WHERE e.slot = 'n'), {is_current}"
        );
        let client = self.connection(OPERATION).await?;
        let storage = |error| fault(OPERATION, error);
        let params = params.as_refs();
        let statement = prepared(&client, OPERATION, &self.shared.sql.text_of(template)).await?;
        let began = SystemClock.uptime();
        let row = client.query_one(&statement, &params).await;
        let row = row.map_err(storage)?;
        let cost = SystemClock.uptime().saturating_sub(began);
        let ready: Option<DateTime<Utc>> = row.try_get(0).map_err(storage)?;
        let is_ready: bool = row.try_get(1).map_err(storage)?;
        let waiting: Option<DateTime<Utc>> = row.try_get(2).map_err(storage)?;
        let lease: Option<DateTime<Utc>> = row.try_get(3).map_err(storage)?;
        let has_note: bool = row.try_get(4).map_err(storage)?;
        let is_current: bool = row.try_get(5).map_err(storage)?;
        if !is_current {
            return Ok(None);
        }
        // A candidate that is locked, and a note, are looked at again after a pause: their
        // transactions tell nobody when they end.
        let locked = (ready.is_none() && is_ready).then(|| after(self.now(), LOCKED_PAUSE));
        let left = &self.shared.left;
        let left = left.is_pausing().then(|| after(self.now(), left.left()));
        let note = has_note.then(|| self.notes_due());
        let is_overdue = |at: &DateTime<Utc>| *at <= self.now();
        let (waiting, lease) = match waiting.iter().chain(&lease).any(is_overdue) {
            true => self.overdue(&client, request, waiting, lease).await?,
            false => (waiting, lease),
        };
        // An empty claim that began at a cursor proves nothing: a full scan has to follow.
        let full_scan = scan.left.map(|left| after(self.now(), left));
        if full_scan.is_none() {
            cursors.due_scanned(request, cost, ready.is_some());
        }
        let pause_end = known.pauses.next_end(self.now());
        let times = [
            ready, locked, left, full_scan, waiting, lease, note, pause_end,
        ];
        Ok(Some(times.into_iter().flatten().min()))
    }

    /// Corrects the first times of the waiting events and of the leases, some of which have passed.
    /// Rows that are locked count only after a pause, which grows: a transaction may be open for
    /// long.
    async fn overdue(
        &self,
        client: &Object,
        request: &ClaimRequest,
        waiting: Option<DateTime<Utc>>,
        lease: Option<DateTime<Utc>>,
    ) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), StoreError> {
        let storage = |error| fault(OPERATION, error);
        let mut params = Params::default();
        let filter = self.conditions_now(request, &mut params);
        let now = self.now();
        let at = params.bind(now);
        let template = OVERDUE.replace("{filter}", &filter).replace("{now}", &at);
        let sql = self.shared.sql.text(&template);
        let statement = prepared(client, OPERATION, &sql).await?;
        let row = client.query_one(&statement, &params.as_refs()).await;
        let row = row.map_err(storage)?;
        let time = |column: usize| {
            row.try_get::<_, Option<DateTime<Utc>>>(column)
                .map_err(storage)
        };
        let (due, later_due) = (time(0)?, time(1)?);
        let (ended, later_end) = (time(2)?, time(3)?);
        let is_locked = |was: Option<DateTime<Utc>>, free: Option<DateTime<Utc>>| {
            was.is_some_and(|at| at <= now) && free.is_none()
        };
        let any_is_locked = is_locked(waiting, due) || is_locked(lease, ended);
        let back_off = &self.shared.overdue;
        back_off.looked(any_is_locked);
        let look = any_is_locked.then(|| after(now, back_off.left()));
        Ok((
            [due, later_due, look].into_iter().flatten().min(),
            [ended, later_end].into_iter().flatten().min(),
        ))
    }
}
