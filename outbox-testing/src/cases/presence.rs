//! Processes: the runs that they announce.

use super::helpers::{LEASE, SECOND, Store, claim_one, complete, create, event, fetch};
use crate::ManualClock;
use outbox_runtime::Clock;
use outbox_runtime::store::{Announcement, ProcessState};

pub(super) async fn an_announced_run_is_listed_until_it_is_withdrawn(
    store: Store<'_>,
    clock: &ManualClock,
) {
    assert_eq!(store.processes().await.unwrap(), []);
    let types = vec!["task".to_owned(), "note".to_owned()];
    let held = vec!["old".to_owned(), "legacy".to_owned()];
    let first = Announcement::new(clock.now()).with_event_types(types);
    let first = first.with_held_types(held);
    store.announce(&first).await.unwrap();
    clock.advance(SECOND);
    let second = Announcement::new(clock.now()).with_user("u1");
    store.announce(&second).await.unwrap();
    // Again, as after an error: the same.
    store.announce(&first).await.unwrap();

    let processes = store.processes().await.unwrap();
    let [process] = &processes[..] else {
        panic!("{processes:?}");
    };
    assert!(process.is_this);
    assert_eq!(process.process_id, std::process::id());
    assert_eq!(process.state, ProcessState::Alive);
    assert_eq!(process.leases, 0);
    assert_eq!(process.runs, [first.clone(), second.clone()]);
    let types = first.event_types.clone().unwrap();
    assert_eq!(types, ["note", "task"], "sorted");
    assert_eq!(processes[0].runs[0].held_types, ["legacy", "old"], "sorted");

    store.withdraw(first.run_id).await.unwrap();
    store.withdraw(first.run_id).await.unwrap();
    let processes = store.processes().await.unwrap();
    assert_eq!(processes[0].runs, std::slice::from_ref(&second));
    store.withdraw(second.run_id).await.unwrap();
    assert_eq!(store.processes().await.unwrap(), []);
}

pub(super) async fn a_process_is_listed_with_the_events_that_it_holds(
    store: Store<'_>,
    _: &ManualClock,
) {
    let free = create(store, event(1)).await;
    let held = claim_one(store).await;
    create(store, event(2)).await;
    let processes = store.processes().await.unwrap();
    let [process] = &processes[..] else {
        panic!("{processes:?}");
    };
    assert!(process.is_this);
    assert_eq!((process.leases, &process.runs[..]), (1, &[][..]));
    assert!(process.holds(&fetch(store, &held.event).await));
    assert!(!process.holds(&free), "before the claim");
    let renewed = store.extend(&[held.lease], LEASE * 2).await.unwrap();
    assert!(renewed[0].is_some());
    assert_eq!(store.processes().await.unwrap()[0].leases, 1);
    complete(store, &held).await;
    assert_eq!(store.processes().await.unwrap(), []);
}
