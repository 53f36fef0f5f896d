//! What must hold of a course.

use std::ops::Range;
use std::time::Duration;

use outbox_runtime::{Explanation, OutboxEvent, RefusalClass, WaitsFor};

use super::{MINUTE, seconds};
use crate::case::{Case, Class};
use crate::course::{Call, Course};
use crate::table::Row;

/// How soon everything else is delivered, and everything once an outage is over.
pub(super) const SOON: Duration = Duration::from_secs(120);

/// After so many refused probes there is one a minute.
const PROBES: usize = 7;

/// So many refusals, of attempts that began after the first one, open a circuit.
const EVIDENCE: usize = 4;

pub(super) fn others_soon(
    row: &mut Row,
    course: &Course,
    others: impl IntoIterator<Item = usize> + Clone,
) {
    let count = others.clone().into_iter().count();
    let delivered = course.delivered(others.clone());
    row.figure("others", format!("{delivered}/{count}"));
    let slowest = course.slowest(others);
    if let Some(slowest) = slowest {
        row.figure("slowest", format!("{:.1} s", slowest.as_secs_f64()));
    }
    row.must(
        slowest.is_some_and(|slowest| slowest <= SOON),
        || match slowest {
            Some(slowest) => format!("the slowest of the others took {slowest:.1?}"),
            None => format!("of {count} others {delivered} were delivered"),
        },
    );
}

/// No dead letter, and everything is delivered soon after `end`.
pub(super) fn nobody_dies(
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

/// Whatever was delivered in the end counts one attempt more than before, and no deferral.
pub(super) fn nobody_is_charged(
    row: &mut Row,
    course: &Course,
    events: impl IntoIterator<Item = usize>,
    attempts_before: u32,
) {
    let rows = events.into_iter().filter_map(|event| {
        let is_delivered = course.delivered[event].is_some();
        course.rows[event].as_ref().filter(|_| is_delivered)
    });
    let is_charged =
        |event: &&OutboxEvent| event.attempt_count > attempts_before + 1 || event.deferrals > 0;
    let charged = rows.filter(is_charged).count();
    row.figure("charged", charged.to_string());
    row.must(charged == 0, || format!("{charged} are charged"));
}

/// From the seventh refused probe on each processor makes one call a minute at most, of those that
/// the filter wants, until one gets through.
///
/// The log has no circuits. Before its circuit opens a processor is refused what was under way and
/// then [`EVIDENCE`]; where credentials are refused, what was under way before the refresh and
/// after it, and what is tried of each user. All these, and seven more, may be less than a minute
/// apart.
pub(super) fn one_call_a_minute(
    row: &mut Row,
    case: &Case,
    course: &Course,
    wanted: impl Fn(&Call) -> bool,
) {
    let opening = match case.class {
        // Two of a part tell that it is the part.
        Class::RateLimited => case.concurrency + 2,
        Class::Unauthenticated => 2 * (case.concurrency + case.users),
        _ => case.concurrency + EVIDENCE,
    };
    let processors = course.calls.iter().map(|call| call.processor).max();
    let (mut most, mut shortest) = (0, None);
    for processor in 0..=processors.unwrap_or_default() {
        let calls = course.calls.iter();
        let calls = calls.filter(|call| call.processor == processor && wanted(call));
        let (mut in_a_row, mut last) = (0_usize, None);
        for call in calls {
            if call.is_delivery() {
                (in_a_row, last) = (0, None);
                continue;
            }
            let gap = last.map(|last| call.at - last);
            if let Some(gap) = gap.filter(|gap| *gap < seconds(MINUTE)) {
                most = most.max(in_a_row);
                if in_a_row >= opening + PROBES {
                    shortest = Some(shortest.map_or(gap, |shortest: Duration| shortest.min(gap)));
                }
            }
            in_a_row += 1;
            last = Some(call.at);
        }
    }
    row.figure("unsettled", format!("{most}/{}", opening + PROBES));
    row.must(shortest.is_none(), || {
        format!("after {most} refusals in a row a call came {shortest:.1?} after another")
    });
}

/// A permanently refused event is dead, deferred, or probed once a minute, and `explain` says why.
pub(super) fn refused_is_left_alone(
    row: &mut Row,
    case: &Case,
    course: &Course,
    refused: &[usize],
) {
    let dead = course.dead(refused.iter().copied());
    let deferrals = |event: &usize| course.rows[*event].as_ref().map(|row| row.deferrals);
    let most = refused.iter().filter_map(deferrals).max();
    row.figure("dead", format!("{dead}/{}", refused.len()));
    row.figure("deferrals", most.unwrap_or_default().to_string());
    let is_of_refused = |call: &Call| refused.contains(&call.event);
    one_call_a_minute(row, case, course, is_of_refused);
    let (from, to) = (course.took / 2, course.took);
    let rate = course.rate(from, to, is_of_refused);
    row.figure("rate", format!("{rate:.2}/min"));
    row.must(rate <= 1.0 + 60.0 / (to - from).as_secs_f64(), || {
        format!("the refused are called {rate:.2} times a minute")
    });
    let unexplained: Vec<String> = refused
        .iter()
        .filter(|event| !course.is_dead(**event))
        .filter_map(|event| unexplained(case, course, *event))
        .collect();
    let explained = refused.len() - dead - unexplained.len();
    row.figure("explained", format!("{explained}/{}", refused.len() - dead));
    row.must(unexplained.is_empty(), || unexplained.join("; "));
}

/// The defect of the explanation of a refused event, if it has one.
fn unexplained(case: &Case, course: &Course, event: usize) -> Option<String> {
    let Some(explanation) = &course.explained[event] else {
        return Some(format!("event {event} is not explained"));
    };
    is_unexplained(case, explanation).then(|| format!("it is said that {explanation}"))
}

fn is_unexplained(case: &Case, explanation: &Explanation) -> bool {
    let class = case.class.refusal();
    let says_why = |text: &str| text.contains(case.class.text());
    let row = explanation.first.as_deref();
    match &explanation.waits_for {
        // Refused: since when, how often, why, and when it is tried next.
        WaitsFor::Outage(outage) => {
            let is_soon = outage.probe_at - outage.since > chrono::TimeDelta::zero();
            outage.class != class
                || outage.refusals == 0
                || !is_soon
                || !says_why(&outage.last_error)
        }
        WaitsFor::RateLimit {
            refusals,
            last_error,
            ..
        } => class != RefusalClass::RateLimited || *refusals == 0 || !says_why(last_error),
        WaitsFor::Credentials {
            refusals,
            last_error,
            ..
        } => class != RefusalClass::Unauthenticated || *refusals == 0 || !says_why(last_error),
        WaitsFor::Evidence { refusal } => refusal.class != class || !says_why(&refusal.message),
        // It failed or is deferred, and has its time.
        WaitsFor::DueTime { last_error, .. } => !last_error.as_deref().is_some_and(says_why),
        // It is being tried, and its row has the last refusal.
        WaitsFor::Handler { .. } => {
            let refusal = row.and_then(|row| row.last_refusal.as_ref());
            let refusal = refusal.map(|refusal| refusal.message.as_str());
            let failure = row.and_then(|row| row.error_message.as_deref());
            !refusal.or(failure).is_some_and(says_why)
        }
        _ => true,
    }
}

/// Everything is delivered or dead.
pub(super) fn every_one_ends(row: &mut Row, course: &Course, events: Range<usize>) {
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
