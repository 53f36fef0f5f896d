//! Outcomes, each written under its lease, and what they unblock.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use futures_util::future::join5;
use outbox_runtime::StoreError;
use outbox_runtime::store::{Disposition, Settled, Settlement};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::fault::{commit_fault, fault, is_collision};
use crate::store::{PostgresStore, prepared};

type Param<'p> = &'p (dyn ToSql + Sync);

/// Outcomes as the values of the statements.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// Of every settlement, in order: event and token.
    leases: Vec<(Uuid, Uuid)>,
    completed: (Vec<Uuid>, Vec<Uuid>),
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
    fn new(settlements: Vec<Settlement>) -> Self {
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
                Disposition::Complete => {
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

    fn ids(&self) -> Vec<Uuid> {
        self.leases.iter().map(|(id, _)| *id).collect()
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

impl PostgresStore {
    /// Records outcomes and unblocks what waited for them, in one transaction and one round trip.
    pub(crate) async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Settled>, StoreError> {
        const OPERATION: &str = "settle";
        self.awake(OPERATION)?;
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.wakes.on_activity();
        let outcomes = Outcomes::new(settlements);
        let client = self.connection(OPERATION).await?;
        let sql = &self.shared.sql;
        let complete = prepared(&client, OPERATION, &sql.complete).await?;
        let settle = prepared(&client, OPERATION, &sql.settle).await?;
        let hand_on = prepared(&client, OPERATION, &sql.hand_on).await?;
        let begin = self.begin();
        let ids = outcomes.ids();
        let others = &outcomes.others;
        let (completed, tokens) = &outcomes.completed;
        for is_last in [false, false, true] {
            let now = self.now();
            let completed: [Param<'_>; 3] = [completed, tokens, &now];
            let settled: [Param<'_>; 8] = [
                &others.ids,
                &others.tokens,
                &others.kinds,
                &others.due,
                &others.messages,
                &others.reasons,
                &others.nth,
                &now,
            ];
            let handed_on: [Param<'_>; 2] = [&ids, &now];
            let nothing = || std::future::ready(Ok(Vec::new()));
            let has_completed = !outcomes.completed.0.is_empty();
            let has_others = !others.ids.is_empty();
            let complete = async {
                match has_completed {
                    true => client.query(&complete, &completed).await,
                    false => nothing().await,
                }
            };
            let settle = async {
                match has_others {
                    true => client.query(&settle, &settled).await,
                    false => nothing().await,
                }
            };
            // All messages are sent before the first answer is awaited.
            let (begun, one, other, handed_on, committed) = join5(
                client.batch_execute(&begin),
                complete,
                settle,
                client.execute(&hand_on, &handed_on),
                client.batch_execute("COMMIT"),
            )
            .await;
            let written = begun.and(one).and_then(|mut rows| {
                rows.extend(other?);
                handed_on?;
                rows.iter()
                    .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                    .collect()
            });
            let written: HashSet<(Uuid, Uuid)> = match written {
                Err(error) if is_collision(&error) && !is_last => continue,
                written => written.map_err(|error| fault(OPERATION, error))?,
            };
            committed.map_err(|error| commit_fault(OPERATION, error))?;
            self.shared.signal.raise();
            return Ok(outcomes.results(written));
        }
        Ok(outcomes.results(HashSet::new()))
    }
}
