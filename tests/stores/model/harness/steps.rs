//! The steps, taken on a store.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{
    Claim, ClaimRequest, Disposition, Lease, Selector, Settled, Settlement,
};
use outbox_runtime::{
    Clock, DeadReason, EnqueueError, Headers, NewEvent, OutboxRepository, Pause, PauseScope,
    RawMetadata, Refusal, RefusalClass, StoreErrorKind, TraceContext,
};
use outbox_testing::ManualClock;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::MakeStore;
use super::reference::{Answer, Change, Choice, Millis, Options, Reference, Report, Row, Step};

/// A store under test.
pub struct Tested {
    pub runtime: Runtime,
    pub clock: ManualClock,
    begin: DateTime<Utc>,
    pub store: Arc<dyn OutboxRepository>,
    /// The leases of all claims so far.
    pub leases: Vec<Lease>,
    pub may_look_again: bool,
    /// The rows before the last step.
    pub before: BTreeMap<u64, Row>,
    _guard: Box<dyn Any>,
}

fn uuid(id: u8) -> Uuid {
    Uuid::from_u128(u128::from(id) + 1)
}

pub fn id(uuid: Uuid) -> u8 {
    u8::try_from(uuid.as_u128() - 1).unwrap()
}

pub fn user(user: u8) -> String {
    format!("u{user}")
}

fn event(id: u8, change: Change, wishes: Options) -> NewEvent {
    let event_type = if change.draft { "draft" } else { "note" };
    let event = NewEvent::new(
        event_type,
        change.entity,
        user(change.user),
        change.operation,
    );
    let event = match change.destination {
        Some(number) => event.with_destination(destination(number)),
        None => event,
    };
    event
        .with_id(uuid(id))
        .with_metadata(RawMetadata::from_bytes(change.text.to_string()))
        .with_priority(wishes.priority)
        .with_max_attempts(wishes.max_attempts)
        .with_delay(Duration::from_millis(wishes.delay))
        .with_order(wishes.order)
        .with_on_dead(wishes.on_dead)
        .with_coalesce(Row::coalesce(change.draft))
        .with_trace_context(trace_context(id))
        .with_headers(headers(id))
}

/// The headers of the event with this id; each third has none.
pub fn headers(id: u8) -> Headers {
    let named = (!id.is_multiple_of(3)).then(|| ("x-event", id.to_string()));
    named.into_iter().collect()
}

/// The trace context of the event with this id; each third has none.
pub fn trace_context(id: u8) -> Option<TraceContext> {
    let parent = format!("00-0af7651916cd43dd8448eb211c80319c-{:016x}-01", id % 3);
    TraceContext::new(&parent).ok()
}

pub fn destination(number: u8) -> String {
    format!("d{number}")
}

/// Adds the choice of events to a request.
fn chosen(request: ClaimRequest, choice: Choice) -> ClaimRequest {
    let to = |number: Option<u8>| {
        let destination = number.map(destination);
        Selector::new().destination(destination.as_deref())
    };
    let mut request = request.in_order(choice.order);
    if let Some(only) = choice.only {
        request = request.only(to(only));
    }
    if let Some((destination, of)) = choice.except {
        let selector = match of {
            Some(number) => to(destination).user(&user(number)),
            None => to(destination),
        };
        request = request.except(selector);
    }
    match choice.avoided {
        Some(number) => request.avoiding_users(vec![user(number)]),
        None => request,
    }
}

