//! Metering: the metrics of a run.
//!
//! Handles are taken when a run starts or meets a type for the first time: those taken before the
//! application has installed its recorder would write nowhere.

#[cfg(feature = "metrics")]
pub(super) use self::on::Meter;

#[cfg(not(feature = "metrics"))]
pub(super) use self::off::Meter;

#[cfg(feature = "metrics")]
mod on {
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_gauge};
    use metrics::{describe_histogram, gauge, histogram};

    use crate::event::OutboxEvent;
    use crate::meter::{MOST_LABELS, labels, name};
    use crate::outcome::Disposition;
    use crate::repository::Rescued;
    use crate::statistics::OutboxStatistics;

    /// The handles for one event type at one destination.
    struct Handles {
        event_type: String,
        destination: Option<String>,
        labels: (String, String),
        claimed: Counter,
        delivered: Counter,
        retried: Counter,
        dropped: Counter,
        queue: Histogram,
        answered: Histogram,
        refused: Histogram,
    }

    impl Handles {
        fn new(event_type: &str, destination: Option<&str>) -> Self {
            let labels = labels(event_type, destination);
            let counter = |name: &'static str| {
                let (event_type, to) = labels.clone();
                counter!(name, "event_type" => event_type, "destination" => to)
            };
            let handler = |outcome: &'static str| {
                let (event_type, to) = labels.clone();
                histogram!(name::HANDLER, "event_type" => event_type, "destination" => to,
                    "outcome" => outcome)
            };
            let (of_type, to) = labels.clone();
            Self {
                event_type: event_type.to_owned(),
                destination: destination.map(str::to_owned),
                claimed: counter(name::CLAIMED),
                delivered: counter(name::DELIVERED),
                retried: counter(name::RETRIED),
                dropped: counter(name::DROPPED),
                queue: histogram!(name::QUEUE, "event_type" => of_type, "destination" => to),
                answered: handler("delivered"),
                refused: handler("not_delivered"),
                labels,
            }
        }

        fn are_of(&self, event: &OutboxEvent) -> bool {
            self.event_type == event.event_type && self.destination == event.destination
        }
    }

    /// The metrics of a run.
    pub(in crate::processor::run) struct Meter {
        of: Vec<Handles>,
        /// For the events beyond the limit of labels.
        others: Option<Box<Handles>>,
        commit: Histogram,
    }

    #[allow(clippy::unused_self, reason = "a meter belongs to a run")]
    impl Meter {
        pub(in crate::processor::run) fn new() -> Self {
            describe();
            Self {
                of: Vec::new(),
                others: None,
                commit: histogram!(name::COMMIT),
            }
        }

        fn of(&mut self, event: &OutboxEvent) -> &Handles {
            let place = self.of.iter().position(|handles| handles.are_of(event));
            if place.is_none() && self.of.len() >= MOST_LABELS {
                let others = || Box::new(Handles::new("other", Some("other")));
                return self.others.get_or_insert_with(others);
            }
            let place = place.unwrap_or_else(|| {
                let to = event.destination.as_deref();
                self.of.push(Handles::new(&event.event_type, to));
                self.of.len() - 1
            });
            &self.of[place]
        }

        /// An event was claimed. The time in the queue counts from its due time.
        pub(in crate::processor::run) fn claimed(
            &mut self,
            event: &OutboxEvent,
            now: DateTime<Utc>,
        ) {
            let due = event.created_at.max(event.next_attempt_at);
            let waited = (now - due).to_std().unwrap_or_default();
            let handles = self.of(event);
            handles.claimed.increment(1);
            handles.queue.record(waited.as_secs_f64());
        }

        /// A handler has ended after that time.
        pub(in crate::processor::run) fn ended(
            &mut self,
            event: &OutboxEvent,
            is_delivered: bool,
            took: Duration,
        ) {
            if took == Duration::MAX {
                // A handler that panicked: nobody knows how long it took.
                return;
            }
            let handles = self.of(event);
            let handler = match is_delivered {
                true => &handles.answered,
                false => &handles.refused,
            };
            handler.record(took.as_secs_f64());
        }

        /// An outcome was decided.
        pub(in crate::processor::run) fn settled(
            &mut self,
            event: &OutboxEvent,
            disposition: &Disposition,
        ) {
            let handles = self.of(event);
            let labels = || handles.labels.clone();
            let given_back = |class: &'static str| {
                let (event_type, to) = labels();
                counter!(name::GIVEN_BACK, "event_type" => event_type, "destination" => to,
                    "class" => class)
                .increment(1);
            };
            match disposition {
                Disposition::Complete | Disposition::Remove => handles.delivered.increment(1),
                Disposition::Fail { .. } => handles.retried.increment(1),
                Disposition::Bury { reason, .. } => {
                    let (event_type, to) = labels();
                    counter!(name::DEAD, "event_type" => event_type, "destination" => to,
                        "reason" => reason.as_str())
                    .increment(1);
                }
                Disposition::GiveBack { refusal, .. } => {
                    let class = refusal.as_ref().map(|refusal| refusal.class.as_str());
                    given_back(class.unwrap_or("not_attempted"));
                }
                Disposition::Defer { refusal, .. } => given_back(refusal.class.as_str()),
                Disposition::Snooze { .. } => given_back("snoozed"),
                Disposition::Drop => handles.dropped.increment(1),
            }
        }

        /// Leases of others had expired.
        pub(in crate::processor::run) fn rescued(&self, rescued: Rescued) {
            for (outcome, count) in [("claimable", rescued.requeued), ("dead", rescued.buried)] {
                if count > 0 {
                    counter!(name::RESCUED, "outcome" => outcome).increment(count);
                }
            }
        }

        /// Outcomes were recorded, and events claimed, in that time.
        pub(in crate::processor::run) fn committed(&self, took: Duration) {
            self.commit.record(took.as_secs_f64());
        }

        /// The state of the store.
        pub(in crate::processor::run) fn sampled(
            &self,
            statistics: &OutboxStatistics,
            oldest_due: Option<DateTime<Utc>>,
            pauses: usize,
        ) {
            let backlog =
                statistics.pending_count + statistics.failed_count + statistics.processing_count;
            gauge!(name::BACKLOG).set(backlog as f64);
            gauge!(name::DEAD_LETTERS).set(statistics.dead_count as f64);
            gauge!(name::STALE).set(statistics.stale_count as f64);
            let oldest = oldest_due.map_or(0.0, |at| at.timestamp_micros() as f64 / 1e6);
            gauge!(name::OLDEST).set(oldest);
            gauge!(name::PAUSES).set(pauses as f64);
        }
    }

    fn describe() {
        let count = |name: &'static str, text: &'static str| {
            describe_counter!(name, Unit::Count, text);
        };
        count(
            name::ENQUEUED,
            "Changes handed to a sink, also of transactions rolled back since",
        );
        count(name::CLAIMED, "Events claimed");
        count(name::DELIVERED, "Events delivered");
        count(name::RETRIED, "Attempts that failed and are repeated");
        count(
            name::GIVEN_BACK,
            "Attempts given back uncounted, by the class of the refusal",
        );
        count(name::DEAD, "Events that became dead letters, by reason");
        count(name::DROPPED, "Events that expired and were deleted");
        count(
            name::RESCUED,
            "Events taken back from workers that fell silent",
        );
        let seconds = |name: &'static str, text: &'static str| {
            describe_histogram!(name, Unit::Seconds, text);
        };
        seconds(
            name::QUEUE,
            "Time from the due time of an event to its claim",
        );
        seconds(name::HANDLER, "Time of a handler");
        seconds(
            name::COMMIT,
            "Time to record outcomes and claim events in the store",
        );
        let state = |name: &'static str, unit: Unit, text: &'static str| {
            describe_gauge!(name, unit, text);
        };
        state(
            name::BACKLOG,
            Unit::Count,
            "Undelivered events, without dead letters",
        );
        state(name::DEAD_LETTERS, Unit::Count, "Dead letters");
        state(
            name::STALE,
            Unit::Count,
            "Events pending for more than 300 seconds",
        );
        state(
            name::OLDEST,
            Unit::Seconds,
            "When the first event that can be claimed was or will be due, in Unix time; 0 without one",
        );
        state(name::PAUSES, Unit::Count, "Pauses in effect");
        #[cfg(feature = "sqlite")]
        state(name::WAL, Unit::Bytes, "Size of the -wal file");
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    use std::time::Duration;

    use chrono::{DateTime, Utc};

    use crate::event::OutboxEvent;
    use crate::outcome::Disposition;
    use crate::repository::Rescued;
    use crate::statistics::OutboxStatistics;

    /// No metrics.
    pub(in crate::processor::run) struct Meter;

    #[allow(clippy::unused_self, reason = "the methods of the other meter")]
    impl Meter {
        pub(in crate::processor::run) fn new() -> Self {
            Self
        }

        pub(in crate::processor::run) fn claimed(&mut self, _: &OutboxEvent, _: DateTime<Utc>) {}

        pub(in crate::processor::run) fn ended(&mut self, _: &OutboxEvent, _: bool, _: Duration) {}

        pub(in crate::processor::run) fn settled(&mut self, _: &OutboxEvent, _: &Disposition) {}

        pub(in crate::processor::run) fn rescued(&self, _: Rescued) {}

        pub(in crate::processor::run) fn committed(&self, _: Duration) {}

        pub(in crate::processor::run) fn sampled(
            &self,
            _: &OutboxStatistics,
            _: Option<DateTime<Utc>>,
            _: usize,
        ) {
        }
    }
}
