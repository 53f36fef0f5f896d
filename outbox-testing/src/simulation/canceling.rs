//! Cancellations by the application: what they report is what happens.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::book::{Book, Reported};
use super::ledger::Ledger;
use super::promise::Promise;
use super::report::Invariant;
use super::setup::Setup;
use super::world::World;
use outbox_runtime::{Cancel, Canceled, OutboxEvent, OutboxStatus};

/// Whether no attempt was ever made, as far as the row tells.
fn is_unclaimed(row: &OutboxEvent) -> bool {
    row.status == OutboxStatus::Pending && row.last_attempt_at.is_none() && row.attempt_count == 0
}

impl World {
    /// Lets a process cancel the events of a key or of an entity.
    pub(super) fn cancel_events(&mut self) -> Result<(), Setup> {
        let Some(row) = self.pick_row(|status| status != OutboxStatus::Completed)? else {
            return Ok(());
        };
        let cancel = match &row.dedup_key {
            Some(key) if self.rng.chance(700) => Cancel::key(&row.user_id, key),
            _ => Cancel::entity(&row.user_id, row.entity_id.clone()),
        };
        let process = self.pick_process();
        self.processes[process].cancel(&self.program.ledger, cancel);
        Ok(())
    }
}

impl Ledger {
    /// Records the store's answer to a cancellation. `before` are its rows before it.
    pub(super) fn canceled(
        &self,
        process: &str,
        cancel: &Cancel,
        answer: &Canceled,
        before: &[OutboxEvent],
    ) {
        let labels = |ids: &mut dyn Iterator<Item = Uuid>| {
            let labels: Vec<String> = ids.map(|id| self.label(id)).collect();
            labels.join(", ")
        };
        let gone = labels(&mut answer.canceled.iter().copied());
        let late = labels(&mut answer.too_late.iter().map(|(id, _)| *id));
        self.trace(format_args!(
            "{process} cancels {}: [{gone}] canceled, [{late}] too late",
            target_of(cancel)
        ));
        let is_told = |id: Uuid| {
            answer.canceled.contains(&id) || answer.too_late.iter().any(|(late, _)| *late == id)
        };
        let selected = before.iter().filter(|row| cancel.selects(row));
        let left_out = selected.filter(|row| is_unclaimed(row) && !is_told(row.id));
        let mut book = self.book();
        book.reported.left_out.extend(left_out.map(|row| row.id));
        book.reported.too_late.extend(&answer.too_late);
        for id in &answer.canceled {
            let Some(promise) = book.promises.get_mut(id) else {
                let what = format!("{id} was canceled");
                book.broken
                    .get_or_insert((Invariant::NothingInvented, what));
                continue;
            };
            promise.deleted = true;
            promise.canceled = true;
            let label = &promise.label;
            let row = before.iter().find(|row| row.id == *id);
            let wrong = if promise.claimed {
                Some(format!("{label} was canceled although it had been claimed"))
            } else if row.is_some_and(|row| !cancel.selects(row)) {
                Some(format!("{label} was canceled along with others"))
            } else {
                None
            };
            book.report.canceled += 1;
            if let Some(what) = wrong {
                book.broken.get_or_insert((Invariant::TakenBack, what));
            }
        }
    }
}

impl Book {
    /// Judges what the cancellations of this step reported. `rows` are the rows after it.
    pub(super) fn check_cancellations(&mut self, rows: &[OutboxEvent]) {
        let Reported { left_out, too_late } = std::mem::take(&mut self.reported);
        let rows: BTreeMap<Uuid, &OutboxEvent> = rows.iter().map(|row| (row.id, row)).collect();
        let left_out = left_out.iter().find_map(|id| {
            let promise = self.promises.get(id)?;
            let waits = rows.get(id).is_some_and(|row| is_unclaimed(row));
            waits.then(|| format!("a cancellation left out {}", promise.label))
        });
        let was_in_time = too_late.iter().find_map(|(id, status)| {
            let promise = self.promises.get(id)?;
            let has_ended = matches!(status, OutboxStatus::Completed | OutboxStatus::Dead);
            let label = &promise.label;
            let what = format!("{label} was too late to be canceled, but was never claimed");
            (!promise.claimed && !has_ended).then_some(what)
        });
        let is_back =
            |promise: &&Promise| promise.canceled && rows.contains_key(&promise.event.id());
        let is_back = self.promises.values().find(is_back);
        let is_back = is_back.map(|it| format!("{} was canceled, but is stored", it.label));
        if let Some(what) = left_out.or(was_in_time).or(is_back) {
            self.broken.get_or_insert((Invariant::TakenBack, what));
        }
    }
}

fn target_of(cancel: &Cancel) -> String {
    let user = cancel.user_id();
    match (cancel.of_key(), cancel.of_entity()) {
        (Some(key), _) => format!("the key {key:?} of {user}"),
        (None, Some(entity_id)) => format!("the entity {entity_id} of {user}"),
        (None, None) => format!("something of {user}"),
    }
}
