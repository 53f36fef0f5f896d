//! Outcomes, each written under its lease, and what they unblock.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use futures_util::future::{join3, join4};
use outbox_runtime::StoreError;
use outbox_runtime::store::{Disposition, Settled, Settlement};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::fault::{Tries, commit_fault, is_collision, is_lock_timeout};
use crate::held::KnownLane;
use crate::store::{PostgresStore, prepared};

type Param<'p> = &'p (dyn ToSql + Sync);

const OPERATION: &str = "settle";

/// Outcomes as the values of the statements.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// Of every settlement, in order: event and token.
    leases: Vec<(Uuid, Uuid)>,
    completed: (Vec<Uuid>, Vec<Uuid>),
    /// The completed ones that are not kept.
    removed: Vec<Uuid>,
    others: Others,
}

#[derive(Debug, Default)]
struct Others {
    ids: Vec<Uuid>,
    tokens: Vec<Uuid>,
    kinds: Vec<i8>,
    due: Vec<Option<DateTime<Utc>>>,
    messages: Vec<Option<String>>,
    reasons: Vec<Option<&'static str>>,
    nth: Vec<i64>,
}

impl Others {
    fn push(
        &mut self,
        (id, token): (Uuid, Uuid),
        kind: u8,
        due: Option<DateTime<Utc>>,
        message: Option<String>,
        reason: Option<&'static str>,
    ) {
        self.nth.push(self.ids.len() as i64);
        self.ids.push(id);
        self.tokens.push(token);
        self.kinds.push(kind.cast_signed());
        self.due.push(due);
        // PostgreSQL cannot hold a NUL, and an outcome must not fail because of one.
        self.messages
            .push(message.map(|text| text.replace('\0', " ")));
        self.reasons.push(reason);
    }
}

impl Outcomes {
    pub(crate) fn new(settlements: Vec<Settlement>) -> Self {
        let mut outcomes = Self::default();
        let mut seen = HashSet::new();
        for Settlement { lease, disposition } in settlements {
            let of = (lease.event_id, lease.token.as_uuid());
            outcomes.leases.push(of);
            if !seen.insert(of) {
                // The first outcome under a lease ends it.
                continue;
            }
            let others = &mut outcomes.others;
            match disposition {
                Disposition::Complete | Disposition::Remove | Disposition::Drop => {
                    if !disposition.keeps_the_event() {
                        outcomes.removed.push(of.0);
                    }
                    outcomes.completed.0.push(of.0);
                    outcomes.completed.1.push(of.1);
                }
                Disposition::Fail {
                    next_attempt_at,
                    message,
                } => others.push(of, b'f', Some(next_attempt_at), Some(message), None),
                Disposition::Bury { reason, message } => {
                    others.push(of, b'b', None, Some(message), Some(reason.as_str()));
                }
                Disposition::GiveBack {
                    next_attempt_at,
                    refusal,
                } => {
                    let refusal = refusal.map(|refusal| refusal.to_string());
                    others.push(of, b'g', next_attempt_at, refusal, None);
                }
                Disposition::Defer {
                    next_attempt_at,
                    refusal,
                } => {
                    let refusal = Some(refusal.to_string());
                    others.push(of, b'd', Some(next_attempt_at), refusal, None);
                }
                Disposition::Snooze { next_attempt_at } => {
                    others.push(of, b's', Some(next_attempt_at), None, None);
                }
                // A disposition that this version does not know gives the attempt back.
                _ => others.push(of, b'g', None, None, None),
            }
        }
        outcomes
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.leases.len()
    }

    fn ids(&self) -> impl Iterator<Item = &Uuid> {
        self.leases.iter().map(|(id, _)| id)
    }

    /// The results in the order of the settlements, from the leases under which it was written.
    fn results(&self, mut written: HashSet<(Uuid, Uuid)>) -> Vec<Settled> {
        let result = |lease: &(Uuid, Uuid)| match written.remove(lease) {
            true => Settled::Recorded,
            false => Settled::LeaseLost,
        };
        self.leases.iter().map(result).collect()
    }
}

/// Outcomes, and the statements that write them on one connection.
pub(crate) struct Settling<'o> {
    outcomes: &'o Outcomes,
    /// The completed events with known lanes, and their lanes.
    ended: (Vec<Uuid>, Vec<i64>),
    /// The other events that were leased alone in their lanes.
    others: Vec<Uuid>,
    /// The events that may have been leased together with others of their lanes.
    together: Vec<Uuid>,
    complete: Statement,
    settle: Statement,
    unblock_lanes: Statement,
    unblock_next: Statement,
    /// Needed only for such events.
    unblock_after_batch: Option<Statement>,
    /// Needed only if something is removed.
    remove: Option<Statement>,
}

/// How long outcomes wait for a row that somebody else holds locked: longer than the statements of
/// workers take, and shorter than a step of a worker may.
const LOCK_PATIENCE: Duration = Duration::from_millis(10);

