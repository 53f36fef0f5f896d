//! The lanes of the PostgreSQL store.
//!
//! A step is a statement or the part of one up to a lock or an index entry for which it may have to
//! wait; between two steps of a session the others do what they want. Each statement has a snapshot
//! of its own, rows are locked until the transaction ends, `SKIP LOCKED` leaves out what others
//! have locked, a row that was changed since the snapshot is checked again in its newest version,
//! and an entry into the unique index waits for the session that holds the lane in an open
//! transaction, and fails with 23505 if that commits. A transaction may be rolled back and a
//! process may die before and after each step; leases run out at any time.
//!
//! The steps, and where each stands in `outbox-postgres/src`:
//!
//! | here | there |
//! |---|---|
//! | [`Op::Enqueue`] | `enqueue` in `schema.sql`: a candidate; reads and locks nothing |
//! | [`Op::EnqueueTwo`] | `enqueue_many` in `schema.sql` with `behind_in_batch` in `insert.rs`: one event and, blocked, one behind it |
//! | [`Op::Edit`] | `FETCH_LOCKED` and `EDIT` in `edit.rs`, and `fold` in `schema.sql`: an application keeps a row locked until its transaction ends |
//! | [`Op::Cancel`] | `fold` in `schema.sql` where a delete meets the create that waits: both are done |
//! | [`Op::Claim`] | `PostgresStore::run_stage` in `stage.rs` and `stage` in `scan.rs` with `BEHIND` in `sql.rs`: any one candidate or all, whatever the order, the filter and the limit |
//! | [`Op::Follow`] | `NEXT_OF_LEASED` and `LEASE_FOLLOWERS` in `followers.rs`, in `follow.rs` |
//! | [`Op::Complete`] | `complete` in `schema.sql` |
//! | [`Op::Demote`] | `DEMOTE` in `unblocking.rs`, as a transaction of its own in `stage.rs` |
//! | [`Op::Settle`] | `COMPLETE` and `SETTLE` in `outcomes.rs`, then `UNBLOCK_LANES` in `unblocking.rs` for completed events whose lanes the worker knows and `UNBLOCK_NEXT` for the others; `UNBLOCK_AFTER_BATCH` in `followers.rs` for events of which several of a lane may be leased; in `record` in `settle.rs`; with a claim after it, `settle_and_find` in `stage.rs` |
//! | [`Op::Rescue`] | `RESCUE` in `leases.rs` with `MAY_GO_BACK` in `followers.rs`, then `UNBLOCK_AFTER_BATCH` |
//! | [`Op::TakeUpNotes`] | `LOCK_NOTES` and `TAKE_UP_NOTES` in `unblocking.rs`, in `notes.rs` |
//! | [`Op::Delete`] | `DELETE` in `delete.rs`, then `UNBLOCK` in `unblocking.rs` |
//!
//! Beside the rules that the statements' own comments give, the controls hold these:
//!
//! - `DEMOTE` leaves candidates alone that are before the event that it takes for the front. When
//!   that one is given back, an earlier one could stay blocked while another one is claimed.
//! - `UNBLOCK_NEXT` leaves a note only on a row that its own transaction has ended. On another one
//!   it would collide with the lease of a later event, and all outcomes would be rolled back.
//! - `UNBLOCK` looks again, by a new snapshot, if the row for which it waited is not blocked
//!   anymore.
//! - A create that is cancelled at the front of its lane keeps a note: the snapshot of `fold` may
//!   lack events that were blocked behind it since. If the lane has a note already, that one is
//!   locked instead, so that nobody takes it up before the create is gone.
//!
//! - An outcome, a note that is taken up, and a deletion, each of which may take out the first
//!   leased event of a lane, look for followers before they unblock anything. An event goes back in
//!   line only if one of them can be locked, and waits otherwise; one that has ended keeps a note.
//! - No follower is leased past an event that joined the lane before the leased one meanwhile.
//!
//! Left out: the order and the bounds of scans (any choice is made), `PROMOTE` (an event that is
//! due later is a candidate that no claim has taken yet), dead letters that hold (the same),
//! extensions (they change no slot), clean-up, elders, and REPEATABLE READ.
//!
//! [`Op::Enqueue`]: model::Op::Enqueue
//! [`Op::EnqueueTwo`]: model::Op::EnqueueTwo
//! [`Op::Edit`]: model::Op::Edit
//! [`Op::Cancel`]: model::Op::Cancel
//! [`Op::Claim`]: model::Op::Claim
//! [`Op::Follow`]: model::Op::Follow
//! [`Op::Complete`]: model::Op::Complete
//! [`Op::Demote`]: model::Op::Demote
//! [`Op::Settle`]: model::Op::Settle
//! [`Op::Rescue`]: model::Op::Rescue
//! [`Op::TakeUpNotes`]: model::Op::TakeUpNotes
//! [`Op::Delete`]: model::Op::Delete

mod changes;
pub mod faults;
pub mod model;
pub mod promises;
pub mod server;
pub mod state;
mod statements;
