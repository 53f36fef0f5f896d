//! Every row of the table of transitions, and every change that it does not have.

use std::time::Duration;

use super::helpers::{LEASE, SECOND, Store, buried, create, event, fetch, given_back};
use crate::ManualClock;
use outbox_runtime::__private::clock::after;
use outbox_runtime::store::{
    Cause, Disposition, Lease, LeaseChange, LeaseToken, Place, Rescued, Settled, Settlement,
    TRANSITIONS, Transition,
};
use outbox_runtime::{
    Clock, Coalesce, NewEvent, Operation, OutboxEvent, OutboxStatus, Refusal, RefusalClass,
};

/// With this limit the second attempt is both a repeated and the last one, and so is the second
/// crash in a row.
const MAX_ATTEMPTS: u32 = 2;

pub(super) async fn every_transition_of_the_table_is_made_and_no_other(
    store: Store<'_>,
    clock: &ManualClock,
) {
    let mut entity = 0;
    let mut seen = Vec::new();
    for status in OutboxStatus::ALL {
        let counts = (0..=MAX_ATTEMPTS).flat_map(|attempts| [(attempts, false), (attempts, true)]);
        for (attempts, crashed) in counts {
            for cause in Cause::ALL.iter().copied() {
                entity += 1;
                let found = event_in_state(store, clock, entity, *status, attempts, crashed).await;
                let Some((before, lease)) = found else {
                    continue;
                };
                let expected = Transition::of(&before, cause);
                // A fold needs its target to be the last event of the entity.
                let folds = matches!(cause, Cause::Fold | Cause::CancelOut);
                let mut behind = None;
                if !folds {
                    behind = Some(create(store, event(entity)).await);
                }
                let accepted = trigger(store, clock, cause, &before, lease).await;
                let what = format!(
                    "{cause:?} of a {status} event after {attempts} attempts, crashed: {crashed}"
                );
                assert_eq!(accepted, expected.is_some(), "{what}");
                let after = store.fetch_event(before.id).await.unwrap();
                match expected {
                    Some(row) => {
                        check(row, &before, after.as_ref(), &what);
                        seen.push(*row);
                    }
                    None => assert_eq!(after.as_ref(), Some(&before), "{what} changes nothing"),
                }
                let behind = match behind {
                    Some(behind) => behind,
                    None => create(store, event(entity)).await,
                };
                if !folds || accepted {
                    check_next_event(store, after.as_ref(), &behind, &what).await;
                }
                let user_id = &before.user_id;
                store.delete_all_events_for_user(user_id).await.unwrap();
            }
        }
    }
    for row in TRANSITIONS {
        assert!(seen.contains(row), "was never reached: {row:?}");
    }
}

/// Creates an event with this status and number of counted attempts, with a crash before the last
/// attempt if `crashed`. Returns it with the lease under which it was last held, or `None` if the
/// state is unreachable.
async fn event_in_state(
    store: Store<'_>,
    clock: &ManualClock,
    entity: i64,
    status: OutboxStatus,
    attempts: u32,
    crashed: bool,
) -> Option<(OutboxEvent, Lease)> {
    if crashed && status != OutboxStatus::Processing {
        return None;
    }
    let created = create(store, event(entity).with_max_attempts(MAX_ATTEMPTS)).await;
    let never = Lease {
        event_id: created.id,
        seq: created.seq,
        token: LeaseToken::random(),
        expires_at: after(clock.now(), LEASE),
    };
    let (failures, last) = match (status, attempts) {
        (OutboxStatus::Pending, 0) => return Some((created, never)),
        (OutboxStatus::Pending, _) | (_, 0) => return None,
        (OutboxStatus::Processing, _) => (attempts - 1, None),
        (OutboxStatus::Failed, _) => (attempts, None),
        (OutboxStatus::Completed, _) => (attempts - 1, Some(Disposition::Complete)),
        (OutboxStatus::Dead, _) => (attempts - 1, Some(buried())),
        (other, _) => panic!("the suite does not know the status {other}"),
    };
    let mut lease = never;
    for attempt in 0..attempts {
        if crashed && attempt + 1 == attempts {
            let _ = store.mark_as_processing(created.id, LEASE).await.unwrap();
            clock.advance(LEASE);
            assert_eq!(store.rescue().await.unwrap(), Rescued::new(1, 0));
        }
        let claim = store.mark_as_processing(created.id, LEASE).await.unwrap();
        lease = claim.lease;
        let disposition = if attempt < failures {
            Some(failed(clock))
        } else {
            last.clone()
        };
        if let Some(disposition) = disposition {
            let settled = store.settle(vec![Settlement { lease, disposition }]).await;
            assert_eq!(settled.unwrap(), [Settled::Recorded]);
        }
    }
    let stored = fetch(store, &created).await;
    assert_eq!((stored.status, stored.attempt_count), (status, attempts));
    Some((stored, lease))
}

