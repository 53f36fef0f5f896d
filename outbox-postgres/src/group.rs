//! Group commit: the events that producers of this store enqueue at the same time share a
//! transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Pool};
use outbox_runtime::store::kit::Signal;
use outbox_runtime::{
    Clock, EnqueueError, Enqueued, NewEvent, RawMetadata, StoreError, StoreErrorKind,
};
use tokio::sync::{mpsc, oneshot};

use crate::batch;
use crate::fault::{commit_fault, fault, pool_fault, was_refused};
use crate::insert::{KnownId, insert_rows};
use crate::sql::Sql;
use crate::transaction::read_committed;

/// The number of requests that wait for their turn; beyond it, producers wait to be let in.
const QUEUE: usize = 1_024;

/// The events and the metadata of one transaction, unless a single request has more.
const MOST_EVENTS: usize = 1_000;
const MOST_BYTES: usize = 8 << 20;

type Answer = Result<Vec<Enqueued>, EnqueueError>;

struct Request {
    events: Vec<NewEvent>,
    answer: oneshot::Sender<Answer>,
}

/// The way to the task that enqueues. It ends with the last handle.
#[derive(Debug)]
pub(crate) struct Producers(mpsc::Sender<Request>);

impl Producers {
    pub(crate) fn start(
        pool: Pool,
        sql: Arc<Sql>,
        clock: Option<Arc<dyn Clock>>,
        signal: Arc<Signal>,
    ) -> Self {
        let (sender, requests) = mpsc::channel(QUEUE);
        let writer = Writer {
            pool,
            sql,
            clock,
            signal,
        };
        tokio::spawn(writer.run(requests));
        Self(sender)
    }

    /// Enqueues all of these events or none.
    pub(crate) async fn enqueue(&self, events: Vec<NewEvent>) -> Answer {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(Request { events, answer }).await;
        sent.map_err(|_| ended())?;
        answered.await.map_err(|_| ended().with_unknown_outcome())?
    }
}

/// The error after the runtime in which the store was opened has ended.
pub(crate) fn ended() -> StoreError {
    let message = "the task that enqueues has ended with the runtime that the store was opened in";
    StoreError::new(StoreErrorKind::Closed, "enqueue", message)
}

struct Writer {
    pool: Pool,
    sql: Arc<Sql>,
    clock: Option<Arc<dyn Clock>>,
    signal: Arc<Signal>,
}

impl Writer {
    async fn run(self, mut requests: mpsc::Receiver<Request>) {
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(request) => request,
                None => match requests.recv().await {
                    Some(request) => request,
                    None => break,
                },
            };
            let mut group = vec![first];
            let (mut events, mut bytes) = size(&group[0]);
            while events < MOST_EVENTS && bytes < MOST_BYTES {
                let Ok(request) = requests.try_recv() else {
                    break;
                };
                let (more_events, more_bytes) = size(&request);
                if events + more_events > MOST_EVENTS || bytes + more_bytes > MOST_BYTES {
                    next = Some(request);
                    break;
                }
                (events, bytes) = (events + more_events, bytes + more_bytes);
                group.push(request);
            }
            self.write(group).await;
            self.signal.raise();
        }
    }

    async fn write(&self, group: Vec<Request>) {
        let mut client = match self.pool.get().await {
            Ok(client) => client,
            Err(error) => {
                let error = pool_fault("enqueue", error);
                for request in group {
                    let _ = request.answer.send(Err(error.clone().into()));
                }
                return;
            }
        };
        let now = self.clock.as_ref().map(|clock| clock.now());
        let Some(group) = self.write_at_once(&client, group, now).await else {
            return;
        };
        for request in group {
            let answer = self.write_one(&mut client, &request.events, now).await;
            let _ = request.answer.send(answer);
        }
    }

    /// Writes the whole group with one statement, if none of its events can fold, has a key or
    /// parents, or expires, and all ids are new. Returns the group if that did not work; nothing is written
    /// then.
    async fn write_at_once(
        &self,
        client: &Object,
        group: Vec<Request>,
        now: Option<DateTime<Utc>>,
    ) -> Option<Vec<Request>> {
        let events: Vec<&NewEvent> = group.iter().flat_map(|request| &request.events).collect();
        if events
            .iter()
            .any(|event| event.may_fold() || event.is_special())
        {
            return Some(group);
        }
        let known_id = KnownId::Fails;
        match insert_rows(&***client, &self.sql, &events, now, known_id).await {
            Ok(true) => {
                for request in group {
                    let new = request.events.iter().map(|event| Enqueued::New(event.id()));
                    let _ = request.answer.send(Ok(new.collect()));
                }
                None
            }
            Err(error) if !was_refused(&error) => {
                let error = commit_fault("enqueue", error);
                for request in group {
                    let _ = request.answer.send(Err(error.clone().into()));
                }
                None
            }
            // Somebody's id is known, or somebody's event is refused: each request for itself.
            Ok(false) | Err(_) => Some(group),
        }
    }

    async fn write_one(
        &self,
        client: &mut Object,
        events: &[NewEvent],
        now: Option<DateTime<Utc>>,
    ) -> Answer {
        let transaction = read_committed(client).await;
        let transaction = transaction.map_err(|error| fault("enqueue", error))?;
        let enqueued = batch::all(&*transaction, &self.sql, true, now, events).await?;
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault("enqueue", error))?;
        Ok(enqueued)
    }
}

fn size(request: &Request) -> (usize, usize) {
    let bytes = request
        .events
        .iter()
        .map(|event| event.metadata().map_or(0, RawMetadata::len));
    (request.events.len(), bytes.sum())
}
