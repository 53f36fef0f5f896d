//! What the database and the processes know between two transactions.

use crate::set::Set;

/// The most rows; a `seq` is the number of a row.
pub const MOST_ROWS: usize = 4;
/// The most processes.
pub const MOST_PROCESSES: usize = 3;

/// The column `slot`, and what tells it apart from NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// There is no row.
    #[default]
    Absent,
    /// 1: what a claim takes, unless a handler has it.
    Ready,
    /// 3: behind another event of its lane.
    Blocked,
    /// 4: with a handler for long, and out of the way of claims.
    Parked,
    /// NULL: completed.
    Completed,
    /// NULL: dead and skipped.
    Dead,
}

impl Slot {
    /// Whether the event is still to be delivered: the row is in the index `outbox_lane`.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Ready | Self::Blocked | Self::Parked)
    }
}

/// A row of `outbox_events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Its slot.
    pub slot: Slot,
    /// The id of the event: the how manyeth it is.
    pub id: u8,
    /// Its lane.
    pub lane: u8,
    /// The ids of the open events of its lane when it was enqueued, as far as they are still open.
    pub before: Set,
}

/// That a `seq` is listed in a row of `outbox_claims`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listed {
    /// Whose claim it is: its token, as far as it matters.
    pub process: u8,
    /// The event that was claimed. The database does not know it.
    pub id: u8,
    /// Whether the lease of this part of the claim has run out.
    pub is_over: bool,
}

/// A lease as a process has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// The row.
    pub seq: u8,
    /// The event.
    pub id: u8,
    /// Whether a claim of its token lists the row.
    pub is_listed: bool,
    /// Whether it has not run out.
    pub lasts: bool,
}

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// `outbox_events`, by `seq`.
    pub rows: [Row; MOST_ROWS],
    /// `outbox_claims`, by listed `seq`.
    pub listed: [Option<Listed>; MOST_ROWS],
    /// How many events were enqueued.
    pub enqueued: u8,
    /// What the processes have, each sorted.
    pub leases: Vec<Vec<Lease>>,
    /// Whether an outcome was written to another event than that of the lease.
    pub is_wrong: bool,
}

impl State {
    /// An empty outbox.
    #[must_use]
    pub fn new(processes: usize) -> Self {
        Self {
            rows: [Row::default(); MOST_ROWS],
            listed: [None; MOST_ROWS],
            enqueued: 0,
            leases: vec![Vec::new(); processes],
            is_wrong: false,
        }
    }

    /// The rows whose slot is one of these.
    pub fn rows_in(&self, is: impl Fn(Slot) -> bool) -> Set {
        (0..MOST_ROWS)
            .filter(|seq| is(self.rows[*seq].slot))
            .collect()
    }

    /// The open rows of a lane.
    #[must_use]
    pub fn lane(&self, lane: u8) -> Set {
        let open = self.rows_in(Slot::is_open);
        open.rows()
            .filter(|seq| self.rows[*seq].lane == lane)
            .collect()
    }

    /// The open rows that handlers have, as the database sees it.
    #[must_use]
    pub fn held(&self) -> Set {
        let open = self.rows_in(Slot::is_open);
        open.rows()
            .filter(|seq| self.listed[*seq].is_some())
            .collect()
    }

    /// The `seq` that SQLite gives the next row: one more than the highest. `None` if the model has
    /// no room for it.
    #[must_use]
    pub fn next_seq(&self) -> Option<usize> {
        let there = self.rows_in(|slot| slot != Slot::Absent);
        let next = there.rows().last().map_or(0, |last| last + 1);
        (next < MOST_ROWS).then_some(next)
    }

    /// Takes a row out of its claim. Leases of that claim on it are lost.
    pub fn release(&mut self, seq: usize) {
        if let Some(listed) = self.listed[seq].take() {
            let leases = &mut self.leases[usize::from(listed.process)];
            for lease in leases
                .iter_mut()
                .filter(|lease| usize::from(lease.seq) == seq)
            {
                lease.is_listed = false;
            }
        }
    }

    /// The event is over: nobody waits for it anymore.
    pub fn forget(&mut self, seq: usize) {
        let id = usize::from(self.rows[seq].id);
        self.rows[seq].before = Set::NONE;
        for row in &mut self.rows {
            row.before.remove(id);
        }
    }

    /// Brings the state into the one form that stands for all that differ from it in the names of
    /// processes only.
    pub fn normalize(&mut self) {
        for leases in &mut self.leases {
            leases.sort_unstable();
            // Of several lost leases on an event, one is like another.
            leases.dedup();
        }
        let mut order: Vec<usize> = (0..self.leases.len()).collect();
        order.sort_by_key(|process| {
            let claims = self
                .listed
                .map(|it| it.filter(|it| usize::from(it.process) == *process));
            (
                self.leases[*process].clone(),
                claims.map(|it| it.map(|it| (it.id, it.is_over))),
            )
        });
        self.leases = order
            .iter()
            .map(|process| self.leases[*process].clone())
            .collect();
        for listed in self.listed.iter_mut().flatten() {
            let place = order
                .iter()
                .position(|it| *it == usize::from(listed.process));
            listed.process = place.map_or(listed.process, |place| place as u8);
        }
    }
}