/// How long outcomes that step over such rows wait for what else is given out under locks: the
/// table, while an index of the application is created or a clean-up gives room back, or more room
/// in its file.
const TABLE_PATIENCE: Duration = Duration::from_secs(1);

/// The rows in which outcomes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    All,
    /// Those that nobody else holds locked.
    Unlocked,
}

/// Written outcomes.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The leases under which something was written: event and token.
    leases: HashSet<(Uuid, Uuid)>,
    /// The priority and the due time of the events that became candidates.
    candidates: Vec<(i32, DateTime<Utc>)>,
}

impl<'o> Settling<'o> {
    pub(crate) async fn new(
        store: &PostgresStore,
        client: &Object,
        outcomes: &'o Outcomes,
        rows: Rows,
    ) -> Result<Self, StoreError> {
        let sql = &store.shared.sql;
        let unlocked = &sql.unlocked;
        let (complete, settle) = match (rows, store.shared.keeps_deliveries) {
            (Rows::All, false) => (&sql.complete, &sql.settle),
            (Rows::All, true) => (&sql.complete_kept, &sql.settle),
            (Rows::Unlocked, false) => (&unlocked.complete, &unlocked.settle),
            (Rows::Unlocked, true) => (&unlocked.complete_kept, &unlocked.settle),
        };
        let mut ended = (Vec::new(), Vec::new());
        let (mut others, mut together) = (Vec::new(), Vec::new());
        let held = &store.shared.held;
        let completed = &outcomes.completed.0;
        for (id, lane) in completed.iter().zip(held.lanes(completed.iter())) {
            match lane {
                KnownLane::Number(lane) => {
                    ended.0.push(*id);
                    ended.1.push(lane);
                }
                KnownLane::None => {}
                KnownLane::Shared(_) | KnownLane::Unknown => together.push(*id),
            }
        }
        let rest = &outcomes.others.ids;
        for (id, lane) in rest.iter().zip(held.lanes(rest.iter())) {
            match lane {
                KnownLane::Number(_) | KnownLane::None => others.push(*id),
                KnownLane::Shared(_) | KnownLane::Unknown => together.push(*id),
            }
        }
        let unblock_after_batch = match together.is_empty() {
            true => None,
            false => Some(prepared(client, OPERATION, &sql.unblock_after_batch).await?),
        };
        Ok(Self {
            ended,
            others,
            together,
            unblock_after_batch,
            outcomes,
            complete: prepared(client, OPERATION, complete).await?,
            settle: prepared(client, OPERATION, settle).await?,
            unblock_lanes: prepared(client, OPERATION, &sql.unblock_lanes).await?,
            unblock_next: prepared(client, OPERATION, &sql.unblock_next).await?,
            remove: match outcomes.removed.is_empty() {
                true => None,
                false => Some(prepared(client, OPERATION, &sql.remove).await?),
            },
        })
    }

