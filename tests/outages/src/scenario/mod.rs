//! The scenarios, each with its bounds.

use std::ops::Range;
use std::time::Duration;

use crate::case::{Case, Class, StoreKind};
use crate::course::Course;
use crate::scene::{Arrival, Scene};
use crate::table::Row;

/// A kind of outage, with the bounds that must hold during it.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The name in the table.
    pub name: &'static str,
    /// Whether a case makes sense for the scenario.
    pub applies: fn(&Case) -> bool,
    /// Runs the scenario, and compares the result with its bounds.
    pub run: fn(&Case) -> Row,
}

/// All scenarios.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "one event refused",
        applies: |_| true,
        run: one_event_refused,
    },
    Scenario {
        name: "one user of ten refused",
        applies: |case| case.users > 1,
        run: one_user_refused,
    },
    Scenario {
        name: "down 1 min",
        applies: |_| true,
        run: |case| down(case, MINUTE, 0),
    },
    Scenario {
        name: "down 6 h",
        applies: |_| true,
        run: |case| down(case, 6 * HOUR, 0),
    },
    Scenario {
        name: "down 7 d",
        applies: |_| true,
        run: |case| down(case, 7 * DAY, 0),
    },
    Scenario {
        name: "down 6 h, 4 of 5 attempts used",
        applies: |_| true,
        run: |case| down(case, 6 * HOUR, 4),
    },
    Scenario {
        name: "60 s down, 60 s up for 2 h",
        applies: |_| true,
        run: flapping,
    },
    Scenario {
        name: "one type's endpoint down 6 h",
        applies: |_| true,
        run: one_type_down,
    },
    Scenario {
        name: "one destination of two down 6 h",
        applies: |_| true,
        run: one_destination_down,
    },
    Scenario {
        name: "one poison in sparse traffic, 2 d",
        applies: |_| true,
        run: sparse_poison,
    },
    Scenario {
        name: "60 poisons and a newcomer",
        applies: |_| true,
        run: newcomer,
    },
    Scenario {
        name: "5 % of calls fail at random",
        applies: |_| true,
        run: few_fail,
    },
    Scenario {
        name: "half of the calls fail at random",
        applies: |_| true,
        run: half_fail,
    },
    Scenario {
        name: "two processors, down 1 h",
        applies: |_| true,
        run: two_processors,
    },
    Scenario {
        name: "killed 5 times while calls hang",
        applies: |case| case.class == Class::Timeout,
        run: killed,
    },
];

/// The time limit for delivering all other events, and for all events once an outage is over.
const SOON: Duration = Duration::from_secs(120);

/// The time from the beginning of an outage until a circuit is down to one call a minute: seven
/// refused probes, each of which may take the 30 s of an attempt's deadline.
const SETTLED: Duration = Duration::from_secs(600);

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// The number of events unless a scenario says otherwise.
const EVENTS: usize = 60;

fn one_event_refused(case: &Case) -> Row {
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, seconds(HOUR), |ask| ask.event == 0);
    let course = scene.run();
    let mut row = Row::new(case, &course);
    others_soon(&mut row, &course, 1..EVENTS);
    refused_is_left_alone(&mut row, &course, &[0]);
    row
}

fn one_user_refused(case: &Case) -> Row {
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, seconds(HOUR), |ask| ask.user == 0);
    let course = scene.run();
    let mut row = Row::new(case, &course);
    let (refused, others): (Vec<usize>, Vec<usize>) =
        (0..EVENTS).partition(|event| event % case.users == 0);
    others_soon(&mut row, &course, others);
    refused_is_left_alone(&mut row, &course, &refused);
    row
}

fn down(case: &Case, span: u32, attempts_before: u32) -> Row {
    let end = seconds(span);
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| ask.at < end);
    let course = scene.attempts_before(attempts_before).run();
    let mut row = Row::new(case, &course);
    nobody_is_charged(&mut row, &course, 0..EVENTS, end);
    one_call_a_minute(&mut row, &course, end, 1);
    row
}

fn flapping(case: &Case) -> Row {
    let end = seconds(2 * HOUR);
    let count = 1_440;
    let arrivals = Arrival::one_by_one(case, count, seconds(5));
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| {
        ask.at < end && ask.at.as_secs() % 120 < 60
    });
    let course = scene.keep_completed(seconds(MINUTE)).run();
    let mut row = Row::new(case, &course);
    nobody_is_charged(&mut row, &course, 0..count, end);
    if let Some(slowest) = course.slowest(0..count) {
        row.figure("slowest", format!("{:.1} s", slowest.as_secs_f64()));
    }
    row
}

fn one_type_down(case: &Case) -> Row {
    let end = seconds(6 * HOUR);
    let mut arrivals = Arrival::at_once(case, EVENTS);
    let is_refused = |event: usize| (event / case.users).is_multiple_of(2);
    for (number, arrival) in arrivals.iter_mut().enumerate() {
        arrival.kind = if is_refused(number) { "photo" } else { "note" };
    }
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| {
        ask.kind == "photo" && ask.at < end
    });
    let course = scene.run();
    one_part_down(case, &course, end, is_refused)
}

