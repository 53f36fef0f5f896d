//! The floor: a hand-written SQLite engine for exactly this workload, with only the index that it
//! needs.
//!
//! One thread has the only connection. It commits all waiting inserts together, and writes the
//! pending completions together with the next claim, which is one `UPDATE .. RETURNING`. All
//! handlers run in one task. It syncs each commit, fences outcomes and counts attempts, and leaves
//! out everything else: order, retries, dead letters, timeouts, panics, pauses, damaged rows,
//! users, repeated enqueueing, statistics, clean-up, several processes.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

use self::sql::{Connected, Done};
use crate::entity::{Claimed, MoodEntry, Row};

mod sql; // the floor's table and statements

pub(crate) use self::sql::{claim, connect, count, insert_alone};

/// Maximum number of inserts per commit, as in the store.
const INSERTS: usize = 512;
/// Events per claim. At most two claims are with the handlers.
const CLAIM: usize = 100;

/// A handle on the floor's thread.
#[derive(Debug)]
pub(crate) struct Floor {
    queue: mpsc::Sender<Message>,
    thread: JoinHandle<anyhow::Result<()>>,
}

enum Message {
    Insert(Vec<Row>, oneshot::Sender<()>),
    /// Start claiming.
    Work(tokio_mpsc::UnboundedSender<Claimed>),
    Done(Done),
    /// Stop claiming, and answer once the last completion is committed.
    Stop(oneshot::Sender<()>),
    Close,
}

impl Floor {
    pub(crate) fn open(file: &Path) -> anyhow::Result<Self> {
        let connected = Connected::open(file)?;
        let (queue, messages) = mpsc::channel();
        let thread = std::thread::spawn(move || serve(&connected, &messages));
        Ok(Self { queue, thread })
    }

    /// Resolves once the rows are committed.
    pub(crate) async fn insert(&self, rows: Vec<Row>) -> anyhow::Result<()> {
        let (reply, committed) = oneshot::channel();
        self.queue.send(Message::Insert(rows, reply))?;
        committed.await.context("the floor has stopped")
    }

    /// Runs `concurrency` handlers at a time for all claimed events, until the work is stopped.
    pub(crate) fn work<H, F>(&self, concurrency: usize, handler: H) -> anyhow::Result<()>
    where
        H: Fn(&Claimed) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, mut claimed) = tokio_mpsc::unbounded_channel();
        self.queue.send(Message::Work(sender))?;
        let queue = self.queue.clone();
        tokio::spawn(async move {
            futures_util::stream::poll_fn(|cx| claimed.poll_recv(cx))
                .for_each_concurrent(concurrency, |event| {
                    let handled = handler(&event);
                    let queue = &queue;
                    async move {
                        handled.await;
                        // The floor may have been closed.
                        let _ = queue.send(Message::Done(Done { seq: event.seq }));
                    }
                })
                .await;
        });
        Ok(())
    }

    /// Stops claiming, and resolves once every claimed event was handled and its completion is
    /// committed.
    pub(crate) async fn stop_work(&self) -> anyhow::Result<()> {
        let (reply, stopped) = oneshot::channel();
        self.queue.send(Message::Stop(reply))?;
        stopped.await.context("the floor has stopped")
    }

    pub(crate) fn close(self) -> anyhow::Result<()> {
        self.queue.send(Message::Close)?;
        drop(self.queue);
        match self.thread.join() {
            Ok(ended) => ended,
            Err(_) => anyhow::bail!("the floor panicked"),
        }
    }
}

/// Fills a file with completed and pending events, in that order.
pub(crate) fn fill(file: &Path, completed: usize, pending: usize) -> anyhow::Result<()> {
    let mut conn = connect(file)?;
    // Setup is not measured, and its data can be made again.
    conn.execute_batch("PRAGMA synchronous = OFF")?;
    for (count, is_completed) in [(completed, true), (pending, false)] {
        let tx = conn.transaction()?;
        for number in 0..count {
            sql::insert(&tx, &Row::of(&MoodEntry::new(number))?)?;
        }
        if is_completed {
            sql::complete_all(&tx)?;
        }
        tx.commit()?;
    }
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// Body of the floor's thread.
fn serve(connected: &Connected, messages: &mpsc::Receiver<Message>) -> anyhow::Result<()> {
    let mut work: Option<tokio_mpsc::UnboundedSender<Claimed>> = None;
    let mut with_handlers = 0;
    let mut stops = Vec::new();
    while let Ok(first) = messages.recv() {
        let (mut inserts, mut done) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Insert(rows, reply) => inserts.push((rows, reply)),
                Message::Work(sender) => work = Some(sender),
                Message::Done(event) => done.push(event),
                Message::Stop(reply) => {
                    work = None;
                    stops.push(reply);
                }
                Message::Close => return Ok(()),
            }
            next = if inserts.len() < INSERTS {
                messages.try_recv().ok()
            } else {
                None
            };
        }
        if !inserts.is_empty() {
            connected.insert(inserts.iter().flat_map(|(rows, _)| rows))?;
            for (_, reply) in inserts {
                // The caller may have stopped waiting.
                let _ = reply.send(());
            }
        }
        with_handlers -= done.len();
        let room = match &work {
            Some(_) if with_handlers <= CLAIM => CLAIM,
            _ => 0,
        };
        if room > 0 || !done.is_empty() {
            let claimed = connected.complete_and_claim(&done, room)?;
            with_handlers += claimed.len();
            if let Some(handlers) = &work {
                for event in claimed {
                    handlers.send(event).context("the handlers have stopped")?;
                }
            }
        }
        if with_handlers == 0 {
            for reply in stops.drain(..) {
                let _ = reply.send(());
            }
        }
    }
    Ok(())
}
