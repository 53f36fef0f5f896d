//! The remote service, and the handler that calls it.

use std::collections::BTreeMap;
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
    /// Of each processor, how many calls are under way.
    under_way: BTreeMap<usize, usize>,
    /// Of each event, whether it was delivered.
    pub(crate) is_delivered: Vec<bool>,
    /// How many of them were.
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

    /// Whether this processor is in the middle of a call.
    pub(crate) fn is_calling(&self, processor: usize) -> bool {
        self.log().under_way.contains_key(&processor)
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

/// A call under way; whatever becomes of it, dropping it ends it.
struct UnderWay<'a>(&'a Client);

impl<'a> UnderWay<'a> {
    fn begin(client: &'a Client) -> Self {
        let mut log = client.world.log();
        *log.under_way.entry(client.processor).or_default() += 1;
        Self(client)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut log = self.0.world.log();
        let calls = log.under_way.entry(self.0.processor).or_default();
        *calls -= 1;
        if *calls == 0 {
            log.under_way.remove(&self.0.processor);
        }
    }
}

#[async_trait]
impl OutboxEventHandler for Client {
    fn can_handle(&self, _: &str) -> bool {
        true
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        let (call, latency, refused) = self.world.begin(event, self.processor);
        let _under_way = UnderWay::begin(self);
        let answer = refused.then(|| self.world.case.class.answer());
        if let Some(None) = answer {
            std::future::pending::<()>().await;
        }
        self.world.clock.sleep(latency).await;
        self.world.end(call);
        answer.flatten().map_or(Ok(()), Err)
    }
}