fn one_destination_down(case: &Case) -> Row {
    let end = seconds(6 * HOUR);
    let mut arrivals = Arrival::at_once(case, EVENTS);
    let is_refused = |event: usize| (event / case.users).is_multiple_of(2);
    for (number, arrival) in arrivals.iter_mut().enumerate() {
        arrival.destination = if is_refused(number) { "north" } else { "south" };
    }
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| {
        ask.destination == "north" && ask.at < end
    });
    let course = scene.run();
    one_part_down(case, &course, end, is_refused)
}

/// The bounds if the events of one part are refused until `end`, and the others are not.
fn one_part_down(
    case: &Case,
    course: &Course,
    end: Duration,
    is_refused: impl Fn(usize) -> bool,
) -> Row {
    let mut row = Row::new(case, course);
    let (refused, others): (Vec<usize>, Vec<usize>) =
        (0..EVENTS).partition(|event| is_refused(*event));
    others_soon(&mut row, course, others);
    nobody_is_charged(&mut row, course, refused, end);
    one_call_a_minute(&mut row, course, end, 1);
    row
}

fn sparse_poison(case: &Case) -> Row {
    let span = 2 * DAY;
    let count = (span / 10) as usize;
    let arrivals = Arrival::one_by_one(case, count, seconds(10));
    let scene = Scene::new(case, arrivals, seconds(span) + seconds(HOUR), |ask| {
        ask.event == 3
    });
    let course = scene.run();
    let mut row = Row::new(case, &course);
    let others = (0..count).filter(|event| *event != 3);
    match course.slowest(others) {
        Some(slowest) => {
            row.figure("slowest", format!("{:.1} s", slowest.as_secs_f64()));
            row.must(slowest <= SOON, || {
                format!("the slowest other took {slowest:.1?}")
            });
        }
        None => row.must(false, || "others were not delivered".to_owned()),
    }
    let calls = course.calls.iter().filter(|call| call.event == 3).count();
    row.figure("poison", format!("{calls} calls"));
    row.must(calls <= 40, || {
        format!("the poison was called {calls} times")
    });
    row
}

fn newcomer(case: &Case) -> Row {
    let arrives = seconds(1_000);
    let mut arrivals = Arrival::at_once(case, EVENTS + 1);
    arrivals[EVENTS].at = arrives;
    let scene = Scene::new(case, arrivals, seconds(HOUR), |ask| ask.event < EVENTS);
    let course = scene.run();
    let mut row = Row::new(case, &course);
    let slowest = course.slowest([EVENTS]);
    row.must(slowest.is_some_and(|took| took <= SOON), || {
        format!("the newcomer was delivered after {slowest:.1?}")
    });
    if let Some(slowest) = slowest {
        row.figure("newcomer", format!("{:.1} s", slowest.as_secs_f64()));
    }
    row
}

/// The number of events in scenarios with random failures.
const MANY: usize = 1_200;

fn few_fail(case: &Case) -> Row {
    let drawn = *case;
    let arrivals = Arrival::at_once(case, MANY);
    let disturbed = Scene::new(case, arrivals.clone(), seconds(DAY), move |ask| {
        drawn.draw(ask.event, ask.calls_before + 1_000, 1_000) < 50
    });
    let disturbed = disturbed.run();
    let undisturbed = Scene::new(case, arrivals, seconds(DAY), |_| false).run();
    let mut row = Row::new(case, &disturbed);
    let share = throughput(case, &disturbed) / throughput(case, &undisturbed);
    row.figure("throughput", format!("{share:.3}"));
    // Rate limits and refreshed credentials require waiting, so the bound does not apply to them.
    let waits = matches!(case.class, Class::RateLimited | Class::Unauthenticated);
    row.must(waits || share >= 0.95, || {
        format!("the throughput is {share:.3} of the undisturbed")
    });
    every_one_ends(&mut row, &disturbed, 0..MANY);
    row
}

/// The utilization: the share of the total time of all slots in which calls were in progress, until
/// nine tenths of the events were delivered.
fn throughput(case: &Case, course: &Course) -> f64 {
    let mut delivered: Vec<Duration> = course.delivered.iter().copied().flatten().collect();
    delivered.sort_unstable();
    let Some(until) = delivered.get(course.delivered.len() * 9 / 10) else {
        return 0.0;
    };
    let timeout = Duration::from_secs(30);
    let busy = course.calls.iter().filter(|call| call.at < *until);
    let busy = busy.map(|call| call.ended.unwrap_or(call.at + timeout).min(*until) - call.at);
    let busy: Duration = busy.sum();
    busy.as_secs_f64() / until.as_secs_f64() / case.concurrency as f64
}

