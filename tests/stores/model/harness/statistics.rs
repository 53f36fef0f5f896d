//! Expected statistics, counted row by row.

use outbox_runtime::{OutboxStatistics, OutboxStatus};

use super::reference::{Millis, Reference, Row};
use super::steps::{self, Tested};

const STALE_AFTER: Millis = 300_000;

impl Tested {
    /// Compares the statistics of all events, and of each user.
    pub fn compare_statistics(&self, reference: &Reference) {
        for user in [None, Some(0), Some(1)] {
            let of = user.map(steps::user);
            let told = self.runtime.block_on(self.store.statistics(of.as_deref()));
            assert_eq!(told.unwrap(), self.expected(reference, user), "of {of:?}");
        }
    }

    fn expected(&self, reference: &Reference, user: Option<u8>) -> OutboxStatistics {
        let is_wanted = |of: u8| user.is_none_or(|user| user == of);
        let rows: Vec<&Row> = reference
            .rows
            .values()
            .filter(|row| is_wanted(row.change.user))
            .collect();
        let count = |status| rows.iter().filter(|row| row.status == status).count() as u64;
        let pending = rows
            .iter()
            .filter(|row| row.status == OutboxStatus::Pending);
        let stale = pending
            .clone()
            .filter(|row| row.created + STALE_AFTER < reference.now);
        let cleaned_up = reference
            .cleaned_up
            .iter()
            .filter(|(user, _)| is_wanted(**user));
        let mut expected = OutboxStatistics::default();
        expected.total_events = rows.len() as u64;
        expected.pending_count = count(OutboxStatus::Pending);
        expected.processing_count = count(OutboxStatus::Processing);
        expected.completed_count = count(OutboxStatus::Completed);
        expected.failed_count = count(OutboxStatus::Failed);
        expected.dead_count = count(OutboxStatus::Dead);
        expected.completed_total =
            expected.completed_count + cleaned_up.map(|(_, count)| count).sum::<u64>();
        expected.stale_count = stale.count() as u64;
        let undelivered = rows
            .iter()
            .filter(|row| !matches!(row.status, OutboxStatus::Completed | OutboxStatus::Dead));
        let deferred = undelivered.clone().filter(|row| row.deferrals > 0);
        expected.deferred = deferred.count() as u64;
        expected.snoozed_often = undelivered.filter(|row| row.snoozes >= 10).count() as u64;
        expected.oldest_pending_date = pending.map(|row| row.created).min().map(|at| self.time(at));
        expected.newest_completed_date = rows
            .iter()
            .filter_map(|row| row.completed)
            .max()
            .map(|at| self.time(at));
        expected
    }
}
