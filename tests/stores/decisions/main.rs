//! The SQLite store's SQL decides like the functions of the kit, for every status, place in a lane,
//! and change.
//!
//! A scene is one event in some state, alone or among others, written directly to the table. The
//! store makes one change, and then every row is compared with the functions' results.

use std::collections::BTreeSet;

use outbox_runtime::store::kit::{Class, Slot, Standing, Turn, slot_after, status_after};
use outbox_runtime::store::{Cause, Transition};
use outbox_runtime::{OnDead, Order, prelude::*};
use outbox_tests::within;

use self::lines::is_behind;
use self::scene::{MAX_ATTEMPTS, Row, Scene, Stored};

mod lines;
mod scene;

/// Other events around the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    Nothing,
    /// One of the same order behind it.
    Junior,
    /// One of the same order before it, and one behind it.
    Both,
    /// A leased one before it, and one behind it.
    Leased,
    /// An elder: one of its type before it, enqueued with another order.
    Elder,
    /// One of its type behind it, enqueued with another order.
    YoungerKin,
}

impl Around {
    fn rows(self, subject: Row) -> Vec<Row> {
        let (before, behind) = (subject.seq - 5, subject.seq + 5);
        let same = |seq| Row::pending(seq, subject.order);
        let other = |seq| {
            let order = match subject.order {
                Order::Entity => Order::User,
                _ => Order::Entity,
            };
            Row::pending(seq, order)
        };
        match self {
            Self::Nothing => vec![subject],
            Self::Junior => vec![subject, same(behind)],
            Self::Both => vec![same(before), subject, same(behind)],
            Self::Leased => {
                let leased = Row {
                    status: OutboxStatus::Processing,
                    attempts: 1,
                    ..same(before)
                };
                vec![leased, subject, same(behind)]
            }
            Self::Elder => vec![other(before), subject],
            Self::YoungerKin => vec![subject, other(behind)],
        }
    }
}

/// Asserts that each row has the slot, and its block the counts, that the functions return.
fn check(scene: &Scene, rows: &[Stored], what: &str) {
    let mut counts = [0; Class::COUNT];
    for row in rows {
        let event = &row.event;
        let turn = Turn::of(event, scene.now(), is_behind(rows, row));
        let slot = slot_after(event.status, event.on_dead, turn);
        let stays = slot == Some(Slot::Parked) && row.slot == Some(Slot::Ready.code());
        assert!(
            row.slot == slot.map(Slot::code) || stays,
            "{what}: the slot of {} in {rows:#?}",
            event.seq
        );
        assert_eq!(row.has_lane, slot.is_some(), "{what}");
        if event.seq < 1_024 {
            counts[Class::of(row.status, event.attempt_count) as usize] += 1;
        }
    }
    assert_eq!(scene.counted(), counts, "{what}: {rows:#?}");
}

/// All states of one event.
fn subjects() -> Vec<Row> {
    let mut subjects = Vec::new();
    for order in [Order::Entity, Order::User, Order::None] {
        for on_dead in [OnDead::Hold, OnDead::Skip] {
            for status in OutboxStatus::ALL {
                // A claim counts its attempt.
                let fewest = u32::from(*status == OutboxStatus::Processing);
                for attempts in fewest..=MAX_ATTEMPTS {
                    for (crashes, delayed) in
                        [(0, false), (0, true), (1, false), (MAX_ATTEMPTS - 1, false)]
                    {
                        let can_crash = *status == OutboxStatus::Processing;
                        if crashes > 0 && !can_crash {
                            continue;
                        }
                        subjects.push(Row {
                            seq: 10,
                            status: *status,
                            attempts,
                            crashes,
                            order,
                            on_dead,
                            delayed,
                        });
                    }
                }
            }
        }
    }
    subjects
}

/// Whether the events around the subject forbid a change that its own state allows.
fn is_refused_here(cause: Cause, subject: &Stored, rows: &[Stored]) -> bool {
    match cause {
        Cause::Claim => subject.slot != Some(Slot::Ready.code()),
        // Only into the newest of its lane, and not past a later one of another order.
        Cause::Fold => rows.iter().any(|row| row.event.seq > subject.event.seq),
        // Only if no other event is about the entity.
        Cause::CancelOut => rows.len() > 1,
        _ => false,
    }
}

/// Whether these variations of the subject affect the change.
fn matters(subject: &Row, cause: Cause, delayed: bool) -> bool {
    let takes_due = matches!(
        cause,
        Cause::Fail | Cause::GiveBack | Cause::Defer | Cause::Snooze | Cause::Edit
    );
    let may_die = matches!(cause, Cause::Bury | Cause::Rescue);
    let is_dead = subject.status == OutboxStatus::Dead;
    (takes_due || !delayed)
        && (may_die || is_dead || subject.on_dead == OnDead::Hold)
        && (cause == Cause::Rescue || subject.crashes == 0)
}