impl Tested {
    pub fn new<S: MakeStore>() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let clock = ManualClock::new();
        let (store, guard) = runtime.block_on(S::make(clock.clone()));
        Self {
            runtime,
            begin: clock.now(),
            clock,
            store,
            leases: Vec::new(),
            may_look_again: S::MAY_LOOK_AGAIN,
            before: BTreeMap::new(),
            _guard: guard,
        }
    }

    pub fn time(&self, at: Millis) -> DateTime<Utc> {
        self.begin + Duration::from_millis(at)
    }

    pub fn take(&mut self, reference: &Reference, step: &Step) -> Answer {
        let store = Arc::clone(&self.store);
        let mut leases = std::mem::take(&mut self.leases);
        let answer =
            self.runtime
                .block_on(self.answer(store.as_ref(), &mut leases, reference, step));
        self.leases = leases;
        answer
    }

    async fn answer(
        &self,
        store: &dyn OutboxRepository,
        leases: &mut Vec<Lease>,
        reference: &Reference,
        step: &Step,
    ) -> Answer {
        let mut claimed = |claims: Vec<Claim>| {
            leases.extend(claims.iter().map(|claim| claim.lease));
            Answer::Claimed(claims.iter().map(|claim| id(claim.event.id)).collect())
        };
        match *step {
            Step::Enqueue(id, change, wishes) => enqueue(store, event(id, change, wishes)).await,
            Step::EnqueueAgain(nth) => match reference.nth_enqueued(nth) {
                Some((id, change, wishes)) => enqueue(store, event(id, change, wishes)).await,
                None => Answer::Nothing,
            },
            Step::Claim {
                limit,
                user,
                turns,
                choice,
                lease,
            } => {
                let request = ClaimRequest::new(limit, Duration::from_millis(lease));
                let mut request = chosen(request, choice);
                if let Some((places, after)) = turns {
                    request = request.with_turns(places, self::user(after));
                }
                if let Some(number) = user {
                    request = request.with_user(self::user(number));
                }
                claimed(store.claim(&request).await.unwrap())
            }
            Step::ClaimOne(id, lease) => {
                let lease = Duration::from_millis(lease);
                match store.mark_as_processing(uuid(id), lease).await {
                    Ok(claim) => claimed(vec![claim]),
                    Err(error) => refused(error.kind()),
                }
            }
            Step::Settle(nth, report) => {
                let Some(lease) = nth_lease(leases, nth) else {
                    return Answer::Recorded(false);
                };
                let disposition = self.disposition(report);
                let settled = store.settle(vec![Settlement { lease, disposition }]).await;
                Answer::Recorded(settled.unwrap() == [Settled::Recorded])
            }
            Step::Extend(nth, longer) => {
                let Some(lease) = nth_lease(leases, nth) else {
                    return Answer::Recorded(false);
                };
                let longer = Duration::from_millis(longer);
                let extended = store.extend(&[lease], longer).await.unwrap();
                Answer::Recorded(extended[0].is_some())
            }
            Step::Wait(time) => {
                self.clock.advance(Duration::from_millis(time));
                Answer::Nothing
            }
            Step::Rescue => {
                let rescued = store.rescue().await.unwrap();
                Answer::Rescued(rescued.requeued, rescued.buried)
            }
            Step::Reset(id) => Answer::Count(store.reset_for_retry(&[uuid(id)]).await.unwrap()),
            Step::Edit(id, priority, due) => {
                let Some(mut event) = store.fetch_event(uuid(id)).await.unwrap() else {
                    return Answer::NotFound;
                };
                event.priority = priority;
                event.next_attempt_at = self.clock.now() + Duration::from_millis(due);
                match store.update_event(&event).await {
                    Ok(()) => Answer::Nothing,
                    Err(error) => refused(error.kind()),
                }
            }
            Step::CleanUp(age) => {
                let cutoff = self.clock.now() - Duration::from_millis(age);
                Answer::Count(store.delete_completed_events(cutoff).await.unwrap())
            }
            Step::Delete(id) => {
                Answer::Count(u64::from(store.delete_event(uuid(id)).await.unwrap()))
            }
            Step::Discard(id) => Answer::Count(store.discard(&[uuid(id)]).await.unwrap()),
            Step::DeleteEntity(entity, user) => {
                let user = user.map(self::user);
                let entities = [entity.into()];
                let deleted = store.delete_events_for_entities(&entities, user.as_deref());
                Answer::Count(deleted.await.unwrap())
            }
            Step::DeleteUser(number) => {
                let user = user(number);
                let deleted = store.delete_all_events_for_user(&user);
                Answer::Count(deleted.await.unwrap())
            }
            Step::Pause(number, length) => {
                let mut pause = Pause::user(user(number));
                if let Some(length) = length {
                    pause = pause.until(self.clock.now() + Duration::from_millis(length));
                }
                store.pause(&pause).await.unwrap();
                Answer::Nothing
            }
            Step::Unpause(number) => {
                let scope = PauseScope::User(user(number));
                Answer::Count(u64::from(store.unpause(&scope).await.unwrap()))
            }
        }
    }

    fn disposition(&self, report: Report) -> Disposition {
        let after = |delay| self.clock.now() + Duration::from_millis(delay);
        match report {
            Report::Complete => Disposition::Complete,
            Report::Fail(delay) => Disposition::Fail {
                next_attempt_at: after(delay),
                message: "no".to_owned(),
            },
            Report::Bury => Disposition::Bury {
                reason: DeadReason::Rejected,
                message: "never".to_owned(),
            },
            Report::GiveBack(delay, refused) => Disposition::GiveBack {
                next_attempt_at: delay.map(after),
                refusal: refused.then(|| Refusal::new(RefusalClass::Timeout, "30 s")),
            },
            Report::Defer(delay) => Disposition::Defer {
                next_attempt_at: after(delay),
                refusal: Refusal::new(RefusalClass::Unavailable, "503"),
            },
            Report::Snooze(delay) => Disposition::Snooze {
                next_attempt_at: after(delay),
            },
        }
    }
}

fn nth_lease(leases: &[Lease], nth: usize) -> Option<Lease> {
    (!leases.is_empty()).then(|| leases[nth % leases.len()])
}

async fn enqueue(store: &dyn OutboxRepository, event: NewEvent) -> Answer {
    match store.create_event(event).await {
        Ok(row) => Answer::Carried(id(row.id)),
        Err(EnqueueError::Conflict { .. }) => Answer::Conflict,
        Err(error) => panic!("{error}"),
    }
}

fn refused(kind: StoreErrorKind) -> Answer {
    match kind {
        StoreErrorKind::NotFound => Answer::NotFound,
        StoreErrorKind::Conflict => Answer::Conflict,
        other => panic!("{other:?}"),
    }
}
