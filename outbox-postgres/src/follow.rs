//! Followers: events that a worker leases behind one that it has leased in their lane, for a batch
//! that keeps their order.
//!
//! Only one event of a lane is in the index of taken lanes, so followers have a slot of their own,
//! `f`, outside it. As long as a lane has any, one event of it is in that index: the first leased
//! one, or a note. So claims need not know of followers: they take no event of such a lane. A
//! transaction that takes the first one out lets the next follower in, in a statement of its own,
//! before it unblocks anything.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::follows;
use outbox_runtime::store::{Claim, FollowRequest, Lease, LeaseToken};
use outbox_runtime::{OutboxEvent, Paused, StoreError};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement, Transaction};
use uuid::Uuid;

use crate::fault::{Tries, commit_fault, fault};
use crate::row;
use crate::store::{PostgresStore, prepared};
use crate::transaction::{read_committed, roll_back};

const OPERATION: &str = "follow";

/// The columns before those of the event.
const BEFORE_EVENT: usize = 6;

/// A lane of the request.
struct Lane {
    lease: Lease,
    /// The lease in the store, once it was found to hold.
    held: Option<Held>,
    /// Whether no more events follow.
    is_done: bool,
}

/// A lease that holds.
struct Held {
    /// Its event, or the last follower that was chosen.
    last: OutboxEvent,
    ends: DateTime<Utc>,
}

/// A chosen follower.
struct Follower {
    id: Uuid,
    lane: usize,
}

/// The followers of a request, in the order of the answer.
struct Chosen<'r> {
    lanes: Vec<Lane>,
    /// The rest of the limits of the request.
    places: usize,
    bytes: usize,
    now: DateTime<Utc>,
    paused: &'r [Paused],
    followers: Vec<Follower>,
}

impl Chosen<'_> {
    /// The lanes in which more events may follow.
    fn open(&self) -> Vec<usize> {
        let lanes = 0..self.lanes.len();
        let is_open = |nth: &usize| self.places > 0 && !self.lanes[*nth].is_done;
        lanes.filter(is_open).collect()
    }

    fn end(&mut self, lanes: &[usize]) {
        for nth in lanes {
            self.lanes[*nth].is_done = true;
        }
    }

    /// Takes what follows among the rows of a look at these lanes.
    fn take(&mut self, rows: &[Row], lanes: &[usize]) -> Result<(), tokio_postgres::Error> {
        let most = self.places;
        let (mut candidates, mut last) = (0, 0);
        for row in rows {
            let place: i64 = row.try_get(0)?;
            let place = usize::try_from(place - 1).unwrap_or_default();
            let Some(nth) = lanes.get(place).copied() else {
                continue;
            };
            let is_of_lease: bool = row.try_get(2)?;
            if is_of_lease {
                self.hold(nth, row)?;
                continue;
            }
            candidates += 1;
            last = place;
            if self.lanes[nth].is_done {
                continue;
            }
            match self.follower(nth, row)? {
                None => self.lanes[nth].is_done = true,
                Some((_, size)) if self.places == 0 || size > self.bytes => {
                    self.end(lanes);
                    return Ok(());
                }
                Some((event, size)) => self.push(nth, event, size),
            }
        }
        // A look that was cut short has seen all of the lanes before the last one.
        let seen = if candidates < most {
            lanes
        } else {
            &lanes[..last]
        };
        self.end(seen);
        Ok(())
    }

    fn push(&mut self, nth: usize, event: OutboxEvent, size: usize) {
        self.places -= 1;
        self.bytes -= size;
        self.followers.push(Follower {
            id: event.id,
            lane: nth,
        });
        if let Some(held) = &mut self.lanes[nth].held {
            held.last = event;
        }
    }

    /// Notes that the lease of the lane holds.
    fn hold(&mut self, nth: usize, row: &Row) -> Result<(), tokio_postgres::Error> {
        if self.lanes[nth].held.is_some() {
            return Ok(());
        }
        let event = row::read(row, BEFORE_EVENT)?.event;
        self.lanes[nth].held = event
            .lease_expires_at
            .map(|ends| Held { last: event, ends });
        Ok(())
    }

    /// The event of the row and the size of its metadata, if it follows the last one of its lane.
    fn follower(
        &self,
        nth: usize,
        row: &Row,
    ) -> Result<Option<(OutboxEvent, usize)>, tokio_postgres::Error> {
        let is_read: bool = row.try_get(3)?;
        let Some(held) = self.lanes[nth].held.as_ref().filter(|_| is_read) else {
            return Ok(None);
        };
        let size: i64 = row.try_get(4)?;
        let is_held_back: bool = row.try_get(5)?;
        let read = row::read(row, BEFORE_EVENT)?;
        let event = read.event;
        let is_paused = |paused: &Paused| paused.scope.contains(&event);
        let is_next = read.defect.is_none()
            && !is_held_back
            && !self.paused.iter().any(is_paused)
            && follows(&held.last, &event, self.now);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Ok(is_next.then_some((event, size)))
    }
}