/// Makes every change with these events around the subject, and returns the accepted ones.
async fn compare(around: Around) -> BTreeSet<String> {
    let scene = Scene::open().await;
    let mut accepted_causes = BTreeSet::new();
    for subject in subjects() {
        // The store never leases two events of a lane.
        let is_leased = subject.status == OutboxStatus::Processing;
        if is_leased && around == Around::Leased && subject.order != Order::None {
            continue;
        }
        for cause in Cause::ALL.iter().copied() {
            for delayed in [false, true] {
                if !matters(&subject, cause, delayed) {
                    continue;
                }
                let what = format!("{cause:?} (delayed: {delayed}) of {subject:?} with {around:?}");
                let leases = scene.write(&around.rows(subject), cause == Cause::Rescue);
                let before = scene.rows().await;
                check(&scene, &before, &format!("before {what}"));
                let it = before.iter().find(|row| row.event.seq == subject.seq);
                let it = it.unwrap();
                let standing = Standing::of(&it.event);
                let is_possible = Transition::of(&it.event, cause).is_some();
                let expected = is_possible && !is_refused_here(cause, it, &before);
                let lease = leases[&subject.seq];
                let accepted = scene.cause(cause, &it.event, lease, delayed).await;
                assert_eq!(accepted, expected, "{what}");
                let after = scene.rows().await;
                let found = after.iter().find(|row| row.event.seq == subject.seq);
                if accepted {
                    let status = status_after(standing, cause);
                    assert_eq!(found.map(|row| row.event.status), status, "{what}");
                    accepted_causes.insert(format!("{cause:?}"));
                } else {
                    assert_eq!(found, Some(it), "{what}");
                }
                check(&scene, &after, &what);
                scene.clear();
            }
        }
    }
    accepted_causes
}

/// All causes except these.
fn all_but(causes: &[Cause]) -> BTreeSet<String> {
    let others = Cause::ALL.iter().filter(|cause| !causes.contains(cause));
    others.map(|cause| format!("{cause:?}")).collect()
}

#[tokio::test]
async fn sql_and_functions_agree_about_a_lone_event() {
    assert_eq!(compare(Around::Nothing).await, all_but(&[]));
}

#[tokio::test]
async fn sql_and_functions_agree_about_the_event_behind() {
    let refused = [Cause::Fold, Cause::CancelOut];
    assert_eq!(compare(Around::Junior).await, all_but(&refused));
}

#[tokio::test]
async fn sql_and_functions_agree_about_an_event_between_others() {
    let refused = [Cause::Fold, Cause::CancelOut];
    assert_eq!(compare(Around::Both).await, all_but(&refused));
}

#[tokio::test]
async fn sql_and_functions_agree_about_an_event_behind_a_leased_one() {
    let refused = [Cause::Fold, Cause::CancelOut];
    assert_eq!(compare(Around::Leased).await, all_but(&refused));
}

#[tokio::test]
async fn sql_and_functions_agree_about_an_event_behind_an_elder() {
    let refused = [Cause::Claim, Cause::CancelOut];
    assert_eq!(compare(Around::Elder).await, all_but(&refused));
}

#[tokio::test]
async fn sql_and_functions_agree_about_an_event_before_one_of_another_order() {
    let refused = [Cause::Fold, Cause::CancelOut];
    assert_eq!(compare(Around::YoungerKin).await, all_but(&refused));
}

#[tokio::test]
async fn sql_and_functions_agree_about_counts_and_deletions() {
    let scene = Scene::open().await;
    let mut rows = subjects();
    rows.retain(|row| row.order == Order::None);
    for (row, seq) in rows.iter_mut().zip(1..) {
        row.seq = seq;
    }
    let mut expected = [0; Class::COUNT];
    scene.write(&rows, false);
    for row in &rows {
        expected[Class::of(row.stored(), row.attempts) as usize] += 1;
    }
    assert!(expected.iter().all(|count| *count > 1), "{expected:?}");
    scene.own.execute("DELETE FROM outbox_tally", []).unwrap();
    // A query has the writer count the blocks while it is idle.
    scene.made.store.statistics(None).await.unwrap();
    let blocks = || -> i64 {
        let counted = "SELECT count(*) FROM outbox_tally";
        let count = scene.own.query_row(counted, [], |row| row.get(0));
        count.unwrap()
    };
    within(async {
        while blocks() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(scene.counted(), expected);
    for row in &rows {
        let delete = "DELETE FROM outbox_events WHERE seq = ?1";
        scene.own.execute(delete, [row.seq]).unwrap();
        expected[Class::of(row.stored(), row.attempts) as usize] -= 1;
        assert_eq!(scene.counted(), expected, "{row:?}");
    }
}
