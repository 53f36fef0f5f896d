//! Producers: enqueue, and repeat under the same ids what was not acknowledged.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use outbox_postgres::tokio_postgres::error::SqlState;
use outbox_postgres::tokio_postgres::{self, Client, Config, IsolationLevel, NoTls};
use outbox_postgres::{Outbox, PostgresStore};
use outbox_runtime::prelude::*;
use outbox_runtime::{Enqueued, NewEvent};
use outbox_testing::SeededRng;
use uuid::Uuid;

use super::ledger::{Ledger, Record};
use super::pause;
use super::worker::Task;

/// Lanes of transactions that write a row of their own first, from 0.
pub const SHARED_LANES: i64 = 12;
/// Lanes whose events fold, from here.
pub const FOLDING: i64 = 1_000;
/// Lanes of the producers of a store, one each, from here.
pub const OWN: i64 = 2_000;

/// Counts of what happened, by name.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    /// Counts something.
    pub fn add(&self, what: impl Into<String>) {
        let mut counts = self.0.lock().expect("nothing panics with it");
        *counts.entry(what.into()).or_default() += 1;
    }

    /// How often something whose name begins like this was counted.
    #[must_use]
    pub fn of(&self, prefix: &str) -> u64 {
        let counts = self.0.lock().expect("nothing panics with it");
        let these = counts.iter().filter(|(name, _)| name.starts_with(prefix));
        these.map(|(_, count)| count).sum()
    }

    /// How often an attempt failed for the database, and not for the producer.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.of("SQLSTATE") + self.of("connection") + self.of("Unavailable")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().expect("nothing panics with it");
        let counts = counts.iter().map(|(name, count)| format!("{name} {count}"));
        f.write_str(&counts.collect::<Vec<_>>().join(", "))
    }
}

/// How much is enqueued, and how.
#[derive(Debug, Clone)]
pub struct Load {
    /// Tasks that enqueue in transactions of the application.
    pub transactions: u64,
    /// Their isolation level.
    pub level: IsolationLevel,
    /// Tasks that enqueue through one store, which share commits.
    pub of_store: u64,
    /// Tasks whose events fold.
    pub folding: u64,
    /// The longest pause of a task between two events, in milliseconds.
    pub pause: u64,
    /// The longest pause within a transaction, in milliseconds.
    pub nap: u64,
    /// One in this many transactions makes such a pause.
    pub naps: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            transactions: 4,
            level: IsolationLevel::ReadCommitted,
            of_store: 4,
            folding: 0,
            pause: 12,
            nap: 20,
            naps: 30,
        }
    }
}

/// What all producers share.
#[derive(Debug)]
pub struct Producers {
    pub(super) address: String,
    pub(super) schema: String,
    pub(super) ledger: PathBuf,
    pub(super) load: Load,
    pub(super) stops: AtomicBool,
    /// What happened to them.
    pub tally: Arc<Tally>,
}

/// The end of an attempt to enqueue.
enum Done {
    /// Its commit was acknowledged.
    Committed,
    /// An earlier attempt was committed, whose answer was lost.
    Recovered,
    /// This attempt failed.
    Failed,
}

impl Producers {
    /// Starts all of them.
    pub(super) fn start(self: &Arc<Self>, seed: u64) -> Vec<tokio::task::JoinHandle<()>> {
        let mut rng = SeededRng::new(seed);
        let mut tasks = Vec::new();
        for _ in 0..self.load.transactions {
            tasks.push(tokio::spawn(Arc::clone(self).transact(rng.fork(), false)));
        }
        for _ in 0..self.load.folding {
            tasks.push(tokio::spawn(Arc::clone(self).transact(rng.fork(), true)));
        }
        if self.load.of_store > 0 {
            tasks.push(tokio::spawn(Arc::clone(self).share_commits(rng.fork())));
        }
        tasks
    }

    fn is_over(&self) -> bool {
        self.stops.load(Ordering::SeqCst)
    }

