//! Deliveries, in the order of the ledger: each lane in its order, one at a time, and again only
//! where no outcome was acknowledged.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{Circumstances, Verdict, positions};
use crate::chaos::ledger::Record;
use crate::chaos::rows::{Rows, folds};

/// The state of everything at one point of the ledger.
#[derive(Debug, Default)]
struct State {
    answered: HashSet<Uuid>,
    settled: HashSet<Uuid>,
    /// The process that claimed an event last, and the end of its lease; none once the worker asked
    /// to end it.
    holder: HashMap<Uuid, (u32, Option<u64>)>,
    /// Handlers at work, by event: process and time.
    at_work: HashMap<Uuid, (u32, u64)>,
    /// In each lane, the position of the first event that was not delivered yet.
    next: HashMap<i64, usize>,
    /// In each folding lane, the newest content that a handler saw, and of which event.
    newest: HashMap<i64, (i64, Uuid)>,
    dead: HashSet<u32>,
    frozen: HashSet<u32>,
}

impl Verdict {
    pub(super) fn check_deliveries(
        &mut self,
        records: &[Record],
        rows: &Rows,
        circumstances: Circumstances,
    ) {
        let positions = positions(rows);
        let mut state = State::default();
        for record in records {
            match record {
                Record::Claimed {
                    events,
                    process,
                    at,
                    until,
                } => self.claimed(&mut state, events, *process, (*at, *until), circumstances),
                Record::Renewed {
                    event,
                    process,
                    until,
                } => {
                    if let Some((holder, Some(end))) = state.holder.get_mut(event)
                        && holder == process
                    {
                        *end = *until;
                    }
                }
                Record::Settling { events, process } => {
                    for event in events {
                        if let Some((holder, end)) = state.holder.get_mut(event)
                            && holder == process
                        {
                            *end = None;
                        }
                    }
                }
                Record::Started {
                    event,
                    lane,
                    number,
                    process,
                    at,
                } => {
                    let is_holder = state
                        .holder
                        .get(event)
                        .is_none_or(|(holder, _)| holder == process);
                    if !is_holder {
                        self.late += 1;
                        continue;
                    }
                    self.check_repetition(&mut state, *event, (*process, *at), circumstances);
                    if folds(*lane) {
                        self.check_content(&mut state, *lane, *number, *event);
                    } else if let Some((lane, position)) = positions.get(event) {
                        let next = *state.next.entry(*lane).or_default();
                        if *position > next {
                            self.problems.push(format!(
                                "lane {lane}: event {position} began before event {next} was delivered"
                            ));
                        }
                    }
                }
                Record::Answered { event, ok, process } => {
                    if state
                        .at_work
                        .get(event)
                        .is_some_and(|(other, _)| other == process)
                    {
                        state.at_work.remove(event);
                    }
                    if *ok {
                        state.answered.insert(*event);
                        if let Some((lane, _)) = positions.get(event) {
                            let events = &rows.lanes[lane];
                            let next = state.next.entry(*lane).or_default();
                            while events
                                .get(*next)
                                .is_some_and(|event| state.answered.contains(event))
                            {
                                *next += 1;
                            }
                        }
                    }
                }
                Record::Settled { event, .. } => drop(state.settled.insert(*event)),
                Record::Killed { process } => drop(state.dead.insert(*process)),
                Record::Frozen { process, .. } => drop(state.frozen.insert(*process)),
                _ => {}
            }
        }
        self.check_newest(&state, rows);
    }

    /// Nobody gets a lease that somebody else holds.
    fn claimed(
        &mut self,
        state: &mut State,
        events: &[Uuid],
        process: u32,
        (at, until): (u64, u64),
        circumstances: Circumstances,
    ) {
        // The clocks of stores follow the server's within half a round trip.
        let tolerance = circumstances.lease / 4;
        for event in events {
            let before = state.holder.insert(*event, (process, Some(until)));
            if let Some((other, Some(end))) = before
                && other != process
                && !state.dead.contains(&other)
                && at + tolerance < end
            {
                self.problems.push(format!(
                    "{event} was claimed by {process} {} ms before the lease of {other} ended",
                    end - at
                ));
            }
        }
    }

    fn check_repetition(
        &mut self,
        state: &mut State,
        event: Uuid,
        (process, at): (u32, u64),
        circumstances: Circumstances,
    ) {
        if state.settled.contains(&event) {
            self.doubles.push(event);
        } else if state.answered.contains(&event) {
            self.repeats += 1;
        }
        let before = state.at_work.insert(event, (process, at));
        if let Some((other, since)) = before
            && other != process
            && !state.dead.contains(&other)
            && !state.frozen.contains(&other)
            && at.saturating_sub(since) < circumstances.lease / 2
        {
            self.problems
                .push(format!("{event} was with {other} and {process} at once"));
        }
    }

    /// Where events fold, each delivery has newer content than those before it.
    fn check_content(&mut self, state: &mut State, lane: i64, number: i64, event: Uuid) {
        let (newest, of) = *state.newest.entry(lane).or_insert((number, event));
        if number < newest || (number == newest && of != event) {
            self.problems.push(format!(
                "lane {lane}: content {number} of {event} began after {newest} of {of}"
            ));
        }
        state.newest.insert(lane, (number.max(newest), event));
    }

    /// Where events fold, the last content is delivered.
    fn check_newest(&mut self, state: &State, rows: &Rows) {
        let mut last: HashMap<i64, i64> = HashMap::new();
        for (_, lane, version) in rows.journal.iter().filter(|(_, lane, _)| folds(*lane)) {
            last.insert(*lane, *version);
        }
        for (lane, version) in last {
            let delivered = state.newest.get(&lane).map(|(newest, _)| *newest);
            if delivered != Some(version) {
                self.problems.push(format!(
                    "lane {lane}: the last content is {version}, and {delivered:?} was delivered"
                ));
            }
        }
    }
}
