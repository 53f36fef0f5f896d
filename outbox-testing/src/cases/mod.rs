//! The cases of the conformance suite. Each tests one promise and is named after it.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a failed test panics, and the name of a case is its documentation"
)]
#![deny(dead_code, reason = "a case that `conformance!` does not list")]

use std::time::Duration;

use chrono::{DateTime, Utc};

use outbox_runtime::NewEvent;
use outbox_runtime::OutboxRepository;
use outbox_runtime::RawMetadata;
use outbox_runtime::{Claim, ClaimRequest};
use outbox_runtime::{Coalesce, Order};
use outbox_runtime::{DeadReason, Operation, OutboxEvent};
use outbox_runtime::{Disposition, Settled, Settlement};

mod asking;
mod claiming;
mod deleting;
mod editing;
mod enqueueing;
mod exchanging;
mod folding;
mod ordering;
mod reordering;
mod rescuing;
mod selecting;
mod settling;
mod sharing;
mod suspending;
mod transitions;

use self::{
    asking::*, claiming::*, deleting::*, editing::*, enqueueing::*, exchanging::*, folding::*,
    ordering::*, reordering::*, rescuing::*, selecting::*, settling::*, sharing::*, suspending::*,
    transitions::*,
};

/// Every case, for the tests that `conformance!` emits.
///
/// A case exists twice: as a function in a module above, and in the list of `conformance!`. The
/// compiler compares the two: a function that is not listed is dead code, and a listed name without
/// a function does not resolve.
pub mod all {
    crate::conformance! { @list @export () }
}

type Store<'a> = &'a dyn OutboxRepository;

const LEASE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// An event of user u1 about this entity.
fn event(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Create)
        .with_metadata(RawMetadata::from_bytes(r#"{"text":"hello"}"#))
}

/// An event that folds, with this order.
fn change_of(entity: i64, order: Order, text: &str) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update)
        .with_order(order)
        .with_coalesce(Coalesce::Latest)
        .with_metadata(RawMetadata::from_bytes(format!("\"{text}\"")))
}

async fn create(store: Store<'_>, event: NewEvent) -> OutboxEvent {
    store.create_event(event).await.unwrap()
}

async fn claim(store: Store<'_>, limit: usize) -> Vec<Claim> {
    store.claim(&ClaimRequest::new(limit, LEASE)).await.unwrap()
}

/// Claims exactly one event.
async fn claim_one(store: Store<'_>) -> Claim {
    let mut claims = claim(store, 1).await;
    assert_eq!(claims.len(), 1, "one event should be claimable");
    claims.remove(0)
}

async fn settle(store: Store<'_>, claim: &Claim, disposition: Disposition) -> Settled {
    let lease = claim.lease;
    let settlement = Settlement { lease, disposition };
    store.settle(vec![settlement]).await.unwrap()[0]
}

async fn complete(store: Store<'_>, claim: &Claim) {
    let settled = settle(store, claim, Disposition::Complete).await;
    assert_eq!(settled, Settled::Recorded);
}

/// Gives the attempt back without a refusal.
fn given_back(next_attempt_at: Option<DateTime<Utc>>) -> Disposition {
    Disposition::GiveBack {
        next_attempt_at,
        refusal: None,
    }
}

fn buried() -> Disposition {
    Disposition::Bury {
        reason: DeadReason::Rejected,
        message: "no".to_owned(),
    }
}

async fn fetch(store: Store<'_>, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

fn entities(claims: &[Claim]) -> Vec<i64> {
    claims
        .iter()
        .map(|claim| claim.event.entity_id.as_integer().unwrap())
        .collect()
}
