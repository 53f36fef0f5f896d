//! Rows around one event, written directly to the table, and changes made by the store.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::rusqlite::{Connection, params};
use outbox_runtime::store::kit::{Class, LaneKey, Slot, Turn, slot_after};
use outbox_runtime::store::{Cause, Disposition, Lease, LeaseToken, Rescued, Settled, Settlement};
use outbox_runtime::{
    Clock, Coalesce, DeadReason, Durability, NewEvent, OnDead, Order, Refusal, RefusalClass,
    prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::Temporary;
use uuid::Uuid;

use crate::lines::is_behind;

const LEASE: Duration = Duration::from_secs(60);
/// With two, the second attempt is not the first, and the second consecutive crash is the last.
pub(crate) const MAX_ATTEMPTS: u32 = 2;
pub(crate) const USER: &str = "u1";
/// A row past the scene's block, so that the block may be counted.
pub(crate) const BEYOND: i64 = 5_000;

/// A row to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) status: OutboxStatus,
    pub(crate) attempts: u32,
    pub(crate) crashes: u32,
    pub(crate) order: Order,
    pub(crate) on_dead: OnDead,
    /// Due tomorrow.
    pub(crate) delayed: bool,
}

impl Row {
    pub(crate) fn pending(seq: i64, order: Order) -> Self {
        Self {
            seq,
            status: OutboxStatus::Pending,
            attempts: 0,
            crashes: 0,
            order,
            on_dead: OnDead::Hold,
            delayed: false,
        }
    }
}

impl Row {
    /// The status that the row has: a claim does not change it.
    pub(crate) fn stored(self) -> OutboxStatus {
        match self.status {
            OutboxStatus::Processing if self.attempts > 1 => OutboxStatus::Failed,
            OutboxStatus::Processing => OutboxStatus::Pending,
            status => status,
        }
    }
}

/// The number of a status in a row.
fn status_code(status: OutboxStatus) -> i64 {
    match status {
        OutboxStatus::Pending => 0,
        OutboxStatus::Failed => 1,
        OutboxStatus::Completed => 2,
        OutboxStatus::Dead => 3,
        other => unreachable!("no row is {other}"),
    }
}

pub(crate) struct Scene {
    pub(crate) made: Temporary,
    clock: ManualClock,
    pub(crate) own: Connection,
    key: LaneKey,
}

/// A stored row: the event that the store reads, and its slot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) event: OutboxEvent,
    /// The status of the row, which a claim leaves as it is.
    pub(crate) status: OutboxStatus,
    pub(crate) slot: Option<i64>,
    pub(crate) has_lane: bool,
}

impl Scene {
    pub(crate) async fn open() -> Self {
        let clock = ManualClock::new();
        let made = Temporary::open_with(|builder| {
            builder.clock(clock.clone()).durability(Durability::Normal)
        })
        .await;
        let own = made.connect();
        // Thousands of scenes, none of which must outlive the test.
        own.execute_batch("PRAGMA synchronous = OFF").unwrap();
        let beyond = "INSERT INTO outbox_events (seq, id, event_type, entity_id, user_id, operation, status, slot, lane,
                 created_at, next_attempt_at, max_attempts, dead_reason, on_dead)
             VALUES (?1, ?2, 'note', '99', 'beyond', 0, 3, NULL, NULL, 0, 0, 5, 2, 1)";
        own.execute(beyond, params![BEYOND, Uuid::now_v7()])
            .unwrap();
        let key = "SELECT lane_key FROM outbox_identity";
        let key = own.query_row(key, [], |row| row.get(0)).unwrap();
        Self {
            made,
            clock,
            own,
            key: LaneKey::new(key),
        }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn due(&self, delayed: bool) -> DateTime<Utc> {
        let tomorrow = chrono::TimeDelta::days(1);
        if delayed {
            self.now() + tomorrow
        } else {
            self.now()
        }
    }