/// A failure that is due again at once.
fn failed(clock: &ManualClock) -> Disposition {
    Disposition::Fail {
        next_attempt_at: clock.now(),
        message: "no".to_owned(),
    }
}

/// Triggers the cause through the store's own methods. Returns whether the store reports success.
async fn trigger(
    store: Store<'_>,
    clock: &ManualClock,
    cause: Cause,
    event: &OutboxEvent,
    lease: Lease,
) -> bool {
    let disposition = match cause {
        Cause::Complete => Some(Disposition::Complete),
        Cause::Fail => Some(failed(clock)),
        Cause::Bury => Some(buried()),
        Cause::GiveBack => Some(given_back(None)),
        Cause::Defer => Some(Disposition::Defer {
            next_attempt_at: clock.now(),
            refusal: Refusal::new(RefusalClass::Unavailable, "503"),
        }),
        Cause::Snooze => Some(Disposition::Snooze {
            next_attempt_at: clock.now(),
        }),
        _ => None,
    };
    if let Some(disposition) = disposition {
        let settled = store.settle(vec![Settlement { lease, disposition }]).await;
        return settled.unwrap() == [Settled::Recorded];
    }
    match cause {
        Cause::Claim => store.mark_as_processing(event.id, LEASE).await.is_ok(),
        Cause::Extend => {
            let longer = LEASE + Duration::from_secs(1);
            store.extend(&[lease], longer).await.unwrap()[0].is_some()
        }
        Cause::Rescue => {
            clock.advance(LEASE);
            let rescued = store.rescue().await.unwrap();
            rescued.requeued + rescued.buried > 0
        }
        Cause::Reset => store.reset_for_retry(&[event.id]).await.unwrap() > 0,
        Cause::Fold | Cause::CancelOut => {
            let operation = match cause {
                Cause::Fold => Operation::Update,
                _ => Operation::Delete,
            };
            let entity = event.entity_id.clone();
            let newer = NewEvent::new("note", entity, event.user_id.as_str(), operation)
                .with_coalesce(Coalesce::Latest);
            create(store, newer).await.id == event.id
        }
        Cause::Edit => {
            let mut edited = event.clone();
            edited.priority += 1;
            store.update_event(&edited).await.is_ok()
        }
        Cause::CleanUp => {
            let later = after(clock.now(), SECOND);
            store.delete_completed_events(later).await.unwrap() > 0
        }
        Cause::Delete => store.delete_event(event.id).await.unwrap(),
        _ => unreachable!("{cause:?} is a disposition"),
    }
}

/// Checks that the event now matches this row of the table.
fn check(row: &Transition, before: &OutboxEvent, after: Option<&OutboxEvent>, what: &str) {
    assert_eq!(after.map(|event| event.status), row.to, "{what}");
    let Some(after) = after else { return };
    let attempts = row.attempts.after(before.attempt_count);
    assert_eq!(after.attempt_count, attempts, "{what}: attempts");
    let (held_before, held) = (before.lease_token, after.lease_token);
    assert_eq!(held.is_some(), after.lease_expires_at.is_some(), "{what}");
    match row.lease {
        LeaseChange::None => assert_eq!((held_before, held), (None, None), "{what}"),
        LeaseChange::Taken => assert!(held_before.is_none() && held.is_some(), "{what}"),
        LeaseChange::Renewed => {
            assert!(held_before == held && held.is_some(), "{what}");
            assert!(
                after.lease_expires_at > before.lease_expires_at,
                "{what}: the lease ends later"
            );
        }
        LeaseChange::Ended => assert!(held_before.is_some() && held.is_none(), "{what}"),
        other => panic!("the suite does not know the change {other:?}"),
    }
    let dead = row.place == Place::Dead;
    assert_eq!(after.dead_reason.is_some(), dead, "{what}: a reason");
    let completed = row.to == Some(OutboxStatus::Completed);
    assert_eq!(after.completed_at.is_some(), completed, "{what}");
}

/// Checks that the next event of the entity can be claimed exactly if the one before it does not
/// block it.
async fn check_next_event(
    store: Store<'_>,
    first: Option<&OutboxEvent>,
    behind: &OutboxEvent,
    what: &str,
) {
    let out = first.is_none_or(|first| first.status == OutboxStatus::Completed);
    let claimed = store.mark_as_processing(behind.id, LEASE).await;
    assert_eq!(claimed.is_ok(), out, "{what}: the event behind it");
}
