//! The remote service, and the handler that calls it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::{Clock, HandlerError, OutboxEvent, OutboxEventHandler, async_trait};
use outbox_testing::ManualClock;

use crate::case::Case;
use crate::course::Call;

/// A call at its beginning.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Its time, since the beginning of the scene.
    pub at: Duration,
    /// The number of the event, in order of arrival.
    pub event: usize,
    /// The number of the user.
    pub user: usize,
    /// The event type.
    pub kind: &'a str,
    /// The destination. Empty: the default.
    pub destination: &'a str,
    /// The number of earlier calls for the event.
    pub calls_before: u32,
}

/// Whether a call is refused.
pub type Refuses = dyn Fn(&Ask<'_>) -> bool + Send + Sync;

/// The remote service: its refusals, and the log of all calls. Clones are the same service.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) case: Case,
    pub(crate) clock: ManualClock,
    pub(crate) begin: DateTime<Utc>,
    pub(crate) refuses: Arc<Refuses>,
    /// The user and destination of each event.
    pub(crate) about: Arc<Vec<(usize, &'static str)>>,
    /// Never held across an await.
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) calls: Vec<Call>,
    /// The number of calls for each event.
    sent: Vec<u32>,
    /// Changes whenever a call begins or ends.
    pub(crate) activity: u64,
    /// Whether each event was delivered.
    is_delivered: Vec<bool>,
    /// The number of delivered events.
    pub(crate) delivered: usize,
}

impl World {
    pub(crate) fn new(
        case: Case,
        clock: ManualClock,
        refuses: Arc<Refuses>,
        about: Vec<(usize, &'static str)>,
    ) -> Self {
        let log = Log {
            sent: vec![0; about.len()],
            is_delivered: vec![false; about.len()],
            ..Log::default()
        };
        Self {
            case,
            begin: clock.now(),
            clock,
            refuses,
            about: Arc::new(about),
            log: Arc::new(Mutex::new(log)),
        }
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the beginning of the scene.
    pub(crate) fn now(&self) -> Duration {
        (self.clock.now() - self.begin).to_std().unwrap_or_default()
    }

    fn begin(&self, event: &OutboxEvent, processor: usize) -> (usize, Duration, bool) {
        let number = number(event);
        let (user, destination) = self.about[number];
        let mut log = self.log();
        let calls_before = log.sent[number];
        log.sent[number] += 1;
        log.activity += 1;
        let at = self.now();
        let refused = (self.refuses)(&Ask {
            at,
            event: number,
            user,
            kind: &event.event_type,
            destination,
            calls_before,
        });
        let call = log.calls.len();
        log.calls.push(Call {
            event: number,
            processor,
            at,
            ended: None,
            refused,
        });
        (call, self.case.latency(number, calls_before), refused)
    }

    fn end(&self, call: usize) {
        let mut log = self.log();
        log.activity += 1;
        let now = self.now();
        let Call { event, refused, .. } = log.calls[call];
        if !refused && !std::mem::replace(&mut log.is_delivered[event], true) {
            log.delivered += 1;
        }
        log.calls[call].ended = Some(now);
    }
}

/// An event id contains the number of the event.
pub(crate) fn number(event: &OutboxEvent) -> usize {
    usize::try_from(event.id.as_u64_pair().1).expect("ids are numbers")
}

/// The client of one processor.
pub(crate) struct Client {
    pub(crate) world: World,
    pub(crate) processor: usize,
}

#[async_trait]
impl OutboxEventHandler for Client {
    fn can_handle(&self, _: &str) -> bool {
        true
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        let (call, latency, refused) = self.world.begin(event, self.processor);
        let answer = refused.then(|| self.world.case.class.answer());
        if let Some(None) = answer {
            std::future::pending::<()>().await;
        }
        self.world.clock.sleep(latency).await;
        self.world.end(call);
        answer.flatten().map_or(Ok(()), Err)
    }
}
