//! The quick rows of the table, and a control that the table detects violations.

use outbox_outages::scenario::{is_quick, outage_that_is_charged};
use outbox_outages::{Case, Class, StoreKind, table};

#[test]
fn an_outage_charges_nobody_and_a_refusal_stops_nobody_else() {
    let mut told = String::new();
    let (rows, failed) = table::run(1, 2, is_quick, |scenario, row| {
        told += &format!("{}: {row}\n", scenario.name);
    });
    assert_eq!(rows, 174, "{told}");
    assert_eq!(failed, 0, "{told}");
}

#[test]
fn an_outage_that_is_charged_is_found() {
    for class in [Class::Failing, Class::Timeout] {
        for store in StoreKind::ALL {
            let case = Case {
                class,
                concurrency: 3,
                users: 10,
                store,
                seed: 1,
            };
            let row = outage_that_is_charged(&case);
            assert!(
                row.broken.iter().any(|broken| broken.contains("dead")),
                "{row}"
            );
        }
    }
}
