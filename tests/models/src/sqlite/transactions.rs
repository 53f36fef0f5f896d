//! The transactions of the store. One process at a time has the write lock, so each is one step.

use super::model::Fault;
use super::state::{Lease, Listed, MOST_ROWS, Row, Slot, State};
use crate::set::Set;

/// What a worker reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is delivered.
    Complete,
    /// It goes back in line.
    GiveBack,
    /// It is dead and skipped.
    Bury,
}

impl State {
    /// `INSERT` in `statement.rs`: behind another event of the lane, or ready.
    pub(super) fn enqueue(&mut self, lane: u8) {
        let Some(seq) = self.next_seq() else {
            return;
        };
        let others = self.lane(lane);
        let before = others.rows().map(|other| usize::from(self.rows[other].id));
        self.rows[seq] = Row {
            slot: match others.is_empty() {
                true => Slot::Ready,
                false => Slot::Blocked,
            },
            id: self.enqueued,
            lane,
            before: before.collect(),
        };
        self.enqueued += 1;
    }

    /// `claim` in `claiming.rs` and `take` in `taking.rs`: ready rows that no handler has become a
    /// row of `outbox_claims`.
    pub(super) fn claim(&mut self, process: usize, seqs: Set, fault: Fault) {
        let mut ready = self.rows_in(|slot| slot == Slot::Ready).both(seqs);
        if fault != Fault::TakesHeld {
            ready = ready.without(self.held());
        }
        for seq in ready.rows() {
            self.release(seq);
            let id = self.rows[seq].id;
            self.listed[seq] = Some(Listed {
                process: process as u8,
                id,
                is_over: false,
            });
            self.leases[process].push(Lease {
                seq: seq as u8,
                id,
                is_listed: true,
                lasts: true,
            });
        }
    }

    /// `settle_all` in `settling.rs`: by token, `seq` and id, and under a lease that lasts.
    pub(super) fn settle(&mut self, process: usize, places: Set, outcome: Outcome, fault: Fault) {
        let leases = std::mem::take(&mut self.leases[process]);
        let (settled, kept): (Vec<_>, Vec<_>) = leases
            .into_iter()
            .enumerate()
            .partition(|(place, _)| places.has(*place));
        // A release looks at what the process still has, which these leases are not anymore.
        self.leases[process] = kept.into_iter().map(|(_, lease)| lease).collect();
        for (_, lease) in settled {
            let seq = usize::from(lease.seq);
            let row = self.rows[seq];
            let is_it = row.id == lease.id || fault == Fault::FenceWithoutId;
            let lasts = self.listed[seq].is_some_and(|listed| !listed.is_over);
            if lease.is_listed && lasts && row.slot.is_open() && is_it {
                self.is_wrong |= row.id != lease.id;
                self.write_outcome(seq, outcome, fault);
                if fault == Fault::PartDropsAll {
                    self.drop_claim(process);
                }
            } else if row.id == lease.id && !row.slot.is_open() && row.slot != Slot::Absent {
                self.unblock_next_if_idle(row.lane);
            }
        }
    }

    fn drop_claim(&mut self, process: usize) {
        for seq in 0..MOST_ROWS {
            if self.listed[seq].is_some_and(|listed| usize::from(listed.process) == process) {
                self.release(seq);
            }
        }
    }

    /// `Outcomes::write` in `outcomes.rs`.
    fn write_outcome(&mut self, seq: usize, outcome: Outcome, fault: Fault) {
        self.release(seq);
        let lane = self.rows[seq].lane;
        match outcome {
            Outcome::Complete | Outcome::Bury => {
                self.rows[seq].slot = match outcome {
                    Outcome::Complete => Slot::Completed,
                    _ => Slot::Dead,
                };
                self.forget(seq);
                if fault != Fault::SettleUnblocksNothing {
                    self.unblock_first(lane);
                }
            }
            Outcome::GiveBack => {
                let first = self.lane(lane).rows().next().filter(|first| *first < seq);
                self.rows[seq].slot = match first {
                    Some(_) => Slot::Blocked,
                    None => Slot::Ready,
                };
                if first.is_some() && fault != Fault::RescueForgetsNext {
                    self.unblock_first(lane);
                }
            }
        }
    }

