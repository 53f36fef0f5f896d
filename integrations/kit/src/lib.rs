//! What the tests of several database libraries share: the limits of each that `libraries.tsv`
//! names.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

mod postgres; // limits on PostgreSQL
mod sqlite; // limits on SQLite

pub use self::postgres::assert_that_a_batch_takes_a_round_trip_for_each_event;
pub use self::sqlite::assert_that_nothing_folds_while_others_have_no_place;
