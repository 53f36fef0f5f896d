//! An event, a user, or everybody but a newcomer, that is refused for ever.

use super::bounds::{one_call_a_minute, others_soon, refused_is_left_alone};
use super::{DAY, EVENTS, HOUR, seconds};
use crate::case::{Case, Class};
use crate::scene::{Arrival, Scene};
use crate::table::Row;

pub(super) fn one_event(case: &Case) -> Row {
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, seconds(HOUR), |ask| ask.event == 0);
    let course = scene.run();
    let mut row = Row::new(case, &course);
    others_soon(&mut row, &course, 1..EVENTS);
    refused_is_left_alone(&mut row, case, &course, &[0]);
    row
}

pub(super) fn one_user(case: &Case) -> Row {
    let arrivals = Arrival::at_once(case, EVENTS);
    let scene = Scene::new(case, arrivals, seconds(HOUR), |ask| ask.user == 0);
    let course = scene.run();
    let mut row = Row::new(case, &course);
    let (refused, others): (Vec<usize>, Vec<usize>) =
        (0..EVENTS).partition(|event| event % case.users == 0);
    others_soon(&mut row, &course, others);
    refused_is_left_alone(&mut row, case, &course, &refused);
    row
}

/// There is a neighbor every ten seconds to compare it with, so it is charged or deferred, and
/// never just probed. What counts attempts is dead after five; the rest is deferred by 1, 5, 30,
/// 120, 600 seconds and then twice as long each time, which is ten times in two days. Before that
/// is clear each may be refused two or three times more.
pub(super) fn in_sparse_traffic(case: &Case) -> Row {
    let span = 2 * DAY;
    let count = (span / 10) as usize;
    let poison = 3;
    let arrivals = Arrival::one_by_one(case, count, seconds(10));
    let until = seconds(span) + seconds(HOUR);
    let scene = Scene::new(case, arrivals, until, move |ask| ask.event == poison);
    let course = scene.run();
    let mut row = Row::new(case, &course);
    let others = (0..count).filter(|event| *event != poison);
    others_soon(&mut row, &course, others);
    let calls = course.calls.iter().filter(|call| call.event == poison);
    let calls = calls.count();
    row.figure("poison", format!("{calls} calls"));
    row.must(calls <= 40, || {
        format!("the poison was called {calls} times")
    });
    let is_dead = course.is_dead(poison);
    let deferrals = course.rows[poison].as_ref().map_or(0, |row| row.deferrals);
    row.figure("deferrals", deferrals.to_string());
    match case.class {
        Class::Failing | Class::Timeout => row.must(is_dead, || "the poison is not dead".into()),
        _ => row.must(!is_dead && (8..20).contains(&deferrals), || {
            format!("the poison was deferred {deferrals} times, or is dead")
        }),
    }
    row
}

pub(super) fn all_but_a_newcomer(case: &Case) -> Row {
    let arrives = seconds(1_000);
    let mut arrivals = Arrival::at_once(case, EVENTS + 1);
    arrivals[EVENTS].at = arrives;
    let scene = Scene::new(case, arrivals, seconds(HOUR), |ask| ask.event < EVENTS);
    let course = scene.run();
    let mut row = Row::new(case, &course);
    others_soon(&mut row, &course, [EVENTS]);
    let poisons: Vec<usize> = (0..EVENTS).collect();
    row.figure(
        "dead",
        format!("{}/{EVENTS}", course.dead(poisons.iter().copied())),
    );
    one_call_a_minute(&mut row, case, &course, |call| call.at < arrives);
    row
}