    /// `unblock` in `lane.rs` of `First::by`.
    fn unblock_first(&mut self, lane: u8) {
        if let Some(first) = self.lane(lane).rows().next()
            && self.rows[first].slot == Slot::Blocked
        {
            self.rows[first].slot = Slot::Ready;
        }
    }

    /// `Lanes::unblock_next_if_idle` in `lane.rs`.
    fn unblock_next_if_idle(&mut self, lane: u8) {
        if !self.is_busy(lane) {
            self.unblock_first(lane);
        }
    }

    fn is_busy(&self, lane: u8) -> bool {
        !self.lane(lane).both(self.held()).is_empty()
    }

    /// `rescue` in `leases.rs`: what has run out goes back in line; `unpark`.
    pub(super) fn rescue(&mut self, fault: Fault) {
        let held = self.held();
        for seq in self
            .rows_in(|slot| slot == Slot::Parked)
            .without(held)
            .rows()
        {
            self.rows[seq].slot = Slot::Ready;
        }
        for seq in 0..MOST_ROWS {
            if self.listed[seq].is_some_and(|listed| listed.is_over) {
                match self.rows[seq].slot.is_open() {
                    true => self.write_outcome(seq, Outcome::GiveBack, fault),
                    false => self.release(seq),
                }
            }
        }
    }

    /// `extend` in `leases.rs`: a part of a claim lasts longer, and is parked.
    pub(super) fn extend(&mut self, process: usize, place: usize) {
        let lease = self.leases[process][place];
        let seq = usize::from(lease.seq);
        let row = self.rows[seq];
        if let Some(listed) = &mut self.listed[seq]
            && lease.is_listed
            && row.id == lease.id
            && row.slot.is_open()
        {
            listed.is_over = false;
            self.leases[process][place].lasts = true;
            if row.slot == Slot::Ready {
                self.rows[seq].slot = Slot::Parked;
            }
        }
    }

    /// `delete` in `edit.rs` and clean-up, with the triggers `outbox_released` and `outbox_gone`.
    pub(super) fn delete(&mut self, seq: usize, fault: Fault) {
        let old = self.rows[seq];
        self.forget(seq);
        self.rows[seq] = Row::default();
        if old.slot.is_open() {
            if fault != Fault::DeleteKeepsSeq {
                self.release(seq);
            }
            if old.slot != Slot::Blocked {
                self.unblock_first(old.lane);
            }
        }
    }

    /// `INSERT OR REPLACE` of another program: the old row goes without a trigger, and the new one
    /// has its `seq`.
    pub(super) fn replace(&mut self, seq: usize) {
        let lane = self.rows[seq].lane;
        self.forget(seq);
        self.rows[seq] = Row {
            slot: self.rows[seq].slot,
            id: self.enqueued,
            lane,
            before: Set::NONE,
        };
        self.enqueued += 1;
    }

    /// `reset` in `edit.rs` of a dead letter that was skipped, with `Lanes::join` in `lane.rs`: it
    /// goes to the front if it is the first, unless a handler has an event of the lane.
    pub(super) fn reset(&mut self, seq: usize, fault: Fault) {
        self.rows[seq].slot = Slot::Blocked;
        let lane = self.lane(self.rows[seq].lane);
        let is_first = lane.rows().next() == Some(seq);
        let is_busy = self.is_busy(self.rows[seq].lane) && fault != Fault::ResetDisregardsHandler;
        if is_first && !is_busy {
            if let Some(front) = lane.rows().nth(1)
                && self.rows[front].slot == Slot::Ready
            {
                self.rows[front].slot = Slot::Blocked;
            }
            self.rows[seq].slot = Slot::Ready;
        }
    }
}
