//! Everything, or a part of it, is down for a while.

use std::time::Duration;

use super::bounds::{nobody_dies, nobody_is_charged, one_call_a_minute, others_soon};
use super::{EVENTS, HOUR, MINUTE, seconds};
use crate::case::{Case, Class};
use crate::course::{Call, Course};
use crate::scene::{Arrival, Scene};
use crate::table::Row;

pub(super) fn down(case: &Case, span: u32, attempts_before: u32) -> Row {
    let end = seconds(span);
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| ask.at < end);
    let course = scene.attempts_before(attempts_before).run();
    let mut row = Row::new(case, &course);
    nobody_dies(&mut row, &course, 0..EVENTS, end);
    // An outage that is over before as many calls have ended as tell of one costs those in doubt an
    // attempt, and never their last.
    if case.class != Class::Timeout || span > MINUTE {
        nobody_is_charged(&mut row, &course, 0..EVENTS, attempts_before);
    }
    one_call_a_minute(&mut row, case, &course, |call| call.at < end);
    row
}

/// 60 events at the beginning, and one each five seconds.
pub(super) fn flapping(case: &Case) -> Row {
    let end = seconds(2 * HOUR);
    let arriving = 1_440;
    let mut arrivals = Arrival::at_once(case, EVENTS);
    arrivals.append(&mut Arrival::one_by_one(case, arriving, seconds(5)));
    let count = arrivals.len();
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| {
        ask.at < end && ask.at.as_secs() % 120 < 60
    });
    let course = scene.keep_completed(seconds(MINUTE)).run();
    let mut row = Row::new(case, &course);
    nobody_dies(&mut row, &course, 0..count, end);
    one_call_a_minute(&mut row, case, &course, |_| true);
    if let Some(slowest) = course.slowest(0..count) {
        row.figure("slowest", format!("{:.1} s", slowest.as_secs_f64()));
    }
    row
}

pub(super) fn one_type_down(case: &Case) -> Row {
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

pub(super) fn one_destination_down(case: &Case) -> Row {
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

/// The bounds where the events of one part are refused until `end`, and the others are not.
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
    nobody_dies(&mut row, course, refused.iter().copied(), end);
    nobody_is_charged(&mut row, course, 0..EVENTS, 0);
    let is_of_part = |call: &Call| is_refused(call.event) && call.at < end;
    one_call_a_minute(&mut row, case, course, is_of_part);
    row
}

pub(super) fn two_processors(case: &Case) -> Row {
    let end = seconds(HOUR);
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| ask.at < end);
    let course = scene.processors(2).run();
    let mut row = Row::new(case, &course);
    nobody_dies(&mut row, &course, 0..EVENTS, end);
    nobody_is_charged(&mut row, &course, 0..EVENTS, 0);
    one_call_a_minute(&mut row, case, &course, |call| call.at < end);
    row
}

/// The first of so many processors is killed five times in the middle of a call.
pub(super) fn killed(case: &Case, processors: usize) -> Row {
    let end = seconds(HOUR);
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| ask.at < end);
    // Each time in the middle of what hangs since it was started or its leases ended.
    let kills = (1..=5).map(|kill| seconds(kill * 75));
    let course = scene.processors(processors).kills(kills).run();
    let mut row = Row::new(case, &course);
    row.figure("kills", course.kills.to_string());
    row.must(course.kills == 5, || {
        format!("it was killed {} times", course.kills)
    });
    nobody_dies(&mut row, &course, 0..EVENTS, end);
    nobody_is_charged(&mut row, &course, 0..EVENTS, 0);
    row
}

/// An outage of ten minutes for events that have one attempt: they are charged as ever, so the
/// bounds of an outage do not hold. What compares with bounds must find that.
#[must_use]
pub fn outage_that_is_charged(case: &Case) -> Row {
    let end = seconds(10 * MINUTE);
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, end + seconds(HOUR), move |ask| ask.at < end);
    let course = scene.max_attempts(1).run();
    let mut row = Row::new(case, &course);
    nobody_dies(&mut row, &course, 0..EVENTS, end);
    row
}
