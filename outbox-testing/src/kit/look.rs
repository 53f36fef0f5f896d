//! What the events of a run wait for, and each change of that.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::__private::clock;
use outbox_runtime::store::{OutboxQueue as _, Revision};
use outbox_runtime::{
    EntityId, EventFilter, OutboxEvent, OutboxRepository as _, OutboxStatus, Outcomes, RunOutcome,
    Running, StoreError, WaitsFor,
};

use super::listing;
use super::report::{Drained, Waiting};

/// The first pause between two looks. Commits and recorded outcomes end it early; an attempt that
/// is given back, or credentials that were refreshed, are neither. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A run, watched from the moment at which this, or the stream of its outcomes, was made.
pub(super) struct Watch<'r> {
    running: &'r Running,
    outcomes: Outcomes,
    seen: Revision,
    pause: Duration,
    delivered: Vec<OutboxEvent>,
    missed: u64,
}

impl<'r> Watch<'r> {
    pub(super) fn new(running: &'r Running) -> Self {
        Self::with(running, running.outcomes())
    }

    pub(super) fn with(running: &'r Running, outcomes: Outcomes) -> Self {
        Self {
            running,
            outcomes,
            seen: running.store().revision(),
            pause: FIRST_PAUSE,
            delivered: Vec::new(),
            missed: 0,
        }
    }

    /// What waits now, unless a handler has an event: then looking at all of them is too early.
    pub(super) async fn look_if_quiet(&mut self) -> Result<Option<Drained>, StoreError> {
        let (store, user_id) = (self.running.store(), self.running.user_id());
        self.seen = store.revision();
        let held = store
            .fetch_events(OutboxStatus::Processing, user_id, Some(1))
            .await?;
        if let Some(held) = held.first()
            // The events of a batch that waits for more are claimed, and no handler has them.
            && !matches!(self.ask(held).await?, WaitsFor::Batch { .. })
        {
            return Ok(None);
        }
        self.look().await.map(Some)
    }

    /// What waits now.
    pub(super) async fn look(&mut self) -> Result<Drained, StoreError> {
        // Before the store is read, so that no commit meanwhile is missed.
        self.seen = self.running.store().revision();
        let mut filter = EventFilter::undelivered_or_dead();
        filter.user_id = self.running.user_id().map(str::to_owned);
        let events = listing::all(self.running.store(), &filter).await?;
        let mut report = Drained::default();
        let mut known: HashMap<(EntityId, String), WaitsFor> = HashMap::new();
        for event in events {
            if event.status == OutboxStatus::Dead {
                report.dead.push(event);
                continue;
            }
            let key = (event.entity_id.clone(), event.user_id.clone());
            let waits_for = match known.get(&key) {
                Some(waits_for) => waits_for.clone(),
                None => {
                    let waits_for = self.ask(&event).await?;
                    known.insert(key, waits_for.clone());
                    waits_for
                }
            };
            report.waiting.push(Waiting { event, waits_for });
        }
        Ok(report)
    }

    /// Waits for outcomes that the run has recorded and not told yet, up to this number; only for a
    /// moment, as another run may have recorded them.
    pub(super) async fn catch_up(&mut self, delivered: u64) {
        const MOMENT: Duration = Duration::from_millis(250);
        let moment = clock::pause(MOMENT);
        tokio::pin!(moment);
        while self.missed + (self.delivered.len() as u64) < delivered {
            let outcome = tokio::select! {
                biased;
                outcome = self.outcomes.next() => outcome,
                () = &mut moment => None,
            };
            match outcome {
                Some(outcome) => self.note(outcome),
                None => return,
            }
        }
    }

    /// Completes the report of the last look by what was done.
    pub(super) async fn finish(mut self, mut report: Drained) -> Drained {
        self.take_outcomes().await;
        report.delivered = self.delivered;
        report.missed = self.missed;
        report
    }

    /// What the first undelivered event of the entity waits for.
    async fn ask(&self, event: &OutboxEvent) -> Result<WaitsFor, StoreError> {
        let explained = self.running.explain(event.entity_id.clone()).await?;
        let is_of_user = |first: &OutboxEvent| first.user_id == event.user_id;
        if explained.first.as_deref().is_none_or(is_of_user) {
            return Ok(explained.waits_for);
        }
        // Another user has an entity of this id, and the run answers about the first event of both.
        let store = self.running.store();
        let explained = store
            .explain(&event.entity_id, Some(&event.user_id))
            .await?;
        Ok(explained.waits_for)
    }

    /// Takes the outcomes that are there, without waiting for more.
    async fn take_outcomes(&mut self) {
        loop {
            let next = tokio::select! {
                biased;
                outcome = self.outcomes.next() => outcome,
                () = std::future::ready(()) => None,
            };
            match next {
                Some(outcome) => self.note(outcome),
                None => return,
            }
        }
    }

    fn note(&mut self, outcome: RunOutcome) {
        match outcome {
            RunOutcome::Delivered { event } => self.delivered.push((*event).clone()),
            RunOutcome::Missed { count } => self.missed = self.missed.saturating_add(count),
            _ => {}
        }
    }

    /// Waits until something may have changed since the last look; `next` is when time changes
    /// something. Without it an event is under way, so this looks again and again.
    pub(super) async fn changed(&mut self, next: Option<DateTime<Utc>>) {
        let store = self.running.store();
        let pause = self.pause;
        let time = async {
            match next {
                Some(next) => store.clock().sleep_until(next).await,
                None => clock::pause(pause).await,
            }
        };
        let outcome = tokio::select! {
            outcome = self.outcomes.next() => outcome,
            _ = store.changed(self.seen) => None,
            () = time => {
                if next.is_none() {
                    self.pause = (pause * 2).min(LONGEST_PAUSE);
                }
                return;
            }
        };
        self.pause = FIRST_PAUSE;
        if let Some(outcome) = outcome {
            self.note(outcome);
        }
    }

    /// Waits for as long as the clocks of this machine, to see whether the store's clock moves.
    pub(super) async fn clock_stands_still(&self) -> bool {
        let clock = self.running.store().clock();
        let before = clock.uptime();
        clock::pause(Duration::from_millis(20)).await;
        clock.uptime() == before
    }
}
