//! Headers: those of the default changes, and those that every attempt must have.

use outbox_runtime::{Headers, NewEvent, OutboxEvent, OutboxStatus};

use super::book::Book;
use super::ledger::Ledger;
use super::report::Invariant;
use crate::SeededRng;

/// Up to three headers, some of them sensitive.
pub(super) fn draw(rng: &mut SeededRng) -> Headers {
    let mut headers = Headers::new();
    for name in ["x-tenant", "x-source", "x-session"] {
        if rng.chance(400) {
            let value = rng.below(1_000).to_string();
            match rng.chance(250) {
                true => headers.set_sensitive(name, value),
                false => headers.set(name, value),
            }
        }
    }
    headers
}

impl Ledger {
    /// Records that the store has taken in an event, perhaps by folding it into another one, whose
    /// headers are replaced then.
    pub(super) fn taken_in(&self, event: &NewEvent, row: &OutboxEvent) {
        let mut book = self.book();
        let Some(promise) = book.promises.get_mut(&event.id()) else {
            return;
        };
        let is_repeated = std::mem::replace(&mut promise.taken_in, true);
        // One with a key is kept out instead, and a deletion and its creation cancel out.
        let folds =
            row.id != event.id() && event.key().is_none() && row.status != OutboxStatus::Completed;
        if !is_repeated
            && folds
            && let Some(carrier) = book.promises.get_mut(&row.id)
        {
            carrier.headers = event.headers().clone();
        }
    }
}

impl Book {
    /// Notes the headers of an attempt. They are compared at the end of the step: a change may have
    /// been folded into the event although the store has not answered yet. Returns whether they are
    /// the right ones already.
    pub(super) fn saw_headers(&mut self, event: &OutboxEvent) -> bool {
        let promise = self.promises.get(&event.id);
        let is_right = promise.is_none_or(|promise| promise.headers == event.headers);
        if !is_right {
            self.doubtful_headers
                .push((event.id, event.headers.clone()));
        }
        is_right
    }

    /// Compares the headers of the attempts of this step, and of the rows, with the promises.
    pub(super) fn check_headers(&mut self, rows: &[OutboxEvent]) {
        let attempts = std::mem::take(&mut self.doubtful_headers);
        let attempts = attempts
            .iter()
            .map(|(id, headers)| (id, headers, "handled"));
        let stored = rows.iter().map(|row| (&row.id, &row.headers, "stored"));
        for (id, headers, how) in attempts.chain(stored) {
            if let Some(promise) = self.promises.get(id)
                && promise.headers != *headers
            {
                let (label, expected) = (&promise.label, &promise.headers);
                let what = format!(
                    "{label} is {how} with the headers [{headers}], but was enqueued with [{expected}]"
                );
                self.broken.get_or_insert((Invariant::SameHeaders, what));
            }
        }
    }
}
