//! Results: each call with its time, and the final rows.

use std::time::Duration;

use outbox_runtime::{Explanation, OutboxEvent, OutboxStatus};

/// One call of the remote service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The number of the event.
    pub event: usize,
    /// The processor that made the call.
    pub processor: usize,
    /// The beginning of the call, since the beginning of the scene.
    pub at: Duration,
    /// The time of the answer. `None`: never.
    pub ended: Option<Duration>,
    /// Whether it was refused.
    pub refused: bool,
}

impl Call {
    /// Whether the service accepted the event.
    #[must_use]
    pub fn is_delivery(&self) -> bool {
        !self.refused && self.ended.is_some()
    }
}

/// The result of a scene.
#[derive(Debug, Clone)]
pub struct Course {
    /// The arrival time of each event.
    pub arrived: Vec<Duration>,
    /// Every call, in order.
    pub calls: Vec<Call>,
    /// The time of the first delivery of each event.
    pub delivered: Vec<Option<Duration>>,
    /// The final row of each event. `None`: it was cleaned up, or never arrived.
    pub rows: Vec<Option<OutboxEvent>>,
    /// The final explanation of each event that was not delivered.
    pub explained: Vec<Option<Explanation>>,
    /// The number of times a processor was killed in the middle of a call.
    pub kills: u32,
    /// The duration, in virtual time.
    pub took: Duration,
}

impl Course {
    pub(crate) fn new(
        arrived: Vec<Duration>,
        calls: Vec<Call>,
        rows: Vec<OutboxEvent>,
        explained: Vec<Option<Explanation>>,
        kills: u32,
        took: Duration,
    ) -> Self {
        let mut delivered = vec![None; arrived.len()];
        for call in &calls {
            let first: Option<Duration> = delivered[call.event];
            if let Some(ended) = call.ended.filter(|_| call.is_delivery()) {
                delivered[call.event] = Some(first.map_or(ended, |first| first.min(ended)));
            }
        }
        let mut row_of = vec![None; arrived.len()];
        for row in rows {
            let number = crate::world::number(&row);
            row_of[number] = Some(row);
        }
        Self {
            arrived,
            calls,
            delivered,
            rows: row_of,
            explained,
            kills,
            took,
        }
    }

    /// Whether the event is a dead letter.
    #[must_use]
    pub fn is_dead(&self, event: usize) -> bool {
        let row = self.rows[event].as_ref();
        row.is_some_and(|row| row.status == OutboxStatus::Dead)
    }

    /// The number of dead letters among these events.
    pub fn dead(&self, events: impl IntoIterator<Item = usize>) -> usize {
        events
            .into_iter()
            .filter(|event| self.is_dead(*event))
            .count()
    }

    /// The number of delivered events among these.
    pub fn delivered(&self, events: impl IntoIterator<Item = usize>) -> usize {
        let is_delivered = |event: &usize| self.delivered[*event].is_some();
        events.into_iter().filter(is_delivered).count()
    }

    /// The time at which the last of these events was delivered. `None`: one was not.
    pub fn last(&self, events: impl IntoIterator<Item = usize>) -> Option<Duration> {
        let mut last = Duration::ZERO;
        for event in events {
            last = last.max(self.delivered[event]?);
        }
        Some(last)
    }

    /// The longest time from arrival to delivery among these events. `None`: one was not delivered.
    pub fn slowest(&self, events: impl IntoIterator<Item = usize>) -> Option<Duration> {
        let mut slowest = Duration::ZERO;
        for event in events {
            let took = self.delivered[event]?.saturating_sub(self.arrived[event]);
            slowest = slowest.max(took);
        }
        Some(slowest)
    }

    /// The calls per minute that began in a span, for the events that the filter accepts.
    pub fn rate(&self, from: Duration, to: Duration, wanted: impl Fn(&Call) -> bool) -> f64 {
        let is_in = |call: &&Call| call.at >= from && call.at < to && wanted(call);
        let count = self.calls.iter().filter(is_in).count();
        count as f64 / (to.saturating_sub(from).as_secs_f64() / 60.0)
    }
}
