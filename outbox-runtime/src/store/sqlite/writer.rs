//! The thread that writes: one transaction for whatever waits, in which each request can fail alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::builder::Settings;
use super::fault::{closed, fault};
use super::inbox::Inbox;
use super::insert::Inserter;
use super::watch::Watch;
use super::{schema, tally};
use crate::clock::{Clock, awaited};
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::{EnqueueError, StoreError, StoreErrorKind};

/// At most how many requests share a commit, so that the first of them does not wait for ever.
const BATCH: usize = 512;

/// A handle on the writer thread. The thread ends when the last handle is gone or the store is closed.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

enum Message {
    Do(Request),
    /// There are blocks that were not counted.
    Count,
}

/// The writer's side: its connection and what waits for it.
pub(super) struct WriterThread {
    conn: Connection,
    path: Arc<Path>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    watch: Arc<Watch>,
    queue: Inbox<Message>,
    /// Blocks are to be counted while nothing else is to be done.
    is_behind: bool,
}

/// What a request tells about itself besides its answer.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Once committed, something may be claimable that was not.
    pub(super) wakes: bool,
}

impl Writer {
    pub(super) fn new(
        conn: Connection,
        path: Arc<Path>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        watch: Arc<Watch>,
        closing: CancellationToken,
    ) -> (Self, WriterThread) {
        let (sender, queue) = Inbox::new(settings.queue_bound, closing);
        let thread = WriterThread {
            conn,
            path,
            settings,
            clock,
            watch,
            queue,
            is_behind: false,
        };
        (Self { queue: sender }, thread)
    }

    /// Has blocks counted, once nothing else is to be done.
    pub(super) fn count_soon(&self) {
        // While there is too much to do for this to fit in, the next to ask will say it again.
        let _ = self.queue.try_send(Message::Count);
    }

    /// Runs `work` in the next transaction, and answers once that has committed.
    ///
    /// Where `work` returns an error, what it wrote is rolled back and others in the same transaction are not touched.
    /// A panic of `work` is passed on to the caller.
    pub(super) async fn run<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Connection, &mut Effects) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.send(operation, false, work).await
    }

    /// [`run`](Self::run) for work that leaves nothing behind when it fails: it is spared a savepoint.
    pub(super) async fn run_atomic<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Connection, &mut Effects) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.send(operation, true, work).await
    }

    async fn send<T, E, F>(&self, operation: &'static str, is_atomic: bool, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Connection, &mut Effects) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let call = Call {
            work: Some(work),
            answer: Answer::new(operation, reply),
            is_atomic,
        };
        let request = Request::Call(Box::new(call));
        self.answered(operation, request, answer).await
    }

    /// Enqueues an event in the next transaction, and answers once that has committed.
    pub(super) async fn enqueue(&self, event: NewEvent) -> Result<Enqueued, EnqueueError> {
        const ENQUEUE: &str = "enqueue";
        let (reply, answer) = oneshot::channel();
        let enqueueing = Enqueueing {
            event,
            answer: Answer::new(ENQUEUE, reply),
        };
        let request = Request::Enqueue(Box::new(enqueueing));
        self.answered(ENQUEUE, request, answer).await
    }

    async fn answered<T, E>(
        &self,
        operation: &'static str,
        request: Request,
        answer: oneshot::Receiver<Answered<T, E>>,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if self.queue.send(Message::Do(request)).await.is_err() {
            return Err(closed(operation).into());
        }
        match awaited(answer).await {
            Some(Ok(answer)) => answer,
            Some(Err(panic)) => resume_unwind(panic),
            None => Err(closed(operation).into()),
        }
    }
}

/// What the writer is asked to do.
enum Request {
    /// Write one event: as there may be many in a row, they share a statement.
    Enqueue(Box<Enqueueing>),
    Call(Box<dyn AnyCall>),
}

/// A call, without the types of its answer.
trait AnyCall: Send {
    /// Whether work that fails leaves nothing behind.
    fn is_atomic(&self) -> bool;
    /// Does the work. `true`: keep what was written.
    fn run(&mut self, conn: &mut Connection, effects: &mut Effects) -> bool;
    /// Gives the answer: that of the work, or the failure of the transaction.
    fn answer(self: Box<Self>, failure: Option<&Failure>);
}

type Panic = Box<dyn std::any::Any + Send>;

/// What the work returned, or what its panic left.
type Answered<T, E> = Result<Result<T, E>, Panic>;

/// The answer to a request, and who waits for it.
struct Answer<T, E> {
    operation: &'static str,
    answer: Option<Answered<T, E>>,
    reply: oneshot::Sender<Answered<T, E>>,
}

