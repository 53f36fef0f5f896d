//! Which changes fold, and into what.

use outbox_runtime::{Operation, Order, OutboxStatus};

use super::Reference;
use super::words::{Change, Options, Row};

impl Reference {
    /// The row that this change folds into: the last open one in its lane, if it was never claimed.
    pub(super) fn folds_into(&self, change: Change, wishes: Options) -> Option<u64> {
        let in_line = |row: &Row| {
            row.order == wishes.order
                && row.change.user == change.user
                && (row.order == Order::User || row.change.entity == change.entity)
        };
        let mut rows = self.rows.iter().rev();
        let (seq, last) = rows.find(|(_, row)| row.is_open() && in_line(row))?;
        let mut behind = self.rows.range(seq + 1..);
        if behind.any(|(_, row)| row.is_open() && row.is_kin_of(last)) {
            return None;
        }
        let kinds = (last.change.operation, change.operation);
        let folds = change.draft
            && last.change.draft
            && last.change.entity == change.entity
            && last.change.destination == change.destination
            && last.status == OutboxStatus::Pending
            && last.last_attempt.is_none()
            && kinds.0 != Operation::Delete
            && kinds.1 != Operation::Create
            && (kinds != (Operation::Create, Operation::Delete) || self.cancels(*seq, last));
        folds.then_some(*seq)
    }

    /// Whether a delete cancels this create.
    fn cancels(&self, seq: u64, row: &Row) -> bool {
        let in_lane = |other: &Row| match row.order {
            Order::Entity => other.change.entity == row.change.entity,
            Order::User => true,
            _ => false,
        };
        let is_taken = self.rows.values().any(|other| {
            other.lease.is_some()
                && other.order == row.order
                && other.change.user == row.change.user
                && in_lane(other)
        });
        self.was_never_told(seq, row) && (self.cancels_beside_a_lease || !is_taken)
    }

    /// Whether the service was not told of the entity, and will not be by another row. A cancelled
    /// row was never claimed.
    fn was_never_told(&self, seq: u64, row: &Row) -> bool {
        let same = |other: &Row| {
            (other.change.user, other.change.entity) == (row.change.user, row.change.entity)
        };
        let is_cancelled =
            |row: &Row| row.status == OutboxStatus::Completed && row.last_attempt.is_none();
        let mut others = self.rows.iter().filter(|(other, _)| **other != seq);
        !self.told.contains(&(row.change.user, row.change.entity))
            && !others.any(|(_, other)| same(other) && !is_cancelled(other))
    }

    pub(super) fn fold(&mut self, id: u8, seq: u64, change: Change, wishes: Options) -> u8 {
        let now = self.now;
        let Some(row) = self.rows.get_mut(&seq) else {
            unreachable!("the row was just found")
        };
        row.revision += 1;
        match (row.change.operation, change.operation) {
            (Operation::Create, Operation::Delete) => {
                row.status = OutboxStatus::Completed;
                row.completed = Some(now);
                return row.id;
            }
            (Operation::Create, _) => {}
            (_, operation) => row.change.operation = operation,
        }
        row.change.text = change.text;
        row.traced_by = id;
        row.priority = row.priority.max(wishes.priority);
        row.max_attempts = row.max_attempts.max(wishes.max_attempts);
        row.due = row.due.min(now + wishes.delay);
        row.id
    }
}