    fn note(&self, error: &tokio_postgres::Error) {
        match error.code() {
            Some(code) => self.tally.add(format!("SQLSTATE {}", code.code())),
            None => self.tally.add("connection lost"),
        }
    }

    fn refused(&self, error: &EnqueueError) {
        let text = error.to_string();
        let code = text.split_once("SQLSTATE ").map(|(_, code)| &code[..5]);
        let kind = match error {
            EnqueueError::Store(error) => format!("{:?}", error.kind()),
            _ => "refused".to_owned(),
        };
        self.tally.add(format!("{kind} {}", code.unwrap_or("")));
        if !error.is_transient() {
            self.tally.add(format!("problem: {text}"));
        }
    }

    /// Transactions of an application, each attempt on whatever connection works.
    async fn transact(self: Arc<Self>, mut rng: SeededRng, folds: bool) {
        let ledger = Ledger::open(&self.ledger);
        let outbox = Outbox::in_schema(&self.schema).expect("the schema's name is valid");
        let mut config: Config = self.address.parse().expect("an address");
        config.application_name(format!("{}-producer", self.schema));
        let mut client: Option<Client> = None;
        while !self.is_over() {
            pause(rng.below(self.load.pause + 1)).await;
            let lane = rng.below(SHARED_LANES.unsigned_abs()).cast_signed();
            let lane = if folds { FOLDING + lane / 4 } else { lane };
            let task = (
                Uuid::from_u128(u128::from(rng.word()) << 64 | u128::from(rng.word())),
                lane,
            );
            ledger.write(&Record::Intended { event: task.0 });
            // A task that has begun goes on until it knows, whether or not the others stop.
            loop {
                let connected = match client.take() {
                    Some(client) if !client.is_closed() => Some(client),
                    _ => self.connect(&config).await,
                };
                let Some(mut connected) = connected else {
                    pause(20).await;
                    continue;
                };
                let done = self
                    .attempt(&outbox, &mut connected, &mut rng, task, folds)
                    .await;
                client = Some(connected);
                match done {
                    Done::Failed => pause(rng.below(10)).await,
                    Done::Committed => break self.tally.add("acknowledged"),
                    Done::Recovered => {
                        self.tally.add("recovered");
                        break self.tally.add("acknowledged");
                    }
                }
            }
            ledger.write(&Record::Acknowledged { event: task.0 });
        }
    }