impl<T, E: From<StoreError>> Answer<T, E> {
    fn new(operation: &'static str, reply: oneshot::Sender<Answered<T, E>>) -> Self {
        Self {
            operation,
            answer: None,
            reply,
        }
    }

    /// Does the work. `true`: keep what was written.
    fn take_from(&mut self, work: impl FnOnce() -> Result<T, E>) -> bool {
        // What a panic leaves behind is rolled back; the connection's state is SQLite's, not half-changed memory.
        let answer = catch_unwind(AssertUnwindSafe(work));
        let keep = matches!(answer, Ok(Ok(_)));
        self.answer = Some(answer);
        keep
    }

    /// Gives the answer: that of the work, or the failure of the transaction.
    fn give(self, failure: Option<&Failure>) {
        let answer = match (self.answer, failure) {
            // What was rolled back on its own has its own answer, whatever became of the transaction.
            (Some(answer), failure) if failure.is_none() || !matches!(answer, Ok(Ok(_))) => answer,
            (_, Some(failure)) => Ok(Err(failure.to_error(self.operation).into())),
            (_, None) => Ok(Err(closed(self.operation).into())),
        };
        // Whoever asked may have stopped waiting.
        let _ = self.reply.send(answer);
    }
}

struct Enqueueing {
    event: NewEvent,
    answer: Answer<Enqueued, EnqueueError>,
}

struct Call<T, E, F> {
    work: Option<F>,
    answer: Answer<T, E>,
    is_atomic: bool,
}

impl<T, E, F> AnyCall for Call<T, E, F>
where
    F: FnOnce(&mut Connection, &mut Effects) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn is_atomic(&self) -> bool {
        self.is_atomic
    }

    fn run(&mut self, conn: &mut Connection, effects: &mut Effects) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        self.answer.take_from(|| work(conn, effects))
    }

    fn answer(self: Box<Self>, failure: Option<&Failure>) {
        self.answer.give(failure);
    }
}

/// Why a transaction did not commit; told to each of its requests.
struct Failure {
    kind: StoreErrorKind,
    message: String,
    outcome_unknown: bool,
}

impl Failure {
    fn new(path: &Path, error: rusqlite::Error) -> Self {
        let error = fault("commit", path, error);
        Self {
            kind: error.kind(),
            message: error.to_string(),
            outcome_unknown: false,
        }
    }

    fn unknown(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    fn to_error(&self, operation: &'static str) -> StoreError {
        let error = StoreError::new(self.kind, operation, self.message.clone());
        if self.outcome_unknown {
            error.with_unknown_outcome()
        } else {
            error
        }
    }
}

impl WriterThread {
    /// Serves requests until every handle is gone or the store is closed.
    pub(super) fn serve(&mut self) {
        while let Some(first) = self.next() {
            let mut batch = Vec::new();
            let mut message = Ok(first);
            while let Ok(next) = message {
                match next {
                    Message::Do(request) => batch.push(request),
                    Message::Count => self.is_behind = true,
                }
                if batch.len() >= BATCH {
                    break;
                }
                message = self.queue.try_recv();
            }
            if !batch.is_empty() {
                self.commit(batch);
            }
        }
    }

    /// The next message. Until there is one, blocks are counted.
    fn next(&mut self) -> Option<Message> {
        while self.is_behind {
            match self.queue.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.count(),
            }
        }
        self.queue.blocking_recv()
    }

    /// Counts some blocks, and notes whether there are more.
    fn count(&mut self) {
        let counted = self.count_blocks();
        // Statistics are right without; the next to ask for them brings it up again.
        self.is_behind = counted.unwrap_or_else(|error| {
            let is_busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
            let error = fault("count", &self.path, error).to_string();
            tracing::debug!(?error, "events were not counted for statistics");
            if !is_busy {
                self.reopen();
            }
            false
        });
    }

    fn count_blocks(&mut self) -> rusqlite::Result<bool> {
        if tally::next_block(&self.conn)?.is_none() {
            return Ok(false);
        }
        // Nobody waits for this, so it waits for nobody who writes.
        self.conn.busy_timeout(Duration::ZERO)?;
        let counted = Transaction::begin(&mut self.conn).and_then(|tx| {
            let is_behind = tally::count_blocks(tx.conn)?;
            tx.commit()?;
            Ok(is_behind)
        });
        self.conn.busy_timeout(self.settings.busy_timeout)?;
        counted
    }

