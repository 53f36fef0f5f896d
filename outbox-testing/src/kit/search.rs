//! Which events are as wanted, and how the nearest differs.

use std::fmt::Write as _;
use std::future::Future;

use outbox_runtime::{Event, EventFilter, OutboxEntity, OutboxEvent, OutboxRepository, StoreError};

use super::wanted::Wanted;
use super::{listing, shown};

/// A store that the macros search: any store, and by method call through any reference.
pub trait Search: OutboxRepository {
    /// The first event as wanted, or a message that says what is enqueued instead.
    fn __event_as_wanted<E: OutboxEntity>(
        &self,
        wanted: Wanted<'_, E>,
    ) -> impl Future<Output = Result<Event<E>, String>> + Send {
        async move {
            let events = listing::all(self, &EventFilter::default()).await;
            Searched::new(events.map_err(unread)?, &wanted).one(&wanted)
        }
    }

    /// Nothing if no event is as wanted, or a message that says which one is.
    fn __no_event_as_wanted<E: OutboxEntity>(
        &self,
        wanted: Wanted<'_, E>,
    ) -> impl Future<Output = Result<(), String>> + Send {
        async move {
            let events = listing::all(self, &EventFilter::default()).await;
            Searched::new(events.map_err(unread)?, &wanted).none(&wanted)
        }
    }
}

impl<R: OutboxRepository + ?Sized> Search for R {}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the error of a call, passed on as it comes"
)]
fn unread(error: StoreError) -> String {
    format!("the store cannot be read: {error}")
}

/// All events of a store, and those of one type that are as wanted.
struct Searched<E: OutboxEntity> {
    events: Vec<OutboxEvent>,
    matching: Vec<Event<E>>,
    /// The event of the type that fulfills the most conditions, and those that it does not.
    nearest: Option<(OutboxEvent, Vec<String>)>,
}

impl<E: OutboxEntity> Searched<E> {
    fn new(events: Vec<OutboxEvent>, wanted: &Wanted<'_, E>) -> Self {
        let mut searched = Self {
            events: Vec::new(),
            matching: Vec::new(),
            nearest: None,
        };
        for event in events
            .iter()
            .filter(|it| E::OPTIONS.is_stored_as(&it.event_type))
        {
            searched.look_at(event, wanted);
        }
        searched.events = events;
        searched
    }

    fn look_at(&mut self, event: &OutboxEvent, wanted: &Wanted<'_, E>) {
        let differences = match Event::<E>::decode(event.clone()) {
            Ok(decoded) => {
                let differences = differences(&decoded, wanted);
                if differences.is_empty() {
                    self.matching.push(decoded);
                    return;
                }
                differences
            }
            Err(error) => vec![format!("its metadata cannot be decoded: {error}")],
        };
        let fewest = self.nearest.as_ref().map(|(_, fewest)| fewest.len());
        // Of those with as few differences, the newest is the likeliest to be meant.
        if fewest.is_none_or(|fewest| differences.len() <= fewest) {
            self.nearest = Some((event.clone(), differences));
        }
    }

    fn one(mut self, wanted: &Wanted<'_, E>) -> Result<Event<E>, String> {
        let found = self.matching.len();
        let is_as_wanted = match wanted.count {
            Some(0) => {
                return Err("`count = 0` is what `refute_enqueued!` is for".to_owned());
            }
            Some(count) => found == count,
            None => found > 0,
        };
        if is_as_wanted {
            return Ok(self.matching.swap_remove(0));
        }
        let described = wanted.describe();
        let mut text = match wanted.count {
            Some(count) => format!("{found} events are enqueued instead of {count}: {described}"),
            None => format!("no such event is enqueued: {described}"),
        };
        if let Some((event, differences)) = self.nearest.as_ref().filter(|_| found == 0) {
            let _ = write!(text, "\n  the nearest is {}", listing::line(event));
            for difference in differences {
                let _ = write!(text, "\n    {difference}");
            }
        }
        text.push_str(&self.list());
        Err(text)
    }

    fn none(self, wanted: &Wanted<'_, E>) -> Result<(), String> {
        let found = self.matching.len();
        let is_refuted = match wanted.count {
            Some(count) => found != count,
            None => found == 0,
        };
        if is_refuted {
            return Ok(());
        }
        let mut text = format!("{found} such events are enqueued: {}", wanted.describe());
        if let Some(first) = self.matching.first() {
            let metadata = shown::metadata::<E>(first);
            let _ = write!(
                text,
                "\n  the first is {}, {metadata}",
                listing::line(first)
            );
        }
        text.push_str(&self.list());
        Err(text)
    }

    fn list(&self) -> String {
        match &self.events[..] {
            [] => "\n  nothing is enqueued".to_owned(),
            events => format!("\n  enqueued: {}", listing::lines::<E>(events)),
        }
    }
}

/// The conditions that do not hold, as text.
fn differences<E: OutboxEntity>(event: &Event<E>, wanted: &Wanted<'_, E>) -> Vec<String> {
    let conditions = wanted.conditions.iter();
    let broken = conditions.filter(|condition| !(condition.holds)(event));
    let describe = broken.map(|condition| {
        let found = (condition.found)(event);
        format!(
            "{}: wanted {}, found {found}",
            condition.name, condition.wanted
        )
    });
    describe.collect()
}