fn half_fail(case: &Case) -> Row {
    let drawn = *case;
    let is_refused = move |event, call: u32| drawn.draw(event, call + 1_000, 2) == 0;
    let count = 300;
    let arrivals = Arrival::at_once(case, count);
    let scene = Scene::new(case, arrivals, seconds(2 * DAY), move |ask| {
        is_refused(ask.event, ask.calls_before)
    });
    let course = scene.run();
    let mut row = Row::new(case, &course);
    every_one_ends(&mut row, &course, 0..count);
    let plain = (0..count).filter(|event| (0..5).all(|call| is_refused(*event, call)));
    let (plain, dead) = (plain.count(), course.dead(0..count));
    row.figure("plain counting", format!("{plain} dead"));
    row.must(dead <= plain, || {
        format!("{dead} are dead, with plain counting {plain}")
    });
    row
}

fn two_processors(case: &Case) -> Row {
    let end = seconds(HOUR);
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| ask.at < end);
    let course = scene.processors(2).run();
    let mut row = Row::new(case, &course);
    nobody_is_charged(&mut row, &course, 0..EVENTS, end);
    one_call_a_minute(&mut row, &course, end, 2);
    row
}

fn killed(case: &Case) -> Row {
    let end = seconds(HOUR);
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| ask.at < end);
    // Each kill hits calls that hang since the start or since their leases ended.
    let kills = (1..=5).map(|kill| seconds(kill * 75));
    let course = scene.kills(kills).run();
    let mut row = Row::new(case, &course);
    nobody_is_charged(&mut row, &course, 0..EVENTS, end);
    row
}

fn others_soon(row: &mut Row, course: &Course, others: impl IntoIterator<Item = usize> + Clone) {
    let count = others.clone().into_iter().count();
    let delivered = course.delivered(others.clone());
    row.figure("others", format!("{delivered}/{count}"));
    let last = course.last(others);
    if let Some(last) = last {
        row.figure("last", format!("{:.1} s", last.as_secs_f64()));
    }
    row.must(last.is_some_and(|last| last <= SOON), || match last {
        Some(last) => format!("the last of the others was delivered after {last:.1?}"),
        None => format!("of {count} others {delivered} were delivered"),
    });
}

/// In the second half of the hour, permanently refused events are dead or probed once a minute.
fn refused_is_left_alone(row: &mut Row, course: &Course, refused: &[usize]) {
    let dead = course.dead(refused.iter().copied());
    let (from, to) = (course.took / 2, course.took);
    let rate = course.rate(from, to, |call| refused.contains(&call.event));
    row.figure("dead", format!("{dead}/{}", refused.len()));
    row.figure("rate", format!("{rate:.2}/min"));
    row.must(rate <= 1.05, || {
        format!("the refused are called {rate:.2} times a minute")
    });
}

/// No event is a dead letter, and every event is delivered soon after `end`.
fn nobody_is_charged(
    row: &mut Row,
    course: &Course,
    events: impl IntoIterator<Item = usize> + Clone,
    end: Duration,
) {
    let count = events.clone().into_iter().count();
    let dead = course.dead(events.clone());
    row.figure("dead", format!("{dead}/{count}"));
    row.must(dead == 0, || format!("{dead} of {count} are dead"));
    let last = course.last(events.clone());
    let after = last.map(|last| last.saturating_sub(end));
    if let Some(after) = after {
        row.figure("last", format!("end + {:.1} s", after.as_secs_f64()));
    }
    row.must(after.is_some_and(|after| after <= SOON), || match after {
        Some(after) => format!("the last was delivered {after:.1?} after the end"),
        None => format!("of {count} {} were delivered", course.delivered(events)),
    });
}

/// Each processor probes at most once a minute while the calls are refused.
fn one_call_a_minute(row: &mut Row, course: &Course, end: Duration, processors: u32) {
    if end <= SETTLED {
        return;
    }
    let rate = course.rate(SETTLED, end, |call| call.refused);
    row.figure("rate", format!("{rate:.2}/min"));
    let most = 1.01 * f64::from(processors);
    row.must(rate <= most, || {
        format!("there were {rate:.2} calls a minute")
    });
}

/// Every event is delivered or dead.
fn every_one_ends(row: &mut Row, course: &Course, events: Range<usize>) {
    let (delivered, dead) = (
        course.delivered(events.clone()),
        course.dead(events.clone()),
    );
    let count = events.len();
    row.figure("done", format!("{delivered}/{count}"));
    row.figure("dead", dead.to_string());
    row.must(delivered + dead >= count, || {
        format!("of {count} {delivered} are delivered and {dead} dead")
    });
}

/// An outage of ten minutes for events with a single attempt: they are charged, so the bounds of an
/// outage do not hold. The comparison with the bounds must detect that.
#[must_use]
pub fn outage_that_is_charged(case: &Case) -> Row {
    let end = SETTLED;
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| ask.at < end);
    let course = scene.max_attempts(1).run();
    let mut row = Row::new(case, &course);
    nobody_is_charged(&mut row, &course, 0..EVENTS, end);
    row
}

/// The rows that together take seconds, for an ordinary test.
#[must_use]
pub fn is_quick(scenario: &Scenario, case: &Case) -> bool {
    let short = [
        "one event refused",
        "one user of ten refused",
        "down 1 min",
        "killed 5 times while calls hang",
    ];
    let is_usual = (case.store, case.concurrency, case.users) == (StoreKind::Memory, 3, 10);
    short.contains(&scenario.name) && is_usual
}
