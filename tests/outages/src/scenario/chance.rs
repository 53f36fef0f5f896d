//! Calls that fail at random.

use std::time::Duration;

use super::bounds::every_one_ends;
use super::{DAY, seconds};
use crate::case::{Case, Class, RETRY_AFTER_SECONDS};
use crate::course::{Call, Course};
use crate::scene::{Arrival, Scene};
use crate::table::Row;

/// How many events there are: 60 are over in a third of a second, which is no time to speak of a
/// rate.
const MANY: usize = 1_200;

/// What must be left of the undisturbed throughput.
const LEFT: f64 = 0.95;

/// How long an attempt hangs at most.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause of a rate limit that nobody asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(super) fn few_fail(case: &Case) -> Row {
    let drawn = *case;
    let arrivals = Arrival::at_once(case, MANY);
    let disturbed = Scene::new(case, arrivals.clone(), seconds(DAY), move |ask| {
        drawn.draw(ask.event, ask.calls_before + 1_000, 1_000) < 50
    });
    let disturbed = disturbed.run();
    let undisturbed = Scene::new(case, arrivals, seconds(DAY), |_| false).run();
    let mut row = Row::new(case, &disturbed);
    let deliveries = rate(&disturbed) / rate(&undisturbed);
    row.figure("deliveries", format!("{deliveries:.3}"));
    if case.class == Class::RateLimited {
        // Each 30 s that the service asks for are kept, and then one event is sent at a time: what
        // is left is that one place outside of the pauses.
        let share = outside_of_pauses(&disturbed);
        row.figure("outside of pauses", format!("{share:.3}"));
        row.must(share >= LEFT, || {
            format!("one place is used for {share:.3} of the time outside of pauses")
        });
    } else {
        // Failing calls are calls, too: 5 % of them cost 5 % of the deliveries, and a hanging call
        // takes its place for 30 s under any rule.
        let places = |course| busy(course, case.concurrency);
        let share = places(&disturbed) / places(&undisturbed);
        row.figure("calls", format!("{share:.3}"));
        row.must(share >= LEFT, || {
            format!("the throughput is {share:.3} of the undisturbed")
        });
    }
    every_one_ends(&mut row, &disturbed, 0..MANY);
    row
}

/// When nine tenths of the events were delivered: what is left then are the retries of a few.
fn nine_tenths(course: &Course) -> Duration {
    let mut delivered: Vec<Duration> = course.delivered.iter().copied().flatten().collect();
    delivered.sort_unstable();
    let at = delivered.get(course.delivered.len() * 9 / 10);
    at.copied().unwrap_or(Duration::MAX)
}

/// Deliveries a second.
fn rate(course: &Course) -> f64 {
    course.delivered.len() as f64 * 0.9 / nine_tenths(course).as_secs_f64()
}

fn end(call: &Call) -> Duration {
    call.ended.unwrap_or(call.at + TIMEOUT)
}

/// What share of the time of all places calls were under way.
fn busy(course: &Course, places: usize) -> f64 {
    let until = nine_tenths(course);
    let calls = course.calls.iter().filter(|call| call.at < until);
    let busy: Duration = calls.map(|call| end(call).min(until) - call.at).sum();
    busy.as_secs_f64() / until.as_secs_f64() / places as f64
}

/// What share of the time in which the service had not asked to be left alone a call was under way.
/// Where it refuses what was tried after a pause as well, the next one is twice as long.
fn outside_of_pauses(course: &Course) -> f64 {
    let asked = Duration::from_secs(RETRY_AFTER_SECONDS);
    let until = nine_tenths(course);
    let mut calls: Vec<&Call> = course.calls.iter().collect();
    calls.sort_unstable_by_key(|call| end(call));
    let (mut paused, mut paused_until, mut pause) = (Duration::ZERO, Duration::ZERO, asked);
    let mut busy = Duration::ZERO;
    let mut busy_until = Duration::ZERO;
    for call in calls.into_iter().filter(|call| end(call) < until) {
        if call.at < paused_until {
            // It was under way when the pause began.
            continue;
        }
        if !call.refused {
            pause = asked;
            continue;
        }
        let at = end(call);
        paused += pause.min(until - at);
        paused_until = at + pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    for call in course.calls.iter().filter(|call| call.at < until) {
        let end = end(call).min(until);
        busy += end.saturating_sub(call.at.max(busy_until));
        busy_until = busy_until.max(end);
    }
    busy.as_secs_f64() / (until - paused).as_secs_f64()
}

pub(super) fn half_fail(case: &Case) -> Row {
    let drawn = *case;
    let is_refused = move |event, call: u32| drawn.draw(event, call + 1_000, 2) == 0;
    // With 60 events plain counting loses two, which says little.
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
