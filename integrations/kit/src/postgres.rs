//! What the steps of an outbox on PostgreSQL do less well than its own driver.

use outbox_postgres::{Outbox, PostgresValue};
use outbox_runtime::{NewEvent, Operation};

/// A batch takes as many round trips as it has events, where the store's own driver takes one.
///
/// # Panics
///
/// If it takes another number.
pub fn assert_that_a_batch_takes_a_round_trip_for_each_event() {
    let events = (1..=3).map(|entity| Ok(NewEvent::new("note", entity, "u1", Operation::Create)));
    let mut round_trips = 0;
    let enqueued = Outbox::default()
        .enqueue_all_step(events)
        .run_with(|statement| {
            round_trips += usize::from(statement.returns_rows());
            // Each was written.
            Ok(vec![vec![PostgresValue::Integer(Some(1))]])
        });
    assert_eq!((enqueued.unwrap().len(), round_trips), (3, 3));
}