    fn commit(&mut self, mut batch: Vec<Request>) {
        let mut effects = Effects::default();
        let failure = self.transact(&mut batch, &mut effects).err();
        if failure.is_none() && effects.wakes {
            self.watch.announce_commit();
        }
        for request in batch {
            match request {
                Request::Enqueue(enqueueing) => enqueueing.answer.give(failure.as_ref()),
                Request::Call(call) => call.answer(failure.as_ref()),
            }
        }
        if failure.is_some_and(|failure| failure.outcome_unknown) {
            self.reopen();
        }
    }

    fn transact(&mut self, batch: &mut [Request], effects: &mut Effects) -> Result<(), Failure> {
        let path = Arc::clone(&self.path);
        let failed = |error| Failure::new(&path, error);
        let tx = Transaction::begin(&mut self.conn).map_err(failed)?;
        if let Some(message) = schema::outgrown(tx.conn, &path).map_err(failed)? {
            return Err(Failure {
                kind: StoreErrorKind::SchemaTooNew,
                message,
                outcome_unknown: false,
            });
        }
        // Who is alone in the transaction can be rolled back with it.
        let is_alone = batch.len() == 1;
        let mut has_work = false;
        let mut requests = batch.iter_mut().peekable();
        while let Some(request) = requests.next() {
            match request {
                Request::Enqueue(first) => {
                    effects.wakes = true;
                    let mut inserter = Inserter::new(tx.conn, self.clock.as_ref());
                    let mut next = Some(first);
                    while let Some(Enqueueing { event, answer }) = next.map(|next| &mut **next) {
                        // An insert that fails leaves nothing behind.
                        has_work |= answer.take_from(|| inserter.insert(event));
                        tx.check_open(&path)?;
                        next = match requests.next_if(|next| matches!(next, Request::Enqueue(_))) {
                            Some(Request::Enqueue(next)) => Some(next),
                            _ => None,
                        };
                    }
                }
                Request::Call(call) => {
                    let needs_savepoint = !is_alone && !call.is_atomic();
                    if needs_savepoint {
                        tx.run("SAVEPOINT outbox_request").map_err(failed)?;
                    }
                    let keep = call.run(tx.conn, effects);
                    tx.check_open(&path)?;
                    has_work |= keep;
                    if needs_savepoint {
                        if !keep {
                            tx.run("ROLLBACK TO outbox_request").map_err(failed)?;
                        }
                        tx.run("RELEASE outbox_request").map_err(failed)?;
                    }
                }
            }
        }
        if !has_work {
            // Nobody wrote anything that is to be kept.
            return tx.roll_back().map_err(failed);
        }
        tx.commit().map_err(|error| {
            // A busy commit has written nothing, and was rolled back as `tx` was dropped.
            let busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
            let failure = failed(error);
            if busy { failure } else { failure.unknown() }
        })
    }

    /// After a failed commit the pages that SQLite holds may not be those of the file.
    fn reopen(&mut self) {
        match schema::open_writer(&self.path, &self.settings) {
            Ok(conn) => self.conn = conn,
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(
                    ?error,
                    "the database could not be opened again after a failed commit"
                );
            }
        }
    }
}

/// The write lock and an open transaction, by statements that are prepared once. Rolled back unless committed.
struct Transaction<'c> {
    conn: &'c mut Connection,
    is_open: bool,
}

impl<'c> Transaction<'c> {
    fn begin(conn: &'c mut Connection) -> rusqlite::Result<Self> {
        let mut tx = Self {
            conn,
            is_open: false,
        };
        tx.run("BEGIN IMMEDIATE")?;
        tx.is_open = true;
        Ok(tx)
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// SQLite rolls the whole transaction back on some errors (a full disk, a failed write), and a closure of the caller's could
    /// have ended it. There is nothing left to commit or roll back then.
    fn check_open(&self, path: &Path) -> Result<(), Failure> {
        if !self.conn.is_autocommit() {
            return Ok(());
        }
        Err(Failure {
            kind: StoreErrorKind::Unavailable,
            message: format!(
                "{}: a request in the same transaction ended it (an I/O error, or a COMMIT or ROLLBACK of its own)",
                path.display()
            ),
            outcome_unknown: true,
        })
    }

    fn commit(mut self) -> rusqlite::Result<()> {
        self.run("COMMIT")?;
        self.is_open = false;
        Ok(())
    }

    fn roll_back(mut self) -> rusqlite::Result<()> {
        self.is_open = false;
        self.run("ROLLBACK")
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open && !self.conn.is_autocommit() {
            // Whoever dropped it has an error to tell already.
            let _ = self.run("ROLLBACK");
        }
    }
}
