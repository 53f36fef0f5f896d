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
//! | [`Op::Enqueue`] | `INSERT` in `sql.rs`: a candidate; reads and locks nothing |
//! | [`Op::EnqueueTwo`] | `INSERT_MANY` in `sql.rs` with `behind_in_batch` in `insert.rs`: one event and, blocked, one behind it |
//! | [`Op::Edit`] | `FETCH_LOCKED` and `EDIT` in `edit.rs`, and `FOLD` in `sql.rs`: an application keeps a row locked until its transaction ends |
//! | [`Op::Cancel`] | `FOLD` in `sql.rs` where a delete meets the create that waits: both are done |
//! | [`Op::Claim`] | `PostgresStore::run_stage` in `stage.rs` and `stage` in `scan.rs` with `BEHIND` in `sql.rs`: any one candidate or all, whatever the order, the filter and the limit |
//! | [`Op::Demote`] | `DEMOTE` in `sql.rs`, as a transaction of its own in `stage.rs` |
//! | [`Op::Settle`] | `COMPLETE` and `SETTLE` in `sql.rs`, then `UNBLOCK_NEXT` with all ids, in `settle_all` in `settle.rs`; with a claim after it, `settle_and_find` in `stage.rs` |
//! | [`Op::Rescue`] | `RESCUE` in `leases.rs`, then `UNBLOCK_NEXT` |
//! | [`Op::TakeUpNotes`] | `LOCK_NOTES` and `TAKE_UP_NOTES` in `sql.rs`, in `notes.rs` |
//! | [`Op::Delete`] | `DELETE` in `delete.rs`, then `UNBLOCK` in `sql.rs` |
//!
//! Left out: the scan's limit and order (any choice is made), `PROMOTE` (an event that is due later
//! is a candidate that no claim has taken yet), dead letters that hold (the same), extensions (they
//! change no slot), elders, and REPEATABLE READ.
//!
//! [`Op::Enqueue`]: model::Op::Enqueue
//! [`Op::EnqueueTwo`]: model::Op::EnqueueTwo
//! [`Op::Edit`]: model::Op::Edit
//! [`Op::Cancel`]: model::Op::Cancel
//! [`Op::Claim`]: model::Op::Claim
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
