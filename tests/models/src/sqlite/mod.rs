//! The claim rows of the SQLite store.
//!
//! A claim writes one row of `outbox_claims` and none of `outbox_events`. A writer has the
//! database's only write lock, so a transaction is one step; what interleaves are the transactions
//! of several processes, the ends of leases, and deaths between two transactions, after which
//! nobody knows the leases anymore. SQLite gives the `seq` of the last row away again once that is
//! deleted.
//!
//! The steps, and where each stands in `outbox-runtime/src/store/sqlite`:
//!
//! | here | there |
//! |---|---|
//! | `State::enqueue` | `INSERT` in `statement.rs` with `new_is_behind!` |
//! | `State::claim` | `claim` in `claiming.rs`, `take` in `taking.rs`, `add` in `claims.rs`: one ready event or all |
//! | `State::settle` | `settle_all` in `settling.rs` with `OpenClaims` in `claims.rs`, and `unblock_behind` where the lease is lost: any part of what a process has |
//! | `State::write_outcome` | `Outcomes::write` in `outcomes.rs` with `unblock_next` and `turn` |
//! | `State::rescue` | `rescue` in `leases.rs` with `unpark` |
//! | `State::extend` | `extend` in `leases.rs`: a part of a claim gets an end of its own, and is parked |
//! | `State::delete` | `delete` in `edit.rs` and `delete_between` in `cleanup.rs`, with the triggers `outbox_released` and `outbox_gone` in `triggers.rs` |
//! | `State::reset` | `reset` in `edit.rs` with `Lanes::join` in `lane.rs` |
//! | `State::replace` | `INSERT OR REPLACE` of another program, for which no trigger fires |
//!
//! A token stands for its process, and a lease knows whether a claim of its token still lists its
//! row: tokens are random and never used again. Left out: events that are due later, dead letters
//! that hold, elders, moves to other lanes, and SQL that deletes claims.

pub mod model;
pub mod state;
mod transactions;

pub use transactions::Outcome;