    /// Writes the outcomes and unblocks what waited for them. All messages are sent when this is
    /// first polled.
    pub(crate) async fn write(
        &self,
        client: &Object,
        now: DateTime<Utc>,
    ) -> Result<Written, tokio_postgres::Error> {
        let (completed, tokens) = &self.outcomes.completed;
        let others = &self.outcomes.others;
        let of_completed: [Param<'_>; 3] = [completed, tokens, &now];
        let of_others: [Param<'_>; 8] = [
            &others.ids,
            &others.tokens,
            &others.kinds,
            &others.due,
            &others.messages,
            &others.reasons,
            &others.nth,
            &now,
        ];
        let of_ended: [Param<'_>; 3] = [&self.ended.0, &now, &self.ended.1];
        let of_rest: [Param<'_>; 2] = [&self.others, &now];
        let of_together: [Param<'_>; 2] = [&self.together, &now];
        let complete = async {
            match completed.is_empty() {
                true => Ok(Vec::new()),
                false => client.query(&self.complete, &of_completed).await,
            }
        };
        let settle = async {
            match others.ids.is_empty() {
                true => Ok(Vec::new()),
                false => client.query(&self.settle, &of_others).await,
            }
        };
        let unblock_lanes = async {
            match self.ended.0.is_empty() {
                true => Ok(Vec::new()),
                false => client.query(&self.unblock_lanes, &of_ended).await,
            }
        };
        let unblock_next = async {
            match self.others.is_empty() {
                true => Ok(Vec::new()),
                false => client.query(&self.unblock_next, &of_rest).await,
            }
        };
        let unblock_after_batch = async {
            match &self.unblock_after_batch {
                None => Ok(Vec::new()),
                Some(unblock) => client.query(unblock, &of_together).await,
            }
        };
        let of_removed: [Param<'_>; 1] = [&self.outcomes.removed];
        let remove = async {
            match &self.remove {
                None => Ok(0),
                Some(remove) => client.execute(remove, &of_removed).await,
            }
        };
        let unblock = join3(unblock_lanes, unblock_next, unblock_after_batch);
        let (completed, settled, unblocked, removed) =
            join4(complete, settle, unblock, remove).await;
        let mut written = Written::default();
        for row in completed? {
            match row.try_get(0)? {
                Some(id) => {
                    written.leases.insert((id, row.try_get(1)?));
                }
                None => {
                    let (ids, tokens) = &self.outcomes.completed;
                    let all = ids.iter().copied().zip(tokens.iter().copied());
                    written.leases.extend(all);
                }
            }
        }
        for row in settled? {
            written.leases.insert((row.try_get(0)?, row.try_get(1)?));
            if row.try_get(4)? {
                let place = (row.try_get(2)?, row.try_get(3)?);
                written.candidates.push(place);
            }
        }
        let (of_ended, of_rest, of_together) = unblocked;
        for row in of_ended?.iter().chain(&of_rest?).chain(&of_together?) {
            written.candidates.push((row.try_get(0)?, row.try_get(1)?));
        }
        // Last, because the first error is the one to report: the others follow from it.
        removed?;
        Ok(written)
    }
}

/// Recorded outcomes.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// The results in the order of the settlements.
    pub(crate) settled: Vec<Settled>,
    /// Whether events became candidates.
    pub(crate) unblocks: bool,
}

impl PostgresStore {
    /// As [`begin`](Self::begin), for outcomes in these rows: they wait for the locks of others
    /// only for a moment.
    pub(crate) fn begin_settling(&self, lease: Option<Duration>, rows: Rows) -> String {
        let mut begin = self.begin(lease);
        let patience = match rows {
            Rows::All => LOCK_PATIENCE,
            Rows::Unlocked => TABLE_PATIENCE,
        };
        let millis = patience.as_millis();
        begin.push_str(&format!("SET LOCAL lock_timeout = {millis};"));
        begin
    }

    /// Records outcomes and unblocks what waited for them.
    pub(crate) async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Settled>, StoreError> {
        Ok(self.record(settlements).await?.settled)
    }

    /// Records outcomes and unblocks what waited for them, in one transaction and one round trip.
    pub(crate) async fn record(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Recorded, StoreError> {
        self.awake(OPERATION)?;
        if settlements.is_empty() {
            return Ok(Recorded::default());
        }
        self.shared.wakes.on_activity();
        let rows = match self.shared.locked.has_any_of(&settlements) {
            true => Rows::Unlocked,
            false => Rows::All,
        };
        self.record_outcomes(&Outcomes::new(settlements), rows)
            .await
    }

    /// The same, in these rows. Nobody waits for long: a handler may complete its event in a
    /// transaction of the application and answer while that is still open.
    pub(crate) async fn record_outcomes(
        &self,
        outcomes: &Outcomes,
        mut rows: Rows,
    ) -> Result<Recorded, StoreError> {
        let mut tries = Tries::default();
        loop {
            let begin = self.begin_settling(None, rows);
            let client = self.connection(OPERATION).await?;
            let settling = Settling::new(self, &client, outcomes, rows).await?;
            // All messages are sent before the first answer is awaited.
            let (begun, written, committed) = join3(
                client.batch_execute(&begin),
                settling.write(&client, self.now()),
                client.batch_execute("COMMIT"),
            )
            .await;
            match begun.and(written) {
                Err(error) if is_lock_timeout(&error) && rows == Rows::All => {
                    rows = Rows::Unlocked;
                }
                // A deadlock with a manual change.
                Err(error) if is_collision(&error) && tries.again(&error) => {}
                // If the session ended, the commit may have arrived nevertheless.
                Err(error) => return Err(commit_fault(OPERATION, error)),
                Ok(written) => {
                    committed.map_err(|error| commit_fault(OPERATION, error))?;
                    let recorded = self.recorded(&settling, written, client);
                    return Ok(self.with_completions(outcomes, recorded).await);
                }
            }
        }
    }

    /// Adds which of the outcomes under lost leases are those of events that their handlers have
    /// completed, or are about to.
    pub(crate) async fn with_completions(
        &self,
        outcomes: &Outcomes,
        mut recorded: Recorded,
    ) -> Recorded {
        recorded.settled = self
            .tell_completed(&outcomes.leases, recorded.settled)
            .await;
        self.tell_locked(&outcomes.leases, &mut recorded.settled)
            .await;
        recorded
    }

    /// Tells everybody of committed outcomes.
    pub(crate) fn recorded(
        &self,
        settling: &Settling<'_>,
        written: Written,
        client: Object,
    ) -> Recorded {
        self.shared.cursors.include(&written.candidates);
        self.shared.held.ended(settling.outcomes.ids());
        self.tally_now_and_then();
        self.shared.signal.raise();
        let unblocks = !written.candidates.is_empty();
        if unblocks {
            self.wake_others(client);
        }
        Recorded {
            settled: settling.outcomes.results(written.leases),
            unblocks,
        }
    }
}