impl PostgresStore {
    /// Leases the events behind leased ones.
    pub(crate) async fn follow_leased(
        &self,
        request: &FollowRequest,
    ) -> Result<Vec<Claim>, StoreError> {
        self.awake(OPERATION)?;
        if request.limit() == 0 || request.after().is_empty() {
            return Ok(Vec::new());
        }
        let mut tries = Tries::default();
        loop {
            match self.follow_once(request).await {
                Err(Failed::Before(error)) if tries.again(&error) => {}
                Err(Failed::Before(error)) => return Err(fault(OPERATION, error)),
                Err(Failed::AtCommit(error)) => return Err(commit_fault(OPERATION, error)),
                Err(Failed::Store(error)) => return Err(error),
                Ok(claims) => return Ok(claims),
            }
        }
    }

    /// The same, in one transaction. The leased events stay locked until it ends: an outcome of one
    /// waits for that, and then sees its followers.
    async fn follow_once(&self, request: &FollowRequest) -> Result<Vec<Claim>, Failed> {
        let mut client = self.connection(OPERATION).await?;
        let sql = &self.shared.sql;
        let next = prepared(&client, OPERATION, &sql.next_of_leased).await?;
        let lease = prepared(&client, OPERATION, &sql.lease_followers).await?;
        let transaction = read_committed(&mut client).await?;
        let now = self.now();
        let paused = self.pauses_in(&transaction).await?.in_effect(now);
        let lane = |lease: &Lease| Lane {
            lease: *lease,
            held: None,
            is_done: false,
        };
        let mut chosen = Chosen {
            lanes: request.after().iter().map(lane).collect(),
            places: request.limit(),
            bytes: request.max_bytes(),
            now,
            paused: &paused,
            followers: Vec::new(),
        };
        let mut open = chosen.open();
        while !open.is_empty() {
            self.look(&transaction, &next, &mut chosen, &open).await?;
            open = chosen.open();
        }
        if chosen.followers.is_empty() {
            roll_back(transaction).await;
            return Ok(Vec::new());
        }
        let claims = self.lease(&transaction, &lease, &chosen).await?;
        transaction.commit().await.map_err(Failed::AtCommit)?;
        Ok(claims)
    }

    /// Looks for more followers in these lanes.
    async fn look(
        &self,
        transaction: &Transaction<'_>,
        next: &Statement,
        chosen: &mut Chosen<'_>,
        lanes: &[usize],
    ) -> Result<(), tokio_postgres::Error> {
        let of_lanes = || lanes.iter().map(|nth| &chosen.lanes[*nth]);
        let ids: Vec<Uuid> = of_lanes().map(|lane| lane.lease.event_id).collect();
        let tokens = of_lanes().map(|lane| lane.lease.token.as_uuid());
        let tokens: Vec<Uuid> = tokens.collect();
        let last = |lane: &Lane| lane.held.as_ref().map(|held| held.last.seq);
        let beyond: Vec<Option<i64>> = of_lanes().map(last).collect();
        let limit = i64::try_from(chosen.places).unwrap_or(i64::MAX);
        let params: [&(dyn ToSql + Sync); 5] = [&ids, &tokens, &beyond, &chosen.now, &limit];
        let rows = transaction.query(next, &params).await?;
        chosen.take(&rows, lanes)
    }

    /// Leases the chosen followers.
    async fn lease(
        &self,
        transaction: &Transaction<'_>,
        lease: &Statement,
        chosen: &Chosen<'_>,
    ) -> Result<Vec<Claim>, tokio_postgres::Error> {
        let mut ids = Vec::with_capacity(chosen.followers.len());
        let (mut tokens, mut ends) = (Vec::new(), Vec::new());
        for follower in &chosen.followers {
            let lane = &chosen.lanes[follower.lane];
            ids.push(follower.id);
            tokens.push(lane.lease.token.as_uuid());
            ends.push(lane.held.as_ref().map(|held| held.ends));
        }
        let params: [&(dyn ToSql + Sync); 4] = [&ids, &tokens, &ends, &chosen.now];
        let mut leased: HashMap<Uuid, (i64, OutboxEvent)> = HashMap::with_capacity(ids.len());
        for row in transaction.query(lease, &params).await? {
            let event = row::read(&row, 1)?.event;
            leased.insert(event.id, (row.try_get(0)?, event));
        }
        let mut together = Vec::with_capacity(ids.len());
        let mut claims = Vec::with_capacity(ids.len());
        for follower in &chosen.followers {
            let behind = chosen.lanes[follower.lane].lease;
            if let Some((lane, event)) = leased.remove(&follower.id) {
                together.extend([(behind.event_id, lane), (event.id, lane)]);
                claims.push(claim(event, behind.token));
            }
        }
        // Before the commit, from which on another outcome may meet them.
        self.shared.held.took_together(together.into_iter());
        Ok(claims)
    }
}

fn claim(event: OutboxEvent, token: LeaseToken) -> Claim {
    let lease = Lease {
        event_id: event.id,
        seq: event.seq,
        token,
        expires_at: event.lease_expires_at.unwrap_or_default(),
    };
    Claim { event, lease }
}

/// Why no followers were leased.
enum Failed {
    /// The transaction did not come to its commit.
    Before(tokio_postgres::Error),
    AtCommit(tokio_postgres::Error),
    Store(StoreError),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Before(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
