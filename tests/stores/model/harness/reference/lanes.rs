//! Which rows may be claimed, when, and in what order.

use std::collections::BTreeSet;

use outbox_runtime::store::ClaimOrder;
use outbox_runtime::{Order, OutboxStatus};

use super::Reference;
use super::words::{Millis, Row};

impl Reference {
    /// All claimable rows, in claim order.
    pub(super) fn claimable(&self) -> Vec<u64> {
        let mut seqs: Vec<u64> = self
            .lane_heads()
            .filter(|seq| self.rows[seq].due <= self.now)
            .collect();
        seqs.sort_by_key(|seq| (-self.rows[seq].priority, self.rows[seq].due, *seq));
        seqs
    }

    /// Sorts for another claim order.
    pub(super) fn sort_for(&self, order: ClaimOrder, seqs: &mut [u64]) {
        let last_attempt = |seq: &u64| self.rows[seq].last_attempt;
        match order {
            ClaimOrder::Newest => seqs.sort_by_key(|seq| match last_attempt(seq) {
                None => (None, u64::MAX - seq),
                attempted => (attempted, *seq),
            }),
            ClaimOrder::LeastRecent => seqs.sort_by_key(|seq| match last_attempt(seq) {
                None => (None, 0),
                attempted => (attempted, *seq),
            }),
            _ => {}
        }
    }

    /// The first row of each user, starting after this user and wrapping around; then the rest.
    pub(super) fn first_of_each(&self, seqs: Vec<u64>, after: u8) -> Vec<u64> {
        let mut had_turn = BTreeSet::new();
        let (mut firsts, mut rest) = (Vec::new(), Vec::new());
        for seq in seqs {
            let user = self.rows[&seq].change.user;
            if had_turn.insert(user) {
                firsts.push(seq);
            } else {
                rest.push(seq);
            }
        }
        firsts.sort_by_key(|seq| {
            let user = self.rows[seq].change.user;
            (user <= after, user)
        });
        firsts.append(&mut rest);
        firsts
    }

    /// Rows that wait only for their due time.
    fn lane_heads(&self) -> impl Iterator<Item = u64> {
        let waits = |row: &Row| matches!(row.status, OutboxStatus::Pending | OutboxStatus::Failed);
        let blocks = |(other_seq, other): (&u64, &Row), seq: u64, row: &Row| {
            let together = match row.order {
                Order::Entity => row.change.entity == other.change.entity,
                Order::User => true,
                _ => false,
            };
            let leased = other.status == OutboxStatus::Processing;
            let before = *other_seq < seq && other.is_open();
            let in_lane = together && row.order == other.order && (leased || before);
            row.change.user == other.change.user && (in_lane || (before && row.is_kin_of(other)))
        };
        self.rows
            .iter()
            .filter(move |(seq, row)| {
                waits(row) && !self.rows.iter().any(|other| blocks(other, **seq, row))
            })
            .map(|(seq, _)| *seq)
    }

    /// Time of the next work.
    pub fn next_due(&self) -> Option<Millis> {
        let free = |seq: &u64| !self.is_paused(self.rows[seq].change.user);
        let due = self.lane_heads().filter(free);
        let due = due.map(|seq| self.rows[&seq].due);
        let ends = self.rows.values().filter_map(|row| Some(row.lease?.1));
        let pauses = self.pauses.values().copied().flatten();
        let pauses = pauses.filter(|until| *until > self.now);
        due.chain(ends).chain(pauses).min()
    }
}
