//! The scenarios, each with its bounds.
//!
//! There are 60 events (or one more, or more that arrive as time goes by) of calls of 50 to 100 ms,
//! unless chance decides: a rate needs more of them to be one.

use std::time::Duration;

use crate::case::{Case, StoreKind};
use crate::table::Row;

mod bounds; // what must hold
mod chance; // calls that fail at random
mod outages; // everything, or a part, is down for a while
mod refused; // an event or a user that is refused for ever

pub use self::outages::outage_that_is_charged;

/// An outage of some kind, and what must hold in it.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The name in the table.
    pub name: &'static str,
    /// Whether a case makes sense for the scenario.
    pub applies: fn(&Case) -> bool,
    /// Runs the scenario, and compares the result with its bounds.
    pub run: fn(&Case) -> Row,
}

const fn scenario(name: &'static str, run: fn(&Case) -> Row) -> Scenario {
    Scenario {
        name,
        applies: |_| true,
        run,
    }
}

/// All of them.
pub const ALL: &[Scenario] = &[
    scenario("one event refused", refused::one_event),
    Scenario {
        name: "one user of ten refused",
        applies: |case| case.users > 1,
        run: refused::one_user,
    },
    scenario("down 1 min", |case| outages::down(case, MINUTE, 0)),
    scenario("down 6 h", |case| outages::down(case, 6 * HOUR, 0)),
    scenario("down 7 d", |case| outages::down(case, 7 * DAY, 0)),
    scenario("down 1 min, 4 of 5 attempts used", |case| {
        outages::down(case, MINUTE, 4)
    }),
    scenario("down 6 h, 4 of 5 attempts used", |case| {
        outages::down(case, 6 * HOUR, 4)
    }),
    scenario("60 s down, 60 s up for 2 h", outages::flapping),
    scenario("one type's endpoint down 6 h", outages::one_type_down),
    scenario(
        "one destination of two down 6 h",
        outages::one_destination_down,
    ),
    scenario(
        "one poison in sparse traffic, 2 d",
        refused::in_sparse_traffic,
    ),
    scenario("60 poisons and a newcomer", refused::all_but_a_newcomer),
    scenario("5 % of calls fail at random", chance::few_fail),
    scenario("half of the calls fail at random", chance::half_fail),
    scenario("two processors, down 1 h", outages::two_processors),
    scenario("killed 5 times while calls hang", |case| {
        outages::killed(case, 1)
    }),
    scenario("one of two processors killed 5 times", |case| {
        outages::killed(case, 2)
    }),
];

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// The number of events unless a scenario says otherwise.
const EVENTS: usize = 60;

/// The rows that take seconds all together, for an ordinary test.
#[must_use]
pub fn is_quick(scenario: &Scenario, case: &Case) -> bool {
    let long = ["down 7 d", "one poison in sparse traffic, 2 d"];
    let is_usual = (case.store, case.concurrency, case.users) == (StoreKind::Memory, 3, 10);
    // What one user waits for can differ.
    let is_lone = (case.store, case.concurrency, case.users) == (StoreKind::Memory, 1, 1);
    !long.contains(&scenario.name) && (is_usual || is_lone)
}
