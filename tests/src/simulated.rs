//! Simulations: worlds for several stores, namely an application that cancels and one of two
//! releases, and what the tests of all of them share.

use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::support::{Retired, Retirement};
use outbox_runtime::{
    Clock, Coalesce, Expiry, HandlerSet, NewEvent, OnDead, OnSameKey, Order, RawMetadata,
};
use outbox_testing::{Invariant, ManualClock, Remote, SeededRng, Simulation};

use crate::{Broken, Flaw};

/// The same world on SQLite, in a file.
pub fn on_sqlite(simulation: Simulation) -> Simulation {
    simulation.store(|clock| async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let store = SqliteStore::builder(path).clock(clock).open().await;
        (store.unwrap(), folder)
    })
}

/// The same world on a store in memory that has this flaw.
pub fn with_flaw(simulation: Simulation, flaw: Flaw) -> Simulation {
    simulation.store(move |clock| async move { (Broken::new(flaw, clock), ()) })
}

/// The invariant that the first seed violates that violates any, among this many.
///
/// # Panics
///
/// If the failure does not tell its seed and the course of the run.
pub fn first_violation(seeds: u64, world: impl Fn(Simulation) -> Simulation) -> Option<Invariant> {
    (0..seeds).find_map(|seed| {
        let failure = world(Simulation::new(seed)).run().err()?;
        println!("seed {}: {}", failure.seed(), failure.invariant());
        assert!(failure.to_string().contains(&format!("seed {seed}")));
        assert!(!failure.trace().is_empty());
        Some(failure.invariant())
    })
}

/// The types that the newest release retires, one for each policy.
pub const RETIRED: [Retired; 3] = [
    Retired::new("journal", Retirement::Drop),
    Retired::new("draft", Retirement::Dead),
    Retired::new("chat", Retirement::Hold),
];

/// A change whose options are random, but for those that decide its fate.
fn change(
    draw: &mut SeededRng,
    event_type: &'static str,
    user: &str,
    operations: &[Operation],
) -> NewEvent {
    let entity_id = draw.below(4) as i64;
    NewEvent::new(event_type, entity_id, user, *draw.pick(operations))
        .with_metadata(RawMetadata::from_bytes(format!(
            r#"{{"n":{}}}"#,
            draw.word()
        )))
        .with_header("x-tenant", draw.below(9).to_string())
        .with_priority(draw.below(3) as i32)
        .with_max_attempts(1 + draw.below(5) as u32)
        .with_delay(Duration::from_secs(draw.below(2) * draw.below(300)))
}

/// An application that cancels changes of all kinds: in every order, folding, with keys, an expiry
/// or a parent.
pub fn with_cancellations(simulation: Simulation) -> Simulation {
    let epoch = ManualClock::new().now();
    simulation.cancellations().changes(move |draw, user| {
        let operations = [Operation::Create, Operation::Update, Operation::Delete];
        let (event_type, coalesce) =
            *draw.pick(&[("note", Coalesce::Never), ("draft", Coalesce::Latest)]);
        let orders = [Order::Entity, Order::Entity, Order::User, Order::None];
        let mut event = change(draw, event_type, user, &operations)
            .with_order(*draw.pick(&orders))
            .with_on_dead(*draw.pick(&[OnDead::Hold, OnDead::Skip]))
            .with_coalesce(coalesce);
        if draw.chance(400) {
            event = event.with_key(format!("key-{}", draw.below(2)));
            if draw.chance(300) {
                event = event.with_on_same_key(OnSameKey::Keep);
            }
        }
        if draw.chance(100) {
            let ends = epoch + Duration::from_secs(draw.below(3_600));
            event = event.with_expiry(Expiry::At(ends));
        }
        if draw.chance(200) {
            event = event.with_after("folder", draw.below(2) as i64);
        }
        if draw.chance(100) {
            event = NewEvent::new("folder", draw.below(2) as i64, user, Operation::Create);
        }
        Ok(event)
    })
}

/// It was called `mood` in the older release.
#[derive(Debug, OutboxEntity)]
#[outbox(event_type = "moodEntry", alias = ["mood"])]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

/// The types of the older release.
macro_rules! older {
    ($($entity:ident = $event_type:literal),+) => {$(
        #[derive(Debug, OutboxEntity)]
        #[outbox(event_type = $event_type)]
        struct $entity {
            #[outbox(entity_id)]
            id: i64,
            #[outbox(user_id)]
            user_id: String,
        }
    )+};
}

older!(
    OldMood = "mood",
    Journal = "journal",
    Draft = "draft",
    Chat = "chat"
);

fn deliver<E: OutboxEntity>(set: HandlerSet, remote: &Remote) -> HandlerSet {
    let remote = remote.clone();
    set.with::<E>(move |event: Event<E>| {
        let remote = remote.clone();
        async move { Ok(remote.send(&event).await?) }
    })
}

/// The handlers of the newest release.
pub fn newest(remote: Remote) -> HandlerSet {
    deliver::<Mood>(HandlerSet::new().retire(&RETIRED), &remote)
}

fn older(remote: Remote) -> HandlerSet {
    let set = deliver::<OldMood>(HandlerSet::new(), &remote);
    let set = deliver::<Journal>(set, &remote);
    deliver::<Chat>(deliver::<Draft>(set, &remote), &remote)
}

/// An application of which an older release still runs now and then. The newest one has renamed one
/// of its types and retired the others.
pub fn with_two_releases(simulation: Simulation) -> Simulation {
    let updates = [Operation::Create, Operation::Update];
    let newest_changes =
        move |draw: &mut SeededRng, user: &str| Ok(change(draw, "moodEntry", user, &updates));
    let older_changes = move |draw: &mut SeededRng, user: &str| {
        // Few are held: they end their lanes for good.
        let types = [
            "mood", "mood", "mood", "journal", "journal", "draft", "draft", "chat",
        ];
        let event_type = *draw.pick(&types);
        Ok(change(draw, event_type, user, &updates).with_on_dead(OnDead::Skip))
    };
    simulation
        .changes(newest_changes)
        .handlers(newest)
        .older_release(older_changes, older)
}