    /// Writes these rows with the slots and counts that the functions return, and returns the
    /// leases. Fails if the table's constraints forbid the functions' result.
    pub(crate) fn write(&self, rows: &[Row], expired: bool) -> BTreeMap<i64, Lease> {
        self.own.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut leases = BTreeMap::new();
        let mut counts = [0_i64; Class::COUNT];
        let now = self.now();
        let micros = |at: DateTime<Utc>| at.timestamp_micros();
        for row in rows {
            let lease = Lease {
                event_id: Uuid::now_v7(),
                seq: row.seq,
                token: LeaseToken::random(),
                expires_at: if expired {
                    now - chrono::TimeDelta::seconds(1)
                } else {
                    now + chrono::TimeDelta::seconds(60)
                },
            };
            let is_held = row.status == OutboxStatus::Processing;
            let turn = if is_behind(rows, row) {
                Turn::Behind
            } else if row.delayed {
                Turn::Later
            } else {
                Turn::Now
            };
            let status = row.stored();
            let attempts = row.attempts - u32::from(is_held);
            // A claim takes ready events, and parks some.
            let slot = match (is_held, attempts) {
                (false, _) => slot_after(status, row.on_dead, turn),
                (true, 0) => Some(Slot::Ready),
                (true, _) => Some(Slot::Parked),
            };
            let lane = |order| self.key.lane(order, USER.as_bytes(), b"1");
            let mut insert = self
                .own
                .prepare_cached(
                    "INSERT INTO outbox_events (seq, id, event_type, entity_id, user_id, operation, status, slot, lane,
                         entity_lane, created_at, next_attempt_at, last_attempt_at, attempt_count, max_attempts, crashes,
                         completed_at, dead_reason, lane_order, on_dead)
                     VALUES (?1, ?2, 'note', '1', ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
                )
                .unwrap();
            let written = insert.execute(params![
                row.seq,
                lease.event_id,
                USER,
                status_code(status),
                slot.map(Slot::code),
                slot.map(|_| lane(row.order)),
                (slot.is_some() && row.order != Order::Entity).then(|| lane(Order::Entity)),
                micros(now),
                micros(self.due(row.delayed)),
                (attempts > 0).then(|| micros(now)),
                attempts,
                MAX_ATTEMPTS,
                row.crashes,
                (status == OutboxStatus::Completed).then(|| micros(now)),
                (status == OutboxStatus::Dead).then_some(2),
                match row.order {
                    Order::Entity => 0,
                    Order::User => 1,
                    _ => 2,
                },
                row.on_dead != OnDead::Hold,
            ]);
            assert_eq!(written, Ok(1), "{row:?} in {slot:?}");
            if is_held {
                let claim = "INSERT INTO outbox_claims (token, expires_at, claimed_at, seqs) VALUES (?1, ?2, ?3, ?4)";
                let written = self.own.execute(
                    claim,
                    params![
                        lease.token.as_uuid(),
                        micros(lease.expires_at),
                        micros(now),
                        format!(",{},", row.seq)
                    ],
                );
                assert_eq!(written, Ok(1));
            }
            counts[Class::of(status, attempts) as usize] += 1;
            leases.insert(row.seq, lease);
        }
        self.own
            .execute(
                "INSERT INTO outbox_tally (block, fresh, retrying, completed, dead, oldest, newest, completed_from,
                     completed_to, user_id)
                 VALUES (0, ?1, ?2, ?3, ?4, 0, 0, ?5, ?5, NULL)",
                params![counts[0], counts[1], counts[2], counts[3], micros(now)],
            )
            .unwrap();
        self.own.execute_batch("COMMIT").unwrap();
        leases
    }

    /// All rows except the one past the block.
    pub(crate) async fn rows(&self) -> Vec<Stored> {
        let slots =
            "SELECT status, slot, lane IS NOT NULL FROM outbox_events WHERE seq <> ?1 ORDER BY seq";
        let mut select = self.own.prepare_cached(slots).unwrap();
        let slots = select.query_map([BEYOND], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let slots: Vec<(i64, Option<i64>, bool)> = slots.unwrap().map(Result::unwrap).collect();
        let (store, entity) = (&self.made.store, 1.into());
        let events = store.fetch_events_for_entity(&entity, None, Some(USER));
        let events = events.await.unwrap();
        assert_eq!(events.len(), slots.len());
        let rows = events.into_iter().zip(slots);
        rows.map(|(event, (status, slot, has_lane))| Stored {
            event,
            status: *OutboxStatus::ALL
                .iter()
                .find(|word| **word != OutboxStatus::Processing && status_code(**word) == status)
                .unwrap(),
            slot,
            has_lane,
        })
        .collect()
    }

    /// Counts of the scene's block.
    pub(crate) fn counted(&self) -> [i64; Class::COUNT] {
        let counts = "SELECT fresh, retrying, completed, dead FROM outbox_tally WHERE block = 0";
        let mut select = self.own.prepare_cached(counts).unwrap();
        let counts = select.query_row([], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        });
        counts.unwrap()
    }

    pub(crate) fn clear(&self) {
        let all = "BEGIN IMMEDIATE;
             DELETE FROM outbox_events WHERE seq <> 5000;
             DELETE FROM outbox_claims; DELETE FROM outbox_tally; DELETE FROM outbox_told; DELETE FROM outbox_cleaned_up;
             COMMIT";
        self.own.execute_batch(all).unwrap();
    }

    /// Makes the change through the store's own methods. Returns whether the store accepted it.
    pub(crate) async fn cause(
        &self,
        cause: Cause,
        event: &OutboxEvent,
        lease: Lease,
        delayed: bool,
    ) -> bool {
        let store = &self.made.store;
        let due = self.due(delayed);
        let refusal = Refusal::new(RefusalClass::Unavailable, "503");
        let disposition = match cause {
            Cause::Complete => Some(Disposition::Complete),
            Cause::Fail => Some(Disposition::Fail {
                next_attempt_at: due,
                message: "no".to_owned(),
            }),
            Cause::Bury => Some(Disposition::Bury {
                reason: DeadReason::Rejected,
                message: "no".to_owned(),
            }),
            Cause::GiveBack => Some(Disposition::GiveBack {
                next_attempt_at: delayed.then_some(due),
                refusal: None,
            }),
            Cause::Defer => Some(Disposition::Defer {
                next_attempt_at: due,
                refusal,
            }),
            Cause::Snooze => Some(Disposition::Snooze {
                next_attempt_at: due,
            }),
            _ => None,
        };
        if let Some(disposition) = disposition {
            let settled = store.settle(vec![Settlement { lease, disposition }]).await;
            return settled.unwrap() == [Settled::Recorded];
        }
        match cause {
            Cause::Claim => store.mark_as_processing(event.id, LEASE).await.is_ok(),
            Cause::Extend => store.extend(&[lease], LEASE * 2).await.unwrap()[0].is_some(),
            Cause::Rescue => {
                let rescued = store.rescue_others(&[], Some(&[lease])).await.unwrap();
                rescued.1 != Rescued::default()
            }
            Cause::Reset => store.reset_for_retry(&[event.id]).await.unwrap() > 0,
            Cause::Fold | Cause::CancelOut => {
                let operation = match cause {
                    Cause::Fold => Operation::Update,
                    _ => Operation::Delete,
                };
                let newer = NewEvent::new("note", 1, USER, operation)
                    .with_order(event.order)
                    .with_coalesce(Coalesce::Latest);
                store.create_event(newer).await.unwrap().id == event.id
            }
            Cause::Edit => {
                let mut edited = event.clone();
                edited.next_attempt_at = due;
                store.update_event(&edited).await.is_ok()
            }
            Cause::CleanUp => {
                let later = self.now() + chrono::TimeDelta::seconds(1);
                store.delete_completed_events(later).await.unwrap() > 0
            }
            Cause::Delete => store.delete_event(event.id).await.unwrap(),
            other => unreachable!("{other:?} is a disposition"),
        }
    }
}