    async fn connect(&self, config: &Config) -> Option<Client> {
        match config.connect(NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(async move {
                    // An error shows in the statements that it concerns.
                    let _ = connection.await;
                });
                Some(client)
            }
            Err(error) => {
                self.note(&error);
                None
            }
        }
    }

    async fn attempt(
        &self,
        outbox: &Outbox,
        client: &mut Client,
        rng: &mut SeededRng,
        (event, lane): (Uuid, i64),
        folds: bool,
    ) -> Done {
        match self
            .try_once(outbox, client, rng, (event, lane), folds)
            .await
        {
            Ok(done) => done,
            Err(error) => {
                if let Some(error) = error {
                    self.note(&error);
                }
                Done::Failed
            }
        }
    }

    /// One transaction: the row of the lane, the event, and a journal that says what was committed.
    async fn try_once(
        &self,
        outbox: &Outbox,
        client: &mut Client,
        rng: &mut SeededRng,
        (event, lane): (Uuid, i64),
        folds: bool,
    ) -> Result<Done, Option<tokio_postgres::Error>> {
        let schema = &self.schema;
        let begin = client.build_transaction().isolation_level(self.load.level);
        let tx = begin.start().await?;
        // Locks the row, so that an earlier attempt that is still at its commit ends first.
        let count = format!(
            "UPDATE {schema}_entity SET version = version + 1 WHERE id = $1 RETURNING version"
        );
        let version: i64 = tx.query_one(&count, &[&lane]).await?.try_get(0)?;
        let known = format!("SELECT 1 FROM {schema}_journal WHERE event = $1");
        let is_known = tx.query_opt(&known, &[&event]).await?.is_some();
        if folds && is_known {
            tx.rollback().await?;
            return Ok(Done::Recovered);
        }
        if rng.below(self.load.naps) == 0 {
            pause(rng.below(self.load.nap + 1)).await;
        }
        // The content of an event that does not fold is the same in each attempt, as its id is.
        let number = if folds { version } else { 0 };
        let new = new_event(event, lane, number, folds);
        let enqueued = match outbox.on(&tx).enqueue(Ok(new)).await {
            Ok(enqueued) => enqueued,
            Err(error) => {
                self.refused(&error);
                return Err(None);
            }
        };
        let is_there = matches!(enqueued, Enqueued::AlreadyThere(_));
        if is_there != is_known {
            self.tally.add(format!(
                "problem: {event} was answered {enqueued:?}, and its change is there: {is_known}"
            ));
        }
        if is_known {
            tx.rollback().await?;
            return Ok(Done::Recovered);
        }
        if let Enqueued::Folded { .. } = enqueued {
            self.tally.add("folded");
        }
        let journal =
            format!("INSERT INTO {schema}_journal (event, lane, version) VALUES ($1, $2, $3)");
        tx.execute(&journal, &[&event, &lane, &version]).await?;
        if let Err(error) = tx.commit().await {
            if error.code().is_none() || error.code() == Some(&SqlState::ADMIN_SHUTDOWN) {
                self.tally.add("commits without an answer");
            }
            return Err(Some(error));
        }
        Ok(Done::Committed)
    }

    /// Producers of one store, each with a lane of its own, one event after the other.
    async fn share_commits(self: Arc<Self>, mut rng: SeededRng) {
        let store = loop {
            let builder = PostgresStore::builder().schema(&self.schema).migrate(false);
            let builder = builder.application_name(format!("{}-producer", self.schema));
            match builder.pool_size(2).connect(&self.address).await {
                Ok(store) => break store,
                Err(_) if self.is_over() => return,
                Err(_) => pause(50).await,
            }
        };
        let mut tasks = Vec::new();
        for nth in 0..self.load.of_store {
            let (producers, store) = (Arc::clone(&self), store.clone());
            tasks.push(tokio::spawn(producers.count_up(
                store,
                OWN + nth.cast_signed(),
                rng.fork(),
            )));
        }
        for task in tasks {
            task.await.expect("a producer does not panic");
        }
    }

    async fn count_up(self: Arc<Self>, store: PostgresStore, lane: i64, mut rng: SeededRng) {
        let ledger = Ledger::open(&self.ledger);
        let mut number = 0;
        while !self.is_over() {
            pause(rng.below(self.load.pause + 1)).await;
            number += 1;
            let event = Uuid::from_u128(u128::from(rng.word()) << 64 | u128::from(rng.word()));
            ledger.write(&Record::Intended { event });
            loop {
                match (&store)
                    .enqueue(Ok(new_event(event, lane, number, false)))
                    .await
                {
                    Ok(enqueued) => {
                        if let Enqueued::AlreadyThere(_) = enqueued {
                            self.tally.add("recovered");
                        }
                        break self.tally.add("acknowledged");
                    }
                    Err(error) => {
                        self.refused(&error);
                        pause(rng.below(20)).await;
                    }
                }
            }
            ledger.write(&Record::Acknowledged { event });
        }
    }
}

fn new_event(event: Uuid, lane: i64, number: i64, folds: bool) -> NewEvent {
    let enqueue = Task::new(lane, number)
        .enqueue_update()
        .with_event_id(event)
        .max_attempts(1_000_000);
    let new = enqueue.into_event().expect("a number is JSON");
    match folds {
        true => new.with_coalesce(Coalesce::Latest),
        false => new,
    }
}
